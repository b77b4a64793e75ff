//! The engine: a synchronous state machine that empties nodes.
//!
//! It is fed with [`Input`]s beside the current view of the cluster, and answers each with a [`Turn`]: commands to
//! carry out, events to report. It looks at the whole view every time, so a missed or doubled notification costs
//! nothing, and a run that takes over from a dead one needs no memory of it.
//!
//! What it guarantees, and its property tests check:
//!
//! 1. a detached pod is evicted only while its workload, detached pods not counted, is as strong as before;
//! 2. a pod leaves its ReplicaSet only by a patch that carries how to undo it;
//! 3. no more pods of a workload are surged at a time than allowed, over all nodes and runs;
//! 4. after the lease is lost there is no command at all;
//! 5. after an interrupt nothing new begins;
//! 6. of a workload whose pods are evicted, the next one goes when as many are Ready as before the last one went;
//! 7. no pod of a node is touched while a virtual machine that is to leave is there;
//! 8. a virtual machine is never ended without the consent that its decision names, its eviction is asked for again only
//!    while nothing came of the last, and no evacuation of this run goes on after it.

mod closing;
mod command;
mod eviction;
mod facts;
mod gate;
mod guest_cancel;
mod guest_command;
mod guest_follow;
mod guest_reply;
mod guest_step;
mod guests;
mod handover;
mod input;
mod node;
mod pods;
mod readiness;
mod reattachment;
mod restore;
mod step;
mod succession;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt;
use cluster_model::selector::Selector;
use cluster_model::snapshot::ClusterSnapshot;
use serde::Serialize;

pub use command::Command;
pub use guest_command::GuestCommand;
pub use guest_step::{GuestEnd, GuestId};
pub use input::{CommandId, Input, Moment, Reply};
pub use step::StepEnd;

use crate::event::{Event, Stop};
use crate::plan::{Action, DrainPlan};
use crate::request::DrainRequest;
use crate::surge::detach::Circumstances;
use crate::wait::Wait;
use guest_step::GuestStep;
use node::NodeStep;
use readiness::Readiness;
use restore::Restore;
use step::{State, Step};
use succession::Predecessor;

/// How many requests may be unanswered at a time.
const IN_FLIGHT: usize = 64;

/// Who runs this, and how; written into the marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunIdentity {
    /// The run's id.
    pub run: String,
    /// The user, as the kubeconfig names them.
    pub user: String,
    /// Program and version.
    pub version: String,
    /// What `--reason` said.
    pub reason: Option<String>,
    /// The options that were given.
    pub options: Vec<String>,
}

/// What a turn asks for.
#[derive(Debug, Default, PartialEq)]
#[must_use = "commands that are not carried out leave their pods waiting for ever"]
pub struct Turn {
    /// To be carried out, each answered by [`Input::Replied`].
    pub commands: Vec<(CommandId, Command)>,
    /// To be reported.
    pub events: Vec<Event>,
    /// When to come back at the latest, in the time of [`Moment::elapsed`].
    pub wake_at: Option<Duration>,
    /// The end of the run.
    pub finished: Option<Outcome>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// All nodes are drained, or everything was given back.
    Done,
    /// It stopped part-way; the same command goes on.
    Stopped,
    /// It was interrupted and has tidied up.
    Interrupted,
    /// Another run holds the node.
    LeaseLost,
}

/// What the run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Drain,
    Undo,
}

/// What the engine is at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Posture {
    Draining,
    Stopping(Stop),
    Halted,
}

/// A run.
#[derive(Debug)]
pub struct Engine {
    request: DrainRequest,
    circumstances: Circumstances,
    identity: RunIdentity,
    nodes: Vec<NodeStep>,
    steps: BTreeMap<PodId, Step>,
    /// Which pods of the nodes are meant; `None`: all.
    pod_selector: Option<Selector>,
    /// Pods on the nodes that are none of the run's business.
    left: std::collections::BTreeSet<PodId>,
    /// The virtual machines that are to leave.
    guests: BTreeMap<GuestId, GuestStep>,
    /// Those that stay, by the person's own word.
    left_guests: std::collections::BTreeSet<GuestId>,
    /// The virtual machines whose run strategy an undo gives back.
    restores: BTreeMap<ObjectKey, Restore>,
    goal: Goal,
    posture: Posture,
    pending: BTreeMap<CommandId, Target>,
    readiness: Readiness,
    /// The last pods that were sent away, by the workload's uid.
    predecessors: BTreeMap<Uid, Predecessor>,
    /// The workloads whose owners make no other pod in the place of one that is gone, as was seen.
    solitary: std::collections::BTreeSet<Uid>,
    /// The workloads of which a pod was not replaced in time, and what that was waiting for: no other one is begun.
    stuck: BTreeMap<Uid, Wait>,
    next_command: u64,
    finished: bool,
}

/// Whom an answer concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Pod(PodId),
    Node(NodeName),
    Guest(GuestId),
    Machine(ObjectKey),
    Taint(NodeName),
}

impl Engine {
    /// Prepares the run of a plan. The plan must have no refusals.
    pub fn drain(plan: &DrainPlan, request: DrainRequest, circumstances: Circumstances, identity: RunIdentity) -> Self {
        let nodes = plan.nodes.iter().map(|node| NodeStep::new(node.name.clone())).collect();
        let mut engine = Self::new(nodes, request, circumstances, identity, Goal::Drain);
        for vm in &plan.vms {
            let Some(node) = &vm.node else { continue };
            let id = GuestId { vm: ObjectKey::new(&vm.namespace, &vm.name), uid: vm.uid.clone() };
            if vm.action == kubevirt::Action::Refuse || crate::guests::stays(vm) {
                engine.left_guests.insert(id);
            } else {
                engine.guests.insert(id.clone(), GuestStep::new(id, node.clone(), vm, None));
            }
        }
        for (node, pod) in plan.pods() {
            match pod.action {
                Action::Handover | Action::Evict | Action::Wait => {
                    let step = Step::planned(pod, node.clone());
                    engine.steps.insert(pod.pod.clone(), step);
                }
                Action::Leave | Action::Refuse => drop(engine.left.insert(pod.pod.clone())),
            }
        }
        engine
    }

    /// Prepares to give back what runs have changed on these nodes: detached pods are attached again, the mark comes
    /// off, and a node that was schedulable becomes so.
    pub fn undo(
        nodes: &[NodeName],
        detached: &[(PodId, NodeName)],
        request: DrainRequest,
        identity: RunIdentity,
    ) -> Self {
        let nodes = nodes.iter().map(|name| NodeStep::new(name.clone())).collect();
        let mut engine = Self::new(nodes, request, Circumstances::default(), identity, Goal::Undo);
        for (pod, node) in detached {
            engine.steps.insert(pod.clone(), Step::new(pod.clone(), node.clone(), Action::Handover));
        }
        engine
    }

    fn new(
        nodes: Vec<NodeStep>,
        request: DrainRequest,
        circumstances: Circumstances,
        identity: RunIdentity,
        goal: Goal,
    ) -> Self {
        let posture = match goal {
            Goal::Drain => Posture::Draining,
            Goal::Undo => Posture::Stopping(Stop::Undo),
        };
        Self {
            pod_selector: None,
            goal,
            request,
            circumstances,
            identity,
            nodes,
            steps: BTreeMap::new(),
            left: std::collections::BTreeSet::new(),
            guests: BTreeMap::new(),
            left_guests: std::collections::BTreeSet::new(),
            restores: BTreeMap::new(),
            posture,
            pending: BTreeMap::new(),
            readiness: Readiness::default(),
            predecessors: BTreeMap::new(),
            solitary: std::collections::BTreeSet::new(),
            stuck: BTreeMap::new(),
            next_command: 0,
            finished: false,
        }
    }

    /// Limits the drain to the pods that this selector chooses, newcomers included.
    #[must_use]
    pub fn with_pod_selector(mut self, selector: Option<Selector>) -> Self {
        self.pod_selector = selector;
        self
    }

    /// How each pod of the run ended or stands: `None` while it is still on its way.
    pub fn ends(&self) -> impl Iterator<Item = (&PodId, &NodeName, Option<&StepEnd>, Option<&PodId>)> {
        self.steps.values().map(|step| {
            let end = match &step.state {
                State::Done(end) => Some(end),
                _ => None,
            };
            (&step.pod, &step.node, end, step.replacement.as_ref())
        })
    }

    /// How each virtual machine of the run ended or stands: `None` while it is still on its way.
    pub fn guest_ends(&self) -> impl Iterator<Item = (&GuestId, &NodeName, Option<&GuestEnd>)> {
        self.guests.values().map(|step| (&step.id, &step.node, step.end()))
    }

    /// The virtual machines that an undo has given their run strategy back, or found gone.
    pub fn restored(&self) -> impl Iterator<Item = &ObjectKey> {
        self.restores.iter().filter(|(_, restore)| restore.is_done() && !restore.has_failed()).map(|(key, _)| key)
    }

    /// How many pods and virtual machines are settled, of how many.
    pub fn progress(&self) -> (usize, usize) {
        let pods = self.steps.values().filter(|step| step.is_done()).count();
        let guests = self.guests.values().filter(|step| step.is_done()).count();
        (pods + guests, self.steps.len() + self.guests.len())
    }

    /// Takes in what happened, in order, and says what to do next.
    pub fn on(&mut self, inputs: Vec<Input>, cluster: &ClusterSnapshot, now: Moment) -> Turn {
        let mut turn = Turn::default();
        if self.finished {
            return turn;
        }
        for input in inputs {
            match input {
                Input::Woke => {}
                Input::LeaseLost => self.posture = Posture::Halted,
                Input::Interrupted => self.stop(Stop::Interrupted, &mut turn),
                Input::Replied(id, reply) => self.replied(id, reply, cluster, now, &mut turn),
            }
        }
        if self.posture == Posture::Halted {
            self.finished = true;
            turn.finished = Some(Outcome::LeaseLost);
            return turn;
        }
        self.readiness.observe(cluster, now);
        self.advance_nodes(cluster, now, &mut turn);
        self.advance_guests(cluster, now, &mut turn);
        self.advance_pods(cluster, now, &mut turn);
        self.close_nodes(cluster, now, &mut turn);
        turn.finished = self.outcome();
        self.finished = turn.finished.is_some();
        turn
    }

    fn replied(&mut self, id: CommandId, reply: Reply, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        match self.pending.remove(&id) {
            Some(Target::Pod(pod)) => self.pod_replied(&pod, reply, cluster, now, turn),
            Some(Target::Node(node)) => self.node_replied(&node, reply, now, turn),
            Some(Target::Guest(id)) => self.guest_replied(&id, reply, cluster, now, turn),
            Some(Target::Machine(key)) => {
                if let Some(restore) = self.restores.get_mut(&key) {
                    restore.replied(reply, now, turn);
                }
            }
            Some(Target::Taint(node)) => self.taint_replied(&node, reply, now, turn),
            None => {}
        }
    }

    /// Begins to end the run; the first reason counts, but an interrupt overrides what only this run decided.
    fn stop(&mut self, why: Stop, turn: &mut Turn) {
        let is_new = match &self.posture {
            Posture::Draining => true,
            Posture::Stopping(Stop::Timeout { .. } | Stop::Failed { .. } | Stop::Undo) => why == Stop::Interrupted,
            Posture::Stopping(Stop::Interrupted) | Posture::Halted => false,
        };
        if is_new {
            turn.events.push(Event::Stopping { why: why.clone() });
            self.posture = Posture::Stopping(why);
        }
    }

    fn is_stopping(&self) -> bool {
        matches!(self.posture, Posture::Stopping(_))
    }

    /// Whether pods are being given back; an interrupt ends that too.
    fn is_undoing(&self) -> bool {
        self.posture == Posture::Stopping(Stop::Undo)
    }

    fn send(&mut self, target: Target, command: Command, turn: &mut Turn) {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        self.pending.insert(id, target);
        turn.commands.push((id, command));
    }

    fn has_room_in_flight(&self) -> bool {
        self.pending.len() < IN_FLIGHT
    }

    fn wake_at(turn: &mut Turn, at: Duration) {
        turn.wake_at = Some(turn.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn outcome(&self) -> Option<Outcome> {
        let nodes_settled = self.nodes.iter().all(NodeStep::is_settled);
        if !self.pending.is_empty() {
            return None;
        }
        let pods_settled = self.steps.values().all(Step::is_done)
            && self.guests.values().all(GuestStep::is_done)
            && self.restores.values().all(Restore::is_done);
        match &self.posture {
            Posture::Draining => (nodes_settled && pods_settled)
                .then_some(if self.nodes.iter().all(NodeStep::is_done) { Outcome::Done } else { Outcome::Stopped }),
            Posture::Stopping(why) => {
                let given_up = self.steps.values().any(|step| matches!(step.state, State::Done(StepEnd::GivenUp(_))))
                    || self.guests.values().any(|step| matches!(step.end(), Some(GuestEnd::GivenUp { .. })));
                let outcome = match why {
                    Stop::Interrupted => Outcome::Interrupted,
                    Stop::Undo if !given_up && self.nodes.iter().all(NodeStep::is_done) => Outcome::Done,
                    Stop::Undo | Stop::Timeout { .. } | Stop::Failed { .. } => Outcome::Stopped,
                };
                (pods_settled && (nodes_settled || *why != Stop::Undo)).then_some(outcome)
            }
            Posture::Halted => Some(Outcome::LeaseLost),
        }
    }
}

#[cfg(test)]
mod tests;
