//! No evacuation goes on after its run: not after failures, a deadline, an interrupt, nor for ever after a kill.

use e2e::kubevirt::machine;
use e2e::{Kubectl, Namespace, Plugin, Run};
use rustix::process::Signal;
use serde_json::Value;

use super::two_nodes;

/// The guest runs on where it was, the same as before, unmarked, and nothing is on its way to move it.
pub(super) async fn is_called_off(ns: &Namespace, before: &Value, run: &Run) {
    let own =
        |all: &[Value]| all.iter().all(|one| matches!(one["status"]["phase"].as_str(), Some("Failed" | "Succeeded")));
    machine::until(ns, "VirtualMachineInstanceMigration", "no migration is under way", own).await;
    let now = machine::until_phase(ns, "vm", "Running").await;
    assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "the same guest\n{run}");
    assert_eq!(now["status"]["nodeName"], before["status"]["nodeName"], "where it was\n{run}");
    assert!(now["status"]["evacuationNodeName"].is_null(), "unmarked\n{run}");
}

#[tokio::test]
async fn after_so_many_failures_the_evacuation_is_called_off() {
    let (ns, old, _) = two_nodes("vo-fail").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").fail_migrations("always");
    let before = vm.on(&old).running().await;
    let run = Plugin::vmievict(&ns).args([&old, "--max-failures=2"]).run().await.expect_code(4);
    assert!(run.stderr.contains("2 migrations of it failed"), "{run}");
    is_called_off(&ns, &before, &run).await;
    assert_eq!(ns.audit().await.evictions().len(), 1, "one eviction, however often it failed\n{run}");
}

#[tokio::test]
async fn a_failure_that_is_not_repeated_is_got_over() {
    let (ns, old, new) = two_nodes("vo-once").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").fail_migrations("1");
    vm.on(&old).running().await;
    let run = Plugin::vmievict(&ns).args([&old]).run().await.expect_code(0);
    assert_eq!(machine::until_phase(&ns, "vm", "Running").await["status"]["nodeName"], new, "{run}");
    assert!(run.stderr.contains("failed, the first in this run"), "{run}");
}

#[tokio::test]
async fn a_copy_that_never_ends_is_aborted_at_the_deadline() {
    let (ns, old, _) = two_nodes("vo-hang").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    let before = vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
    let run = Plugin::vmievict(&ns).args([&old, "--vm-timeout=3s"]).run().await.expect_code(4);
    assert!(run.stderr.contains("not moved within --vm-timeout"), "{run}");
    is_called_off(&ns, &before, &run).await;
}

#[tokio::test]
async fn an_interrupt_calls_off_what_is_not_copying_yet() {
    let (ns, old, new) = two_nodes("vo-int").await;
    let before = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&old).running().await;
    // Its target finds no node.
    Kubectl::run(&ns, ["cordon", &new]).await.expect_code(0);
    let running = Plugin::vmievict(&ns).args([&old]).spawn();
    machine::until(&ns, "VirtualMachineInstanceMigration", "a migration waits", |all| {
        all.iter().any(|one| one["status"]["phase"] == "Scheduling")
    })
    .await;
    running.signal(Signal::INT);
    let run = running.wait().await.expect_code(130);
    assert!(run.stderr.contains(&format!("vmievict {old} --undo")), "{run}");
    is_called_off(&ns, &before, &run).await;
    let node = Kubectl::run(&ns, ["get", "node", &old, "-o", "json"]).await.json();
    assert_eq!(node["spec"]["unschedulable"], true, "the cordon stays\n{run}");
}

#[tokio::test]
async fn an_interrupt_lets_go_on_what_is_copying() {
    let (ns, old, _) = two_nodes("vo-int-copy").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
    let running = Plugin::vmievict(&ns).args([&old]).spawn();
    running.stderr_contains(" copies it to node ").await;
    running.signal(Signal::INT);
    let run = running.wait().await.expect_code(130);
    let migrations = machine::until(&ns, "VirtualMachineInstanceMigration", "there is one", |all| all.len() == 1).await;
    let name = migrations[0]["metadata"]["name"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("migration {name} is copying and goes on")), "{run}");
    assert_eq!(migrations[0]["status"]["phase"], "Running", "{run}");
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert!(vmi["status"]["evacuationNodeName"].is_null(), "no other follows\n{run}");
    assert!(
        ns.audit().await.changes().iter().all(|event| !event.resource.starts_with("virtualmachineinstancemigration"))
    );
}

#[tokio::test]
async fn an_undo_after_a_kill_ends_what_goes_on_by_itself_and_gives_the_node_back() {
    let (ns, old, _) = two_nodes("vo-kill").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    let before = vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
    let running = Plugin::vmievict(&ns).args([&old]).spawn();
    machine::until(&ns, "VirtualMachineInstanceMigration", "a migration copies", |all| {
        all.iter().any(|one| one["status"]["phase"] == "Running")
    })
    .await;
    running.kill().await;
    let status = Plugin::vmievict(&ns).args([&old, "--status"]).run().await.expect_code(0);
    assert!(status.stdout.contains(&format!("/vm is being evacuated from node {old}")), "{status}");
    let rehearsal = Plugin::vmievict(&ns).args([&old, "--undo", "--dry-run=client"]).run().await.expect_code(0);
    assert!(rehearsal.stdout.contains(&format!("its evacuation of node {old} would be called off")), "{rehearsal}");
    let run = Plugin::vmievict(&ns).args([&old, "--undo", "-o", "json"]).run().await.expect_code(0);
    assert_eq!(run.json()["vms"][0]["result"]["end"], "calledOff", "{run}");
    is_called_off(&ns, &before, &run).await;
    let node = Kubectl::run(&ns, ["get", "node", &old, "-o", "json"]).await.json();
    assert!(node["spec"]["unschedulable"].is_null(), "{run}");
    assert!(node["metadata"]["annotations"]["handover/run"].is_null(), "{run}");
}

#[tokio::test]
async fn an_undo_ends_the_endless_evacuation_of_another_tool() {
    let (ns, old, _) = two_nodes("vo-other").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").fail_migrations("always");
    let before = vm.on(&old).running().await;
    let drain = ["drain", &old, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=2s"];
    Kubectl::run(&ns, drain).await.expect_code(1);
    let run = Plugin::vmievict(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    is_called_off(&ns, &before, &run).await;
}

#[tokio::test]
async fn a_stopped_machine_gets_its_run_strategy_back() {
    let (ns, old, _) = two_nodes("vo-stop").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    vm.not_migratable("DisksNotLiveMigratable", "its disk is not shared").on(&old).running().await;
    let consent = format!("--allow-loss={}/vm", ns.name());
    let run = Plugin::vmievict(&ns).args([&old, "--non-migratable=stop", &consent]).run().await.expect_code(0);
    let strategy = |all: &[Value]| all[0]["spec"]["runStrategy"].as_str().map(str::to_owned);
    let stopped = machine::until(&ns, "VirtualMachine", "the machine", |all| !all.is_empty()).await;
    assert_eq!(strategy(&stopped).as_deref(), Some("Halted"), "{run}");
    assert!(run.stdout.contains("/vm stopped"), "{run}");
    let status = Plugin::vmievict(&ns).args([&old, "--status"]).run().await.expect_code(0);
    assert!(status.stdout.contains("/vm was stopped by a run; --undo gives its run strategy back"), "{status}");
    let undo = Plugin::vmievict(&ns).args([&old, "--undo", "-o", "json"]).run().await.expect_code(0);
    assert_eq!(undo.json()["machines"][0]["name"], "vm", "{undo}");
    let back = machine::until(&ns, "VirtualMachine", "the machine", |all| !all.is_empty()).await;
    assert_eq!(strategy(&back).as_deref(), Some("Always"), "{undo}");
    machine::until_phase(&ns, "vm", "Running").await;
}
