//! One pod on its way off the node.
//!
//! | state | leaves it when |
//! |---|---|
//! | Planned | it may be detached or evicted: a surge slot, no rollout, room in the budget |
//! | Detaching | the patch is answered |
//! | Unsure | a pause is over: nobody knows whether the patch was done, so its surge slot stays taken |
//! | Looking | the pod was looked up |
//! | Detached | the replacement serves, the endpoint has settled and the budget opens; or it is attached again |
//! | Evicting | the eviction is answered |
//! | Leaving | the pod is gone |
//! | Reattaching | the patch is answered |
//! | Shrinking | the ReplicaSet has deleted the surplus pod |
//! | Clearing | the patch is answered |
//! | Done | never |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::marks::DetachRecord;
use cluster_model::pod::Pod;
use serde::Serialize;

use crate::plan::{Action, PodPlan};
use crate::wait::Wait;

/// How long after a conflict the view may take to show the newer version. Guarded as it is, the same request can be
/// sent again at any time; that it has to be means a webhook or a quota was in conflict, not this object.
pub(super) const CONFLICT_PATIENCE: Duration = Duration::from_secs(5);

/// One pod of the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) pod: PodId,
    pub(super) node: NodeName,
    /// Handover, evict or wait.
    pub(super) action: Action,
    /// Whether it may be deleted past its budgets: somebody has consented to that.
    pub(super) may_bypass: bool,
    /// Whether it answers for a webhook, by the plan: once it goes, no endpoint says so any more.
    pub(super) keeps_a_gate: bool,
    /// When its eviction was sent, and the pod as it was then.
    pub(super) gate_left: Option<(Duration, Box<Pod>)>,
    pub(super) state: State,
    /// While it is, or may be, outside its ReplicaSet.
    pub(super) detachment: Option<Detachment>,
    /// No request before this time: a refusal or an unanswered request asked for a pause.
    pub(super) not_before: Duration,
    /// How often in a row requests went unanswered or met a conflict.
    pub(super) unanswered: u32,
    /// Whether an eviction of it was sent that nobody answered: it may have been done, until the view shows it.
    pub(super) may_be_leaving: bool,
    /// The `resourceVersion` that a guarded patch failed on; the next one waits for a newer.
    pub(super) stale_version: Option<String>,
    /// For how long it waits: no newer version comes after a conflict that was about something else.
    pub(super) stale_until: Duration,
    /// How often the server refused the eviction in a row although the view showed room.
    pub(super) refusals: u32,
    /// Why it is attached again, once that is decided.
    pub(super) failure: Option<String>,
    /// Since when it has waited for its turn, or for its owner's end, for the same reason.
    pub(super) turn_since: Option<Duration>,
    /// The last wait that was announced.
    pub(super) wait: Option<Wait>,
    /// What took its place.
    pub(super) replacement: Option<PodId>,
}

/// Where a step stands; the table is in the module's documentation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Planned,
    Detaching,
    Unsure,
    Looking,
    Detached,
    Evicting,
    Leaving,
    Reattaching,
    Shrinking {
        since: Duration,
        /// Whether the view was seen to be as late as the attaching: until then it may show the pod as it was before
        /// it was detached, which looks the same.
        is_seen: bool,
    },
    Clearing,
    Done(StepEnd),
}

/// A pod outside its ReplicaSet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detachment {
    pub(super) record: DetachRecord,
    /// When this run detached it or found it detached.
    pub(super) since: Duration,
    /// The ReplicaSet's pods that existed before: none of them is the replacement.
    pub(super) known: Arc<BTreeSet<Uid>>,
    pub(super) replacement: Option<PodId>,
    /// Since when everything but the budget has allowed the eviction.
    pub(super) serves_since: Option<Duration>,
    /// Since when the replacement serves and only the budget is in the way, once the run is stopping.
    pub(super) stopping_since: Option<Duration>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "end", content = "reason")]
pub enum StepEnd {
    /// The pod is gone.
    Gone,
    /// It has been terminating for longer than `--skip-wait-for-delete-timeout`, and is left behind.
    Left,
    /// It is terminating; the run did not stay to see the end.
    Terminating,
    /// Nothing was done to it.
    NotStarted,
    /// It was detached and is its ReplicaSet's again, for this reason.
    Reattached(String),
    /// It could not be moved, or not attached again; it serves on.
    GivenUp(String),
}

impl Step {
    pub(super) fn new(pod: PodId, node: NodeName, action: Action) -> Self {
        Self {
            pod,
            node,
            action,
            may_bypass: false,
            keeps_a_gate: false,
            gate_left: None,
            state: State::Planned,
            detachment: None,
            not_before: Duration::ZERO,
            unanswered: 0,
            may_be_leaving: false,
            stale_version: None,
            stale_until: Duration::ZERO,
            refusals: 0,
            failure: None,
            turn_since: None,
            wait: None,
            replacement: None,
        }
    }

    /// The step of a pod as it was planned.
    pub(super) fn planned(plan: &PodPlan, node: NodeName) -> Self {
        let (may_bypass, keeps_a_gate) = (plan.bypasses_budget, plan.keeps_a_gate);
        Self { may_bypass, keeps_a_gate, ..Self::new(plan.pod.clone(), node, plan.action) }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Whether a command of this step has been sent and not answered.
    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Detaching | State::Looking | State::Evicting | State::Reattaching | State::Clearing)
    }

    /// Until when nothing is decided about the pod, because its `version` is known to be outdated.
    pub(super) fn stale_until(&self, version: &str, now: Duration) -> Option<Duration> {
        (self.stale_version.as_deref() == Some(version) && now < self.stale_until).then_some(self.stale_until)
    }

    /// The pause after so many unanswered requests in a row: 0.5 s doubled up to 15 s.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(500).saturating_mul(1 << self.unanswered.min(5)).min(Duration::from_secs(15))
    }
}
