//! The providers, one folder or file each, in the order in which they are asked.

use crate::provider::{PoolProvider, PoolReader};

pub mod cluster_api;
pub mod karpenter;

/// Returns all providers that are built.
pub fn all() -> Vec<Box<dyn PoolProvider>> {
    vec![Box::new(karpenter::Karpenter), Box::new(cluster_api::ClusterApi)]
}

/// Returns what tells their pools. A program that only asks for nodes is linked without the plans of copies.
pub fn readers() -> Vec<Box<dyn PoolReader>> {
    vec![Box::new(karpenter::Karpenter), Box::new(cluster_api::ClusterApi)]
}
