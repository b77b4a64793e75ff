//! The connection that a run works with, and what it says about itself.

use std::fmt;
use std::io;
use std::time::Duration;

use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use serde::Serialize;
use thiserror::Error;
use tower::buffer::BufferLayer;

use super::client_config::{self, ClientConfigError, ServerTrust};
use super::in_cluster::{self, InClusterError};
use super::kubeconfig::{self, KubeconfigError};
use super::overrides::{self, OverrideError};
use super::proxy::ProxyError;
use super::target::{self, Target, TargetError};
use crate::api_error::{self, ApiError};
use crate::environment::Environment;
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};
use crate::flags::KubeFlags;
use crate::identity::PluginIdentity;

/// Why there is no connection. Nothing has been asked of any server yet.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The kubeconfig does not say what is meant.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Flags contradict the kubeconfig or each other.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// The pod's service account cannot be read.
    #[error(transparent)]
    InCluster(#[from] InClusterError),
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A configured value cannot be used.
    #[error(transparent)]
    ClientConfig(#[from] ClientConfigError),
    /// The credentials cannot be used; no request was sent.
    #[error(transparent)]
    Client(ApiError),
}

impl ConnectError {
    /// Returns how the process exits.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Kubeconfig(error) => error.status(),
            Self::Target(error) => error.status(),
            Self::Override(error) => error.status(),
            Self::InCluster(_) | Self::Proxy(_) | Self::ClientConfig(_) => ExitStatus::Refused,
            Self::Client(error) => error.status(),
        }
    }
}

impl Remedies for ConnectError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::Kubeconfig(error) => error.remedies(),
            Self::Target(error) => error.remedies(),
            Self::Override(error) => error.remedies(),
            Self::InCluster(error) => error.remedies(),
            Self::Proxy(error) => error.remedies(),
            Self::ClientConfig(error) => error.remedies(),
            Self::Client(error) => error.remedies(),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(error.status(), &error)
    }
}

/// Which cluster a run works on, and as whom: the first line of every plan and prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterIdentity {
    /// The context; empty when `--server` or `--cluster` is used without any.
    pub context: String,
    /// The address of the API server.
    pub server: String,
    /// The user that is acted as, else the user of the kubeconfig, else the flag that brings the credentials.
    pub user: String,
}

impl fmt::Display for ClusterIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.context.is_empty() {
            write!(f, "context {}, ", self.context)?;
        }
        write!(f, "server {}, user {}", self.server, self.user)
    }
}

/// A client of one cluster.
#[derive(Clone)]
pub struct Connection {
    /// The client; it never retries on its own.
    pub client: Client,
    /// Which cluster it is.
    pub cluster: ClusterIdentity,
    /// The namespace of `-n`, else of the context, else `default`.
    pub namespace: String,
    /// The limit of one call that is not a watch; `None` is no limit. [`Connection::call`] applies it.
    pub request_timeout: Option<Duration>,
    trust: ServerTrust,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client: _, cluster, namespace, request_timeout, trust } = self;
        f.debug_struct("Connection")
            .field("cluster", cluster)
            .field("namespace", namespace)
            .field("request_timeout", request_timeout)
            .field("trust", trust)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Awaits one call, for at most the `--request-timeout`. Not for watches, which live longer.
    pub async fn call<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        match self.request_timeout {
            None => request.await,
            Some(limit) => tokio::time::timeout(limit, request).await.unwrap_or_else(|elapsed| {
                Err(kube::Error::Service(Box::new(io::Error::new(io::ErrorKind::TimedOut, elapsed))))
            }),
        }
    }

    /// Returns a command line of kubectl that asks the same cluster, for a remedy.
    pub fn kubectl(&self, arguments: &str) -> String {
        api_error::kubectl(arguments, &self.cluster.context, &self.cluster.server)
    }

    /// Says in a person's words that no answer to `attempt`, such as `list pods`, came within `limit`.
    pub fn no_answer(&self, attempt: &str, limit: Duration) -> ApiError {
        api_error::no_answer(limit, attempt, &self.cluster)
    }

    /// Says in a person's words why `attempt`, such as `list pods`, did not succeed.
    pub fn explain(&self, error: &kube::Error, attempt: &str) -> ApiError {
        api_error::explain(error, attempt, &self.cluster, &self.trust)
    }
}

/// Connects to the cluster that flags, kubeconfig or service account name, in this order. Sends no request, but runs
/// the credential plugin of the kubeconfig, which may ask the user: nothing else may use the terminal meanwhile.
///
/// The service account of a pod is used only if no kubeconfig exists and no flag names a cluster or brings credentials.
pub async fn connect(
    flags: &KubeFlags,
    plugin: &'static PluginIdentity,
    environment: &Environment,
) -> Result<Connection, ConnectError> {
    let target = resolve(flags, environment)?;
    let cluster = identify(&target, flags);
    let (config, trust) = client_config::build(&target, plugin, environment)?;
    let namespace = config.default_namespace.clone();
    let client = client(config).map_err(|error| {
        let attempt = format!("log in as {}", cluster.user);
        ConnectError::Client(api_error::explain(&error, &attempt, &cluster, &trust))
    })?;
    Ok(Connection { client, cluster, namespace, request_timeout: flags.request_timeout.limit(), trust })
}

/// Builds the client. kube would run a credential plugin three times, and so ask the user three times: once for a token
/// and twice more in search of a client certificate, which a plugin that gives a token does not have.
fn client(mut config: Config) -> kube::Result<Client> {
    if config.auth_info.exec.is_some()
        && let Some(authorization) = config.auth_layer()?
    {
        config.auth_info.exec = None;
        // The authorization needs something that can be cloned below it; the size is that of kube's own buffer.
        let unauthorized = ClientBuilder::try_from(config)?.with_layer(&BufferLayer::new(1024));
        return Ok(unauthorized.with_layer(&authorization).build());
    }
    Ok(ClientBuilder::try_from(config)?.build())
}

fn resolve(flags: &KubeFlags, environment: &Environment) -> Result<Target, ConnectError> {
    let loaded = kubeconfig::load(flags.kubeconfig.as_deref(), environment)?;
    let pod = match &loaded {
        None if !flags.names_a_cluster() => in_cluster::target(environment)?,
        None | Some(_) => None,
    };
    let mut target = match pod {
        Some(pod) => pod,
        None => target::choose(loaded.unwrap_or_default(), flags)?,
    };
    overrides::apply(&mut target, flags)?;
    if target.cluster.server.is_none() {
        let cluster = target.cluster_name.unwrap_or_default();
        return Err(TargetError::NoServer { cluster }.into());
    }
    Ok(target)
}

fn identify(target: &Target, flags: &KubeFlags) -> ClusterIdentity {
    let credentials = if flags.token.is_some() {
        Some("the bearer of --token".to_owned())
    } else if flags.client_certificate.is_some() || flags.client_key.is_some() {
        Some("the owner of --client-certificate".to_owned())
    } else {
        flags.username.clone()
    };
    let user = target.auth_info.impersonate.clone().or(credentials).or_else(|| target.user.clone());
    ClusterIdentity {
        context: target.context.clone().unwrap_or_default(),
        server: target.cluster.server.clone().unwrap_or_default(),
        user: user.unwrap_or_else(|| "system:anonymous".to_owned()),
    }
}

#[cfg(test)]
mod tests;
