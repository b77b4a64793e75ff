//! What a drain may do with one pod: kubectl's filters, in kubectl's order, with one typed answer for each pod.
//!
//! Rules: `k8s.io/kubectl/pkg/drain/filters.go`, `makeFilters`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::owners::{OwnerKind, owner_kind};
use crate::pod::Pod;
use crate::wishes::DrainWish;

/// The consents and habits that decide about a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainPolicy {
    /// `--force`: pods without a controller may be lost.
    pub force: bool,
    /// `--ignore-daemonsets=false`: a DaemonSet's pod stops the drain.
    pub refuse_daemon_sets: bool,
    /// `--delete-emptydir-data`: emptyDir volumes may be lost.
    pub delete_empty_dir_data: bool,
    /// `--skip-wait-for-delete-timeout`: a pod whose grace ended so long ago is not waited for.
    pub skip_wait_for_delete: Option<Duration>,
}

impl DrainPolicy {
    /// Whether a pod's grace period ended longer ago than `skip_wait_for_delete`, so that nobody waits for it.
    pub fn is_past_waiting(&self, pod: &Pod, now: Timestamp) -> bool {
        let Some((limit, deletion)) = self.skip_wait_for_delete.zip(pod.deletion) else { return false };
        !limit.is_zero() && now > deletion && now.duration_since(deletion).unsigned_abs() > limit
    }
}

/// Whether the DaemonSet that a pod names exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonSetPresence {
    /// It exists.
    Exists,
    /// The server knows no such DaemonSet.
    Missing,
}

/// The answer for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays on the node, and the node counts as drained nevertheless.
    Leave(LeaveReason),
    /// It has to go.
    Move(Vec<Warning>),
    /// It has to go, and may not without somebody's consent.
    Refuse(Refusal),
}

/// Why a pod stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LeaveReason {
    /// Its DaemonSet would put it back at once.
    DaemonSet,
    /// The kubelet runs it from a file.
    Mirror,
    /// It says so itself: `cluster.x-k8s.io/drain: skip`.
    Wish,
    /// Its grace period ended long ago and `--skip-wait-for-delete-timeout` says not to wait.
    LongTerminating,
}

/// Something that will be lost, with consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Warning {
    /// Its DaemonSet is gone; nobody makes it again.
    DaemonSetMissing,
    /// The data in its emptyDir volumes is lost.
    LocalStorage,
    /// Nobody makes it again.
    Unmanaged,
}

/// What somebody has to consent to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// `--ignore-daemonsets=false` was given and a DaemonSet manages it.
    DaemonSetManaged,
    /// Its DaemonSet is gone; nobody makes it again.
    DaemonSetMissing,
    /// It has emptyDir volumes.
    LocalStorage,
    /// No controller manages it.
    Unmanaged,
}

/// Classifies one pod. `is_ours` says that the pod was detached by a run and its record is believed: then it is not
/// an unmanaged pod, and its data was consented to when it was detached. Clauses, in kubectl's order:
///
/// 1. a pod whose grace ended longer ago than `skip_wait_for_delete` stays;
/// 2. a pod that says so stays (kubectl knows no such word; Cluster API does);
/// 3. a DaemonSet's pod stays (ended ones go), unless the DaemonSet is gone or the policy refuses them;
/// 4. a mirror pod stays;
/// 5. an emptyDir needs consent, unless the pod has ended;
/// 6. a pod without controller needs consent, unless it has ended.
pub fn classify(
    pod: &Pod,
    policy: &DrainPolicy,
    daemon_set: DaemonSetPresence,
    is_ours: bool,
    now: Timestamp,
) -> Disposition {
    if policy.is_past_waiting(pod, now) {
        return Disposition::Leave(LeaveReason::LongTerminating);
    }
    if pod.wishes.drain == DrainWish::Skip && !pod.is_terminal() && !is_ours {
        return Disposition::Leave(LeaveReason::Wish);
    }
    let mut warnings = Vec::new();
    let owner = owner_kind(pod);
    if owner == OwnerKind::DaemonSet && !pod.is_terminal() {
        match (daemon_set, policy.force) {
            (DaemonSetPresence::Exists, _) if policy.refuse_daemon_sets => {
                return Disposition::Refuse(Refusal::DaemonSetManaged);
            }
            (DaemonSetPresence::Exists, _) => return Disposition::Leave(LeaveReason::DaemonSet),
            (DaemonSetPresence::Missing, false) => return Disposition::Refuse(Refusal::DaemonSetMissing),
            (DaemonSetPresence::Missing, true) => warnings.push(Warning::DaemonSetMissing),
        }
    }
    if pod.is_mirror {
        return Disposition::Leave(LeaveReason::Mirror);
    }
    if pod.has_empty_dir && !pod.is_terminal() && !is_ours {
        if !policy.delete_empty_dir_data {
            return Disposition::Refuse(Refusal::LocalStorage);
        }
        warnings.push(Warning::LocalStorage);
    }
    if owner == OwnerKind::Nobody && !pod.is_terminal() && !is_ours {
        if !policy.force {
            return Disposition::Refuse(Refusal::Unmanaged);
        }
        warnings.push(Warning::Unmanaged);
    }
    Disposition::Move(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::pod::Phase;

    fn judge(pod: &Pod, policy: &DrainPolicy, daemon_set: DaemonSetPresence) -> Disposition {
        classify(pod, policy, daemon_set, false, fixtures::at(1_000))
    }

    #[test]
    fn kubectl_refuses_in_this_order() {
        let plain = DrainPolicy::default();
        let force = DrainPolicy { force: true, ..DrainPolicy::default() };
        let data = DrainPolicy { delete_empty_dir_data: true, ..DrainPolicy::default() };
        let strict = DrainPolicy { refuse_daemon_sets: true, ..DrainPolicy::default() };
        let bare = fixtures::pod("shop", "bare").on("n1").ready();
        let owned = fixtures::pod("shop", "web").on("n1").ready().managed_by("apps/v1", "ReplicaSet", "web-1");
        let daemon = fixtures::pod("shop", "log").on("n1").ready().managed_by("apps/v1", "DaemonSet", "log");
        let cases = [
            ("bare", bare.build(), &plain, Disposition::Refuse(Refusal::Unmanaged)),
            ("bare, forced", bare.build(), &force, Disposition::Move(vec![Warning::Unmanaged])),
            ("bare, ended", bare.phase(Phase::Succeeded).build(), &plain, Disposition::Move(vec![])),
            ("owned", owned.build(), &plain, Disposition::Move(vec![])),
            ("emptyDir", owned.empty_dir().build(), &plain, Disposition::Refuse(Refusal::LocalStorage)),
            ("emptyDir, consent", owned.empty_dir().build(), &data, Disposition::Move(vec![Warning::LocalStorage])),
            ("bare with emptyDir", bare.empty_dir().build(), &plain, Disposition::Refuse(Refusal::LocalStorage)),
            ("daemon", daemon.build(), &plain, Disposition::Leave(LeaveReason::DaemonSet)),
            ("daemon, strict", daemon.build(), &strict, Disposition::Refuse(Refusal::DaemonSetManaged)),
            ("mirror", bare.mirror().build(), &plain, Disposition::Leave(LeaveReason::Mirror)),
        ];
        for (name, pod, policy, expected) in cases {
            assert_eq!(judge(&pod, policy, DaemonSetPresence::Exists), expected, "{name}");
        }
        let orphan = daemon.build();
        assert_eq!(judge(&orphan, &plain, DaemonSetPresence::Missing), Disposition::Refuse(Refusal::DaemonSetMissing));
        assert_eq!(
            judge(&orphan, &force, DaemonSetPresence::Missing),
            Disposition::Move(vec![Warning::DaemonSetMissing])
        );
    }

    #[test]
    fn a_detached_pod_of_ours_is_not_unmanaged() {
        let pod = fixtures::pod("shop", "web").on("n1").ready().build();
        let answer = classify(&pod, &DrainPolicy::default(), DaemonSetPresence::Exists, true, fixtures::at(0));
        assert_eq!(answer, Disposition::Move(vec![]));
    }

    #[test]
    fn a_pod_that_died_long_ago_is_not_waited_for_when_told_so() {
        let pod = fixtures::pod("shop", "web").on("n1").terminating(fixtures::at(100)).build();
        let policy = DrainPolicy { skip_wait_for_delete: Some(Duration::from_secs(60)), ..DrainPolicy::default() };
        let at = |seconds| classify(&pod, &policy, DaemonSetPresence::Exists, true, fixtures::at(seconds));
        assert_eq!(at(161), Disposition::Leave(LeaveReason::LongTerminating));
        assert_eq!(at(160), Disposition::Move(vec![]));
        assert_eq!(at(10), Disposition::Move(vec![]), "its grace has not ended");
    }
}
