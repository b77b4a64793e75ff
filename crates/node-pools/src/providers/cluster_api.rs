//! Cluster API (`cluster.x-k8s.io`): MachineDeployments and MachinePools, made by hand or by a cluster's topology.
//!
//! What a wrong copy does was seen on the genuine controllers: a MachineDeployment that keeps its source's selector makes
//! machines without end, since it never sees its own; deleting a MachinePool that refers to another's objects deletes
//! them; a copied label of the topology stops the whole cluster. So a copy has a selector, templates and an entry of its
//! own, and [`PoolProvider::remove`] never deletes what somebody else refers to.

mod machine;
mod object;
mod plain;
mod removal;
mod settings;
mod topology;

use cluster_model::identity::NodeName;

use crate::address::Address;
use crate::copy_plan::{CopyPlan, CopyRequest};
use crate::finding::Refusal;
use crate::inventory::{Inventory, KindName};
use crate::mark::CopyMark;
use crate::pool::{Member, Pool, ProviderName, Supply};
use crate::provider::{PoolProvider, PoolReader};
use crate::raw::text;
use crate::shrinking;
use crate::step::Step;

use object::Set;

/// The group of the core objects.
const GROUP: &str = "cluster.x-k8s.io";
const DEPLOYMENT: KindName = KindName { group: GROUP, kind: "MachineDeployment" };
const POOL: KindName = KindName { group: GROUP, kind: "MachinePool" };
const SET: KindName = KindName { group: GROUP, kind: "MachineSet" };
const MACHINE: KindName = KindName { group: GROUP, kind: "Machine" };
const CLUSTER: KindName = KindName { group: GROUP, kind: "Cluster" };
const CLASS: KindName = KindName { group: GROUP, kind: "ClusterClass" };
const HEALTH_CHECK: KindName = KindName { group: GROUP, kind: "MachineHealthCheck" };

/// The labels by which machines are told apart; the controllers stamp and select by them.
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
const DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";
const POOL_NAME: &str = "cluster.x-k8s.io/pool-name";
const TOPOLOGY_OWNED: &str = "topology.cluster.x-k8s.io/owned";
const TOPOLOGY_DEPLOYMENT: &str = "topology.cluster.x-k8s.io/deployment-name";
const TOPOLOGY_POOL: &str = "topology.cluster.x-k8s.io/pool-name";

/// The provider.
#[derive(Clone, Copy, Debug)]
pub struct ClusterApi;

impl PoolReader for ClusterApi {
    fn name(&self) -> ProviderName {
        ProviderName::ClusterApi
    }

    fn kinds(&self) -> &'static [KindName] {
        &[DEPLOYMENT, POOL, SET, MACHINE, CLUSTER, CLASS, HEALTH_CHECK]
    }

    fn pools(&self, inventory: &Inventory) -> Vec<Pool> {
        let sets = inventory.of(DEPLOYMENT).chain(inventory.of(POOL));
        sets.map(|(address, object)| pool_of(&Set::new(address, object), inventory)).collect()
    }

    fn members(&self, inventory: &Inventory, pool: &Pool) -> Vec<Member> {
        set_of(inventory, pool).map(|set| machine::members(inventory, &set)).unwrap_or_default()
    }
}

impl PoolProvider for ClusterApi {
    fn check_place(&self, inventory: &Inventory, pool: &Pool) -> Result<(), Refusal> {
        set_of(inventory, pool).map_or(Ok(()), |set| machine::check_place(inventory, &set))
    }

    fn kinds_beside(&self, inventory: &Inventory, pool: &Pool) -> Vec<(String, String)> {
        let Some(set) = set_of(inventory, pool) else { return Vec::new() };
        // A control plane's templates may be shared with workers, and are looked for before one is deleted.
        let clusters = inventory.of(CLUSTER).filter(|(address, _)| address.namespace == set.address.namespace);
        let control_planes = clusters.filter_map(|(address, cluster)| {
            object::reference(cluster.pointer("/spec/controlPlaneRef")?, address.namespace.as_deref())
        });
        let mut kinds: Vec<_> =
            set.references().chain(control_planes).map(|reference| (reference.group, reference.kind)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    fn copy(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<CopyPlan, Refusal> {
        let set = existing(inventory, pool)?;
        if set.is_of_topology() {
            topology::copy(inventory, pool, &set, request)
        } else {
            plain::copy(inventory, pool, &set, request)
        }
    }

    fn freeze(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let set = existing(inventory, pool)?;
        if set.is_of_topology() { topology::freeze(inventory, &set) } else { Ok(plain::freeze(&set)) }
    }

    fn thaw(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let set = existing(inventory, pool)?;
        if set.is_of_topology() { topology::thaw(inventory, &set) } else { Ok(plain::thaw(&set)) }
    }

    fn resize(
        &self,
        inventory: &Inventory,
        pool: &Pool,
        size: u32,
        leaving: &[NodeName],
    ) -> Result<Vec<Step>, Refusal> {
        let set = existing(inventory, pool)?;
        let scale =
            if set.is_of_topology() { topology::resize(inventory, &set, size)? } else { plain::resize(&set, size) };
        shrinking::steps(&pool.title(), machine::DELETE_FIRST, &machine::living(inventory, &set), leaving, scale)
    }

    fn remove(&self, inventory: &Inventory, pool: &Pool, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal> {
        removal::remove(inventory, &existing(inventory, pool)?, copy)
    }

    fn finish(&self, inventory: &Inventory, copy: &Pool) -> Result<Vec<Step>, Refusal> {
        removal::finish(inventory, &existing(inventory, copy)?)
    }

    fn sweep(&self, inventory: &Inventory, source: &Pool) -> Vec<Step> {
        removal::sweep(inventory, source)
    }
}

fn set_of<'a>(inventory: &'a Inventory, pool: &'a Pool) -> Option<Set<'a>> {
    let address = pool.object.as_ref()?;
    Some(Set::new(address, inventory.get(address)?))
}

fn existing<'a>(inventory: &'a Inventory, pool: &'a Pool) -> Result<Set<'a>, Refusal> {
    set_of(inventory, pool).ok_or_else(|| Refusal::Nothing(format!("{} does not exist any more", pool.title())))
}

fn pool_of(set: &Set<'_>, inventory: &Inventory) -> Pool {
    let Address { resource, name, .. } = set.address;
    let alias = set.topology_name().map(str::to_owned);
    let copy_of = match &alias {
        Some(alias) => topology::mark_of(inventory, set, alias),
        None => CopyMark::of(set.object),
    };
    Pool {
        provider: ProviderName::ClusterApi,
        description: format!("Cluster API {}", resource.kind),
        name: name.clone(),
        alias,
        object: Some(set.address.clone()),
        uid: set.uid().to_owned(),
        label: None,
        supply: Supply::Sized,
        size: set.replicas(),
        scaled_by: settings::scaled_by(set.object).into_iter().collect(),
        is_accepted: true,
        troubles: object::troubles(set, inventory),
        copy_of,
        is_frozen: set.annotation(crate::mark::FROZEN).is_some(),
    }
}

#[cfg(test)]
mod tests;
