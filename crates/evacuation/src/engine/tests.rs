//! What the engine guarantees, under every order of events that the generator can think of.

mod deadlines;
mod guest_world;
mod guests;
mod regressions;
mod world;

use proptest::prelude::*;
use world::{Act, Goal, Rule, Shape, World};

use super::{Engine, Input, Moment, Outcome, RunIdentity};
use crate::request::DrainRequest;

/// One kind of act: how often, and how it is made of a number.
type Kind = (usize, fn(u8) -> Act);

/// What happens by itself in every cluster.
const ORDINARY: &[Kind] = &[
    (8, Act::Deliver),
    (6, Act::Execute),
    (1, Act::LoseAnswer),
    (1, Act::LoseRequest),
    (1, Act::Refuse),
    (6, Act::Answer),
    (4, |_| Act::ReplicaSet),
    (1, |_| Act::Deployment),
    (1, |_| Act::StatefulSet),
    (3, Act::Schedule),
    (4, Act::Ready),
    (3, Act::Exit),
    (4, |_| Act::Endpoints),
    (4, |_| Act::Budgets),
    (3, |_| Act::Time),
    (1, Act::Touch),
    (1, |_| Act::Kill),
];

/// What the owner of the workload and misfortune add to it.
const HOSTILE: &[Kind] = &[
    (2, |_| Act::Deployment),
    (1, |_| Act::Grow),
    (1, |_| Act::Shrink),
    (1, |_| Act::Rollout),
    (1, Act::BindLate),
    (1, Act::Unready),
    (1, Act::Delete),
];

/// One choice for each act: `prop_oneof!` makes a random generator for each element, which takes longer than the runs.
fn choose(kinds: &[Kind]) -> impl Strategy<Value = Act> + use<> {
    let makers: Vec<_> = kinds.iter().flat_map(|(weight, make)| std::iter::repeat_n(*make, *weight)).collect();
    (prop::sample::select(makers), any::<u8>()).prop_map(|(make, number)| make(number))
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(choose(ORDINARY), 0..160)
}

fn hostile_acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(choose(&[ORDINARY, HOSTILE].concat()), 0..200)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let rules = prop_oneof![Just(Rule::NoBudget), Just(Rule::AllAvailable), Just(Rule::NoneUnavailable)];
    let pods = (1..5_i32).prop_flat_map(|replicas| (Just(replicas), 1..=replicas));
    let min_ready_seconds = prop_oneof![3 => Just(0), 1 => Just(2)];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.3));
    (pods, 1..=2_usize, 1..=3_i32, min_ready_seconds, rules, flags, 0..4_u32).prop_map(
        |((replicas, on_old), old_nodes, surge, min_ready_seconds, rule, flags, databases)| {
            let (has_cost, was_cordoned, is_bare) = flags;
            let rule = countable(rule, is_bare);
            Shape {
                replicas,
                on_old,
                old_nodes,
                surge,
                min_ready_seconds,
                rule,
                has_cost,
                was_cordoned,
                is_bare,
                databases,
            }
        },
    )
}

/// A budget that counts by scale keeps the pods of a ReplicaSet of its own from being handed over.
fn countable(rule: Rule, is_bare: bool) -> Rule {
    if is_bare && rule == Rule::NoneUnavailable { Rule::NoBudget } else { rule }
}

/// The same without a budget that only fits the number of pods at the start.
fn scalable_shapes() -> impl Strategy<Value = Shape> {
    shapes().prop_map(|shape| Shape {
        rule: countable(
            if shape.rule == Rule::AllAvailable { Rule::NoneUnavailable } else { shape.rule },
            shape.is_bare,
        ),
        ..shape
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    }
}

fn is_drained(world: &World) -> bool {
    world.pods().all(|pod| pod.node.as_ref().is_some_and(|node| node.0 == "new"))
}

/// Gives the same command again where it stopped.
fn drain_in_the_end(world: &mut World) {
    for _ in 0..8 {
        world.settle();
        if world.outcome == Some(Outcome::Done) && is_drained(world) {
            break;
        }
        world.start(Goal::Drain);
    }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is late, lost, doubled or killed: no endpoint is lost, and the run that goes on to the end drains the
    /// nodes and leaves no pod outside its ReplicaSet. (`World::check` looks after every single act.)
    #[test]
    fn every_run_drains_the_nodes_without_losing_an_endpoint(shape in shapes(), acts in acts()) {
        let mut world = World::new(shape);
        for act in acts {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(is_drained(&world) && world.is_untouched(), "{}", world.story());
    }

    /// An interrupt at any moment: nothing new begins, no endpoint is lost, no pod stays outside its ReplicaSet.
    #[test]
    fn an_interrupt_tidies_up(shape in shapes(), before in acts(), after in acts()) {
        let mut world = World::new(shape);
        for act in before {
            world.act(act);
        }
        if world.outcome.is_some() {
            world.start(Goal::Drain);
        }
        world.interrupt();
        for act in after.into_iter().filter(|act| !matches!(act, Act::Kill)) {
            world.act(act);
        }
        world.settle();
        prop_assert!(matches!(world.outcome, Some(Outcome::Interrupted)), "{}", world.story());
        prop_assert!(world.is_untouched(), "{}", world.story());
    }

    /// An undo after a run was killed anywhere: every pod is its ReplicaSet's again, the nodes are as they were.
    #[test]
    fn an_undo_gives_everything_back(shape in shapes(), before in acts(), after in acts()) {
        let mut world = World::new(shape);
        for act in before {
            world.act(act);
        }
        world.start(Goal::Undo);
        for act in after {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(world.is_untouched(), "{}", world.story());
        for (index, node) in world.old_nodes().enumerate() {
            let was_cordoned = index == 0 && shape.was_cordoned;
            prop_assert!(node.run.is_none() && node.unschedulable == was_cordoned, "{:?}\n{}", node, world.story());
        }
    }

    /// Scaled, rolled out, hurt and robbed: no detached pod goes before its workload is as strong as it was, and the
    /// same command, given again where it stopped, drains the nodes and leaves no pod outside its ReplicaSet.
    #[test]
    fn a_hostile_world_is_drained_in_the_end(shape in scalable_shapes(), acts in hostile_acts()) {
        let mut world = World::new(shape);
        for act in acts {
            world.act(act);
        }
        drain_in_the_end(&mut world);
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(is_drained(&world) && world.is_untouched(), "{}", world.story());
    }

    /// The same with an interrupt or an undo on the way: it ends, and what it could not give back the next run does.
    #[test]
    fn a_hostile_world_may_be_left_and_come_back_to(
        shape in scalable_shapes(),
        before in hostile_acts(),
        undoes in any::<bool>(),
        after in hostile_acts(),
    ) {
        let mut world = World::new(shape);
        for act in before {
            world.act(act);
        }
        if undoes {
            world.start(Goal::Undo);
        } else {
            if world.outcome.is_some() || world.engine.is_none() {
                world.start(Goal::Drain);
            }
            world.interrupt();
        }
        for act in after.into_iter().filter(|act| undoes || !matches!(act, Act::Kill)) {
            world.act(act);
        }
        world.settle();
        drain_in_the_end(&mut world);
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(is_drained(&world) && world.is_untouched(), "{}", world.story());
    }

    /// The lease is lost at any moment: the engine ends there and never asks for anything again.
    #[test]
    fn after_the_lease_is_lost_there_is_no_command(shape in shapes(), acts in hostile_acts()) {
        let mut world = World::new(shape);
        for act in acts {
            world.act(act);
        }
        if world.outcome.is_some() {
            world.start(Goal::Drain);
        }
        let Some(mut engine) = world.engine.take() else {
            return Err(TestCaseError::reject("the plan is refused for now"));
        };
        let now = world.now();
        let turn = engine.on(vec![Input::Woke, Input::LeaseLost, Input::Interrupted], &world.view, now);
        prop_assert_eq!((turn.commands.len(), turn.finished), (0, Some(Outcome::LeaseLost)));
        let later = Moment { elapsed: now.elapsed + std::time::Duration::from_secs(900), ..now };
        let turn = engine.on(vec![Input::Woke], &world.view, later);
        prop_assert_eq!((turn.commands.len(), turn.events.len(), turn.finished), (0, 0, None));
    }
}

#[test]
fn an_undo_of_nothing_is_done_at_once() {
    let identity =
        RunIdentity { run: "r".into(), user: "u".into(), version: "v".into(), reason: None, options: Vec::new() };
    let mut engine = Engine::undo(&[], &[], DrainRequest::default(), identity);
    let now = Moment { wall: cluster_model::fixtures::at(0), elapsed: std::time::Duration::ZERO };
    let turn = engine.on(vec![Input::Woke], &cluster_model::snapshot::ClusterSnapshot::default(), now);
    assert_eq!(turn.finished, Some(Outcome::Done));
}
