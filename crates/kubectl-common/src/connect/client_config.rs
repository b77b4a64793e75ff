//! Turns a target into the configuration of kube's client, without kube reading the process environment.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{HeaderValue, InvalidHeaderValue, USER_AGENT};
use http::uri::{InvalidUri, Scheme};
use http::{HeaderName, Uri};
use kube::Config;
use kube::config::{Cluster, ExecAuthCluster};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use thiserror::Error;

use super::proxy;
use super::target::Target;
use crate::environment::Environment;
use crate::failure::{Remedies, Remedy};
use crate::identity::PluginIdentity;

/// Three retries of a lost SYN fit in it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence on one connection, after which it is given up. A kube-apiserver answers or refuses a request within 60 s, and
/// sends every watch a bookmark about once a minute even when nothing changes: what is silent for longer is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// A part of the connection that cannot be used as configured.
#[derive(Debug, Error)]
pub enum ClientConfigError {
    /// The address of the API server is not a URL.
    #[error("the server address {server:?} is not a valid URL")]
    Server {
        /// The address as configured.
        server: String,
        /// What the parser said; nothing when only the host is missing.
        #[source]
        source: Option<InvalidUri>,
    },
    /// The file or the data of the certificate authority cannot be read.
    #[error("cannot read {trust}")]
    ReadAuthority {
        /// What was to be read.
        trust: ServerTrust,
        /// What kube said.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// The certificate authority is not PEM.
    #[error("{trust} is not a PEM certificate")]
    ParseAuthority {
        /// What was read.
        trust: ServerTrust,
        /// What the parser said; nothing when it found no certificate.
        #[source]
        source: Option<pem::Error>,
    },
    /// The plugin's name does not fit in a header.
    #[error("cannot send the user agent")]
    UserAgent(#[source] InvalidHeaderValue),
}

impl Remedies for ClientConfigError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::Server { .. } => {
                vec![Remedy::Explain("an example of an address is https://api.example.com:6443.".into())]
            }
            Self::ReadAuthority { .. } | Self::ParseAuthority { .. } => {
                vec![Remedy::Flag("--certificate-authority FILE".into())]
            }
            Self::UserAgent(_) => Vec::new(),
        }
    }
}

/// Whom the client believes about the server's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// The certificate authorities of the operating system.
    System,
    /// The certificate authorities in a file.
    File(PathBuf),
    /// The certificate authorities in the kubeconfig itself.
    Inline,
    /// Anybody.
    Unchecked,
}

impl ServerTrust {
    fn of(cluster: &Cluster) -> Self {
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Self::Unchecked;
        }
        match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
            (Some(_), _) => Self::Inline,
            (None, Some(file)) => Self::File(PathBuf::from(file)),
            (None, None) => Self::System,
        }
    }
}

impl std::fmt::Display for ServerTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("the certificate authorities of this system"),
            Self::File(file) => write!(f, "the certificate authority file {}", file.display()),
            Self::Inline => f.write_str("the certificate-authority-data of the kubeconfig"),
            Self::Unchecked => f.write_str("no certificate authority"),
        }
    }
}

/// Builds the configuration; the client's own retries are off, so that every wait is an event that can be shown.
pub(crate) fn build(
    target: &Target,
    plugin: &PluginIdentity,
    environment: &Environment,
) -> Result<(Config, ServerTrust), super::ConnectError> {
    let cluster = &target.cluster;
    let server = server_uri(target)?;
    let trust = ServerTrust::of(cluster);
    // This conversion is kube's only public reader of certificate authorities, file or inline.
    let exec_cluster = ExecAuthCluster::try_from(cluster)
        .map_err(|error| ClientConfigError::ReadAuthority { trust: trust.clone(), source: Box::new(error) })?;

    let mut config = Config::new(server);
    config.root_cert = match &exec_cluster.certificate_authority_data {
        Some(pem) => Some(certificates(pem, &trust)?),
        None => None,
    };
    config.accept_invalid_certs = trust == ServerTrust::Unchecked;
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.proxy_url = proxy::decide(&config.cluster_url, cluster.proxy_url.as_deref(), environment)?;
    config.auth_info = target.auth_info.clone();
    if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(exec_cluster);
    }
    if let Some(namespace) = &target.namespace {
        config.default_namespace.clone_from(namespace);
    }
    config.headers.push(user_agent(plugin)?);
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Ok((config, trust))
}

/// Parses the server's address; one without a scheme is https if the target says anything about TLS, as in client-go.
fn server_uri(target: &Target) -> Result<Uri, ClientConfigError> {
    let cluster = &target.cluster;
    let server = cluster.server.clone().unwrap_or_default();
    let uses_tls = cluster.certificate_authority.is_some()
        || cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true)
        || target.auth_info.client_certificate.is_some()
        || target.auth_info.client_certificate_data.is_some();
    let url = match (server.contains("://"), uses_tls) {
        (true, _) => server.clone(),
        (false, true) => format!("https://{server}"),
        (false, false) => format!("http://{server}"),
    };
    let uri: Uri =
        url.parse().map_err(|error| ClientConfigError::Server { server: server.clone(), source: Some(error) })?;
    let is_web = uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP);
    if !is_web || uri.host().is_none_or(str::is_empty) {
        return Err(ClientConfigError::Server { server, source: None });
    }
    Ok(uri)
}

fn certificates(pem: &[u8], trust: &ServerTrust) -> Result<Vec<Vec<u8>>, ClientConfigError> {
    let parsed: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).map(|found| found.map(|certificate| certificate.to_vec())).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => {
            Err(ClientConfigError::ParseAuthority { trust: trust.clone(), source: None })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(ClientConfigError::ParseAuthority { trust: trust.clone(), source: Some(error) }),
    }
}

fn user_agent(plugin: &PluginIdentity) -> Result<(HeaderName, HeaderValue), ClientConfigError> {
    HeaderValue::from_str(&plugin.user_agent()).map(|value| (USER_AGENT, value)).map_err(ClientConfigError::UserAgent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::SAFEDRAIN;

    fn target(server: &str) -> Target {
        let cluster = Cluster { server: Some(server.to_owned()), ..Cluster::default() };
        Target { cluster, ..Target::default() }
    }

    fn config(target: &Target) -> Config {
        build(target, &SAFEDRAIN, &Environment::default()).unwrap().0
    }

    #[test]
    fn the_client_never_retries_on_its_own_and_says_who_it_is() {
        let config = config(&target("https://api:6443"));
        assert!(!config.default_retry);
        assert!(config.connect_timeout.is_some() && config.read_timeout.is_some() && config.reset_reader_on_write);
        let (name, value) = config.headers.first().unwrap();
        assert_eq!(name, USER_AGENT);
        assert!(value.to_str().unwrap().starts_with("kubectl-safedrain/v0.1.0 ("));
    }

    #[test]
    fn an_address_without_a_scheme_is_https_only_if_tls_is_configured() {
        assert_eq!(config(&target("api:8080")).cluster_url.to_string(), "http://api:8080/");
        let mut with_tls = target("api:6443");
        with_tls.cluster.insecure_skip_tls_verify = Some(true);
        let config = config(&with_tls);
        assert_eq!(config.cluster_url.to_string(), "https://api:6443/");
        assert!(config.accept_invalid_certs);
    }

    #[test]
    fn a_server_that_is_no_url_is_named() {
        for server in ["https://", "ftp://api", "https://a b", ""] {
            let error = build(&target(server), &SAFEDRAIN, &Environment::default()).unwrap_err();
            assert!(error.to_string().contains(&format!("{server:?}")), "{server}: {error}");
        }
    }

    #[test]
    fn a_bad_certificate_authority_is_named() {
        let mut missing = target("https://api");
        missing.cluster.certificate_authority = Some("/nowhere/ca.crt".into());
        let error = build(&missing, &SAFEDRAIN, &Environment::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the certificate authority file /nowhere/ca.crt");

        let mut empty = target("https://api");
        empty.cluster.certificate_authority_data = Some("aGVsbG8=".into());
        let error = build(&empty, &SAFEDRAIN, &Environment::default()).unwrap_err();
        assert_eq!(error.to_string(), "the certificate-authority-data of the kubeconfig is not a PEM certificate");
    }
}
