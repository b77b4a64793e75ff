//! The end-to-end tests: one program, so that all of them share one control plane.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is tests; clippy exempts only functions that are marked as such, not those they call"
)]

mod control_plane;
mod kubelet;
mod kubevirt;
mod metrics;
mod recording;
mod rehearsal;
mod relied_on;
mod running;
mod safedrain;
mod vmievict;
