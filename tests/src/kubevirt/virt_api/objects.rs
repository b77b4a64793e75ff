//! The objects that virt-api looks up, each time from the API server itself.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::VirtApi;
use crate::kubevirt::NAMESPACE;
use crate::kubevirt::install::KUBEVIRT;

/// The kinds of `kubevirt.io/v1` that virt-api reads and writes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    VirtualMachine,
    VirtualMachineInstance,
    Migration,
    KubeVirt,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::VirtualMachine => "VirtualMachine",
            Self::VirtualMachineInstance => "VirtualMachineInstance",
            Self::Migration => "VirtualMachineInstanceMigration",
            Self::KubeVirt => "KubeVirt",
        }
    }
}

impl VirtApi {
    pub(super) fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kubevirt.io", "v1", kind.name()));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    pub(super) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(super) fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    pub(super) async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, kube::Error> {
        let object = self.api(kind, namespace).get(name).await?;
        serde_json::to_value(object).map_err(kube::Error::SerdeError)
    }

    /// Sends a JSON patch of an object.
    pub(super) async fn patch(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: Value,
        dry_run: &[String],
    ) -> Result<(), kube::Error> {
        let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
        let api = self.api(kind, namespace);
        api.patch(name, &parameters(dry_run), &Patch::<()>::Json(patch)).await.map(drop)
    }

    /// Sends a JSON patch of a VirtualMachine's status.
    pub(super) async fn patch_status(
        &self,
        namespace: &str,
        name: &str,
        patch: Value,
        dry_run: &[String],
    ) -> Result<(), kube::Error> {
        let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
        let api = self.api(Kind::VirtualMachine, namespace);
        api.patch_status(name, &parameters(dry_run), &Patch::<()>::Json(patch)).await.map(drop)
    }

    /// Returns the KubeVirt object as it is now; the genuine virt-api watches it.
    pub(super) async fn kubevirt(&self) -> Value {
        self.get(Kind::KubeVirt, NAMESPACE, KUBEVIRT).await.unwrap_or_default()
    }
}

/// Returns whether the options of a request say that nothing is to be kept.
pub(super) fn is_dry_run(options: &[String]) -> bool {
    options.iter().any(|option| option == "All")
}

fn parameters(dry_run: &[String]) -> PatchParams {
    PatchParams { dry_run: is_dry_run(dry_run), ..PatchParams::default() }
}

/// Returns what a Go client prints of an error: the server's message.
pub(super) fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Returns whether the server says that there is no such object.
pub(super) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Returns the status of a condition of an object, if it has it.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Returns whether a VMI's guest has ended for good.
pub(super) fn is_final(vmi: &Value) -> bool {
    matches!(vmi["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}
