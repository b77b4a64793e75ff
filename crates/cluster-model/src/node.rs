//! What a drain needs to know of a node.

use crate::api::core as v1;

use crate::identity::{NodeName, Uid};
use crate::selector::Labels;
use crate::{marks, wishes};

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Which node.
    pub name: NodeName,
    /// `metadata.uid`: a node that is made anew under the same name is another one.
    pub uid: Uid,
    /// `metadata.resourceVersion`, for guarded writes.
    pub resource_version: String,
    /// All labels.
    pub labels: Labels,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// Whether condition Ready is True.
    pub ready: bool,
    /// Who else is emptying or removing it, by its taints.
    pub holders: Vec<String>,
    /// `handover/run`, unread: [`marks::NodeRun`] judges it.
    pub run: Option<String>,
}

impl From<&v1::Node> for Node {
    fn from(node: &v1::Node) -> Self {
        let metadata = &node.metadata;
        Self {
            name: NodeName(metadata.name.clone().unwrap_or_default()),
            uid: Uid(metadata.uid.clone().unwrap_or_default()),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
            ready: node
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref())
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            holders: wishes::holders(node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()),
            run: metadata.annotations.as_ref().and_then(|all| all.get(marks::RUN_ANNOTATION)).cloned(),
        }
    }
}
