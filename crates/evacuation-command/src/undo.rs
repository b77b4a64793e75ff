//! `--undo`: detached pods are attached again, marks come off, nodes that were schedulable become so.

use std::collections::BTreeSet;

use api_access::interrupts::{Interrupted, Interrupts};
use cluster_model::identity::{NodeName, ObjectKey, PodId};
use cluster_model::marks::NodeRun;
use cluster_model::node::Node;
use evacuation::engine::{Engine, GuestEnd, Outcome, StepEnd};
use evacuation::event::Event;
use evacuation::guests::Moves;
use evacuation::request::{DrainRequest, Strategy};
use evacuation_runner::live_view::LiveView;
use evacuation_runner::observe::{self, ListError, Observation, Scope};
use evacuation_runner::run::{self, News, RunEnd};
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::{DryRun, OutputFormat};
use kubectl_common::report::Output;
use serde::Serialize;

use crate::document::{DocumentEvent, EventLine, Header};
use crate::failure::{CommandError, count, list_failed};
use crate::job::Job;
use crate::render::{Narrator, Pace, Voice};
use crate::session::{self, Session, now};
use crate::{guests, look, nodes, rights, telling};

/// For how many pods that stay detached the next command is told.
const TOLD: usize = 3;

/// What an undo came to.
#[derive(Debug, Serialize)]
struct UndoReport<'a> {
    #[serde(flatten)]
    header: Header<'a>,
    verdict: &'static str,
    nodes: &'a [NodeName],
    pods: Vec<UndonePod<'a>>,
    /// The virtual machines whose evacuation is called off.
    vms: Vec<UndoneVm<'a>>,
    /// The VirtualMachines that get back the run strategy that a stop had changed.
    machines: Vec<&'a ObjectKey>,
}

#[derive(Debug, Serialize)]
struct UndoneVm<'a> {
    #[serde(flatten)]
    vm: &'a ObjectKey,
    node: &'a NodeName,
    result: Option<&'a GuestEnd>,
}

#[derive(Debug, Serialize)]
struct UndonePod<'a> {
    #[serde(flatten)]
    pod: &'a PodId,
    result: Option<&'a StepEnd>,
}

impl<'a> UndoReport<'a> {
    fn new(session: &'a Session, verdict: &'static str, nodes: &'a [NodeName]) -> Self {
        let header = Header::new("UndoReport", &session.connection.cluster);
        Self { header, verdict, nodes, pods: Vec::new(), vms: Vec::new(), machines: Vec::new() }
    }
}

fn show(job: &Job, output: &Output, report: &UndoReport<'_>) {
    match job.format {
        OutputFormat::Json => output.json(report),
        OutputFormat::Yaml => output.yaml(report),
        OutputFormat::Jsonl => output.json_line(&EventLine::new(now(), &DocumentEvent::new("finished", report))),
        OutputFormat::Table | OutputFormat::Wide => {}
    }
}

/// Runs `--undo` on the named nodes; none: on all.
pub(crate) async fn run(job: &Job, named: &[NodeName], output: &Output) -> Result<ExitStatus, Failure> {
    if job.dry_run == DryRun::Server {
        return Err(CommandError::NoRehearsal("undo").into());
    }
    let mut interrupts = Interrupts::listen().map_err(CommandError::Signals)?;
    let looked = interrupts.unless(Box::pin(look(job, named, output))).await;
    let Found { session, targets, observation, detached } =
        looked.map_err(|Interrupted| CommandError::InterruptedEarly)??;
    let access = &session.access;
    let Some(observation) = observation else {
        output.note("nothing to undo: no node and no pod carries a mark");
        return Ok(finish(job, &session, output, &targets, None, Outcome::Done));
    };
    if job.dry_run == DryRun::Client {
        show_dry_run(job, &session, output, &targets, &observation, &detached);
        return Ok(ExitStatus::Done);
    }
    let guard = session::take_lease(&session, output, &targets, job.take_over, &mut interrupts).await?;
    let mut view = LiveView::new(access, &targets, observation);
    let synced = tokio::select! {
        synced = session::sync(&session, &mut view, output) => synced,
        () = interrupts.next() => Err(CommandError::InterruptedEarly),
        why = guard.keep(access) => Err(CommandError::LeaseLostEarly { why, plugin: job.plugin }),
    };
    if let Err(error) = synced {
        guard.release(access).await;
        return Err(error.into());
    }
    let request = DrainRequest { strategy: Strategy::Auto, settle: job.request.settle, ..DrainRequest::default() };
    let mut engine = Engine::undo(&targets, &detached, request.clone(), session.identity.clone());
    let voice = match job.format {
        OutputFormat::Table | OutputFormat::Wide => Voice::Lines,
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Jsonl => Voice::Talk,
    };
    let mut narrator = Narrator::new(output, voice, &request, Pace::new(now(), None));
    let mut released = Vec::new();
    let report = |news: News<'_>| match news {
        News::Event(event) => {
            if let Event::NodeReleased { node, .. } = event {
                released.push(node.clone());
            }
            if job.format == OutputFormat::Jsonl {
                output.json_line(&EventLine::new(now(), event));
            }
            narrator.tell(event, now());
        }
        News::Trouble(message) | News::LeaseLost(message) => output.warning(message),
        News::Progress(done, all) => narrator.progress(done, all, now()),
    };
    let end = run::run(&mut engine, &mut view, access, &guard, &mut interrupts, report).await;
    output.clear_status();
    let outcome = match end {
        RunEnd::Finished(outcome) => outcome,
        RunEnd::Abandoned => {
            output.note("left at once: nothing more was written; the same command goes on");
            return Ok(ExitStatus::Interrupted);
        }
    };
    let telling = telling::send(&session, output, &guard, telling::of_undo(&released, &session.identity));
    // Who interrupts once more does not wait for that.
    if interrupts.unless(Box::pin(telling)).await.is_err() {
        tracing::info!("not every Event was written");
    }
    session::release(guard, access, &mut interrupts).await;
    Ok(finish(job, &session, output, &targets, Some(&engine), outcome))
}

/// What there is to undo.
struct Found {
    session: Session,
    targets: Vec<NodeName>,
    /// `None`: nothing.
    observation: Option<Observation>,
    /// The detached pods and their nodes.
    detached: Vec<(PodId, NodeName)>,
}

/// Looks for marks on the nodes that are meant, or on all, and whether the user may take them off. Changes nothing.
async fn look(job: &Job, named: &[NodeName], output: &Output) -> Result<Found, Failure> {
    let session = Session::open(job, output).await?;
    let access = &session.access;
    let failed = |error: &ListError| list_failed(&session, error);
    let looking = async {
        let nodes = observe::nodes(access).await?;
        Ok((nodes, observe::detached_pods(access).await?))
    };
    let (nodes, mut found) =
        session::patiently(&session, output, looking).await.map_err(|error: ListError| failed(&error))?;
    nodes::all_exist(named, &nodes)?;
    let is_meant = |name: &NodeName| named.is_empty() || named.contains(name);
    found.retain(|pod| pod.node.as_ref().is_some_and(is_meant));
    let marked = nodes.iter().filter(|node: &&Node| node.run.is_some() && is_meant(&node.name)).map(|node| &node.name);
    // An evacuation of virtual machines may go on without any mark of ours: one that `kubectl drain` began.
    let asked_for = if job.is_for_guests { named } else { &[] };
    let detached_on = found.iter().filter_map(|pod| pod.node.clone());
    let targets: BTreeSet<NodeName> = marked.cloned().chain(detached_on).chain(asked_for.iter().cloned()).collect();
    let targets: Vec<NodeName> = targets.into_iter().collect();
    if targets.is_empty() {
        return Ok(Found { session, targets, observation: None, detached: Vec::new() });
    }
    look::check_marks(&nodes, &targets)?;
    // Where no pod was detached there is nothing to know of workloads.
    let only_guests = job.request.moves == Moves::GuestsOnly && found.is_empty();
    let scope = if only_guests {
        Scope::GuestsOnly
    } else {
        Scope::Pods { with_handovers: false, with_turns: false, with_volumes: false }
    };
    let stopped: BTreeSet<String> = nodes
        .iter()
        .filter(|node| targets.contains(&node.name))
        .filter_map(NodeRun::of)
        .flat_map(|run| run.stopped)
        .map(|machine| machine.key.namespace)
        .collect();
    let mut observation =
        observe::for_drain(access, nodes, &targets, None, scope).await.map_err(|error| failed(&error))?;
    guests::look(job, &session, &targets, &mut observation).await?;
    let on_targets = observation.cluster.pods().filter(|pod| pod.detached.is_some());
    let detached: Vec<_> = on_targets
        .filter_map(|pod| Some((pod.id.clone(), pod.node.clone()?)))
        .filter(|(_, node)| targets.contains(node))
        .collect();
    if job.dry_run == DryRun::None {
        let namespaces = detached.iter().map(|(pod, _)| pod.namespace.clone()).collect();
        let evacuating = guests::evacuating(&targets, observation.cluster.virtualization());
        let evacuating = evacuating.map(|(vm, _)| vm.namespace.clone()).collect();
        let needs = rights::of_undo(namespaces, evacuating, stopped, &observation);
        let missing = rights::missing(&session, &needs).await?;
        if !missing.is_empty() {
            return Err(CommandError::may_not(missing, &session).into());
        }
    }
    Ok(Found { session, targets, observation: Some(observation), detached })
}

fn show_dry_run(
    job: &Job,
    session: &Session,
    output: &Output,
    targets: &[NodeName],
    observation: &Observation,
    detached: &[(PodId, NodeName)],
) {
    let cluster = &observation.cluster;
    let marks: Vec<_> = targets.iter().filter_map(|node| NodeRun::of(cluster.node(node)?)).collect();
    let report = UndoReport {
        pods: detached.iter().map(|(pod, _)| UndonePod { pod, result: None }).collect(),
        vms: guests::evacuating(targets, cluster.virtualization())
            .map(|(vm, node)| UndoneVm { vm, node, result: None })
            .collect(),
        machines: marks.iter().flat_map(|mark| &mark.stopped).map(|machine| &machine.key).collect(),
        ..UndoReport::new(session, "dryRun", targets)
    };
    if job.format.is_machine_readable() {
        return show(job, output, &report);
    }
    for vm in &report.vms {
        let name = &vm.vm.name;
        output.result_line(&format!(
            "virtualmachineinstance.kubevirt.io/{name}: its evacuation of node {} would be called off (dry run)",
            vm.node
        ));
    }
    for machine in &report.machines {
        let name = &machine.name;
        output
            .result_line(&format!("virtualmachine.kubevirt.io/{name} would be given its run strategy back (dry run)"));
    }
    for node in targets {
        output.result_line(&format!("node/{node} would be released (dry run)"));
    }
    for pod in &report.pods {
        output.result_line(&format!("pod/{} would be attached again (dry run)", pod.pod.name));
    }
}

fn finish(
    job: &Job,
    session: &Session,
    output: &Output,
    targets: &[NodeName],
    engine: Option<&Engine>,
    outcome: Outcome,
) -> ExitStatus {
    let pods: Vec<_> =
        engine.iter().flat_map(|engine| engine.ends().map(|(pod, _, result, _)| UndonePod { pod, result })).collect();
    let verdict = if outcome == Outcome::Done { "undone" } else { "incomplete" };
    let vms: Vec<_> = engine
        .iter()
        .flat_map(|engine| engine.guest_ends().map(|(id, node, result)| UndoneVm { vm: &id.vm, node, result }))
        .collect();
    let (all, all_vms) = (pods.len(), vms.len());
    let is_kept = |pod: &&UndonePod<'_>| matches!(pod.result, Some(StepEnd::GivenUp(_)));
    let kept: Vec<_> = pods.iter().filter(is_kept).take(TOLD).map(|pod| pod.pod.clone()).collect();
    let machines = engine.iter().flat_map(|engine| engine.restored()).collect();
    show(job, output, &UndoReport { pods, vms, machines, ..UndoReport::new(session, verdict, targets) });
    match outcome {
        Outcome::Done => ExitStatus::Done,
        Outcome::Interrupted => ExitStatus::Interrupted,
        Outcome::Stopped | Outcome::LeaseLost => {
            let what = match (all, all_vms) {
                (0, 0) => "everything".to_owned(),
                (pods, 0) => format!("all of {}", count(pods, "pod")),
                (0, vms) => format!("all of {}", count(vms, "virtual machine")),
                (pods, vms) => format!("all of {} and {}", count(pods, "pod"), count(vms, "virtual machine")),
            };
            output.note(&format!("not {what} could be given back; see above"));
            for pod in kept {
                output.note(&format!(
                    "  look at it, and delete it if nobody needs it: kubectl delete pod -n {} {}",
                    pod.namespace, pod.name
                ));
            }
            ExitStatus::Stopped
        }
    }
}
