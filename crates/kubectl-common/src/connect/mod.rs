//! From flags, kubeconfig and environment to a client of exactly the cluster that was meant.
//!
//! kube's own inference is not used: it falls back to another cluster when a file does not load, retries on its own and
//! compares `NO_PROXY` with the wrong host. Here each doubt is an error that names the file, context or flag.

mod client_config;
mod connection;
mod in_cluster;
mod kubeconfig;
mod overrides;
mod proxy;
mod target;

pub use client_config::{ClientConfigError, ServerTrust};
pub use connection::{ClusterIdentity, ConnectError, Connection, connect};
pub use in_cluster::InClusterError;
pub use kubeconfig::KubeconfigError;
pub use overrides::OverrideError;
pub use proxy::ProxyError;
pub use target::TargetError;
