//! VolumeAttachments: which volumes are attached to which node. The attach-detach controller takes a volume off the node's
//! status before it asks for the detaching; only the end of this object says that it is done
//! (`pkg/controller/volume/attachdetach/reconciler/reconciler.go`).

use k8s_openapi::api::storage::v1;

use crate::identity::NodeName;

/// One VolumeAttachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// The node.
    pub node: NodeName,
    /// The PersistentVolume; `None`: a volume that is written in a pod itself.
    pub volume: Option<String>,
}

impl From<&v1::VolumeAttachment> for Attachment {
    fn from(attachment: &v1::VolumeAttachment) -> Self {
        Self {
            name: attachment.metadata.name.clone().unwrap_or_default(),
            node: NodeName(attachment.spec.node_name.clone()),
            volume: attachment.spec.source.persistent_volume_name.clone(),
        }
    }
}
