//! The drain itself: look, plan, show, take the lease, look again, run.

use std::collections::BTreeSet;

use cluster_model::identity::NodeName;
use cluster_model::marks::NodeRun;
use cluster_model::node::Node;
use evacuation::engine::{Engine, Outcome};
use evacuation::event::Event;
use evacuation::plan::{self, Action, DrainPlan, Drift};
use evacuation::request::{DrainRequest, Removal, Strategy};
use evacuation::surge::detach::Circumstances;
use evacuation_runner::interrupts::{Interrupted, Interrupts};
use evacuation_runner::live_view::LiveView;
use evacuation_runner::observe::{self, ListError, Observation};
use evacuation_runner::preflight::{self, Right};
use evacuation_runner::run::{self, News, RunEnd};
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::{DryRun, OutputFormat};
use kubectl_common::prompt::{Answer, Question, confirm};
use kubectl_common::report::Output;
use kubectl_common::terminal::Terminal;

use crate::cli::DrainArgs;
use crate::document::{DocumentEvent, EventLine, PlanDocument, ReportDocument, RunRecord, RunResult};
use crate::failure::{DrainError, call_failed};
use crate::render::{self, Narrator, Voice};
use crate::request::{self, Targets};
use crate::session::{self, Session, now};

/// A drain under way.
struct Drain<'a> {
    args: &'a DrainArgs,
    request: DrainRequest,
    session: Session,
    output: &'a Output,
    terminal: &'a Terminal,
}

/// Runs `kubectl safedrain NODE…`.
pub(crate) async fn run(
    args: &DrainArgs,
    launch: &Launch,
    output: &Output,
    terminal: &Terminal,
) -> Result<ExitStatus, Failure> {
    let request = request::drain_request(args)?;
    let targets = request::targets(args)?;
    request::pod_selector(args)?;
    if let Some(text) = args.dry_run.deprecation() {
        output.warning(text);
    }
    if args.disable_eviction && args.strategy == crate::cli::StrategyArg::Surge {
        output.warning("--disable-eviction implies --strategy=evict");
    }
    let mut interrupts = Interrupts::listen().map_err(DrainError::Signals)?;
    let looking = async {
        let session = Session::open(args, launch, output).await?;
        let drain = Drain { args, request, session, output, terminal };
        let looked = drain.look(targets).await?;
        Ok::<_, Failure>((drain, looked))
    };
    let (drain, looked) = interrupts.unless(looking).await.map_err(|Interrupted| DrainError::InterruptedEarly)??;
    output.clear_status();
    let Some(looked) = looked else {
        output.note("no node matches the selector");
        return Ok(ExitStatus::Done);
    };
    let plan = &looked.plan;
    drain.show(plan);
    let refused = || {
        let flags: BTreeSet<_> = plan.refusals.iter().map(|refusal| refusal.remedy.clone()).collect();
        DrainError::Refused { refusals: plan.refusals.len(), flags: flags.into_iter().collect() }
    };
    if args.dry_run.mode() != DryRun::None {
        return if plan.refusals.is_empty() { Ok(ExitStatus::Done) } else { Err(refused().into()) };
    }
    if !plan.refusals.is_empty() {
        drain.report(plan, None, RunResult::Refused);
        return Err(refused().into());
    }
    Box::pin(drain.carry_out(looked, &mut interrupts)).await
}

/// What a run starts from.
struct Looked {
    targets: Vec<NodeName>,
    plan: DrainPlan,
    observation: Observation,
    circumstances: Circumstances,
}

impl Drain<'_> {
    /// Looks at the cluster and makes the plan; `None` if no node is meant. Changes nothing.
    async fn look(&self, targets: Targets) -> Result<Option<Looked>, Failure> {
        self.output.status("looking at the cluster");
        let (targets, nodes) = self.find_nodes(targets).await?;
        if targets.is_empty() {
            return Ok(None);
        }
        check_marks(&nodes, &targets)?;
        self.warn_of_marks(&nodes, &targets);
        let observation = self.observe(nodes, &targets).await?;
        let mut circumstances = self.circumstances(&targets, &observation).await?;
        let mut plan = self.plan(&targets, &observation, &circumstances);
        self.demand_rights(&plan).await?;
        // A client's dry run sends nothing that could be taken for a write, so policy webhooks are not asked.
        if self.args.dry_run.mode() != DryRun::Client {
            self.rehearse(&observation, &mut circumstances, &plan).await;
            plan = self.plan(&targets, &observation, &circumstances);
        }
        Ok(Some(Looked { targets, plan, observation, circumstances }))
    }

    async fn find_nodes(&self, targets: Targets) -> Result<(Vec<NodeName>, Vec<Node>), Failure> {
        let nodes = observe::nodes(&self.session.access).await.map_err(|error| self.list_failed(&error))?;
        let names = match targets {
            Targets::Named(names) => {
                for name in &names {
                    if !nodes.iter().any(|node| node.name == *name) {
                        return Err(unknown_node(name, &nodes).into());
                    }
                }
                names
            }
            Targets::Selected(selector) => {
                let names = observe::node_names(&self.session.access, &selector).await;
                names.map_err(|error| self.list_failed(&error))?
            }
        };
        Ok((names, nodes))
    }

    /// Every start tells of marks that other runs have left on other nodes; on its own nodes this run goes on itself.
    fn warn_of_marks(&self, nodes: &[Node], targets: &[NodeName]) {
        for node in nodes.iter().filter(|node| !targets.contains(&node.name)) {
            if let Some(mark) = NodeRun::of(node).filter(|mark| mark.phase == cluster_model::marks::RunPhase::Draining)
            {
                self.output.warning(&format!(
                    "node {} carries the mark of a run of {} from {:.0} that has not ended: \
                     go on with `kubectl safedrain {}`, or give it back with `kubectl safedrain {} --undo`",
                    node.name, mark.user, mark.start, node.name, node.name
                ));
            }
        }
    }

    async fn observe(&self, nodes: Vec<Node>, targets: &[NodeName]) -> Result<Observation, Failure> {
        let with_handovers = self.request.strategy != Strategy::Evict;
        let selector = self.args.pod_selector.as_deref();
        observe::for_drain(&self.session.access, nodes, targets, selector, with_handovers)
            .await
            .map_err(|error| self.list_failed(&error))
    }

    async fn circumstances(&self, targets: &[NodeName], observation: &Observation) -> Result<Circumstances, Failure> {
        let may_not_patch = self.lacking(Right::PATCH_PODS, &observation.handover_namespaces).await?;
        Ok(Circumstances { leaving: targets.iter().cloned().collect(), may_not_patch, ..Circumstances::default() })
    }

    async fn lacking(&self, right: Right, namespaces: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
        preflight::lacking(&self.session.access, right, namespaces)
            .await
            .map_err(|error| call_failed(&self.session.connection, &error, "ask what you may do"))
    }

    /// Refuses a run that would fail half-way for want of a right.
    async fn demand_rights(&self, plan: &DrainPlan) -> Result<(), Failure> {
        let may_patch = preflight::has(&self.session.access, Right::PATCH_NODES, None).await;
        let may_patch =
            may_patch.map_err(|error| call_failed(&self.session.connection, &error, "ask what you may do"))?;
        if !may_patch {
            return Err(DrainError::MayNot { right: Right::PATCH_NODES, namespaces: Vec::new() }.into());
        }
        let leaving = plan.pods().filter(|(_, pod)| matches!(pod.action, Action::Handover | Action::Evict));
        let namespaces: BTreeSet<_> = leaving.map(|(_, pod)| pod.pod.namespace.clone()).collect();
        let right = match self.request.removal {
            Removal::Evict => Right::EVICT_PODS,
            Removal::Delete => Right::DELETE_PODS,
        };
        let lacking = self.lacking(right, &namespaces).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        Err(DrainError::MayNot { right, namespaces: lacking.into_iter().collect() }.into())
    }

    fn plan(&self, targets: &[NodeName], observation: &Observation, circumstances: &Circumstances) -> DrainPlan {
        let Observation { cluster, selected, .. } = observation;
        plan::build(targets, &self.request, cluster, circumstances, selected.as_ref(), now())
    }

    /// Asks the server whether policy webhooks would let the detaches pass.
    async fn rehearse(&self, observation: &Observation, circumstances: &mut Circumstances, plan: &DrainPlan) {
        circumstances.patch_denied =
            preflight::denied_patches(&self.session.access, plan, &observation.cluster, now()).await;
    }

    fn list_failed(&self, error: &ListError) -> Failure {
        call_failed(&self.session.connection, &error.source, &error.to_string().replace("cannot ", ""))
    }

    /// Shows the plan: on stdout in a dry run, where it is the result; else on stderr.
    fn show(&self, plan: &DrainPlan) {
        let cluster = &self.session.connection.cluster;
        let format = self.args.output.output;
        let dry_run = self.args.dry_run.mode() != DryRun::None;
        let document = PlanDocument::new(plan, cluster);
        match (format, dry_run) {
            (OutputFormat::Json, true) => self.output.json(&document),
            (OutputFormat::Yaml, true) => self.output.yaml(&document),
            (OutputFormat::Jsonl, _) => {
                let event = DocumentEvent::new("planReady", document);
                self.output.json_line(&EventLine::new(now(), &event));
            }
            (OutputFormat::Json | OutputFormat::Yaml, false) | (OutputFormat::Table | OutputFormat::Wide, _) => {
                let text = render::plan_text(plan, cluster, format, self.terminal.table_width());
                if dry_run {
                    self.output.result_line(&text);
                } else {
                    self.output.note(&text);
                    self.output.note("");
                }
            }
        }
    }

    async fn carry_out(&self, looked: Looked, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
        let Looked { targets, plan: shown, observation, circumstances } = looked;
        let (targets, shown) = (targets.as_slice(), &shown);
        let access = &self.session.access;
        let guard = match self.session.take_leases(targets, self.output, interrupts).await {
            Ok(guard) => guard,
            Err(error) => {
                let interrupted = matches!(error, DrainError::InterruptedEarly);
                self.report(shown, None, if interrupted { RunResult::Interrupted } else { RunResult::Refused });
                return Err(error.into());
            }
        };
        let selected = observation.selected.clone();
        let mut view = LiveView::new(access, targets, observation);
        let prepared = tokio::select! {
            prepared = self.prepare(targets, shown, &mut view, &circumstances, selected.as_ref()) => prepared,
            () = interrupts.next() => Err(DrainError::InterruptedEarly.into()),
            why = guard.keep(access) => Err(DrainError::LeaseLostEarly(why).into()),
        };
        let plan = match prepared {
            Ok(plan) => plan,
            Err(failure) => {
                guard.release(access).await;
                let interrupted = failure.status() == ExitStatus::Interrupted;
                self.report(shown, None, if interrupted { RunResult::Interrupted } else { RunResult::Refused });
                return Err(failure);
            }
        };
        let mut engine = Engine::drain(&plan, self.request.clone(), circumstances, self.session.identity.clone())
            .with_pod_selector(request::pod_selector(self.args)?);
        let mut record = RunRecord::default();
        let end = {
            let mut narrator = Narrator::new(self.output, self.voice(), self.request.removal);
            let report = |news: News<'_>| self.tell(&mut narrator, &mut record, &news);
            run::run(&mut engine, &mut view, access, &guard, interrupts, report).await
        };
        self.output.clear_status();
        let outcome = match end {
            RunEnd::Finished(Outcome::LeaseLost) => {
                self.report(&plan, Some((&engine, &record)), RunResult::Stopped);
                return Ok(self.last_words(targets, ExitStatus::Stopped));
            }
            RunEnd::Abandoned => {
                self.output.note("left at once: nothing more was written, not even the lease's release");
                return Ok(self.last_words(targets, ExitStatus::Interrupted));
            }
            RunEnd::Finished(outcome) => outcome,
        };
        guard.release(access).await;
        self.report(&plan, Some((&engine, &record)), RunResult::from(outcome));
        let status = match outcome {
            Outcome::Done => ExitStatus::Done,
            Outcome::Stopped | Outcome::LeaseLost => ExitStatus::Stopped,
            Outcome::Interrupted => ExitStatus::Interrupted,
        };
        Ok(self.last_words(targets, status))
    }

    /// Waits for the watches, makes the plan again under the lease, and asks if it came out differently.
    async fn prepare(
        &self,
        targets: &[NodeName],
        shown: &DrainPlan,
        view: &mut LiveView,
        circumstances: &Circumstances,
        selected: Option<&BTreeSet<cluster_model::identity::Uid>>,
    ) -> Result<DrainPlan, Failure> {
        session::sync(view, self.output).await?;
        let current = plan::build(targets, &self.request, view.cluster(), circumstances, selected, now());
        let drift = plan::between(shown, &current);
        if drift.is_empty() {
            return Ok(current);
        }
        self.output.note("The cluster has moved since the plan was shown:");
        for difference in &drift {
            self.output.note(&drift_line(difference));
        }
        if !current.refusals.is_empty() {
            for refusal in &current.refusals {
                self.output
                    .note(&format!("refused: pod {} {} (pass {})", refusal.pod, refusal.message, refusal.remedy));
            }
            let flags: BTreeSet<_> = current.refusals.iter().map(|refusal| refusal.remedy.clone()).collect();
            let refusals = current.refusals.len();
            return Err(DrainError::Refused { refusals, flags: flags.into_iter().collect() }.into());
        }
        if self.args.yes {
            return Ok(current);
        }
        let cluster = &self.session.connection.cluster;
        let question = Question { text: format!("{cluster}: go on with this?"), flag: "--yes".to_owned() };
        match confirm(&question, self.terminal).await? {
            Answer::Yes => Ok(current),
            Answer::No => Err(DrainError::Moved.into()),
            Answer::Interrupted => Err(DrainError::InterruptedEarly.into()),
        }
    }

    fn voice(&self) -> Voice {
        match self.args.output.output {
            OutputFormat::Table | OutputFormat::Wide => Voice::Lines,
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Jsonl => Voice::Talk,
        }
    }

    fn tell(&self, narrator: &mut Narrator<'_>, record: &mut RunRecord, news: &News<'_>) {
        match news {
            News::Event(event) => {
                record.note(event);
                if self.args.output.output == OutputFormat::Jsonl {
                    self.output.json_line(&EventLine::<Event>::new(now(), event));
                }
                narrator.tell(event, now());
            }
            News::Trouble(message) => self.output.warning(message),
            News::Progress(done, all) => narrator.progress(*done, *all, now()),
            News::LeaseLost(why) => {
                self.output.warning(&format!("the lease is lost, so nothing more is changed: {why}"));
            }
        }
    }

    fn report(&self, plan: &DrainPlan, run: Option<(&Engine, &RunRecord)>, result: RunResult) {
        let times = (self.session.started, now());
        let document = ReportDocument::new(plan, &self.session.connection.cluster, run, result, times);
        match self.args.output.output {
            OutputFormat::Json => self.output.json(&document),
            OutputFormat::Yaml => self.output.yaml(&document),
            OutputFormat::Jsonl => {
                let event = DocumentEvent::new("finished", document);
                self.output.json_line(&EventLine::new(now(), &event));
            }
            OutputFormat::Table | OutputFormat::Wide => {}
        }
    }

    /// Tells how to go on, or back, after a run that did not come to its end.
    fn last_words(&self, targets: &[NodeName], status: ExitStatus) -> ExitStatus {
        if matches!(status, ExitStatus::Stopped | ExitStatus::Interrupted) {
            let names: Vec<_> = targets.iter().map(ToString::to_string).collect();
            let names = names.join(" ");
            self.output.note("What was cordoned stays cordoned.");
            self.output.note(&format!("  go on:     kubectl safedrain {names}  (with the same flags)"));
            self.output.note(&format!("  give back: kubectl safedrain {names} --undo"));
        }
        status
    }
}

/// Refuses nodes whose mark this program does not understand: overwriting it would forget how the node was before.
pub(crate) fn check_marks(nodes: &[Node], targets: &[NodeName]) -> Result<(), DrainError> {
    for node in nodes.iter().filter(|node| targets.contains(&node.name)) {
        NodeRun::read(node).map_err(|mark| DrainError::UnknownMark { node: node.name.clone(), mark })?;
    }
    Ok(())
}

fn drift_line(drift: &Drift) -> String {
    match drift {
        Drift::Appeared(pod, action) => format!("  pod {pod} is new here: {}", action_words(*action)),
        Drift::Changed(pod, before, after) => {
            format!("  pod {pod}: {} instead of {}", action_words(*after), action_words(*before))
        }
    }
}

fn action_words(action: Action) -> &'static str {
    match action {
        Action::Handover => "handed over",
        Action::Evict => "evicted",
        Action::Wait => "waited for",
        Action::Leave => "left",
        Action::Refuse => "refused",
    }
}

/// Names the nodes whose names are closest to one that does not exist.
fn unknown_node(name: &NodeName, nodes: &[Node]) -> DrainError {
    let mut similar: Vec<_> = nodes
        .iter()
        .map(|node| (distance(&name.0, &node.name.0), node.name.to_string()))
        .filter(|(distance, _)| *distance <= 2)
        .collect();
    similar.sort();
    let similar = similar.into_iter().take(3).map(|(_, name)| name).collect();
    DrainError::UnknownNode { name: name.to_string(), similar }
}

/// The number of insertions, deletions and substitutions between two names (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut previous = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.chars().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(previous + usize::from(a != b));
            previous = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_far_apart_as_they_differ() {
        for (one, other, expected) in [("", "", 0), ("a", "", 1), ("node-1", "node-2", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
