//! The nodes of a run: all cordoned first, emptied one after another, marked or released at the end.

use cluster_model::disposition::{self, DaemonSetPresence, Disposition};
use cluster_model::identity::{NodeName, Uid};
use cluster_model::marks::{self, NodeRun, RunPhase};
use cluster_model::snapshot::ClusterSnapshot;
use std::time::Duration;

use super::command::Command;
use super::guest_command::GuestCommand;
use super::guests::{GuestVerdict, GuestsOf};
use super::input::{Moment, Reply};
use super::step::{CONFLICT_PATIENCE, State, Step, StepEnd};
use super::{Engine, Goal, Posture, Target, Turn};
use crate::event::{Event, Stop};
use crate::guests::{self, Moves};
use crate::plan::plan_pod;

/// One node of the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeStep {
    pub(super) name: NodeName,
    state: NodeState,
    /// The mark as it was written.
    mark: Option<NodeRun>,
    was_cordoned: bool,
    uncordons: bool,
    not_before: Duration,
    /// How often requests went unanswered or met a conflict.
    unanswered: u32,
    /// The `resourceVersion` that the guarded patch failed on, and for how long a newer one is waited for.
    stale_version: Option<String>,
    stale_until: Duration,
    /// How many volumes were still attached when that was told last.
    volumes_left: usize,
    /// Since when all virtual machines are settled and something of them is still there.
    pub(super) remnants_since: Option<Duration>,
    /// Whether the proof that no virtual machine is left was told.
    has_proof: bool,
    /// KubeVirt's drain taint, for an undo.
    taint: Taint,
}

/// KubeVirt's drain taint on a node that is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Taint {
    Unknown,
    /// Its key.
    Removing(String),
    Off,
    Stuck,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq)]
enum NodeState {
    Planned,
    Cordoning,
    Cordoned,
    Draining { since: Duration },
    Marking,
    Releasing,
    Done,
    Failed,
}

impl NodeStep {
    pub(super) fn new(name: NodeName) -> Self {
        Self {
            name,
            state: NodeState::Planned,
            mark: None,
            was_cordoned: false,
            uncordons: false,
            not_before: Duration::ZERO,
            unanswered: 0,
            stale_version: None,
            stale_until: Duration::ZERO,
            volumes_left: 0,
            remnants_since: None,
            has_proof: false,
            taint: Taint::Unknown,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == NodeState::Done
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, NodeState::Done | NodeState::Failed)
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.state, NodeState::Draining { .. })
    }

    fn is_cordoned(&self) -> bool {
        !matches!(self.state, NodeState::Planned | NodeState::Cordoning)
    }
}

impl Engine {
    /// Cordons what is to be cordoned, begins the next node, and notices its deadline and its newcomers.
    pub(super) fn advance_nodes(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if self.posture != Posture::Draining {
            return;
        }
        for index in 0..self.nodes.len() {
            self.cordon(index, cluster, now, turn);
        }
        if !self.nodes.iter().all(NodeStep::is_cordoned) {
            return;
        }
        if !self.nodes.iter().any(NodeStep::is_draining) {
            let next = self.nodes.iter_mut().find(|node| node.state == NodeState::Cordoned);
            if let Some(node) = next {
                node.state = NodeState::Draining { since: now.elapsed };
                let name = node.name.clone();
                let pods = self.steps.values().filter(|step| step.node == name).count();
                turn.events.push(Event::NodeStarted { node: name, pods });
            }
        }
        let Some((name, since)) = self.nodes.iter().find_map(|node| match node.state {
            NodeState::Draining { since } => Some((node.name.clone(), since)),
            _ => None,
        }) else {
            return;
        };
        self.notice_newcomers(&name, cluster, now, turn);
        if let Some(limit) = self.request.node_timeout {
            if now.elapsed >= since + limit {
                self.stop(Stop::Timeout { node: name }, turn);
            } else {
                Self::wake_at(turn, since + limit);
            }
        }
    }

    fn cordon(&mut self, index: usize, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let Some(step) = self.nodes.get(index).filter(|step| step.state == NodeState::Planned) else { return };
        if step.not_before > now.elapsed {
            Self::wake_at(turn, step.not_before);
            return;
        }
        let Some(node) = cluster.node(&step.name) else {
            // It is gone: so are its pods.
            self.set_node(index, NodeState::Done);
            return;
        };
        if step.stale_version.as_ref() == Some(&node.resource_version) && now.elapsed < step.stale_until {
            Self::wake_at(turn, step.stale_until);
            return;
        }
        // A mark of an earlier run knows whether the node was schedulable before all this.
        let earlier = NodeRun::of(node);
        let earlier_stopped = earlier.as_ref().map(|earlier| earlier.stopped.clone()).unwrap_or_default();
        let mark = NodeRun {
            v: marks::VERSION,
            run: self.identity.run.clone(),
            user: self.identity.user.clone(),
            start: now.wall,
            reason: self.identity.reason.clone(),
            version: self.identity.version.clone(),
            phase: RunPhase::Draining,
            was_schedulable: earlier.as_ref().map_or(!node.unschedulable, |earlier| earlier.was_schedulable),
            taints_added: earlier.as_ref().map(|earlier| earlier.taints_added.clone()).unwrap_or_default(),
            labels_added: NodeRun::labels_left(node),
            options: self.identity.options.clone(),
            stopped: self.stopped_machines(earlier_stopped, &node.name, cluster),
        };
        let command = Command::Cordon {
            node: node.name.clone(),
            resource_version: node.resource_version.clone(),
            mark: mark.clone(),
        };
        let (name, unschedulable) = (node.name.clone(), node.unschedulable);
        if let Some(step) = self.nodes.get_mut(index) {
            step.mark = Some(mark);
            step.was_cordoned = unschedulable;
            step.stale_version = Some(node.resource_version.clone());
            step.state = NodeState::Cordoning;
        }
        self.send(Target::Node(name), command, turn);
    }

    fn set_node(&mut self, index: usize, state: NodeState) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.state = state;
        }
    }

    fn uid_of(name: &NodeName, cluster: &ClusterSnapshot) -> Uid {
        cluster.node(name).map(|node| node.uid.clone()).unwrap_or_default()
    }

    /// The scheduler may bind a pod that it had decided on just before the cordon.
    fn notice_newcomers(&mut self, name: &NodeName, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if self.request.moves == Moves::GuestsOnly {
            return;
        }
        for pod in cluster.pods_on(name) {
            // A guest's pod is the guest's until it has ended; then it is swept up like any other.
            let is_guests = guests::is_guests_pod(pod);
            if is_guests && !pod.is_terminal() && cluster.virtualization().is_known() {
                continue;
            }
            if self.steps.contains_key(&pod.id) || (self.left.contains(&pod.id) && !is_guests) {
                continue;
            }
            let is_meant = self.pod_selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels));
            if !is_meant {
                self.left.insert(pod.id.clone());
                continue;
            }
            let presence = DaemonSetPresence::Exists;
            if matches!(
                disposition::classify(pod, &self.request.policy, presence, false, now.wall),
                Disposition::Leave(_)
            ) {
                self.left.insert(pod.id.clone());
                continue;
            }
            let (plan, refusal) = plan_pod(pod, &self.request, cluster, &self.circumstances, now.wall);
            if !is_guests || !pod.is_terminal() {
                turn.events.push(Event::PodAppeared { pod: pod.id.clone() });
            }
            let mut step = Step::planned(&plan, name.clone());
            // Nobody has looked for virtual machines, so nobody knows what its eviction would do.
            let is_unknown_guest = is_guests && !pod.is_terminal();
            let unknown =
                || (String::from("is a virtual machine's"), String::from("the same command moves it as well"));
            let refusal = refusal.map(|(_, message, remedy)| (message, remedy));
            // Its manifest has not been kept.
            let is_unkept = self.request.keeps_manifests && plan.is_lost;
            let unkept =
                || (String::from("nobody makes it again"), String::from("the same command keeps its manifest first"));
            let refusal = refusal.or_else(|| is_unkept.then(unkept));
            if let Some((message, remedy)) = if is_unknown_guest { Some(unknown()) } else { refusal } {
                let reason = format!("it appeared after the plan was made and {message} ({remedy})");
                turn.events.push(Event::PodGivenUp { pod: pod.id.clone(), reason: reason.clone() });
                step.state = State::Done(StepEnd::GivenUp(reason));
            }
            self.steps.insert(pod.id.clone(), step);
        }
    }

    /// Ends the nodes whose pods are all settled.
    pub(super) fn close_nodes(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if self.goal == Goal::Undo {
            if self.is_undoing() {
                self.release_nodes(cluster, now, turn);
            }
            return;
        }
        let Some(index) = self.nodes.iter().position(NodeStep::is_draining) else { return };
        let Some(node) = self.nodes.get(index) else { return };
        let name = node.name.clone();
        let guests = self.guests_of(&name, cluster);
        if guests == GuestsOf::Stuck {
            // Its pods are not begun.
            self.set_node(index, NodeState::Failed);
            self.stop(Stop::Failed { node: name }, turn);
            return;
        }
        let mut steps = self.steps.values().filter(|step| step.node == name);
        if !steps.clone().all(Step::is_done) {
            return;
        }
        let clean = steps.all(|step| matches!(step.state, State::Done(StepEnd::Gone | StepEnd::Left)));
        if guests == GuestsOf::Moving {
            return;
        }
        if !clean {
            self.set_node(index, NodeState::Failed);
            self.stop(Stop::Failed { node: name }, turn);
            return;
        }
        if !self.prove_empty(index, cluster, now, turn) || !self.are_volumes_detached(index, cluster, turn) {
            return;
        }
        let Some(node) = self.nodes.get(index) else { return };
        if node.not_before > now.elapsed {
            Self::wake_at(turn, node.not_before);
            return;
        }
        match &node.mark {
            Some(mark) if cluster.node(&name).is_some() => {
                let mut mark = NodeRun { phase: RunPhase::Drained, ..mark.clone() };
                let label = marks::EXCLUDED_FROM_LOAD_BALANCERS;
                let has_label = cluster.node(&name).is_some_and(|node| node.labels.contains_key(label));
                let added = format!("{label}=true");
                if self.request.exclude_from_load_balancers && !has_label && !mark.labels_added.contains(&added) {
                    mark.labels_added.push(added);
                }
                // The answer may get lost, and then the label is there already.
                if let Some(step) = self.nodes.get_mut(index) {
                    step.mark = Some(mark.clone());
                }
                self.set_node(index, NodeState::Marking);
                let uid = Self::uid_of(&name, cluster);
                self.send(Target::Node(name.clone()), Command::Mark { node: name, uid, mark }, turn);
            }
            _ => {
                self.set_node(index, NodeState::Done);
                turn.events.push(Event::NodeDrained { node: name });
            }
        }
    }

    /// Whether no volume of a pod that left is attached to the node any more.
    fn are_volumes_detached(&mut self, index: usize, cluster: &ClusterSnapshot, turn: &mut Turn) -> bool {
        let Some(node) = self.nodes.get_mut(index).filter(|_| self.request.waits_for_volumes) else { return true };
        let staying = cluster.pods_on(&node.name).filter(|pod| !pod.is_terminal());
        let left = cluster.volumes_left(&node.name, staying);
        if left.is_empty() {
            return true;
        }
        if node.volumes_left != left.len() {
            node.volumes_left = left.len();
            let volumes = left.into_iter().map(str::to_owned).collect();
            turn.events.push(Event::VolumesAttached { node: node.name.clone(), volumes });
        }
        false
    }

    /// Whether no virtual machine is left on the node that was to go. If one is, the node fails; if something may still go
    /// by itself, it is waited for.
    fn prove_empty(&mut self, index: usize, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) -> bool {
        if !cluster.virtualization().is_known() {
            return true;
        }
        let Some(mut step) = self.nodes.get(index).cloned() else { return false };
        let verdict = self.verdict(&mut step, cluster, now, turn);
        let name = step.name.clone();
        let is_new = !step.has_proof;
        step.has_proof = matches!(verdict, Some(GuestVerdict::Empty | GuestVerdict::HoldsUnchosen(_)));
        if let Some(slot) = self.nodes.get_mut(index) {
            *slot = step;
        }
        match verdict {
            None => false,
            Some(GuestVerdict::Empty) => {
                if is_new {
                    turn.events.push(Event::NodeHoldsNoVm { node: name });
                }
                true
            }
            Some(GuestVerdict::HoldsUnchosen(remnants)) => {
                if is_new {
                    turn.events.push(Event::NodeHolds { node: name, remnants });
                }
                true
            }
            Some(GuestVerdict::Holds(remnants)) => {
                turn.events.push(Event::NodeHolds { node: name.clone(), remnants });
                self.set_node(index, NodeState::Failed);
                self.stop(Stop::Failed { node: name }, turn);
                false
            }
        }
    }

    /// Takes KubeVirt's drain taint off a node that is given back; true once it is off.
    pub(super) fn remove_taint(
        &mut self,
        index: usize,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) -> bool {
        let Some(step) = self.nodes.get(index) else { return true };
        let found = self.drain_taint(&step.name, cluster).zip(cluster.virtualization().host(&step.name));
        match (&step.taint, found) {
            (Taint::Unknown, Some(((key, _), host))) => {
                if step.not_before > now.elapsed {
                    Self::wake_at(turn, step.not_before);
                    return false;
                }
                let node = step.name.clone();
                let command = GuestCommand::RemoveTaint {
                    node: node.clone(),
                    uid: Self::uid_of(&node, cluster),
                    resource_version: host.resource_version.clone(),
                    others: host.offer.taints.iter().filter(|taint| taint.key != key).cloned().collect(),
                };
                if let Some(step) = self.nodes.get_mut(index) {
                    step.taint = Taint::Removing(key);
                }
                self.send(Target::Taint(node), Command::Guest(command), turn);
                false
            }
            (Taint::Removing(_), _) => false,
            (Taint::Unknown | Taint::Off | Taint::Stuck, _) => true,
        }
    }

    /// KubeVirt's drain taint, as long as it is on the node by the view, and whether this run has taken it off since.
    pub(super) fn drain_taint(&self, name: &NodeName, cluster: &ClusterSnapshot) -> Option<(String, bool)> {
        let virtualization = cluster.virtualization();
        let key = &virtualization.kubevirt()?.drain_taint;
        virtualization.host(name).filter(|host| host.has_taint(key))?;
        let is_off = self.nodes.iter().any(|step| step.name == *name && step.taint == Taint::Off);
        Some((key.clone(), is_off))
    }

    pub(super) fn taint_replied(&mut self, name: &NodeName, reply: Reply, now: Moment, turn: &mut Turn) {
        let Some(step) = self.nodes.iter_mut().find(|step| step.name == *name) else { return };
        match reply {
            Reply::Done | Reply::Gone => {
                if let Taint::Removing(key) = std::mem::replace(&mut step.taint, Taint::Off) {
                    turn.events.push(Event::TaintRemoved { node: name.clone(), key });
                }
            }
            Reply::Denied(message) => {
                step.taint = Taint::Stuck;
                turn.events.push(Event::RequestFailed { object: format!("node/{name}"), message });
            }
            reply => {
                step.taint = Taint::Unknown;
                step.unanswered += 1;
                step.not_before = now.elapsed + Duration::from_secs(u64::from(step.unanswered.min(10)));
                turn.events.push(retried(name, reply));
            }
        }
    }

    fn release_nodes(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        for index in 0..self.nodes.len() {
            let Some(step) = self.nodes.get(index).filter(|step| step.state == NodeState::Planned) else { continue };
            let name = step.name.clone();
            if !self.steps.values().filter(|step| step.node == name).all(Step::is_done) {
                continue;
            }
            match self.guests_undone(&name) {
                None => continue,
                Some(Ok(())) => {}
                Some(Err(())) => {
                    self.set_node(index, NodeState::Failed);
                    continue;
                }
            }
            if step.not_before > now.elapsed {
                Self::wake_at(turn, step.not_before);
                continue;
            }
            let is_kept = |step: &&Step| matches!(step.state, State::Done(StepEnd::GivenUp(_)));
            if self.steps.values().filter(|step| step.node == name).any(|step| is_kept(&step)) {
                // The mark stays for as long as something of the run does.
                self.set_node(index, NodeState::Failed);
                continue;
            }
            let Some(node) = cluster.node(&name).filter(|node| node.run.is_some()) else {
                self.set_node(index, NodeState::Done);
                continue;
            };
            let uncordon = NodeRun::of(node).is_some_and(|run| run.was_schedulable);
            // What was added is taken off even where somebody has uncordoned the node meanwhile.
            let added = NodeRun::labels_left(node);
            let labels = added.iter().map(|label| label.split('=').next().unwrap_or(label).to_owned()).collect();
            let is_cordoned = node.unschedulable;
            if let Some(step) = self.nodes.get_mut(index) {
                step.was_cordoned = is_cordoned;
                step.uncordons = uncordon;
                step.state = NodeState::Releasing;
            }
            let uid = Self::uid_of(&name, cluster);
            self.send(Target::Node(name.clone()), Command::Release { node: name, uid, uncordon, labels }, turn);
        }
    }

    /// Takes in the answer to a command about a node.
    pub(super) fn node_replied(&mut self, name: &NodeName, reply: Reply, now: Moment, turn: &mut Turn) {
        let Some(index) = self.nodes.iter().position(|node| node.name == *name) else { return };
        let Some(node) = self.nodes.get_mut(index) else { return };
        let again = match node.state {
            NodeState::Cordoning | NodeState::Releasing => NodeState::Planned,
            NodeState::Marking => NodeState::Draining { since: now.elapsed },
            _ => return,
        };
        match reply {
            Reply::Done => match node.state {
                NodeState::Cordoning => {
                    node.state = NodeState::Cordoned;
                    turn.events.push(Event::NodeCordoned { node: name.clone(), already: node.was_cordoned });
                }
                NodeState::Marking => {
                    node.state = NodeState::Done;
                    turn.events.push(Event::NodeDrained { node: name.clone() });
                }
                _ => {
                    node.state = NodeState::Done;
                    let stays_cordoned = node.was_cordoned && !node.uncordons;
                    let uncordoned = node.uncordons;
                    turn.events.push(Event::NodeReleased { node: name.clone(), uncordoned, stays_cordoned });
                }
            },
            Reply::Gone => node.state = NodeState::Done,
            // The view may already hold the newer version; otherwise its coming wakes the engine.
            Reply::Conflict if node.state == NodeState::Cordoning => {
                node.state = again;
                node.unanswered += 1;
                node.stale_until = now.elapsed + CONFLICT_PATIENCE;
                if node.unanswered > 1 {
                    turn.events.push(retried(name, reply));
                }
            }
            Reply::Conflict | Reply::Unanswered(_) => {
                node.state = again;
                node.unanswered += 1;
                node.stale_version = None;
                node.not_before = now.elapsed + Duration::from_secs(u64::from(node.unanswered.min(10)));
                turn.events.push(retried(name, reply));
            }
            Reply::Denied(message) => self.node_failed(index, name, message, turn),
            Reply::Evicted(_) | Reply::Launcher(_) | Reply::Seen(_) => {
                self.node_failed(index, name, "unexpected answer".to_owned(), turn);
            }
        }
    }

    fn node_failed(&mut self, index: usize, name: &NodeName, message: String, turn: &mut Turn) {
        self.set_node(index, NodeState::Failed);
        turn.events.push(Event::NodeFailed { node: name.clone(), message });
        self.stop(Stop::Failed { node: name.clone() }, turn);
    }

    /// Whether pods of this node may be moved now: only when its virtual machines are off.
    pub(super) fn is_open(&self, name: &NodeName, cluster: &ClusterSnapshot) -> bool {
        self.nodes.iter().any(|node| node.name == *name && node.is_draining())
            && self.guests_of(name, cluster) == GuestsOf::Off
    }
}

fn retried(name: &NodeName, reply: Reply) -> Event {
    Event::RequestRetried { object: format!("node/{name}"), message: reply.words() }
}
