//! A pod with a gate is not even looked at (`schedulinggates/scheduling_gates.go`).

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    if pod.gates.is_empty() { Prepared::Skip } else { Prepared::Rejected(Reason::Gated(pod.gates.clone())) }
}
