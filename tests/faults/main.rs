//! What networks, servers, operating systems and people do in the middle of a run.
//!
//! | module | what it is |
//! |---|---|
//! | [`guest_lane`] | virtual machines on two nodes, the same for `kubectl vmievict` |
//! | [`lane`] | workloads on two nodes that are drained to and fro |
//! | [`sample`] | how much of it is run: all with `HANDOVER_FULL=1`, else a sample drawn from `HANDOVER_SEED` |
//! | [`kill_matrix`] | kill -9, INT and TERM before and after every request |
//! | [`schedules`] | many faults at once, by a seed |
//! | [`invariants`] | what must hold of every run's requests, whatever happened to them |
//! | [`silence`] | watches that fall silent, an API server that restarts |

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step is a failed test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "how much is run is said by the environment, and how long it took is told"
)]

mod guest_lane;
mod invariants;
mod kill_matrix;
mod lane;
mod sample;
mod schedules;
mod silence;
