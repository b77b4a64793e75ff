//! The drain itself: look, plan, show, take the lease, look again, run.

use std::collections::BTreeSet;

use api_access::interrupts::{Interrupted, Interrupts};
use cluster_model::identity::NodeName;
use evacuation::engine::{Engine, Outcome};
use evacuation::event::Event;
use evacuation::plan::{self, Action, DrainPlan};
use evacuation::surge::detach::Circumstances;
use evacuation_runner::live_view::LiveView;
use evacuation_runner::observe;
use evacuation_runner::run::{self, News, RunEnd};
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::{DryRun, OutputFormat};
use kubectl_common::prompt::{Answer, Question, confirm};
use kubectl_common::report::Output;
use kubectl_common::terminal::Terminal;

use crate::document::{DocumentEvent, EventLine, PlanDocument, ReportDocument, RunRecord, RunResult, Subject};
use crate::failure::{CommandError, list_failed};
use crate::job::{Job, Targets};
use crate::keeping;
use crate::look::{self, Look};
use crate::pools::{self, Joined, Onto, Pools};
use crate::render::{self, Narrator, Pace, Page, Voice};
use crate::session::{self, Session, now};
use crate::{telling, whole_file};

/// How often nodes that joined a pool during the run are drained as well before it is left at that.
const ROUNDS: usize = 5;

/// A drain under way.
struct Drain<'a> {
    job: &'a Job,
    session: Session,
    output: &'a Output,
    terminal: &'a Terminal,
}

/// Runs the plugin on nodes.
pub(crate) async fn run(
    job: &Job,
    targets: &Targets,
    output: &Output,
    terminal: &Terminal,
) -> Result<ExitStatus, Failure> {
    for warning in &job.warnings {
        output.warning(warning);
    }
    if let Some(path) = job.report.as_ref().filter(|_| job.dry_run == DryRun::None) {
        whole_file::check(path).map_err(|source| CommandError::Report { path: path.clone(), source })?;
    }
    let mut interrupts = Interrupts::listen().map_err(CommandError::Signals)?;
    let looking = async {
        let session = Session::open(job, output).await?;
        let drain = Drain { job, session, output, terminal };
        output.status("looking at the cluster");
        let looking = look::look(job, &drain.session, output, targets);
        let looked = Box::pin(session::patiently(&drain.session, output, looking)).await?;
        Ok::<_, Failure>((drain, looked))
    };
    let looked = interrupts.unless(Box::pin(looking)).await;
    output.clear_status();
    let (drain, looked) = looked.map_err(|Interrupted| CommandError::InterruptedEarly)??;
    let Some(looked) = looked else {
        output.note(&match targets {
            Targets::Named(_) => "no node is left".to_owned(),
            Targets::Selected(_) => "no node matches the selector".to_owned(),
            Targets::Pool(name) => format!("pool {name} has no nodes"),
        });
        return Ok(ExitStatus::Done);
    };
    let mut known: BTreeSet<_> = looked.targets.iter().cloned().collect();
    let mut status = Box::pin(drain.execute(looked, &mut interrupts)).await?;
    for round in 0.. {
        if status != ExitStatus::Done || job.dry_run != DryRun::None {
            break;
        }
        let joined = interrupts.unless(Box::pin(drain.joined(targets, &known))).await;
        let joined = match joined.map_err(|Interrupted| CommandError::InterruptedLate)? {
            Ok(joined) => joined,
            Err(failure) => {
                let why = failure.message();
                output.warning(&format!("whether nodes joined the pool meanwhile is not known: {why}"));
                status = ExitStatus::Stopped;
                break;
            }
        };
        if joined.is_empty() {
            break;
        }
        let is_one_document = job.report.is_some() || matches!(job.format, OutputFormat::Json | OutputFormat::Yaml);
        if is_one_document || round == ROUNDS {
            status = drain.left_behind(&joined);
            break;
        }
        known.extend(joined.iter().cloned());
        let again = Targets::Named(joined);
        let looking = Box::pin(look::look(job, &drain.session, output, &again));
        let looked = interrupts.unless(looking).await.map_err(|Interrupted| CommandError::InterruptedLate)??;
        let Some(looked) = looked else { break };
        status = Box::pin(drain.execute(looked, &mut interrupts)).await?;
    }
    Ok(status)
}

impl Drain<'_> {
    /// Shows a plan and, if nothing stands in its way and it is not only to be seen, carries it out.
    async fn execute(&self, looked: Look, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
        let (job, plan) = (self.job, &looked.plan);
        self.show(&looked);
        if !looked.missing.is_empty() {
            if job.dry_run == DryRun::None {
                self.report(plan, None, RunResult::Refused);
            }
            return Err(CommandError::may_not(looked.missing, &self.session).into());
        }
        if let Some(obstacle) = looked.obstacle {
            if job.dry_run == DryRun::None {
                self.report(plan, None, RunResult::Refused);
            }
            return Err(obstacle.into());
        }
        if job.dry_run != DryRun::None {
            // The run would leave them, and so not end with the node empty.
            let stay = plan.staying_vms().next().is_some();
            return match plan.refusals.is_empty() {
                true if stay => Ok(ExitStatus::Stopped),
                true => Ok(ExitStatus::Done),
                false => Err(CommandError::refused(plan).into()),
            };
        }
        if !plan.refusals.is_empty() {
            self.report(plan, None, RunResult::Refused);
            return Err(CommandError::refused(plan).into());
        }
        Box::pin(self.carry_out(looked, interrupts)).await
    }

    /// Finds the nodes that have come since to what is being emptied. Those of which no provider says that they belong
    /// to it are only told of.
    async fn joined(&self, targets: &Targets, known: &BTreeSet<NodeName>) -> Result<Vec<NodeName>, Failure> {
        let (members, strangers) = match targets {
            Targets::Named(_) => return Ok(Vec::new()),
            Targets::Selected(selector) => {
                let names = observe::node_names(&self.session.access, selector).await;
                let names = names.map_err(|error| list_failed(&self.session, &error))?;
                (Vec::new(), names.into_iter().filter(|name| !known.contains(name)).collect())
            }
            Targets::Pool(name) => {
                let Joined { members, strangers } = pools::joined(self.job, &self.session, name, known).await?;
                (members, strangers)
            }
        };
        for node in &strangers {
            self.output.warning(&format!(
                "node {node} came during the run and matches by now; it was not drained: the same command drains it"
            ));
        }
        for node in &members {
            self.output.note(&format!("node {node} joined the pool during the run"));
        }
        if !members.is_empty()
            && let Targets::Pool(name) = targets
        {
            let freeze = self.session.connection.kubectl(&format!("poolcopy {name} --freeze"));
            self.output.note(&format!("  to stop the pool's growth: {freeze}"));
        }
        Ok(members)
    }

    /// The end of a run that has nodes left which came while it ran.
    fn left_behind(&self, nodes: &[NodeName]) -> ExitStatus {
        let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        let again = self.session.connection.kubectl(&format!("{} {}", self.job.plugin.name, names.join(" ")));
        self.output.note(&format!("  go on:     {again}  (with the same flags)"));
        ExitStatus::Stopped
    }

    /// Shows the plan: on stdout in a dry run, where it is the result; else on stderr.
    fn show(&self, looked: &Look) {
        let plan = &looked.plan;
        let cluster = &self.session.connection.cluster;
        let format = self.job.format;
        let dry_run = self.job.dry_run != DryRun::None;
        let document = PlanDocument::new(self.subject(), plan, cluster);
        match (format, dry_run) {
            (OutputFormat::Json, true) => self.output.json(&document),
            (OutputFormat::Yaml, true) => self.output.yaml(&document),
            (OutputFormat::Jsonl, _) => {
                let event = DocumentEvent::new("planReady", document);
                self.output.json_line(&EventLine::new(now(), &event));
            }
            (OutputFormat::Json | OutputFormat::Yaml, false) | (OutputFormat::Table | OutputFormat::Wide, _) => {
                let page = Page {
                    identity: cluster,
                    cluster: &looked.observation.cluster,
                    moves: self.job.request.moves,
                    format,
                    width: self.terminal.table_width(),
                };
                let text = render::plan_text(plan, &page);
                let onto = looked.onto.as_ref().map(Onto::introduction);
                if dry_run {
                    self.output.result_line(&text);
                } else {
                    self.output.note(&text);
                }
                if let Some(line) = onto {
                    self.output.note(&line);
                }
                if !dry_run {
                    self.output.note("");
                }
            }
        }
    }

    async fn carry_out(&self, looked: Look, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
        let Look { targets, plan: shown, observation, circumstances, onto, .. } = looked;
        let (targets, shown) = (targets.as_slice(), &shown);
        let access = &self.session.access;
        let take_over = self.job.take_over;
        let guard = match session::take_lease(&self.session, self.output, targets, take_over, interrupts).await {
            Ok(guard) => guard,
            Err(error) => {
                let interrupted = matches!(error, CommandError::InterruptedEarly);
                self.report(shown, None, if interrupted { RunResult::Interrupted } else { RunResult::Refused });
                return Err(error.into());
            }
        };
        let selected = observation.selected.clone();
        let with_handovers = observation.handover_namespaces.clone();
        let mut view = LiveView::new(access, targets, observation);
        let mut preparing = async || -> Result<DrainPlan, Failure> {
            session::sync(&self.session, &mut view, self.output).await?;
            let newer = observe::newer_deployments(access, &with_handovers, targets, view.cluster()).await;
            view.learn(newer.map_err(|error| list_failed(&self.session, &error))?);
            let plan = self.prepare(targets, shown, &view, &circumstances, selected.as_ref()).await?;
            self.keep_manifests(&plan).await?;
            Ok(plan)
        };
        let prepared = tokio::select! {
            prepared = preparing() => prepared,
            () = interrupts.next() => Err(CommandError::InterruptedEarly.into()),
            why = guard.keep(access) => Err(CommandError::LeaseLostEarly { why, plugin: self.job.plugin }.into()),
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
        let mut engine = Engine::drain(&plan, self.job.request.clone(), circumstances, self.session.identity.clone())
            .with_pod_selector(self.job.pod_selector.as_ref().map(|selector| selector.meaning.clone()));
        let homes = telling::homes(&plan, view.cluster());
        let mut record = RunRecord::default();
        let end = {
            let pace = Pace::new(now(), plan.estimate);
            let mut narrator = Narrator::new(self.output, self.voice(), &self.job.request, pace);
            let report = |news: News<'_>| self.tell(&mut narrator, &mut record, &news);
            run::run(&mut engine, &mut view, access, &guard, interrupts, report).await
        };
        self.output.clear_status();
        let is_there = |name: &&NodeName| view.cluster().node(name).is_some();
        let (targets, gone): (Vec<_>, Vec<_>) = targets.iter().partition(is_there);
        for name in gone {
            self.output.warning(&format!(
                "node {name} does not exist any more: somebody deleted it during the run, and its pods go with it"
            ));
        }
        let outcome = match end {
            RunEnd::Finished(Outcome::LeaseLost) => {
                // The other nodes' locks are still ours; each is given back only if it is.
                session::release(guard, access, interrupts).await;
                self.report(&plan, Some((&engine, &record)), RunResult::Stopped);
                return Ok(self.last_words(&targets, ExitStatus::Stopped));
            }
            RunEnd::Abandoned => {
                self.output.note("left at once: nothing more was written, not even the lease's release");
                return Ok(self.last_words(&targets, ExitStatus::Interrupted));
            }
            RunEnd::Finished(outcome) => outcome,
        };
        let told = telling::of_drain(&plan, &engine, &homes, &self.session.identity, record.drained());
        let telling = telling::send(&self.session, self.output, &guard, told);
        // Who interrupts once more does not wait for that.
        if interrupts.unless(Box::pin(telling)).await.is_err() {
            tracing::info!("not every Event was written");
        }
        session::release(guard, access, interrupts).await;
        if let Some(onto) = onto {
            self.tell_of_strays(onto, &record).await;
        }
        let proven = targets.iter().filter(|node| record.holds_no_vm(node));
        proven.filter_map(|node| render::farewell(node, view.cluster())).for_each(|line| self.output.note(&line));
        if outcome == Outcome::Done {
            let staying = plan.pods().filter(|(_, pod)| pod.action == Action::Leave);
            for (node, pod) in staying {
                for warning in &pod.warnings {
                    self.output.note(&format!("pod {} stays on node {node}: it {warning}", pod.pod));
                }
            }
        }
        self.report(&plan, Some((&engine, &record)), RunResult::from(outcome));
        let status = match outcome {
            Outcome::Done => ExitStatus::Done,
            Outcome::Stopped | Outcome::LeaseLost => ExitStatus::Stopped,
            Outcome::Interrupted => ExitStatus::Interrupted,
        };
        Ok(self.last_words(&targets, status))
    }

    /// Keeps what would be lost, before anything is changed.
    async fn keep_manifests(&self, plan: &DrainPlan) -> Result<(), Failure> {
        let Some(folder) = &self.job.backup_dir else { return Ok(()) };
        for file in keeping::keep(&self.session, folder, plan).await? {
            self.output.note(&format!("kept {}: `kubectl apply -f` makes that pod again", file.display()));
        }
        Ok(())
    }

    /// Tells which replacements run elsewhere than on the pool on which they were expected.
    async fn tell_of_strays(&self, mut onto: Onto, record: &RunRecord) {
        if onto.strays(record.replacements()).is_none() {
            return;
        }
        // Nodes may have come to it since.
        if let Ok(pools) = Pools::look(&self.session, &[&onto.name]).await
            && let Ok(entry) = pools.find(self.job, &self.session, "--onto", &onto.name)
        {
            onto.extend(entry.node_names());
        }
        if let Some(strays) = onto.strays(record.replacements()) {
            self.output.warning(&strays);
        }
    }

    /// Makes the plan again under the lease, and asks if it came out differently.
    async fn prepare(
        &self,
        targets: &[NodeName],
        shown: &DrainPlan,
        view: &LiveView,
        circumstances: &Circumstances,
        selected: Option<&BTreeSet<cluster_model::identity::Uid>>,
    ) -> Result<DrainPlan, Failure> {
        let mut current = plan::build(targets, &self.job.request, view.cluster(), circumstances, selected, now());
        plan::remember(shown, &mut current);
        let drift = plan::between(shown, &current);
        if drift.is_empty() {
            return Ok(current);
        }
        self.output.note("The cluster has moved since the plan was shown:");
        for difference in &drift {
            self.output.note(&render::drift_line(difference));
        }
        if !current.refusals.is_empty() {
            for refusal in &current.refusals {
                self.output.note(&render::refusal_line(refusal));
            }
            return Err(CommandError::refused(&current).into());
        }
        if self.job.yes {
            return Ok(current);
        }
        let cluster = &self.session.connection.cluster;
        let question = Question { text: format!("{cluster}: go on with this?"), flag: "--yes".to_owned() };
        match confirm(&question, self.terminal).await? {
            Answer::Yes => Ok(current),
            Answer::No => Err(CommandError::Moved.into()),
            Answer::Interrupted => Err(CommandError::InterruptedEarly.into()),
        }
    }

    fn subject(&self) -> Subject {
        if self.job.is_for_guests { Subject::Evacuation } else { Subject::Drain }
    }

    fn voice(&self) -> Voice {
        match self.job.format {
            OutputFormat::Table | OutputFormat::Wide => Voice::Lines,
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Jsonl => Voice::Talk,
        }
    }

    fn tell(&self, narrator: &mut Narrator<'_>, record: &mut RunRecord, news: &News<'_>) {
        match news {
            News::Event(event) => {
                record.note(event);
                if self.job.format == OutputFormat::Jsonl {
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
        let document = ReportDocument::new(self.subject(), plan, &self.session.connection.cluster, run, result, times);
        if let Some(path) = &self.job.report {
            let text = serde_json::to_string_pretty(&document).map_err(std::io::Error::other);
            if let Err(error) = text.and_then(|text| whole_file::write(path, &text)) {
                self.output.warning(&format!("the report cannot be written into {}: {error}", path.display()));
            }
        }
        match self.job.format {
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
    fn last_words(&self, targets: &[&NodeName], status: ExitStatus) -> ExitStatus {
        if matches!(status, ExitStatus::Stopped | ExitStatus::Interrupted) && !targets.is_empty() {
            let names: Vec<_> = targets.iter().map(ToString::to_string).collect();
            let names = names.join(" ");
            self.output.note("What was cordoned stays cordoned.");
            let plugin = self.job.plugin.name;
            let kubectl = |arguments: &str| self.session.connection.kubectl(arguments);
            let go_on = kubectl(&format!("{plugin} {names}"));
            self.output.note(&format!("  go on:     {go_on}  (with the same flags)"));
            self.output.note(&format!("  give back: {}", kubectl(&format!("{plugin} {names} --undo"))));
        }
        status
    }
}
