//! The end-to-end tests: one program, so that all of them share one control plane.

mod control_plane;
mod kubelet;
mod recording;
mod running;
