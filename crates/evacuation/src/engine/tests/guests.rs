//! What the engine guarantees about virtual machines, under every order of events that the generator can think of.

use cluster_model::kubevirt::NonMigratable;
use proptest::prelude::*;

use super::guest_world::{Act, GuestWorld, Kind};
use super::{Outcome, config};

fn shrinking() -> ProptestConfig {
    ProptestConfig { max_shrink_iters: 300, ..config() }
}

type Maker = (usize, fn(u8) -> Act);

const ORDINARY: &[Maker] = &[
    (8, Act::Deliver),
    (6, Act::Execute),
    (6, Act::Answer),
    (1, Act::LoseAnswer),
    (1, Act::LoseRequest),
    (8, Act::KubeVirt),
    (3, Act::Exit),
    (3, |_| Act::Time),
    (1, Act::Fail),
    (1, |_| Act::Kill),
];

const HOSTILE: &[Maker] = &[
    (1, Act::Cancel),
    (1, Act::DeleteMigration),
    (1, Act::DeleteInstance),
    (1, Act::Migrate),
    (1, Act::Fail),
    (1, Act::Harden),
];

fn choose(makers: &[Maker]) -> impl Strategy<Value = Act> + use<> {
    let makers: Vec<_> = makers.iter().flat_map(|(weight, make)| std::iter::repeat_n(*make, *weight)).collect();
    (prop::sample::select(makers), any::<u8>()).prop_map(|(make, number)| make(number))
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(choose(ORDINARY), 0..120)
}

fn hostile_acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(choose(&[ORDINARY, HOSTILE].concat()), 0..160)
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let strategy = prop::sample::select(vec!["LiveMigrate", "LiveMigrate", "LiveMigrateIfPossible", "None"]);
    let owner =
        prop::sample::select(vec!["Always", "Always", "Manual", "RerunOnFailure", "Once", "ReplicaSet", "Nobody"]);
    let kind = (strategy, prop::bool::weighted(0.7), owner).prop_map(|(strategy, migratable, owner)| Kind {
        strategy,
        migratable,
        owner,
    });
    prop::collection::vec(kind, 1..4)
}

fn policies() -> impl Strategy<Value = NonMigratable> {
    prop::sample::select(vec![NonMigratable::Restart, NonMigratable::Stop])
}

/// Gives the same command again where it stopped.
fn evacuate_in_the_end(world: &mut GuestWorld) {
    for _ in 0..8 {
        world.settle();
        assert!(!world.goes_on(true), "an evacuation goes on after its run\n{}", world.story());
        if world.outcome == Some(Outcome::Done) {
            break;
        }
        world.start(false);
    }
}

fn evacuate(kind: Kind, acts: &[Act]) -> GuestWorld {
    let mut world = GuestWorld::new(&[kind], NonMigratable::Restart);
    for act in acts {
        world.act(*act);
    }
    evacuate_in_the_end(&mut world);
    world
}

#[test]
fn a_migration_that_a_cancelled_evacuation_left_is_called_off() {
    let kind = Kind { strategy: "LiveMigrate", migratable: true, owner: "Always" };
    let (execute, answer) = (Act::Execute(0), Act::Answer(0));
    let unseen = [Act::KubeVirt(0), Act::Cancel(0), Act::Deliver(0)];
    evacuate(kind, &[&[execute, answer, execute, Act::Time, answer][..], &unseen].concat());
}

#[test]
fn a_new_migration_is_not_taken_for_the_one_that_somebody_deleted() {
    let kind = Kind { strategy: "None", migratable: true, owner: "Always" };
    evacuate(kind, &[Act::Execute(0), Act::Answer(0), Act::Kill, Act::DeleteMigration(0)]);
}

/// A guest gets harder to move while nobody runs, and the plan is made anew.
#[test]
fn a_guest_that_was_asked_to_leave_and_cannot_any_more_is_planned_anew() {
    let kind = |migratable| Kind { strategy: "LiveMigrate", migratable, owner: "Always" };
    let mut world = GuestWorld::new(&[kind(true), kind(false), kind(false)], NonMigratable::Restart);
    let (execute, answer) = (Act::Execute(0), Act::Answer(0));
    let acts = [execute, answer, Act::Execute(165), Act::KubeVirt(54), Act::Cancel(150), Act::Kill, Act::Harden(15)];
    for act in acts {
        world.act(act);
    }
    evacuate_in_the_end(&mut world);
    assert!(world.outcome != Some(Outcome::Done) || world.is_empty(), "{}", world.story());
}

/// A copy that is seen to go on is left alone, and is what the end names; it is seen for a while before.
#[test]
fn what_copies_when_the_evacuation_is_called_off_goes_on() {
    let kind = Kind { strategy: "LiveMigrate", migratable: true, owner: "Always" };
    let mut world = GuestWorld::new(&[kind], NonMigratable::Restart);
    let (execute, answer) = (Act::Execute(0), Act::Answer(0));
    for act in [execute, answer, execute, answer].into_iter().chain([Act::KubeVirt(0); 6]).chain([Act::Time]) {
        world.act(act);
    }
    world.interrupt();
    // The mark goes, which the view shows.
    for act in [execute, answer, Act::Deliver(0)] {
        world.act(act);
        assert_eq!(world.outcome, None, "{}", world.story());
    }
    world.act(Act::Time);
    let story = world.story();
    assert_eq!(world.outcome, Some(Outcome::Interrupted), "{story}");
    assert!(story.contains("StillCopying { migration: \"migration-1\" }"), "{story}");
    assert!(!story.contains("DeleteMigration"), "{story}");
}

/// The migration that the view shows copying has failed, and KubeVirt has begun another before the mark went.
#[test]
fn what_copied_when_the_evacuation_was_called_off_may_be_over_and_another_begun() {
    let kind = |strategy, migratable| Kind { strategy, migratable, owner: "Always" };
    let kinds = [kind("LiveMigrate", false), kind("LiveMigrate", true), kind("None", false)];
    let mut world = GuestWorld::new(&kinds, NonMigratable::Restart);
    let steps = [100, 10, 199, 145, 10].map(Act::KubeVirt);
    for act in [&[Act::Execute(0), Act::Answer(0), Act::Kill][..], &steps].concat() {
        world.act(act);
    }
    world.interrupt();
    let rest = [Act::KubeVirt(10), Act::Time, Act::Fail(0), Act::KubeVirt(142), Act::Execute(35), Act::Deliver(246)];
    for act in rest {
        world.act(act);
    }
    world.settle();
    assert!(!world.goes_on(false), "{}", world.story());
}

proptest! {
    #![proptest_config(shrinking())]

    /// Whatever is late, lost, killed or fails: the guests leave by the gentlest way, no pod goes before them, and at
    /// the end nothing names the node.
    #[test]
    fn every_run_empties_the_node(kinds in kinds(), policy in policies(), acts in acts()) {
        let mut world = GuestWorld::new(&kinds, policy);
        for act in acts {
            world.act(act);
        }
        evacuate_in_the_end(&mut world);
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(world.is_empty() && !world.has_database(), "{}", world.story());
    }

    /// An interrupt at any moment: no evacuation goes on but what is copying already, and that without a mark.
    #[test]
    fn an_interrupt_calls_everything_off(kinds in kinds(), policy in policies(), before in acts(), after in acts()) {
        let mut world = GuestWorld::new(&kinds, policy);
        for act in before {
            world.act(act);
        }
        if world.outcome.is_some() {
            world.start(false);
        }
        world.interrupt();
        for act in after.into_iter().filter(|act| !matches!(act, Act::Kill)) {
            world.act(act);
        }
        world.settle();
        prop_assert!(matches!(world.outcome, Some(Outcome::Interrupted)), "{}", world.story());
        prop_assert!(!world.goes_on(false), "{}", world.story());
    }

    /// An undo after a run was killed anywhere: no evacuation goes on, the node and the virtual machines are as before.
    #[test]
    fn an_undo_ends_every_evacuation(kinds in kinds(), policy in policies(), before in acts(), after in acts()) {
        let mut world = GuestWorld::new(&kinds, policy);
        for act in before {
            world.act(act);
        }
        world.start(true);
        for act in after {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(!world.goes_on(true) && world.is_given_back(), "{}", world.story());
    }

    /// People who interfere: the run still ends, and leaves no evacuation behind.
    #[test]
    fn people_may_interfere(kinds in kinds(), policy in policies(), acts in hostile_acts()) {
        let mut world = GuestWorld::new(&kinds, policy);
        for act in acts {
            world.act(act);
        }
        evacuate_in_the_end(&mut world);
        prop_assert!(world.outcome != Some(Outcome::Done) || world.is_empty(), "{}", world.story());
    }
}
