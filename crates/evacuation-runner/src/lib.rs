//! The edge between the pure engine and the API server.
//!
//! * [`observe`] lists what a plan needs into a `ClusterSnapshot`.
//! * [`scheduler_view`] lists what tells whether pods find room elsewhere.
//! * [`virtual_machines`] looks for KubeVirt, and adds what it holds.
//! * [`live_view::LiveView`] keeps such a snapshot current by watches.
//! * [`lease::LeaseGuard`] is the right to write: without one there is no [`actions::ClusterActions`].
//! * [`actions::ClusterActions`] performs one engine command as one API call.
//! * [`run::run`] is the only loop: view, answers, timers, interrupts and the lease feed the engine.

pub mod actions;
mod attachments;
mod dynamic;
mod eviction_request;
mod guest_actions;

pub mod cluster_events;
pub mod documents;
mod kubevirt_api;
pub mod lease;
pub mod live_view;
pub mod new_pods;
pub mod observe;
pub mod precedence;
pub mod preflight;
pub mod rights;
pub mod routes;
pub mod run;
pub mod scheduler_view;
pub mod virtual_machines;
