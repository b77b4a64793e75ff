//! What the properties found, in the smallest form: each of these failed once.

use std::time::Duration;

use cluster_model::snapshot::Change;

use super::world::{Act, Goal, Rule, Shape, World};
use super::{DrainRequest, Input, Moment, Outcome, is_drained};
use crate::engine::Turn;
use crate::event::Event;

/// One replica on the only node.
pub(super) const SMALL: Shape = Shape {
    replicas: 1,
    on_old: 1,
    old_nodes: 1,
    surge: 1,
    min_ready_seconds: 0,
    rule: Rule::NoBudget,
    has_cost: false,
    was_cordoned: false,
    is_bare: false,
    databases: 0,
};

/// Lets these things happen one after another, from the beginning of a run.
fn after(shape: Shape, acts: &[Act]) -> World {
    let mut world = World::new(shape);
    for act in acts {
        world.act(*act);
    }
    world
}

fn assert_ends_drained(mut world: World) {
    world.settle();
    assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
    assert!(is_drained(&world) && world.is_untouched(), "{}", world.story());
}

/// The node's version is the newest there is: one that is newer never comes.
#[test]
fn a_conflict_that_is_not_about_the_node_ends_by_asking_again() {
    assert_ends_drained(after(SMALL, &[Act::Refuse(0)]));
}

#[test]
fn a_conflict_that_is_not_about_the_pod_ends_by_asking_again() {
    let cordoned = [Act::Execute(0), Act::Answer(0)];
    assert_ends_drained(after(SMALL, &[&cordoned[..], &[Act::Refuse(0)]].concat()));
    let mut interrupted = after(SMALL, &[&cordoned[..], &[Act::Refuse(0)]].concat());
    interrupted.interrupt();
    interrupted.settle();
    assert_eq!(interrupted.outcome, Some(Outcome::Interrupted), "{}", interrupted.story());
}

/// The release of a node is guarded by no version, so nothing in the view tells when to ask again: it takes a pause.
#[test]
fn a_conflict_about_a_write_without_a_version_is_not_asked_again_at_once() {
    let mut world = after(SMALL, &[Act::Execute(0)]);
    world.start(Goal::Undo);
    for act in [Act::Refuse(0), Act::Answer(0)] {
        world.act(act);
    }
    world.settle();
    assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
}

/// An eviction is sent, and carried out only when the next pod of the workload is detached already. That pod serves
/// on, and may not go before the others are as strong without it: nothing is lost.
#[test]
fn a_detach_may_overtake_an_eviction() {
    let world = after(
        Shape { replicas: 3, on_old: 2, surge: 2, ..SMALL },
        &[
            Act::Execute(0),
            Act::Answer(0),
            // The first detach; the second dies with the process.
            Act::Execute(0),
            Act::ReplicaSet,
            Act::Schedule(0),
            Act::Ready(0),
            Act::Kill,
            Act::Execute(0),
            Act::Endpoints,
            Act::Deliver(2),
            Act::Time,
            Act::Answer(0),
            // The other detach, then the eviction that was sent before.
            Act::Execute(1),
            Act::Execute(0),
        ],
    );
    assert_ends_drained(world);
}

/// A new generation's pod is Ready in the view, its ReplicaSet is not there yet: the pod counts, but for whom?
#[test]
fn a_rollout_that_only_its_pods_tell_of_is_waited_for() {
    let world = after(
        Shape { replicas: 2, ..SMALL },
        &[
            Act::Rollout,
            Act::Deployment,
            Act::ReplicaSet,
            Act::Schedule(0),
            Act::Ready(0),
            Act::Unready(1),
            Act::Deliver(1),
            Act::Deliver(1),
            Act::Deliver(1),
            Act::Deliver(1),
            Act::Execute(0),
            Act::Answer(0),
        ],
    );
    assert_ends_drained(world);
}

/// The view still shows the pod as it was before all this, which looks as if it were its ReplicaSet's again.
#[test]
fn a_view_from_before_the_detach_is_not_taken_for_the_return() {
    let mut world = after(SMALL, &[Act::Execute(0), Act::Answer(0), Act::Execute(0)]);
    world.interrupt();
    for act in [Act::Answer(0), Act::Execute(0), Act::Answer(0)] {
        world.act(act);
    }
    world.settle();
    assert_eq!(world.outcome, Some(Outcome::Interrupted), "{}", world.story());
    assert!(world.is_untouched(), "{}", world.story());
}

/// Planned as an eviction because it was not Ready, refused by its budget, and Ready since: no budget of all pods will
/// ever let it go, but it can be handed over.
#[test]
fn a_pod_that_has_become_ready_is_handed_over() {
    let shape = Shape { rule: Rule::NoneUnavailable, ..SMALL };
    assert_ends_drained(after(shape, &[Act::Unready(0), Act::Kill, Act::Budgets]));
}

/// A run whose first pod is detached when its ReplicaSet is deleted, as it is `seconds` later.
fn without_its_owner(shape: Shape, inputs: Vec<Input>, seconds: &[u64]) -> Vec<Turn> {
    let mut world = after(shape, &[Act::Execute(0), Act::Answer(0), Act::Execute(0), Act::Answer(0), Act::Deliver(1)]);
    let owners: Vec<_> = world.view.replica_sets().map(|set| set.uid.clone()).collect();
    for owner in owners {
        world.view.apply(Change::ReplicaSetGone(owner));
    }
    let now = world.now();
    let engine = world.engine.as_mut().unwrap();
    let mut later = |inputs, seconds: u64| {
        let pause = Duration::from_secs(seconds);
        engine.on(inputs, &world.view, Moment { wall: now.wall + pause, elapsed: now.elapsed + pause })
    };
    let first = later(inputs, 0);
    let others = seconds.iter().map(|seconds| later(vec![Input::Woke], *seconds));
    std::iter::once(first).chain(others).collect()
}

fn given_up(turn: &Turn) -> Vec<&str> {
    let reasons = turn.events.iter().filter_map(|event| match event {
        Event::PodGivenUp { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    reasons.collect()
}

/// The garbage collector takes it: that is no failure. Only where it does not, the owner was deleted without its pods.
#[test]
fn a_pod_whose_owner_is_gone_before_its_handover_is_given_up_after_a_while_only() {
    let turns = without_its_owner(Shape { replicas: 2, on_old: 2, ..SMALL }, vec![Input::Woke], &[59, 60]);
    assert_eq!((given_up(&turns[0]), given_up(&turns[1])), (vec![], vec![]));
    assert_eq!(turns[0].wake_at, Some(Duration::from_secs(60)));
    let [detached, planned] = given_up(&turns[2])[..] else { panic!("{:?}", turns[2]) };
    assert!(detached.contains("deleted without its pods, and it serves on"), "{detached}");
    assert!(planned.contains("is not there any more"), "{planned}");
}

/// No replacement opens the budget of a pod whose workload is gone: neither a run nor an interrupt waits for that for
/// ever.
#[test]
fn a_detached_pod_whose_owner_is_gone_does_not_wait_for_its_budget_without_end() {
    let shape = Shape { rule: Rule::AllAvailable, ..SMALL };
    let patience = DrainRequest::default().replacement_timeout.as_secs();
    let turns = without_its_owner(shape, vec![Input::Woke], &[patience - 1, patience]);
    assert_eq!((given_up(&turns[0]), given_up(&turns[1])), (vec![], vec![]));
    let [reason] = given_up(&turns[2])[..] else { panic!("{:?}", turns[2]) };
    assert!(reason.starts_with("its workload is gone, and it was waiting for PodDisruptionBudget"), "{reason}");

    let turns = without_its_owner(shape, vec![Input::Interrupted], &[9, 10]);
    let ends: Vec<_> = turns.iter().map(|turn| turn.finished).collect();
    assert_eq!(ends, [None, None, Some(Outcome::Interrupted)]);
}
