//! The genuine core manager of Cluster API on the tests' control plane, with a provider that is none of any vendor's:
//! its machines are Node objects, for which kwok plays the kubelet. Management and workload cluster are the same.
//!
//! | module | what it plays |
//! |---|---|
//! | `definitions` | the provider's custom resources, with the labels that Cluster API's contract asks for |
//! | `provider` | an infrastructure, bootstrap and control plane provider by the contract of v1beta2 |

#![expect(
    clippy::indexing_slicing,
    reason = "a field that a JSON object has not is null, and the objects that are indexed for writing are objects"
)]

mod definitions;
mod provider;

use std::fs;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::background::Background;
use crate::control_plane::{ControlPlane, programs};
use crate::manifest;

const FIELD_MANAGER: &str = "cluster-api-installer";
/// What `control-plane run` calls the manager.
const PROGRAM: &str = "cluster-api";

/// An installed Cluster API with its provider, which ends when this is dropped.
#[derive(Debug)]
pub struct ClusterApi {
    control_plane: ControlPlane,
    _provider: Background,
}

impl ClusterApi {
    /// Returns the one of this test process, on a control plane of its own, installed on first use.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ClusterApi> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Starts a control plane and installs the genuine core manager and the provider. Panics where there is a network
    /// interface besides loopback: the manager's webhooks listen on all of them (see scripts/only-loopback).
    pub async fn start() -> Self {
        let control_plane = ControlPlane::start_with(&["--cluster-api"]);
        let client = control_plane.client().await;
        let manifests = Manifests::read(&control_plane);
        manifest::define(&client, FIELD_MANAGER, &manifests.definitions).await;
        manifest::define(&client, FIELD_MANAGER, &definitions::custom_resource_definitions()).await;
        control_plane.resume(PROGRAM).await;
        for webhook in &manifests.webhooks {
            manifest::apply(&client, FIELD_MANAGER, webhook, None).await;
        }
        webhooks_answer(&client).await;
        let provider = provider::start(&control_plane);
        Self { control_plane, _provider: provider }
    }

    /// Returns the schema of one of Cluster API's own kinds, from its custom resource; no control plane is started.
    pub fn schema(kind: &str, version: &str) -> Value {
        let plural = format!("{}s", kind.to_lowercase());
        let path = programs().join("cluster-api-manifests").join(format!("cluster.x-k8s.io_{plural}.yaml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let text = text.trim_start_matches("---");
        let definition: Value =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        let found = versions.into_iter().find(|one| one["name"] == version);
        found.unwrap_or_else(|| panic!("{kind} has a version {version}"))["schema"]["openAPIV3Schema"].clone()
    }

    /// Returns the control plane on which it is installed.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }
}

/// Cluster API's own manifests, led to where its manager listens here.
struct Manifests {
    definitions: Vec<Value>,
    webhooks: Vec<Value>,
}

impl Manifests {
    fn read(control_plane: &ControlPlane) -> Self {
        let folder = control_plane.programs().join("cluster-api-manifests");
        let server = control_plane.webhooks().expect("the control plane was started with --cluster-api");
        let authority = control_plane.authority();
        let client = |path: &str| json!({ "url": format!("{server}{path}"), "caBundle": authority });
        let mut read = Self { definitions: Vec::new(), webhooks: Vec::new() };
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display())) {
            let path = entry.expect("a folder's entries can be read").path();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
            for document in text.split("\n---\n").map(|part| part.trim_start_matches("---")) {
                let mut document: Value =
                    serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                if document["kind"] == "CustomResourceDefinition" {
                    document["spec"]["conversion"] = json!({
                        "strategy": "Webhook",
                        "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": client("/convert") },
                    });
                    // What clusterctl adds: which contracts the manager serves.
                    for label in ["v1beta1", "v1beta2"] {
                        document["metadata"]["labels"][format!("cluster.x-k8s.io/{label}")] = json!(label);
                    }
                    read.definitions.push(document);
                } else {
                    let webhooks = document["webhooks"].as_array_mut().expect("it is a list of webhooks");
                    for webhook in webhooks {
                        let path = manifest::text(webhook, "/clientConfig/service/path").to_owned();
                        webhook["clientConfig"] = client(&path);
                    }
                    read.webhooks.push(document);
                }
            }
        }
        read
    }
}

/// Waits until Cluster API's defaults reach an object that is created.
async fn webhooks_answer(client: &Client) {
    let probe = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2",
        "kind": "MachineDeployment",
        "metadata": { "name": "probe", "namespace": "default" },
        "spec": {
            "clusterName": "probe",
            "template": { "spec": {
                "clusterName": "probe",
                "bootstrap": { "dataSecretName": "probe" },
                "infrastructureRef": { "apiGroup": definitions::INFRASTRUCTURE, "kind": "FooMachineTemplate", "name": "probe" },
            } },
        },
    });
    let (api, _) = manifest::api_of(client, &probe);
    let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
    crate::eventually("Cluster API's webhooks answer", crate::wait::DEADLINE, || async {
        // The selector is required, and only the webhook gives one.
        api.create(&dry_run, &crate::namespace::from_json(probe.clone())).await.is_ok()
    })
    .await;
}
