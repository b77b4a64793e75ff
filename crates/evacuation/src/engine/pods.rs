//! The pods of a run: each step is moved on as far as the view allows, and told of the answers to its requests.

use cluster_model::identity::PodId;
use cluster_model::importance::Importance;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::facts::Facts;
use super::input::{Moment, Reply};
use super::step::{Detachment, State, Step, StepEnd};
use super::succession::Predecessor;
use super::{Engine, Goal, Turn};
use crate::event::Event;
use crate::plan::{self, Action};
use crate::surge::crew::Crew;
use crate::wait::Wait;

impl Engine {
    /// Moves every step on. Pods that are under way come first: what they wait for must not be mixed up with pods that
    /// only now leave their ReplicaSet.
    pub(super) fn advance_pods(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let mut facts = Facts::gather(cluster, &self.steps, now);
        self.assign_replacements(&mut facts, turn);
        let (waiting, under_way): (Vec<_>, Vec<_>) =
            self.steps.values().filter(|step| !step.is_done()).partition(|step| step.state == State::Planned);
        let order: Vec<PodId> = under_way.into_iter().chain(waiting).map(|step| step.pod.clone()).collect();
        for id in order {
            // A step may pass several states in one turn; each pass either changes the state or ends.
            while let Some(mut step) = self.steps.remove(&id) {
                let before = step.state.clone();
                self.advance(&mut step, &mut facts, turn);
                let moved = step.state != before && !step.is_in_flight() && !step.is_done();
                self.steps.insert(id.clone(), step);
                if !moved {
                    break;
                }
            }
        }
    }

    fn advance(&mut self, step: &mut Step, facts: &mut Facts<'_>, turn: &mut Turn) {
        if step.is_done() || step.is_in_flight() {
            return;
        }
        let Some(pod) = facts.cluster.pod(&step.pod) else {
            turn.events.push(Event::PodGone { pod: step.pod.clone(), replacement: step.replacement.clone() });
            step.state = State::Done(StepEnd::Gone);
            return;
        };
        if pod.is_terminating() && step.state != State::Leaving {
            step.state = State::Leaving;
        }
        if step.not_before > facts.now.elapsed {
            Self::wake_at(turn, step.not_before);
            return;
        }
        match step.state {
            State::Planned => self.advance_planned(step, pod, facts, turn),
            State::Unsure => self.look(step, turn),
            State::Detached => self.advance_detached(step, pod, facts, turn),
            State::Leaving => self.advance_leaving(step, pod, facts, turn),
            State::Shrinking { since, is_seen } => self.advance_shrinking(step, since, is_seen, pod, facts, turn),
            State::Detaching
            | State::Looking
            | State::Evicting
            | State::Reattaching
            | State::Clearing
            | State::Done(_) => {}
        }
    }

    fn advance_planned<'a>(&mut self, step: &mut Step, pod: &'a Pod, facts: &mut Facts<'a>, turn: &mut Turn) {
        // Nothing is decided on a version that is known to be outdated.
        if let Some(until) = step.stale_until(&pod.resource_version, facts.now.elapsed) {
            Self::wake_at(turn, until);
            return;
        }
        match facts.cluster.detach_record(pod) {
            // It is outside its ReplicaSet already, or was on its way back.
            Some(Ok(record)) => {
                let resumed = record.run != self.identity.run;
                let known = step.detachment.take().map(|detachment| detachment.known).unwrap_or_default();
                step.detachment = Some(Detachment::new(record, facts.now.elapsed, known));
                step.state = if pod.controller.is_some() && !pod.has_detached_label() {
                    State::Shrinking { since: facts.now.elapsed, is_seen: true }
                } else {
                    turn.events.push(Event::PodDetached { pod: pod.id.clone(), resumed });
                    State::Detached
                };
                return;
            }
            Some(Err(disbelief)) if self.goal == Goal::Undo => {
                return Self::give_up(step, format!("it cannot be attached again: {disbelief}"), turn);
            }
            Some(Err(_)) | None => {}
        }
        step.detachment = None;
        if self.is_stopping() {
            step.state = State::Done(StepEnd::NotStarted);
            return;
        }
        if !self.is_open(&step.node, facts.cluster) || !self.has_room_in_flight() {
            return;
        }
        if matches!(step.action, Action::Handover | Action::Evict)
            && let Some(wait) = self.earlier_ones(step, pod, facts)
        {
            return Self::wait(step, wait, turn);
        }
        // A pod that was not Ready when it was planned, and is now, has something to hand over.
        if step.action == Action::Evict
            && pod.is_ready()
            && !step.may_bypass
            && plan::may_hand_over(pod, &self.request, facts.cluster, &self.circumstances).is_ok()
        {
            step.action = Action::Handover;
        }
        match step.action {
            Action::Handover => self.begin_handover(step, pod, facts, turn),
            Action::Evict => self.evict_in_turn(step, pod, facts, turn),
            Action::Wait if pod.is_terminal() => self.evict(step, pod, facts, turn),
            Action::Wait => Self::wait(step, Wait::Completion, turn),
            Action::Leave | Action::Refuse => step.state = State::Done(StepEnd::NotStarted),
        }
    }

    /// The pods of its node that go before it: those that answer for webhooks, and nothing beside them, since without an
    /// answer nothing is let through; all others before those that they may need; then the less important ones by
    /// their priority classes, then by the number that they or their namespaces carry. Nobody is held up by a pod that is waited for
    /// until it ends by itself, or by one that should be gone and is not; and a pod that does not serve goes when it may:
    /// a budget of others may open by its coming up elsewhere. kubectl's way knows no priorities.
    fn earlier_ones(&self, step: &Step, pod: &Pod, facts: &Facts<'_>) -> Option<Wait> {
        let by_priority = !self.request.is_kubectls_way();
        let rank = |pod: &Pod| (if by_priority { pod.priority } else { 0 }, facts.cluster.order_of(pod));
        let (own, goes_last) = (rank(pod), Importance::of(pod).goes_last());
        let mut gates =
            self.steps.values().filter(|other| !step.keeps_a_gate && self.is_unanswered(other, facts)).count();
        let (mut needing, mut earlier) = (0, 0);
        for other in self.steps.values().filter(|other| other.node == step.node && !other.is_done()) {
            let Some(its) = facts.cluster.pod(&other.pod) else { continue };
            let is_overdue = its.deletion.is_some_and(|end| facts.now.wall > end);
            match (step.keeps_a_gate, other.keeps_a_gate) {
                (false, true) => {
                    gates += usize::from(other.action != Action::Wait && !is_overdue);
                    continue;
                }
                (true, false) => continue,
                (true, true) | (false, false) => {}
            }
            match (goes_last, Importance::of(its).goes_last()) {
                (true, false) => needing += 1,
                (false, true) => {}
                _ if !pod.is_ready() || other.action == Action::Wait || is_overdue => {}
                _ => earlier += usize::from(rank(its) < own),
            }
        }
        match (gates, needing, earlier) {
            (0, 0, 0) => None,
            (0, 0, count) => Some(Wait::Earlier { count }),
            (0, count, _) => Some(Wait::Others { count }),
            (count, ..) => Some(Wait::Gatekeepers { count }),
        }
    }

    /// Whether a pod that answered for a webhook is gone and its workload is not as strong again: until then nothing is let
    /// through. That is waited for like any other successor, and no longer.
    fn is_unanswered(&self, step: &Step, facts: &Facts<'_>) -> bool {
        let Some((since, pod)) = &step.gate_left else { return false };
        let is_in_time = facts.now.elapsed < since.saturating_add(self.request.replacement_timeout);
        let crew = Crew::of(pod, facts.cluster).filter(|_| is_in_time);
        crew.is_some_and(|crew| {
            let before = self.predecessors.get(crew.key()).map_or(0, Predecessor::ready);
            let ready =
                crew.members(facts.cluster).filter(|other| other.is_ready() && !facts.may_be_leaving(&other.id));
            ready.count() < before
        })
    }

    fn advance_leaving(&self, step: &mut Step, pod: &Pod, facts: &Facts<'_>, turn: &mut Turn) {
        let now = facts.now.wall;
        if self.request.policy.is_past_waiting(pod, now) {
            step.state = State::Done(StepEnd::Left);
        } else if self.is_stopping() {
            step.state = State::Done(StepEnd::Terminating);
        } else {
            let is_overdue = pod.deletion.is_some_and(|end| now > end);
            let node = facts.cluster.node(&step.node).filter(|node| !node.ready);
            let wait = match node {
                Some(node) if is_overdue => Wait::Kubelet { node: node.name.clone() },
                _ if is_overdue && !pod.finalizers.is_empty() => Wait::Finalizers { names: pod.finalizers.clone() },
                _ => Wait::Termination { grace_seconds: pod.grace_seconds },
            };
            Self::wait(step, wait, turn);
        }
    }

    /// Takes in the answer to a command about a pod.
    pub(super) fn pod_replied(
        &mut self,
        id: &PodId,
        reply: Reply,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let Some(mut step) = self.steps.remove(id) else { return };
        if matches!(reply, Reply::Unanswered(_) | Reply::Conflict) {
            step.unanswered += 1;
        } else {
            step.unanswered = 0;
        }
        match step.state {
            State::Detaching => Self::detach_replied(&mut step, reply, now, turn),
            State::Looking => Self::look_replied(&mut step, reply, now, turn),
            State::Evicting => Self::evict_replied(&mut step, reply, cluster, now, turn),
            State::Reattaching => Self::reattach_replied(&mut step, reply, now, turn),
            State::Clearing => self.clear_replied(&mut step, reply, now, turn),
            State::Planned
            | State::Unsure
            | State::Detached
            | State::Leaving
            | State::Shrinking { .. }
            | State::Done(_) => {}
        }
        self.steps.insert(id.clone(), step);
    }

    /// Says what a step waits for, once for each change.
    pub(super) fn wait(step: &mut Step, wait: Wait, turn: &mut Turn) {
        if step.wait.as_ref() != Some(&wait) {
            turn.events.push(Event::Waiting { pod: step.pod.clone(), wait: wait.clone() });
            step.wait = Some(wait);
        }
    }

    pub(super) fn give_up(step: &mut Step, reason: String, turn: &mut Turn) {
        turn.events.push(Event::PodGivenUp { pod: step.pod.clone(), reason: reason.clone() });
        step.state = State::Done(StepEnd::GivenUp(reason));
    }

    /// Asks for a pause after a request that may or may not have been done.
    pub(super) fn retry(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        step.not_before = now.elapsed + step.pause();
        Self::tell_of_retry(step, reply, turn);
    }

    pub(super) fn tell_of_retry(step: &Step, reply: Reply, turn: &mut Turn) {
        turn.events.push(Event::RequestRetried { object: format!("pod {}", step.pod), message: reply.words() });
    }
}
