//! `--status`: which runs have left marks, read-only.

use cluster_model::identity::{NodeName, PodId};
use cluster_model::marks::{DetachRecord, NodeRun};
use evacuation_runner::observe::{self, ListError};
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Output, Table};
use kubectl_common::terminal::Terminal;
use serde::Serialize;

use crate::cli::DrainArgs;
use crate::document::{DocumentEvent, EventLine, Header};
use crate::failure::{DrainError, call_failed};
use crate::request;
use crate::session::{Session, now};

/// All marks.
#[derive(Debug, Serialize)]
struct RunStatus<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    nodes: Vec<MarkedNode>,
    pods: Vec<DetachedPod>,
}

#[derive(Debug, Serialize)]
struct MarkedNode {
    name: NodeName,
    /// `None`: it was uncordoned since, or cannot be read.
    run: Option<NodeRun>,
}

#[derive(Debug, Serialize)]
struct DetachedPod {
    #[serde(flatten)]
    pod: PodId,
    node: Option<NodeName>,
    record: Option<DetachRecord>,
}

/// Runs `kubectl safedrain [NODE…] --status`.
pub(crate) async fn run(
    args: &DrainArgs,
    launch: &Launch,
    output: &Output,
    terminal: &Terminal,
) -> Result<ExitStatus, Failure> {
    let named = request::node_names(args)?;
    let session = Session::open(args, launch, output).await?;
    let failed =
        |error: ListError| call_failed(&session.connection, &error.source, &error.to_string().replace("cannot ", ""));
    let nodes = observe::nodes(&session.access).await.map_err(failed)?;
    let pods = observe::detached_pods(&session.access).await.map_err(failed)?;
    if let Some(unknown) = named.iter().find(|name| !nodes.iter().any(|node| node.name == **name)) {
        return Err(DrainError::UnknownNode { name: unknown.to_string(), similar: Vec::new() }.into());
    }
    let is_meant = |name: &NodeName| named.is_empty() || named.contains(name);
    let nodes: Vec<_> = nodes
        .iter()
        .filter(|node| node.run.is_some() && is_meant(&node.name))
        .map(|node| MarkedNode { name: node.name.clone(), run: NodeRun::of(node) })
        .collect();
    let pods: Vec<_> = pods
        .into_iter()
        .filter(|pod| pod.node.as_ref().is_some_and(is_meant))
        .map(|pod| DetachedPod {
            record: pod.detached.as_deref().and_then(|text| DetachRecord::parse(text).ok()),
            pod: pod.id,
            node: pod.node,
        })
        .collect();
    let verdict = if nodes.is_empty() && pods.is_empty() { "clean" } else { "marked" };
    let header = Header::new("RunStatus", &session.connection.cluster);
    let status = RunStatus { header, verdict, nodes, pods };
    match args.output.output {
        OutputFormat::Json => output.json(&status),
        OutputFormat::Yaml => output.yaml(&status),
        OutputFormat::Jsonl => output.json_line(&EventLine::new(now(), &DocumentEvent::new("status", &status))),
        OutputFormat::Table | OutputFormat::Wide => {
            show(&status, &session.connection.cluster.to_string(), output, terminal);
        }
    }
    Ok(ExitStatus::Done)
}

fn show(status: &RunStatus<'_>, cluster: &str, output: &Output, terminal: &Terminal) {
    output.result_line(cluster);
    if status.nodes.is_empty() && status.pods.is_empty() {
        output.result_line("no node and no pod carries a mark of a run");
        return;
    }
    let mut table = Table::new(["NODE", "PHASE", "USER", "SINCE", "DETACHED", "REASON"]);
    for node in &status.nodes {
        let detached = status.pods.iter().filter(|pod| pod.node.as_ref() == Some(&node.name)).count().to_string();
        let name = node.name.to_string();
        match &node.run {
            Some(run) => table.row([
                name,
                format!("{:?}", run.phase).to_lowercase(),
                run.user.clone(),
                format!("{:.0}", run.start),
                detached,
                run.reason.clone().unwrap_or_else(|| "<none>".to_owned()),
            ]),
            None => table.row([
                name,
                "stale".into(),
                "-".into(),
                "-".into(),
                detached,
                "uncordoned since, or not readable".into(),
            ]),
        };
    }
    if !table.is_empty() {
        output.result_line(&table.render(terminal.table_width()));
    }
    for pod in &status.pods {
        let node = pod.node.as_ref().map(ToString::to_string).unwrap_or_default();
        output.result_line(&format!("pod {} on node {node} is detached", pod.pod));
    }
}
