//! The documents of `-o json|yaml|jsonl`, as other tools read them. Fields are added, never renamed.

use jiff::Timestamp;
use kubectl_common::connect::ClusterIdentity;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::Output;
use node_pools::copy_plan::{CopyPlan, DocumentCopy, Fidelity, Part};
use node_pools::document::Change;
use node_pools::finding::Finding;
use node_pools::mark::COPY;
use node_pools::pool::{Pool, ProviderName, Trouble};
use node_pools::step::{Request, Step};
use serde::Serialize;
use serde_json::{Value, json};

use crate::follow::NodeState;

/// The group and version of all documents.
const API_VERSION: &str = "handover/v1";

/// What every document begins with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    api_version: &'static str,
    kind: &'static str,
    cluster: &'a ClusterIdentity,
}

/// A pool, as a list tells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PoolRow {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    pub(crate) provider: String,
    pub(crate) can_be_copied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u32>,
    pub(crate) nodes: usize,
    pub(crate) ready: usize,
    pub(crate) versions: Vec<String>,
    pub(crate) zones: Vec<String>,
    pub(crate) capacity: String,
    pub(crate) taints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) scaled_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copy_of: Option<String>,
    pub(crate) frozen: bool,
    pub(crate) troubles: Vec<Trouble>,
}

/// `--list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PoolList<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    pools: &'a [PoolRow],
}

impl<'a> PoolList<'a> {
    pub(crate) fn new(cluster: &'a ClusterIdentity, pools: &'a [PoolRow]) -> Self {
        let is_well = pools.iter().all(|pool| pool.troubles.is_empty());
        let verdict = if is_well { "healthy" } else { "troubled" };
        Self { header: Header { api_version: API_VERSION, kind: "PoolList", cluster }, verdict, pools }
    }
}

/// What is planned, as a dry run prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanDocument<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    action: &'static str,
    provider: ProviderName,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    changes: Vec<&'a Change>,
    requests: Vec<Request>,
    findings: &'a [Finding],
}

impl<'a> PlanDocument<'a> {
    pub(crate) fn of_copy(cluster: &'a ClusterIdentity, pool: &Pool, plan: &'a CopyPlan) -> Self {
        let steps = plan.steps.iter().chain(&plan.afterwards);
        Self {
            header: Header { api_version: API_VERSION, kind: "PoolCopyPlan", cluster },
            verdict: if plan.steps.is_empty() { "exists" } else { "ready" },
            action: "copy",
            provider: pool.provider,
            source: pool.title(),
            target: Some(&plan.target),
            size: plan.size,
            changes: plan.changes().collect(),
            requests: steps.filter_map(Step::request).collect(),
            findings: &plan.findings,
        }
    }

    pub(crate) fn of_steps(
        cluster: &'a ClusterIdentity,
        pool: &Pool,
        action: &'static str,
        steps: &[Step],
        target: Option<&'a str>,
    ) -> Self {
        Self {
            header: Header { api_version: API_VERSION, kind: "PoolCopyPlan", cluster },
            verdict: if steps.is_empty() { "nothingToDo" } else { "ready" },
            action,
            provider: pool.provider,
            source: pool.title(),
            target,
            size: pool.size,
            changes: Vec::new(),
            requests: steps.iter().filter_map(Step::request).collect(),
            findings: &[],
        }
    }
}

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportDocument<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    action: &'static str,
    result: RunResult,
    provider: ProviderName,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fidelity: Option<Fidelity>,
    nodes: Vec<NodeState>,
    started_at: Timestamp,
    finished_at: Timestamp,
}

/// How a run ended, for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RunResult {
    Done,
    Stopped,
}

/// What is told of a run.
pub(crate) struct Ended {
    pub(crate) action: &'static str,
    pub(crate) result: RunResult,
    pub(crate) verdict: &'static str,
    pub(crate) target: Option<String>,
    pub(crate) fidelity: Option<Fidelity>,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
}

impl Ended {
    /// Returns the end of what has no copy to compare and no nodes to show.
    pub(crate) fn done(action: &'static str, started_at: Timestamp, finished_at: Timestamp) -> Self {
        Self {
            action,
            result: RunResult::Done,
            verdict: "done",
            target: None,
            fidelity: None,
            nodes: Vec::new(),
            started_at,
            finished_at,
        }
    }
}

impl<'a> ReportDocument<'a> {
    pub(crate) fn new(cluster: &'a ClusterIdentity, pool: &Pool, ended: Ended) -> Self {
        let Ended { action, result, verdict, target, fidelity, nodes, started_at, finished_at } = ended;
        let kind = if action == "undo" { "UndoReport" } else { "PoolCopyReport" };
        Self {
            header: Header { api_version: API_VERSION, kind, cluster },
            verdict,
            action,
            result,
            provider: pool.provider,
            source: pool.title(),
            target,
            fidelity,
            nodes,
            started_at,
            finished_at,
        }
    }
}

/// Prints a document in the form that was asked for; a table is somebody else's.
pub(crate) fn print(output: &Output, format: OutputFormat, event: &str, at: Timestamp, document: &impl Serialize) {
    match format {
        OutputFormat::Json => output.json(document),
        OutputFormat::Yaml => output.yaml(document),
        OutputFormat::Jsonl => output.json_line(&json!({ "v": 1, "at": at, "type": event, "data": document })),
        OutputFormat::Table | OutputFormat::Wide => {}
    }
}

/// The documents of a copy as a manifest for `kubectl apply --server-side`, without our mark: for those who keep their
/// pools in a repository.
pub(crate) fn manifest(plan: &CopyPlan) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": plan.documents.iter().map(appliable).collect::<Vec<_>>() })
}

fn appliable(document: &DocumentCopy) -> Value {
    match &document.part {
        Part::Whole => {
            let mut body = document.body.clone();
            if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
                let is_empty = annotations.is_some_and(|annotations| {
                    annotations.remove(COPY);
                    annotations.is_empty()
                });
                if is_empty {
                    metadata.remove("annotations");
                }
            }
            body
        }
        // A list of named entries: applied from the server's side, the others stay.
        Part::Entry { list, .. } => {
            let target = &document.target;
            let mut value = json!([document.body]);
            for key in list.trim_start_matches('/').rsplit('/') {
                value = json!({ key: value });
            }
            let mut object = json!({
                "apiVersion": target.resource.api_version(), "kind": target.resource.kind,
                "metadata": { "name": target.name, "namespace": target.namespace },
            });
            if let (Some(object), Some(value)) = (object.as_object_mut(), value.as_object()) {
                object.extend(value.clone());
            }
            object
        }
    }
}
