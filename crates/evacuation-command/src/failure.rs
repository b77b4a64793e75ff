//! Why a run does not begin, or ended early, with what to do about it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use api_access::CallError;
use api_access::rights::MissingRight;
use cluster_model::identity::NodeName;
use cluster_model::marks::UnknownMark;
use cluster_model::selector::SelectorError;
use evacuation::plan::{DrainPlan, RefusalKind, RefusedPod};
use evacuation_runner::lease::LeaseError;
use evacuation_runner::observe::ListError;
use kubectl_common::api_error::{ApiError, ApiProblem};
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::{Failure, Remedies, Remedy};
use kubectl_common::identity::PluginIdentity;
use thiserror::Error;

use crate::session::Session;

/// How many missing rights are told with a command to look into them.
const QUESTIONS: usize = 3;

/// What a plugin itself has to complain of. Where a command line of its own helps, it is told which plugin it is.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error("no node given: USAGE: {} NODE… | -l SELECTOR [flags]", .plugin.invocation())]
    NoNode { plugin: &'static PluginIdentity },
    #[error("cannot specify both a node name and a --selector option")]
    NodesAndSelector { plugin: &'static PluginIdentity },
    #[error("--selector is empty: it must choose some nodes")]
    EmptySelector,
    #[error("--pool stands alone: it says which nodes are meant, and so do names of nodes and --selector")]
    NodesAndPool { plugin: &'static PluginIdentity },
    #[error("--pool is empty: it must name a pool")]
    EmptyPool,
    #[error("{flag} {name}: {}; nothing was changed", if *.is_empty { "this cluster has no pools that this program knows" } else { "no pool is called so" })]
    UnknownPool { flag: &'static str, name: String, similar: Vec<String>, is_empty: bool, list: String },
    #[error("{flag} {name}: {} pools are called so: {}; nothing was changed", .found.len(), .found.join(", "))]
    AmbiguousPool { flag: &'static str, name: String, found: Vec<String> },
    #[error("--onto {name}: node {node} is to be emptied and belongs to that pool; nothing was changed")]
    OntoItself { name: String, node: NodeName },
    #[error("--onto {name}: no node of that pool takes pods{}; nothing was changed", waiting(.waits))]
    OntoNotReady { name: String, waits: Vec<String> },
    #[error("{}; no node was touched", not_a_node(.argument))]
    NotANode { argument: String, meant: Option<String> },
    #[error("--grace-period {0} is too long")]
    GracePeriod(i64),
    #[error("--dry-run=server and --{0} do not go together")]
    NoRehearsal(&'static str),
    #[error("node {name} does not exist in this cluster; no node was touched")]
    UnknownNode { name: String, similar: Vec<String> },
    #[error("{} in the way; nothing was changed", standing(*.pods, *.vms))]
    Refused { pods: usize, vms: usize, flags: Vec<String> },
    #[error("the cluster has moved since the plan was shown, and nobody said to go on; nothing was changed")]
    Moved,
    #[error("you may not {}, which this needs; nothing was changed", listed(.missing))]
    MayNot { missing: Vec<MissingRight>, questions: Vec<String>, plugin: &'static PluginIdentity },
    #[error("node {node} carries a mark that is not understood: {mark}; nothing was changed")]
    UnknownMark { node: NodeName, mark: UnknownMark },
    #[error("{0} cannot be read")]
    Selector(&'static str, #[source] SelectorError),
    #[error("--field-manager is longer than 128 characters")]
    FieldManager,
    #[error("the lease was lost before anything was changed: {why}")]
    LeaseLostEarly { why: String, plugin: &'static PluginIdentity },
    #[error("interrupted before anything was changed")]
    InterruptedEarly,
    #[error("interrupted after the nodes were emptied, while looking for others that joined meanwhile")]
    InterruptedLate,
    #[error("a watch brought no first list within {seconds} s; nothing was changed")]
    NotSynced { seconds: f32 },
    #[error("the manifest of a pod that would be lost cannot be kept in {}; nothing was changed", .path.display())]
    Keeping {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "--exclude-from-lb takes a node out of the load balancers when its pods are gone, and only virtual machines leave"
    )]
    ExcludeWithoutPods,
    #[error("--with-nodes imagines nodes, and a run needs real ones")]
    ImaginedNodes,
    #[error("--report {}: a report is written as JSON, into a file whose name ends in .json", .0.display())]
    ReportForm(PathBuf),
    #[error("the report cannot be written into {}; nothing was changed", .path.display())]
    Report {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the signals of this process cannot be received")]
    Signals(#[source] std::io::Error),
    #[error("cannot list {resource}: the server does not serve {api_version}; nothing was changed")]
    NotServed { resource: String, api_version: String },
    #[error("this cluster has no KubeVirt: its API group kubevirt.io is not served; nothing was changed")]
    NoKubeVirt,
    #[error("KubeVirt {} is too old to be run against, the plan is all there is; nothing was changed", .version.as_deref().unwrap_or("of an unknown version"))]
    OldKubeVirt { version: Option<String> },
    #[error("KubeVirt's virt-api does not answer, so no virtual machine can be moved ({words}); nothing was changed")]
    VirtApiSilent { words: String, namespace: Option<String> },
    #[error(
        "node {node} carries the taint {key}, by which KubeVirt empties it itself, unmarked and not to be called off; nothing was changed"
    )]
    DrainTaint { node: NodeName, key: String },
    #[error("node {node} is held by node-maintenance-operator; nothing was changed")]
    HeldByMaintenance { node: NodeName },
    #[error("{source}")]
    Lease { source: LeaseError, plugin: &'static PluginIdentity },
}

impl Remedies for CommandError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::NoNode { plugin } | Self::NodesAndSelector { plugin } | Self::NodesAndPool { plugin } => {
                vec![Remedy::Command(format!("{} --help", plugin.invocation()))]
            }
            Self::EmptySelector => vec![Remedy::Command("kubectl get nodes --show-labels".to_owned())],
            Self::EmptyPool => vec![Remedy::Command("kubectl poolcopy --list".to_owned())],
            Self::UnknownPool { similar, list, .. } => {
                let names = similar.iter().map(|name| Remedy::Explain(format!("did you mean {name}?")));
                let label = "nodes that only share a label are a pool, too: KEY=VALUE".to_owned();
                names.chain([Remedy::Command(list.clone()), Remedy::Explain(label)]).collect()
            }
            Self::AmbiguousPool { .. } => vec![Remedy::Flag("-n NAMESPACE".to_owned())],
            Self::OntoItself { .. } => {
                vec![Remedy::Explain("name the pool that takes the work over, such as the copy".to_owned())]
            }
            Self::OntoNotReady { name, .. } => vec![
                Remedy::Command("kubectl get nodes".to_owned()),
                Remedy::Explain(format!("without --onto {name} the work goes wherever there is room")),
            ],
            Self::NotANode { meant: Some(meant), .. } => vec![Remedy::Explain(format!("did you mean {meant}?"))],
            Self::NotANode { argument, meant: None } if argument.trim().is_empty() => {
                vec![Remedy::Explain("a variable of a script may be empty".to_owned())]
            }
            Self::NotANode { meant: None, .. } => vec![Remedy::Command("kubectl get nodes".to_owned())],
            Self::GracePeriod(_) => vec![Remedy::Explain("give the seconds that a pod may take to end".to_owned())],
            Self::NoRehearsal(_) => vec![Remedy::Flag("--dry-run=client".to_owned())],
            Self::UnknownNode { similar, .. } => {
                let names = similar.iter().map(|name| Remedy::Explain(format!("did you mean {name}?")));
                names.chain([Remedy::Command("kubectl get nodes".to_owned())]).collect()
            }
            Self::Refused { flags, .. } => flags.iter().map(|remedy| remedy_of(remedy)).collect(),
            Self::Moved => vec![Remedy::Flag("--yes".to_owned())],
            Self::NotSynced { .. } => vec![Remedy::Command("kubectl get --raw /readyz".to_owned())],
            Self::NotServed { api_version, .. } => vec![
                Remedy::Command("kubectl api-versions".to_owned()),
                Remedy::Explain(format!(
                    "Kubernetes has {api_version} since 1.21; an older server, or one that switches it off, cannot be \
                     drained by this plugin"
                )),
            ],
            Self::MayNot { questions, plugin, .. } => {
                let works = "to look still works: --dry-run=client shows the plan, --status what runs have left";
                let last = [Remedy::Explain(works.to_owned()), role_remedy(plugin)];
                questions.iter().cloned().map(Remedy::Command).chain(last).collect()
            }
            Self::UnknownMark { mark: UnknownMark::Newer(_), .. } => {
                vec![Remedy::Explain("use the version of the plugin that wrote it".to_owned())]
            }
            Self::UnknownMark { node, mark: UnknownMark::Unreadable(_) } => vec![
                Remedy::Command(format!("kubectl get node {node} -o yaml")),
                Remedy::Explain(format!(
                    "it should say how the node was before. If that is lost, `kubectl annotate node {node} \
                     handover/run-` takes the mark away, and the node stays cordoned until `kubectl uncordon {node}`"
                )),
            ],
            Self::NoKubeVirt => vec![
                Remedy::Command("kubectl api-resources --api-group=kubevirt.io".to_owned()),
                Remedy::Explain("a node without virtual machines is emptied like any other".to_owned()),
            ],
            Self::OldKubeVirt { .. } => vec![
                Remedy::Flag("--dry-run=client".to_owned()),
                Remedy::Explain(
                    "KubeVirt 1.6 and later can be run against: before, budgets of KubeVirt's own answered evictions, \
                     and before 1.4 an eviction that only rehearses really evacuated"
                        .to_owned(),
                ),
            ],
            Self::VirtApiSilent { namespace, .. } => {
                let namespace = namespace.as_deref().unwrap_or("kubevirt");
                vec![Remedy::Command(format!("kubectl get pods -n {namespace} -l kubevirt.io=virt-api"))]
            }
            Self::DrainTaint { node, key } => {
                vec![Remedy::Command(format!("kubectl taint nodes {node} {key}-"))]
            }
            Self::HeldByMaintenance { node } => vec![
                Remedy::Command("kubectl get nodemaintenances.nodemaintenance.medik8s.io".to_owned()),
                Remedy::Explain(format!("delete the NodeMaintenance of node {node} first, or let that operator do it")),
            ],
            Self::Report { .. } => vec![Remedy::Flag("--report FILE.json".to_owned())],
            Self::Keeping { .. } => vec![Remedy::Flag("--backup-dir DIR".to_owned())],
            Self::ExcludeWithoutPods => vec![Remedy::Flag("--with-pods".to_owned())],
            Self::ImaginedNodes => vec![Remedy::Flag("--dry-run".to_owned())],
            Self::FieldManager | Self::ReportForm(_) | Self::Selector(..) => vec![],
            Self::LeaseLostEarly { plugin, .. } => vec![marks_remedy(plugin)],
            Self::Lease { source, plugin } => lease_remedies(source, plugin),
            Self::InterruptedEarly | Self::InterruptedLate | Self::Signals(_) => vec![],
        }
    }
}

/// A remedy of the plan is a flag or a command.
fn remedy_of(text: &str) -> Remedy {
    let text = text.to_owned();
    if text.starts_with("--") { Remedy::Flag(text) } else { Remedy::Command(text) }
}

fn lease_remedies(error: &LeaseError, plugin: &PluginIdentity) -> Vec<Remedy> {
    match error {
        LeaseError::Lost { .. } | LeaseError::Foreign { .. } => vec![marks_remedy(plugin)],
        LeaseError::Interrupted => vec![],
        LeaseError::Held { node, .. } => vec![
            Remedy::Command(format!("{} {node} --status", plugin.invocation())),
            Remedy::Explain(
                "wait for that run to end, or end it where it runs; --take-over takes the node from it".to_owned(),
            ),
        ],
        LeaseError::OutOfReach { .. } => {
            vec![Remedy::Explain("wait for that run to end, or end it where it runs".to_owned()), role_remedy(plugin)]
        }
        LeaseError::Vanished { .. } => vec![Remedy::Command("kubectl get nodes".to_owned())],
        LeaseError::Rights(_) | LeaseError::Call { .. } => {
            vec![Remedy::Command("kubectl get --raw /readyz".to_owned())]
        }
    }
}

/// Which runs have left marks.
fn marks_remedy(plugin: &PluginIdentity) -> Remedy {
    Remedy::Command(format!("{} --status", plugin.invocation()))
}

/// Where all the rights are that a run needs.
fn role_remedy(plugin: &PluginIdentity) -> Remedy {
    let PluginIdentity { name, repository, .. } = plugin;
    Remedy::Explain(format!(
        "the roles in docs/rbac/{name}.yaml are enough: ask for them to be bound to you ({repository}/tree/main/docs/rbac)"
    ))
}

impl CommandError {
    /// Tells what the plan's refusals come to, and every flag and command that would help.
    pub(crate) fn refused(plan: &DrainPlan) -> Self {
        let flags: BTreeSet<_> = plan.refusals.iter().map(|refusal| refusal.remedy.clone()).collect();
        let is_vm = |refusal: &&RefusedPod| refusal.kind == RefusalKind::VirtualMachine;
        let vms = plan.refusals.iter().filter(is_vm).count();
        Self::Refused { pods: plan.refusals.len() - vms, vms, flags: flags.into_iter().collect() }
    }

    /// Tells all rights that are missing at once, with the questions by which the first few can be looked into.
    pub(crate) fn may_not(missing: Vec<MissingRight>, session: &Session) -> Self {
        let question = |missing: &MissingRight| session.connection.kubectl(&missing.question());
        let questions = missing.iter().take(QUESTIONS).map(question).collect();
        Self::MayNot { missing, questions, plugin: session.plugin }
    }

    fn status(&self) -> ExitStatus {
        match self {
            Self::NoNode { .. }
            | Self::NodesAndSelector { .. }
            | Self::EmptySelector
            | Self::NodesAndPool { .. }
            | Self::EmptyPool
            | Self::NotANode { .. }
            | Self::GracePeriod(_)
            | Self::NoRehearsal(_)
            | Self::FieldManager
            | Self::ReportForm(_)
            | Self::ImaginedNodes
            | Self::ExcludeWithoutPods
            | Self::Selector(..) => ExitStatus::Usage,
            Self::UnknownNode { .. }
            | Self::UnknownPool { .. }
            | Self::AmbiguousPool { .. }
            | Self::OntoItself { .. }
            | Self::OntoNotReady { .. }
            | Self::Refused { .. }
            | Self::Moved
            | Self::NotSynced { .. }
            | Self::NotServed { .. }
            | Self::MayNot { .. }
            | Self::NoKubeVirt
            | Self::OldKubeVirt { .. }
            | Self::VirtApiSilent { .. }
            | Self::DrainTaint { .. }
            | Self::HeldByMaintenance { .. }
            | Self::Keeping { .. }
            | Self::Report { .. }
            | Self::UnknownMark { .. } => ExitStatus::Refused,
            Self::Lease { source, .. } => match source {
                LeaseError::Rights(_)
                | LeaseError::Call { .. }
                | LeaseError::Foreign { .. }
                | LeaseError::Vanished { .. } => ExitStatus::Refused,
                LeaseError::Held { .. } | LeaseError::OutOfReach { .. } | LeaseError::Lost { .. } => {
                    ExitStatus::HeldByAnother
                }
                LeaseError::Interrupted => ExitStatus::Interrupted,
            },
            Self::LeaseLostEarly { .. } => ExitStatus::HeldByAnother,
            Self::InterruptedEarly | Self::InterruptedLate => ExitStatus::Interrupted,
            Self::Signals(_) => ExitStatus::Unexpected,
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::new(error.status(), &error)
    }
}

/// Puts a request that failed before anything was changed into words.
pub(crate) fn call_failed(session: &Session, error: &CallError, attempt: &str) -> Failure {
    match error {
        CallError::Client(error) => {
            let error: ApiError = session.connection.explain(error, attempt);
            let is_forbidden = matches!(error.problem(), ApiProblem::Forbidden(_));
            let failure = Failure::from(error);
            if is_forbidden {
                failure
                    .with_remedy(Remedy::Explain("without it no plan can be made; nothing was changed".to_owned()))
                    .with_remedy(role_remedy(session.plugin))
            } else {
                failure
            }
        }
        CallError::Timeout(limit) => session.connection.no_answer(attempt, *limit).into(),
    }
}

/// Puts a list that did not come into words.
pub(crate) fn list_failed(session: &Session, error: &ListError) -> Failure {
    // A list of a kind that is served is never "not found", not even in a namespace that does not exist.
    if error.source.status().is_some_and(|status| status.code == 404) {
        let (resource, api_version) = (error.resource.clone(), error.api_version.clone());
        return CommandError::NotServed { resource, api_version }.into();
    }
    let attempt = error.to_string();
    call_failed(session, &error.source, attempt.strip_prefix("cannot ").unwrap_or(&attempt))
}

fn not_a_node(argument: &str) -> String {
    match argument.split_once('/') {
        Some((kind, _)) if !matches!(kind, "node" | "nodes" | "no") => {
            format!("{argument:?} is not a node: only NAME or node/NAME can be drained")
        }
        _ if argument.trim().is_empty() => "the name of a node is empty".to_owned(),
        _ => format!(
            "{argument:?} cannot be the name of a node: those have lower-case letters, digits, '-' and '.' only"
        ),
    }
}

/// `: node a waits for x, node b waits for y`.
fn waiting(waits: &[String]) -> String {
    if waits.is_empty() { ": it has none".to_owned() } else { format!(": {}", waits.join(", ")) }
}

/// `1 pod stands`, `2 virtual machines stand`, `2 virtual machines and 1 pod stand`.
fn standing(pods: usize, vms: usize) -> String {
    let named: Vec<_> = [(vms, "virtual machine"), (pods, "pod")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(number, noun))
        .collect();
    format!("{} {}", named.join(" and "), if pods + vms == 1 { "stands" } else { "stand" })
}

fn listed(missing: &[MissingRight]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; nor ")
}

/// `1 pod`, `2 pods`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use evacuation_runner::lease::Holder;
    use jiff::Timestamp;

    use super::*;

    const VMIEVICT: PluginIdentity =
        PluginIdentity { name: "vmievict", version: "0.1.0", repository: "https://example.test/handover" };

    #[test]
    fn every_command_line_names_the_plugin_that_runs() {
        let plugin = &VMIEVICT;
        let held = |error: fn(NodeName, Box<Holder>) -> LeaseError| {
            let holder = Holder::this_process("r1", "bob", Timestamp::UNIX_EPOCH);
            CommandError::Lease { source: error(NodeName::from("n1"), Box::new(holder)), plugin }
        };
        let table = [
            (CommandError::NoNode { plugin }, "USAGE: kubectl vmievict NODE…"),
            (CommandError::NoNode { plugin }, "try: `kubectl vmievict --help`"),
            (CommandError::NodesAndSelector { plugin }, "try: `kubectl vmievict --help`"),
            (CommandError::LeaseLostEarly { why: "late".into(), plugin }, "try: `kubectl vmievict --status`"),
            (CommandError::MayNot { missing: vec![], questions: vec![], plugin }, "docs/rbac/vmievict.yaml"),
            (held(|node, holder| LeaseError::Held { node, holder }), "try: `kubectl vmievict n1 --status`"),
            (held(|node, holder| LeaseError::OutOfReach { node, holder }), "docs/rbac/vmievict.yaml"),
        ];
        for (error, expected) in table {
            let told = Failure::from(error).to_string();
            assert!(told.contains(expected) && !told.contains("safedrain"), "{expected}: {told}");
        }
    }
}
