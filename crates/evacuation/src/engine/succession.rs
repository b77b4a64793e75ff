//! Pods that go before their replacement is there take turns: the next one of a workload goes when the last one's
//! successor serves. A budget may ask for that, and most workloads have none; `kubectl drain` then takes all of them away
//! at once. `--strategy=evict` and `--disable-eviction` are kubectl's way, and know no turns.
//!
//! What is judged are pods, never a status: as many have to be Ready as there were before the last one went.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::identity::Uid;
use cluster_model::pod::Pod;

use super::facts::Facts;
use super::step::{State, Step};
use super::{Engine, Turn};
use crate::event::Wait;

/// The last pod of a workload that this run sent away.
#[derive(Clone, Debug)]
pub(super) struct Predecessor {
    /// How many pods of the workload were Ready then, itself included.
    ready: usize,
    /// All of its pods that were there.
    known: BTreeSet<Uid>,
    /// When it was sent away, by the run's clock.
    since: Duration,
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turnstile {
    /// This pod's.
    Open,
    /// Another one's; at that time there is something new to see, if nothing happens before.
    Wait(Wait, Duration),
    /// The last one's successor has taken too long.
    Stuck(Wait),
}

impl Engine {
    /// Evicts a pod if it is its turn.
    pub(super) fn evict_in_turn(&mut self, step: &mut Step, pod: &Pod, facts: &mut Facts<'_>, turn: &mut Turn) {
        match self.turn_of(pod, facts) {
            Turnstile::Open => {
                self.evict(step, pod, facts, turn);
                if step.state == State::Evicting {
                    self.takes_its_turn(pod, facts);
                }
            }
            Turnstile::Wait(wait, until) => {
                Self::wake_at(turn, until);
                Self::wait(step, wait, turn);
            }
            Turnstile::Stuck(wait) => {
                let reason = format!("its workload's last pod was not replaced in time: it was waiting for {wait}");
                Self::give_up(step, reason, turn);
            }
        }
    }

    /// Judges whether a pod may go now that will be missing until its successor is there. Clauses:
    ///
    /// 1. kubectl's way, a pod that is not Ready, and a pod whose workload is not one of many alike, wait for nobody;
    /// 2. a pod of its workload that was made a short while ago and is not Ready, or one that is ending, is waited for:
    ///    another run's work, a rollout's, or the pod before;
    /// 3. its workload has as many pods as it is to have, and as many of them are Ready as before the last one went.
    fn turn_of(&self, pod: &Pod, facts: &Facts<'_>) -> Turnstile {
        let Some(owner) = self.owner_with_turns(pod) else { return Turnstile::Open };
        let now = facts.now.elapsed;
        let patience = self.request.replacement_timeout;
        let predecessor = self.predecessors.get(owner);
        let is_leaving = |other: &Pod| other.id != pod.id && facts.may_be_leaving(&other.id);
        let (mut active, mut ready, mut settles, mut unsettled) = (0, 0, Duration::MAX, None);
        let siblings = facts.cluster.pods_of(&pod.id.namespace).filter(|other| other.is_managed_by(owner));
        for other in siblings.filter(|other| !other.is_terminal()) {
            active += usize::from(other.is_active());
            if other.is_ready() && !is_leaving(other) {
                // A successor counts once its traffic has settled.
                let is_new = predecessor.is_some_and(|before| !before.known.contains(&other.id.uid));
                let since = self.readiness.first_seen(other).unwrap_or(now);
                let settled = if is_new { since + self.request.settle } else { now };
                if settled <= now {
                    ready += 1;
                } else {
                    settles = settles.min(settled);
                }
            } else {
                let age = Duration::try_from(facts.now.wall.duration_since(other.created_at)).unwrap_or_default();
                let is_passing = other.is_terminating() || is_leaving(other) || age < patience;
                unsettled = unsettled.or_else(|| is_passing.then_some(other));
            }
        }
        let wanted = facts.cluster.replicas_of(owner).and_then(|wanted| usize::try_from(wanted).ok());
        let before = predecessor.map_or(0, |before| before.ready).min(wanted.unwrap_or(usize::MAX));
        let wait = match unsettled {
            Some(other) if other.is_active() && !is_leaving(other) => {
                Wait::Successor { pod: other.id.clone(), reason: other.waiting_reason.clone() }
            }
            Some(_) => Wait::Turn { ready, needed: before.max(ready + 1) },
            None if ready < before => Wait::Turn { ready, needed: before },
            None if wanted.is_some_and(|wanted| active < wanted) => Wait::Turn { ready, needed: ready + 1 },
            None => return Turnstile::Open,
        };
        let since = predecessor.map_or(Duration::ZERO, |before| before.since);
        let deadline = since.saturating_add(patience);
        if now >= deadline { Turnstile::Stuck(wait) } else { Turnstile::Wait(wait, deadline.min(settles)) }
    }

    /// Takes note of a pod that is being sent away.
    fn takes_its_turn(&mut self, pod: &Pod, facts: &Facts<'_>) {
        let Some(owner) = self.owner_with_turns(pod).cloned() else { return };
        let (mut ready, mut known) = (1, BTreeSet::from([pod.id.uid.clone()]));
        let siblings = facts.cluster.pods_of(&pod.id.namespace).filter(|other| other.is_managed_by(&owner));
        for other in siblings.filter(|other| other.id != pod.id) {
            ready += usize::from(other.is_ready() && !facts.may_be_leaving(&other.id));
            known.insert(other.id.uid.clone());
        }
        self.predecessors.insert(owner, Predecessor { ready, known, since: facts.now.elapsed });
    }

    /// Whose pods take turns with this one; `None`: it goes when it will.
    fn owner_with_turns<'a>(&self, pod: &'a Pod) -> Option<&'a Uid> {
        let owner = pod.controller.as_ref()?;
        (pod.is_ready() && self.request.takes_turns(pod)).then_some(&owner.uid)
    }
}
