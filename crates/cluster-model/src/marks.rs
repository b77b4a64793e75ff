//! What a run writes into the cluster, and when a later run may believe it.
//!
//! There is no local journal: a detached pod carries how to give it back, a node carries what was changed on it.
//! Both are versioned JSON in annotations, found again by one list.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{NodeName, ObjectKey, Uid};
use crate::legible::Legible;
use crate::node::Node;
use crate::owners::{ReplicaSet, SetKind};
use crate::pod::{Pod, TEMPLATE_HASH};

/// The value of `pod-template-hash` on a detached pod. Constant, so that one list finds them all and network plugins
/// that derive identities from labels see no new key.
pub const DETACHED_HASH: &str = "handover";
/// The annotation that holds a [`DetachRecord`].
pub const DETACHED_ANNOTATION: &str = "handover/detached";
/// The annotation that holds a [`NodeRun`].
pub const RUN_ANNOTATION: &str = "handover/run";
/// The version written by this program; a newer one is read as unbelievable.
pub const VERSION: u32 = 1;

/// How to give a detached pod back to its ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetachRecord {
    /// The format's version.
    pub v: u32,
    /// Whether it is a ReplicaSet or a ReplicationController that the pod belongs to.
    #[serde(default, skip_serializing_if = "SetKind::is_replica_set")]
    pub kind: SetKind,
    /// The ReplicaSet's name.
    pub replica_set: String,
    /// The ReplicaSet's uid.
    pub replica_set_uid: Uid,
    /// The value that `pod-template-hash` had; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Where a label alone would not part it from its ReplicaSet: the uid of its namespace, to which it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_to: Option<Uid>,
    /// The run that detached it.
    pub run: String,
    /// The node that it runs on.
    pub node: NodeName,
    /// When, by the operator's clock.
    pub at: Timestamp,
    /// The deletion cost that it had; `None`: no such annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_cost: Option<String>,
    /// How many pods of the ReplicaSet were available just before, itself included.
    pub available_before: i32,
    /// The same with the workload's other detached pods, which served too. A later run cannot tell whose replacement a
    /// new pod is; by this number it knows how many have to serve.
    #[serde(default)]
    pub serving_before: i32,
}

/// Why a mark is not acted upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    /// It does not parse.
    #[error("annotation {DETACHED_ANNOTATION} cannot be read: {}", Legible(.0))]
    Unreadable(String),
    /// A newer program wrote it.
    #[error("annotation {DETACHED_ANNOTATION} has version {0}, this program knows {VERSION}")]
    Newer(u32),
    /// No ReplicaSet has that name, uid and hash.
    #[error("its record names ReplicaSet {}, and no ReplicaSet with that uid and hash exists", Legible(.name))]
    NoSuchReplicaSet {
        /// The name in the record.
        name: String,
    },
    /// Given its hash back, the pod would still not be one of that ReplicaSet's.
    #[error("its record names ReplicaSet {}, whose selector does not match the pod", Legible(.name))]
    NotItsPod {
        /// The name in the record.
        name: String,
    },
    /// Somebody owns it.
    #[error("it is managed by {}", Legible(.owner))]
    Owned {
        /// Kind and name of the owner.
        owner: String,
    },
}

impl DetachRecord {
    /// Parses the annotation.
    pub fn parse(text: &str) -> Result<Self, Disbelief> {
        let record: Self = serde_json::from_str(text).map_err(|error| Disbelief::Unreadable(error.to_string()))?;
        if record.v > VERSION {
            return Err(Disbelief::Newer(record.v));
        }
        Ok(record)
    }

    /// Checks the record against what the server says; only then it counts. Clauses:
    ///
    /// 1. the ReplicaSet (or ReplicationController) exists with the recorded uid and hash;
    /// 2. nobody else manages the pod;
    /// 3. with the recorded hash in place, the ReplicaSet's selector matches the pod.
    pub fn believe(&self, pod: &Pod, replica_set: Option<&ReplicaSet>) -> Result<(), Disbelief> {
        let named = replica_set.filter(|set| {
            set.uid == self.replica_set_uid
                && set.key.name == self.replica_set
                && set.key.namespace == pod.id.namespace
                && set.kind == self.kind
                && (self.given_to.is_some() || set.template_hash == self.hash)
        });
        let Some(replica_set) = named else {
            return Err(Disbelief::NoSuchReplicaSet { name: self.replica_set.clone() });
        };
        if let Some(owner) = pod.controller.as_ref().filter(|owner| owner.uid != self.replica_set_uid) {
            return Err(Disbelief::Owned { owner: format!("{} {}", owner.kind, owner.name) });
        }
        let mut labels = pod.labels.clone();
        match &self.hash {
            Some(hash) => drop(labels.insert(TEMPLATE_HASH.to_owned(), hash.clone())),
            None => drop(labels.remove(TEMPLATE_HASH)),
        }
        if !replica_set.selector.matches(&labels) {
            return Err(Disbelief::NotItsPod { name: self.replica_set.clone() });
        }
        Ok(())
    }
}

/// The label that keeps a node out of the load balancers outside of the cluster
/// (`k8s.io/cloud-provider/controllers/service/controller.go`).
pub const EXCLUDED_FROM_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What a run changed on a node, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRun {
    /// The format's version.
    pub v: u32,
    /// The run's id.
    pub run: String,
    /// Who runs it, as the kubeconfig names them.
    pub user: String,
    /// When it began, by the operator's clock.
    pub start: Timestamp,
    /// What `--reason` said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The program and its version.
    pub version: String,
    /// How far it came.
    pub phase: RunPhase,
    /// Whether the node was schedulable before: only then undo uncordons it.
    pub was_schedulable: bool,
    /// Taints that were added, `key=value:effect`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints_added: Vec<String>,
    /// Labels that were added, `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_added: Vec<String>,
    /// The options of the run, for the person who finds the mark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Virtual machines whose run strategy a stop turns to Halted, written down before the first of them is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<StoppedMachine>,
}

/// A virtual machine that a run stops, and how to give back what that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoppedMachine {
    /// The VirtualMachine.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// Its uid.
    pub uid: Uid,
    /// The run strategy that it had; `None`: it said `running: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_strategy: Option<String>,
}

/// Why the mark of a cordoned node is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownMark {
    /// It does not parse.
    #[error("annotation {RUN_ANNOTATION} cannot be read: {}", Legible(.0))]
    Unreadable(String),
    /// A newer program wrote it.
    #[error("annotation {RUN_ANNOTATION} has version {0}, this program knows {VERSION}")]
    Newer(u32),
}

/// How far a run came on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunPhase {
    /// Pods are being moved, or the run stopped part-way.
    Draining,
    /// Everything that could leave has left.
    Drained,
    /// The run's changes are being given back.
    Undoing,
}

impl NodeRun {
    /// Reads the mark of a node. `None` if there is none, if it cannot be read, if a newer program wrote it, or if it
    /// is stale: somebody uncordoned the node since, so the run is over whatever the mark says.
    pub fn of(node: &Node) -> Option<Self> {
        Self::read(node).ok().flatten()
    }

    /// Reads the mark like [`NodeRun::of`], but tells one that cannot be understood from none: who overwrites it
    /// forgets whether the node was schedulable before.
    pub fn read(node: &Node) -> Result<Option<Self>, UnknownMark> {
        let Some(text) = node.run.as_deref().filter(|_| node.unschedulable) else { return Ok(None) };
        let run: Self = serde_json::from_str(text).map_err(|error| UnknownMark::Unreadable(error.to_string()))?;
        if run.v > VERSION { Err(UnknownMark::Newer(run.v)) } else { Ok(Some(run)) }
    }

    /// Returns the labels that the mark of a node tells of and that are still there, also where somebody has uncordoned
    /// the node since.
    pub fn labels_left(node: &Node) -> Vec<String> {
        let run = node.run.as_deref().and_then(|text| serde_json::from_str::<Self>(text).ok());
        let mut labels = run.map(|run| run.labels_added).unwrap_or_default();
        labels.retain(|label| node.labels.contains_key(label.split('=').next().unwrap_or(label)));
        labels
    }

    /// Returns the name of the program that wrote the mark: `safedrain` of `safedrain/0.1.0`.
    pub fn plugin(&self) -> Option<&str> {
        self.version.split_once('/').map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn record() -> DetachRecord {
        DetachRecord {
            v: VERSION,
            replica_set: "web-1".into(),
            replica_set_uid: Uid::from("uid-web-1"),
            kind: SetKind::ReplicaSet,
            hash: Some("h1".into()),
            given_to: None,
            run: "r1".into(),
            node: NodeName::from("n1"),
            at: fixtures::at(10),
            deletion_cost: None,
            available_before: 1,
            serving_before: 1,
        }
    }

    #[test]
    fn a_record_survives_its_own_format() {
        let text = serde_json::to_string(&record()).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"replicaSet":"web-1","replicaSetUid":"uid-web-1","hash":"h1","run":"r1","node":"n1","at":"1970-01-01T00:00:10Z","availableBefore":1,"servingBefore":1}"#
        );
        assert_eq!(DetachRecord::parse(&text), Ok(record()));
    }

    #[test]
    fn a_record_counts_only_when_the_server_agrees() {
        let set = fixtures::replica_set("shop", "web", 1);
        let pod = fixtures::pod("shop", "web").labelled(&[("app", "web"), (TEMPLATE_HASH, DETACHED_HASH)]).build();
        assert_eq!(record().believe(&pod, Some(&set)), Ok(()));

        let no_set = Disbelief::NoSuchReplicaSet { name: "web-1".into() };
        assert_eq!(record().believe(&pod, None), Err(no_set.clone()));
        let remade = ReplicaSet { uid: Uid::from("another"), ..set.clone() };
        assert_eq!(record().believe(&pod, Some(&remade)), Err(no_set.clone()));
        // What was given away keeps whatever hash it had, which its owner may know nothing of.
        let given = DetachRecord { hash: Some("h9".into()), given_to: Some(Uid::from("uid-shop")), ..record() };
        let bare = ReplicaSet {
            template_hash: None,
            selector: fixtures::selector(&[("app", "web")]),
            ..fixtures::replica_set("shop", "web", 1)
        };
        let orphan = fixtures::pod("shop", "web-a").labelled(&[("app", "web"), (TEMPLATE_HASH, DETACHED_HASH)]).build();
        assert_eq!(given.believe(&orphan, Some(&bare)), Ok(()));
        let other_hash = DetachRecord { hash: Some("h2".into()), ..record() };
        assert_eq!(other_hash.believe(&pod, Some(&set)), Err(no_set));
        let stranger = fixtures::pod("shop", "db").labelled(&[("app", "db")]).build();
        assert_eq!(record().believe(&stranger, Some(&set)), Err(Disbelief::NotItsPod { name: "web-1".into() }));
        let owned =
            fixtures::pod("shop", "web").labelled(&[("app", "web")]).managed_by("apps/v1", "ReplicaSet", "x").build();
        assert_eq!(record().believe(&owned, Some(&set)), Err(Disbelief::Owned { owner: "ReplicaSet x".into() }));
    }

    #[test]
    fn damaged_and_newer_records_are_told_apart() {
        assert!(matches!(DetachRecord::parse("{"), Err(Disbelief::Unreadable(_))));
        let newer = serde_json::to_string(&DetachRecord { v: 2, ..record() }).unwrap();
        assert_eq!(DetachRecord::parse(&newer), Err(Disbelief::Newer(2)));
    }

    #[test]
    fn a_mark_on_an_uncordoned_node_is_stale() {
        let run = NodeRun {
            v: VERSION,
            run: "r1".into(),
            user: "alice".into(),
            start: fixtures::at(0),
            reason: None,
            version: "safedrain/0.1.0".into(),
            phase: RunPhase::Draining,
            was_schedulable: true,
            taints_added: vec![],
            labels_added: vec![],
            stopped: vec![],
            options: vec![],
        };
        let mut node = fixtures::node("n1");
        node.run = Some(serde_json::to_string(&run).unwrap());
        assert_eq!(NodeRun::of(&node), None);
        node.unschedulable = true;
        assert_eq!(NodeRun::of(&node), Some(run.clone()));
        assert_eq!(run.plugin(), Some("safedrain"));
        node.run = Some("not json".into());
        assert_eq!(NodeRun::of(&node), None);
        assert!(matches!(NodeRun::read(&node), Err(UnknownMark::Unreadable(_))));
    }
}
