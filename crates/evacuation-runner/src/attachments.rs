//! VolumeAttachments, read as JSON: their type holds every kind of volume that there is, and would weigh more in the program
//! than all that is read of them.

use cluster_model::attachment::Attachment;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};

use crate::observe::ListError;
use crate::virtual_machines::{each_dynamic, json_of};
use api_access::ApiAccess;

fn resource() -> ApiResource {
    ApiResource {
        group: "storage.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "storage.k8s.io/v1".to_owned(),
        kind: "VolumeAttachment".to_owned(),
        plural: "volumeattachments".to_owned(),
    }
}

/// All of the cluster.
pub(crate) fn api(access: &ApiAccess) -> Api<DynamicObject> {
    Api::all_with(access.client.clone(), &resource())
}

/// Lists them.
pub(crate) async fn list(access: &ApiAccess) -> Result<Vec<Attachment>, ListError> {
    let mut all = Vec::new();
    each_dynamic(access, &api(access), &resource(), &ListParams::default(), |object| {
        all.push(Attachment::from(object));
    })
    .await?;
    Ok(all)
}

/// Reads one that a watch has brought.
pub(crate) fn read(object: &DynamicObject) -> Attachment {
    Attachment::from(&json_of(object))
}
