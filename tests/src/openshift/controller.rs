//! The stand-in for OpenShift's controllers of MachineSets and Machines.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time;

use crate::background::Background;
use crate::control_plane::ControlPlane;
use crate::manifest::text;
use crate::namespace::NAMESPACE_LABEL;
use crate::rest::Rest;

const TURN: Duration = Duration::from_millis(250);
const FINALIZER: &str = "machine.machine.openshift.io";
const API: &str = "/apis/machine.openshift.io/v1beta1";

pub(super) fn start(control_plane: &ControlPlane) -> Background {
    let control_plane = control_plane.clone();
    Background::start("openshift", async move || {
        let turns = Turns { rest: Rest(control_plane.client().await) };
        loop {
            turns.machines().await;
            turns.sets().await;
            time::sleep(TURN).await;
        }
    })
}

struct Turns {
    rest: Rest,
}

impl Turns {
    async fn sets(&self) {
        let machines = self.rest.items(&format!("{API}/machines")).await;
        for set in self.rest.items(&format!("{API}/machinesets")).await {
            if set["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            let mut own = Vec::new();
            for machine in machines.iter().filter(|machine| is_counted(&set, machine)) {
                if owner(machine).is_none() {
                    let owners = json!({ "metadata": { "ownerReferences": [reference(&set)] } });
                    self.rest.merge(&path("machines", machine), &owners).await;
                }
                own.push(machine);
            }
            let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or_default();
            for _ in own.len()..wanted {
                self.make(&set).await;
            }
            own.sort_by_key(|machine| {
                !machine["metadata"]["annotations"]["machine.openshift.io/delete-machine"].is_string()
            });
            for machine in own.iter().take(own.len().saturating_sub(wanted)) {
                self.rest.delete(&path("machines", machine)).await;
            }
            let ready = own.iter().filter(|machine| machine["status"]["phase"] == "Running").count();
            let status = json!({
                "replicas": own.len(), "fullyLabeledReplicas": own.len(), "readyReplicas": ready,
                "availableReplicas": ready, "observedGeneration": set["metadata"]["generation"],
            });
            self.report(&path("machinesets", &set), &set, &status).await;
        }
    }

    async fn make(&self, set: &Value) {
        let template = &set["spec"]["template"];
        let machine = json!({
            "apiVersion": "machine.openshift.io/v1beta1",
            "kind": "Machine",
            "metadata": {
                "generateName": format!("{}-", text(set, "/metadata/name")),
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [reference(set)],
                "finalizers": [FINALIZER],
            },
            "spec": template["spec"],
        });
        let namespace = text(set, "/metadata/namespace");
        self.rest.create(&format!("{API}/namespaces/{namespace}/machines"), &machine).await;
    }

    async fn machines(&self) {
        for machine in self.rest.items(&format!("{API}/machines")).await {
            let (namespace, name) = (text(&machine, "/metadata/namespace"), text(&machine, "/metadata/name"));
            let path = path("machines", &machine);
            let node = format!("/api/v1/nodes/{name}");
            if machine["metadata"]["deletionTimestamp"].is_string() {
                self.rest.delete(&node).await;
                if self.rest.get(&node).await.is_none() {
                    self.rest.merge(&path, &json!({ "metadata": { "finalizers": null } })).await;
                }
                continue;
            }
            match self.rest.get(&node).await {
                None => self.join(namespace, name, &machine).await,
                Some(node) => {
                    let is_ready = node["status"]["conditions"]
                        .as_array()
                        .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
                    let phase = if is_ready { "Running" } else { "Provisioned" };
                    let status = json!({
                        "phase": phase,
                        "nodeRef": { "kind": "Node", "name": name, "uid": node["metadata"]["uid"] },
                    });
                    self.report(&path, &machine, &status).await;
                }
            }
        }
    }

    /// The node's size comes from the opaque part of the template: a copy that loses some of it makes smaller nodes.
    async fn join(&self, namespace: &str, name: &str, machine: &Value) {
        let value = &machine["spec"]["providerSpec"]["value"];
        let resources = json!({
            "cpu": value["cpu"].as_u64().unwrap_or(1).to_string(),
            "memory": value["memory"].as_str().unwrap_or("1Gi"),
            "pods": "110",
        });
        let mut labels = json!({
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            NAMESPACE_LABEL: namespace,
        });
        for (key, value) in machine["spec"]["metadata"]["labels"].as_object().into_iter().flatten() {
            labels[key] = value.clone();
        }
        let annotations =
            json!({ "kwok.x-k8s.io/node": "fake", "machine.openshift.io/machine": format!("{namespace}/{name}") });
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name, "labels": labels, "annotations": annotations },
            "spec": { "taints": machine["spec"]["taints"] },
            "status": { "capacity": resources, "allocatable": resources },
        });
        self.rest.create("/api/v1/nodes", &node).await;
    }

    /// Writes a status where it says something new.
    async fn report(&self, path: &str, object: &Value, status: &Value) {
        let is_known =
            status.as_object().is_some_and(|all| all.iter().all(|(key, value)| object["status"][key] == *value));
        if !is_known {
            self.rest.merge(&format!("{path}/status"), &json!({ "status": status })).await;
        }
    }
}

/// Whether a set counts a machine: its selector matches, and no other one controls it.
fn is_counted(set: &Value, machine: &Value) -> bool {
    let labels = set["spec"]["selector"]["matchLabels"].as_object();
    let matches = labels.is_some_and(|labels| {
        !labels.is_empty() && labels.iter().all(|(key, value)| machine["metadata"]["labels"][key] == *value)
    });
    matches
        && machine["metadata"]["namespace"] == set["metadata"]["namespace"]
        && machine["metadata"]["deletionTimestamp"].is_null()
        && owner(machine).is_none_or(|uid| set["metadata"]["uid"] == uid)
}

fn owner(machine: &Value) -> Option<&str> {
    machine["metadata"]["ownerReferences"].as_array()?.first()?["uid"].as_str()
}

fn reference(set: &Value) -> Value {
    json!({
        "apiVersion": "machine.openshift.io/v1beta1", "kind": "MachineSet", "name": set["metadata"]["name"],
        "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

fn path(plural: &str, object: &Value) -> String {
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    format!("{API}/namespaces/{namespace}/{plural}/{name}")
}
