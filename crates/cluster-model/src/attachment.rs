//! VolumeAttachments: which volumes are attached to which node. The attach-detach controller takes a volume off the node's
//! status before it asks for the detaching; only the end of this object says that it is done
//! (`pkg/controller/volume/attachdetach/reconciler/reconciler.go`).

use serde_json::Value;

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

impl From<&Value> for Attachment {
    /// Reads the object as the server says it; what it does not say is empty.
    fn from(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Self {
            name: text("/metadata/name").unwrap_or_default(),
            node: NodeName(text("/spec/nodeName").unwrap_or_default()),
            volume: text("/spec/source/persistentVolumeName"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attachment_is_read_as_the_server_says_it() {
        let source = json!({ "persistentVolumeName": "pv-1" });
        let object = json!({ "metadata": { "name": "csi-1" }, "spec": { "nodeName": "n1", "source": source } });
        let expected = Attachment { name: "csi-1".into(), node: NodeName::from("n1"), volume: Some("pv-1".into()) };
        assert_eq!(Attachment::from(&object), expected);
    }
}
