//! Keeps the manifests of pods that no controller makes again, before they go: clean, so that `kubectl apply` makes them
//! anew on another node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cluster_model::identity::PodId;
use evacuation::plan::DrainPlan;
use evacuation_runner::documents;
use kubectl_common::failure::Failure;
use serde_json::{Map, Value, json};

use crate::failure::{CommandError, call_failed};
use crate::session::Session;
use crate::whole_file;

/// The volume through which a pod reads its service account's token; the API server adds it.
const TOKEN_VOLUME: &str = "kube-api-access-";
/// Fields of a pod's spec that the API server, the scheduler or the priority class sets.
const SET_BY_OTHERS: [&str; 5] = ["nodeName", "serviceAccount", "priority", "preemptionPolicy", "ephemeralContainers"];
/// What the API server makes every pod tolerate for five minutes.
const DEFAULT_TOLERATIONS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Writes a manifest of each pod of the plan that goes and that nobody makes again. Returns the files.
///
/// # Errors
///
/// A pod cannot be read, or its file cannot be written: then none may go.
pub(crate) async fn keep(session: &Session, folder: &Path, plan: &DrainPlan) -> Result<Vec<PathBuf>, Failure> {
    let lost: Vec<_> = plan.pods().filter(|(_, pod)| pod.is_lost).collect();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::Keeping { path, source }
    };
    if !lost.is_empty() {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    let mut files = Vec::new();
    for (_, pod) in lost {
        let found = documents::pod(&session.access, &pod.pod).await;
        let found = found.map_err(|error| call_failed(session, &error, &format!("get pod {}", pod.pod)))?;
        // One that is gone meanwhile is not ours to keep.
        let Some(document) = found else { continue };
        let path = folder.join(file_name(&pod.pod));
        let text = serde_saphyr::to_string(&manifest(&document)).map_err(|error| io::Error::other(error.to_string()));
        text.and_then(|text| whole_file::write(&path, &text)).map_err(failed(&path))?;
        files.push(path);
    }
    Ok(files)
}

/// A pod of the same name that comes later is another one.
fn file_name(pod: &PodId) -> String {
    let uid: String = pod.uid.0.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{}_{}_{uid}.yaml", pod.namespace, pod.name)
}

/// Returns what somebody would have written to make the pod.
fn manifest(pod: &Value) -> Value {
    let metadata = pod.get("metadata");
    let of_metadata = |key: &str| metadata.and_then(|all| all.get(key)).cloned();
    let mut kept = Map::new();
    for key in ["name", "namespace", "labels"] {
        kept.extend(of_metadata(key).map(|value| (key.to_owned(), value)));
    }
    if let Some(Value::Object(mut annotations)) = of_metadata("annotations") {
        annotations.retain(|key, _| !key.starts_with("kubectl.kubernetes.io/") && !key.starts_with("handover/"));
        if !annotations.is_empty() {
            kept.insert("annotations".to_owned(), annotations.into());
        }
    }
    let mut spec = pod.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    spec.retain(|key, _| !SET_BY_OTHERS.contains(&key.as_str()));
    retain(&mut spec, "volumes", |volume| !has_name(volume, "name", TOKEN_VOLUME));
    retain(&mut spec, "tolerations", |toleration| {
        let key = toleration.get("key").and_then(Value::as_str).unwrap_or_default();
        !(DEFAULT_TOLERATIONS.contains(&key) && toleration.get("tolerationSeconds") == Some(&json!(300)))
    });
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                retain(container, "volumeMounts", |mount| !has_name(mount, "name", TOKEN_VOLUME));
            }
        }
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": kept, "spec": spec })
}

fn has_name(value: &Value, key: &str, prefix: &str) -> bool {
    value.get(key).and_then(Value::as_str).is_some_and(|name| name.starts_with(prefix))
}

/// Keeps what is wanted of a list; an empty one is none.
fn retain(map: &mut Map<String, Value>, list: &str, is_wanted: impl Fn(&Value) -> bool) {
    let Some(Value::Array(items)) = map.get_mut(list) else { return };
    items.retain(is_wanted);
    if items.is_empty() {
        map.remove(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_what_somebody_would_have_written() {
        let token = json!({ "name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets" });
        let pod = json!({
            "metadata": {
                "name": "tool", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": { "app": "tool" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "keep" },
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "generation": 1,
            },
            "spec": {
                "nodeName": "n1", "serviceAccount": "default", "serviceAccountName": "default", "priority": 0,
                "preemptionPolicy": "PreemptLowerPriority",
                "containers": [{ "name": "main", "image": "tool:1", "volumeMounts": [token, { "name": "data", "mountPath": "/d" }] }],
                "initContainers": [{ "name": "first", "volumeMounts": [token] }],
                "volumes": [{ "name": "kube-api-access-x7k2p" }, { "name": "data", "emptyDir": {} }],
                "tolerations": [
                    { "key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 300 },
                    { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 60 },
                ],
            },
            "status": { "phase": "Running" },
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "tool", "namespace": "shop", "labels": { "app": "tool" }, "annotations": { "note": "keep" } },
            "spec": {
                "serviceAccountName": "default",
                "containers": [{ "name": "main", "image": "tool:1", "volumeMounts": [{ "name": "data", "mountPath": "/d" }] }],
                "initContainers": [{ "name": "first" }],
                "volumes": [{ "name": "data", "emptyDir": {} }],
                "tolerations": [{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 60 }],
            },
        });
        assert_eq!(manifest(&pod), expected);
        assert_eq!(
            file_name(&PodId { namespace: "shop".into(), name: "tool".into(), uid: "1234-5678-9".into() }),
            "shop_tool_12345678.yaml"
        );
    }
}
