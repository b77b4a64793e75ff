//! What an installation puts into the cluster: the custom resources, the KubeVirt object, webhooks and the APIService.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::definitions::custom_resource_definitions;
use super::{NAMESPACE, Setup};
use crate::manifest::{self, api_of};
use crate::namespace::from_json;
use crate::wait::{self, DEADLINE, eventually};

/// The name of the KubeVirt object, in the namespace of the same name.
pub(crate) const KUBEVIRT: &str = "kubevirt";

/// The APIService of the subresources.
pub(crate) const API_SERVICE: &str = "v1.subresources.kubevirt.io";

const FIELD_MANAGER: &str = "kubevirt-stand-in";

/// A new webhook answers as soon as the API server's own watch has shown it.
const WEBHOOK_DEADLINE: Duration = Duration::from_secs(30);

/// The label of the namespace in which the stand-in was installed.
const STAND_IN: &str = "handover.test/kubevirt-stand-in";

/// Panics in a cluster whose KubeVirt is not the stand-in: its webhooks and custom resources would be overwritten.
pub(crate) async fn refuse_genuine(client: &Client) {
    let found = Api::<Namespace>::all(client.clone()).get_opt(NAMESPACE).await;
    let found = found.unwrap_or_else(|error| panic!("look for a KubeVirt: {error}"));
    let is_ours = found.is_none_or(|namespace| namespace.metadata.labels.unwrap_or_default().contains_key(STAND_IN));
    assert!(is_ours, "this cluster has a namespace {NAMESPACE} already: the stand-in would destroy a genuine KubeVirt");
}

/// Applies the CustomResourceDefinitions and waits until their kinds are served.
pub(crate) async fn custom_resources(client: &Client) {
    let definitions = custom_resource_definitions();
    manifest::define(client, FIELD_MANAGER, &definitions).await;
}

async fn apply(client: &Client, object: &Value, subresource: Option<&str>) {
    manifest::apply(client, FIELD_MANAGER, object, subresource).await;
}

/// Applies the namespace and the KubeVirt object with the status that virt-operator would have written.
pub(crate) async fn kubevirt_object(client: &Client, setup: &Setup) {
    let metadata = json!({ "name": NAMESPACE, "labels": { STAND_IN: "" } });
    apply(client, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }), None).await;
    let object = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": { "name": KUBEVIRT, "namespace": NAMESPACE },
        "spec": { "configuration": setup.configuration() },
    });
    apply(client, &object, None).await;
    write_status(client, &setup.version).await;
}

/// Writes the status of the KubeVirt object as that of a deployed `version`, for example `v1.9.0`.
pub(crate) async fn write_status(client: &Client, version: &str) {
    let object = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": { "name": KUBEVIRT, "namespace": NAMESPACE },
        "status": {
            "phase": "Deployed",
            // OBSERVED, corrections 1: without it every VMI is refused.
            "defaultArchitecture": "amd64",
            "observedKubeVirtVersion": version,
            "operatorVersion": version,
            "targetKubeVirtVersion": version,
        },
    });
    apply(client, &object, Some("status")).await;
}

/// Registers virt-api, which listens on `port` with `certificate` (PEM), with the API server; returns once the API
/// server asks it.
pub(crate) async fn virt_api(client: &Client, port: u16, certificate: &str) {
    for object in super::virt_api::webhook_configurations(port, certificate) {
        apply(client, &object, None).await;
    }
    // OBSERVED, confirmed 8.2: a Service of type ExternalName leads to a port of this machine.
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "virt-api", "namespace": NAMESPACE },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    apply(client, &service, None).await;
    apply(client, &api_service(port), None).await;
    api_service_available(client).await;
    webhooks_answer(client).await;
}

/// Takes away what [`virt_api`] has registered.
pub(crate) async fn take_away_virt_api(client: &Client) {
    for object in super::virt_api::webhook_configurations(0, "").into_iter().chain([api_service(0)]) {
        let (api, name) = api_of(client, &object);
        api.delete(&name, &DeleteParams::default())
            .await
            .unwrap_or_else(|error| panic!("delete {} {name}: {error}", object["kind"]));
    }
}

fn api_service(port: u16) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": API_SERVICE },
        "spec": {
            "group": "subresources.kubevirt.io",
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "insecureSkipTLSVerify": true,
            "service": { "namespace": NAMESPACE, "name": "virt-api", "port": port },
        },
    })
}

/// Makes the API server look at the APIService again, instead of at its next turn, and waits until it can be reached.
pub(crate) async fn look_at_api_service(client: &Client, reason: &str) {
    let patch = json!({ "metadata": { "annotations": { "kubevirt-stand-in/reason": reason } } });
    Api::<APIService>::all(client.clone())
        .patch(API_SERVICE, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap_or_else(|error| panic!("annotate the APIService {API_SERVICE}: {error}"));
    api_service_available(client).await;
}

async fn api_service_available(client: &Client) {
    let config = watcher::Config::default().fields(&format!("metadata.name={API_SERVICE}"));
    let api = Api::<APIService>::all(client.clone());
    wait::until(api, config, "virt-api is available to the API server", DEADLINE, |services| {
        services.iter().any(|service| {
            service.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                conditions.iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
            })
        })
    })
    .await;
}

/// Waits until the API server passes requests on: it learns a moment later than others that an APIService is available.
pub(crate) async fn subresources_answer(client: &Client) {
    let path = "/apis/subresources.kubevirt.io/v1";
    eventually("virt-api's subresources answer", DEADLINE, || async {
        let request = http::Request::get(path).body(Vec::new()).expect("a path makes a request");
        client.request_text(request).await.is_ok()
    })
    .await;
}

/// Waits until a VMI that is created goes through both of virt-api's webhook configurations.
async fn webhooks_answer(client: &Client) {
    let probe = |labels: Value| {
        json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": { "name": "probe", "namespace": NAMESPACE, "labels": labels },
            "spec": { "domain": { "devices": {} } },
        })
    };
    let (api, _) = api_of(client, &probe(json!({})));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("virt-api's webhooks answer", WEBHOOK_DEADLINE, || async {
        let mutated = api.create(&dry_run, &from_json(probe(json!({})))).await;
        let refused = api.create(&dry_run, &from_json(probe(json!({ "kubevirt.io/nodeName": "n" })))).await;
        mutated.is_ok_and(|object| object.data["status"]["phase"] == "Pending")
            && matches!(refused, Err(kube::Error::Api(status)) if status.code == 422)
    })
    .await;
}
