//! The handover of one pod: out of its ReplicaSet, beside its replacement, and away when that serves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster_model::budget::Room;
use cluster_model::identity::{ObjectKey, PodId};
use cluster_model::marks::{self, DetachRecord};
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::facts::Facts;
use super::gate::{self, Gate};
use super::input::{Moment, Reply};
use super::step::{CONFLICT_PATIENCE, Detachment, State, Step, StepEnd};
use super::{Engine, Goal, Target, Turn};
use crate::event::Event;
use crate::request::Removal;
use crate::surge::crew;
use crate::surge::detach::{self, Obstacle};
use crate::wait::Wait;

/// How long the budget may keep a served pod once the run is stopping, before the pod is attached again.
const BUDGET_PATIENCE: Duration = Duration::from_secs(10);

/// How long the garbage collector may take to delete the pods of an owner that is gone.
const COLLECTION_PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Detaches a pod if its workload has a surge slot free, and no other pod of it was detached in vain.
    pub(super) fn begin_handover<'a>(&mut self, step: &mut Step, pod: &'a Pod, facts: &mut Facts<'a>, turn: &mut Turn) {
        if let Some(wait) = self.stuck_on(pod, facts.cluster) {
            let reason = format!("another pod of its workload was not replaced in time: it was waiting for {wait}");
            return Self::give_up(step, reason, turn);
        }
        let replica_set = pod.controller.as_ref().map(|controller| controller.uid.clone());
        let strength = replica_set.and_then(|uid| facts.strength(&uid, &self.readiness).cloned());
        let limit = strength.as_ref().and_then(|strength| {
            let limit = self.request.surge_limit(strength.max_surge?, strength.desired);
            (strength.surged >= limit).then_some(limit)
        });
        // A limit of 0 is an obstacle of its own, which the rules below name.
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            return self.wait_for_its_workload(step, Wait::SurgeSlot { limit }, facts.now, turn);
        }
        // Nobody can tell how strong a workload is while some of its pods cannot be told from strangers.
        if strength.as_ref().is_some_and(|strength| strength.is_ahead) {
            return self.wait_for_its_workload(step, Wait::Rollout, facts.now, turn);
        }
        let patience = COLLECTION_PATIENCE.min(self.request.replacement_timeout);
        let detachable = match detach::judge(pod, facts.cluster, &self.circumstances) {
            Ok(detachable) => detachable,
            Err(Obstacle::Rollout) => return self.wait_for_its_workload(step, Wait::Rollout, facts.now, turn),
            // An owner that keeps several generations for a while may come to an end with that.
            Err(Obstacle::Generations)
                if Self::may_pass(step, Wait::Rollout, self.request.replacement_timeout, facts.now, turn) =>
            {
                return;
            }
            // The garbage collector is about to take the pod as well.
            Err(Obstacle::OwnerMissing) if Self::may_pass(step, Wait::Collection, patience, facts.now, turn) => {
                return;
            }
            // What does not serve needs no replacement first.
            Err(Obstacle::NotReady) => return self.evict(step, pod, facts, turn),
            Err(obstacle) => {
                return Self::give_up(step, format!("it cannot be handed over any more: {obstacle}"), turn);
            }
        };
        let Some(strength) = strength else { return };
        let own = strength.family.own;
        let record = DetachRecord {
            v: marks::VERSION,
            kind: own.kind,
            replica_set: own.key.name.clone(),
            replica_set_uid: own.uid.clone(),
            hash: detachable.hash,
            given_to: detachable.given_to,
            run: self.identity.run.clone(),
            node: step.node.clone(),
            at: facts.now.wall,
            deletion_cost: pod.deletion_cost.clone(),
            // A pod that is Ready for less than minReadySeconds counts: too high a bar only means a longer wait.
            available_before: strength.ready,
            serving_before: strength.ready + i32::try_from(strength.orphans.len()).unwrap_or(0),
        };
        facts.detached(&own.uid, pod);
        step.detachment = Some(Detachment::new(record.clone(), facts.now.elapsed, strength.known));
        step.stale_version = Some(pod.resource_version.clone());
        step.state = State::Detaching;
        let resource_version = pod.resource_version.clone();
        let command = Command::Detach { pod: pod.id.clone(), resource_version, record };
        self.send(Target::Pod(pod.id.clone()), command, turn);
    }

    /// Waits for what its workload is at, which others than this run may have to end. Where all other pods of the node wait
    /// for this one, that is not waited for without end.
    fn wait_for_its_workload(&self, step: &mut Step, wait: Wait, now: Moment, turn: &mut Turn) {
        if !step.keeps_a_gate {
            return Self::wait(step, wait, turn);
        }
        let reason =
            format!("it answers for a webhook, all others wait for it, and it was waiting too long for {wait}");
        if !Self::may_pass(step, wait, self.request.replacement_timeout, now, turn) {
            Self::give_up(step, reason, turn);
        }
    }

    /// Whether something that may pass by itself is still waited for: so long at the most.
    fn may_pass(step: &mut Step, wait: Wait, patience: Duration, now: Moment, turn: &mut Turn) -> bool {
        if step.wait.as_ref() != Some(&wait) {
            step.turn_since = None;
        }
        let deadline = (*step.turn_since.get_or_insert(now.elapsed)).saturating_add(patience);
        if now.elapsed < deadline {
            Self::wake_at(turn, deadline);
            Self::wait(step, wait, turn);
        }
        now.elapsed < deadline
    }

    /// Evicts a detached pod once it is not needed, or gives it back when that takes too long or the run is stopping.
    pub(super) fn advance_detached(&mut self, step: &mut Step, pod: &Pod, facts: &mut Facts<'_>, turn: &mut Turn) {
        let Some(mut detachment) = step.detachment.clone() else { return };
        let now = facts.now.elapsed;
        if step.failure.is_some() {
            return self.reattach(step, facts.cluster, turn);
        }
        if self.goal == Goal::Undo {
            if !self.is_undoing() {
                step.state = State::Done(StepEnd::NotStarted);
                return;
            }
            if gate::can_reattach(&detachment, facts.cluster).is_ok() {
                step.failure = Some("the handover was undone".to_owned());
                return self.reattach(step, facts.cluster, turn);
            }
        }
        let workload = crew::key_of(&detachment.record.replica_set_uid, facts.cluster).clone();
        match gate::judge(pod, &detachment, facts, &self.readiness) {
            Gate::Orphaned => {
                let patience = COLLECTION_PATIENCE.min(self.request.replacement_timeout);
                let siblings = Self::has_siblings(pod, &detachment, facts.cluster);
                step.detachment = Some(detachment);
                if siblings && Self::may_pass(step, Wait::Collection, patience, facts.now, turn) {
                    return;
                }
                if siblings || self.goal == Goal::Undo {
                    let reason = "its ReplicaSet was deleted without its pods, and it serves on".to_owned();
                    return Self::give_up(step, reason, turn);
                }
                self.evict_orphan(step, pod, facts, turn);
            }
            Gate::Shut(wait) => {
                detachment.serves_since = None;
                let deadline = detachment.since + self.request.replacement_timeout;
                step.detachment = Some(detachment);
                if self.is_stopping() || now >= deadline {
                    let why = if self.is_stopping() { "the run was stopped" } else { "its replacement took too long" };
                    step.failure = Some(format!("{why}: it was waiting for {wait}"));
                    if !self.is_stopping() {
                        self.stuck.insert(workload, wait);
                    }
                    return self.reattach(step, facts.cluster, turn);
                }
                Self::wake_at(turn, deadline);
                Self::wait(step, wait, turn);
            }
            Gate::Serves => {
                self.stuck.remove(&workload);
                let since = *detachment.serves_since.get_or_insert_with(|| {
                    let replacement = detachment.replacement.clone();
                    let node = replacement.as_ref().and_then(|id| facts.cluster.pod(id)?.node.clone());
                    turn.events.push(Event::ReplacementServes { pod: pod.id.clone(), replacement, node });
                    now
                });
                if self.is_stopping() {
                    detachment.stopping_since.get_or_insert(now);
                }
                let settle = self.request.settle_of(pod, facts.cluster);
                let patience = detachment.stopping_since.map(|since| since + settle + BUDGET_PATIENCE);
                step.replacement.clone_from(&detachment.replacement);
                step.detachment = Some(detachment);
                if patience.is_some_and(|end| now >= end) {
                    step.failure = Some("the run was stopped, and no budget let it go in time".to_owned());
                    return self.reattach(step, facts.cluster, turn);
                }
                let serves_traffic = facts.traffic_of(pod).next().is_some();
                if serves_traffic && now < since + settle {
                    Self::wake_at(turn, since + settle);
                    return Self::wait(step, Wait::Settle, turn);
                }
                if let Some(budget) = Self::spoiled_budget(step, pod, facts.cluster) {
                    step.failure =
                        Some(format!("PodDisruptionBudget {budget} counts replicas and cannot be computed with it"));
                    return self.reattach(step, facts.cluster, turn);
                }
                if let Some(wait) = self.shut_for_good(step, pod, facts.cluster) {
                    if !Self::may_pass(step, wait.clone(), self.request.replacement_timeout, facts.now, turn) {
                        step.failure =
                            Some(format!("its workload asks for fewer pods by now, and it was waiting for {wait}"));
                        self.reattach(step, facts.cluster, turn);
                    }
                    return;
                }
                step.turn_since = None;
                self.evict(step, pod, facts, turn);
            }
        }
    }

    /// A budget that needs all pods that there are, and to which no other comes: the workload has those that it asks for, as
    /// was found before. That happens when somebody shrinks it meanwhile.
    fn shut_for_good(&self, step: &Step, pod: &Pod, cluster: &ClusterSnapshot) -> Option<Wait> {
        if step.may_bypass || self.request.removal == Removal::Delete {
            return None;
        }
        let Room::Closed(block) = cluster.room_for(pod) else { return None };
        let budget = cluster.budget(&block.budget).filter(|budget| budget.is_computed())?;
        let needs_all = budget.expected_pods > 0 && budget.desired_healthy >= budget.expected_pods;
        needs_all.then(|| Wait::Budget {
            budget: budget.key.clone(),
            healthy: budget.current_healthy,
            needed: budget.desired_healthy,
        })
    }

    /// Whether other pods of a workload are there whose ReplicaSet is gone: then it was deleted without them, for another one
    /// to take them in, and what serves has to serve on. A run that went on with another's work knows none of them, and takes
    /// every pod for one that nobody owns.
    fn has_siblings(pod: &Pod, detachment: &Detachment, cluster: &ClusterSnapshot) -> bool {
        let others = cluster.pods_of(&pod.id.namespace).filter(|other| other.id != pod.id && other.is_active());
        let is_sibling = |other: &Pod| {
            let is_known = detachment.known.contains(&other.id.uid) && !other.has_detached_label();
            let is_replacement = detachment.replacement.as_ref() == Some(&other.id);
            is_known || is_replacement || detachment.known.is_empty() && other.controller.is_none()
        };
        others.into_iter().any(is_sibling)
    }

    /// The budget that came after the pod was given to its namespace, and can never be computed while it is.
    fn spoiled_budget(step: &Step, pod: &Pod, cluster: &ClusterSnapshot) -> Option<ObjectKey> {
        step.detachment.as_ref().filter(|detachment| detachment.record.given_to.is_some())?;
        cluster.budgets_of(pod).find(|budget| budget.counts_by_scale).map(|budget| budget.key.clone())
    }

    /// Evicts a pod whose workload is gone. No replacement ever opens its budget, so that is not waited for without end.
    fn evict_orphan(&mut self, step: &mut Step, pod: &Pod, facts: &mut Facts<'_>, turn: &mut Turn) {
        self.evict(step, pod, facts, turn);
        let (State::Detached, Some(detachment)) = (&step.state, &mut step.detachment) else { return };
        let now = facts.now.elapsed;
        let deadline = if self.is_stopping() {
            *detachment.stopping_since.get_or_insert(now) + BUDGET_PATIENCE
        } else {
            detachment.since + self.request.replacement_timeout
        };
        if now < deadline {
            return Self::wake_at(turn, deadline);
        }
        let wait = step.wait.as_ref().map(|wait| format!(", and it was waiting for {wait}")).unwrap_or_default();
        Self::give_up(step, format!("its workload is gone{wait}"), turn);
    }

    pub(super) fn detach_replied(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        match reply {
            Reply::Done => {
                turn.events.push(Event::PodDetached { pod: step.pod.clone(), resumed: false });
                step.state = State::Detached;
            }
            // The view shows the newer version soon, and with it whether this very patch was done after all.
            Reply::Conflict | Reply::Evicted(_) | Reply::Launcher(_) | Reply::Seen(_) => {
                if step.unanswered > 1 {
                    Self::tell_of_retry(step, reply, turn);
                }
                step.stale_until = now.elapsed + CONFLICT_PATIENCE;
                step.state = State::Planned;
            }
            Reply::Gone => step.state = State::Leaving,
            Reply::Denied(message) => {
                Self::give_up(step, format!("the server refuses to detach it: {message}"), turn);
            }
            Reply::Unanswered(_) => {
                step.state = State::Unsure;
                Self::retry(step, reply, now, turn);
            }
        }
    }

    /// Asks the server, not the view, whether an unanswered detach was done: the view may lag.
    pub(super) fn look(&mut self, step: &mut Step, turn: &mut Turn) {
        if self.has_room_in_flight() {
            step.state = State::Looking;
            self.send(Target::Pod(step.pod.clone()), Command::Look { pod: step.pod.clone() }, turn);
        }
    }

    pub(super) fn look_replied(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        match reply {
            Reply::Seen(pod) if pod.has_detached_label() => {
                turn.events.push(Event::PodDetached { pod: step.pod.clone(), resumed: false });
                step.state = State::Detached;
            }
            // Not done, and by its guard it never will be once the pod has changed. The version that it was sent for
            // is decided on again, a later one when the view has it.
            Reply::Seen(pod) => {
                if step.stale_version.as_ref() == Some(&pod.resource_version) {
                    step.stale_version = None;
                }
                step.stale_until = now.elapsed + CONFLICT_PATIENCE;
                step.state = State::Planned;
            }
            Reply::Gone => step.state = State::Leaving,
            Reply::Unanswered(_) | Reply::Denied(_) => {
                step.state = State::Unsure;
                Self::retry(step, reply, now, turn);
            }
            Reply::Done | Reply::Conflict | Reply::Evicted(_) | Reply::Launcher(_) => step.state = State::Unsure,
        }
    }

    /// Gives each detached pod a replacement of its own: a pod of the same Deployment that was not there before.
    /// Steps detached last know the most pods, so they choose first; whoever knows fewer can take any of the rest.
    pub(super) fn assign_replacements(&mut self, facts: &mut Facts<'_>, turn: &mut Turn) {
        let is_waiting = |step: &&Step| matches!(step.state, State::Detached | State::Evicting);
        let mut waiting: Vec<_> = self
            .steps
            .values()
            .filter(is_waiting)
            .filter_map(|step| Some((step.detachment.as_ref()?.known.len(), step.pod.clone())))
            .collect();
        waiting.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let mut taken: BTreeSet<PodId> = BTreeSet::new();
        // Whoever has one that still counts keeps it.
        for (_, id) in &waiting {
            let Some(detachment) = self.steps.get_mut(id).and_then(|step| step.detachment.as_mut()) else { continue };
            let Some(own) = &detachment.replacement else { continue };
            if facts.cluster.pod(own).is_some_and(Pod::is_active) {
                taken.insert(own.clone());
            } else {
                detachment.replacement = None;
            }
        }
        for (_, id) in waiting {
            let Some(detachment) = self.steps.get_mut(&id).and_then(|step| step.detachment.as_mut()) else { continue };
            if detachment.replacement.is_some() {
                continue;
            }
            let replica_set = detachment.record.replica_set_uid.clone();
            let Some(strength) = facts.strength(&replica_set, &self.readiness) else { continue };
            let lands_elsewhere =
                |pod: &Pod| pod.node.as_ref().is_none_or(|node| !self.circumstances.leaving.contains(node));
            let is_new = |pod: &Pod| !taken.contains(&pod.id) && !detachment.known.contains(&pod.id.uid);
            let found = strength.candidates.iter().find(|pod| is_new(pod) && lands_elsewhere(pod));
            if let Some(pod) = found {
                taken.insert(pod.id.clone());
                detachment.replacement = Some(pod.id.clone());
                let (replacement, node) = (pod.id.clone(), pod.node.clone());
                turn.events.push(Event::ReplacementSeen { pod: id, replacement, node });
            }
        }
    }
}

impl Detachment {
    pub(super) fn new(
        record: DetachRecord,
        since: Duration,
        known: Arc<BTreeSet<cluster_model::identity::Uid>>,
    ) -> Self {
        Self { record, since, known, replacement: None, serves_since: None, stopping_since: None }
    }
}
