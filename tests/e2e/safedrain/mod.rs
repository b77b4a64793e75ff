//! `kubectl safedrain` on the real control plane.

mod budgets;
mod dry_run;
mod many;
mod marks;
mod refusals;
mod single_replica;
