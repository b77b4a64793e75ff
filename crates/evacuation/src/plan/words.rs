//! The sentences of kubectl's own rules, as the plan tells them, and the flags that consent.

use cluster_model::disposition::{LeaveReason, Refusal, Warning};
use cluster_model::identity::WorkloadRef;

use crate::request::DrainRequest;

/// Why a pod stays.
pub(super) fn leave_words(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::DaemonSet => "managed by a DaemonSet, which would put it back",
        LeaveReason::Mirror => "a static pod of the kubelet",
        LeaveReason::Wish => "it says so itself: cluster.x-k8s.io/drain=skip",
        LeaveReason::LongTerminating => "terminating for longer than --skip-wait-for-delete-timeout",
    }
}

/// What a warning says.
pub(super) fn warning_words(warning: Warning, request: &DrainRequest) -> &'static str {
    match warning {
        Warning::Unmanaged if request.keeps_manifests => {
            "no controller manages it: it is gone for good, and its manifest is kept first"
        }
        Warning::DaemonSetMissing => "its DaemonSet is gone: nobody makes it again",
        Warning::LocalStorage => "the data in its emptyDir volumes is lost",
        Warning::Unmanaged => "no controller manages it: it is lost for good",
    }
}

/// What a refusal says, and which flag consents.
pub(super) fn refusal_words(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::DaemonSetManaged => ("is managed by a DaemonSet", "--ignore-daemonsets"),
        Refusal::DaemonSetMissing => ("names a DaemonSet that does not exist, so nobody makes it again", "--force"),
        Refusal::LocalStorage => ("has emptyDir volumes, whose data would be lost", "--delete-emptydir-data"),
        Refusal::Unmanaged => ("has no controller, so nobody makes it again", "--force"),
    }
}

/// The flag by which somebody consents to a gap of a workload.
pub fn consent_to_downtime(workload: &WorkloadRef) -> String {
    format!("--allow-downtime {}/{}/{}", workload.namespace, workload.kind.to_lowercase(), workload.name)
}
