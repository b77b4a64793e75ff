//! The way back: a detached pod becomes its ReplicaSet's again, and the ReplicaSet deletes the other one.

use std::time::Duration;

use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::facts::Facts;
use super::gate;
use super::input::{Moment, Reply};
use super::step::{CONFLICT_PATIENCE, State, Step, StepEnd};
use super::{Engine, Target, Turn};
use crate::event::Event;
use crate::surge::family::Family;
use crate::wait::Wait;

/// How long a ReplicaSet may take to adopt the pod and to shrink.
const SHRINK_PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Gives the pod back, if its ReplicaSet would keep it.
    pub(super) fn reattach(&mut self, step: &mut Step, cluster: &ClusterSnapshot, turn: &mut Turn) {
        let Some(detachment) = &step.detachment else { return };
        if let Err(why) = gate::can_reattach(detachment, cluster) {
            let failure = step.failure.clone().unwrap_or_else(|| "it could not be moved".to_owned());
            return Self::give_up(step, format!("{failure}; it cannot be attached again either: {why}"), turn);
        }
        if !self.has_room_in_flight() {
            return;
        }
        let record = detachment.record.clone();
        step.state = State::Reattaching;
        self.send(Target::Pod(step.pod.clone()), Command::Reattach { pod: step.pod.clone(), record }, turn);
    }

    /// Waits until the ReplicaSet owns the pod and has deleted the surplus one, then clears the record: the deletion
    /// cost that protects the pod must last until then.
    pub(super) fn advance_shrinking(
        &mut self,
        step: &mut Step,
        since: Duration,
        is_seen: bool,
        pod: &Pod,
        facts: &mut Facts<'_>,
        turn: &mut Turn,
    ) {
        let Some(detachment) = &step.detachment else { return };
        let replica_set = &detachment.record.replica_set_uid;
        // Only from the detach on does it carry the record.
        let is_seen = is_seen || pod.detached.is_some();
        step.state = State::Shrinking { since, is_seen };
        let adopted = is_seen && pod.is_managed_by(replica_set);
        let shrunk = Family::of(replica_set, facts.cluster).is_none_or(|family| {
            let owned = facts.cluster.pods_of(&pod.id.namespace);
            let owned = owned.filter(|other| other.is_active() && other.is_managed_by(&family.own.uid)).count();
            i32::try_from(owned).unwrap_or(i32::MAX) <= family.own.replicas
        });
        let patience = since + SHRINK_PATIENCE;
        if !(adopted && shrunk) && facts.now.elapsed < patience {
            Self::wake_at(turn, patience);
            return Self::wait(step, Wait::Shrink, turn);
        }
        if !adopted {
            return Self::give_up(step, "its ReplicaSet does not take it back".to_owned(), turn);
        }
        if !self.has_room_in_flight() {
            return;
        }
        let deletion_cost = detachment.record.deletion_cost.clone();
        step.stale_version = Some(pod.resource_version.clone());
        step.state = State::Clearing;
        self.send(Target::Pod(pod.id.clone()), Command::ClearRecord { pod: pod.id.clone(), deletion_cost }, turn);
    }

    pub(super) fn reattach_replied(step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        match reply {
            Reply::Done => step.state = State::Shrinking { since: now.elapsed, is_seen: false },
            Reply::Gone => step.state = State::Leaving,
            Reply::Denied(message) => {
                Self::give_up(step, format!("the server refuses to attach it again: {message}"), turn);
            }
            Reply::Conflict | Reply::Evicted(_) | Reply::Launcher(_) | Reply::Seen(_) | Reply::Unanswered(_) => {
                step.state = State::Detached;
                Self::retry(step, reply, now, turn);
            }
        }
    }

    pub(super) fn clear_replied(&self, step: &mut Step, reply: Reply, now: Moment, turn: &mut Turn) {
        match reply {
            Reply::Done => {
                let stopped = || self.is_stopping().then(|| "the run was stopped".to_owned());
                let reason = step.failure.take().or_else(stopped);
                turn.events.push(Event::PodReattached { pod: step.pod.clone(), reason: reason.clone() });
                step.detachment = None;
                step.stale_until = now.elapsed + CONFLICT_PATIENCE;
                // Without a reason an earlier run was giving it back; this one moves it all the same.
                step.state = reason.map_or(State::Planned, |reason| State::Done(StepEnd::Reattached(reason)));
            }
            Reply::Gone => step.state = State::Leaving,
            Reply::Conflict | Reply::Evicted(_) | Reply::Launcher(_) | Reply::Seen(_) | Reply::Unanswered(_) => {
                step.state = State::Shrinking { since: now.elapsed, is_seen: true };
                Self::retry(step, reply, now, turn);
            }
            Reply::Denied(message) => Self::give_up(step, format!("its record cannot be cleared: {message}"), turn),
        }
    }
}
