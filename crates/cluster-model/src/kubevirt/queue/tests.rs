use serde_json::json;

use super::*;
use crate::fixtures::at;
use crate::fixtures::kubevirt::{ObjectBuilder, instance, kubevirt, launcher, migration, virtualization};

/// Guests `vm-1` … on a node.
fn guests(node: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<ObjectBuilder> {
    numbers.map(|number| instance("default", &format!("vm-{number}")).on(node)).collect()
}

fn evacuation(number: u32, phase: &str) -> ObjectBuilder {
    migration("default", &format!("m-{number}"), &format!("vm-{number}")).evacuating("node1").phase(phase)
}

fn places(objects: &[ObjectBuilder], names: &[&str], now: i64) -> Vec<Place> {
    let cluster = virtualization(objects);
    let queue = MigrationQueue::of(&cluster);
    let find = |name: &&str| cluster.migrations().find(|migration| migration.metadata.key.name == **name).unwrap();
    names.iter().map(|name| queue.place(find(name), at(now))).collect()
}

fn keys(names: &[&str]) -> Vec<ObjectKey> {
    names.iter().map(|name| ObjectKey::new("default", *name)).collect()
}

/// OBSERVED (i): four on one node, two outbound: two Scheduling, two Pending, and nothing says why.
#[test]
fn two_of_four_wait_for_their_node() {
    let mut objects = guests("node1", 1..=4);
    objects.extend([
        evacuation(1, "Scheduling"),
        evacuation(2, "Running"),
        evacuation(3, "Pending").created_at(3),
        evacuation(4, "Pending").created_at(4),
    ]);
    let slots = Slots { limit: 2, holders: keys(&["m-1", "m-2"]) };
    let expected = [
        Place::Running,
        Place::Running,
        Place::WaitsForNode { position: 1, slots: slots.clone() },
        Place::WaitsForNode { position: 2, slots },
    ];
    assert_eq!(places(&objects, &["m-1", "m-2", "m-3", "m-4"], 100), expected);
}

/// Reference 3.2: whatever has a target pod counts, unschedulable or not; one that waits for another node does not.
#[test]
fn a_target_pod_takes_a_slot_and_an_ended_one_gives_it_back() {
    let mut objects = guests("node1", 1..=3);
    objects.extend(guests("node2", 4..=4));
    objects.extend([
        evacuation(1, "Pending"),
        launcher("default", "vm-1", "t", "node9").target_of("uid-m-1").phase("Pending"),
        evacuation(2, "Pending"),
        launcher("default", "vm-2", "t", "node9").target_of("uid-m-2").phase("Failed"),
        evacuation(3, "Succeeded"),
        evacuation(4, "Pending").created_at(1),
    ]);
    let expected = [Place::Running, Place::Next, Place::Over, Place::Next];
    assert_eq!(places(&objects, &["m-1", "m-2", "m-3", "m-4"], 100), expected);
    let cluster = virtualization(&objects);
    let queue = MigrationQueue::of(&cluster);
    assert_eq!(queue.outbound_slots(&"node1".into()).free(), 1);
    assert_eq!(queue.cluster_slots(), Slots { limit: 5, holders: keys(&["m-1"]) });
    assert_eq!(queue.outbound_slots(&"node2".into()).free(), 2);
}

/// Reference 3.2: the cluster's limit, and priority before age; a user's own migration has none.
#[test]
fn the_cluster_has_a_limit_too_and_priority_comes_before_age() {
    let limit = kubevirt("v1.9.0").set("/spec/configuration/migrations/parallelMigrationsPerCluster", 1);
    let mut objects = guests("node1", 1..=1);
    objects.extend(guests("node2", 2..=3));
    objects.extend([
        limit,
        evacuation(1, "Running"),
        migration("default", "own", "vm-2").created_at(1),
        evacuation(3, "Pending").created_at(9),
    ]);
    let slots = Slots { limit: 1, holders: keys(&["m-1"]) };
    let expected =
        [Place::WaitsForCluster { position: 2, slots: slots.clone() }, Place::WaitsForCluster { position: 1, slots }];
    assert_eq!(places(&objects, &["own", "m-3"], 100), expected);
    let cluster = virtualization(&objects);
    let order: Vec<_> =
        MigrationQueue::of(&cluster).waiting().iter().map(|one| one.metadata.key.name.clone()).collect();
    assert_eq!(order, ["m-3", "own"]);
}

fn failure(attempt: u32, seconds: i64) -> ObjectBuilder {
    let at = at(seconds).to_string();
    migration("default", &format!("f-{attempt}"), "vm-1")
        .evacuating("node1")
        .phase("Failed")
        .created_at(seconds)
        .set("/status/phaseTransitionTimestamps", json!([{"phase": "Failed", "phaseTransitionTimestamp": at}]))
}

/// OBSERVED (g): 20, 40, 80, 160, 320 s from the failure of the one before, and no more, since five are kept.
#[test]
fn failures_in_a_row_make_the_next_one_wait_longer() {
    let pending = evacuation(1, "Pending").created_at(1_000);
    for (failures, wait) in [(1, 20), (2, 40), (3, 80), (4, 160), (5, 320), (6, 320)] {
        let mut objects = guests("node1", 1..=1);
        objects.push(pending.clone());
        objects.extend((1..=failures).map(|attempt| failure(attempt, i64::from(attempt))));
        let until = i64::from(failures) + wait;
        let expected = Place::Backoff { failures: failures.min(5), until: at(until) };
        assert_eq!(places(&objects, &["m-1"], until - 1), [expected], "{failures} failures");
        assert_eq!(places(&objects, &["m-1"], until), [Place::Next], "{failures} failures");
    }
}

/// Reference 3.3 and OBSERVED, corrections 8: a success resets it, what was deleted or aborted is no failure, and a
/// user's own migration never waits for it.
#[test]
fn only_failures_of_an_evacuation_since_the_last_success_count() {
    let now = 12;
    let with = |others: Vec<ObjectBuilder>, own: ObjectBuilder| {
        let mut objects = guests("node1", 1..=1);
        objects.extend(others);
        objects.push(own);
        places(&objects, &["m-1"], now)
    };
    let pending = evacuation(1, "Pending").created_at(11);
    let success = failure(9, 10).phase("Succeeded");
    let aborted = json!([{"type": "migrationAbortRequested", "status": "True"}]);
    assert_eq!(with(vec![failure(1, 5), success], pending.clone()), [Place::Next]);
    assert_eq!(with(vec![failure(1, 5).set("/status/conditions", aborted)], pending.clone()), [Place::Next]);
    let deleted = failure(1, 5).set("/metadata/deletionTimestamp", "1970-01-01T00:00:06Z");
    assert_eq!(with(vec![deleted], pending), [Place::Next]);
    assert_eq!(with(vec![failure(1, 5)], migration("default", "m-1", "vm-1").created_at(11)), [Place::Next]);
}

/// Nobody stands behind one that waits for something else than a slot.
#[test]
fn one_that_is_held_is_passed_by() {
    let quota = json!([{"type": "migrationRejectedByResourceQuota", "status": "True", "message": "exceeded quota"}]);
    let limit = kubevirt("v1.9.0").set("/spec/configuration/migrations/parallelOutboundMigrationsPerNode", 1);
    let mut objects = guests("node1", 1..=2);
    objects.extend([
        limit,
        evacuation(1, "Pending").set("/status/conditions", quota),
        evacuation(2, "Pending").created_at(1),
    ]);
    assert_eq!(places(&objects, &["m-1", "m-2"], 100), [Place::Blocked { by: "exceeded quota".into() }, Place::Next]);
}
