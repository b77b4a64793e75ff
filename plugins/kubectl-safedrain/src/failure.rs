//! Why a drain does not begin, or ended early, with what to do about it.

use cluster_model::identity::NodeName;
use cluster_model::marks::UnknownMark;
use cluster_model::selector::SelectorError;
use evacuation_runner::access::CallError;
use evacuation_runner::lease::LeaseError;
use evacuation_runner::preflight::Right;
use kubectl_common::api_error::ApiError;
use kubectl_common::connect::Connection;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::{Failure, Remedies, Remedy};
use thiserror::Error;

/// What this plugin itself has to complain of.
#[derive(Debug, Error)]
pub(crate) enum DrainError {
    #[error("no node given: USAGE: kubectl safedrain NODE… | -l SELECTOR [flags]")]
    NoNode,
    #[error("cannot specify both a node name and a --selector option")]
    NodesAndSelector,
    #[error("--selector is empty: it must choose some nodes")]
    EmptySelector,
    #[error("{0:?} is not a node: only node/NAME or NAME can be drained")]
    NotANode(String),
    #[error("unknown shell {0:?}")]
    UnknownShell(String),
    #[error("--grace-period {0} is too long")]
    GracePeriod(i64),
    #[error("--dry-run=server and --{0} do not go together")]
    NoRehearsal(&'static str),
    #[error("node {name} does not exist in this cluster; no node was touched")]
    UnknownNode { name: String, similar: Vec<String> },
    #[error("{} in the way; nothing was changed", if *.refusals == 1 { "1 pod stands".to_owned() } else { format!("{refusals} pods stand") })]
    Refused { refusals: usize, flags: Vec<String> },
    #[error("the cluster has moved since the plan was shown, and nobody said to go on; nothing was changed")]
    Moved,
    #[error("you may not {right}{}, which this needs; nothing was changed", where_words(.namespaces))]
    MayNot { right: Right, namespaces: Vec<String> },
    #[error("node {node} carries a mark that is not understood; nothing was changed")]
    UnknownMark {
        node: NodeName,
        #[source]
        mark: UnknownMark,
    },
    #[error("--pod-selector cannot be read")]
    PodSelector(#[source] SelectorError),
    #[error("--field-manager is longer than 128 characters")]
    FieldManager,
    #[error("the lease was lost before anything was changed: {0}")]
    LeaseLostEarly(String),
    #[error("interrupted before anything was changed")]
    InterruptedEarly,
    #[error("the watches brought no news within 60 s; nothing was changed")]
    NotSynced,
    #[error("the signals of this process cannot be received")]
    Signals(#[source] std::io::Error),
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
    #[error("no answer to {attempt} within {seconds} s; nothing was changed")]
    NoAnswer { attempt: String, seconds: u64 },
    #[error(transparent)]
    Lease(LeaseError),
}

impl Remedies for DrainError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::NoNode | Self::NodesAndSelector => vec![Remedy::Command("kubectl safedrain --help".to_owned())],
            Self::EmptySelector => vec![Remedy::Command("kubectl get nodes --show-labels".to_owned())],
            Self::NotANode(_) => vec![Remedy::Command("kubectl get nodes".to_owned())],
            Self::UnknownShell(_) => {
                vec![Remedy::Explain("the shells are bash, elvish, fish, powershell and zsh".to_owned())]
            }
            Self::GracePeriod(_) => vec![Remedy::Explain("give the seconds that a pod may take to end".to_owned())],
            Self::NoRehearsal(_) => vec![Remedy::Flag("--dry-run".to_owned())],
            Self::UnknownNode { similar, .. } => {
                let names = similar.iter().map(|name| Remedy::Explain(format!("did you mean {name}?")));
                names.chain([Remedy::Command("kubectl get nodes".to_owned())]).collect()
            }
            Self::Refused { flags, .. } => flags.iter().cloned().map(Remedy::Flag).collect(),
            Self::Moved => vec![Remedy::Flag("--yes".to_owned())],
            Self::NotSynced | Self::NoAnswer { .. } => vec![Remedy::Command("kubectl get --raw /readyz".to_owned())],
            Self::MayNot { right, namespaces } => {
                let place = namespaces.first().map(|name| format!(" -n {name}")).unwrap_or_default();
                vec![Remedy::Command(format!("kubectl auth can-i {right}{place}"))]
            }
            Self::UnknownMark { node, .. } => vec![
                Remedy::Explain("use the version of the plugin that wrote it".to_owned()),
                Remedy::Command(format!("kubectl annotate node {node} handover/run-")),
            ],
            Self::FieldManager | Self::PodSelector(_) => vec![],
            Self::LeaseLostEarly(_) | Self::Lease(LeaseError::Lost { .. } | LeaseError::Foreign { .. }) => {
                vec![Remedy::Command("kubectl safedrain --status".to_owned())]
            }
            Self::InterruptedEarly | Self::Lease(LeaseError::Interrupted) | Self::Signals(_) | Self::Output(_) => {
                vec![]
            }
            Self::Lease(LeaseError::Held { node, .. }) => vec![
                Remedy::Command(format!("kubectl safedrain {node} --status")),
                Remedy::Explain("wait for that run to end, or end it where it runs".to_owned()),
            ],
            Self::Lease(LeaseError::Call { .. }) => vec![Remedy::Command(
                "kubectl auth can-i create leases.coordination.k8s.io -n kube-node-lease".to_owned(),
            )],
        }
    }
}

impl DrainError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::NoNode
            | Self::NodesAndSelector
            | Self::EmptySelector
            | Self::NotANode(_)
            | Self::UnknownShell(_)
            | Self::GracePeriod(_)
            | Self::NoRehearsal(_)
            | Self::FieldManager
            | Self::PodSelector(_) => ExitStatus::Usage,
            Self::UnknownNode { .. }
            | Self::Refused { .. }
            | Self::Moved
            | Self::NotSynced
            | Self::NoAnswer { .. }
            | Self::MayNot { .. }
            | Self::UnknownMark { .. }
            | Self::Lease(LeaseError::Call { .. } | LeaseError::Foreign { .. }) => ExitStatus::Refused,
            Self::LeaseLostEarly(_) | Self::Lease(LeaseError::Held { .. } | LeaseError::Lost { .. }) => {
                ExitStatus::HeldByAnother
            }
            Self::InterruptedEarly | Self::Lease(LeaseError::Interrupted) => ExitStatus::Interrupted,
            Self::Signals(_) | Self::Output(_) => ExitStatus::Unexpected,
        }
    }
}

impl From<DrainError> for Failure {
    fn from(error: DrainError) -> Self {
        Self::new(error.status(), &error)
    }
}

/// Wraps an output error that nothing can be done about.
pub(crate) fn unexpected(error: std::io::Error) -> Failure {
    DrainError::Output(error).into()
}

/// Puts a request that failed before anything was changed into words.
pub(crate) fn call_failed(connection: &Connection, error: &CallError, attempt: &str) -> Failure {
    match error {
        CallError::Client(error) => {
            let error: ApiError = connection.explain(error, attempt);
            error.into()
        }
        CallError::Timeout(limit) => {
            DrainError::NoAnswer { attempt: attempt.to_owned(), seconds: limit.as_secs() }.into()
        }
    }
}

fn where_words(namespaces: &[String]) -> String {
    if namespaces.is_empty() { String::new() } else { format!(" in {}", namespaces.join(", ")) }
}

/// `1 pod`, `2 pods`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
