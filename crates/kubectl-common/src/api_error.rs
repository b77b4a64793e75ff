//! Says in a person's words why a call to the API server did not succeed, and what can be done about it.
//!
//! Replies that a run expects (a budget that blocks, a pod that is gone) are not told here: they are not errors.

use std::error::Error as StdError;
use std::time::Duration;
use std::{fmt, io, iter};

use kube::client::AuthError;
use kube::core::Status;
use rustls::CertificateError;

use crate::connect::{ClusterIdentity, ServerTrust};
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy, joined_chain, shell_word};

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError(Box<FailedCall>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FailedCall {
    attempt: String,
    problem: ApiProblem,
    context: String,
    server: String,
    user: String,
}

/// What stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiProblem {
    /// The user has no right to it.
    Forbidden(Denied),
    /// An admission rule or a quota refuses it; the server's words.
    Denied(String),
    /// The server does not accept the credentials.
    Unauthorized,
    /// No credentials could be had; why.
    Credentials(String),
    /// The server cannot be reached; why.
    Unreachable(String),
    /// The name of the server cannot be resolved; why.
    UnknownHost(String),
    /// The server, or a proxy on the way, did not answer in time.
    TimedOut {
        /// The limit, where it was ours.
        limit: Option<Duration>,
    },
    /// The server's certificate is not believed.
    Certificate {
        /// What is wrong with it.
        fault: CertificateFault,
        /// Who would have to vouch for it.
        trust: ServerTrust,
    },
    /// The server does not speak TLS, or not the TLS we speak; why.
    Tls(String),
    /// The server speaks TLS, and the address says that it does not.
    NoTls,
    /// The object does not exist; the server's words.
    NotFound(String),
    /// The server is overloaded or has trouble; its words.
    ServerTrouble {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// The server refuses the request for another reason; its words.
    Rejected {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// Something else; why.
    Other(String),
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateFault {
    /// Nobody who is trusted has signed it.
    UnknownAuthority,
    /// Its time is over.
    Expired,
    /// Its time has not begun, or the clock of this machine is wrong.
    NotYetValid,
    /// It belongs to a server of another name.
    OtherName,
    /// Something else; why.
    Other(String),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority => f.write_str("is signed by an authority that is not trusted"),
            Self::Expired => f.write_str("has expired"),
            Self::NotYetValid => f.write_str("is not valid yet"),
            Self::OtherName => f.write_str("is for another name"),
            Self::Other(why) => write!(f, "is not accepted: {why}"),
        }
    }
}

/// A right that a user does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The user as the server knows them, which may differ from the name in the kubeconfig.
    pub user: String,
    /// The verb, such as `list`.
    pub verb: String,
    /// The resource, with its sub-resource: `pods/eviction`.
    pub resource: String,
    /// The API group; empty is the core group.
    pub group: String,
    /// The namespace; `None` is the whole cluster.
    pub namespace: Option<String>,
}

impl Denied {
    /// Reads the sentence in which RBAC denies a right; other reasons for 403 have other sentences.
    ///
    /// The sentence is made in `forbiddenMessage` of
    /// <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go>.
    fn read(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.strip_prefix(" in the namespace \"").and_then(|rest| rest.split_once('"'));
        Some(Self {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            group: group.to_owned(),
            namespace: namespace.map(|(name, _)| name.to_owned()),
        })
    }

    /// Returns the resource with its group, as kubectl takes it.
    fn full_resource(&self) -> String {
        let resource = self.resource.split('/').next().unwrap_or(&self.resource);
        if self.group.is_empty() { resource.to_owned() } else { format!("{resource}.{}", self.group) }
    }

    /// Returns the kubectl arguments that ask for this right.
    fn question(&self) -> String {
        let mut words = vec![format!("auth can-i {} {}", self.verb, self.full_resource())];
        if let Some((_, subresource)) = self.resource.split_once('/') {
            words.push(format!("--subresource={subresource}"));
        }
        words.push(self.namespace.as_ref().map_or_else(|| "-A".to_owned(), |namespace| format!("-n {namespace}")));
        words.join(" ")
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {:?} may not {} {}", self.user, self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, " of {}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

/// Returns a kubectl command that asks the cluster of this context, or where there is none this server.
pub(crate) fn kubectl(arguments: &str, context: &str, server: &str) -> String {
    if context.is_empty() {
        format!("kubectl {arguments} --server {}", shell_word(server))
    } else {
        format!("kubectl {arguments} --context {}", shell_word(context))
    }
}

impl FailedCall {
    /// Returns a kubectl command that asks the same cluster.
    fn kubectl(&self, arguments: &str) -> Remedy {
        Remedy::Command(kubectl(arguments, &self.context, &self.server))
    }
}

impl ApiError {
    /// Returns what stood in the way.
    pub fn problem(&self) -> &ApiProblem {
        &self.0.problem
    }

    /// Returns how the process exits if nothing has been changed yet.
    pub fn status(&self) -> ExitStatus {
        match self.0.problem {
            ApiProblem::Forbidden(_)
            | ApiProblem::Denied(_)
            | ApiProblem::Unauthorized
            | ApiProblem::Credentials(_)
            | ApiProblem::Certificate { .. }
            | ApiProblem::Tls(_)
            | ApiProblem::NoTls
            | ApiProblem::NotFound(_)
            | ApiProblem::Unreachable(_)
            | ApiProblem::UnknownHost(_)
            | ApiProblem::TimedOut { .. }
            | ApiProblem::ServerTrouble { .. } => ExitStatus::Refused,
            ApiProblem::Rejected { .. } | ApiProblem::Other(_) => ExitStatus::Unexpected,
        }
    }
}

impl StdError for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailedCall { attempt, problem, server, user, context: _ } = &*self.0;
        write!(f, "cannot {attempt}: ")?;
        match problem {
            ApiProblem::Forbidden(denied) => write!(f, "{denied}"),
            ApiProblem::Unauthorized => write!(f, "{server} does not accept the credentials of {user}"),
            ApiProblem::Unreachable(why) => write!(f, "{server} cannot be reached: {why}"),
            ApiProblem::UnknownHost(why) => write!(f, "the name of {server} cannot be resolved: {why}"),
            ApiProblem::TimedOut { limit: None } => write!(f, "{server} did not answer in time"),
            ApiProblem::TimedOut { limit: Some(limit) } => {
                write!(f, "{server} did not answer within {} s", limit.as_secs_f32())
            }
            ApiProblem::Certificate { fault, trust } => {
                write!(f, "the certificate of {server} {fault} (checked against {trust})")
            }
            ApiProblem::Tls(why) => write!(f, "{server} cannot be spoken to by TLS: {why}"),
            ApiProblem::NoTls => write!(f, "{server} speaks TLS, and its address says http"),
            ApiProblem::ServerTrouble { code, message } => write!(f, "{server} has trouble ({code}): {message}"),
            ApiProblem::Rejected { code, message } => write!(f, "{message} ({code})"),
            ApiProblem::Denied(why)
            | ApiProblem::Credentials(why)
            | ApiProblem::NotFound(why)
            | ApiProblem::Other(why) => f.write_str(why),
        }
    }
}

impl Remedies for ApiError {
    fn remedies(&self) -> Vec<Remedy> {
        match &self.0.problem {
            ApiProblem::Forbidden(denied) => vec![self.0.kubectl(&denied.question())],
            ApiProblem::Unauthorized => vec![
                Remedy::Explain("the token or certificate may have expired: log in again.".into()),
                self.0.kubectl("auth whoami"),
            ],
            ApiProblem::Credentials(_) => vec![self.0.kubectl("auth whoami")],
            ApiProblem::Unreachable(_) | ApiProblem::UnknownHost(_) | ApiProblem::TimedOut { .. } => vec![
                self.0.kubectl("cluster-info"),
                Remedy::Explain("check network, VPN and proxy, and that the context is the one you mean.".into()),
                Remedy::Command("kubectl config get-contexts".into()),
            ],
            ApiProblem::Certificate { fault: CertificateFault::OtherName, .. } => {
                vec![Remedy::Flag("--tls-server-name NAME".into())]
            }
            ApiProblem::Certificate { fault: CertificateFault::Expired, .. } => {
                vec![Remedy::Explain("the certificate has to be renewed on the server.".into())]
            }
            ApiProblem::Certificate { fault: CertificateFault::NotYetValid, .. } => {
                vec![Remedy::Explain("check the clock of this machine.".into())]
            }
            ApiProblem::Certificate { .. } => vec![
                Remedy::Flag("--certificate-authority FILE".into()),
                Remedy::Explain("the kubeconfig may be older than the cluster: fetch it again.".into()),
            ],
            ApiProblem::Tls(_) => {
                vec![Remedy::Explain(format!("check the scheme and the port of {}.", self.0.server))]
            }
            ApiProblem::NoTls => {
                let server = self.0.server.replacen("http:", "https:", 1);
                vec![Remedy::Flag(format!("--server {}", shell_word(&server)))]
            }
            ApiProblem::ServerTrouble { .. } => vec![self.0.kubectl("get --raw /readyz?verbose")],
            ApiProblem::Denied(_) | ApiProblem::NotFound(_) | ApiProblem::Rejected { .. } | ApiProblem::Other(_) => {
                Vec::new()
            }
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new(error.status(), &error)
    }
}

pub(crate) fn explain(error: &kube::Error, attempt: &str, cluster: &ClusterIdentity, trust: &ServerTrust) -> ApiError {
    let problem = match error {
        kube::Error::Api(status) => status_problem(status),
        other => transport_problem(other, trust),
    };
    told(problem, attempt, cluster)
}

/// Tells of a call that no answer came to within `limit`.
pub(crate) fn no_answer(limit: Duration, attempt: &str, cluster: &ClusterIdentity) -> ApiError {
    told(ApiProblem::TimedOut { limit: Some(limit) }, attempt, cluster)
}

fn told(problem: ApiProblem, attempt: &str, cluster: &ClusterIdentity) -> ApiError {
    ApiError(Box::new(FailedCall {
        attempt: attempt.to_owned(),
        problem,
        context: cluster.context.clone(),
        server: cluster.server.clone(),
        user: cluster.user.clone(),
    }))
}

fn status_problem(status: &Status) -> ApiProblem {
    let message = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match (status.code, Denied::read(&message)) {
        (401, _) => ApiProblem::Unauthorized,
        (403, Some(denied)) => ApiProblem::Forbidden(denied),
        (403, None) => ApiProblem::Denied(message),
        (404, _) => ApiProblem::NotFound(message),
        (408 | 504, _) => ApiProblem::TimedOut { limit: None },
        // Go's TLS server says so in plain HTTP.
        (400, _) if message.contains("HTTP request to an HTTPS server") => ApiProblem::NoTls,
        (code @ (429 | 500..), _) => ApiProblem::ServerTrouble { code, message },
        (code, _) => ApiProblem::Rejected { code, message },
    }
}

fn transport_problem(error: &kube::Error, trust: &ServerTrust) -> ApiProblem {
    for cause in causes(error) {
        if let Some(error) = cause.downcast_ref::<AuthError>() {
            return ApiProblem::Credentials(credential_words(error));
        }
        if let Some(error) = cause.downcast_ref::<kube::config::KubeconfigError>() {
            return ApiProblem::Credentials(joined_chain(error));
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return tls_problem(error, trust);
        }
    }
    let lasts = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
    let root = causes(error).last().map(ToString::to_string).unwrap_or_default();
    match lasts.map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => ApiProblem::TimedOut { limit: None },
        Some(_) if joined_chain(error).contains("dns error") => ApiProblem::UnknownHost(root),
        Some(_) => ApiProblem::Unreachable(root),
        None => match error {
            kube::Error::HyperError(_) | kube::Error::Service(_) => ApiProblem::Unreachable(root),
            other => ApiProblem::Other(joined_chain(other)),
        },
    }
}

fn tls_problem(error: &rustls::Error, trust: &ServerTrust) -> ApiProblem {
    let distrusted = |fault| ApiProblem::Certificate { fault, trust: trust.clone() };
    match error {
        rustls::Error::InvalidCertificate(why) => distrusted(match why {
            CertificateError::UnknownIssuer => CertificateFault::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFault::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFault::OtherName
            }
            other => CertificateFault::Other(other.to_string()),
        }),
        rustls::Error::AlertReceived(_) => ApiProblem::Credentials(format!("the server ended the handshake: {error}")),
        other => ApiProblem::Tls(other.to_string()),
    }
}

/// Says what went wrong with a credential plugin, never what it printed: that may be a token.
fn credential_words(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(source) => {
            format!("the credential plugin of the kubeconfig cannot be started: {source}")
        }
        AuthError::AuthExecRun { cmd: _, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().map(str::trim).find(|line| !line.is_empty());
            let said = said.map(|line| format!(": {line}")).unwrap_or_default();
            format!("the credential plugin of the kubeconfig failed with {}{said}", out.status)
        }
        AuthError::AuthExecParse(_) => "the credential plugin of the kubeconfig printed no credential".to_owned(),
        other => joined_chain(other),
    }
}

/// Walks an error and all its sources. An `io::Error` hides the error inside it from `source`, so it is opened.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |cause| {
        let cause: &'a (dyn StdError + 'static) = *cause;
        let inside = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside as &(dyn StdError + 'static)),
            None => cause.source(),
        }
    })
}

#[cfg(test)]
mod tests;
