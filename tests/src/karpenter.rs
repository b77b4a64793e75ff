//! The genuine Karpenter on the tests' control plane, with the provider of its own tests: its machines are Node objects,
//! for which kwok plays the kubelet. Instances, prices and boot times are made up; what Karpenter does with them is not.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON object has not is null")]

use std::fs;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::control_plane::{ControlPlane, programs};
use crate::manifest;

const FIELD_MANAGER: &str = "karpenter-installer";
/// What `control-plane run` calls it.
const PROGRAM: &str = "karpenter";
/// Its custom resources, as they are in its module.
const MANIFESTS: &str = "karpenter-manifests";

/// An installed Karpenter, with a KWOKNodeClass called `default`.
#[derive(Debug)]
pub struct Karpenter {
    control_plane: ControlPlane,
}

impl Karpenter {
    /// Returns the one of this test process, on a control plane of its own, installed on first use.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Karpenter> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Starts a control plane and installs Karpenter. Panics where there is a network interface besides loopback: it
    /// listens on all of them (see scripts/only-loopback).
    pub async fn start() -> Self {
        let control_plane = ControlPlane::start_with(&["--karpenter"]);
        let client = control_plane.client().await;
        manifest::define(&client, FIELD_MANAGER, &definitions(&control_plane)).await;
        control_plane.resume(PROGRAM).await;
        let class = json!({
            "apiVersion": "karpenter.kwok.sh/v1alpha1",
            "kind": "KWOKNodeClass",
            "metadata": { "name": "default" },
            "spec": { "nodeRegistrationDelay": "1s" },
        });
        manifest::apply(&client, FIELD_MANAGER, &class, None).await;
        Self { control_plane }
    }

    /// Returns the schema of one of Karpenter's kinds, from its custom resource; no control plane is started.
    pub fn schema(plural: &str) -> Value {
        let path = programs().join(MANIFESTS).join(format!("karpenter.sh_{plural}.yaml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let definition: Value = serde_saphyr::from_str(text.trim_start_matches("---"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// Returns the control plane on which it is installed.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }
}

fn definitions(control_plane: &ControlPlane) -> Vec<Value> {
    let folder = control_plane.programs().join(MANIFESTS);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let document: Value = serde_saphyr::from_str(text.trim_start_matches("---"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        document
    };
    entries.map(|entry| read(entry.expect("a folder's entries can be read").path())).collect()
}
