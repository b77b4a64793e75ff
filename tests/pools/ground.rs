//! Pools of one provider, in a test's own part of the cluster.

use e2e::{Invocation, Namespace};
use serde_json::Value;

/// What a test that is the same for every provider has to know of one. There is one pool with one node to begin with.
pub(crate) trait Ground {
    fn ns(&self) -> &Namespace;

    /// Starts to describe a run about a pool of this ground.
    fn poolcopy(&self, arguments: &[&str]) -> Invocation;

    /// The names of the pools.
    async fn pools(&self) -> Vec<String>;

    /// The object that carries the pool's marks.
    async fn pool(&self, name: &str) -> Value;

    /// The nodes of a pool.
    async fn nodes(&self, pool: &str) -> Vec<String>;

    /// Everything that pools are made of, nodes included.
    async fn objects(&self) -> Vec<String>;

    /// What somebody has to do before a copy can be made.
    async fn prepare(&self) {}

    /// What somebody does with the nodes of a pool that was retired.
    async fn clear_away(&self, _nodes: &[String]) {}
}
