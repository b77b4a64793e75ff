//! What the plan says of where the virtual machines could go.

use e2e::kubevirt::machine;
use e2e::{KubeVirt, Kubectl, Namespace, Plugin};

#[tokio::test]
async fn what_finds_no_room_is_told_in_the_plan() {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "vf-room").await;
    let old = machine::node(&ns, "old").create().await;
    for (name, memory) in [("large", "20Gi"), ("medium-a", "5Gi"), ("medium-b", "5Gi")] {
        let vm = machine::virtual_machine(&ns, name).eviction_strategy("LiveMigrate");
        vm.size(1, memory).on(&old).running().await;
    }
    let new = machine::node(&ns, "new").capacity("8", "10Gi", 110).create().await;
    // virt-handler has to say first that it is there.
    let node = format!("node/{new}");
    let is_open = r"--for=jsonpath={.metadata.labels.kubevirt\.io/schedulable}=true";
    Kubectl::run(&ns, ["wait", &node, is_open, "--timeout=60s"]).await.expect_code(0);

    let run = Plugin::vmievict(&ns).args([&old, "--dry-run=client", "-o", "json"]).run().await.expect_code(0);

    let plan = run.json();
    let warning = |name: &str| {
        let vm = plan["vms"].as_array().unwrap().iter().find(|vm| vm["name"] == name);
        vm.unwrap()["warnings"].to_string()
    };
    assert!(warning("large").contains("no other node can take it now"), "{run}");
    assert!(warning("large").contains("1 has no room (memory)"), "{run}");
    let waiting = ["medium-a", "medium-b"].map(|name| warning(name).contains("not for all that are to leave"));
    assert_eq!(waiting.iter().filter(|waits| **waits).count(), 1, "one of the two has room\n{run}");
}
