//! The sketch of a small world: the node where a pod runs, the nodes to which its replacement may go, and whatever one case
//! is about. Nothing in here talks to a cluster.

use std::collections::BTreeMap;

use e2e::NAMESPACE_LABEL;
use e2e::scheduling::dice::Dice;
use serde_json::{Value, json};

/// The node on which the first pod runs.
pub(super) const OLD: &str = "old";
/// The taint that keeps everybody else's pods off the nodes of a world.
pub(super) const WORLD: &str = "handover.test/world";
/// The label by which clouds tell zones.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// The label that is a node's own name.
pub(super) const HOST: &str = "kubernetes.io/hostname";

/// Who makes the replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    ReplicaSet,
    StatefulSet,
}

/// How the replacement comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// When the first pod has gone, as after an eviction.
    After,
    /// While the first pod is there, as in a handover.
    Beside,
}

/// A pod that is on one of the nodes and stays there.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) node: &'static str,
    pub(super) labels: Value,
    /// What is merged into its spec.
    pub(super) spec: Value,
    /// Whether it is being deleted and its kubelet does not answer.
    pub(super) is_ending: bool,
}

/// What is there, and what is changed before the replacement comes.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub(super) namespace: String,
    /// What is merged into the nodes, by their short names.
    pub(super) nodes: BTreeMap<&'static str, Value>,
    /// Objects that are there before any node.
    pub(super) first: Vec<Value>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) kind: Kind,
    /// What is merged into the owner's spec besides its template.
    pub(super) owner: Value,
    pub(super) labels: Value,
    /// The spec in the owner's template.
    pub(super) pod: Value,
    /// Patches (RFC 6902) of the running pod: before it is scheduled, and when it runs.
    pub(super) at_birth: Vec<Value>,
    pub(super) in_life: Vec<Value>,
    /// A merge patch of the owner while the first pod runs.
    pub(super) later: Option<Value>,
    pub(super) way: Way,
}

impl Sketch {
    /// Draws a world in which every node takes the replacement: two or three nodes of 4 processors, in two zones.
    pub(super) fn open(namespace: &str, dice: &mut Dice) -> Self {
        let names: &[&str] = if dice.chance(50) { &["a", "b"] } else { &["a", "b", "c"] };
        let mut nodes = BTreeMap::from([(OLD, in_zone(namespace, 1))]);
        for (index, name) in names.iter().enumerate() {
            nodes.insert(name, in_zone(namespace, 1 + index % 2));
        }
        let mut sketch = Self {
            namespace: namespace.to_owned(),
            nodes,
            first: vec![],
            neighbours: vec![],
            kind: Kind::Deployment,
            owner: json!({}),
            labels: json!({ "app": "web" }),
            pod: json!({
                "nodeSelector": { NAMESPACE_LABEL: namespace },
                "tolerations": [{ "key": WORLD, "operator": "Exists" }],
                "containers": [{
                    "name": "main", "image": "app:1",
                    "resources": { "requests": { "cpu": "500m", "memory": "64Mi" } },
                }],
            }),
            at_birth: vec![],
            in_life: vec![],
            later: None,
            way: if dice.chance(50) { Way::After } else { Way::Beside },
        };
        for name in names {
            sketch.offer(name, "cpu", "4");
        }
        sketch
    }

    /// The nodes to which the replacement may go.
    pub(super) fn new_nodes(&self) -> Vec<&'static str> {
        self.nodes.keys().copied().filter(|name| *name != OLD).collect()
    }

    /// A node's name in the cluster.
    pub(super) fn node_name(&self, node: &str) -> String {
        format!("{}-{node}", self.namespace)
    }

    /// The name of a zone in the cluster.
    pub(super) fn zone(&self, number: usize) -> String {
        zone(&self.namespace, number)
    }

    /// Shuts every node by `shut`, except one that is drawn where the replacement is to fit.
    pub(super) fn shut(&mut self, dice: &mut Dice, fits: bool, shut: impl Fn(&mut Self, &'static str)) {
        let names = self.new_nodes();
        let open = *dice.pick(&names);
        for name in names.into_iter().filter(|name| !fits || *name != open) {
            shut(self, name);
        }
    }

    /// Merges something into a node.
    pub(super) fn node(&mut self, node: &str, change: &Value) {
        merge(self.nodes.get_mut(node).expect("a node of the sketch"), change);
    }

    /// Says how much of a resource a node has.
    pub(super) fn offer(&mut self, node: &str, resource: &str, amount: &str) {
        let amount = json!({ resource: amount });
        self.node(node, &json!({ "status": { "allocatable": amount, "capacity": amount } }));
    }

    /// Gives a node a label.
    pub(super) fn label(&mut self, node: &str, key: &str, value: &str) {
        self.node(node, &json!({ "metadata": { "labels": { key: value } } }));
    }

    /// Adds a taint to a node.
    pub(super) fn taint(&mut self, node: &str, key: &str, effect: &str) {
        let node = self.nodes.get_mut(node).expect("a node of the sketch");
        let taints = node["spec"]["taints"].as_array_mut().expect("the taints are a list");
        taints.push(json!({ "key": key, "value": "batch", "effect": effect }));
    }

    /// Puts a pod on a node.
    pub(super) fn neighbour(&mut self, node: &'static str, labels: Value, spec: Value) {
        self.neighbours.push(Neighbour { node, labels, spec, is_ending: false });
    }

    /// Puts a pod on a node that asks for so much.
    pub(super) fn fill(&mut self, node: &'static str, requests: &Value) {
        self.neighbour(node, json!({ "app": "other" }), container(&json!({ "requests": requests })));
    }

    /// The resources of the container that every case has.
    pub(super) fn asks(&mut self, resources: Value) {
        self.pod["containers"][0]["resources"] = resources;
    }

    /// The whole owner, of one pod.
    pub(super) fn owner(&self) -> Value {
        let mut spec = json!({
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": self.labels }, "spec": self.pod },
        });
        if self.kind == Kind::StatefulSet {
            spec["serviceName"] = json!("web");
        }
        merge(&mut spec, &self.owner);
        json!({ "apiVersion": "apps/v1", "kind": format!("{:?}", self.kind), "metadata": { "name": "web" }, "spec": spec })
    }
}

/// The spec of a pod with one container that has these resources.
pub(super) fn container(resources: &Value) -> Value {
    json!({ "containers": [{ "name": "main", "image": "app:1", "resources": resources }] })
}

fn in_zone(namespace: &str, number: usize) -> Value {
    json!({
        "metadata": { "labels": { ZONE: zone(namespace, number) } },
        "spec": { "taints": [{ "key": WORLD, "value": namespace, "effect": "NoSchedule" }] },
    })
}

fn zone(namespace: &str, number: usize) -> String {
    format!("{namespace}-z{number}")
}

/// Merges objects; everything else replaces what is there.
pub(super) fn merge(into: &mut Value, from: &Value) {
    match (into.as_object_mut(), from.as_object()) {
        (Some(into), Some(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        _ => *into = from.clone(),
    }
}
