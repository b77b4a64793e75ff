//! What the stand-in for virt-controller and virt-handler does, step by step, as the genuine ones were seen to do it
//! (OBSERVED (a) to (j)). KubeVirt's own waits are scaled on the shared stand-in: see `KubeVirt::shared`.

mod cancelling;
mod evacuation;
mod failures;
mod heartbeat;
mod hotplug;
mod limits;
mod owners;
mod record;
mod shutdown;
mod targets;

use std::time::Duration;

use e2e::kubevirt::machine;
use e2e::{KubeVirt, Namespace};
use http::{Method, Request};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time;

use record::MIGRATION;

/// By how much the shared stand-in's waits are shorter than KubeVirt's.
const DIVISOR: f64 = 40.0;

/// A namespace with two nodes on which guests can run, on the shared stand-in.
async fn two_nodes(purpose: &str) -> (Namespace, String, String) {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), purpose).await;
    let a = machine::node(&ns, "a").create().await;
    let b = machine::node(&ns, "b").create().await;
    (ns, a, b)
}

/// Asks for the eviction of a pod as kubectl does; returns code and message of the answer.
async fn evict(ns: &Namespace, pod: &str) -> (u16, String) {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": ns.name() },
    });
    send(ns, Method::POST, &format!("/api/v1/namespaces/{}/pods/{pod}/eviction", ns.name()), &eviction).await
}

/// Evicts the only launcher of a VMI that has not ended; returns its name and the answer.
async fn evict_launcher(ns: &Namespace, vmi: &str) -> (String, u16, String) {
    let mut launchers = machine::launchers(ns, vmi).await;
    launchers.retain(|pod| !matches!(phase_of(pod), "Succeeded" | "Failed"));
    assert_eq!(launchers.len(), 1, "one living launcher of {vmi}");
    let pod = launchers.remove(0).name_any();
    let (code, message) = evict(ns, &pod).await;
    (pod, code, message)
}

/// Sends a request once; returns code and message of the answer.
async fn send(ns: &Namespace, method: Method, path: &str, body: &Value) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, */*")
        .body(body.to_string().into_bytes())
        .unwrap();
    // The other client of the tests would ask again after each 429.
    let client = ns.control_plane().forwarding_client(ns.user()).await;
    match client.request_text(request).await {
        Ok(_) => (200, String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => unreachable!("{path}: {error}"),
    }
}

/// Calls a subresource of a VM or VMI, for example `virtualmachines/vm-a/restart`.
pub(crate) async fn put(ns: &Namespace, subresource: &str, body: &Value) -> (u16, String) {
    let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{}/{subresource}", ns.name());
    send(ns, Method::PUT, &path, body).await
}

fn phase_of(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Makes a node unschedulable, or schedulable again.
async fn cordon(ns: &Namespace, node: &str, is_cordoned: bool) {
    let patch = json!({ "spec": { "unschedulable": is_cordoned } });
    ns.nodes().patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Waits until a migration is as `is_so` says; returns it.
async fn until_migration(ns: &Namespace, description: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let found = machine::until(ns, MIGRATION, description, |all| all.iter().any(&is_so)).await;
    found.into_iter().find(is_so).unwrap()
}

/// Lets time pass in which something must not happen.
async fn nothing_for(duration: Duration) {
    time::sleep(duration).await;
}

/// Returns the events of an object as `REASON xCOUNT`, in the order in which they were first told.
async fn events(ns: &Namespace, object: &Value) -> Vec<String> {
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let parameters = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let mut events = ns.api::<Event>().list(&parameters).await.unwrap().items;
    // Within a second only the version tells the order.
    let version = |event: &Event| event.resource_version().and_then(|version| version.parse::<u64>().ok());
    events.sort_by_key(|event| (event.first_timestamp.clone(), version(event)));
    let told = |event: &Event| format!("{} x{}", event.reason.as_deref().unwrap(), event.count.unwrap());
    events.iter().map(told).collect()
}

/// Returns whether an object has an event with this reason whose message contains a text.
async fn has_event(ns: &Namespace, object: &Value, reason: &str, text: &str) -> bool {
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let parameters = ListParams::default().fields(&format!("involvedObject.uid={uid},reason={reason}"));
    let events = ns.api::<Event>().list(&parameters).await.unwrap().items;
    events.iter().any(|event| event.message.as_deref().unwrap_or_default().contains(text))
}
