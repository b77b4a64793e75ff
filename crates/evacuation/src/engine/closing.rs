//! The end of a node: proven empty and marked as drained, or given back as it was.

use std::time::Duration;

use cluster_model::identity::NodeName;
use cluster_model::marks::{self, NodeRun, RunPhase};
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::guest_command::GuestCommand;
use super::guests::{GuestVerdict, GuestsOf};
use super::input::{Moment, Reply};
use super::node::{NodeState, NodeStep, Taint, retried};
use super::step::{State, Step, StepEnd};
use super::{Engine, Goal, Target, Turn};
use crate::event::{Event, Stop};

impl Engine {
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
}
