//! What a turn needs to know of the view, worked out once for all its steps: with hundreds of pods under way, each of
//! them looking through all others would cost more than everything else together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster_model::identity::{ObjectKey, PodId, Uid};
use cluster_model::pod::Pod;
use cluster_model::snapshot::{ClusterSnapshot, Traffic};

use super::input::Moment;
use super::readiness::Readiness;
use super::step::{State, Step};
use crate::surge::detach::{self, OwnSurge};
use crate::surge::family::Family;

/// The view, indexed for one turn.
pub(super) struct Facts<'a> {
    pub(super) cluster: &'a ClusterSnapshot,
    pub(super) now: Moment,
    /// The pods behind each Service now.
    serving: BTreeMap<Traffic, BTreeSet<&'a Uid>>,
    strengths: BTreeMap<Uid, Option<Strength<'a>>>,
    /// Pods that the view may still show as their ReplicaSet's although they are on their way out.
    outgoing: BTreeSet<PodId>,
    /// Pods whose eviction was sent: they serve no longer, whatever the view says.
    leaving: BTreeSet<PodId>,
    /// Pods of whose eviction nobody knows whether it was done: it was not answered.
    unsure: BTreeSet<PodId>,
    /// Extra pods that this run's requests have made or will make, by the ReplicaSet they came from.
    sent: BTreeMap<Uid, BTreeSet<PodId>>,
    /// ReplicaSets to which this run is giving a pod back.
    returning_to: BTreeSet<Uid>,
    /// Budgets under which an eviction is unanswered.
    evicting_under: BTreeSet<ObjectKey>,
}

/// How strong a workload is, seen from one of its ReplicaSets. Detached and outgoing pods do not count.
#[derive(Clone, Debug)]
pub(super) struct Strength<'a> {
    pub(super) family: Family<'a>,
    pub(super) desired: i32,
    /// What its Deployment allows; `None` if that is not known or is Recreate.
    pub(super) max_surge: Option<i32>,
    /// Available pods.
    pub(super) available: BTreeSet<&'a Uid>,
    /// Whether a pod is being given back: its ReplicaSet is about to delete another one, and nobody knows which.
    pub(super) is_shrinking: bool,
    /// Whether a pod shows that a rollout has begun of which the view has no ReplicaSet yet.
    pub(super) is_ahead: bool,
    /// Detached pods that serve on.
    pub(super) orphans: BTreeSet<&'a Uid>,
    /// Ready pods, whether or not `minReadySeconds` have passed.
    pub(super) ready: i32,
    /// Extra pods by detaching.
    pub(super) surged: i32,
    /// All pods that it manages.
    pub(super) known: Arc<BTreeSet<Uid>>,
    /// Active pods that could be somebody's replacement, the best first.
    pub(super) candidates: Vec<&'a Pod>,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(cluster: &'a ClusterSnapshot, steps: &BTreeMap<PodId, Step>, now: Moment) -> Self {
        let mut serving: BTreeMap<Traffic, BTreeSet<&Uid>> = BTreeMap::new();
        for slice in cluster.slices() {
            let Some(service) = &slice.service else { continue };
            let service = ObjectKey::new(&slice.key.namespace, service);
            let traffic = Traffic { service, address_type: slice.address_type.clone() };
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| &endpoint.pod);
            serving.entry(traffic).or_default().extend(ready);
        }
        let (mut outgoing, mut leaving, mut evicting_under) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut sent: BTreeMap<Uid, BTreeSet<PodId>> = BTreeMap::new();
        let (mut returning_to, mut unsure) = (BTreeSet::new(), BTreeSet::new());
        for step in steps.values() {
            // After a conflict a step is planned again and its pod certainly still its ReplicaSet's.
            let is_handed_over = step.detachment.is_some() && !matches!(step.state, State::Planned | State::Done(_));
            let is_leaving = matches!(step.state, State::Evicting | State::Leaving);
            if step.may_be_leaving && !step.is_done() {
                unsure.insert(step.pod.clone());
            }
            if is_handed_over || is_leaving {
                outgoing.insert(step.pod.clone());
            }
            if is_leaving {
                leaving.insert(step.pod.clone());
            }
            if let Some(detachment) = &step.detachment
                && !matches!(step.state, State::Planned | State::Leaving | State::Done(_))
            {
                sent.entry(detachment.record.replica_set_uid.clone()).or_default().insert(step.pod.clone());
            }
            if let Some(detachment) = &step.detachment
                && matches!(step.state, State::Reattaching | State::Shrinking { .. })
            {
                returning_to.insert(detachment.record.replica_set_uid.clone());
            }
            if step.state == State::Evicting
                && let Some(pod) = cluster.pod(&step.pod)
            {
                evicting_under.extend(cluster.budgets_of(pod).map(|budget| budget.key.clone()));
            }
        }
        Self {
            cluster,
            now,
            serving,
            strengths: BTreeMap::new(),
            outgoing,
            leaving,
            unsure,
            sent,
            returning_to,
            evicting_under,
        }
    }

    /// The workload of a ReplicaSet; `None` if that does not exist.
    pub(super) fn strength(&mut self, replica_set: &Uid, readiness: &Readiness) -> Option<&mut Strength<'a>> {
        if !self.strengths.contains_key(replica_set) {
            let strength = self.measure(replica_set, readiness);
            self.strengths.insert(replica_set.clone(), strength);
        }
        self.strengths.get_mut(replica_set)?.as_mut()
    }

    /// The same, if it was asked for in this turn before.
    pub(super) fn measured(&self, replica_set: &Uid) -> Option<&Strength<'a>> {
        self.strengths.get(replica_set)?.as_ref()
    }

    fn measure(&self, replica_set: &Uid, readiness: &Readiness) -> Option<Strength<'a>> {
        let cluster = self.cluster;
        let family = Family::of(replica_set, cluster)?;
        let min_ready = family.min_ready_seconds();
        let (mut available, mut known, mut candidates) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let mut orphans = BTreeSet::new();
        let mut is_shrinking = family.members.iter().any(|member| self.returning_to.contains(&member.uid));
        let mut is_ahead = false;
        let mut owned = 0;
        let mut ready = 0;
        let mut surged: BTreeSet<&PodId> =
            family.members.iter().filter_map(|member| self.sent.get(&member.uid)).flatten().collect();
        for pod in cluster.pods_of(&family.own.key.namespace) {
            // Given back by a run that did not live to see it adopted.
            is_shrinking |= pod.is_active()
                && pod.controller.is_none()
                && !pod.has_detached_label()
                && matches!(cluster.detach_record(pod), Some(Ok(record)) if record.replica_set_uid == family.own.uid);
            let is_member = |uid: &Uid| family.members.iter().any(|member| member.uid == *uid);
            let is_detached = pod.is_active()
                && pod.has_detached_label()
                && matches!(cluster.detach_record(pod), Some(Ok(record)) if is_member(&record.replica_set_uid));
            if is_detached {
                surged.insert(&pod.id);
            }
            let is_orphan = is_detached || family.manages(pod) && self.outgoing.contains(&pod.id);
            if is_orphan && pod.is_ready() && !self.leaving.contains(&pod.id) {
                orphans.insert(&pod.id.uid);
            }
            if !family.manages(pod) {
                is_ahead |= pod.is_active() && family.foresees(pod, cluster);
                continue;
            }
            known.insert(pod.id.uid.clone());
            owned += i32::from(pod.is_active() && pod.is_managed_by(&family.own.uid));
            if !pod.is_active() || self.outgoing.contains(&pod.id) {
                continue;
            }
            candidates.push(pod);
            ready += i32::from(pod.is_ready());
            if readiness.is_available(pod, min_ready, self.now) {
                available.insert(&pod.id.uid);
            }
        }
        is_shrinking |= owned > family.own.replicas;
        candidates.sort_by_key(|pod| (!pod.is_ready(), std::cmp::Reverse(pod.created_at)));
        let max_surge = match detach::own_surge(family.own, cluster) {
            Some(OwnSurge::Pods(max_surge)) => Some(max_surge),
            Some(OwnSurge::Recreate) | None => None,
        };
        let surged = i32::try_from(surged.len()).unwrap_or(i32::MAX);
        let desired = family.desired();
        Some(Strength {
            family,
            desired,
            max_surge,
            available,
            is_shrinking,
            is_ahead,
            orphans,
            ready,
            surged,
            known: Arc::new(known),
            candidates,
        })
    }

    /// Where a pod receives traffic, and who else does.
    pub(super) fn traffic_of(&self, pod: &Pod) -> impl Iterator<Item = (&Traffic, &BTreeSet<&'a Uid>)> {
        let in_namespace = |traffic: &&Traffic| traffic.service.namespace == pod.id.namespace;
        let serves = |(_, ready): &(&Traffic, &BTreeSet<&Uid>)| ready.contains(&pod.id.uid);
        self.serving.iter().filter(move |(traffic, _)| in_namespace(traffic)).filter(move |entry| serves(entry))
    }

    /// Whether the eviction of a pod was sent: it may serve no longer, whatever the view says.
    pub(super) fn may_be_leaving(&self, pod: &PodId) -> bool {
        self.leaving.contains(pod) || self.unsure.contains(pod)
    }

    /// Takes note of a detach that is being sent: the pod is none of its ReplicaSet's from now on.
    pub(super) fn detached(&mut self, replica_set: &Uid, pod: &'a Pod) {
        if let Some(Some(strength)) = self.strengths.get_mut(replica_set) {
            strength.available.remove(&pod.id.uid);
            strength.orphans.insert(&pod.id.uid);
            strength.ready -= i32::from(pod.is_ready());
            strength.surged += 1;
        }
        self.outgoing.insert(pod.id.clone());
    }

    /// Takes note of an eviction that is being sent: the pod serves no longer.
    pub(super) fn evicted(&mut self, pod: &Pod) {
        for strength in self.strengths.values_mut().flatten() {
            strength.orphans.remove(&pod.id.uid);
            if strength.available.remove(&pod.id.uid) {
                strength.ready -= 1;
            }
        }
        self.outgoing.insert(pod.id.clone());
        self.leaving.insert(pod.id.clone());
    }

    /// Evictions under one budget go one after another: in parallel they only make the server retry against itself.
    /// Claims the pod's budgets for one eviction; false if another is unanswered under one of them.
    pub(super) fn claim_budgets(&mut self, pod: &Pod) -> bool {
        let keys: Vec<_> = self.cluster.budgets_of(pod).map(|budget| budget.key.clone()).collect();
        if keys.iter().any(|key| self.evicting_under.contains(key)) {
            return false;
        }
        self.evicting_under.extend(keys);
        true
    }
}
