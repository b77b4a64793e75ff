//! Workflow D: a node of KubeVirt's is emptied for maintenance, by the documented line of `kubectl drain` and by
//! `kubectl vmievict`, and comes back.

use e2e::kubevirt::machine;
use e2e::{Kubectl, Plugin};
use serde_json::Value;

use super::two_nodes;

/// The documented arguments, node first.
const DOCUMENTED: [&str; 4] =
    ["--delete-local-data", "--ignore-daemonsets=true", "--force", "--pod-selector=kubevirt.io=virt-launcher"];

const WHY: (&str, &str) = ("DisksNotLiveMigratable", "its disk is not shared");

fn uid(vmi: &Value) -> String {
    vmi["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_documented_line_moves_each_machine_by_its_own_strategy_and_no_other_pod() {
    let (ns, old, new) = two_nodes("wd-line").await;
    let vm = |name, strategy| machine::virtual_machine(&ns, name).eviction_strategy(strategy).on(&old);
    let live = vm("live", "LiveMigrate").running().await;
    let off = vm("off", "None").not_migratable(WHY.0, WHY.1).running().await;
    machine::replica_set(&ns, "set").eviction_strategy("None").not_migratable(WHY.0, WHY.1).on(&old).running().await;
    let pod = ns.pod("bystander").on_node(&old).ready().await;

    let run = Plugin::safedrain(&ns).args([&old]).args(DOCUMENTED).run().await.expect_code(0);

    let live_now = machine::until_phase(&ns, "live", "Running").await;
    assert_eq!((uid(&live), &live_now["status"]["nodeName"]), (uid(&live_now), &Value::from(new.clone())), "{run}");
    let off_now = machine::until_phase(&ns, "off", "Running").await;
    assert_ne!(uid(&off), uid(&off_now), "it was restarted\n{run}");
    assert_eq!(off_now["status"]["nodeName"], new, "{run}");
    machine::until(&ns, "VirtualMachineInstance", "a replacement of the set's", |all| {
        let runs = |vmi: &&Value| vmi["status"]["phase"] == "Running" && vmi["status"]["nodeName"] == new;
        all.iter().filter(runs).count() == 3
    })
    .await;
    let still = ns.pods("app=bystander").await;
    assert_eq!(
        still[0].metadata.uid,
        pod["metadata"]["uid"].as_str().map(str::to_owned),
        "only launchers were chosen\n{run}"
    );
    let left = |pod: &&k8s_openapi::api::core::v1::Pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&old);
    let launchers = ns.pods("kubevirt.io=virt-launcher").await;
    assert_eq!(launchers.iter().filter(left).count(), 0, "{run}");
    assert!(run.stdout.contains(&format!("node/{old} drained")), "{run}");

    Plugin::safedrain(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    let node = Kubectl::run(&ns, ["get", "node", &old, "-o", "json"]).await.json();
    assert!(node["spec"]["unschedulable"].is_null(), "the node is back");
}

#[tokio::test]
async fn the_documented_line_never_shuts_down_what_is_to_migrate_nor_what_nobody_starts_again() {
    let (ns, old, _) = two_nodes("wd-refused").await;
    machine::virtual_machine(&ns, "live")
        .eviction_strategy("LiveMigrate")
        .not_migratable(WHY.0, WHY.1)
        .on(&old)
        .running()
        .await;
    machine::instance(&ns, "alone").eviction_strategy("None").not_migratable(WHY.0, WHY.1).on(&old).running().await;
    let run = Plugin::safedrain(&ns).args([&old]).args(DOCUMENTED).run().await.expect_code(3);
    for words in ["--non-migratable=restart", &format!("--allow-loss={}/alone", ns.name())] {
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
    assert_eq!(ns.audit().await.changes().len(), 0, "{run}");
}

#[tokio::test]
async fn machines_go_first_then_every_other_pod() {
    let (ns, old, new) = two_nodes("wd-all").await;
    machine::virtual_machine(&ns, "live")
        .eviction_strategy("LiveMigrate")
        .migration_time("10s")
        .on(&old)
        .running()
        .await;
    ns.deployment("web").ready().await;
    let run = Plugin::vmievict(&ns).args([&old, "--with-pods", "--settle=0s"]).run().await.expect_code(0);
    assert_eq!(machine::until_phase(&ns, "live", "Running").await["status"]["nodeName"], new, "{run}");
    let lines: Vec<_> = run.stdout.lines().collect();
    let place = |words: &str| lines.iter().position(|line| line.contains(words));
    let moved = place("live migrated to node").unwrap_or_else(|| panic!("{run}"));
    if let Some(evicted) = place("evicting pod") {
        assert!(moved < evicted, "{run}");
    }
    assert!(run.stdout.contains(&format!("node/{old} drained")), "{run}");
}
