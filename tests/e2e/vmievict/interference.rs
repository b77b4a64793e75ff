//! Somebody else starts, stops, deletes or migrates virtual machines while they are being evacuated: the run follows
//! what is, shuts nothing down by itself, and leaves no evacuation behind.

use std::time::Duration;

use e2e::kubevirt::machine;
use e2e::{Kubectl, Namespace, Plugin, Run, Running};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::calling_off::is_called_off;
use super::two_nodes;
use crate::kubevirt::timelines::put;

const VMI: &str = "VirtualMachineInstance";
const MIGRATION: &str = "VirtualMachineInstanceMigration";

/// A machine whose memory is being copied off the node by a run, for as long as a test needs.
struct Copying {
    ns: Namespace,
    old: String,
    new: String,
    before: Value,
    running: Running,
}

impl Copying {
    async fn begun(purpose: &str) -> Self {
        let (ns, old, new) = two_nodes(purpose).await;
        let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
        let before = vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
        let running = Plugin::vmievict(&ns).args([&old]).spawn();
        until_copied(&ns).await;
        // The plan names it too: what counts is that the run has seen the copy.
        running.stderr_contains(" copies it to node ").await;
        Self { ns, old, new, before, running }
    }

    /// Waits for the run and checks that it asked for one eviction and nothing else that could end a guest.
    async fn end(self, code: i32) -> (Namespace, Run) {
        let run = self.running.wait().await.expect_code(code);
        let audit = self.ns.audit().await;
        assert_eq!(audit.evictions().len(), 1, "{:?}\n{run}", audit.changes());
        let deleted: Vec<_> = audit.changes().into_iter().filter(|event| event.verb == "delete").collect();
        assert!(deleted.iter().all(|event| event.resource == "leases"), "{deleted:?}\n{run}");
        (self.ns, run)
    }
}

async fn until_copied(ns: &Namespace) -> Value {
    let copies = |one: &Value| one["status"]["phase"] == "Running";
    let found = machine::until(ns, MIGRATION, "a migration copies", |all| all.iter().any(copies)).await;
    found.into_iter().find(copies).unwrap_or_default()
}

async fn patch_machine(ns: &Namespace, name: &str, run_strategy: &str) {
    let patch = Patch::Merge(json!({ "spec": { "runStrategy": run_strategy } }));
    // As the administrator: what the run's own user sends is counted.
    machine::api(ns, "VirtualMachine").patch(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn holds_nothing(ns: &Namespace, old: &str, run: &Run) {
    let words = format!("node {old}: no virtual machine is left");
    assert!(run.stderr.contains(&words), "{run}");
    machine::until(ns, VMI, "none is on the old node", |all| {
        all.iter().all(|vmi| vmi["status"]["nodeName"] != *old || vmi["status"]["phase"] == "Succeeded")
    })
    .await;
}

#[tokio::test]
async fn somebody_stops_a_machine_that_is_being_moved() {
    let copying = Copying::begun("vi-stop").await;
    let old = copying.old.clone();
    patch_machine(&copying.ns, "vm", "Halted").await;
    let (ns, run) = copying.end(0).await;
    assert!(run.stderr.contains("ended by itself or by somebody else"), "{run}");
    holds_nothing(&ns, &old, &run).await;
}

#[tokio::test]
async fn somebody_deletes_an_instance_that_is_being_moved() {
    let copying = Copying::begun("vi-delete").await;
    let (old, new, uid) = (copying.old.clone(), copying.new.clone(), copying.before["metadata"]["uid"].clone());
    machine::api(&copying.ns, VMI).delete("vm", &DeleteParams::default()).await.unwrap();
    let (ns, run) = copying.end(0).await;
    holds_nothing(&ns, &old, &run).await;
    machine::until(&ns, VMI, "its machine brings it back elsewhere", |all| {
        all.iter().any(|vmi| {
            vmi["metadata"]["uid"] != uid && vmi["status"]["phase"] == "Running" && vmi["status"]["nodeName"] == new
        })
    })
    .await;
}

#[tokio::test]
async fn somebody_deletes_the_migration_and_kubevirt_makes_another() {
    let copying = Copying::begun("vi-migration").await;
    let (old, new, uid) = (copying.old.clone(), copying.new.clone(), copying.before["metadata"]["uid"].clone());
    let migration = until_copied(&copying.ns).await;
    machine::annotate(&copying.ns, "vm", "stand-in/hang-migration", "").await;
    let name = migration["metadata"]["name"].as_str().unwrap().to_owned();
    machine::api(&copying.ns, MIGRATION).delete(&name, &DeleteParams::default()).await.unwrap();
    let (ns, run) = copying.end(0).await;
    holds_nothing(&ns, &old, &run).await;
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!((&vmi["metadata"]["uid"], &vmi["status"]["nodeName"]), (&uid, &json!(new)), "{run}");
}

#[tokio::test]
async fn somebody_cancels_the_evacuation() {
    let Copying { ns, old, before, running, .. } = Copying::begun("vi-cancel").await;
    let migration = until_copied(&ns).await;
    let mark = json!({ "evacuationNodeName": old });
    assert_eq!(put(&ns, "virtualmachineinstances/vm/evacuate/cancel", &mark).await.0, 200);
    let name = migration["metadata"]["name"].as_str().unwrap().to_owned();
    machine::api(&ns, MIGRATION).delete(&name, &DeleteParams::default()).await.unwrap();
    let run = running.wait().await.expect_code(4);
    assert!(run.stderr.contains("somebody cancelled its evacuation"), "{run}");
    is_called_off(&ns, &before, &run).await;
    assert_eq!(ns.audit().await.evictions().len(), 1, "it is not asked for again\n{run}");
}

#[tokio::test]
async fn what_somebody_else_migrates_already_is_followed() {
    let (ns, old, new) = two_nodes("vi-follow").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    let before = vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
    migrate(&ns, "by-hand").await;
    until_copied(&ns).await;
    let running = Plugin::vmievict(&ns).args([&old]).spawn();
    running.stderr_contains("by-hand").await;
    // A copy that hangs is not taken up again: the migration is aborted, and the run asks for one of its own.
    machine::annotate(&ns, "vm", "stand-in/hang-migration", "").await;
    machine::api(&ns, MIGRATION).delete("by-hand", &DeleteParams::default()).await.unwrap();
    let run = running.wait().await.expect_code(0);
    holds_nothing(&ns, &old, &run).await;
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"], "{run}");
    assert_eq!(vmi["status"]["nodeName"], new, "{run}");
    assert_eq!(ns.audit().await.evictions().len(), 1, "it is asked once\n{run}");
}

#[tokio::test]
async fn a_guest_that_is_on_its_way_to_the_node_is_waited_for_and_sent_on() {
    let (ns, old, new) = two_nodes("vi-incoming").await;
    Kubectl::run(&ns, ["cordon", &old]).await.expect_code(0);
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").migration_time("20s");
    let before = vm.running().await;
    assert_eq!(before["status"]["nodeName"], new);
    Kubectl::run(&ns, ["uncordon", &old]).await.expect_code(0);
    Kubectl::run(&ns, ["cordon", &new]).await.expect_code(0);
    migrate(&ns, "inwards").await;
    until_copied(&ns).await;
    Kubectl::run(&ns, ["uncordon", &new]).await.expect_code(0);
    let run = Plugin::vmievict(&ns).args([&old]).run().await.expect_code(0);
    holds_nothing(&ns, &old, &run).await;
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"], "{run}");
    assert_eq!(vmi["status"]["nodeName"], new, "{run}");
}

#[tokio::test]
async fn somebody_starts_a_machine_that_would_like_the_node() {
    let copying = Copying::begun("vi-start").await;
    let old = copying.old.clone();
    let late = machine::virtual_machine(&copying.ns, "late").eviction_strategy("LiveMigrate").run_strategy("Halted");
    late.on(&old).create().await;
    patch_machine(&copying.ns, "late", "Always").await;
    let vmi = machine::until_phase(&copying.ns, "late", "Running").await;
    assert_eq!(vmi["status"]["nodeName"], copying.new, "the cordon holds");
    patch_machine(&copying.ns, "vm", "Halted").await;
    let (ns, run) = copying.end(0).await;
    holds_nothing(&ns, &old, &run).await;
}

#[tokio::test]
async fn without_a_node_to_go_to_the_deadline_calls_it_off() {
    let (ns, old, new) = two_nodes("vi-target").await;
    let before = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&old).running().await;
    Kubectl::run(&ns, ["cordon", &new]).await.expect_code(0);
    let run = Plugin::vmievict(&ns).args([&old, "--vm-timeout=5s"]).run().await.expect_code(4);
    assert!(run.stderr.contains("not moved within --vm-timeout"), "{run}");
    is_called_off(&ns, &before, &run).await;
}

#[tokio::test]
async fn a_pod_that_a_migration_left_running_holds_the_node() {
    with_a_source_left_running("vi-stale", &[], 4).await;
}

#[tokio::test]
async fn a_pod_that_a_migration_left_running_is_deleted_by_consent() {
    with_a_source_left_running("vi-stale-gone", &["--delete-stale-launchers"], 0).await;
}

async fn with_a_source_left_running(purpose: &str, arguments: &[&str], code: i32) {
    let (ns, old, new) = two_nodes(purpose).await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    let before = vm.annotation("stand-in/leave-source-running", "yes").on(&old).running().await;
    // A pod counts as left running after a minute.
    let run = Plugin::vmievict(&ns).args([&old]).args(arguments).deadline(Duration::from_secs(180)).run().await;
    let run = run.expect_code(code);
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"], "{run}");
    assert_eq!(vmi["status"]["nodeName"], new, "{run}");
    let left = machine::launchers(&ns, "vm").await;
    let on_old = left.iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&old)).count();
    assert_eq!(on_old, usize::from(code != 0), "{run}");
    assert_eq!(run.stderr.contains("--delete-stale-launchers"), code != 0, "{run}");
}

/// Makes a migration, as a person does.
async fn migrate(ns: &Namespace, name: &str) {
    ns.create(json!({
        "apiVersion": "kubevirt.io/v1", "kind": MIGRATION,
        "metadata": { "name": name },
        "spec": { "vmiName": "vm" },
    }))
    .await;
}
