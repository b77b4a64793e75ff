//! Machines that a test writes itself, in the state that a row of OBSERVED begins with; nothing but virt-api acts on
//! them.

use e2e::kubevirt::{Account, Setup};
use e2e::{ControlPlane, KubeVirt, Namespace};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::wire::{Answer, JSON_OR_ANYTHING, send};

/// A namespace with two nodes on a control plane where only virt-api runs.
pub(super) struct ByHand {
    pub(super) ns: Namespace,
    /// The test's own user; no request is sent twice.
    pub(super) client: Client,
    /// virt-controller, whose writes of a VMI's status stay.
    pub(super) controller: Client,
    pub(super) node: String,
    pub(super) other_node: String,
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kubevirt.io", "v1", kind))
}

impl ByHand {
    pub(super) async fn new(purpose: &str) -> Self {
        static ALONE: OnceCell<KubeVirt> = OnceCell::const_new();
        let kubevirt = ALONE
            .get_or_init(|| async { KubeVirt::install(&ControlPlane::start(), Setup::only_virt_api()).await })
            .await;
        Self::on(kubevirt, purpose).await
    }

    pub(super) async fn on(kubevirt: &KubeVirt, purpose: &str) -> Self {
        let control_plane = kubevirt.control_plane();
        let ns = Namespace::fresh(control_plane, purpose).await;
        ns.frees(resource("VirtualMachineInstance"));
        let client = control_plane.forwarding_client(ns.user()).await;
        let controller = Account::Controller.client(control_plane).await;
        let node = ns.node("node1").create().await;
        let other_node = ns.node("node2").create().await;
        Self { ns, client, controller, node, other_node }
    }

    pub(super) fn objects(&self, client: &Client, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), self.ns.name(), &resource(kind))
    }

    pub(super) async fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.objects(&self.client, kind).get(name).await.unwrap()).unwrap()
    }

    /// Creates a VMI as a user does, then writes its status as virt-controller and virt-handler do.
    pub(super) async fn vmi(&self, name: &str, strategy: Option<&str>, status: Value) -> Value {
        let mut spec = json!({ "domain": { "devices": {} } });
        if let Some(strategy) = strategy {
            spec["evictionStrategy"] = json!(strategy);
        }
        self.ns
            .create(json!({
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstance",
                "metadata": { "name": name },
                "spec": spec,
            }))
            .await;
        self.write_status(name, status).await
    }

    /// Creates a VMI that runs on `node` and can be migrated.
    pub(super) async fn migratable(&self, name: &str, strategy: &str) -> Value {
        self.vmi(name, Some(strategy), running(&self.node, true)).await
    }

    /// Merges into a VMI's status as virt-controller.
    pub(super) async fn write_status(&self, name: &str, status: Value) -> Value {
        let patch = Patch::Merge(json!({ "status": status }));
        let api = self.objects(&self.controller, "VirtualMachineInstance");
        serde_json::to_value(api.patch(name, &PatchParams::default(), &patch).await.unwrap()).unwrap()
    }

    /// Creates a VM with a run strategy; `status` is written as virt-controller does.
    pub(super) async fn vm(&self, name: &str, strategy: &str, status: Value) -> Value {
        let vm = self
            .ns
            .create(json!({
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachine",
                "metadata": { "name": name },
                "spec": { "runStrategy": strategy, "template": { "spec": { "domain": { "devices": {} } } } },
            }))
            .await;
        if !status.is_null() {
            let patch = Patch::Merge(json!({ "status": status }));
            let api = self.objects(&self.controller, "VirtualMachine");
            api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        }
        vm
    }

    /// Creates the launcher pod of a VMI on a node, and waits until it runs; returns its name.
    pub(super) async fn launcher(&self, vmi: &str, node: &str) -> String {
        self.launcher_with(vmi, node, |_| {}).await
    }

    /// Creates the launcher pod of a VMI with a change.
    pub(super) async fn launcher_with(&self, vmi: &str, node: &str, change: impl FnOnce(&mut Value)) -> String {
        let name = format!("virt-launcher-{vmi}-{}", if node == self.node { "aaaaa" } else { "bbbbb" });
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": { "kubevirt.io": "virt-launcher", "machine": vmi },
                "annotations": { "kubevirt.io/domain": vmi },
            },
            "spec": { "nodeName": node, "containers": [{ "name": "compute", "image": "launcher" }] },
        });
        change(&mut pod);
        self.ns.create(pod).await;
        let description = format!("pod {name} has started");
        self.ns
            .until::<Pod>(&format!("machine={vmi}"), &description, |pods| {
                pods.iter().all(|pod| {
                    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                    phase.is_some_and(|phase| phase != "Pending")
                })
            })
            .await;
        name
    }

    /// Waits until a pod has ended by itself.
    pub(super) async fn until_succeeded(&self, vmi: &str) {
        self.ns
            .until::<Pod>(&format!("machine={vmi}"), "the launcher has ended", |pods| {
                pods.iter()
                    .all(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded"))
            })
            .await;
    }

    /// Asks for a pod's eviction.
    pub(super) async fn evict(&self, pod: &str) -> Answer {
        self.evict_with(pod, "", json!({ "metadata": { "name": pod } })).await
    }

    /// Asks for a pod's eviction with a query and a body without its type.
    pub(super) async fn evict_with(&self, pod: &str, query: &str, mut eviction: Value) -> Answer {
        eviction["apiVersion"] = json!("policy/v1");
        eviction["kind"] = json!("Eviction");
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction{query}", self.ns.name());
        send(&self.client, Method::POST, &path, "application/json", &eviction.to_string()).await
    }

    /// Puts a subresource of KubeVirt's with a body.
    pub(super) async fn put(&self, path: &str, body: &str) -> Answer {
        self.put_as(&self.client, path, JSON_OR_ANYTHING, body).await
    }

    /// Puts a subresource as somebody who accepts certain types.
    pub(super) async fn put_as(&self, client: &Client, path: &str, accept: &str, body: &str) -> Answer {
        let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{}/{path}", self.ns.name());
        send(client, Method::PUT, &path, accept, body).await
    }

    /// Returns the node that a VMI is marked with.
    pub(super) async fn mark(&self, vmi: &str) -> Option<String> {
        self.get("VirtualMachineInstance", vmi).await["status"]["evacuationNodeName"].as_str().map(str::to_owned)
    }

    /// Returns a VMI's name as KubeVirt's sentences show it.
    pub(super) fn quoted(&self, vmi: &str) -> String {
        format!("\"{}/{vmi}\"", self.ns.name())
    }

    /// Returns whether a pod is there and not being deleted.
    pub(super) async fn is_untouched(&self, pod: &str) -> bool {
        self.ns.api::<Pod>().get(pod).await.is_ok_and(|pod| pod.metadata.deletion_timestamp.is_none())
    }
}

/// Returns the status of a VMI that runs on a node, as far as virt-api looks at it.
pub(super) fn running(node: &str, is_migratable: bool) -> Value {
    let condition = if is_migratable {
        json!({ "type": "LiveMigratable", "status": "True" })
    } else {
        json!({
            "type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable",
            "message": "cannot migrate VMI: PVC disk is not shared",
        })
    };
    json!({ "phase": "Running", "nodeName": node, "conditions": [condition] })
}
