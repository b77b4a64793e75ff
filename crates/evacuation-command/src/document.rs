//! The documents of `-o json|yaml|jsonl`, as other tools read them. Fields are added, never renamed.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::{Decision, NodeVerdict};
use evacuation::engine::{Engine, GuestEnd, Outcome, StepEnd};
use evacuation::event::Event;
use evacuation::plan::{DrainPlan, NodePlan, PodPlan, RefusedPod, ServiceImpact, Verdict};
use jiff::Timestamp;
use kubectl_common::connect::ClusterIdentity;
use serde::Serialize;

/// The group and version of all documents.
const API_VERSION: &str = "handover/v1";

/// What every document begins with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header<'a> {
    api_version: &'static str,
    kind: &'static str,
    cluster: &'a ClusterIdentity,
}

impl<'a> Header<'a> {
    pub(crate) fn new(kind: &'static str, cluster: &'a ClusterIdentity) -> Self {
        Self { api_version: API_VERSION, kind, cluster }
    }
}

/// What a plugin's documents are about; their kinds are named after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Nodes, whatever is on them.
    Drain,
    /// The virtual machines of nodes.
    Evacuation,
}

impl Subject {
    fn plan_kind(self) -> &'static str {
        match self {
            Self::Drain => "DrainPlan",
            Self::Evacuation => "EvacuationPlan",
        }
    }

    fn report_kind(self) -> &'static str {
        match self {
            Self::Drain => "DrainReport",
            Self::Evacuation => "EvacuationReport",
        }
    }
}

/// A plan, as a dry run prints it.
#[derive(Debug, Serialize)]
pub(crate) struct PlanDocument<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: Verdict,
    #[serde(flatten)]
    plan: &'a DrainPlan,
}

impl<'a> PlanDocument<'a> {
    pub(crate) fn new(subject: Subject, plan: &'a DrainPlan, cluster: &'a ClusterIdentity) -> Self {
        Self { header: Header::new(subject.plan_kind(), cluster), verdict: plan.verdict(), plan }
    }
}

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportDocument<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: Verdict,
    result: RunResult,
    started_at: Timestamp,
    finished_at: Timestamp,
    nodes: Vec<NodeReport<'a>>,
    vms: Vec<VmReport<'a>>,
    /// The virtual machines that the plan did not have and the run found on a node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vms_found_later: Vec<FoundVm<'a>>,
    services: &'a [ServiceImpact],
    refusals: &'a [RefusedPod],
}

/// How a run ended, for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RunResult {
    Done,
    Refused,
    Stopped,
    Interrupted,
}

impl From<Outcome> for RunResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Stopped | Outcome::LeaseLost => Self::Stopped,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

#[derive(Debug, Serialize)]
struct NodeReport<'a> {
    name: &'a NodeName,
    cordoned: bool,
    /// Whether a virtual machine is left on it, and what; not there while the run has not come to know.
    #[serde(flatten)]
    verdict: Option<&'a NodeVerdict>,
    pods: Vec<PodReport<'a>>,
}

#[derive(Debug, Serialize)]
struct VmReport<'a> {
    #[serde(flatten)]
    plan: &'a Decision,
    result: Option<&'a GuestEnd>,
}

#[derive(Debug, Serialize)]
struct FoundVm<'a> {
    #[serde(flatten)]
    vm: &'a ObjectKey,
    uid: &'a Uid,
    node: &'a NodeName,
    result: Option<&'a GuestEnd>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodReport<'a> {
    #[serde(flatten)]
    plan: &'a PodPlan,
    result: Option<&'a StepEnd>,
    replacement: Option<Replacement<'a>>,
    /// Not measured yet for pods that were evicted before their replacement was there.
    unavailable_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Replacement<'a> {
    name: &'a str,
    node: Option<&'a NodeName>,
}

/// What the events of a run told about its pods and nodes.
#[derive(Debug, Default)]
pub(crate) struct RunRecord {
    served: BTreeMap<PodId, (PodId, Option<NodeName>)>,
    verdicts: BTreeMap<NodeName, NodeVerdict>,
    drained: Vec<NodeName>,
}

impl RunRecord {
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::ReplacementServes { pod, replacement: Some(replacement), node } => {
                self.served.insert(pod.clone(), (replacement.clone(), node.clone()));
            }
            Event::NodeDrained { node } => self.drained.push(node.clone()),
            Event::NodeHoldsNoVm { node } => {
                self.verdicts.insert(node.clone(), NodeVerdict::Empty);
            }
            Event::NodeHolds { node, remnants } => {
                self.verdicts.insert(node.clone(), NodeVerdict::Holds(remnants.clone()));
            }
            _ => {}
        }
    }

    /// The nodes that everything has left that could.
    pub(crate) fn drained(&self) -> &[NodeName] {
        &self.drained
    }

    /// The replacements that serve, and where they run.
    pub(crate) fn replacements(&self) -> impl Iterator<Item = (&PodId, &NodeName)> {
        self.served.values().filter_map(|(pod, node)| Some((pod, node.as_ref()?)))
    }

    /// Whether it was proven, and not disproven since, that the node holds no virtual machine.
    pub(crate) fn holds_no_vm(&self, node: &NodeName) -> bool {
        self.verdicts.get(node) == Some(&NodeVerdict::Empty)
    }
}

impl<'a> ReportDocument<'a> {
    pub(crate) fn new(
        subject: Subject,
        plan: &'a DrainPlan,
        cluster: &'a ClusterIdentity,
        run: Option<(&'a Engine, &'a RunRecord)>,
        result: RunResult,
        (started_at, finished_at): (Timestamp, Timestamp),
    ) -> Self {
        let ends: BTreeMap<&PodId, Option<&StepEnd>> =
            run.iter().flat_map(|(engine, _)| engine.ends().map(|(pod, _, end, _)| (pod, end))).collect();
        let report = |plan: &'a PodPlan| {
            let end = ends.get(&plan.pod).copied().flatten();
            let served = run.and_then(|(_, record)| record.served.get(&plan.pod));
            let kept = served.is_some() && end == Some(&StepEnd::Gone);
            PodReport {
                plan,
                result: end,
                replacement: served.map(|(pod, node)| Replacement { name: &pod.name, node: node.as_ref() }),
                unavailable_seconds: kept.then_some(0),
            }
        };
        let guests: Vec<_> = run.iter().flat_map(|(engine, _)| engine.guest_ends()).collect();
        // The run has no step for those that stay by the person's word.
        let staying: BTreeSet<&Uid> = plan.staying_vms().filter(|_| run.is_some()).map(|vm| &vm.uid).collect();
        let guest_end = |uid: &Uid| match guests.iter().find(|(id, ..)| id.uid == *uid) {
            Some((_, _, end)) => *end,
            None => staying.contains(uid).then_some(&GuestEnd::Left),
        };
        let planned: BTreeSet<&Uid> = plan.vms.iter().map(|vm| &vm.uid).collect();
        let found_later = guests.iter().filter(|(id, ..)| !planned.contains(&id.uid));
        let node = |node: &'a NodePlan| NodeReport {
            name: &node.name,
            cordoned: node.cordoned,
            verdict: run.and_then(|(_, record)| record.verdicts.get(&node.name)),
            pods: node.pods.iter().map(report).collect(),
        };
        Self {
            header: Header::new(subject.report_kind(), cluster),
            verdict: plan.verdict(),
            result,
            started_at,
            finished_at,
            nodes: plan.nodes.iter().map(node).collect(),
            vms: plan.vms.iter().map(|vm| VmReport { plan: vm, result: guest_end(&vm.uid) }).collect(),
            vms_found_later: found_later
                .map(|(id, node, result)| FoundVm { vm: &id.vm, uid: &id.uid, node, result: *result })
                .collect(),
            services: &plan.services,
            refusals: &plan.refusals,
        }
    }
}

/// One line of `-o jsonl`.
#[derive(Debug, Serialize)]
pub(crate) struct EventLine<'a, T: Serialize> {
    v: u32,
    at: Timestamp,
    #[serde(flatten)]
    event: &'a T,
}

impl<'a, T: Serialize> EventLine<'a, T> {
    pub(crate) fn new(at: Timestamp, event: &'a T) -> Self {
        Self { v: 1, at, event }
    }
}

/// A document as the data of an event.
#[derive(Debug, Serialize)]
pub(crate) struct DocumentEvent<T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: T,
}

impl<T: Serialize> DocumentEvent<T> {
    pub(crate) fn new(kind: &'static str, data: T) -> Self {
        Self { kind, data }
    }
}

#[cfg(test)]
mod tests;
