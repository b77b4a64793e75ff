//! OpenShift's own custom resources for machines, with a small stand-in for its controllers, which cannot be had as
//! modules. Nothing that is seen here was seen on OpenShift.
//!
//! The stand-in follows `pkg/controller/machineset` of github.com/openshift/machine-api-operator as it is published: a
//! MachineSet counts the machines whose labels its selector matches, but for those that another one controls and those
//! that are being deleted; it adopts those that nobody controls; it makes what is missing and deletes what is too much,
//! those with the annotation `machine.openshift.io/delete-machine` first. A machine becomes a Node object, for which kwok
//! plays the kubelet, and goes with it, undrained: the tests empty nodes before.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON object has not is null")]

mod controller;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::background::Background;
use crate::control_plane::{ControlPlane, programs};
use crate::manifest;
use crate::rest::Rest;
use crate::wait::eventually;

const FIELD_MANAGER: &str = "openshift-installer";
/// The custom resources, as they are in OpenShift's module.
const MANIFESTS: &str = "openshift-manifests";
/// Kinds whose custom resources cannot be had, with schemas that take anything: a version that the server prefers and
/// that does not serve the others of its group, and what scales MachineSets.
const FREE: [(&str, &str, &str); 3] = [
    ("machine.openshift.io", "v1", "ControlPlaneMachineSet"),
    ("autoscaling.openshift.io", "v1", "ClusterAutoscaler"),
    ("autoscaling.openshift.io", "v1beta1", "MachineAutoscaler"),
];
/// It looks for new kinds every thirty seconds.
const COLLECTED: Duration = Duration::from_secs(120);

/// MachineSets that make nodes; they end when this is dropped.
#[derive(Debug)]
pub struct OpenShift {
    control_plane: ControlPlane,
    _controller: Background,
}

impl OpenShift {
    /// Returns the one of this test process, on the control plane that tests share, installed on first use.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<OpenShift> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let control_plane = ControlPlane::shared().clone();
                let client = control_plane.client().await;
                let mut definitions: Vec<_> =
                    ["machines-Default", "machinesets-Default", "machinehealthchecks"].map(definition).into();
                definitions.extend(FREE.map(free_definition));
                manifest::define(&client, FIELD_MANAGER, &definitions).await;
                are_collected(Rest(client)).await;
                let controller = controller::start(&control_plane);
                Self { control_plane, _controller: controller }
            })
            .await
    }

    /// Returns the schema of MachineSet, from its custom resource; no control plane is started.
    pub fn schema() -> Value {
        definition("machinesets-Default")["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// Returns the control plane on which they are.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }
}

/// Waits until the garbage collector knows the kinds. One that does not yet know which machines a MachineSet has takes
/// these for garbage when the set is deleted with `--cascade=orphan`.
async fn are_collected(rest: Rest) {
    let machines = "/apis/machine.openshift.io/v1beta1/namespaces/default/machines";
    let owner = json!({
        "apiVersion": "machine.openshift.io/v1beta1", "kind": "MachineSet", "name": "gone", "uid": "gone",
    });
    let garbage = json!({
        "apiVersion": "machine.openshift.io/v1beta1", "kind": "Machine",
        "metadata": { "name": "garbage", "ownerReferences": [owner] }, "spec": {},
    });
    rest.create(machines, &garbage).await.expect("a Machine can be made");
    let garbage = format!("{machines}/garbage");
    eventually("the garbage collector knows Machines", COLLECTED, || async { rest.get(&garbage).await.is_none() })
        .await;
}

fn free_definition((group, version, kind): (&str, &str, &str)) -> Value {
    let singular = kind.to_lowercase();
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{singular}s.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": format!("{singular}s"), "singular": singular,
            },
            "versions": [{
                "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

fn definition(name: &str) -> Value {
    let path = programs().join(MANIFESTS).join(format!("0000_10_machine-api_01_{name}.crd.yaml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    serde_saphyr::from_str(text.trim_start_matches("---")).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
