//! Twenty guests under KubeVirt's own limits: each is asked to leave once, however long it waits for its slot.

use std::collections::BTreeMap;

use e2e::kubevirt::controller::ControllerSetup;
use e2e::kubevirt::{Setup, machine};
use e2e::{ControlPlane, KubeVirt, Namespace, Plugin};

const GUESTS: usize = 20;

#[tokio::test]
async fn each_of_twenty_guests_is_evicted_once() {
    let setup = Setup { controllers: Some(ControllerSetup { time_divisor: 10 }), ..Setup::default() };
    let kubevirt = KubeVirt::install(&ControlPlane::start(), setup).await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "ve-many").await;
    let old = machine::node(&ns, "old").create().await;
    machine::node(&ns, "new").cordoned().create().await;
    for number in 0..GUESTS {
        machine::virtual_machine(&ns, &format!("vm-{number}"))
            .eviction_strategy("LiveMigrate")
            .migration_time("3s")
            .create()
            .await;
    }
    machine::until(&ns, "VirtualMachineInstance", "all run", |all| {
        let runs = |vmi: &&serde_json::Value| {
            let conditions = vmi["status"]["conditions"].as_array();
            vmi["status"]["phase"] == "Running"
                && conditions
                    .into_iter()
                    .flatten()
                    .any(|one| one["type"] == "LiveMigratable" && one["status"] == "True")
        };
        all.iter().filter(runs).count() == GUESTS
    })
    .await;
    let new = ns.node_name("new");
    e2e::Kubectl::run(&ns, ["uncordon", &new]).await.expect_code(0);

    let run = Plugin::vmievict(&ns).args([&old]).run().await.expect_code(0);

    let all = machine::until(&ns, "VirtualMachineInstance", "all are there", |all| all.len() == GUESTS).await;
    assert!(all.iter().all(|vmi| vmi["status"]["nodeName"] == new), "{run}");
    let mut evictions: BTreeMap<String, usize> = BTreeMap::new();
    for eviction in ns.audit().await.evictions() {
        *evictions.entry(eviction.name.clone()).or_default() += 1;
    }
    assert_eq!(evictions.len(), GUESTS, "{evictions:?}\n{run}");
    assert!(evictions.values().all(|times| *times == 1), "{evictions:?}\n{run}");
}
