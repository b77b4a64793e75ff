//! What must hold, whatever happens.

use cluster_model::identity::{PodId, Uid};
use cluster_model::marks::DetachRecord;
use cluster_model::pod::{Pod, TEMPLATE_HASH};

use super::{Request, World, size};
use crate::engine::{Command, CommandId};

impl World {
    /// What must hold of a command when it is sent.
    pub(super) fn check_command(&mut self, id: CommandId, command: &Command, seen_desired: i32) {
        let is_impatient = self.refused.iter().any(|(at, other)| *at == self.elapsed && other == command);
        assert!(!is_impatient, "what was refused is not asked again at once\n{}", self.story());
        match command {
            Command::Detach { pod, record, .. } => {
                assert!(!self.interrupted, "nothing begins after an interrupt\n{}", self.story());
                // Its own requests that are unanswered may have been done or not: only evictions take something away.
                let is_serving = |pod: &&Pod| pod.is_ready() && self.view.pod(&pod.id).is_some_and(Pod::is_ready);
                let serving = self.pods.values().filter(|pod| pod.id.name.starts_with("web")).filter(is_serving);
                let is_eviction = |request: &&Request| matches!(request.command, Command::Evict { .. });
                let leaving = self.requests.iter().filter(is_eviction).count()
                    + self.answers.iter().filter(|(_, command, _)| matches!(command, Command::Evict { .. })).count();
                assert!(
                    record.serving_before
                        >= (size(serving.count()) - size(leaving)).min(self.desired).min(seen_desired),
                    "{pod} is recorded with too few others\n{}",
                    self.story()
                );
            }
            Command::Evict { pod, .. } => {
                let truth = self.pods.get(pod);
                if self.interrupted {
                    let is_ours = truth.is_none_or(Pod::has_detached_label);
                    assert!(is_ours, "no other eviction begins after an interrupt\n{}", self.story());
                }
                let budget = pod.name.split('-').next().unwrap_or_default().to_owned();
                if !self.budgets.iter().any(|other| other.key.name == budget) {
                    return;
                }
                // An eviction whose pod is seen to be gone is over, whether or not its answer is there.
                let is_under_way = |other: &(String, PodId)| other.0 == budget && self.view.pod(&other.1).is_some();
                let is_alone = !self.evicting.values().any(is_under_way);
                assert!(is_alone, "one eviction at a time under one budget\n{}", self.story());
                self.evicting.insert(id, (budget, pod.clone()));
            }
            Command::ClearRecord { pod: id, .. } => {
                let owner = self.pods.get(id).map(|pod| pod.controller.is_some() && !pod.has_detached_label());
                assert!(owner.unwrap_or(true), "the record lasts until the pod is owned again\n{}", self.story());
            }
            Command::Cordon { .. }
            | Command::Mark { .. }
            | Command::Release { .. }
            | Command::Look { .. }
            | Command::Reattach { .. }
            | Command::Delete { .. }
            | Command::Guest(_) => {}
        }
    }

    /// What must hold at every moment: no more pods are surged than allowed, each knows its way back, and while the
    /// world itself takes none away, as many pods serve as in the beginning.
    pub(super) fn check(&self) {
        let is_detached = |pod: &&Pod| pod.has_detached_label() && pod.is_active();
        let detached = self.pods.values().filter(is_detached).count();
        assert!(size(detached) <= self.shape.surge, "{detached} are detached\n{}", self.story());
        for pod in self.pods.values().filter(|pod| pod.has_detached_label()) {
            let record = DetachRecord::parse(pod.detached.as_deref().unwrap()).unwrap();
            let set = self.sets.iter().find(|set| set.uid == record.replica_set_uid);
            assert_eq!(record.believe(pod, set), Ok(()), "a detached pod knows its way back");
        }
        if !self.is_hostile {
            let serving =
                self.pods.values().filter(|pod| pod.is_ready() && self.endpoints.contains(&pod.id.uid)).count();
            assert!(size(serving) >= self.shape.replicas, "{serving} endpoints serve\n{}", self.story());
            let databases = self.pods.values().filter(|pod| pod.is_ready() && pod.id.name.starts_with("db-")).count();
            let all = usize::try_from(self.shape.databases).unwrap();
            assert!(databases + 1 >= all, "{databases} of {all} databases serve\n{}", self.story());
        }
    }

    /// When a detached pod goes, the others are as strong as before it was detached, or as is wanted now. Two kinds of
    /// pods count as there: those that the world took away and the engine could not know of when it sent the eviction,
    /// and those that were detached since, which serve on and may not go before others are as strong without them.
    pub(super) fn check_strength(&self, pod: &Pod, request: &Request) {
        if !pod.has_detached_label() {
            return;
        }
        let record = DetachRecord::parse(pod.detached.as_deref().unwrap()).unwrap();
        let wanted = self.desired.min(request.seen_desired);
        let is_unknowably_gone = |uid: &&Uid| request.seen_ready.contains(uid);
        let gone = self.taken.iter().filter(is_unknowably_gone).count();
        let is_detached_since = |other: &&Pod| other.has_detached_label() && request.attached.contains(&other.id.uid);
        let serving = || self.pods.values().filter(|other| other.is_ready() && other.id.uid != pod.id.uid);
        let there = self.attached().count() + serving().filter(is_detached_since).count();
        assert!(
            size(there + gone) >= record.available_before.min(wanted),
            "{there} pods (and {gone} just lost) are fewer than {} or {wanted}\n{}",
            record.available_before,
            self.story()
        );
        let serve = serving().filter(|other| other.id.name.starts_with("web")).count();
        assert!(
            size(serve + gone) >= record.serving_before.min(wanted),
            "{serve} pods (and {gone} just lost) serve, fewer than {} or {wanted}\n{}",
            record.serving_before,
            self.story()
        );
    }

    /// Whether nobody but the controllers has left a trace on any pod.
    pub(in super::super) fn is_untouched(&self) -> bool {
        let is_first = |pod: &Pod| pod.id.name.matches('-').count() == 1 && pod.id.name.starts_with("web");
        self.pods.values().all(|pod| {
            let cost = (self.shape.has_cost && is_first(pod)).then_some("7");
            pod.detached.is_none()
                && pod.deletion_cost.as_deref() == cost
                && pod.controller.is_some()
                && pod.labels.get(TEMPLATE_HASH).is_none_or(|hash| hash.starts_with('h') && hash.len() == 2)
        })
    }
}
