//! The nodes of a run: all cordoned first, emptied one after another. Their ends are in `closing.rs`.

use cluster_model::disposition::{self, DaemonSetPresence, Disposition};
use cluster_model::identity::{NodeName, Uid};
use cluster_model::marks::{self, NodeRun, RunPhase};
use cluster_model::snapshot::ClusterSnapshot;
use std::time::Duration;

use super::command::Command;
use super::guests::GuestsOf;
use super::input::{Moment, Reply};
use super::step::{CONFLICT_PATIENCE, State, Step, StepEnd};
use super::{Engine, Posture, Target, Turn};
use crate::event::{Event, Stop};
use crate::guests::{self, Moves};
use crate::plan::plan_pod;

/// One node of the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeStep {
    pub(super) name: NodeName,
    pub(super) state: NodeState,
    /// The mark as it was written.
    pub(super) mark: Option<NodeRun>,
    pub(super) was_cordoned: bool,
    pub(super) uncordons: bool,
    pub(super) not_before: Duration,
    /// How often requests went unanswered or met a conflict.
    pub(super) unanswered: u32,
    /// The `resourceVersion` that the guarded patch failed on, and for how long a newer one is waited for.
    pub(super) stale_version: Option<String>,
    pub(super) stale_until: Duration,
    /// How many volumes were still attached when that was told last.
    pub(super) volumes_left: usize,
    /// Since when all virtual machines are settled and something of them is still there.
    pub(super) remnants_since: Option<Duration>,
    /// Whether the proof that no virtual machine is left was told.
    pub(super) has_proof: bool,
    /// KubeVirt's drain taint, for an undo.
    pub(super) taint: Taint,
}

/// KubeVirt's drain taint on a node that is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taint {
    Unknown,
    /// Its key.
    Removing(String),
    Off,
    Stuck,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NodeState {
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

    pub(super) fn set_node(&mut self, index: usize, state: NodeState) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.state = state;
        }
    }

    pub(super) fn uid_of(name: &NodeName, cluster: &ClusterSnapshot) -> Uid {
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

pub(super) fn retried(name: &NodeName, reply: Reply) -> Event {
    Event::RequestRetried { object: format!("node/{name}"), message: reply.words() }
}
