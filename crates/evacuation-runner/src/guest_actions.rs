//! Effects on virtual machines: one engine command, one API call, one typed reply.
//!
//! KubeVirt's types live in no crate, so its objects are sent as JSON. Its own subresources are answered by virt-api,
//! which refuses `Accept: application/json` and sends empty bodies (OBSERVED, corrections 3): they are sent as plain
//! requests.

use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::{self, OWN_MIGRATION, VMI_NAME_LABEL, VirtualMachineReply};
use cluster_model::marks::StoppedMachine;
use evacuation::engine::{GuestCommand, Reply};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use crate::actions::{patch_node, patch_reply, removal_reply, without_status};
use crate::eviction_request::evict_request;
use crate::kubevirt_api::Kind;
use api_access::{ApiAccess, CallError};

/// Where KubeVirt serves what is no object.
const SUBRESOURCES: &str = "/apis/subresources.kubevirt.io/v1";

/// Carries out one command. The caller has seen to the lease.
pub(crate) async fn perform(access: &ApiAccess, command: &GuestCommand) -> Reply {
    match command {
        GuestCommand::EvictLauncher { pod } => evict_launcher(access, pod).await,
        GuestCommand::CreateMigration { vm, node } => create_migration(access, vm, node).await,
        GuestCommand::DeleteMigration { migration, uid } => delete(access, Kind::Migration, migration, uid).await,
        GuestCommand::CancelEvacuation { vm, node } => {
            let body = json!({ "evacuationNodeName": node });
            put(access, "virtualmachineinstances", vm, "evacuate/cancel", &body).await
        }
        GuestCommand::RestartMachine { machine } => {
            put(access, "virtualmachines", machine, "restart", &json!({})).await
        }
        GuestCommand::StopMachine { machine } => put(access, "virtualmachines", machine, "stop", &json!({})).await,
        GuestCommand::RestoreMachine { machine } => restore(access, machine).await,
        GuestCommand::DeleteInstance { vm, uid } => delete(access, Kind::Instance, vm, uid).await,
        GuestCommand::RemoveTaint { node, uid, resource_version, others } => {
            let metadata = json!({ "uid": uid, "resourceVersion": resource_version });
            patch_node(access, node, &json!({ "metadata": metadata, "spec": { "taints": others } })).await
        }
    }
}

/// Needs `create pods/eviction`.
async fn evict_launcher(access: &ApiAccess, pod: &PodId) -> Reply {
    let Err(error) = evict_request(access, pod, None, false).await else { return Reply::Done };
    let Some(status) = error.status() else { return without_status(&error) };
    match launcher_answer(status) {
        Some(VirtualMachineReply::Other(_)) | None => removal_reply(Err(error)),
        Some(reply) => Reply::Launcher(reply),
    }
}

/// What KubeVirt means by its answer to an eviction.
pub(crate) fn launcher_answer(status: &kube::core::Status) -> Option<VirtualMachineReply> {
    let body = serde_json::to_value(status).and_then(serde_json::from_value::<Status>).ok()?;
    Some(kubevirt::classify_reply(&body))
}

/// Needs `create virtualmachineinstancemigrations`. No name of ours: KubeVirt lets there be only one at a time for an
/// instance, so what is sent twice is refused the second time.
async fn create_migration(access: &ApiAccess, vm: &ObjectKey, node: &NodeName) -> Reply {
    let object = json!({
        "apiVersion": Kind::Migration.resource().api_version,
        "kind": Kind::Migration.resource().kind,
        "metadata": {
            "namespace": vm.namespace,
            "generateName": "handover-evacuation-",
            "annotations": { OWN_MIGRATION: node },
            "labels": { VMI_NAME_LABEL: vm.name },
        },
        "spec": { "vmiName": vm.name },
    });
    let Ok(object) = serde_json::from_value::<DynamicObject>(object) else {
        return Reply::Denied("the migration cannot be written as JSON".to_owned());
    };
    let params = PostParams { dry_run: false, field_manager: Some(access.field_manager.clone()) };
    let api = Kind::Migration.api(access, &vm.namespace);
    patch_reply(access.call(api.create(&params, &object)).await.map(drop))
}

/// Needs `delete` on the kind.
async fn delete(access: &ApiAccess, kind: Kind, key: &ObjectKey, uid: &Uid) -> Reply {
    let preconditions = Preconditions { uid: Some(uid.0.clone()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let api: Api<DynamicObject> = kind.api(access, &key.namespace);
    match patch_reply(access.call(api.delete(&key.name, &params)).await.map(drop)) {
        // A uid that is another's: ours is gone.
        Reply::Conflict => Reply::Gone,
        reply => reply,
    }
}

/// Needs `patch virtualmachines`. Only what a stop has made of it is changed: a virtual machine that somebody has set
/// to something else since is left alone.
async fn restore(access: &ApiAccess, machine: &StoppedMachine) -> Reply {
    let (field, stopped, before) = match &machine.run_strategy {
        Some(strategy) => ("/spec/runStrategy", json!("Halted"), json!(strategy)),
        None => ("/spec/running", json!(false), json!(true)),
    };
    let patch: Value = json!([
        { "op": "test", "path": "/metadata/uid", "value": machine.uid },
        { "op": "test", "path": field, "value": stopped },
        { "op": "replace", "path": field, "value": before },
    ]);
    let Ok(patch) = serde_json::from_value(patch) else {
        return Reply::Denied("the patch cannot be written as JSON".to_owned());
    };
    let params = PatchParams { field_manager: Some(access.field_manager.clone()), ..PatchParams::default() };
    let api: Api<DynamicObject> = Kind::Machine.api(access, &machine.key.namespace);
    let patch = Patch::<()>::Json(patch);
    match access.call(api.patch(&machine.key.name, &params, &patch)).await {
        Ok(_) => Reply::Done,
        // A test that does not hold: it is another one, or not as the stop left it.
        Err(error) if error.status().is_some_and(|status| status.code == 422) => Reply::Gone,
        Err(error) => patch_reply(Err(error)),
    }
}

/// Asks virt-api for something. Needs `update` on the subresource.
async fn put(access: &ApiAccess, resource: &str, key: &ObjectKey, subresource: &str, body: &Value) -> Reply {
    let path = format!("{SUBRESOURCES}/namespaces/{}/{resource}/{}/{subresource}", key.namespace, key.name);
    let request = Request::builder()
        .method(Method::PUT)
        .uri(path)
        .header(ACCEPT, "*/*")
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Reply::Denied(error.to_string()),
    };
    match access.call(access.client.request_text(request)).await {
        Ok(_) => Reply::Done,
        Err(error) => subresource_reply(&error),
    }
}

/// virt-api answers 401 with an empty body where the right to the whole path is missing (OBSERVED, corrections 4), and
/// 500 for what it will never do.
fn subresource_reply(error: &CallError) -> Reply {
    let Some(status) = error.status() else { return without_status(error) };
    let message = if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() };
    match status.code {
        404 => Reply::Gone,
        401 => Reply::Denied(format!("{message}: the right to the whole path may be missing")),
        400 | 403 | 405 | 406 | 409 | 422 => Reply::Denied(message),
        _ => Reply::Unanswered(message),
    }
}
