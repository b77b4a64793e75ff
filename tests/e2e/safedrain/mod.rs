//! `kubectl safedrain` on the real control plane.

mod bad_input;
mod budgets;
mod consents;
mod dead_ends;
mod documented;
mod dry_run;
mod eviction_replies;
mod given_away;
mod lock;
mod many;
mod marks;
mod meanwhile;
mod moved;
mod obstacles;
mod onto;
mod operators;
mod order;
mod rbac;
mod record;
mod refusals;
mod refused;
mod replacements;
mod several_nodes;
mod single_replica;
mod turns;
mod volumes;
