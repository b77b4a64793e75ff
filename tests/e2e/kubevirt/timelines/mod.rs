//! What the stand-in for virt-controller and virt-handler does, step by step, as the genuine ones were seen to do it
//! (OBSERVED (a) to (j)). KubeVirt's own waits are scaled; `ControllerSetup` says which.

mod evacuation;

use e2e::Namespace;
use e2e::kubevirt::machine;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

/// Asks for the eviction of a pod as kubectl does; returns code and message of the answer.
async fn evict(ns: &Namespace, pod: &str) -> (u16, String) {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": ns.name() },
    });
    let request = Request::post(format!("/api/v1/namespaces/{}/pods/{pod}/eviction", ns.name()))
        .header("Content-Type", "application/json")
        .body(eviction.to_string().into_bytes())
        .unwrap();
    // The client of the tests would ask again after each 429.
    let client = ns.control_plane().forwarding_client(ns.user()).await;
    match client.request::<Value>(request).await {
        Ok(_) => (201, String::new()),
        Err(error) => {
            let kube::Error::Api(status) = error else { unreachable!("evict {pod}: {error}") };
            (status.code, status.message.clone())
        }
    }
}

/// Evicts the only launcher of a VMI that has not ended; returns its name and the answer.
async fn evict_launcher(ns: &Namespace, vmi: &str) -> (Pod, u16, String) {
    let mut launchers = machine::launchers(ns, vmi).await;
    launchers.retain(|pod| !matches!(phase_of(pod), "Succeeded" | "Failed"));
    assert_eq!(launchers.len(), 1, "one living launcher of {vmi}");
    let pod = launchers.remove(0);
    let (code, message) = evict(ns, &pod.name_any()).await;
    (pod, code, message)
}

fn phase_of(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
