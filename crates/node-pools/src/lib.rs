//! What a node pool is, which pools a cluster has, and how one is copied, frozen, resized and retired: pure decisions
//! over documents that somebody else has read.
//!
//! ```text
//! Inventory (what was read) ─► PoolReader::pools  ─► Directory of Pools and their nodes
//!                          └─► PoolProvider::copy  ─► CopyPlan { documents, steps, changes, findings }
//! ```
//!
//! A pool is copied as the raw document that the server returned, with what the server sets taken out and what the copy
//! must change changed; every such edit is recorded by [`document::Editor`] with its reason. So a field that is newer
//! than this program is copied like any other. Nothing is remembered outside the cluster: a plan made while a copy is
//! half made holds only the steps that are missing.

pub mod address;
pub mod copy_plan;
pub mod difference;
pub mod directory;
pub mod document;
pub mod finding;
pub mod inventory;
pub mod labels;
pub mod mark;
pub mod name;
pub mod node;
pub mod node_label;
pub mod one_document;
pub mod pinned;
pub mod pool;
pub mod provider;
pub mod providers;
pub mod raw;
pub mod shrinking;
pub mod step;
