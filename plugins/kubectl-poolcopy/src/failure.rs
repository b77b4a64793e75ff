//! Why a run does not begin, or ended early, with what to do about it.

use api_access::rights::MissingRight;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::{Failure, Remedies, Remedy};
use node_pools::finding::Refusal;
use node_pools_runner::proof::Obstacle;
use thiserror::Error;

/// How many obstacles are told.
const TOLD: usize = 10;

/// What the plugin itself has to complain of.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error("no pool given: USAGE: kubectl poolcopy POOL [flags]")]
    NoPool,
    #[error("the name of the pool is empty")]
    EmptyPool,
    #[error("only one pool can be copied at a time")]
    SeveralPools,
    #[error("--list shows all pools and takes no name, not {0:?}")]
    ListOfOne(String),
    #[error("pool {name:?} does not exist{}; nothing was changed", place(.namespace.as_ref()))]
    UnknownPool { name: String, namespace: Option<String>, similar: Vec<String>, command: String },
    #[error("this cluster has no pools that this program knows; nothing was changed")]
    NoPools { command: String },
    #[error("{name:?} is the name of {} pools: {}; nothing was changed", .found.len(), .found.join(", "))]
    Ambiguous { name: String, found: Vec<String> },
    #[error("{name:?} is a pool of {provider}, which cannot be copied yet; nothing was changed")]
    NotBuilt { name: String, provider: String },
    #[error("no provider is called {name:?}: there are {}", .known.join(", "))]
    UnknownProvider { name: String, known: Vec<String> },
    #[error("{refusal}; nothing was changed")]
    Refused { refusal: Box<Refusal> },
    #[error("{}; nothing was changed", of_obstacles(.pool, .obstacles))]
    NotEmpty { pool: String, obstacles: Vec<Obstacle>, next: Vec<String> },
    #[error("{}; what was done so far stays done", of_obstacles(.pool, .obstacles))]
    NoLongerEmpty { pool: String, obstacles: Vec<Obstacle>, next: Vec<String> },
    #[error("you may not {}, which this needs; nothing was changed", .missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; nor "))]
    MayNot { missing: Vec<MissingRight>, questions: Vec<String> },
    #[error("the server would refuse to {step}: {why}; nothing was changed")]
    Denied { step: String, why: String },
    #[error("the cluster changes faster than this run can plan; what was done so far stays done ({last})")]
    Moving { last: String },
    #[error("{pool} is not what was to be made: {what}")]
    Unfaithful { pool: String, what: String, undo: String },
    #[error("{waited} after {seconds} s")]
    TimedOut { waited: String, seconds: u64, again: String },
    #[error("interrupted before anything was changed")]
    InterruptedEarly,
    #[error("interrupted: {state}")]
    Interrupted { state: String, again: String, back: Option<String> },
    #[error("{0}")]
    Stopped(String),
    #[error("the signals of this process cannot be received")]
    Signals(#[source] std::io::Error),
}

fn place(namespace: Option<&String>) -> String {
    namespace.map(|name| format!(" in namespace {name}")).unwrap_or_default()
}

fn of_obstacles(pool: &str, obstacles: &[Obstacle]) -> String {
    let told: Vec<_> = obstacles.iter().take(TOLD).map(ToString::to_string).collect();
    let more = obstacles.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{pool} is not empty: {}{more}", told.join("; "))
}

impl Remedies for PoolError {
    fn remedies(&self) -> Vec<Remedy> {
        let command = |text: &String| Remedy::Command(text.clone());
        match self {
            Self::NoPool | Self::EmptyPool | Self::ListOfOne(_) => {
                vec![Remedy::Command("kubectl poolcopy --list".to_owned())]
            }
            Self::SeveralPools => vec![Remedy::Command("kubectl poolcopy --help".to_owned())],
            Self::UnknownPool { similar, command, .. } => {
                let names = similar.iter().map(|name| Remedy::Explain(format!("did you mean {name}?")));
                names.chain([Remedy::Command(command.clone())]).collect()
            }
            Self::NoPools { command } => vec![
                Remedy::Explain(
                    "where Cluster API's objects live in another cluster, name it: --management-context CONTEXT"
                        .to_owned(),
                ),
                Remedy::Command(command.clone()),
            ],
            Self::Ambiguous { .. } => {
                vec![Remedy::Flag("-n NAMESPACE".to_owned()), Remedy::Flag("--provider NAME".to_owned())]
            }
            Self::NotBuilt { .. } => vec![Remedy::Explain(
                "make the new pool with the provider's own console or command line; then `kubectl safedrain` hands the \
                 work over, node by node"
                    .to_owned(),
            )],
            Self::UnknownProvider { .. } => vec![],
            Self::Refused { refusal } => of_refusal(refusal),
            Self::NotEmpty { next, .. } | Self::NoLongerEmpty { next, .. } => next.iter().map(command).collect(),
            Self::MayNot { questions, .. } => questions
                .iter()
                .cloned()
                .map(Remedy::Command)
                .chain([Remedy::Explain("the role in docs/rbac/poolcopy.yaml is enough".to_owned())])
                .collect(),
            Self::Denied { .. } => vec![Remedy::Explain(
                "an admission rule or the object's own validation says so; --set and --unset change the copy"
                    .to_owned(),
            )],
            Self::Unfaithful { undo, .. } => vec![
                Remedy::Explain("the copy was made and its nodes were left alone; look at the difference".to_owned()),
                command(undo),
            ],
            Self::TimedOut { again, .. } => {
                vec![Remedy::Explain("the same command goes on".to_owned()), command(again)]
            }
            Self::Interrupted { again, back, .. } => {
                let back = back.iter().map(|back| Remedy::Explain(format!("it is taken back by `{back}`")));
                std::iter::once(command(again)).chain(back).collect()
            }
            Self::Moving { .. } | Self::Stopped(_) => {
                vec![Remedy::Explain("the same command goes on where this one stopped".to_owned())]
            }
            Self::InterruptedEarly | Self::Signals(_) => vec![],
        }
    }
}

fn of_refusal(refusal: &Refusal) -> Vec<Remedy> {
    match refusal {
        Refusal::Trouble { remedies, .. } => {
            remedies
                .iter()
                .map(|remedy| {
                    if remedy.starts_with("--") {
                        Remedy::Flag(remedy.clone())
                    } else {
                        Remedy::Explain(remedy.clone())
                    }
                })
                .collect()
        }
        Refusal::NeedsNodes { needs, .. } => {
            let needs = needs.iter().map(|need| Remedy::Explain(format!("each new node needs {need}")));
            needs.chain([Remedy::Flag("--nodes-match SELECTOR".to_owned())]).collect()
        }
        Refusal::Shared { .. } => {
            vec![Remedy::Explain("give each pool its own objects first; only then can one of them go".to_owned())]
        }
        Refusal::Name { .. } | Refusal::Taken { .. } => vec![Remedy::Flag("--name NEW".to_owned())],
        Refusal::Copied { copy, .. } => vec![
            Remedy::Flag(format!("--name {copy}")),
            Remedy::Explain("or take that copy back first, with --undo".to_owned()),
        ],
        Refusal::Differs { .. } => vec![Remedy::Explain(
            "give the flags that it was made with, take it back with --undo, or choose another --name".to_owned(),
        )],
        Refusal::Elsewhere { .. } => vec![
            Remedy::Explain(
                "name the cluster of the nodes with --context, and that of the pools' objects with --management-context"
                    .to_owned(),
            ),
            Remedy::Explain("if the nodes are gone for good, delete their machines first".to_owned()),
        ],
        Refusal::Override { .. } | Refusal::Unsupported(_) | Refusal::Nothing(_) => vec![],
    }
}

impl PoolError {
    /// A pool with something on it, before or after this run has changed anything.
    pub(crate) fn not_empty(begun: bool, pool: String, obstacles: Vec<Obstacle>, next: Vec<String>) -> Self {
        if begun { Self::NoLongerEmpty { pool, obstacles, next } } else { Self::NotEmpty { pool, obstacles, next } }
    }

    fn status(&self) -> ExitStatus {
        match self {
            Self::NoPool | Self::EmptyPool | Self::SeveralPools | Self::ListOfOne(_) | Self::UnknownProvider { .. } => {
                ExitStatus::Usage
            }
            Self::Refused { refusal } if matches!(**refusal, Refusal::Override { .. }) => ExitStatus::Usage,
            Self::UnknownPool { .. }
            | Self::NoPools { .. }
            | Self::Ambiguous { .. }
            | Self::NotBuilt { .. }
            | Self::Refused { .. }
            | Self::NotEmpty { .. }
            | Self::MayNot { .. }
            | Self::Denied { .. } => ExitStatus::Refused,
            Self::NoLongerEmpty { .. }
            | Self::Moving { .. }
            | Self::Unfaithful { .. }
            | Self::Stopped(_)
            | Self::TimedOut { .. } => ExitStatus::Stopped,
            Self::InterruptedEarly | Self::Interrupted { .. } => ExitStatus::Interrupted,
            Self::Signals(_) => ExitStatus::Unexpected,
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::new(error.status(), &error)
    }
}
