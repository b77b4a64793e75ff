//! What a copy of a Cluster API pool may not take over from its source, and why.

use serde_json::{Map, Value};

use crate::copy_plan::{self, OF_THE_CONTROLLER};
use crate::difference::escaped;
use crate::document::Editor;
use crate::mark::FROZEN;

/// The prefix of the Cluster Autoscaler's limits, which make it the owner of a pool's size.
const AUTOSCALER: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-";

pub(super) const AUTOSCALING: &str = "autoscaling is off until the old pool is gone";
pub(super) const NOT_PAUSED: &str = "a paused copy would never make a node";

/// Returns who changes a pool's size.
pub(super) fn scaled_by(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?;
    let limit = |end: &str| annotations.get(format!("{AUTOSCALER}{end}-size")).and_then(Value::as_str);
    let (least, most) = (limit("min"), limit("max"));
    (least.is_some() || most.is_some())
        .then(|| format!("Cluster Autoscaler, {} to {}", least.unwrap_or("0"), most.unwrap_or("any number")))
}

/// Returns whether an annotation makes the autoscaler the owner of a pool's size.
pub(super) fn is_autoscaling(key: &str) -> bool {
    key.starts_with(AUTOSCALER)
}

/// Takes out of the metadata at `map`'s parent what a copy may not have. Returns the autoscaling settings.
pub(super) fn strip_metadata(editor: &mut Editor, metadata: &str) -> Map<String, Value> {
    let annotations = format!("{metadata}/annotations");
    let mut autoscaling = editor.remove_entries(&annotations, |key| is_autoscaling(key).then_some(AUTOSCALING));
    // Of a pool whose growth was stopped before, they are kept in an annotation.
    let kept = editor.get(&format!("{annotations}/{}", escaped(FROZEN))).and_then(Value::as_str);
    if let Some(kept) = kept.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok()) {
        autoscaling.extend(kept);
    }
    editor.remove_entries(&annotations, |key| match key {
        "cluster.x-k8s.io/paused" => Some(NOT_PAUSED),
        "topology.cluster.x-k8s.io/defer-upgrade" | "topology.cluster.x-k8s.io/hold-upgrade-sequence" => {
            Some("the copy is to be upgraded with its cluster")
        }
        _ if key.starts_with("machinedeployment.clusters.x-k8s.io/") => Some(OF_THE_CONTROLLER),
        _ if key.starts_with("cluster.x-k8s.io/cloned-from-") => Some(OF_THE_CONTROLLER),
        _ => None,
    });
    copy_plan::strip_marks(editor, metadata);
    autoscaling
}
