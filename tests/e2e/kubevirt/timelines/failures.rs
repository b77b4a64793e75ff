//! Migrations that fail (OBSERVED (g), corrections 8 and 10).

use std::collections::HashSet;
use std::time::Duration;

use e2e::KubeVirt;
use e2e::kubevirt::machine;
use e2e::kubevirt::machine::launchers;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::Value;

use super::record::{MIGRATION, POD, Record, VMI, condition};
use super::{DIVISOR, events, evict_launcher, has_event, nothing_for, two_nodes, until_migration};

/// How many seconds, on KubeVirt's own clock, after each migration had failed the next one entered a phase.
async fn after_each(record: &Record, names: &[String], phase: &str) -> Vec<f64> {
    let kubevirt = KubeVirt::shared().await;
    let uids: Vec<_> = names.iter().map(|name| record.uids(MIGRATION, name).remove(0)).collect();
    let entered = |uid: &Value, phase: &str| kubevirt.entered(uid.as_str().unwrap(), phase);
    let wait = |pair: &[Value]| entered(&pair[1], phase).checked_duration_since(entered(&pair[0], "Failed"));
    uids.windows(2).map(|pair| wait(pair).expect("one after another").as_secs_f64() * DIVISOR).collect()
}

fn is_about(waits: &[f64], expected: &[f64]) -> bool {
    // Never too early; and as late as a busy machine is.
    let late = 0.0..2.0 * DIVISOR;
    waits.len() == expected.len() && waits.iter().zip(expected).all(|(wait, due)| late.contains(&(wait - due)))
}

#[tokio::test]
async fn migration_that_failed_is_repeated_after_a_wait() {
    let (ns, a, b) = two_nodes("kt-g").await;
    let vm = machine::virtual_machine(&ns, "vm-g").eviction_strategy("LiveMigrate").on(&a);
    let vmi = vm.fail_migrations("3").annotation("stand-in/failure-reason", "no luck").running().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm-g").await.1, 429);
    until_migration(&ns, "it moves at last", |own| own["status"]["phase"] == "Succeeded").await;

    record.catch_up().await;
    let names = record.names(MIGRATION);
    assert_eq!(names.len(), 4);
    let waits = after_each(&record, &names, "Scheduling").await;
    assert!(is_about(&waits, &[20.0, 40.0, 80.0]), "{waits:?}");
    // OBSERVED, corrections 8: the next is there at once.
    let made = after_each(&record, &names, "").await;
    assert!(made.iter().all(|made| *made < 2.0 * DIVISOR), "{made:?}");
    assert_eq!(record.sequence(VMI, "vm-g", "/status/evacuationNodeName"), ["", &a, ""]);
    assert_eq!(record.sequence(VMI, "vm-g", "/status/nodeName"), [a.clone(), b.clone()]);
    assert!(has_event(&ns, &vmi, "MigrationBackoff", &format!("backoff migrating vmi {}/vm-g", ns.name())).await);
    let failed = record.last(MIGRATION, &names[0]);
    assert_eq!(failed["status"]["migrationState"]["failureReason"], "no luck");
    assert_eq!(failed["status"]["migrationState"]["failed"], true);
    assert_eq!(events(&ns, &failed).await, ["SuccessfulCreate x1", "SuccessfulHandOver x1", "FailedMigration x1"]);
    assert!(has_event(&ns, &failed, "FailedMigration", "source node reported migration failed").await);
}

#[tokio::test]
async fn endless_failure_waits_no_longer_than_320_s_and_keeps_few_objects() {
    let (ns, a, _) = two_nodes("kt-endless").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a);
    vm.fail_migrations("always").migration_time("50ms").running().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    // The eighth is made when the seventh has failed.
    let mut uids = HashSet::new();
    machine::until(&ns, MIGRATION, "the seventh fails", |all| {
        uids.extend(all.iter().map(|own| own["metadata"]["uid"].to_string()));
        uids.len() == 8
    })
    .await;

    record.catch_up().await;
    let names = record.names(MIGRATION);
    let waits = after_each(&record, &names[..7], "Scheduling").await;
    assert!(is_about(&waits, &[20.0, 40.0, 80.0, 160.0, 320.0, 320.0]), "{waits:?}");
    machine::until(&ns, MIGRATION, "old ones are collected", |all| all.len() <= 6).await;
    assert!(launchers(&ns, "vm").await.len() <= 7);
}

#[tokio::test]
async fn vanished_target_fails_the_migration() {
    let (ns, a, _) = two_nodes("kt-down").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a);
    vm.annotation("stand-in/hang-migration", "copying").running().await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    let migration = until_migration(&ns, "it is copied", |own| own["status"]["phase"] == "Running").await;
    let uid = &migration["metadata"]["uid"];
    let is_target = |pod: &Pod| pod.labels().get("kubevirt.io/migrationJobUID").is_some_and(|job| uid == job);
    let target = launchers(&ns, "vm").await.into_iter().find(is_target).unwrap().name_any();
    ns.api::<Pod>().delete(&target, &DeleteParams::default().grace_period(0)).await.unwrap();
    let failed =
        until_migration(&ns, "it fails", |own| own["metadata"]["uid"] == *uid && own["status"]["phase"] == "Failed")
            .await;
    assert_eq!(failed["status"]["migrationState"]["failureReason"], "Target pod is down");
}

#[tokio::test]
async fn dead_virt_handler_at_the_source_leaves_the_migration_hanging() {
    let (ns, a, b) = two_nodes("kt-dead").await;
    machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a).running().await;
    let record = Record::of(&ns).await;
    machine::kill_virt_handler(&ns, &a, true).await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    until_migration(&ns, "it waits", |own| own["status"]["phase"] == "TargetReady").await;
    nothing_for(Duration::from_secs(2)).await;
    record.catch_up().await;
    let name = record.names(MIGRATION).remove(0);
    assert_eq!(record.last(MIGRATION, &name)["status"]["phase"], "TargetReady");
    machine::kill_virt_handler(&ns, &a, false).await;
    until_migration(&ns, "it moves after all", |own| own["status"]["phase"] == "Succeeded").await;
    record.catch_up().await;
    assert_eq!(record.last(VMI, "vm")["status"]["nodeName"], b);
}

/// #18320: the source launcher runs on after its guest has left.
#[tokio::test]
async fn stale_source_blocks_until_it_is_deleted() {
    let (ns, a, b) = two_nodes("kt-stale").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a);
    vm.annotation("stand-in/leave-source-running", "").running().await;
    let record = Record::of(&ns).await;
    let (source, code, _) = evict_launcher(&ns, "vm").await;
    assert_eq!(code, 429);
    until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    nothing_for(Duration::from_millis(500)).await;
    record.catch_up().await;
    assert_eq!(record.sequence(POD, &source, "/status/phase"), ["Running"]);
    let (code, message) = super::evict(&ns, &source).await;
    assert!(code == 429 && message.ends_with("Eviction request for target Pod"), "{message}");
    let stale = ns.api::<Pod>().get(&source).await.unwrap();
    ns.api::<Pod>().delete(&source, &DeleteParams::default()).await.unwrap();
    ns.pod_gone(&stale).await;
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["status"]["nodeName"], b);
    assert_eq!(condition(&vmi, "Ready"), "True");
}
