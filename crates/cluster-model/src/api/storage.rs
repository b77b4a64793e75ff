//! `storage.k8s.io/v1`: how volumes come to nodes.

#![expect(missing_docs, reason = "the fields are the API's own")]

use k8s_openapi::api::storage::v1;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use super::core::TopologySelectorTerm;
use super::{or_default, part_of};

/// A way to make volumes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageClass {
    pub metadata: ObjectMeta,
    pub allowed_topologies: Option<Vec<TopologySelectorTerm>>,
    pub provisioner: String,
    pub volume_binding_mode: Option<String>,
}
part_of!(StorageClass, v1::StorageClass);

/// The drivers of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSINode {
    pub metadata: ObjectMeta,
    pub spec: CSINodeSpec,
}
part_of!(CSINode, v1::CSINode);

/// The drivers of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSINodeSpec {
    #[serde(deserialize_with = "or_default")]
    pub drivers: Vec<CSINodeDriver>,
}

/// One driver on a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSINodeDriver {
    pub allocatable: Option<VolumeNodeResources>,
    pub name: String,
}

/// How many volumes a driver can bring to a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeNodeResources {
    pub count: Option<i32>,
}

/// A driver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSIDriver {
    pub metadata: ObjectMeta,
    pub spec: CSIDriverSpec,
}
part_of!(CSIDriver, v1::CSIDriver);

/// What a driver asks of the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSIDriverSpec {
    pub prevent_pod_scheduling_if_missing: Option<bool>,
    pub storage_capacity: Option<bool>,
}

/// How much room a driver has, as seen from some nodes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CSIStorageCapacity {
    pub metadata: ObjectMeta,
    pub capacity: Option<Quantity>,
    pub maximum_volume_size: Option<Quantity>,
    pub node_topology: Option<LabelSelector>,
    pub storage_class_name: String,
}
part_of!(CSIStorageCapacity, v1::CSIStorageCapacity);

/// A volume at a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeAttachment {
    pub metadata: ObjectMeta,
    pub spec: VolumeAttachmentSpec,
}
part_of!(VolumeAttachment, v1::VolumeAttachment);

/// Which volume at which node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeAttachmentSpec {
    pub attacher: String,
    pub node_name: String,
    pub source: VolumeAttachmentSource,
}

/// Which volume is attached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeAttachmentSource {
    pub persistent_volume_name: Option<String>,
}
