//! Builders of what a test needs of KubeVirt: nodes with a virt-handler, VMs, VMIs and replica sets of VMIs.
//!
//! A machine is asked onto a node by a preference in its affinity. The scheduler follows that wherever the node has
//! room, and it does not keep a migration from leaving the node, as a node selector would.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON template with a name adds what is not there")]

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::controller::behaviour::{VIRT_HANDLER, VIRT_HANDLER_SEEN};
use crate::namespace::{NAMESPACE_LABEL, Namespace};
use crate::node::NodeBuilder;
use crate::wait::{self, DEADLINE};

/// Starts to describe a node on which guests can run.
pub fn node<'a>(namespace: &'a Namespace, name: &str) -> NodeBuilder<'a> {
    namespace.node(name).annotation(VIRT_HANDLER, "alive")
}

/// Kills the virt-handler of a node (by its name in the cluster): its heartbeat stops, and so does what it does for
/// guests, migrations away from the node included. `false` brings it back. Returns once the stand-in knows.
pub async fn kill_virt_handler(namespace: &Namespace, node: &str, is_dead: bool) {
    let state = if is_dead { "dead" } else { "alive" };
    let patch = json!({ "metadata": { "annotations": { VIRT_HANDLER: state } } });
    namespace
        .nodes()
        .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap_or_else(|error| panic!("make the virt-handler of {node} {state}: {error}"));
    let config = watcher::Config::default().fields(&format!("metadata.name={node}"));
    let description = format!("the stand-in knows that the virt-handler of {node} is {state}");
    wait::until(namespace.nodes(), config, &description, DEADLINE, |nodes: &[Node]| {
        nodes.iter().any(|node| node.annotations().get(VIRT_HANDLER_SEEN).is_some_and(|seen| seen == state))
    })
    .await;
}

/// Returns the API of a kind of group kubevirt.io in a namespace, for example "VirtualMachineInstance".
pub fn api(namespace: &Namespace, kind: &str) -> Api<DynamicObject> {
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("kubevirt.io", "v1", kind), &plural);
    Api::namespaced_with(namespace.client(), namespace.name(), &resource)
}

/// Watches the objects of a kind of group kubevirt.io until `condition` holds for all of them; returns them then.
pub async fn until(
    namespace: &Namespace,
    kind: &str,
    description: &str,
    mut condition: impl FnMut(&[Value]) -> bool,
) -> Vec<Value> {
    let values = |objects: &[DynamicObject]| -> Vec<Value> {
        objects.iter().map(|object| serde_json::to_value(object).unwrap_or_default()).collect()
    };
    let found = wait::until(api(namespace, kind), watcher::Config::default(), description, DEADLINE, |objects| {
        condition(&values(objects))
    })
    .await;
    values(&found)
}

/// Waits until a VMI of this name is in a phase; returns it.
pub async fn until_phase(namespace: &Namespace, name: &str, phase: &str) -> Value {
    let description = format!("VMI {name} {phase}");
    let is_it = |vmi: &Value| vmi["metadata"]["name"] == name && vmi["status"]["phase"] == phase;
    let found = until(namespace, "VirtualMachineInstance", &description, |vmis| vmis.iter().any(is_it)).await;
    found.into_iter().find(is_it).unwrap_or_default()
}

/// Returns the launchers of a VMI (by its name), oldest first; finished ones and targets of migrations too.
pub async fn launchers(namespace: &Namespace, vmi: &str) -> Vec<Pod> {
    let mut pods = namespace
        .api::<Pod>()
        .list(&ListParams::default().labels(&format!("vmi.kubevirt.io/id={vmi}")))
        .await
        .unwrap_or_else(|error| panic!("list the launchers of {vmi}: {error}"))
        .items;
    pods.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.resource_version.clone()));
    pods
}

/// Adds or changes an annotation of a VMI that runs, as a guest's behaviour is told (see the controller's `behaviour`).
pub async fn annotate(namespace: &Namespace, vmi: &str, key: &str, value: &str) {
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    api(namespace, "VirtualMachineInstance")
        .patch(vmi, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap_or_else(|error| panic!("annotate VMI {vmi}: {error}"));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    VirtualMachine,
    Instance,
    ReplicaSet,
}

/// The description of a virtual machine; [`MachineBuilder::running`] makes it and waits.
#[derive(Debug)]
#[must_use = "a machine is made by `.create().await` or `.running().await`"]
pub struct MachineBuilder<'a> {
    namespace: &'a Namespace,
    kind: Kind,
    name: String,
    object: Value,
    claims: Vec<(String, &'static str)>,
}

/// Starts to describe a VirtualMachine with run strategy Always.
pub fn virtual_machine<'a>(namespace: &'a Namespace, name: &str) -> MachineBuilder<'a> {
    let template = template(namespace, name);
    let object = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": { "name": name },
        "spec": { "runStrategy": "Always", "template": template },
    });
    MachineBuilder { namespace, kind: Kind::VirtualMachine, name: name.to_owned(), object, claims: Vec::new() }
}

/// Starts to describe a VirtualMachineInstance that nothing owns.
pub fn instance<'a>(namespace: &'a Namespace, name: &str) -> MachineBuilder<'a> {
    let mut object = template(namespace, name);
    object["apiVersion"] = json!("kubevirt.io/v1");
    object["kind"] = json!("VirtualMachineInstance");
    object["metadata"]["name"] = json!(name);
    MachineBuilder { namespace, kind: Kind::Instance, name: name.to_owned(), object, claims: Vec::new() }
}

/// Starts to describe a VirtualMachineInstanceReplicaSet of one replica.
pub fn replica_set<'a>(namespace: &'a Namespace, name: &str) -> MachineBuilder<'a> {
    let object = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceReplicaSet", "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": template(namespace, name),
        },
    });
    MachineBuilder { namespace, kind: Kind::ReplicaSet, name: name.to_owned(), object, claims: Vec::new() }
}

fn template(namespace: &Namespace, name: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name }, "annotations": {} },
        "spec": {
            "nodeSelector": { NAMESPACE_LABEL: namespace.name() },
            "terminationGracePeriodSeconds": 30,
            "domain": {
                "devices": {},
                "cpu": { "cores": 1 },
                "memory": { "guest": "512Mi" },
            },
        },
    })
}

impl MachineBuilder<'_> {
    /// Changes anything in the object.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.object);
        self
    }

    /// Changes anything in the VMI or the template of it: an object with `metadata` and `spec`.
    pub fn edit_instance(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(match self.kind {
            Kind::Instance => &mut self.object,
            Kind::VirtualMachine | Kind::ReplicaSet => &mut self.object["spec"]["template"],
        });
        self
    }

    /// Sets the VMI's evictionStrategy; without it the cluster's is taken when the VMI is made.
    pub fn eviction_strategy(self, strategy: &str) -> Self {
        self.edit_instance(|vmi| vmi["spec"]["evictionStrategy"] = json!(strategy))
    }

    /// Sets a VM's runStrategy.
    pub fn run_strategy(self, strategy: &str) -> Self {
        assert_eq!(self.kind, Kind::VirtualMachine, "only a VM has a run strategy");
        self.edit(|vm| vm["spec"]["runStrategy"] = json!(strategy))
    }

    /// Sets a replica set's count.
    pub fn replicas(self, count: u32) -> Self {
        assert_eq!(self.kind, Kind::ReplicaSet, "only a replica set has replicas");
        self.edit(|set| set["spec"]["replicas"] = json!(count))
    }

    /// Asks it onto a node, by the node's name in the cluster: as a preference, so that it can leave.
    pub fn on(self, node: &str) -> Self {
        let term = json!({ "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
        ] });
        self.edit_instance(|vmi| {
            vmi["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!([{ "weight": 100, "preference": term }]);
        })
    }

    /// Adds a label to the VMI.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.edit_instance(|vmi| vmi["metadata"]["labels"][key] = json!(value))
    }

    /// Adds an annotation to the VMI; those that begin with `stand-in/` say how the guest behaves.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.edit_instance(|vmi| vmi["metadata"]["annotations"][key] = json!(value))
    }

    /// Says how long the guest takes to boot, for example "500ms" or "3s" (default 0s).
    pub fn boot_time(self, duration: &str) -> Self {
        self.annotation("stand-in/boot-time", duration)
    }

    /// Says how long the guest takes to shut down (default 0s).
    pub fn shutdown_time(self, duration: &str) -> Self {
        self.annotation("stand-in/shutdown-time", duration)
    }

    /// Says how long the guest is copied (default 200ms).
    pub fn migration_time(self, duration: &str) -> Self {
        self.annotation("stand-in/migration-time", duration)
    }

    /// Makes the first so many migrations fail: a number or "always".
    pub fn fail_migrations(self, count: &str) -> Self {
        self.annotation("stand-in/fail-migrations", count)
    }

    /// Makes it not live-migratable, by a reason of KubeVirt's.
    pub fn not_migratable(self, reason: &str, message: &str) -> Self {
        self.annotation("stand-in/live-migratable", reason).annotation("stand-in/live-migratable-message", message)
    }

    /// Sets the guest's grace period in seconds (default 30).
    pub fn grace(self, seconds: u32) -> Self {
        self.edit_instance(|vmi| vmi["spec"]["terminationGracePeriodSeconds"] = json!(seconds))
    }

    /// Says how many processors and how much memory the guest has (default 1, "512Mi").
    pub fn size(self, cores: u32, memory: &str) -> Self {
        self.edit_instance(|vmi| {
            vmi["spec"]["domain"]["cpu"]["cores"] = json!(cores);
            vmi["spec"]["domain"]["memory"]["guest"] = json!(memory);
        })
    }

    /// Adds a disk whose content is lost when the guest ends.
    pub fn empty_disk(self, disk: &str) -> Self {
        self.volume(disk, &json!({ "emptyDisk": { "capacity": "1Gi" } }))
    }

    /// Adds a disk that is read from an image; what is written to it is lost when the guest ends.
    pub fn container_disk(self, disk: &str) -> Self {
        self.volume(disk, &json!({ "containerDisk": { "image": "disk:1" } }))
    }

    /// Adds a disk on a claim called `MACHINE-disk`, which is made with a volume; `access_mode` is ReadWriteMany or
    /// ReadWriteOnce. Whether the guest is migratable is said by [`MachineBuilder::not_migratable`] alone.
    pub fn claim(mut self, disk: &str, access_mode: &'static str) -> Self {
        let claim = format!("{}-{disk}", self.name);
        self.claims.push((claim.clone(), access_mode));
        self.volume(disk, &json!({ "persistentVolumeClaim": { "claimName": claim } }))
    }

    fn volume(self, disk: &str, source: &Value) -> Self {
        self.edit_instance(|vmi| {
            let mut volume = source.clone();
            volume["name"] = json!(disk);
            let spec = &mut vmi["spec"];
            push(&mut spec["volumes"], volume);
            push(&mut spec["domain"]["devices"]["disks"], json!({ "name": disk, "disk": { "bus": "virtio" } }));
        })
    }

    /// Makes the object, and claims before it; returns the server's answer. It does not wait.
    pub async fn create(self) -> Value {
        for (claim, access_mode) in &self.claims {
            make_claim(self.namespace, claim, access_mode).await;
        }
        self.namespace.create(self.object).await
    }

    /// Makes it and waits until its guest runs (each of them, of a replica set); returns the VMI, or the first of them.
    pub async fn running(self) -> Value {
        let (namespace, name) = (self.namespace, self.name.clone());
        let wanted =
            if self.kind == Kind::ReplicaSet { self.object["spec"]["replicas"].as_u64().unwrap_or(1) } else { 1 };
        let created = self.create().await;
        let uid = created["metadata"]["uid"].clone();
        let is_own = |vmi: &Value| {
            let owners = vmi["metadata"]["ownerReferences"].as_array();
            vmi["metadata"]["uid"] == uid || owners.into_iter().flatten().any(|owner| owner["uid"] == uid)
        };
        let is_running = |vmi: &Value| {
            let conditions = vmi["status"]["conditions"].as_array();
            let is_ready = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            is_own(vmi) && vmi["status"]["phase"] == "Running" && is_ready
        };
        let description = format!("{name} runs");
        let found = until(namespace, "VirtualMachineInstance", &description, |vmis| {
            vmis.iter().filter(|vmi| is_running(vmi)).count() as u64 >= wanted
        })
        .await;
        found.into_iter().find(is_own).unwrap_or_default()
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

/// Makes a volume and the claim that is bound to it.
async fn make_claim(namespace: &Namespace, name: &str, access_mode: &str) {
    let volume = format!("{}-{name}", namespace.name());
    let storage = json!({ "storage": "1Gi" });
    namespace
        .create(json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": { "name": volume },
            "spec": {
                "capacity": storage, "accessModes": [access_mode], "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain", "nfs": { "server": "127.0.0.1", "path": "/" },
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace.name(), "name": name,
                },
            },
        }))
        .await;
    namespace
        .create(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": name },
            "spec": {
                "accessModes": [access_mode], "storageClassName": "", "volumeName": volume,
                "resources": { "requests": storage },
            },
        }))
        .await;
}
