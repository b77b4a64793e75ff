//! Giving up an evacuation (OBSERVED (h), corrections 8).

use std::time::Duration;

use e2e::Namespace;
use e2e::kubevirt::machine;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::record::{MIGRATION, Record, VMI, condition};
use super::{evict_launcher, has_event, nothing_for, put, two_nodes, until_migration};

async fn delete_migration(ns: &Namespace, migration: &Value) {
    let name = migration["metadata"]["name"].as_str().unwrap();
    machine::api(ns, MIGRATION).delete(name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn cancelled_evacuation_goes_on_until_its_migration_is_deleted() {
    let (ns, a, _) = two_nodes("kt-h").await;
    let vm = machine::virtual_machine(&ns, "vm-h").eviction_strategy("LiveMigrate").on(&a);
    vm.annotation("stand-in/hang-migration", "copying").running().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm-h").await.1, 429);
    let migration = until_migration(&ns, "it is copied", |own| own["status"]["phase"] == "Running").await;

    let cancel = "virtualmachineinstances/vm-h/evacuate/cancel";
    assert_eq!(put(&ns, cancel, &json!({ "evacuationNodeName": a })).await, (200, String::new()));
    machine::until(&ns, VMI, "the mark is gone", |vmis| {
        vmis[0]["status"]["evacuationNodeName"].is_null() && condition(&vmis[0], "EvictionRequested").is_empty()
    })
    .await;
    nothing_for(Duration::from_millis(500)).await;
    let name = migration["metadata"]["name"].as_str().unwrap();
    record.catch_up().await;
    assert_eq!(record.last(MIGRATION, name)["status"]["phase"], "Running");

    delete_migration(&ns, &migration).await;
    machine::until(&ns, MIGRATION, "the migration is gone", <[Value]>::is_empty).await;
    nothing_for(Duration::from_secs(1)).await;
    record.catch_up().await;
    assert_eq!(record.names(MIGRATION).len(), 1);
    let vmi = machine::until_phase(&ns, "vm-h", "Running").await;
    assert_eq!(vmi["status"]["nodeName"], a);
    let state = &vmi["status"]["migrationState"];
    assert_eq!((&state["abortRequested"], &state["abortStatus"]), (&json!(true), &json!("Succeeded")));
    assert_eq!(state["failureReason"], "Live migration has been aborted");
    record.catch_up().await;
    assert_eq!(record.sequence(VMI, "vm-h", "/status/phase"), ["Running"]);
}

#[tokio::test]
async fn deleted_migration_of_a_marked_vmi_is_made_again_without_a_wait() {
    let (ns, a, _) = two_nodes("kt-h2").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a);
    let vmi = vm.annotation("stand-in/hang-migration", "copying").running().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    let first = until_migration(&ns, "it is copied", |own| own["status"]["phase"] == "Running").await;
    delete_migration(&ns, &first).await;
    let uid = first["metadata"]["uid"].clone();
    until_migration(&ns, "another one is copied", |own| {
        own["status"]["phase"] == "Running" && own["metadata"]["uid"] != uid
    })
    .await;
    record.catch_up().await;
    assert_eq!(record.names(MIGRATION).len(), 2);
    // OBSERVED, corrections 8: what was deleted is no failure, so nothing waits.
    assert!(!has_event(&ns, &vmi, "MigrationBackoff", "").await);
}

/// OBSERVED (h): before the hand-over the object is gone without having been seen as Failed.
#[tokio::test]
async fn migration_deleted_before_the_hand_over_is_gone_at_once() {
    let (ns, a, b) = two_nodes("kt-h3").await;
    machine::virtual_machine(&ns, "vm").on(&a).running().await;
    super::cordon(&ns, &b, true).await;
    let record = Record::of(&ns).await;
    let migration = ns
        .create(json!({
            "apiVersion": "kubevirt.io/v1", "kind": MIGRATION, "metadata": { "name": "own" },
            "spec": { "vmiName": "vm" },
        }))
        .await;
    until_migration(&ns, "its target waits", |own| own["status"]["phase"] == "Scheduling").await;
    delete_migration(&ns, &migration).await;
    machine::until(&ns, MIGRATION, "it is gone", <[Value]>::is_empty).await;
    record.catch_up().await;
    assert_eq!(record.sequence(MIGRATION, "own", "/status/phase"), ["", "Pending", "Scheduling", "gone"]);
    ns.until::<k8s_openapi::api::core::v1::Pod>("", "its target is gone", |pods| pods.len() == 1).await;
}

/// OBSERVED, confirmed 3.1: a mark that comes while the VMI moves anyway goes with that move.
#[tokio::test]
async fn users_migration_takes_the_mark_away() {
    let (ns, a, b) = two_nodes("kt-user").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a);
    vm.annotation("stand-in/hang-migration", "copying").running().await;
    let record = Record::of(&ns).await;
    let source = machine::launchers(&ns, "vm").await.remove(0).metadata.name.unwrap();
    ns.create(json!({
        "apiVersion": "kubevirt.io/v1", "kind": MIGRATION, "metadata": { "name": "own" }, "spec": { "vmiName": "vm" },
    }))
    .await;
    until_migration(&ns, "it is copied", |own| own["status"]["phase"] == "Running").await;
    assert_eq!(super::evict(&ns, &source).await.0, 429);
    machine::annotate(&ns, "vm", "stand-in/hang-migration", "").await;
    until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    nothing_for(Duration::from_secs(1)).await;
    record.catch_up().await;
    assert_eq!(record.names(MIGRATION), ["own"]);
    assert_eq!(record.sequence(VMI, "vm", "/status/nodeName"), [a.clone(), b]);
    assert_eq!(record.sequence(VMI, "vm", "/status/evacuationNodeName"), ["", a.as_str(), ""]);
}
