//! The providers, one folder or file each, in the order in which they are asked.

use crate::node_label::NodeLabel;
use crate::provider::{PoolProvider, PoolReader};

pub mod cluster_api;
pub mod karpenter;
pub mod labelled;
pub mod openshift;

/// Returns all providers that are built. Pools of nodes that are joined by hand have no object to be found by: there is
/// one if `typed`, the pool as it was typed, is a label.
pub fn all(typed: &str) -> Vec<Box<dyn PoolProvider>> {
    let mut all: Vec<Box<dyn PoolProvider>> =
        vec![Box::new(karpenter::Karpenter), Box::new(cluster_api::ClusterApi), Box::new(openshift::OpenShift)];
    if let Some(label) = NodeLabel::parse(typed) {
        all.push(Box::new(labelled::Labelled { label }));
    }
    all
}

/// Returns what tells their pools. A program that only asks for nodes is linked without the plans of copies.
pub fn readers() -> Vec<Box<dyn PoolReader>> {
    vec![Box::new(karpenter::Karpenter), Box::new(cluster_api::ClusterApi), Box::new(openshift::OpenShift)]
}
