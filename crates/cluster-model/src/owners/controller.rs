//! Controllers of which only one thing matters here: which orphaned pods they would adopt.

use crate::api::{apps, batch};

use crate::identity::{ObjectKey, Uid};
use crate::selector::Selector;

/// A controller that claims pods by label.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    /// The kind, for the person who reads the reason.
    pub kind: &'static str,
    /// Which object.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: Uid,
    /// The pods that it would adopt if nobody owned them.
    pub selector: Selector,
    /// How many pods it is to have, for a kind that says so.
    pub replicas: Option<i32>,
}

macro_rules! controller_from {
    ($type:ty, $kind:literal, $selector:expr, $replicas:expr) => {
        impl From<&$type> for Controller {
            fn from(object: &$type) -> Self {
                let read: fn(&$type) -> Selector = $selector;
                let replicas: fn(&$type) -> Option<i32> = $replicas;
                Self {
                    kind: $kind,
                    key: ObjectKey::of(&object.metadata),
                    uid: Uid(object.metadata.uid.clone().unwrap_or_default()),
                    selector: read(object),
                    replicas: replicas(object),
                }
            }
        }
    };
}

controller_from!(
    apps::StatefulSet,
    "StatefulSet",
    |set| Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector)),
    |set| Some(set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1))
);
controller_from!(
    apps::DaemonSet,
    "DaemonSet",
    |set| Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector)),
    |_| None
);
controller_from!(
    batch::Job,
    "Job",
    |job| Selector::from_label_selector(job.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
    |_| None
);
