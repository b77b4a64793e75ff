//! A node is drained when the volumes of its pods are detached. The attach-detach controller is the genuine one; what a
//! CSI driver's attacher does is done here by hand, so that it can be late.

use std::time::Duration;

use e2e::{ControlPlane, Kubectl, Namespace, Plugin, eventually};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
const FINALIZER: &str = "external-attacher/csi-example-com";

/// The VolumeAttachment of a volume, if there is one.
async fn attachment(ns: &Namespace, volume: &str) -> Option<Value> {
    let run = Kubectl::run(ns, ["get", "volumeattachments", "-o", "json"]).await.expect_code(0);
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    let mut items = list["items"].as_array().unwrap().iter();
    items.find(|one| one["spec"]["source"]["persistentVolumeName"] == volume).cloned()
}

async fn patch(ns: &Namespace, name: &str, more: &[&str], patch: &Value) {
    let text = patch.to_string();
    let arguments = ["patch", "volumeattachment", name, "--type=merge", "-p", &text];
    Kubectl::run(ns, arguments.iter().chain(more)).await.expect_code(0);
}

#[tokio::test]
async fn a_node_is_drained_when_the_volumes_of_its_pods_are_detached() {
    let ns = Namespace::fresh(ControlPlane::shared(), "volumes").await;
    let node = ns.node("old").create().await;
    // A kubelet says so of itself; kwok does not.
    let managed = "volumes.kubernetes.io/controller-managed-attach-detach=true";
    Kubectl::run(&ns, ["annotate", "node", &node, managed]).await.expect_code(0);
    let volume = format!("{}-data", ns.name());
    let access = json!(["ReadWriteOnce"]);
    let size = json!({ "storage": "1Gi" });
    let csi = json!({ "driver": "csi.example.com", "volumeHandle": volume });
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    ns.create(object(
        "PersistentVolume",
        &volume,
        json!({ "capacity": size, "accessModes": access,
        "storageClassName": "", "csi": csi }),
    ))
    .await;
    ns.create(object(
        "PersistentVolumeClaim",
        "data",
        json!({ "accessModes": access, "storageClassName": "",
        "volumeName": volume, "resources": { "requests": size } }),
    ))
    .await;
    ns.stateful_set("db")
        .edit_pod(|pod| {
            pod["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
        })
        .ready()
        .await;
    eventually("the volume is being attached", DEADLINE, || async { attachment(&ns, &volume).await.is_some() }).await;
    let first = attachment(&ns, &volume).await.unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
    patch(&ns, &first, &[], &json!({ "metadata": { "finalizers": [FINALIZER] } })).await;
    patch(&ns, &first, &["--subresource=status"], &json!({ "status": { "attached": true } })).await;
    eventually("the node says that it is attached", DEADLINE, || async {
        let run = Kubectl::run(&ns, ["get", "node", &node, "-o", "jsonpath={.status.volumesAttached}"]).await;
        run.stdout.contains(&volume)
    })
    .await;
    ns.node("new").create().await;

    let running = Plugin::safedrain(&ns).args([node.as_str()]).spawn();
    running.stderr_contains("waiting until volumes are detached").await;
    eventually("the detaching has begun", DEADLINE, || async {
        attachment(&ns, &volume).await.is_none_or(|one| one["metadata"]["deletionTimestamp"].is_string())
    })
    .await;
    assert!(!running.stdout().contains(" drained"), "the volume is still attached");
    patch(&ns, &first, &[], &json!({ "metadata": { "finalizers": null } })).await;
    let run = running.wait().await.expect_code(0);
    assert!(run.stdout.ends_with(&format!("node/{node} drained\n")), "{run}");
}
