//! One virtual machine on its way off the node.
//!
//! | state | leaves it when |
//! |---|---|
//! | Planned | its node is being emptied, and a budget allows what ends the guest |
//! | Asking | the request is answered |
//! | Moving | the guest is elsewhere, has ended as planned, or is given up |
//! | Calling off | the mark of its evacuation is off and no migration off the node is under way |
//! | Done | never |

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::identity::{ControllerRef, NodeName, ObjectKey, Uid};
use cluster_model::kubevirt::{Action, Decision, Means, MigrationPhase, Outcome, VirtualMachineInstance};
use serde::Serialize;

use crate::wait::GuestWait;

/// Which instance: of all that ever had this name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestId {
    /// The instance.
    pub vm: ObjectKey,
    /// Its uid.
    pub uid: Uid,
}

impl GuestId {
    pub(super) fn of(instance: &VirtualMachineInstance) -> Self {
        Self { vm: instance.metadata.key.clone(), uid: instance.uid().clone() }
    }
}

/// One virtual machine of the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GuestStep {
    pub(super) id: GuestId,
    pub(super) node: NodeName,
    pub(super) action: Action,
    pub(super) means: Means,
    pub(super) outcome: Outcome,
    /// The object that makes it again.
    pub(super) owner: Option<ControllerRef>,
    pub(super) grace_seconds: u64,
    pub(super) state: GuestState,
    /// No request before this time.
    pub(super) not_before: Duration,
    /// How often in a row requests went unanswered.
    pub(super) unanswered: u32,
    /// How often what ends the guest was refused.
    pub(super) refusals: u32,
    /// Since when it is under way without waiting for a slot.
    pub(super) clock: Option<Duration>,
    /// Whether anything was asked for.
    pub(super) was_asked: bool,
    /// Whether a request to migrate it went unanswered: it may have been heard all the same.
    pub(super) may_have_landed: bool,
    /// When the last request was answered.
    pub(super) asked_at: Duration,
    /// Whether the view has shown the mark of this node's evacuation since.
    pub(super) was_marked: bool,
    /// Migrations that were over before it was this step's turn.
    pub(super) past: BTreeSet<Uid>,
    /// Migrations that failed since.
    pub(super) failed: BTreeSet<Uid>,
    /// What the last of them died of.
    pub(super) last_failure: Option<String>,
    /// The migration that was seen last, and its phase.
    pub(super) migration: Option<(Uid, MigrationPhase)>,
    /// Where that goes, as was told.
    pub(super) target: Option<NodeName>,
    /// The budgets that it was shut down under.
    pub(super) budgets: BTreeSet<ObjectKey>,
    /// Instances of the same replica set that were there before.
    pub(super) siblings: BTreeSet<Uid>,
    /// Since when the guest is off the node and only its pod is left.
    pub(super) off_since: Option<Duration>,
    pub(super) wait: Option<GuestWait>,
}

/// Where a step stands; the table is in the module's documentation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum GuestState {
    Planned,
    Asking,
    Moving,
    CallingOff(CallOff),
    Done(GuestEnd),
}

/// An evacuation that is being called off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CallOff {
    /// What it ends as.
    pub(super) end: GuestEnd,
    /// Whether a migration that copies already is aborted too.
    pub(super) is_whole: bool,
    pub(super) since: Duration,
    /// Since when no mark was seen, and no migration but one that may go on.
    pub(super) quiet_since: Option<Duration>,
    /// The request that is unanswered.
    pub(super) asking: Option<CallOffRequest>,
    /// Whether KubeVirt said that the mark is off.
    pub(super) is_unmarked: bool,
    /// The migrations that were deleted.
    pub(super) deleted: BTreeSet<Uid>,
}

/// What is asked for to call an evacuation off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallOffRequest {
    Unmark,
    Delete { name: String, uid: Uid },
}

/// How it ended for a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "end")]
pub enum GuestEnd {
    /// It runs on, elsewhere.
    Migrated {
        /// Where.
        to: Option<NodeName>,
    },
    /// It was shut down and runs again.
    Restarted {
        /// Where.
        on: Option<NodeName>,
    },
    /// It was shut down, and its replica set has another one in its stead.
    Replaced {
        /// Which; `None`: none was seen to run yet.
        by: Option<ObjectKey>,
    },
    /// It was shut down and stays off.
    Stopped,
    /// It is gone, as was consented to.
    Lost,
    /// Its guest ended otherwise: somebody stopped or deleted it, or it crashed.
    EndedMeanwhile,
    /// It stays on the node, as the person said.
    Left,
    /// Nothing was done to it.
    NotStarted,
    /// It is being shut down or restarted; the run did not stay to see the end.
    UnderWay,
    /// Its evacuation was called off, but its memory is being copied: that migration ends by itself, well or not.
    StillCopying {
        /// The migration's name.
        migration: String,
    },
    /// Its evacuation was called off for good; it runs on where it was.
    CalledOff,
    /// It stays on the node.
    GivenUp {
        /// Why.
        reason: String,
    },
}

impl GuestEnd {
    /// Whether the guest has left the node for good.
    pub fn is_off(&self) -> bool {
        match self {
            Self::Migrated { .. }
            | Self::Restarted { .. }
            | Self::Replaced { .. }
            | Self::Stopped
            | Self::Lost
            | Self::EndedMeanwhile => true,
            Self::Left
            | Self::NotStarted
            | Self::UnderWay
            | Self::StillCopying { .. }
            | Self::CalledOff
            | Self::GivenUp { .. } => false,
        }
    }
}

impl GuestStep {
    pub(super) fn new(
        id: GuestId,
        node: NodeName,
        decision: &Decision,
        instance: Option<&VirtualMachineInstance>,
    ) -> Self {
        Self {
            id,
            node,
            action: decision.action,
            means: decision.means,
            outcome: decision.outcome,
            owner: instance.and_then(|instance| instance.metadata.controller.clone()),
            grace_seconds: instance.map_or(0, |instance| instance.grace_seconds),
            state: GuestState::Planned,
            not_before: Duration::ZERO,
            unanswered: 0,
            refusals: 0,
            clock: None,
            was_asked: false,
            may_have_landed: false,
            asked_at: Duration::ZERO,
            was_marked: false,
            past: BTreeSet::new(),
            failed: BTreeSet::new(),
            last_failure: None,
            migration: None,
            target: None,
            budgets: BTreeSet::new(),
            siblings: BTreeSet::new(),
            off_since: None,
            wait: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, GuestState::Done(_))
    }

    pub(super) fn end(&self) -> Option<&GuestEnd> {
        match &self.state {
            GuestState::Done(end) => Some(end),
            _ => None,
        }
    }

    /// Whether its means let the guest run on.
    pub(super) fn is_migrating(&self) -> bool {
        match self.means {
            Means::Evacuate | Means::CreateMigration | Means::Follow | Means::Mark => true,
            Means::Evict | Means::RestartMachine | Means::StopMachine | Means::DeleteInstance | Means::None => false,
        }
    }

    /// The pause after so many unanswered requests in a row: 0.5 s doubled up to 15 s.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(500).saturating_mul(1 << self.unanswered.min(5)).min(Duration::from_secs(15))
    }

    /// How many attempts have failed.
    pub(super) fn failures(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }
}
