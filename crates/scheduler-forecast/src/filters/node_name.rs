//! A pod that names its node goes there or nowhere (`nodename/node_name.go`).

use std::collections::BTreeSet;

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    let Some(name) = &pod.node else { return Prepared::Skip };
    Prepared::Only(BTreeSet::from([name.clone()]), Reason::OtherNode(name.0.clone()), Box::new(|_: &Node| None))
}
