//! The plan: what will happen to every pod, and what stands in the way, before anything is touched.
//!
//! A dry run prints this value and a run executes it; there is no second computation.

mod build;
mod capacity;
mod drift;
mod duration;
mod foresight;
mod gap;
mod impact;
mod ledger;
mod words;

pub(crate) use build::may_hand_over;
pub use build::{build, plan_pod};
pub use capacity::{Capacity, Missing, MoreNodes};
pub use drift::{Drift, between};
pub use foresight::{Foresight, Ground, moves, moving, remember};
pub use ledger::BudgetSpend;
pub use words::consent_to_downtime;

use cluster_model::disposition;
use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid, WorkloadRef};
use cluster_model::kubevirt::{self, Decision};
use serde::Serialize;

use crate::guests::{self, StrayLauncher};

/// What will happen, node by node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainPlan {
    /// The nodes, in the order in which they are emptied.
    pub nodes: Vec<NodePlan>,
    /// The virtual machines of all nodes, which go before any pod.
    pub vms: Vec<Decision>,
    /// Launcher pods that hold no guest of their own.
    pub stray_launchers: Vec<StrayLauncher>,
    /// The guests that are just migrating to one of the nodes; the run waits for them and moves them on.
    pub incoming: Vec<IncomingGuest>,
    /// The Services behind which moved pods stand.
    pub services: Vec<ServiceImpact>,
    /// The budgets that moved pods are under, and what is asked of each over all nodes.
    pub budgets: Vec<BudgetSpend>,
    /// How long the run may take; `None`: nothing to judge by.
    pub estimate: Option<Estimate>,
    /// Whether there is room for all of them together; `None`: nobody has looked.
    pub capacity: Option<Capacity>,
    /// What stands in the way; the run does not begin while there is any.
    pub refusals: Vec<RefusedPod>,
}

/// A guest that is migrating to a node of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingGuest {
    /// The node.
    pub node: NodeName,
    /// The instance.
    #[serde(flatten)]
    pub vm: ObjectKey,
    /// Where it comes from.
    pub from: Option<NodeName>,
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePlan {
    /// The node.
    pub name: NodeName,
    /// Whether it was cordoned already.
    pub cordoned: bool,
    /// Its pods, those that stay included.
    pub pods: Vec<PodPlan>,
}

/// One pod of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    /// Which pod.
    #[serde(flatten)]
    pub pod: PodId,
    /// Its top owner; `None` for an unmanaged pod.
    pub owner: Option<OwnerName>,
    /// What happens to it.
    pub action: Action,
    /// By which means.
    pub method: Method,
    /// Why not by a handover, or why it stays; empty where nothing needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how long the workload is expected to be one ready pod short, at the most; `None`: nobody makes it again, or
    /// none of its like is Ready to judge by.
    pub expected_gap_seconds: Option<u64>,
    /// How long the move may take; `None`: nothing to judge by.
    pub estimate: Option<Estimate>,
    /// How many pods of its workload may move side by side.
    #[serde(skip)]
    pub at_a_time: u32,
    /// Whether a replacement fits elsewhere.
    pub forecast: Forecast,
    /// What will be lost, with consent, and what else to know.
    pub warnings: Vec<String>,
    /// The flag or command that would change the answer.
    pub remedy: Option<String>,
    /// Whether nobody makes it again, by somebody's consent.
    pub is_lost: bool,
    /// Whether it may be deleted past its budgets, by somebody's consent.
    pub bypasses_budget: bool,
    /// Whether it answers for a webhook without whose word nothing is let through.
    pub keeps_a_gate: bool,
}

/// Kind and name of an owner; the namespace is the pod's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OwnerName {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// What happens to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Its replacement is Ready before it goes.
    Handover,
    /// It goes, then its owner replaces it.
    Evict,
    /// It is already going; the run waits until it is gone.
    Wait,
    /// It stays and does not count.
    Leave,
    /// Nothing happens until somebody consents.
    Refuse,
}

/// By which means a pod leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// Relabelled so that its ReplicaSet replaces it, evicted when the replacement serves.
    Detach,
    /// The eviction API.
    Evict,
    /// DELETE, past the budgets.
    Delete,
    /// Nothing is sent.
    None,
}

/// A range of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// At the least.
    pub low: u64,
    /// At the most, by what its siblings took.
    pub high: u64,
}

/// Whether and where a replacement fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// `unknown` until a forecast is made.
    pub fits: Fits,
    /// The nodes that would take it if it came alone; of many the first.
    pub nodes: Vec<NodeName>,
    /// What is missing, or not known.
    pub reason: Option<String>,
}

/// The answer of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fits {
    /// Nobody has looked, or the objects do not tell.
    Unknown,
    /// A node has room for it, wherever the others that leave go.
    Yes,
    /// Only if others that leave as well go elsewhere or later.
    Depends,
    /// Only if a pod of lower priority goes for it.
    Preempting,
    /// No node that is there has; more may come.
    NeedsScaleUp,
    /// No node has.
    No,
}

impl Default for Forecast {
    fn default() -> Self {
        Self { fits: Fits::Unknown, nodes: Vec::new(), reason: None }
    }
}

/// A Service and the fewest ready endpoints that the run is expected to leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImpact {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Ready endpoints now.
    pub ready_now: usize,
    /// The fewest that it is expected to have.
    pub ready_worst: usize,
    /// What leads to it from outside, as far as anybody has looked: `Ingress/web`, `HTTPRoute/shop`.
    pub routes: Vec<String>,
}

/// A pod that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedPod {
    /// Where it runs.
    pub node: NodeName,
    /// Which pod.
    #[serde(flatten)]
    pub pod: PodId,
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// A sentence for the person at the terminal.
    pub message: String,
    /// The flag or command that would let it go.
    pub remedy: String,
}

/// Why a run does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// `--strategy=surge`, and the pod cannot be handed over.
    CannotSurge,
    /// Several budgets select it: the eviction API cannot let it go.
    ManyBudgets,
    /// Its budget can never allow it, however healthy its workload is.
    BudgetNeverAllows,
    /// A virtual machine that cannot leave without somebody's consent; name and uid are the instance's.
    VirtualMachine,
    /// A launcher pod that will not go by itself.
    StrayLauncher,
    /// It would be evicted, and no node on which it is expected can take its replacement.
    FitsNowhere,
    /// One of kubectl's own refusals.
    #[serde(untagged)]
    Kubectl(disposition::Refusal),
}

/// What a plan comes to, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing stands in the way and every Service keeps its ready endpoints.
    Ready,
    /// Nothing stands in the way, some pods go before their replacement is there.
    ReadyWithGaps,
    /// The run would not begin.
    Refused,
}

impl PodPlan {
    /// The workload by which a person means it: its top owner, or itself where it has none.
    pub fn workload(&self) -> WorkloadRef {
        let (kind, name) = match &self.owner {
            Some(owner) => (owner.kind.clone(), owner.name.clone()),
            None => ("Pod".to_owned(), self.pod.name.clone()),
        };
        WorkloadRef { kind, namespace: self.pod.namespace.clone(), name }
    }
}

impl DrainPlan {
    /// Sums the plan up.
    pub fn verdict(&self) -> Verdict {
        let is_gap = |pod: &PodPlan| pod.action == Action::Evict && pod.expected_gap_seconds != Some(0);
        let is_interrupted = |vm: &Decision| matches!(vm.action, kubevirt::Action::Restart | kubevirt::Action::Stop);
        let gaps = || {
            self.pods().any(|(_, pod)| is_gap(pod))
                || self.vms.iter().any(is_interrupted)
                || self.services.iter().any(|service| service.ready_worst < service.ready_now)
        };
        match (self.refusals.is_empty(), gaps()) {
            (false, _) => Verdict::Refused,
            (true, true) => Verdict::ReadyWithGaps,
            (true, false) => Verdict::Ready,
        }
    }

    /// The virtual machines that stay on their nodes because the person says so.
    pub fn staying_vms(&self) -> impl Iterator<Item = &Decision> {
        self.vms.iter().filter(|vm| guests::stays(vm))
    }

    /// All pods with their nodes, in order.
    pub fn pods(&self) -> impl Iterator<Item = (&NodeName, &PodPlan)> {
        self.nodes.iter().flat_map(|node| node.pods.iter().map(|pod| (&node.name, pod)))
    }

    /// The plan of one pod.
    pub fn pod(&self, uid: &Uid) -> Option<&PodPlan> {
        self.pods().map(|(_, pod)| pod).find(|pod| pod.pod.uid == *uid)
    }
}
