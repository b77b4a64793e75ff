//! `--status`: which runs have left marks, read-only.

use cluster_model::identity::{NodeName, ObjectKey, PodId};
use cluster_model::legible::Legible;
use cluster_model::marks::{DETACHED_ANNOTATION, DetachRecord, NodeRun};
use evacuation_runner::observe::{self, ListError};
use evacuation_runner::virtual_machines;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Output, Table};
use kubectl_common::terminal::Terminal;
use serde::Serialize;

use crate::document::{DocumentEvent, EventLine, Header};
use crate::failure::list_failed;
use crate::job::Job;
use crate::session::{self, Session, now};
use crate::{guests, nodes};

/// All marks.
#[derive(Debug, Serialize)]
struct RunStatus<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    nodes: Vec<MarkedNode>,
    pods: Vec<DetachedPod>,
    /// The virtual machines that are being evacuated, whoever began that. Only vmievict looks for them.
    vms: Vec<EvacuatedVm>,
}

#[derive(Debug, Serialize)]
struct EvacuatedVm {
    #[serde(flatten)]
    vm: ObjectKey,
    /// The node that it is to leave.
    node: NodeName,
}

#[derive(Debug, Serialize)]
struct MarkedNode {
    name: NodeName,
    /// `None`: it was uncordoned since, or the mark is not understood.
    run: Option<NodeRun>,
    /// Why the mark is not understood.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct DetachedPod {
    #[serde(flatten)]
    pod: PodId,
    node: Option<NodeName>,
    /// `None`: the server's own objects do not confirm that a run detached it.
    record: Option<DetachRecord>,
    /// Why it is not believed to be detached.
    problem: Option<String>,
}

/// Runs `--status` on the named nodes; none: on all.
pub(crate) async fn run(
    job: &Job,
    named: &[NodeName],
    output: &Output,
    terminal: &Terminal,
) -> Result<ExitStatus, Failure> {
    let session = Session::open(job, output).await?;
    let failed = |error: ListError| list_failed(&session, &error);
    let looking = async {
        let nodes = observe::nodes(&session.access).await?;
        let mut pods = observe::detached_pods(&session.access).await?;
        // Who asks about some nodes need not be allowed to look into the namespaces of others.
        pods.retain(|pod| named.is_empty() || pod.node.as_ref().is_some_and(|node| named.contains(node)));
        let mut cluster = observe::homes_of(&session.access, &pods).await?;
        if job.is_for_guests
            && let Some(installation) = virtual_machines::find(&session.access).await?
        {
            virtual_machines::observe(&session.access, &installation, &[], &mut cluster).await?;
        }
        Ok((nodes, pods, cluster))
    };
    let (nodes, pods, cluster) = session::patiently(&session, output, Box::pin(looking)).await.map_err(failed)?;
    nodes::all_exist(named, &nodes)?;
    let is_meant = |name: &NodeName| named.is_empty() || named.contains(name);
    let meant: Vec<_> = nodes.iter().map(|node| node.name.clone()).filter(is_meant).collect();
    let vms: Vec<_> = guests::evacuating(&meant, cluster.virtualization())
        .map(|(vm, node)| EvacuatedVm { vm: vm.clone(), node: node.clone() })
        .collect();
    let nodes: Vec<_> = nodes
        .iter()
        .filter(|node| node.run.is_some() && is_meant(&node.name))
        .map(|node| {
            let (run, problem) = match NodeRun::read(node) {
                Ok(run) => (run, None),
                Err(problem) => (None, Some(problem.to_string())),
            };
            MarkedNode { name: node.name.clone(), run, problem }
        })
        .collect();
    let pods: Vec<_> = pods
        .into_iter()
        .filter(|pod| pod.node.as_ref().is_some_and(is_meant))
        .map(|pod| {
            let (record, problem) = match cluster.detach_record(&pod) {
                Some(Ok(record)) => (Some(record), None),
                Some(Err(disbelief)) => (None, Some(disbelief.to_string())),
                None => (None, Some(format!("it has no annotation {DETACHED_ANNOTATION}"))),
            };
            DetachedPod { record, problem, pod: pod.id, node: pod.node }
        })
        .collect();
    let verdict = if nodes.is_empty() && pods.is_empty() && vms.is_empty() { "clean" } else { "marked" };
    let header = Header::new("RunStatus", &session.connection.cluster);
    let status = RunStatus { header, verdict, nodes, pods, vms };
    match job.format {
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
    if status.verdict == "clean" {
        output.result_line("no node and no pod carries a mark of a run");
        return;
    }
    let mut table = Table::new(["NODE", "PHASE", "USER", "SINCE", "DETACHED", "REASON"]);
    for node in &status.nodes {
        let is_detached = |pod: &&DetachedPod| pod.record.is_some() && pod.node.as_ref() == Some(&node.name);
        let detached = status.pods.iter().filter(is_detached).count().to_string();
        let name = node.name.to_string();
        let (phase, user, since, reason) = match (&node.run, &node.problem) {
            (Some(run), _) => (
                format!("{:?}", run.phase).to_lowercase(),
                Legible(&run.user).to_string(),
                format!("{:.0}", run.start),
                run.reason.as_ref().map_or_else(|| "<none>".to_owned(), |reason| Legible(reason).to_string()),
            ),
            (None, Some(problem)) => ("unknown".to_owned(), "-".to_owned(), "-".to_owned(), problem.clone()),
            (None, None) => ("stale".to_owned(), "-".to_owned(), "-".to_owned(), "it was uncordoned since".to_owned()),
        };
        table.row([name, phase, user, since, detached, reason]);
    }
    if !table.is_empty() {
        output.result_line(&table.render(terminal.table_width()));
    }
    for vm in &status.vms {
        output.result_line(&format!("virtual machine {} is being evacuated from node {}", vm.vm, vm.node));
    }
    for machine in status.nodes.iter().filter_map(|node| node.run.as_ref()).flat_map(|run| &run.stopped) {
        output.result_line(&format!(
            "virtual machine {} was stopped by a run; --undo gives its run strategy back",
            Legible(&machine.key.to_string())
        ));
    }
    for pod in &status.pods {
        let node = pod.node.as_ref().map(ToString::to_string).unwrap_or_default();
        match &pod.problem {
            None => output.result_line(&format!("pod {} on node {node} is detached", pod.pod)),
            Some(problem) => output.result_line(&format!(
                "pod {} on node {node} looks detached and is not believed to be: {problem}",
                pod.pod
            )),
        }
    }
}
