//! Pods that go before their replacement is there take turns: the next one of a workload goes when the last one's
//! successor serves. A budget may ask for that, and most workloads have none; `kubectl drain` then takes all of them away
//! at once. `--strategy=evict` and `--disable-eviction` are kubectl's way, and know no turns.
//!
//! What is judged are pods, never a status: as many have to be Ready as there were before the last one went.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::identity::Uid;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::facts::Facts;
use super::step::{State, Step};
use super::{Engine, Turn};
use crate::surge::crew::Crew;
use crate::wait::Wait;

/// The last pod of a workload that this run sent away.
#[derive(Clone, Debug)]
pub(super) struct Predecessor {
    /// How many pods of the workload were Ready then, itself included.
    ready: usize,
    /// All of its pods that were there.
    known: BTreeSet<Uid>,
}

impl Predecessor {
    pub(super) fn ready(&self) -> usize {
        self.ready
    }
}

/// For how long a pod that is not Ready counts as one that is starting, at the most.
const YOUTH: Duration = Duration::from_secs(600);

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turnstile {
    /// This pod's.
    Open,
    /// Another one's. At `look_again` there is something new to see, if nothing happens before; a wait that `may_end` is
    /// given up after a while.
    Wait { wait: Wait, look_again: Duration, may_end: bool },
}

impl Engine {
    /// Evicts a pod if it is its turn.
    pub(super) fn evict_in_turn(&mut self, step: &mut Step, pod: &Pod, facts: &mut Facts<'_>, turn: &mut Turn) {
        let (wait, look_again, may_end) = match self.turn_of(step, pod, facts) {
            Turnstile::Open => {
                step.turn_since = None;
                self.evict(step, pod, facts, turn);
                if step.state == State::Evicting {
                    step.gate_left = step.keeps_a_gate.then(|| (facts.now.elapsed, Box::new(pod.clone())));
                    self.takes_its_turn(step, pod, facts);
                }
                return;
            }
            Turnstile::Wait { wait, look_again, may_end } => (wait, look_again, may_end),
        };
        let now = facts.now.elapsed;
        // A successor that is starting, and one that has been for too long, are one wait.
        let is_same = matches!(step.wait, Some(Wait::Successor { .. } | Wait::Turn { .. }));
        if !is_same || !may_end {
            step.turn_since = None;
        }
        let since = *step.turn_since.get_or_insert(now);
        let deadline = since.saturating_add(self.request.replacement_timeout);
        let stuck = self.stuck_on(pod, facts.cluster).filter(|_| may_end).cloned();
        if now < deadline && stuck.is_none() {
            Self::wake_at(turn, look_again.min(deadline));
            return Self::wait(step, wait, turn);
        }
        let crew = Crew::of(pod, facts.cluster);
        if let Some(crew) = crew.filter(|crew| crew.wanted(facts.cluster).is_none()) {
            // Nobody says how many there are to be, and nobody has made another one: these pods do not stand in for each
            // other.
            self.solitary.insert(crew.key().clone());
            return self.evict_in_turn(step, pod, facts, turn);
        }
        // What keeps one pod's successor away keeps the others' away as well: they need not wait for that themselves.
        let wait = stuck.unwrap_or(wait);
        if let Some(crew) = Crew::of(pod, facts.cluster) {
            self.stuck.insert(crew.key().clone(), wait.clone());
        }
        let reason = format!("its workload's last pod was not replaced in time: it was waiting for {wait}");
        Self::give_up(step, reason, turn);
    }

    /// What another pod of the same workload was waiting for in vain until its time was over.
    pub(super) fn stuck_on(&self, pod: &Pod, cluster: &ClusterSnapshot) -> Option<&Wait> {
        self.stuck.get(Crew::of(pod, cluster)?.key())
    }

    /// Judges whether a pod may go now that will be missing until its successor is there. Clauses:
    ///
    /// 1. kubectl's way, a pod that is not Ready, and a pod whose workload is not one of many alike, wait for nobody;
    /// 2. a pod of its workload that was made a short while ago and is not Ready is waited for: a rollout's, another run's
    ///    work, or the successor of the pod before;
    /// 3. its workload has as many pods as it is to have, and as many of them are Ready as before the last one went.
    fn turn_of(&self, step: &Step, pod: &Pod, facts: &Facts<'_>) -> Turnstile {
        let Some(crew) = self.crew_with_turns(step, pod, facts.cluster) else { return Turnstile::Open };
        let now = facts.now.elapsed;
        let youth = self.request.replacement_timeout.min(YOUTH);
        let settle = self.request.settle_of(pod, facts.cluster);
        let predecessor = self.predecessors.get(crew.key());
        let wanted = crew.wanted(facts.cluster);
        let is_leaving = |other: &Pod| other.id != pod.id && facts.may_be_leaving(&other.id);
        let (mut active, mut ready, mut settles) = (0, 0, Duration::MAX);
        let (mut starting, mut ending) = (None, false);
        for other in crew.members(facts.cluster).filter(|other| !other.is_terminal()) {
            active += usize::from(other.is_active());
            if other.is_ready() && !is_leaving(other) {
                // A successor counts once its traffic has settled.
                let is_new = predecessor.is_some_and(|before| !before.known.contains(&other.id.uid));
                let since = self.readiness.first_seen(other).unwrap_or(now);
                let settled = if is_new { since.saturating_add(settle) } else { now };
                if settled <= now {
                    ready += 1;
                } else {
                    settles = settles.min(settled);
                }
            } else if other.is_active() && !is_leaving(other) {
                let age = Duration::try_from(facts.now.wall.duration_since(other.created_at)).unwrap_or_default();
                starting = starting.or_else(|| (age < youth).then_some(other));
            } else {
                ending |= is_leaving(other) || other.deletion.is_some_and(|end| facts.now.wall <= end);
            }
        }
        let before = predecessor.map_or(0, |before| before.ready).min(wanted.unwrap_or(usize::MAX));
        let wait = match starting {
            Some(other) => Wait::Successor { pod: other.id.clone(), reason: other.waiting_reason.clone() },
            None if ready < before => Wait::Turn { ready, needed: before },
            None if wanted.is_some_and(|wanted| active < wanted) => Wait::Turn { ready, needed: ready + 1 },
            // Where nobody says how many there are to be, one that ends is one that is missing.
            None if ending && wanted.is_none() => Wait::Turn { ready, needed: ready + 1 },
            None => return Turnstile::Open,
        };
        // Nobody makes the next one of a StatefulSet before the last one is gone, which may take its grace period.
        Turnstile::Wait { wait, look_again: settles, may_end: !ending }
    }

    /// Takes note of a pod that is being sent away.
    fn takes_its_turn(&mut self, step: &Step, pod: &Pod, facts: &Facts<'_>) {
        let Some(crew) = self.crew_with_turns(step, pod, facts.cluster) else { return };
        let (mut ready, mut known) = (1, BTreeSet::from([pod.id.uid.clone()]));
        for other in crew.members(facts.cluster).filter(|other| other.id != pod.id) {
            ready += usize::from(other.is_ready() && !facts.may_be_leaving(&other.id));
            known.insert(other.id.uid.clone());
        }
        self.predecessors.insert(crew.key().clone(), Predecessor { ready, known });
    }

    /// Whose pods take turns with this one; `None`: it goes when it will.
    fn crew_with_turns<'a>(&self, step: &Step, pod: &'a Pod, cluster: &'a ClusterSnapshot) -> Option<Crew<'a>> {
        let takes_turns = pod.is_ready() && self.request.takes_turns(pod, step.may_bypass);
        Crew::of(pod, cluster).filter(|crew| takes_turns && !self.solitary.contains(crew.key()))
    }
}
