//! Effects: one engine command, one API call, one typed reply. Every write is guarded by a uid or a resourceVersion,
//! so that no object of the same name is ever hit in another's stead.

use cluster_model::api::core::{Node, Pod};
use cluster_model::eviction_reply;
use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::marks::{DETACHED_ANNOTATION, DETACHED_HASH, DetachRecord, NodeRun, RUN_ANNOTATION};
use cluster_model::pod::{DELETION_COST, TEMPLATE_HASH};
use evacuation::engine::{Command, Reply};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::eviction_request::evict_request;
use crate::guest_actions;
use crate::lease::LeaseGuard;
use api_access::{ApiAccess, CallError};

/// The highest deletion cost: of two equally good pods, the ReplicaSet deletes the other one.
const NEVER_FIRST: &str = "2147483647";

/// The right and the means to change the cluster.
pub struct ClusterActions<'a> {
    access: &'a ApiAccess,
    guard: &'a LeaseGuard,
}

impl<'a> ClusterActions<'a> {
    /// Takes the lease as a witness: who holds none has nothing to act with.
    pub fn new(access: &'a ApiAccess, guard: &'a LeaseGuard) -> Self {
        Self { access, guard }
    }

    /// Carries out one command. A lease that may have been taken over in the meantime makes it [`Reply::Unanswered`]
    /// with nothing sent: the run loop hears of the loss by itself.
    pub async fn perform(&self, command: &Command) -> Reply {
        if !self.guard.is_held() {
            return Reply::Unanswered("the lease was not renewed in time, so nothing was sent".to_owned());
        }
        match command {
            Command::Cordon { node, resource_version, mark } => self.cordon(node, resource_version, mark).await,
            Command::Mark { node, uid, mark } => self.mark(node, uid, mark).await,
            Command::Release { node, uid, uncordon, labels } => self.release(node, uid, *uncordon, labels).await,
            Command::Detach { pod, resource_version, record } => self.detach(pod, resource_version, record).await,
            Command::Look { pod } => self.look(pod).await,
            Command::Reattach { pod, record } => self.reattach(pod, record).await,
            Command::ClearRecord { pod, deletion_cost } => self.clear_record(pod, deletion_cost.as_deref()).await,
            Command::Evict { pod, grace_seconds } => self.evict(pod, *grace_seconds).await,
            Command::Delete { pod, grace_seconds } => self.delete(pod, *grace_seconds).await,
            Command::Guest(command) => guest_actions::perform(self.access, command).await,
        }
    }

    /// Needs `patch nodes`.
    async fn cordon(&self, node: &NodeName, resource_version: &str, mark: &NodeRun) -> Reply {
        let patch = json!({
            "metadata": { "resourceVersion": resource_version, "annotations": { RUN_ANNOTATION: text_of(mark) } },
            "spec": { "unschedulable": true },
        });
        self.patch_node(node, &patch).await
    }

    /// Needs `patch nodes`.
    async fn mark(&self, node: &NodeName, uid: &Uid, mark: &NodeRun) -> Reply {
        let labels = mark.labels_added.iter().filter_map(|label| label.split_once('='));
        let labels: Map<String, Value> = labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
        let annotations = json!({ RUN_ANNOTATION: text_of(mark) });
        let patch = json!({ "metadata": { "uid": uid, "annotations": annotations, "labels": labels } });
        self.patch_node(node, &patch).await
    }

    /// Needs `patch nodes`.
    async fn release(&self, node: &NodeName, uid: &Uid, uncordon: bool, labels: &[String]) -> Reply {
        let labels: Map<String, Value> = labels.iter().map(|key| (key.clone(), Value::Null)).collect();
        let annotations = json!({ RUN_ANNOTATION: null });
        let mut patch = json!({ "metadata": { "uid": uid, "annotations": annotations, "labels": labels } });
        if uncordon && let Some(object) = patch.as_object_mut() {
            object.insert("spec".to_owned(), json!({ "unschedulable": null }));
        }
        self.patch_node(node, &patch).await
    }

    /// Needs `patch pods`.
    async fn detach(&self, pod: &PodId, resource_version: &str, record: &DetachRecord) -> Reply {
        self.patch_pod(pod, &detach_patch(pod, resource_version, record), false).await
    }

    /// Needs `get pods`.
    async fn look(&self, pod: &PodId) -> Reply {
        match self.access.call(self.pods(pod).get_opt(&pod.name)).await {
            Ok(Some(found)) if found.metadata.uid.as_ref() == Some(&pod.uid.0) => {
                Reply::Seen(Box::new(cluster_model::pod::Pod::from(&found)))
            }
            Ok(_) => Reply::Gone,
            Err(error) => Reply::Unanswered(words(&error)),
        }
    }

    /// Needs `patch pods`.
    async fn reattach(&self, pod: &PodId, record: &DetachRecord) -> Reply {
        let mut metadata = Map::from_iter([
            ("uid".to_owned(), json!(pod.uid)),
            ("labels".to_owned(), json!({ TEMPLATE_HASH: record.hash })),
            ("annotations".to_owned(), json!({ DELETION_COST: NEVER_FIRST })),
        ]);
        // A ReplicaSet adopts a pod that nobody owns; one that was given away is given back. Not blocking the owner's deletion,
        // as an adoption does: OwnerReferencesPermissionEnforcement asks for a right of its own for that.
        if let Some(namespace) = &record.given_to {
            let owner = json!({
                "apiVersion": record.kind.api_version(), "kind": record.kind, "name": record.replica_set,
                "uid": record.replica_set_uid, "controller": true,
            });
            metadata.insert("ownerReferences".to_owned(), json!([{ "$patch": "delete", "uid": namespace }, owner]));
        }
        self.patch_pod(pod, &json!({ "metadata": metadata }), false).await
    }

    /// Needs `patch pods`.
    async fn clear_record(&self, pod: &PodId, deletion_cost: Option<&str>) -> Reply {
        let patch = json!({ "metadata": {
            "uid": pod.uid,
            "annotations": { DETACHED_ANNOTATION: null, DELETION_COST: deletion_cost },
        } });
        self.patch_pod(pod, &patch, false).await
    }

    /// Needs `create pods/eviction`.
    async fn evict(&self, pod: &PodId, grace_seconds: Option<u32>) -> Reply {
        removal_reply(evict_request(self.access, pod, grace_seconds, false).await)
    }

    /// Needs `delete pods`.
    async fn delete(&self, pod: &PodId, grace_seconds: Option<u32>) -> Reply {
        let params = DeleteParams {
            grace_period_seconds: grace_seconds,
            preconditions: Some(kube::api::Preconditions { uid: Some(pod.uid.0.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        removal_reply(self.access.call(self.pods(pod).delete(&pod.name, &params)).await.map(drop))
    }

    fn pods(&self, pod: &PodId) -> Api<Pod> {
        Api::namespaced(self.access.client.clone(), &pod.namespace)
    }

    async fn patch_node(&self, node: &NodeName, patch: &Value) -> Reply {
        patch_node(self.access, node, patch).await
    }

    async fn patch_pod(&self, pod: &PodId, patch: &Value, dry_run: bool) -> Reply {
        patch_pod(self.access, pod, patch, dry_run).await
    }
}

/// Sends a strategic merge patch to a node.
pub(crate) async fn patch_node(access: &ApiAccess, node: &NodeName, patch: &Value) -> Reply {
    let nodes = Api::<Node>::all(access.client.clone());
    let params = PatchParams { field_manager: Some(access.field_manager.clone()), ..PatchParams::default() };
    patch_reply(access.call(nodes.patch_metadata(&node.0, &params, &Patch::Strategic(patch))).await.map(drop))
}

/// Sends a strategic merge patch to a pod.
pub(crate) async fn patch_pod(access: &ApiAccess, pod: &PodId, patch: &Value, dry_run: bool) -> Reply {
    let pods = Api::<Pod>::namespaced(access.client.clone(), &pod.namespace);
    let params = PatchParams { field_manager: Some(access.field_manager.clone()), dry_run, ..PatchParams::default() };
    patch_reply(access.call(pods.patch_metadata(&pod.name, &params, &Patch::Strategic(patch))).await.map(drop))
}

/// The patch that takes a pod out of its ReplicaSet: new hash, record and ownership in one write, so that no moment
/// exists in which the pod is detached and nobody knows how to undo it.
pub(crate) fn detach_patch(pod: &PodId, resource_version: &str, record: &DetachRecord) -> Value {
    let namespace = record.given_to.as_ref().map(
        |uid| json!({ "apiVersion": "v1", "kind": "Namespace", "name": pod.namespace, "uid": uid, "controller": true }),
    );
    let owners = std::iter::once(json!({ "$patch": "delete", "uid": record.replica_set_uid })).chain(namespace);
    json!({ "metadata": {
        "uid": pod.uid,
        "resourceVersion": resource_version,
        "labels": { TEMPLATE_HASH: DETACHED_HASH },
        "annotations": { DETACHED_ANNOTATION: text_of(record) },
        "ownerReferences": owners.collect::<Vec<_>>(),
    } })
}

fn text_of(mark: &impl Serialize) -> String {
    // The marks are plain structs of strings and numbers: they always serialise.
    serde_json::to_string(mark).unwrap_or_default()
}

pub(crate) fn patch_reply(answer: Result<(), CallError>) -> Reply {
    let Err(error) = answer else { return Reply::Done };
    let Some(status) = error.status() else { return without_status(&error) };
    let is_about_uid = || {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.map(|cause| cause.field.as_str()).any(|field| field == "metadata.uid")
    };
    match status.code {
        404 => Reply::Gone,
        409 => Reply::Conflict,
        // The name belongs to another object by now.
        422 if is_about_uid() => Reply::Gone,
        400 | 401 | 403 | 405 | 422 => Reply::Denied(status.message.clone()),
        _ => Reply::Unanswered(status.message.clone()),
    }
}

pub(crate) fn removal_reply(answer: Result<(), CallError>) -> Reply {
    let Err(error) = answer else { return Reply::Done };
    let Some(status) = error.status() else { return without_status(&error) };
    let body = serde_json::to_value(status).and_then(serde_json::from_value::<Status>);
    match body.map(|body| eviction_reply::classify(&body)) {
        Ok(eviction_reply::EvictionReply::Unexpected { code: 500..=599, message }) => Reply::Unanswered(message),
        Ok(reply) => Reply::Evicted(reply),
        Err(_) => Reply::Unanswered(status.message.clone()),
    }
}

/// A request that could not even be built fails for ever; everything else may have reached the server.
pub(crate) fn without_status(error: &CallError) -> Reply {
    match error {
        CallError::Client(kube::Error::BuildRequest(_) | kube::Error::HttpError(_)) => Reply::Denied(words(error)),
        _ => Reply::Unanswered(words(error)),
    }
}

/// The error with its causes, each said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
