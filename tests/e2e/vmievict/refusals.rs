//! What keeps a run from beginning: told at once, with what helps, and nothing is changed.

use e2e::kubevirt::{Setup, machine};
use e2e::{ControlPlane, KubeVirt, Kubectl, Namespace, Plugin, Run};
use serde_json::json;

use super::two_nodes;

/// The run was refused in these words, and sent nothing that could change anything, not even as a rehearsal.
async fn is_refused(ns: &Namespace, run: Run, words: &[&str]) -> Run {
    let run = run.expect_code(3);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?}\n{run}");
    }
    let audit = ns.audit().await;
    let changes: Vec<_> = audit.changes().into_iter().filter(|event| !event.is_access_review()).collect();
    assert!(changes.is_empty(), "{changes:?}\n{run}");
    assert!(audit.rehearsals().is_empty(), "{:?}\n{run}", audit.rehearsals());
    run
}

#[tokio::test]
async fn without_kubevirt_there_is_nothing_to_evacuate() {
    let control_plane = ControlPlane::start();
    let ns = Namespace::fresh(&control_plane, "vr-none").await;
    let node = ns.node("old").create().await;
    let run = Plugin::vmievict(&ns).args([&node]).run().await;
    is_refused(&ns, run, &["no KubeVirt", "kubectl api-resources --api-group=kubevirt.io"]).await;
    safedrain_asks_nothing_of_kubevirt(&control_plane).await;
}

async fn safedrain_asks_nothing_of_kubevirt(control_plane: &ControlPlane) {
    let ns = Namespace::fresh(control_plane, "vr-safedrain").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").replicas(2).ready().await;
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(0);
    let audit = ns.audit().await;
    let asked: Vec<_> = audit.events.iter().filter(|event| event.request_uri.contains("kubevirt")).collect();
    assert!(asked.is_empty(), "{asked:?}\n{run}");
    assert!(!run.stderr.contains("irtual machine"), "{run}");
}

#[tokio::test]
async fn a_kubevirt_that_is_too_old_gets_a_plan_and_no_request() {
    let kubevirt = KubeVirt::install(&ControlPlane::start(), Setup::default()).await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "vr-version").await;
    let old = machine::node(&ns, "old").create().await;
    machine::node(&ns, "new").create().await;
    machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&old).running().await;
    for version in ["v1.5.3", "v1.3.1"] {
        kubevirt.set_version(version).await;
        let run = Plugin::vmievict(&ns).args([&old]).run().await;
        let run = is_refused(&ns, run, &[&format!("KubeVirt {version} is too old"), "--dry-run=client"]).await;
        assert!(run.stderr.contains("migrate "), "the plan\n{run}");
        let plan = Plugin::vmievict(&ns).args([&old, "--dry-run=client"]).run().await;
        assert!(plan.stdout.contains("migrate"), "the plan\n{plan}");
        // Before 1.4 it would really evacuate.
        let rehearsal = Plugin::vmievict(&ns).args([&old, "--dry-run=server"]).run().await;
        is_refused(&ns, rehearsal, &["too old"]).await;
    }
    kubevirt.set_version("v1.6.0").await;
    kubevirt.stop_virt_api().await;
    let run = Plugin::vmievict(&ns).args([&old]).run().await;
    is_refused(&ns, run, &["virt-api does not answer", "-l kubevirt.io=virt-api"]).await;
}

#[tokio::test]
async fn a_node_that_somebody_else_empties_is_left_to_them() {
    for (purpose, taint, words) in [
        ("vr-own", "kubevirt.io/drain", ["by which KubeVirt empties it itself", "kubectl taint nodes"]),
        ("vr-medik8s", "medik8s.io/drain", ["held by node-maintenance-operator", "delete the NodeMaintenance"]),
    ] {
        let (ns, old, _) = two_nodes(purpose).await;
        let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
        // It would be gone before the run begins.
        vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
        let taint = format!("{taint}=draining:NoSchedule");
        Kubectl::run(&ns, ["taint", "node", &old, &taint]).await.expect_code(0);
        let run = Plugin::vmievict(&ns).user(&ns.control_plane().operator(ns.name())).args([&old]).run().await;
        let run = run.expect_code(3);
        for word in words {
            assert!(run.stderr.contains(word), "{word:?}\n{run}");
        }
        let node = Kubectl::run(&ns, ["get", "node", &old, "-o", "json"]).await.json();
        assert!(node["spec"]["unschedulable"].is_null() && node["metadata"]["annotations"]["handover/run"].is_null());
    }
}

#[tokio::test]
async fn an_undo_takes_kubevirts_own_taint_off_and_calls_its_evacuation_off() {
    let (ns, old, _) = two_nodes("vr-untaint").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    let before = vm.annotation("stand-in/hang-migration", "copying").on(&old).running().await;
    Kubectl::run(&ns, ["taint", "node", &old, "kubevirt.io/drain=draining:NoSchedule"]).await.expect_code(0);
    machine::until(&ns, "VirtualMachineInstanceMigration", "it copies", |all| {
        all.iter().any(|one| one["status"]["phase"] == "Running")
    })
    .await;
    let run = Plugin::vmievict(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    super::calling_off::is_called_off(&ns, &before, &run).await;
    let node = Kubectl::run(&ns, ["get", "node", &old, "-o", "json"]).await.json();
    assert!(!node["spec"]["taints"].to_string().contains("kubevirt.io/drain"), "{}\n{run}", node["spec"]["taints"]);
}

#[tokio::test]
async fn a_budget_that_never_lets_a_guest_go_is_a_refusal_and_its_flag_passes_it() {
    let (ns, old, new) = two_nodes("vr-budget").await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("None").label("app", "vm");
    let before = vm.not_migratable("DisksNotLiveMigratable", "its disk is not shared").on(&old).running().await;
    ns.create(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "one" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "vm" } } },
    }))
    .await;
    ns.until("", "the budget is computed", |all: &[k8s_openapi::api::policy::v1::PodDisruptionBudget]| {
        all.iter().any(|budget| budget.status.as_ref().is_some_and(|status| status.expected_pods == 1))
    })
    .await;
    let restart = [old.as_str(), "--non-migratable=restart"];
    let run = Plugin::vmievict(&ns).args(restart).run().await;
    is_refused(&ns, run, &["PodDisruptionBudget one needs 1 healthy pods of 1", "--disable-eviction"]).await;
    let run = Plugin::vmievict(&ns).args(restart).args(["--disable-eviction"]).run().await.expect_code(0);
    let now = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(now["status"]["nodeName"], new, "{run}");
    assert_ne!(now["metadata"]["uid"], before["metadata"]["uid"], "{run}");
}
