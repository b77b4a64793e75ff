//! What is not waited for without end, and for how long it is.

use std::time::Duration;

use super::Outcome;
use super::regressions::SMALL;
use super::world::{Act, Rule, Shape, World};
use crate::engine::StepEnd;

/// The commands that a run has sent, as the trace tells them.
fn sent(world: &World, kind: &str) -> usize {
    let mark = format!(": {kind} ");
    world.trace.iter().filter(|line| line.starts_with("  sends ") && line.contains(&mark)).count()
}

/// Everything happens but one thing: no new pod becomes Ready.
fn pass_without_readiness(world: &mut World) {
    world.answer_all();
    for act in [Act::Deployment, Act::ReplicaSet, Act::Schedule(0), Act::Exit(0), Act::Endpoints, Act::Budgets] {
        world.act(act);
    }
    world.deliver_all();
    world.act(Act::Time);
}

/// Lets so many seconds pass, or fewer if the run ends before.
fn within(world: &mut World, limit: Duration, mut pass: impl FnMut(&mut World)) {
    for _ in 0..limit.as_secs() {
        if world.outcome.is_some() {
            return;
        }
        pass(world);
    }
}

fn reasons(world: &World) -> Vec<String> {
    let ends = world.engine.as_ref().unwrap().ends();
    let reason = |end: Option<&StepEnd>| match end {
        Some(StepEnd::GivenUp(reason) | StepEnd::Reattached(reason)) => reason.clone(),
        other => format!("{other:?}"),
    };
    ends.map(|(_, _, end, _)| reason(end)).collect()
}

#[test]
fn one_pod_that_is_not_replaced_in_time_speaks_for_all_of_its_workload() {
    let mut world = World::new(Shape { replicas: 4, on_old: 4, ..SMALL });
    within(&mut world, Duration::from_secs(620), pass_without_readiness);
    assert_eq!(world.outcome, Some(Outcome::Stopped), "{}", world.story());
    assert_eq!(
        (sent(&world, "detach"), sent(&world, "reattach"), sent(&world, "evict")),
        (1, 1, 0),
        "{}",
        world.story()
    );
    let reasons = reasons(&world);
    assert_eq!(reasons.len(), 4);
    for reason in &reasons {
        assert!(reason.contains("its replacement shop/web-") && reason.contains("to be available"), "{reasons:#?}");
    }
    assert!(world.is_untouched(), "{}", world.story());
}

#[test]
fn those_that_take_turns_wait_for_a_successor_together_and_once() {
    let mut world = World::new(Shape { databases: 3, ..SMALL });
    let pass = |world: &mut World| {
        world.answer_all();
        // The workload that is handed over is not what this is about.
        world.act(Act::ReplicaSet);
        for act in [Act::StatefulSet, Act::Schedule(0), Act::Exit(0), Act::Endpoints, Act::Budgets] {
            world.act(act);
        }
        world.make_ready_of("web");
        world.deliver_all();
        world.act(Act::Time);
    };
    within(&mut world, Duration::from_secs(640), pass);
    assert_eq!(world.outcome, Some(Outcome::Stopped), "{}", world.story());
    let left =
        reasons(&world).into_iter().filter(|reason| reason.contains("last pod was not replaced in time")).count();
    assert_eq!(left, 2, "{:#?}\n{}", reasons(&world), world.story());
}

/// The budget needs the detached pod itself, since nobody makes another.
#[test]
fn a_budget_that_a_smaller_workload_never_opens_is_given_up() {
    let mut world = World::new(Shape { rule: Rule::AllAvailable, ..SMALL });
    while sent(&world, "detach") == 0 {
        world.answer_all();
    }
    world.answer_all();
    world.scale_to_nothing();
    within(&mut world, Duration::from_secs(620), World::pass);
    assert_eq!(world.outcome, Some(Outcome::Stopped), "{}", world.story());
    assert_eq!(sent(&world, "evict"), 0, "{}", world.story());
    let reasons = reasons(&world);
    assert!(reasons[0].contains("asks for fewer pods by now"), "{reasons:?}");
    assert!(reasons[0].contains("cannot be attached again either: its workload was scaled to 0"), "{reasons:?}");
}

#[test]
fn the_others_do_not_wait_without_end_for_a_gatekeeper_whose_rollout_does_not_end() {
    let mut world = World::new(Shape { databases: 1, ..SMALL });
    let engine = world.engine.as_mut().unwrap();
    engine.steps.values_mut().filter(|step| step.pod.name.starts_with("web")).for_each(|step| step.keeps_a_gate = true);
    world.act(Act::Rollout);
    world.deliver_all();
    within(&mut world, Duration::from_secs(30), pass_without_readiness);
    assert_eq!(sent(&world, "evict"), 0, "{}", world.story());
    within(&mut world, Duration::from_secs(700), |world| {
        world.act(Act::StatefulSet);
        pass_without_readiness(world);
    });
    assert_eq!(world.outcome, Some(Outcome::Stopped), "{}", world.story());
    assert_eq!((sent(&world, "detach"), sent(&world, "evict")), (0, 1), "{}", world.story());
    let reasons = reasons(&world);
    assert!(reasons.iter().any(|reason| reason.contains("answers for a webhook")), "{reasons:?}");
}
