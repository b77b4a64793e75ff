//! The documents of `-o json|yaml|jsonl`, as other tools read them. Fields are added, never renamed.

use std::collections::BTreeMap;

use cluster_model::identity::{NodeName, PodId};
use evacuation::engine::{Engine, Outcome, StepEnd};
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
    pub(crate) fn new(plan: &'a DrainPlan, cluster: &'a ClusterIdentity) -> Self {
        Self { header: Header::new("DrainPlan", cluster), verdict: plan.verdict(), plan }
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
    pods: Vec<PodReport<'a>>,
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

/// What the events of a run told about its pods.
#[derive(Debug, Default)]
pub(crate) struct RunRecord {
    served: BTreeMap<PodId, (PodId, Option<NodeName>)>,
}

impl RunRecord {
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::ReplacementServes { pod, replacement: Some(replacement), node } = event {
            self.served.insert(pod.clone(), (replacement.clone(), node.clone()));
        }
    }
}

impl<'a> ReportDocument<'a> {
    pub(crate) fn new(
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
        let node = |node: &'a NodePlan| NodeReport {
            name: &node.name,
            cordoned: node.cordoned,
            pods: node.pods.iter().map(report).collect(),
        };
        Self {
            header: Header::new("DrainReport", cluster),
            verdict: plan.verdict(),
            result,
            started_at,
            finished_at,
            nodes: plan.nodes.iter().map(node).collect(),
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
