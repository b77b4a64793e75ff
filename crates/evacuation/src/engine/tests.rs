//! What the engine guarantees, under every order of events that the generator can think of.

mod world;

use cluster_model::pod::{Pod, TEMPLATE_HASH};
use proptest::prelude::*;
use world::{Act, World};

use super::{Engine, Input, Moment, Outcome, RunIdentity};
use crate::request::DrainRequest;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => any::<u8>().prop_map(Act::Deliver),
        6 => any::<u8>().prop_map(Act::Execute),
        1 => any::<u8>().prop_map(Act::LoseAnswer),
        1 => any::<u8>().prop_map(Act::LoseRequest),
        6 => any::<u8>().prop_map(Act::Answer),
        4 => Just(Act::ReplicaSet),
        4 => any::<u8>().prop_map(Act::Ready),
        3 => any::<u8>().prop_map(Act::Exit),
        4 => Just(Act::Endpoints),
        4 => Just(Act::Budgets),
        3 => Just(Act::Time),
        1 => any::<u8>().prop_map(Act::Touch),
        1 => Just(Act::Kill),
    ];
    prop::collection::vec(act, 0..160)
}

/// Replicas, how many of them on the node, and the surge.
fn shapes() -> impl Strategy<Value = (i32, i32, i32)> {
    (1..5_i32).prop_flat_map(|replicas| (Just(replicas), 1..=replicas, 1..=3_i32))
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() }
}

fn is_untouched(pod: &Pod) -> bool {
    pod.detached.is_none()
        && pod.deletion_cost.is_none()
        && pod.labels.get(TEMPLATE_HASH).is_some_and(|hash| hash == "h1")
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is late, lost, doubled or killed: no endpoint is lost, and the run that goes on to the end drains the
    /// node and leaves no pod outside its ReplicaSet. (`World::check` looks after every single act.)
    #[test]
    fn every_run_drains_the_node_without_losing_an_endpoint((replicas, on_old, surge) in shapes(), acts in acts()) {
        let mut world = World::new(replicas, on_old, surge);
        for act in acts {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(world.pods().all(|pod| pod.node.as_ref().is_some_and(|node| node.0 == "new")), "{}", world.story());
        prop_assert!(world.pods().all(is_untouched), "{}", world.story());
    }

    /// An interrupt at any moment: nothing new begins, no endpoint is lost, no pod stays outside its ReplicaSet.
    #[test]
    fn an_interrupt_tidies_up((replicas, on_old, surge) in shapes(), before in acts(), after in acts()) {
        let mut world = World::new(replicas, on_old, surge);
        for act in before {
            world.act(act);
        }
        prop_assume!(world.outcome.is_none());
        world.interrupt();
        for act in after.into_iter().filter(|act| !matches!(act, Act::Kill)) {
            world.act(act);
        }
        world.settle();
        prop_assert!(matches!(world.outcome, Some(Outcome::Interrupted | Outcome::Done)), "{}", world.story());
        prop_assert!(world.pods().all(is_untouched), "{}", world.story());
    }

    /// An undo after a run was killed anywhere: every pod is its ReplicaSet's again, the node is as it was.
    #[test]
    fn an_undo_gives_everything_back((replicas, on_old, surge) in shapes(), before in acts(), after in acts()) {
        let mut world = World::new(replicas, on_old, surge);
        for act in before {
            world.act(act);
        }
        world.start(false);
        for act in after.into_iter().filter(|act| !matches!(act, Act::Kill)) {
            world.act(act);
        }
        world.settle();
        prop_assert_eq!(world.outcome, Some(Outcome::Done), "{}", world.story());
        prop_assert!(world.pods().all(is_untouched), "{}", world.story());
        prop_assert!(world.old_node().run.is_none() && !world.old_node().unschedulable, "{}", world.story());
    }
}

#[test]
fn after_the_lease_is_lost_there_is_no_command() {
    let mut world = World::new(1, 1, 1);
    let now = Moment { wall: cluster_model::fixtures::at(0), elapsed: std::time::Duration::ZERO };
    let cluster = cluster_model::snapshot::ClusterSnapshot::default();
    let turn = world.engine.on(vec![Input::LeaseLost, Input::Woke], &cluster, now);
    assert_eq!((turn.commands.len(), turn.finished), (0, Some(Outcome::LeaseLost)));
    let turn = world.engine.on(vec![Input::Woke], &cluster, now);
    assert_eq!((turn.commands.len(), turn.events.len()), (0, 0));
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
