//! The ordinary case: what can migrate does, once asked for, and the node is proven empty.

use e2e::Plugin;
use e2e::kubevirt::machine;

use super::two_nodes;

#[tokio::test]
async fn every_guest_that_can_migrate_runs_on_elsewhere() {
    let (ns, old, new) = two_nodes("ve-all").await;
    for name in ["vm-a", "vm-b"] {
        machine::virtual_machine(&ns, name).eviction_strategy("LiveMigrate").on(&old).running().await;
    }
    let before = machine::until_phase(&ns, "vm-a", "Running").await;

    let run = Plugin::vmievict(&ns).args([&old]).run().await.expect_code(0);

    for name in ["vm-a", "vm-b"] {
        let vmi = machine::until_phase(&ns, name, "Running").await;
        assert_eq!(vmi["status"]["nodeName"], new, "{run}");
        assert!(vmi["status"]["evacuationNodeName"].is_null(), "{run}");
        let line = format!("virtualmachineinstance.kubevirt.io/{name} migrated to node {new}");
        assert!(run.stdout.contains(&line), "{run}");
    }
    let after = machine::until_phase(&ns, "vm-a", "Running").await;
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"], "the same guest runs on\n{run}");
    let evictions = ns.audit().await.evictions().len();
    assert_eq!(evictions, 2, "one eviction for each\n{run}");
    assert!(run.stderr.contains("no virtual machine is left; safe to power off for KubeVirt"), "{run}");
}
