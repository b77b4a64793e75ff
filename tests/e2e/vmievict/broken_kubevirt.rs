//! A part of KubeVirt dies in the middle of a run: nothing is lost, and once it is back nothing goes on by itself.

use std::time::Duration;

use e2e::kubevirt::controller::ControllerSetup;
use e2e::kubevirt::{Setup, machine};
use e2e::{ControlPlane, KubeVirt, Namespace, Plugin};
use rustix::process::Signal;
use serde_json::Value;

use super::calling_off::is_called_off;
use super::two_nodes;

const MIGRATION: &str = "VirtualMachineInstanceMigration";

#[tokio::test]
async fn without_virt_handler_on_its_node_a_guest_stays_and_is_not_lost() {
    let (ns, old, new) = two_nodes("vb-handler").await;
    let before = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&old).running().await;
    machine::kill_virt_handler(&ns, &old, true).await;
    // Nobody there confirms that the evacuation is called off, which takes the run its whole patience of 90 s.
    let run = Plugin::vmievict(&ns).args([&old, "--vm-timeout=5s"]).deadline(Duration::from_secs(240));
    let run = run.run().await.expect_code(4);
    assert!(run.stderr.contains("not moved within --vm-timeout"), "{run}");
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"], "{run}");
    assert!(vmi["status"]["evacuationNodeName"].is_null(), "{run}");

    machine::kill_virt_handler(&ns, &old, false).await;
    let undo = Plugin::vmievict(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    is_called_off(&ns, &before, &undo).await;
    let again = Plugin::vmievict(&ns).args([&old]).run().await.expect_code(0);
    let vmi = machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(vmi["metadata"]["uid"], before["metadata"]["uid"], "{again}");
    assert_eq!(vmi["status"]["nodeName"], new, "{again}");
}

#[tokio::test]
async fn an_interrupt_waits_for_a_virt_api_that_is_away_for_a_while() {
    let setup = Setup { controllers: Some(ControllerSetup { time_divisor: 40 }), ..Setup::default() };
    let kubevirt = KubeVirt::install(&ControlPlane::start(), setup).await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "vb-api").await;
    let old = machine::node(&ns, "old").create().await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate");
    // Its target finds no node.
    let before = vm.on(&old).running().await;
    let running = Plugin::vmievict(&ns).args([&old]).spawn();
    machine::until(&ns, MIGRATION, "a migration waits", |all: &[Value]| {
        all.iter().any(|one| one["status"]["phase"] == "Scheduling")
    })
    .await;
    running.stderr_contains("waits for").await;
    kubevirt.stop_virt_api().await;
    running.signal(Signal::INT);
    running.stderr_contains("vm: no usable answer, asking again").await;
    kubevirt.start_virt_api().await;
    let run = running.wait().await.expect_code(130);
    is_called_off(&ns, &before, &run).await;
}
