//! `status.migrationState`, of an instance or copied to a migration.
//!
//! On an instance it outlives its migration: it speaks of the migration whose uid it holds and of no other
//! (`pkg/util/migrations/migrations.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::object::{flag, moment, text};
use crate::identity::{NodeName, Uid};

/// How far one migration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationState {
    /// Which migration it speaks of; empty before the hand-off.
    pub migration: Uid,
    /// When memory began to be copied.
    pub started_at: Option<Timestamp>,
    /// When it ended, well or not.
    pub ended_at: Option<Timestamp>,
    /// The node it comes from.
    pub source_node: Option<NodeName>,
    /// The pod it comes from.
    pub source_pod: Option<String>,
    /// The node it goes to.
    pub target_node: Option<NodeName>,
    /// The pod it goes to.
    pub target_pod: Option<String>,
    /// It is over, well or not.
    pub completed: bool,
    /// It failed.
    pub failed: bool,
    /// Somebody asked to abort it.
    pub abort_requested: bool,
    /// Why it failed, if anybody said so.
    pub failure_reason: Option<String>,
    /// `PreCopy`, `PostCopy` or `Paused`; after post-copy began there is no way back.
    pub mode: Option<String>,
}

impl MigrationState {
    /// Reads `status.migrationState`; `None` if there never was a migration.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let state = object.pointer("/status/migrationState").filter(|state| state.is_object())?;
        Some(Self {
            migration: Uid(text(state, "/migrationUid").unwrap_or_default()),
            started_at: moment(state, "/startTimestamp"),
            ended_at: moment(state, "/endTimestamp"),
            source_node: text(state, "/sourceNode").map(NodeName),
            source_pod: text(state, "/sourcePod"),
            target_node: text(state, "/targetNode").map(NodeName),
            target_pod: text(state, "/targetPod"),
            completed: flag(state, "/completed"),
            failed: flag(state, "/failed"),
            abort_requested: flag(state, "/abortRequested"),
            failure_reason: text(state, "/failureReason"),
            mode: text(state, "/mode"),
        })
    }

    /// Whether it speaks of this migration.
    pub fn is_of(&self, migration: &Uid) -> bool {
        self.migration == *migration && !migration.0.is_empty()
    }

    /// Whether the guest was moved: over, and not failed.
    pub fn has_succeeded(&self) -> bool {
        self.completed && !self.failed
    }

    /// Whether it is under way: handed over to a target and not over.
    pub fn is_under_way(&self) -> bool {
        self.target_node.is_some() && !self.completed && self.ended_at.is_none()
    }
}
