//! The pods of hotplugged volumes (OBSERVED, corrections 14, and the table of answers: they are never evicted while
//! their guest runs). How a volume is attached was not observed, so the pods are the test's own.

use e2e::kubevirt::machine;
use e2e::{Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::record::{POD, Record};
use super::two_nodes;

/// Makes a VM that runs on `node` with a hotplugged volume on the claim `plugged`; returns its launcher.
async fn guest_with_hotplugged_volume(ns: &Namespace, node: &str) -> Pod {
    let vm = machine::virtual_machine(ns, "vm-f").eviction_strategy("LiveMigrate").on(node).edit_instance(|vmi| {
        let claim = json!({ "claimName": "plugged", "hotpluggable": true });
        vmi["spec"]["volumes"] = json!([{ "name": "plugged", "persistentVolumeClaim": claim }]);
        vmi["spec"]["domain"]["devices"]["disks"] = json!([{ "name": "plugged", "disk": { "bus": "scsi" } }]);
    });
    vm.running().await;
    machine::launchers(ns, "vm-f").await.remove(0)
}

/// Makes the pod that holds a claim for a launcher's guest, as KubeVirt's look (reference 1.2).
async fn hotplug_pod(ns: &Namespace, name: &str, claim: &str, launcher: &Pod) {
    let node = launcher.spec.as_ref().and_then(|spec| spec.node_name.clone());
    ns.create(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": { "kubevirt.io": "hotplug-disk" },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": launcher.name_any(), "uid": launcher.metadata.uid,
                "controller": true,
            }],
        },
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "hotplug-disk", "image": "hotplug" }],
            "volumes": [{ "name": "plugged", "persistentVolumeClaim": { "claimName": claim } }],
        },
    }))
    .await;
}

/// OBSERVED, corrections 14.
#[tokio::test]
async fn pod_without_a_matching_hotplugged_volume_is_deleted() {
    let (ns, a, _) = two_nodes("kt-hotplug").await;
    let launcher = guest_with_hotplugged_volume(&ns, &a).await;
    let record = Record::of(&ns).await;
    hotplug_pod(&ns, "hp-volume-own", "plugged", &launcher).await;
    hotplug_pod(&ns, "hp-volume-stray", "another", &launcher).await;
    ns.until::<Pod>("kubevirt.io=hotplug-disk", "only the guest's own is left", |pods| {
        pods.iter().map(ResourceExt::name_any).eq(["hp-volume-own"]) && pods[0].metadata.deletion_timestamp.is_none()
    })
    .await;
    record.catch_up().await;
    let seen = record.sequence_of(POD, "hp-volume-stray", |_| "there".to_owned());
    assert_eq!(seen, ["there", "gone"]);
}

/// OBSERVED, the table of answers: an eviction of such a pod is refused while its guest runs. So it is never asked for:
/// the guest goes, and the pod with its launcher.
#[tokio::test]
async fn run_moves_the_guest_and_never_evicts_the_pod_of_its_volume() {
    let (ns, a, b) = two_nodes("kt-hotplug-run").await;
    let launcher = guest_with_hotplugged_volume(&ns, &a).await;
    hotplug_pod(&ns, "hp-volume-abc", "plugged", &launcher).await;

    let run = Plugin::vmievict(&ns).args([&a, "--with-pods"]).run().await.expect_code(0);

    assert_eq!(machine::until_phase(&ns, "vm-f", "Running").await["status"]["nodeName"], b, "{run}");
    let audit = ns.audit().await;
    let changes: Vec<_> = audit.changes().into_iter().filter(|change| change.name.starts_with("hp-volume")).collect();
    assert!(changes.is_empty(), "{changes:?}\n{run}");
}
