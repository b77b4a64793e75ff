//! What a provider of pools can say and plan.

use cluster_model::identity::NodeName;

use crate::copy_plan::{CopyPlan, CopyRequest};
use crate::finding::Refusal;
use crate::inventory::{Inventory, KindName};
use crate::pool::{Member, Pool, ProviderName};
use crate::step::Step;

/// Which pools a provider has, and which nodes belong to them: all that emptying a pool asks for. All answers are made
/// from an [`Inventory`]; no server is asked.
pub trait PoolReader {
    /// Returns which one it is.
    fn name(&self) -> ProviderName;

    /// Returns the kinds that it has to see. The first is the one without which the provider is not there.
    fn kinds(&self) -> &'static [KindName];

    /// Returns the pools.
    fn pools(&self, inventory: &Inventory) -> Vec<Pool>;

    /// Returns the machines of a pool.
    fn members(&self, inventory: &Inventory, pool: &Pool) -> Vec<Member>;
}

/// What else a provider can do with its pools: plans, made from an [`Inventory`] as well.
pub trait PoolProvider: PoolReader {
    /// Refuses a pool whose nodes are in another cluster than the one whose nodes were read: there they look as if they
    /// were gone, and so as if nothing were on them.
    fn check_place(&self, _inventory: &Inventory, _pool: &Pool) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns the further kinds, as group and kind, of which everything in the pool's namespace has to be read before it
    /// can be copied or removed: what it refers to, and who else may refer to that.
    fn kinds_beside(&self, inventory: &Inventory, pool: &Pool) -> Vec<(String, String)>;

    /// Plans a copy, or what is missing of one.
    fn copy(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<CopyPlan, Refusal>;

    /// Plans to stop a pool's growth; no steps: nothing makes it grow.
    fn freeze(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal>;

    /// Plans to give a pool back what [`PoolProvider::freeze`] took.
    fn thaw(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal>;

    /// Plans another size. `leaving` are nodes that are proven empty and are to go; as many as the pool shrinks by.
    fn resize(&self, inventory: &Inventory, pool: &Pool, size: u32, leaving: &[NodeName])
    -> Result<Vec<Step>, Refusal>;

    /// Plans to remove a pool that is proven empty, with what only it uses. `copy` is the pool that takes its place: it
    /// remembers what is left to do, so that [`PoolProvider::finish`] can go on.
    fn remove(&self, inventory: &Inventory, pool: &Pool, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal>;

    /// Plans what is left to do once the source of a copy is gone: the copy gets what it was to get at the end, and
    /// nothing tells of the source any more.
    fn finish(&self, inventory: &Inventory, copy: &Pool) -> Result<Vec<Step>, Refusal>;

    /// Plans to remove what was made for a copy and belongs to none: of a copy that was half made, or half removed.
    fn sweep(&self, inventory: &Inventory, source: &Pool) -> Vec<Step>;
}
