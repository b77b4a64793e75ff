//! The pods of a run: how each step moves on, and what each answer does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_model::budget::Room;
use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{ObjectKey, PodId, Uid};
use cluster_model::marks::{self, DetachRecord};
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::gate::{self, Gate};
use super::input::{Moment, Reply};
use super::step::{Detachment, State, Step, StepEnd};
use super::{Engine, Target, Turn};
use crate::event::{Event, Wait};
use crate::plan::Action;
use crate::request::Removal;
use crate::surge::detach::{self, Obstacle};
use crate::surge::family::Family;

/// How long the budget may keep a served pod once the run is stopping, before the pod is attached again.
const BUDGET_PATIENCE: Duration = Duration::from_secs(10);
/// How long a ReplicaSet may take to shrink after a pod was given back to it.
const SHRINK_PATIENCE: Duration = Duration::from_secs(60);
/// How long a refused eviction waits if no watch tells that its budget changed.
const BUDGET_RETRY: Duration = Duration::from_secs(5);

impl Engine {
    /// Moves every step on as far as the view allows.
    pub(super) fn advance_pods(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        self.assign_replacements(cluster, turn);
        let ids: Vec<_> = self.steps.keys().cloned().collect();
        for id in ids {
            // A step may pass several states in one turn; each pass either changes the state or ends.
            while let Some(mut step) = self.steps.remove(&id) {
                let before = step.state.clone();
                self.advance(&mut step, cluster, now, turn);
                let moved = step.state != before && !step.is_in_flight() && !step.is_done();
                self.steps.insert(id.clone(), step);
                if !moved {
                    break;
                }
            }
        }
    }

    fn advance(&mut self, step: &mut Step, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if step.is_done() || step.is_in_flight() {
            return;
        }
        let Some(pod) = cluster.pod(&step.pod) else {
            turn.events.push(Event::PodGone { pod: step.pod.clone(), replacement: step.replacement.clone() });
            step.state = State::Done(StepEnd::Gone);
            return;
        };
        if pod.is_terminating() && step.state != State::Leaving {
            step.state = State::Leaving;
        }
        if step.not_before > now.elapsed {
            Self::wake_at(turn, step.not_before);
            return;
        }
        match step.state {
            State::Planned => self.advance_planned(step, pod, cluster, now, turn),
            State::Detached => self.advance_detached(step, pod, cluster, now, turn),
            State::Leaving if self.is_stopping() => step.state = State::Done(StepEnd::Terminating),
            State::Leaving => Self::wait(step, Wait::Termination { grace_seconds: pod.grace_seconds }, turn),
            State::Shrinking { since } => self.advance_shrinking(step, since, pod, cluster, now, turn),
            State::Detaching | State::Evicting | State::Reattaching | State::Clearing | State::Done(_) => {}
        }
    }

    fn advance_planned(&mut self, step: &mut Step, pod: &Pod, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        // Nothing is decided on a version that is known to be outdated.
        if step.stale_version.as_ref() == Some(&pod.resource_version) {
            return;
        }
        // A pod that carries a believable record is outside its ReplicaSet already, or was on its way back.
        if let Some(Ok(record)) = cluster.detach_record(pod) {
            let resumed = record.run != self.identity.run;
            let known = step.detachment.take().map(|detachment| detachment.known);
            step.detachment = Some(Detachment {
                record,
                since: now.elapsed,
                known: known.unwrap_or_default(),
                replacement: None,
                serves_since: None,
                stopping_since: None,
            });
            step.state = if pod.controller.is_some() && !pod.has_detached_label() {
                State::Shrinking { since: now.elapsed }
            } else {
                turn.events.push(Event::PodDetached { pod: pod.id.clone(), resumed });
                State::Detached
            };
            return;
        }
        step.detachment = None;
        if self.is_stopping() {
            step.state = State::Done(StepEnd::NotStarted);
            return;
        }
        if !self.is_open(&step.node) || !self.has_room_in_flight() {
            return;
        }
        match step.action {
            Action::Handover => self.begin_handover(step, pod, cluster, now, turn),
            Action::Evict => self.evict(step, pod, cluster, turn),
            Action::Wait => Self::wait(step, Wait::Termination { grace_seconds: pod.grace_seconds }, turn),
            Action::Leave | Action::Refuse => step.state = State::Done(StepEnd::NotStarted),
        }
    }

    fn begin_handover(&mut self, step: &mut Step, pod: &Pod, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let detachable = match detach::judge(pod, cluster, &self.circumstances) {
            Ok(detachable) => detachable,
            Err(Obstacle::Rollout) => return Self::wait(step, Wait::Rollout, turn),
            // What does not serve needs no replacement first.
            Err(Obstacle::NotReady) => return self.evict(step, pod, cluster, turn),
            Err(obstacle) => {
                let reason = format!("it cannot be handed over any more: {obstacle}");
                return Self::give_up(step, reason, turn);
            }
        };
        let Some(family) = Family::of(&detachable.replica_set, cluster) else { return };
        let limit = self.request.surge_limit(detachable.max_surge, family.desired());
        if self.surged(&family, cluster) >= limit {
            return Self::wait(step, Wait::SurgeSlot { limit }, turn);
        }
        let outgoing = self.outgoing();
        let owned = || {
            cluster.pods_of(&pod.id.namespace).filter(|other| family.manages(other) && !outgoing.contains(&other.id))
        };
        // A pod that is Ready for less than minReadySeconds is counted too: too high a bar only means a longer wait.
        let available_before = owned().filter(|other| other.is_active() && other.is_ready()).count();
        let record = DetachRecord {
            v: marks::VERSION,
            replica_set: family.own.key.name.clone(),
            replica_set_uid: family.own.uid.clone(),
            hash: detachable.hash,
            run: self.identity.run.clone(),
            node: step.node.clone(),
            at: now.wall,
            deletion_cost: pod.deletion_cost.clone(),
            available_before: i32::try_from(available_before).unwrap_or(i32::MAX),
        };
        step.detachment = Some(Detachment {
            record: record.clone(),
            since: now.elapsed,
            known: owned().map(|other| other.id.uid.clone()).collect(),
            replacement: None,
            serves_since: None,
            stopping_since: None,
        });
        step.stale_version = Some(pod.resource_version.clone());
        step.state = State::Detaching;
        let resource_version = pod.resource_version.clone();
        self.send(Target::Pod(pod.id.clone()), Command::Detach { pod: pod.id.clone(), resource_version, record }, turn);
    }

    fn advance_detached(
        &mut self,
        step: &mut Step,
        pod: &Pod,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let Some(mut detachment) = step.detachment.clone() else { return };
        let outgoing = self.outgoing();
        let verdict = gate::judge(pod, &detachment, cluster, &self.readiness, &outgoing, now);
        if self.is_undoing() && gate::can_reattach(&detachment, cluster).is_ok() {
            step.failure = Some("the handover was undone".to_owned());
            return self.reattach(step, cluster, turn);
        }
        let deadline = detachment.since + self.request.replacement_timeout;
        match verdict {
            Gate::Shut(wait) => {
                detachment.serves_since = None;
                step.detachment = Some(detachment);
                if self.is_stopping() || now.elapsed >= deadline {
                    let why = if self.is_stopping() { "the run was stopped" } else { "its replacement took too long" };
                    step.failure = Some(format!("{why}: it was waiting for {wait}"));
                    return self.reattach(step, cluster, turn);
                }
                Self::wake_at(turn, deadline);
                Self::wait(step, wait, turn);
            }
            Gate::Orphaned => self.evict(step, pod, cluster, turn),
            Gate::Serves => {
                let needs_settling = !cluster.traffic_of(&pod.id.namespace, &pod.id.uid).is_empty();
                let since = match detachment.serves_since {
                    Some(since) => since,
                    None => {
                        let replacement = detachment.replacement.clone();
                        let node = replacement.as_ref().and_then(|id| cluster.pod(id)?.node.clone());
                        turn.events.push(Event::ReplacementServes { pod: pod.id.clone(), replacement, node });
                        now.elapsed
                    }
                };
                detachment.serves_since = Some(since);
                if self.is_stopping() && detachment.stopping_since.is_none() {
                    detachment.stopping_since = Some(now.elapsed);
                }
                let patience = detachment.stopping_since.map(|since| since + self.request.settle + BUDGET_PATIENCE);
                step.replacement.clone_from(&detachment.replacement);
                step.detachment = Some(detachment);
                if patience.is_some_and(|end| now.elapsed >= end) {
                    step.failure = Some("the run was stopped, and no budget let it go in time".to_owned());
                    return self.reattach(step, cluster, turn);
                }
                if needs_settling && now.elapsed < since + self.request.settle {
                    Self::wake_at(turn, since + self.request.settle);
                    return Self::wait(step, Wait::Settle, turn);
                }
                self.evict(step, pod, cluster, turn);
            }
        }
    }

    /// Sends the eviction if the budget has room and no other eviction under it is unanswered.
    fn evict(&mut self, step: &mut Step, pod: &Pod, cluster: &ClusterSnapshot, turn: &mut Turn) {
        if !self.has_room_in_flight() {
            return;
        }
        let grace_seconds = self.request.grace_seconds;
        let id = pod.id.clone();
        let command = match self.request.removal {
            Removal::Delete => Command::Delete { pod: id.clone(), grace_seconds },
            Removal::Evict => {
                match cluster.room_for(pod) {
                    Room::Open => {}
                    Room::Closed(block) => {
                        let (healthy, needed) = (block.current_healthy, block.desired_healthy);
                        return Self::wait(step, Wait::Budget { budget: block.budget, healthy, needed }, turn);
                    }
                    Room::ManyBudgets(budgets) => {
                        let reason = format!("{} PodDisruptionBudgets select it", budgets.len());
                        return Self::give_up(step, reason, turn);
                    }
                }
                let budgets: BTreeSet<_> = cluster.budgets_of(pod).map(|budget| &budget.key).collect();
                if self.is_evicting_under(&budgets, cluster) {
                    return;
                }
                Command::Evict { pod: id.clone(), grace_seconds }
            }
        };
        turn.events.push(Event::EvictionRequested { pod: id.clone() });
        step.state = State::Evicting;
        self.send(Target::Pod(id), command, turn);
    }

    fn reattach(&mut self, step: &mut Step, cluster: &ClusterSnapshot, turn: &mut Turn) {
        let Some(detachment) = &step.detachment else { return };
        if let Err(why) = gate::can_reattach(detachment, cluster) {
            return Self::give_up(step, format!("its replacement does not serve, and {why}"), turn);
        }
        if !self.has_room_in_flight() {
            return;
        }
        let hash = detachment.record.hash.clone();
        step.state = State::Reattaching;
        self.send(Target::Pod(step.pod.clone()), Command::Reattach { pod: step.pod.clone(), hash }, turn);
    }

    /// Waits until the ReplicaSet owns the pod and has deleted the surplus one, then clears the record: the deletion
    /// cost that protects the pod must last until then.
    fn advance_shrinking(
        &mut self,
        step: &mut Step,
        since: Duration,
        pod: &Pod,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let Some(detachment) = &step.detachment else { return };
        let adopted = pod.is_managed_by(&detachment.record.replica_set_uid);
        let shrunk = Family::of(&detachment.record.replica_set_uid, cluster).is_none_or(|family| {
            let owned = cluster
                .pods_of(&pod.id.namespace)
                .filter(|other| other.is_active() && other.is_managed_by(&family.own.uid));
            i32::try_from(owned.count()).unwrap_or(i32::MAX) <= family.own.replicas
        });
        let patience = since + SHRINK_PATIENCE;
        if !(adopted && shrunk) && now.elapsed < patience {
            Self::wake_at(turn, patience);
            return Self::wait(step, Wait::Shrink, turn);
        }
        if !self.has_room_in_flight() {
            return;
        }
        let deletion_cost = detachment.record.deletion_cost.clone();
        step.stale_version = Some(pod.resource_version.clone());
        step.state = State::Clearing;
        self.send(Target::Pod(pod.id.clone()), Command::ClearRecord { pod: pod.id.clone(), deletion_cost }, turn);
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
        if matches!(reply, Reply::Unanswered(_)) {
            step.unanswered += 1;
        } else {
            step.unanswered = 0;
        }
        match step.state {
            State::Detaching => detach_replied(&mut step, reply, now, turn),
            State::Evicting => evict_replied(&mut step, reply, cluster, now, turn),
            State::Reattaching => reattach_replied(&mut step, reply, now, turn),
            State::Clearing => self.clear_replied(&mut step, reply, now, turn),
            _ => {}
        }
        self.steps.insert(id.clone(), step);
    }

    fn clear_replied(&self, step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        match reply {
            Reply::Done => {
                turn.events.push(Event::PodReattached { pod: step.pod.clone() });
                step.detachment = None;
                step.state = match step.failure.take() {
                    Some(reason) => State::Done(StepEnd::Reattached(reason)),
                    None if self.is_stopping() => State::Done(StepEnd::Reattached("the run was stopped".to_owned())),
                    // An earlier run was giving it back; this one moves it all the same.
                    None => State::Planned,
                };
            }
            Reply::Gone => step.state = State::Leaving,
            Reply::Conflict | Reply::Evicted(_) => step.state = State::Shrinking { since: now.elapsed },
            Reply::Unanswered(message) => {
                retry(step, message, now, turn);
                step.state = State::Shrinking { since: now.elapsed };
            }
            Reply::Denied(message) => Self::give_up(step, format!("its record cannot be cleared: {message}"), turn),
        }
    }

    /// The pods whose detach may already be done although the view does not show it.
    fn outgoing(&self) -> BTreeSet<&PodId> {
        let leaves = |step: &&Step| step.detachment.is_some() || matches!(step.state, State::Evicting | State::Leaving);
        self.steps.values().filter(leaves).map(|step| &step.pod).collect()
    }

    /// How many extra pods a workload has by detaching: this run's on all its nodes, and those of other runs.
    fn surged(&self, family: &Family<'_>, cluster: &ClusterSnapshot) -> i32 {
        let is_member = |uid: &Uid| family.members.iter().any(|member| member.uid == *uid);
        let visible = cluster
            .pods_of(&family.own.key.namespace)
            .filter(|pod| pod.is_active() && pod.has_detached_label())
            .filter(|pod| matches!(cluster.detach_record(pod), Some(Ok(record)) if is_member(&record.replica_set_uid)))
            .map(|pod| &pod.id);
        let sent = self
            .steps
            .values()
            .filter(|step| {
                let member = step.detachment.as_ref().is_some_and(|own| is_member(&own.record.replica_set_uid));
                member && matches!(step.state, State::Detaching | State::Detached | State::Evicting)
            })
            .map(|step| &step.pod);
        i32::try_from(visible.chain(sent).collect::<BTreeSet<_>>().len()).unwrap_or(i32::MAX)
    }

    /// Evictions under one budget go one after another: in parallel they only make the server retry against itself.
    fn is_evicting_under(&self, budgets: &BTreeSet<&ObjectKey>, cluster: &ClusterSnapshot) -> bool {
        if budgets.is_empty() {
            return false;
        }
        self.steps.values().filter(|step| step.state == State::Evicting).any(|step| {
            let other = cluster.pod(&step.pod);
            other.is_some_and(|other| cluster.budgets_of(other).any(|budget| budgets.contains(&budget.key)))
        })
    }

    /// Gives each detached pod a replacement of its own: a pod of the same Deployment that was not there before.
    /// Steps detached last know the most pods, so they choose first; whoever knows fewer can take any of the rest.
    fn assign_replacements(&mut self, cluster: &ClusterSnapshot, turn: &mut Turn) {
        let mut waiting: Vec<_> = self
            .steps
            .values()
            .filter(|step| step.detachment.is_some() && matches!(step.state, State::Detached | State::Evicting))
            .map(|step| (step.detachment.as_ref().map(|own| own.known.len()), step.pod.clone()))
            .collect();
        waiting.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let outgoing: BTreeSet<PodId> = self.outgoing().into_iter().cloned().collect();
        let mut taken: BTreeSet<PodId> = BTreeSet::new();
        let mut families: BTreeMap<Uid, Vec<&Pod>> = BTreeMap::new();
        // Whoever has one that still counts keeps it.
        for (_, id) in &waiting {
            let Some(detachment) = self.steps.get_mut(id).and_then(|step| step.detachment.as_mut()) else { continue };
            let record = &detachment.record;
            let candidates = families.entry(record.replica_set_uid.clone()).or_insert_with(|| {
                let Some(family) = Family::of(&record.replica_set_uid, cluster) else { return Vec::new() };
                let mut pods: Vec<_> = cluster
                    .pods_of(&id.namespace)
                    .filter(|pod| pod.is_active() && family.manages(pod) && !outgoing.contains(&pod.id))
                    .filter(|pod| pod.node.as_ref().is_none_or(|node| !self.circumstances.leaving.contains(node)))
                    .collect();
                pods.sort_by_key(|pod| (!pod.is_ready(), std::cmp::Reverse(pod.created_at)));
                pods
            });
            detachment.replacement.take_if(|own| !candidates.iter().any(|pod| pod.id == *own));
            if let Some(own) = &detachment.replacement {
                taken.insert(own.clone());
            }
        }
        for (_, id) in &waiting {
            let Some(detachment) = self.steps.get_mut(id).and_then(|step| step.detachment.as_mut()) else { continue };
            if detachment.replacement.is_some() {
                continue;
            }
            let candidates = families.get(&detachment.record.replica_set_uid).into_iter().flatten();
            let found =
                candidates.into_iter().find(|pod| !taken.contains(&pod.id) && !detachment.known.contains(&pod.id.uid));
            if let Some(pod) = found {
                taken.insert(pod.id.clone());
                detachment.replacement = Some(pod.id.clone());
                let (replacement, node) = (pod.id.clone(), pod.node.clone());
                turn.events.push(Event::ReplacementSeen { pod: id.clone(), replacement, node });
            }
        }
    }

    /// Says what a step waits for, once for each change.
    fn wait(step: &mut Step, wait: Wait, turn: &mut Turn) {
        if step.wait.as_ref() != Some(&wait) {
            turn.events.push(Event::Waiting { pod: step.pod.clone(), wait: wait.clone() });
            step.wait = Some(wait);
        }
    }

    fn give_up(step: &mut Step, reason: String, turn: &mut Turn) {
        turn.events.push(Event::PodGivenUp { pod: step.pod.clone(), reason: reason.clone() });
        step.state = State::Done(StepEnd::GivenUp(reason));
    }
}

fn detach_replied(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
    match reply {
        Reply::Done => {
            turn.events.push(Event::PodDetached { pod: step.pod.clone(), resumed: false });
            step.state = State::Detached;
        }
        // The view shows the newer version soon, and with it whether this very patch was done after all.
        Reply::Conflict => step.state = State::Planned,
        Reply::Gone => step.state = State::Leaving,
        Reply::Denied(message) => {
            Engine::give_up(step, format!("the server refuses to detach it: {message}"), turn);
        }
        Reply::Unanswered(message) => {
            step.state = State::Planned;
            step.stale_version = None;
            retry(step, message, now, turn);
        }
        Reply::Evicted(_) => step.state = State::Planned,
    }
}

fn evict_replied(step: &mut Step, reply: Reply, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
    let again = if step.detachment.is_some() { State::Detached } else { State::Planned };
    let mut defer = |step: &mut Step, reply: EvictionReply, pause: Duration| {
        turn.events.push(Event::EvictionDeferred { pod: step.pod.clone(), reply });
        step.not_before = now.elapsed + pause;
    };
    match reply {
        Reply::Done => {
            turn.events.push(Event::EvictionAccepted { pod: step.pod.clone() });
            step.state = State::Leaving;
        }
        Reply::Gone | Reply::Evicted(EvictionReply::Gone | EvictionReply::AnotherPod) => {
            step.state = State::Leaving;
        }
        Reply::Evicted(reply) => {
            step.state = again;
            match &reply {
                EvictionReply::BudgetBlocked { .. } => {
                    // The watch usually shows the closed budget by now, and its opening wakes the engine at once.
                    let shut = cluster.pod(&step.pod).is_some_and(|pod| cluster.room_for(pod) != Room::Open);
                    step.refusals = if shut { 0 } else { step.refusals + 1 };
                    let pause = Duration::from_millis(125) * (1 << step.refusals.min(6));
                    defer(step, reply, if shut { Duration::ZERO } else { pause.min(BUDGET_RETRY) });
                }
                EvictionReply::BudgetProcessing { retry_after } | EvictionReply::Throttled { retry_after } => {
                    let pause = Duration::from_secs(*retry_after);
                    defer(step, reply, pause);
                }
                EvictionReply::WebhookDenied { .. } | EvictionReply::NamespaceTerminating => {
                    defer(step, reply, BUDGET_RETRY);
                }
                EvictionReply::ManyBudgets => {
                    Engine::give_up(step, "several PodDisruptionBudgets select it".to_owned(), turn);
                }
                EvictionReply::Forbidden { message } => {
                    Engine::give_up(step, format!("its eviction is forbidden: {message}"), turn);
                }
                EvictionReply::Unexpected { code, message } => {
                    let reason = format!("its eviction was answered with {code}: {message}");
                    Engine::give_up(step, reason, turn);
                }
                EvictionReply::Gone | EvictionReply::AnotherPod => {}
            }
        }
        Reply::Conflict => {
            step.state = again;
            step.not_before = now.elapsed + Duration::from_millis(250);
        }
        Reply::Denied(message) => Engine::give_up(step, format!("its eviction is refused: {message}"), turn),
        Reply::Unanswered(message) => {
            step.state = again;
            retry(step, message, now, turn);
        }
    }
}

fn reattach_replied(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
    match reply {
        Reply::Done => step.state = State::Shrinking { since: now.elapsed },
        Reply::Gone => step.state = State::Leaving,
        Reply::Conflict | Reply::Evicted(_) => step.state = State::Detached,
        Reply::Denied(message) => {
            Engine::give_up(step, format!("the server refuses to attach it again: {message}"), turn);
        }
        Reply::Unanswered(message) => {
            step.state = State::Detached;
            retry(step, message, now, turn);
        }
    }
}

fn retry(step: &mut Step, message: String, now: Moment, turn: &mut Turn) {
    step.not_before = now.elapsed + step.pause();
    turn.events.push(Event::RequestRetried { object: format!("pod {}", step.pod), message });
}
