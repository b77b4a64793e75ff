//! ReplicaSets and ReplicationControllers: who is the newest of a Deployment, and what its template would ask of the
//! scheduler. Both are one controller in Kubernetes (`pkg/controller/replication/conversion.go`), and so they are here.

use crate::api::apps as v1;
use crate::api::core::{self, PodSpec};
use serde::{Deserialize, Serialize};

use crate::identity::{ControllerRef, ObjectKey, Uid};
use crate::pod::TEMPLATE_HASH;
use crate::selector::Selector;

/// The annotation in which a Deployment counts its revisions.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation in which a Deployment notes how many replicas it wants in all.
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";

/// Which of the two kinds it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetKind {
    /// `apps/v1`.
    #[default]
    ReplicaSet,
    /// `v1`.
    ReplicationController,
}

impl SetKind {
    /// Whether it is a ReplicaSet, which almost all are.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_replica_set(&self) -> bool {
        *self == Self::ReplicaSet
    }

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
        }
    }

    /// Its group and version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ReplicaSet => "apps/v1",
            Self::ReplicationController => "v1",
        }
    }
}

/// One ReplicaSet or ReplicationController.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSet {
    /// Which of the two.
    pub kind: SetKind,
    /// Which ReplicaSet.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: Uid,
    /// Its Deployment, or another owner; `None` if it stands alone.
    pub controller: Option<ControllerRef>,
    /// The pods that it claims.
    pub selector: Selector,
    /// Its own `pod-template-hash` label.
    pub template_hash: Option<String>,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.replicas`.
    pub current_replicas: i32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// The Deployment's revision; 0 where there is none.
    pub revision: i64,
    /// How many replicas its Deployment wants in all, as noted by the Deployment's controller.
    pub desired_replicas: Option<i32>,
    /// Whether its deletion was asked for.
    pub is_terminating: bool,
    /// Why it cannot create pods: condition ReplicaFailure (quota, webhook …).
    pub failure: Option<String>,
    /// What its template asks of the scheduler, as far as a second copy could collide with the first.
    pub template: TemplateRules,
}

/// The rules of a pod template under which an old pod can stand in the way of its own replacement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateRules {
    /// A DoNotSchedule spread that tells pods apart by their template hash.
    pub spreads_by_template_hash: bool,
    /// Required anti-affinity.
    pub anti_affinity: Vec<AntiAffinity>,
    /// The labels of the pods to come.
    pub labels: crate::selector::Labels,
}

/// One required anti-affinity term.
#[derive(Clone, Debug, PartialEq)]
pub struct AntiAffinity {
    /// The node label whose values are the domains.
    pub topology_key: String,
    /// The pods to keep away from.
    pub selector: Selector,
}

impl From<&v1::ReplicaSet> for ReplicaSet {
    fn from(set: &v1::ReplicaSet) -> Self {
        let spec = set.spec.as_ref();
        let status = set.status.as_ref();
        let annotation = |key: &str| set.metadata.annotations.as_ref().and_then(|all| all.get(key));
        let template = spec.and_then(|spec| spec.template.as_ref());
        let labels = template.and_then(|template| template.metadata.as_ref()).and_then(|data| data.labels.clone());
        Self {
            kind: SetKind::ReplicaSet,
            key: ObjectKey::of(&set.metadata),
            uid: Uid(set.metadata.uid.clone().unwrap_or_default()),
            controller: ControllerRef::among(set.metadata.owner_references.as_deref()),
            selector: Selector::from_label_selector(spec.map(|spec| &spec.selector)),
            template_hash: set.metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH)).cloned(),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            current_replicas: status.map_or(0, |status| status.replicas),
            min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            revision: annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0),
            desired_replicas: annotation(DESIRED_REPLICAS).and_then(|text| text.parse().ok()),
            is_terminating: set.metadata.deletion_timestamp.is_some(),
            failure: failure(status.and_then(|status| status.conditions.as_deref())),
            template: template
                .and_then(|template| template.spec.as_ref())
                .map(|spec| TemplateRules::of(spec, labels.unwrap_or_default()))
                .unwrap_or_default(),
        }
    }
}

impl From<&core::ReplicationController> for ReplicaSet {
    fn from(controller: &core::ReplicationController) -> Self {
        let spec = controller.spec.as_ref();
        let status = controller.status.as_ref();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let labels = template.and_then(|template| template.metadata.as_ref()).and_then(|data| data.labels.clone());
        Self {
            kind: SetKind::ReplicationController,
            key: ObjectKey::of(&controller.metadata),
            uid: Uid(controller.metadata.uid.clone().unwrap_or_default()),
            controller: ControllerRef::among(controller.metadata.owner_references.as_deref()),
            selector: Selector::from_map(spec.and_then(|spec| spec.selector.as_ref())),
            template_hash: None,
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            current_replicas: status.map_or(0, |status| status.replicas),
            min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            revision: 0,
            desired_replicas: None,
            is_terminating: controller.metadata.deletion_timestamp.is_some(),
            failure: failure(status.and_then(|status| status.conditions.as_deref())),
            template: template
                .and_then(|template| template.spec.as_ref())
                .map(|spec| TemplateRules::of(spec, labels.unwrap_or_default()))
                .unwrap_or_default(),
        }
    }
}

fn failure(conditions: Option<&[v1::Condition]>) -> Option<String> {
    let conditions = conditions.unwrap_or_default();
    let failed = conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    failed.map(|condition| condition.message.clone().unwrap_or_else(|| "it cannot create pods".to_owned()))
}

impl TemplateRules {
    fn of(spec: &PodSpec, labels: crate::selector::Labels) -> Self {
        let spreads = spec.topology_spread_constraints.iter().flatten();
        let spreads_by_template_hash = spreads
            .filter(|spread| spread.when_unsatisfiable == "DoNotSchedule")
            .any(|spread| spread.match_label_keys.iter().flatten().any(|key| key == TEMPLATE_HASH));
        let anti_affinity = spec
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
            .and_then(|anti| anti.required_during_scheduling_ignored_during_execution.as_ref())
            .into_iter()
            .flatten()
            // Kept away by template hash, a pod is not in the way of its replacement once it has another hash.
            .filter(|term| !term.match_label_keys.iter().flatten().any(|key| key == TEMPLATE_HASH))
            .map(|term| AntiAffinity {
                topology_key: term.topology_key.clone(),
                selector: Selector::from_label_selector(term.label_selector.as_ref()),
            })
            .collect();
        Self { spreads_by_template_hash, anti_affinity, labels }
    }
}

impl ReplicaSet {
    /// Whether it has a private label: its selector holds `pod-template-hash`, so a pod without that value is not its.
    pub fn has_private_key(&self) -> bool {
        self.template_hash.is_some() && self.selector.mentions(TEMPLATE_HASH)
    }

    /// Whether `other` belongs to the same Deployment.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        match (&self.controller, &other.controller) {
            (Some(own), Some(others)) => own.uid == others.uid,
            _ => false,
        }
    }
}
