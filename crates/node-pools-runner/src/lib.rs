//! The edge between the pools' pure plans and the API servers.
//!
//! * [`look`] reads what the providers have to see into an `Inventory`.
//! * [`view::PoolView`] keeps it current by watches.
//! * [`send`] performs one step as one request.
//! * [`daemons`] tells what has to run on a new node before work may be put on it.
//! * [`residents`] reads the pods of nodes, [`proof`] says which pods are still on nodes that are to go.
//!
//! The objects that make a pool may live in another cluster than its nodes: [`Places`] holds both.

pub mod daemons;
pub mod look;
pub mod proof;
pub mod residents;
pub mod send;
pub mod view;

use api_access::ApiAccess;

/// Where things are.
#[derive(Clone)]
pub struct Places {
    /// The cluster of the pools' objects.
    pub management: ApiAccess,
    /// The cluster of the nodes.
    pub workload: ApiAccess,
}
