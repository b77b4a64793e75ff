use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::{ObjectBuilder, hotplug, instance, launcher, migration, virtualization};

/// The role of the launcher pod with this suffix.
fn role(objects: &[ObjectBuilder], suffix: &str) -> Role {
    let cluster = virtualization(objects);
    let name = format!("virt-launcher-db-{suffix}");
    let launcher = cluster.launchers().find(|launcher| launcher.pod.id.name == name).unwrap();
    cluster.role(launcher)
}

/// The state that a migration from n1 to n2 leaves behind.
fn moved() -> serde_json::Value {
    json!({"migrationUid": "uid-m1", "sourceNode": "n1", "sourcePod": "virt-launcher-db-a", "targetNode": "n2",
           "targetPod": "virt-launcher-db-b", "completed": true, "endTimestamp": "1970-01-01T00:01:00Z"})
}

/// A row: its name, the objects, the pod's suffix, its role.
type Row<'a> = (&'a str, Vec<ObjectBuilder>, &'a str, Role);

fn check(rows: Vec<Row<'_>>) {
    for (name, objects, suffix, expected) in rows {
        assert_eq!(role(&objects, suffix), expected, "{name}");
    }
}

fn guest() -> ObjectBuilder {
    instance("shop", "db").on("n1")
}

fn source() -> ObjectBuilder {
    launcher("shop", "db", "a", "n1")
}

fn target() -> ObjectBuilder {
    launcher("shop", "db", "b", "n2").target_of("uid-m1").created_at(60)
}

fn attempt(phase: &str) -> ObjectBuilder {
    migration("shop", "m1", "db").phase(phase)
}

#[test]
fn the_guests_pod_is_told_from_others() {
    let booting = instance("shop", "db").phase("Scheduling");
    let two = vec![guest(), source(), launcher("shop", "db", "c", "n1").created_at(9)];
    let another = guest().set("/metadata/uid", "uid-2");
    let label_only = source().owned_by("apps/v1", "ReplicaSet", "db", "uid-db");
    let provisioning = source().annotation("kubevirt.io/ephemeral-provisioning", "true");
    check(vec![
        // Reference 1.2, VMI to current pod.
        ("the guest's pod", vec![guest(), source()], "a", Role::Active),
        // OBSERVED, corrections 5: nodeName is empty while Scheduling.
        ("a guest without node yet", vec![booting, source()], "a", Role::Active),
        // Reference 1.2: newest creation wins.
        ("the older of two on the guest's node", two.clone(), "a", Role::Unsettled),
        ("the newer of two on the guest's node", two, "c", Role::Active),
        ("a pod that ended", vec![guest(), source().phase("Failed")], "a", Role::Finished),
        ("a pod without instance", vec![source()], "a", Role::Orphan),
        // Reference 1.2, robust pod to VMI: verify the uid.
        ("a pod of an earlier instance of that name", vec![another, source()], "a", Role::Orphan),
        ("a pod that only wears the label", vec![guest(), label_only], "a", Role::Orphan),
        // Reference 1.2, ephemeral provisioning.
        ("a pod that provisions", vec![provisioning.clone()], "a", Role::Provisioning),
        ("a pod that has provisioned", vec![provisioning.phase("Succeeded")], "a", Role::Finished),
    ]);
}

#[test]
fn the_two_pods_of_a_migration_are_told_apart() {
    let under_way = vec![guest(), source(), target(), attempt("Running")];
    let announced = json!({"migrationUid": "uid-m1", "sourceNode": "n1", "targetNode": "n2",
                           "targetPod": "virt-launcher-db-b"});
    let announced = vec![guest().set("/status/migrationState", announced), source(), target()];
    let failed = vec![guest(), source(), target(), attempt("Failed")];
    let incoming = Role::IncomingTarget { migration: "uid-m1".into() };
    check(vec![
        ("the source", under_way.clone(), "a", Role::Active),
        // OBSERVED (a): target pod on node2.
        ("the target", under_way, "b", incoming.clone()),
        ("a target that only the instance tells of", announced, "b", incoming),
        // Reference 1.2: failed migrations keep their target pod.
        ("the target of a failed migration", failed, "b", Role::Unsettled),
    ]);
}

#[test]
fn a_source_is_stale_only_when_that_is_proven() {
    let arrived = instance("shop", "db").on("n2").set("/status/migrationState", moved());
    let all = |guest: &ObjectBuilder, phase: &str| vec![guest.clone(), source(), target(), attempt(phase)];
    let succeeded = all(&arrived, "Succeeded");
    let ended = vec![arrived.clone(), source().phase("Succeeded"), target(), attempt("Succeeded")];
    let collected = vec![arrived.clone(), source(), target()];
    let unanswered = arrived.phase("Unknown");
    let another_source = arrived.set("/status/migrationState/sourcePod", "virt-launcher-db-z");
    let failed = arrived.set("/status/migrationState/failed", true);
    let moved_on = arrived.on("n3");
    check(vec![
        ("the target holds the guest", succeeded.clone(), "b", Role::Active),
        // OBSERVED (a): the source pod stays as Succeeded.
        ("a source that ended", ended, "a", Role::Finished),
        // OBSERVED, #18320 (w).
        ("a source that was left running", succeeded, "a", Role::StaleSource),
        ("the same, its migration collected", collected, "a", Role::StaleSource),
        // Reference 3.4: Succeeded may lag behind.
        ("a migration that is not over", all(&arrived, "Running"), "a", Role::Unsettled),
        ("a guest that does not run", all(&unanswered, "Succeeded"), "a", Role::Unsettled),
        ("a state that names another source", all(&another_source, "Succeeded"), "a", Role::Unsettled),
        ("a state that failed", all(&failed, "Succeeded"), "a", Role::Unsettled),
        ("a guest that has moved on", all(&moved_on, "Succeeded"), "a", Role::Unsettled),
    ]);
}

/// Reference 1.2: a target pod may carry the source's node in its copied label; only `spec.nodeName` counts.
#[test]
fn a_pods_node_is_where_it_is_bound() {
    let cluster = virtualization(&[launcher("shop", "db", "b", "n2").label("kubevirt.io/nodeName", "n1")]);
    assert_eq!(cluster.launchers_on(&"n2".into()).count(), 1);
    assert_eq!(cluster.launchers_on(&"n1".into()).count(), 0);
}

/// Reference 1.2: hotplug pods belong to their launcher, not to the instance.
#[test]
fn a_disk_is_attached_to_a_launcher() {
    let disk = hotplug("shop", "hp-volume-abc", "virt-launcher-db-a", "uid-db-a", "n1");
    let cluster = virtualization(&[instance("shop", "db").on("n1"), launcher("shop", "db", "a", "n1"), disk]);
    assert_eq!(cluster.launchers().count(), 1);
    let node = NodeName::from("n1");
    let found = cluster.hotplugs_on(&node).next().unwrap();
    let (launcher, instance) = cluster.served_by(found);
    assert_eq!(launcher.map(|launcher| launcher.pod.id.name.as_str()), Some("virt-launcher-db-a"));
    assert_eq!(instance.map(|instance| instance.metadata.key.name.as_str()), Some("db"));
}
