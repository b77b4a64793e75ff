//! What becomes of a VMI whose guest has ended, by its owner and run strategy (OBSERVED (j), corrections 11 and 12;
//! reference 4).

use std::time::Duration;

use e2e::kubevirt::machine;
use serde_json::{Value, json};

use super::record::{Record, VM, VMI};
use super::{cordon, evict_launcher, nothing_for, put, two_nodes};

#[tokio::test]
async fn standalone_vmi_stays_as_succeeded() {
    let (ns, a, _) = two_nodes("kt-j1").await;
    machine::instance(&ns, "alone").on(&a).running().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "alone").await.1, 200);
    machine::until(&ns, VMI, "it lets go", |vmis| {
        vmis[0]["status"]["phase"] == "Succeeded" && vmis[0]["metadata"]["finalizers"].is_null()
    })
    .await;
    nothing_for(Duration::from_secs(1)).await;
    record.catch_up().await;
    assert_eq!(record.sequence(VMI, "alone", "/status/phase"), ["Running", "Succeeded"]);
    assert!(machine::launchers(&ns, "alone").await.is_empty());
}

#[tokio::test]
async fn replica_set_replaces_a_guest_that_still_shuts_down() {
    let (ns, _, _) = two_nodes("kt-j2").await;
    let old = machine::replica_set(&ns, "set").shutdown_time("4s").running().await;
    let old = old["metadata"]["name"].as_str().unwrap();
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, old).await.1, 200);
    machine::until(&ns, VMI, "only the replacement runs", |vmis| {
        vmis.len() == 1 && vmis[0]["status"]["phase"] == "Running" && vmis[0]["metadata"]["name"] != old
    })
    .await;
    record.catch_up().await;
    let new = record.names(VMI).into_iter().find(|name| name != old).unwrap();
    let replaced = record.when(VMI, &new, |vmi| !vmi.is_null());
    let off = record.when(VMI, old, |vmi| vmi["status"]["phase"] == "Succeeded");
    assert!(replaced < off, "replaced at {replaced}, off at {off}");
}

/// How a VM is after its guest was evicted: printed status, and the VMI's phase if there is a VMI.
async fn after_eviction(purpose: &str, strategy: &str, expected: (&str, Option<&str>)) {
    let (ns, a, _) = two_nodes(purpose).await;
    let vm = machine::virtual_machine(&ns, "vm").eviction_strategy("None").run_strategy(strategy).on(&a);
    if strategy == "Manual" {
        vm.create().await;
        assert_eq!(put(&ns, "virtualmachines/vm/start", &json!({})).await, (200, String::new()));
        machine::until_phase(&ns, "vm", "Running").await;
    } else {
        vm.running().await;
    }
    cordon(&ns, &a, true).await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 200);
    machine::until(&ns, VM, "the guest is off", |vms| vms[0]["status"]["printableStatus"] == expected.0).await;
    let is_so = |vmis: &[Value]| vmis.first().map(|vmi| vmi["status"]["phase"].as_str().unwrap()) == expected.1;
    machine::until(&ns, VMI, "its VMI is as expected", is_so).await;
    nothing_for(Duration::from_secs(1)).await;
    record.catch_up().await;
    assert_eq!(record.uids(VMI, "vm").len(), 1, "it is not started again");
    assert_eq!(record.last(VM, "vm")["spec"]["runStrategy"], strategy);
}

#[tokio::test]
async fn vm_that_reruns_on_failure_stays_off_after_a_clean_shutdown() {
    after_eviction("kt-rerun", "RerunOnFailure", ("Stopped", None)).await;
}

#[tokio::test]
async fn vm_that_runs_once_stays_off() {
    after_eviction("kt-once", "Once", ("Stopped", Some("Succeeded"))).await;
}

#[tokio::test]
async fn manual_vm_stays_off() {
    after_eviction("kt-manual", "Manual", ("Stopped", Some("Succeeded"))).await;
}

#[tokio::test]
async fn vm_that_reruns_on_failure_comes_back_after_a_crash() {
    let (ns, _, _) = two_nodes("kt-crash").await;
    machine::virtual_machine(&ns, "vm").run_strategy("RerunOnFailure").running().await;
    let record = Record::of(&ns).await;
    machine::annotate(&ns, "vm", "stand-in/guest", "crash").await;
    machine::until(&ns, VMI, "a new guest runs", |vmis| {
        vmis.iter().any(|vmi| {
            vmi["status"]["phase"] == "Running" && vmi["metadata"]["annotations"]["stand-in/guest"].is_null()
        })
    })
    .await;
    record.catch_up().await;
    assert_eq!(record.uids(VMI, "vm").len(), 2);
}

/// Reference 4.1: restart asks for Stop and Start; the strategy stays.
#[tokio::test]
async fn restarted_vm_gets_a_new_vmi() {
    for strategy in ["Always", "Manual", "RerunOnFailure"] {
        let (ns, a, b) = two_nodes("kt-restart").await;
        machine::virtual_machine(&ns, "vm").run_strategy(strategy).on(&a).create().await;
        if strategy == "Manual" {
            assert_eq!(put(&ns, "virtualmachines/vm/start", &json!({})).await.0, 200);
        }
        machine::until_phase(&ns, "vm", "Running").await;
        cordon(&ns, &a, true).await;
        assert_eq!(put(&ns, "virtualmachines/vm/restart", &json!({})).await.0, 200, "{strategy}");
        machine::until(&ns, VMI, "a new guest runs", |vmis| {
            vmis.iter().any(|vmi| vmi["status"]["phase"] == "Running" && vmi["status"]["nodeName"] == b.as_str())
        })
        .await;
        let vms = machine::until(&ns, VM, "its requests are done", |vms| {
            vms[0]["status"]["stateChangeRequests"].is_null() && vms[0]["status"]["printableStatus"] == "Running"
        })
        .await;
        assert_eq!(vms[0]["spec"]["runStrategy"], strategy);
    }
}

#[tokio::test]
async fn stopped_vm_is_off_until_it_is_started() {
    let (ns, _, _) = two_nodes("kt-stop").await;
    machine::virtual_machine(&ns, "vm").running().await;
    assert_eq!(put(&ns, "virtualmachines/vm/stop", &json!({})).await.0, 200);
    machine::until(&ns, VM, "it is off", |vms| vms[0]["status"]["printableStatus"] == "Stopped").await;
    machine::until(&ns, VMI, "its VMI is gone", <[Value]>::is_empty).await;
    assert_eq!(put(&ns, "virtualmachines/vm/start", &json!({})).await.0, 200);
    machine::until(&ns, VM, "it runs", |vms| vms[0]["status"]["printableStatus"] == "Running").await;
}

#[tokio::test]
async fn deleted_vm_takes_everything_with_it() {
    let (ns, _, _) = two_nodes("kt-delete").await;
    machine::virtual_machine(&ns, "vm").shutdown_time("500ms").running().await;
    machine::api(&ns, VM).delete("vm", &kube::api::DeleteParams::default()).await.unwrap();
    machine::until(&ns, VM, "the VM is gone", <[Value]>::is_empty).await;
    machine::until(&ns, VMI, "its VMI is gone", <[Value]>::is_empty).await;
    ns.until::<k8s_openapi::api::core::v1::Pod>("", "its launcher is gone", <[_]>::is_empty).await;
}
