//! `kubectl poolcopy` on the genuine core manager of Cluster API and the genuine Karpenter.
//!
//! | module | what it is |
//! |---|---|
//! | [`objects`] | objects as a user reads and writes them |
//! | [`fleet`] | a cluster of Cluster API's in a test's namespace, and pools in it |
//! | [`ground`] | what a test for every provider has to know of one |
//! | [`shop`] | work that somebody depends on |
//! | [`copying`] | copy, hand over, retire; and the copy's undo |
//! | [`draining`] | `kubectl safedrain --pool` and `--onto` |
//! | [`karpenter`] | copies of NodePools, and what a naive one does |
//! | [`labelled`] | nodes that somebody joins by hand |
//! | [`kills`] | kill -9 before and after requests |
//! | [`openshift`] | MachineSets, with a stand-in for their controllers |
//! | [`refusals`] | what is refused, by every provider, with nothing changed |
//! | [`sending`] | what a single request comes to |
//! | [`settings`] | what a copy is given on purpose, and what it gets at the end |
//! | [`fidelity`] | a thousand documents drawn from the schemas, and nothing of them lost |

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed step is a failed test")]
#![expect(
    clippy::disallowed_methods,
    reason = "how much is run is said by the environment, and how long it took is told"
)]

mod copying;
mod draining;
mod fidelity;
mod fleet;
mod ground;
mod karpenter;
mod kills;
mod labelled;
mod objects;
mod openshift;
mod refusals;
mod sending;
mod settings;
mod shop;
