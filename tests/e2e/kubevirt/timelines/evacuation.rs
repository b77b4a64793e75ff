//! A marked VMI moves away (OBSERVED (a)).

use e2e::kubevirt::machine;
use e2e::{KubeVirt, Namespace};

use super::evict_launcher;

#[tokio::test]
async fn marked_vmi_migrates_to_another_node() {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "kt-a").await;
    let a = machine::node(&ns, "a").create().await;
    let b = machine::node(&ns, "b").create().await;
    let vmi = machine::virtual_machine(&ns, "vm-a").eviction_strategy("LiveMigrate").on(&a).running().await;
    assert_eq!(vmi["status"]["nodeName"], a);

    let (_, code, message) = evict_launcher(&ns, "vm-a").await;
    assert_eq!(code, 429, "{message}");
    let is_done = |own: &serde_json::Value| own["status"]["phase"] == "Succeeded";
    machine::until(&ns, "VirtualMachineInstanceMigration", "it moves", |all| all.iter().any(is_done)).await;
    let vmi = machine::until_phase(&ns, "vm-a", "Running").await;
    assert_eq!(vmi["status"]["nodeName"], b, "{vmi:#} {:?}", kubevirt.complaints());
}
