//! A node of one test: an object whose kubelet is kwok.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON template with a name adds what is not there")]

use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::namespace::{NAMESPACE_LABEL, Namespace, from_json};
use crate::wait::{self, DEADLINE};

/// The description of a node; [`NodeBuilder::create`] makes it.
#[derive(Debug)]
#[must_use = "a node is made by `.create().await`"]
pub struct NodeBuilder<'a> {
    namespace: &'a Namespace,
    name: String,
    object: Value,
}

impl<'a> NodeBuilder<'a> {
    pub(crate) fn new(namespace: &'a Namespace, name: &str) -> Self {
        let name = namespace.node_name(name);
        let object = json!({
            "metadata": {
                "name": name,
                "labels": {
                    NAMESPACE_LABEL: namespace.name(),
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                },
                "annotations": { "kwok.x-k8s.io/node": "fake" },
            },
            "spec": { "taints": [] },
        });
        Self { namespace, name, object }.capacity("32", "128Gi", 250)
    }

    /// Gives it this very name in the cluster, without the namespace's in front.
    pub fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.edit(|node| {
            node["metadata"]["name"] = json!(name);
            node["metadata"]["labels"]["kubernetes.io/hostname"] = json!(name);
        })
    }

    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.edit(|node| node["metadata"]["labels"][key] = json!(value))
    }

    /// Adds an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.edit(|node| node["metadata"]["annotations"][key] = json!(value))
    }

    /// Adds a taint; `effect` is NoSchedule, PreferNoSchedule or NoExecute.
    pub fn taint(self, key: &str, value: &str, effect: &str) -> Self {
        self.edit(|node| {
            let taints = node["spec"]["taints"].as_array_mut().expect("the taints are a list");
            taints.push(json!({ "key": key, "value": value, "effect": effect }));
        })
    }

    /// Says what fits on it (default 32 processors, 128Gi, 250 pods).
    pub fn capacity(self, cpu: &str, memory: &str, pods: u32) -> Self {
        let resources = json!({ "cpu": cpu, "memory": memory, "pods": pods.to_string() });
        self.edit(|node| node["status"] = json!({ "capacity": resources, "allocatable": resources }))
    }

    /// Puts it into a zone of the region `test`.
    pub fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/region", "test").label("topology.kubernetes.io/zone", zone)
    }

    /// Makes it unschedulable from the start.
    pub fn cordoned(self) -> Self {
        self.edit(|node| node["spec"]["unschedulable"] = json!(true))
    }

    /// Changes anything else in the object.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.object);
        self
    }

    /// Makes the node and waits until it is Ready; returns its name.
    pub async fn create(self) -> String {
        let node: Node = from_json(self.object);
        let api = self.namespace.nodes();
        api.create(&PostParams::default(), &node)
            .await
            .unwrap_or_else(|error| panic!("create node {}: {error}", self.name));
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let description = format!("node {} ready", self.name);
        wait::until(api, config, &description, DEADLINE, |nodes: &[Node]| nodes.first().is_some_and(is_ready)).await;
        self.name
    }
}

/// Ready, and the node controller has taken its own taint away, so that pods can be scheduled.
fn is_ready(node: &Node) -> bool {
    let ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let tainted = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key == "node.kubernetes.io/not-ready");
    ready && !tainted
}
