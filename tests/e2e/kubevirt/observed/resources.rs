//! The custom resources, with the names and subresources of KubeVirt's.

use e2e::{KubeVirt, Kubectl, Namespace};
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::by_hand::ByHand;
use super::wire::send;

#[tokio::test]
async fn short_names_are_kubevirts() {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "kv-names").await;
    for name in ["vm", "vms", "vmi", "vmis", "vmim", "vmims", "vmirs", "kv", "vmpool", "migrationpolicies"] {
        let run = Kubectl::run(&ns, ["get", name, "--output=name"]).await.expect_code(0);
        assert_eq!(run.stdout, "", "{name}");
    }
}

#[tokio::test]
async fn a_vmi_has_no_status_subresource() {
    let kubevirt = KubeVirt::shared().await;
    let client = kubevirt.control_plane().client().await;
    let resources: APIResourceList = client.list_api_group_resources("kubevirt.io/v1").await.unwrap();
    let mut names: Vec<&str> = resources.resources.iter().map(|resource| resource.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "kubevirts",
            "kubevirts/status",
            "virtualmachineinstancemigrations",
            "virtualmachineinstancemigrations/status",
            "virtualmachineinstancereplicasets",
            "virtualmachineinstancereplicasets/scale",
            "virtualmachineinstancereplicasets/status",
            "virtualmachineinstances",
            "virtualmachines",
            "virtualmachines/status",
        ]
    );
}

/// Creates an object with strict validation, so that a field that the schema does not know is an error; returns it.
async fn create_strictly(by_hand: &ByHand, plural: &str, object: Value) -> Value {
    let path = format!("/apis/kubevirt.io/v1/namespaces/{}/{plural}?fieldValidation=Strict", by_hand.ns.name());
    let answer = send(&by_hand.client, Method::POST, &path, "application/json", &object.to_string()).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn a_machine_keeps_every_field() {
    let by_hand = ByHand::new("kv-fields").await;
    let spec = json!({
        "runStrategy": "Always",
        "template": {
            "metadata": { "labels": { "app": "shop" }, "creationTimestamp": null },
            "spec": {
                "evictionStrategy": "LiveMigrate",
                "terminationGracePeriodSeconds": 180,
                "domain": {
                    "cpu": { "cores": 2, "model": "host-model" },
                    "memory": { "guest": "2Gi" },
                    "resources": { "requests": { "cpu": 1, "memory": "2Gi" } },
                    "devices": {
                        "disks": [{ "name": "root", "disk": { "bus": "virtio" } }],
                        "interfaces": [{ "name": "default", "masquerade": {} }],
                    },
                },
                "networks": [{ "name": "default", "pod": {} }],
                "readinessProbe": { "httpGet": { "port": "web" }, "periodSeconds": 5 },
                "topologySpreadConstraints": [{
                    "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": { "matchLabels": { "app": "shop" } },
                }],
                "volumes": [
                    { "name": "root", "containerDisk": { "image": "fedora" } },
                    { "name": "scratch", "emptyDisk": { "capacity": "1Gi" } },
                    { "name": "data", "persistentVolumeClaim": { "claimName": "data" } },
                ],
            },
        },
    });
    let machine = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": { "name": "rich" }, "spec": spec,
    });
    assert_eq!(create_strictly(&by_hand, "virtualmachines", machine).await["spec"], spec);
}

#[tokio::test]
async fn an_instance_keeps_what_a_migration_writes() {
    let by_hand = ByHand::new("kv-migration").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    let state = json!({
        "migrationUid": "1f0c5a4e-0000-4000-8000-000000000000",
        "sourceNode": by_hand.node, "targetNode": by_hand.other_node,
        "sourcePod": "virt-launcher-vm-a-aaaaa", "targetPod": "virt-launcher-vm-a-bbbbb",
        "targetNodeAddress": "127.0.0.1", "targetDirectMigrationNodePorts": { "1": 1 },
        "targetNodeDomainDetected": true, "targetNodeDomainReadyTimestamp": "2026-11-22T10:00:03Z",
        "startTimestamp": "2026-11-22T10:00:00Z", "endTimestamp": "2026-11-22T10:00:05Z",
        "completed": true, "failed": true, "failureReason": "Live migration has been aborted",
        "abortRequested": true, "abortStatus": "Succeeded", "mode": "PreCopy",
        "migrationConfiguration": { "parallelOutboundMigrationsPerNode": 2, "bandwidthPerMigration": "0" },
    });
    let written = json!({
        "activePods": { "2f0c5a4e-0000-4000-8000-000000000000": by_hand.node },
        "migrationMethod": "BlockMigration", "migrationTransport": "Unix", "selinuxContext": "none",
        "migrationState": state,
        "volumeStatus": [{
            "name": "data", "target": "vda",
            "persistentVolumeClaimInfo": { "claimName": "data", "accessModes": ["ReadWriteOnce"] },
        }],
        "conditions": [{
            "type": "LiveMigratable", "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "2026-11-22T10:00:00Z",
        }],
    });
    // A merge patch would take the null out.
    let patch = serde_json::from_value(json!([{ "op": "replace", "path": "/status", "value": written }])).unwrap();
    let api = by_hand.objects(&by_hand.controller, "VirtualMachineInstance");
    let patched = api.patch("vm-a", &PatchParams::default(), &Patch::<()>::Json(patch)).await.unwrap();
    assert_eq!(patched.data["status"], written);
}
