//! The server's own word on pods that are to come: each is sent as a dry run, and quotas, limits, security rules and webhooks
//! judge it. Nothing is kept.

use crate::documents;
use api_access::{ApiAccess, CallError};
use cluster_model::api::core;
use cluster_model::identity::ControllerRef;
use serde_json::{Value, json};

/// The server's word.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// It would make this pod.
    Made(Box<core::Pod>),
    /// It would not, in these words.
    Refused(String),
    /// This user may not make pods, or its kind is not one whose template is known.
    Unheard,
}

/// Kinds with a template whose pods move, by their plurals.
const MAKERS: [(&str, &str); 4] = [
    ("ReplicaSet", "replicasets"),
    ("StatefulSet", "statefulsets"),
    ("ReplicationController", "replicationcontrollers"),
    ("Job", "jobs"),
];

/// Asks whether a pod of this controller's would be made. Needs the rights to get the controller and to create pods.
pub async fn ask(access: &ApiAccess, namespace: &str, maker: &ControllerRef) -> Result<Word, CallError> {
    let Some((_, plural)) = MAKERS.iter().find(|(kind, _)| *kind == maker.kind) else { return Ok(Word::Unheard) };
    let root = if maker.api_version.contains('/') { "apis" } else { "api" };
    let ControllerRef { api_version, name, .. } = maker;
    let path = format!("/{root}/{api_version}/namespaces/{namespace}/{plural}/{name}");
    let object = match documents::read(access, &path).await {
        Ok(object) => object,
        Err(error) if error.status().is_some_and(|status| matches!(status.code, 403 | 404)) => {
            return Ok(Word::Unheard);
        }
        Err(error) => return Err(error),
    };
    let Some(pod) = pod_of(&object, namespace, name) else { return Ok(Word::Unheard) };
    let body = serde_json::to_vec(&pod).unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let answer = access
        .ask(|| async {
            let request = http::Request::post(&path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone())
                .map_err(kube::Error::HttpError)?;
            access.client.request::<core::Pod>(request).await
        })
        .await;
    match answer {
        Ok(pod) => Ok(Word::Made(Box::new(pod))),
        Err(error) => match error.status() {
            // By the reason, only the user's own rights are told so.
            Some(status) if status.code == 403 && status.message.contains("cannot create resource") => {
                Ok(Word::Unheard)
            }
            Some(status) if (400..500).contains(&status.code) => Ok(Word::Refused(status.message.clone())),
            _ => Err(error),
        },
    }
}

/// The pod that a controller would make.
fn pod_of(object: &Value, namespace: &str, name: &str) -> Option<Value> {
    let template = object.pointer("/spec/template")?;
    let mut metadata = template.get("metadata").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let fields = metadata.as_object_mut()?;
    fields.insert("generateName".to_owned(), json!(format!("{name}-")));
    fields.insert("namespace".to_owned(), json!(namespace));
    fields.remove("creationTimestamp");
    let spec = template.get("spec")?;
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}
