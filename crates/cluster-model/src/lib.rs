//! Facts about a Kubernetes cluster, and the decisions that follow from them alone.
//!
//! Everything here is pure: objects in, answers out. No client, no runtime and no clock is in reach of this crate
//! (its dependency list says so), thus every rule can be tested with a table.
//!
//! ```text
//! node ◄── pod ──► controller (ReplicaSet …) ──► top owner (Deployment …)
//!           ▲ ▲
//!   budget ─┘ └─ EndpointSlice ──► Service
//! ```
//!
//! * [`snapshot::ClusterSnapshot`] holds the objects and answers look-ups; [`snapshot::Change`] keeps it current.
//! * [`disposition::classify`] tells what a drain may do with one pod.
//! * [`marks`] are the traces that a run leaves in the cluster, and what makes them believable.
//! * [`legible::Legible`] shows text that others have written into the cluster.
//! * [`eviction_reply`] gives each answer of the eviction API its meaning.
//! * [`demand::Demand`] tells whether a node offers what a pod asks for.
//! * [`kubevirt`] knows virtual machines: what happens to each, and when none is left on a node.

pub mod api;
pub mod attachment;
pub mod budget;
pub mod claim;
pub mod demand;
pub mod disposition;
pub mod endpoint_slice;
pub mod eviction_reply;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod identity;
pub mod importance;
pub mod kubevirt;
pub mod legible;
pub mod marks;
pub mod namespace;
pub mod node;
pub mod owners;
pub mod pod;
pub mod precedence;
pub mod quantity;
pub mod quorum;
pub mod resources;
pub mod route;
pub mod selector;
pub mod service;
pub mod snapshot;
pub mod wishes;
