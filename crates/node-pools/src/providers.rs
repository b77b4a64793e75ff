//! The providers, one folder or file each, in the order in which they are asked.

use crate::provider::PoolProvider;

pub mod cluster_api;

/// Returns all providers that are built.
pub fn all() -> Vec<Box<dyn PoolProvider>> {
    vec![Box::new(cluster_api::ClusterApi)]
}
