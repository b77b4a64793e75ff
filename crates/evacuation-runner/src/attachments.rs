//! VolumeAttachments, for what waits until a volume is off a node.

use cluster_model::attachment::Attachment;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};

use crate::dynamic::{self, each_of, json_of};
use crate::observe::ListError;
use api_access::ApiAccess;

fn resource() -> ApiResource {
    dynamic::resource("storage.k8s.io", "VolumeAttachment", "volumeattachments")
}

/// All of the cluster.
pub(crate) fn api(access: &ApiAccess) -> Api<DynamicObject> {
    Api::all_with(access.client.clone(), &resource())
}

/// Lists them.
pub(crate) async fn list(access: &ApiAccess) -> Result<Vec<Attachment>, ListError> {
    let mut all = Vec::new();
    each_of(access, &resource(), |object| all.push(Attachment::from(object))).await?;
    Ok(all)
}

/// Reads one that a watch has brought.
pub(crate) fn read(object: &DynamicObject) -> Attachment {
    Attachment::from(&json_of(object))
}
