//! The harness of the end-to-end tests: a real control plane, workloads on it, and proofs of what a plugin did.
//!
//! | module | what it is |
//! |---|---|
//! | [`control_plane`] | etcd, kube-apiserver, controllers and scheduler as processes on loopback, with kwok as the kubelets |
//! | [`namespace`] | the part of the cluster that one test owns, and the user it acts as |
//! | [`node`], [`workload`] | builders of what a test needs there |
//! | [`roles`] | the roles in docs/rbac, bound to a user whole or with one right less |
//! | [`wait`] | waiting for a condition by watching, with a deadline |
//! | [`endpoints`] | the record of every change of a Service's ready endpoints |
//! | [`audit`] | every request that a user sent, as the server saw it |
//! | [`metrics`] | a stand-in for metrics-server, from which the real autoscaler of pods takes its numbers |
//! | [`kubevirt`] | a stand-in for KubeVirt |
//! | [`cluster_api`] | the genuine core manager of Cluster API, and a provider whose machines are nodes of kwok |
//! | [`karpenter`] | the genuine Karpenter, with a provider whose machines are nodes of kwok |
//! | [`fault_proxy`] | what stands between a plugin and the API server and does both of them harm |
//! | [`eviction_webhook`] | a webhook that denies evictions of the pods that a test names |
//! | [`openshift`] | OpenShift's own custom resources, and a small stand-in for the controller of its MachineSets |
//! | [`sample`] | how much is run: everything, or a sample that a seed draws |
//! | [`scheduling`] | small clusters, drawn by a seed, that are full of what the scheduler's filters are about |
//! | [`scheduler_oracle`] | the scheduler's own filters, asked about such clusters |
//! | [`plugin`] | the plugins, run through the real kubectl |
//!
//! A step of the harness that fails ends the test at once with a message that says which: nothing here returns an error.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a failed step of the harness is a failed test; its message says what failed"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "this crate is where a run starts: it reads the environment and a clock so that nothing else has to"
)]

pub mod audit;
mod background;
mod changes;
pub mod cluster_api;
pub mod control_plane;
pub mod endpoints;
pub mod eviction_webhook;
pub mod fault_proxy;
pub mod karpenter;
pub mod kubevirt;
mod manifest;
pub mod metrics;
pub mod namespace;
pub mod node;
pub mod openshift;
pub mod plugin;
mod rest;
pub mod roles;
pub mod sample;
pub mod scheduler_oracle;
pub mod scheduling;
mod tls;
mod tls_server;
pub mod wait;
pub mod workload;

pub use audit::{AuditEvent, AuditLog};
pub use cluster_api::ClusterApi;
pub use control_plane::{ControlPlane, User};
pub use endpoints::{EndpointRecorder, Sample};
pub use eviction_webhook::{Denial, EvictionWebhook};
pub use fault_proxy::{Fault, FaultProxy, Schedule};
pub use karpenter::Karpenter;
pub use kubevirt::KubeVirt;
pub use metrics::Metrics;
pub use namespace::{NAMESPACE_LABEL, Namespace};
pub use openshift::OpenShift;
pub use plugin::{Invocation, Kubectl, Plugin, Run, Running, packages_folder};
pub use roles::{Grant, Roles};
pub use scheduler_oracle::SchedulerOracle;
pub use wait::eventually;
