//! The rehearsal against what then happens: one replacement at a time, and whole nodes.

mod aspects;
mod live_scheduler;
mod sketch;
mod town;
mod whole_node;
mod world;
