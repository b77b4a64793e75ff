//! An eviction that is granted ends the guest (OBSERVED (c), (d)).

use e2e::kubevirt::machine;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;

use super::record::{POD, Record, VM, VMI, condition};
use super::{cordon, evict, evict_launcher, two_nodes};

#[tokio::test]
async fn vm_without_a_strategy_shuts_down_and_comes_back_elsewhere() {
    let (ns, a, b) = two_nodes("kt-c").await;
    machine::virtual_machine(&ns, "vm-c").eviction_strategy("None").on(&a).shutdown_time("5s").running().await;
    cordon(&ns, &a, true).await;
    let record = Record::of(&ns).await;
    let asked = record.now();
    let (source, code, _) = evict_launcher(&ns, "vm-c").await;
    assert_eq!(code, 200);
    // OBSERVED: a second POST is granted again.
    assert_eq!(evict(&ns, &source).await.0, 200);
    machine::until(&ns, VMI, "it runs elsewhere", |vmis| {
        vmis.iter().any(|vmi| vmi["status"]["phase"] == "Running" && vmi["status"]["nodeName"] == b.as_str())
    })
    .await;

    record.catch_up().await;
    assert_eq!(record.uids(VMI, "vm-c").len(), 2);
    let phases = record.sequence(VMI, "vm-c", "/status/phase");
    assert_eq!(phases, ["Running", "Succeeded", "gone", "Pending", "Scheduling", "Scheduled", "Running"]);
    let unready = record.when(VMI, "vm-c", |vmi| condition(vmi, "Ready") == "False");
    let off = record.when(VMI, "vm-c", |vmi| vmi["status"]["phase"] == "Succeeded");
    assert!(unready < off && off - asked >= 5.0, "asked at {asked}, unready at {unready}, off at {off}");
    assert_eq!(record.sequence(POD, &source, "/status/phase"), ["Running", "Succeeded", "gone"]);
    let shown = record.sequence(VM, "vm-c", "/status/printableStatus");
    assert_eq!(shown.first().map(String::as_str), Some("Running"));
    assert!(shown.contains(&"Stopping".to_owned()), "{shown:?}");
}

#[tokio::test]
async fn unmigratable_vm_shuts_down_if_it_cannot_move() {
    let (ns, a, b) = two_nodes("kt-d").await;
    let vm = machine::virtual_machine(&ns, "vm-d").eviction_strategy("LiveMigrateIfPossible").on(&a);
    let vmi = vm.not_migratable("DisksNotLiveMigratable", "the disk is local").running().await;
    assert_eq!(condition(&vmi, "LiveMigratable"), "False");
    cordon(&ns, &a, true).await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm-d").await.1, 200);
    machine::until(&ns, VMI, "it runs elsewhere", |vmis| {
        vmis.iter().any(|vmi| vmi["status"]["phase"] == "Running" && vmi["status"]["nodeName"] == b.as_str())
    })
    .await;
    record.catch_up().await;
    assert_eq!(record.uids(VMI, "vm-d").len(), 2);
}

/// Reference 4: a guest that does not shut down within its grace period has failed.
#[tokio::test]
async fn guest_that_outlasts_its_grace_has_failed() {
    let (ns, a, _) = two_nodes("kt-grace").await;
    let vm = machine::virtual_machine(&ns, "vm").run_strategy("Manual").on(&a).shutdown_time("10m").grace(1);
    vm.create().await;
    assert_eq!(super::put(&ns, "virtualmachines/vm/start", &serde_json::json!({})).await, (200, String::new()));
    machine::until_phase(&ns, "vm", "Running").await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 200);
    machine::until_phase(&ns, "vm", "Failed").await;
}

/// Reference 4: a launcher that is removed by force takes the guest with it.
#[tokio::test]
async fn forced_deletion_of_a_launcher_fails_the_vmi() {
    let (ns, a, _) = two_nodes("kt-force").await;
    machine::instance(&ns, "alone").on(&a).shutdown_time("10m").running().await;
    let pod = machine::launchers(&ns, "alone").await.remove(0);
    let name = pod.metadata.name.clone().unwrap();
    ns.api::<Pod>().delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
    machine::until_phase(&ns, "alone", "Failed").await;
}
