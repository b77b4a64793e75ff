//! From what was typed to what is meant: nothing below knows of the command line.

use std::path::PathBuf;
use std::time::Duration;

use cluster_model::disposition::DrainPolicy;
use cluster_model::identity::NodeName;
use cluster_model::kubevirt::{NonMigratable, VmPolicy};
use cluster_model::selector::Selector;
use evacuation::guests::{GuestRequest, Moves};
use evacuation::request::{DrainRequest, Jobs, Removal, Strategy};
use evacuation_runner::lease::TakeOver;
use kubectl_common::duration::GoDuration;
use kubectl_common::entry::Launch;
use kubectl_common::environment::Environment;
use kubectl_common::flags::{DryRun, KubeFlags, OutputFormat};
use kubectl_common::identity::PluginIdentity;

use crate::failure::CommandError;
use crate::flags::{
    CommandLine, GuestFlags, JobsArg, MachineName, MaxSurge, NodeFlags, NonMigratableArg, PodFlags, RunFlags,
    StrategyArg, WorkloadArg,
};
use crate::nodes;

/// The most characters of a field manager's name (`k8s.io/apimachinery`, `FieldManagerMaxLength`).
const LONGEST_FIELD_MANAGER: usize = 128;

/// What a plugin was asked to do, with nothing left to resolve.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The plugin that runs; every command line that is printed names it.
    pub(crate) plugin: &'static PluginIdentity,
    /// The environment of the process.
    pub(crate) environment: Environment,
    /// Which cluster, as whom.
    pub(crate) kube: KubeFlags,
    /// What is to be done.
    pub(crate) goal: Goal,
    /// Whether the plugin is wrong in a cluster without KubeVirt.
    pub(crate) is_for_guests: bool,
    /// What leaves the nodes, and how.
    pub(crate) request: DrainRequest,
    /// The pool on which replacements are expected.
    pub(crate) onto: Option<String>,
    /// Where the manifests of pods without a controller are kept before they go.
    pub(crate) backup_dir: Option<PathBuf>,
    /// The file into which the report is written.
    pub(crate) report: Option<PathBuf>,
    /// `--pod-selector`; `None`: all pods.
    pub(crate) pod_selector: Option<PodSelector>,
    /// From whom the nodes may be taken.
    pub(crate) take_over: TakeOver,
    /// Whether the run goes on, unasked, when the cluster has moved.
    pub(crate) yes: bool,
    /// Whether, and how, nothing is changed.
    pub(crate) dry_run: DryRun,
    /// The form of results.
    pub(crate) format: OutputFormat,
    /// The name that writes are recorded under.
    pub(crate) field_manager: String,
    /// Objects in a page of a list; 0: all at once.
    pub(crate) chunk_size: u32,
    /// `--reason`.
    pub(crate) reason: Option<String>,
    /// How many nodes are imagined besides those that are there: `--with-nodes`.
    pub(crate) imagined_nodes: usize,
    /// The options that differ from the defaults, for the mark on the node.
    pub(crate) options: Vec<String>,
    /// What the command line itself deserves to be told, before anything is done.
    pub(crate) warnings: Vec<&'static str>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Empty these nodes.
    Evacuate(Targets),
    /// Show the marks on these nodes; none: in the whole cluster.
    Status(Vec<NodeName>),
    /// Give back what runs changed on these nodes; none: in the whole cluster.
    Undo(Vec<NodeName>),
}

/// Which nodes are to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    /// By name, in order, each once.
    Named(Vec<NodeName>),
    /// By label selector.
    Selected(String),
    /// The nodes of a pool.
    Pool(String),
}

/// A selector of pods, as it is sent to the server and as it is understood here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodSelector {
    pub(crate) text: String,
    pub(crate) meaning: Selector,
}

impl Job {
    /// Resolves a command line.
    pub(crate) fn resolve<A: CommandLine>(args: &A, launch: &Launch) -> Result<Self, CommandError> {
        let (plugin, run, pods) = (launch.identity, args.run(), args.pods());
        let field_manager = run.field_manager.clone().unwrap_or_else(|| plugin.binary());
        if field_manager.chars().count() > LONGEST_FIELD_MANAGER {
            return Err(CommandError::FieldManager);
        }
        if run.exclude_from_lb && args.moves() == Moves::GuestsOnly {
            return Err(CommandError::ExcludeWithoutPods);
        }
        if pods.with_nodes > 0 && run.dry_run.mode() == DryRun::None {
            return Err(CommandError::ImaginedNodes);
        }
        let request = DrainRequest { moves: args.moves(), guests: guests(args.guests(), pods), ..request(pods, run)? };
        let goal = goal(args.nodes(), run, plugin)?;
        Ok(Self {
            plugin,
            environment: launch.environment.clone(),
            kube: run.kube.clone(),
            goal,
            is_for_guests: args.is_for_guests(),
            request,
            onto: pods.onto.clone(),
            backup_dir: pods.backup_dir.clone(),
            report: report(run)?,
            pod_selector: pod_selector(pods)?,
            take_over: if run.take_over { TakeOver::FromAnybody } else { TakeOver::FromTheDead },
            yes: run.yes,
            dry_run: run.dry_run.mode(),
            format: run.output.output,
            field_manager,
            chunk_size: run.chunk_size,
            reason: run.reason.clone(),
            imagined_nodes: pods.with_nodes,
            options: options(pods, args.guests()),
            warnings: warnings(pods, run),
        })
    }
}

fn request(pods: &PodFlags, run: &RunFlags) -> Result<DrainRequest, CommandError> {
    let grace_seconds = match u64::try_from(pods.grace_period) {
        Ok(seconds) => Some(u32::try_from(seconds).map_err(|_| CommandError::GracePeriod(pods.grace_period))?),
        Err(_) => None,
    };
    let skip = Duration::from_secs(u64::from(pods.skip_wait_for_delete_timeout));
    let strategy = match pods.strategy {
        _ if pods.disable_eviction => Strategy::Evict,
        StrategyArg::Auto => Strategy::Auto,
        StrategyArg::Surge => Strategy::Surge,
        StrategyArg::Evict => Strategy::Evict,
    };
    let defaults = DrainRequest::default();
    Ok(DrainRequest {
        strategy,
        policy: DrainPolicy {
            force: pods.force,
            refuse_daemon_sets: !pods.ignore_daemonsets,
            delete_empty_dir_data: pods.delete_emptydir_data,
            skip_wait_for_delete: (!skip.is_zero()).then_some(skip),
        },
        removal: if pods.disable_eviction { Removal::Delete } else { Removal::Evict },
        grace_seconds,
        max_surge: pods.max_surge.map(|MaxSurge(limit)| limit),
        jobs: match pods.jobs {
            JobsArg::Evict => Jobs::Evict,
            JobsArg::Wait => Jobs::Wait,
        },
        allow_downtime: pods.allow_downtime.iter().map(|WorkloadArg(name)| name.clone()).collect(),
        keeps_manifests: pods.backup_dir.is_some(),
        settle: pods.settle.map_or(defaults.settle, GoDuration::get),
        settle_behind_load_balancer: pods.settle.map_or(defaults.settle_behind_load_balancer, GoDuration::get),
        waits_for_volumes: run.wait_volumes,
        exclude_from_load_balancers: run.exclude_from_lb,
        replacement_timeout: pods.replacement_timeout.limit().unwrap_or(Duration::MAX / 2),
        node_timeout: run.timeout.limit(),
        ..defaults
    })
}

/// Reads `--report`, whose name says in which form it is written.
fn report(run: &RunFlags) -> Result<Option<PathBuf>, CommandError> {
    match &run.report {
        Some(path) if path.extension().is_some_and(|form| form == "json") => Ok(Some(path.clone())),
        Some(path) => Err(CommandError::ReportForm(path.clone())),
        None => Ok(None),
    }
}

fn goal(nodes: &NodeFlags, run: &RunFlags, plugin: &'static PluginIdentity) -> Result<Goal, CommandError> {
    if run.status {
        return names(nodes).map(Goal::Status);
    }
    if run.undo {
        return names(nodes).map(Goal::Undo);
    }
    targets(nodes, plugin).map(Goal::Evacuate)
}

fn targets(nodes: &NodeFlags, plugin: &'static PluginIdentity) -> Result<Targets, CommandError> {
    if let Some(pool) = &nodes.pool {
        return match (pool.trim().is_empty(), nodes.selector.is_some() || !nodes.nodes.is_empty()) {
            (true, _) => Err(CommandError::EmptyPool),
            (false, true) => Err(CommandError::NodesAndPool { plugin }),
            (false, false) => Ok(Targets::Pool(pool.clone())),
        };
    }
    match (&nodes.selector, nodes.nodes.is_empty()) {
        (None, true) => Err(CommandError::NoNode { plugin }),
        (Some(_), false) => Err(CommandError::NodesAndSelector { plugin }),
        (Some(selector), true) if selector.trim().is_empty() => Err(CommandError::EmptySelector),
        (Some(selector), true) => match selector.parse::<Selector>() {
            Ok(_) => Ok(Targets::Selected(selector.clone())),
            Err(error) => Err(CommandError::Selector("--selector", error)),
        },
        (None, false) => names(nodes).map(Targets::Named),
    }
}

/// Reads the nodes that were named, each once.
fn names(nodes: &NodeFlags) -> Result<Vec<NodeName>, CommandError> {
    let mut names = Vec::new();
    for argument in &nodes.nodes {
        let name = nodes::parse(argument)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Reads `--pod-selector`; an empty one chooses every pod, as kubectl's does.
fn pod_selector(pods: &PodFlags) -> Result<Option<PodSelector>, CommandError> {
    let read = |text: &String| match text.parse() {
        Ok(meaning) => Ok(PodSelector { text: text.clone(), meaning }),
        Err(error) => Err(CommandError::Selector("--pod-selector", error)),
    };
    pods.pod_selector.as_ref().filter(|text| !text.is_empty()).map(read).transpose()
}

fn options(pods: &PodFlags, guests: &GuestFlags) -> Vec<String> {
    let given = guests.non_migratable.map(|what| format!("--non-migratable={}", policy_of(what)));
    let allowed = guests.allow_loss.iter().map(|MachineName(key)| format!("--allow-loss={key}"));
    let switches = [
        (pods.force, "--force"),
        (!pods.ignore_daemonsets, "--ignore-daemonsets=false"),
        (pods.delete_emptydir_data, "--delete-emptydir-data"),
        (pods.disable_eviction, "--disable-eviction"),
    ];
    let strategy = match pods.strategy {
        StrategyArg::Auto => None,
        StrategyArg::Surge => Some("--strategy=surge".to_owned()),
        StrategyArg::Evict => Some("--strategy=evict".to_owned()),
    };
    let selector = pods.pod_selector.as_ref().map(|selector| format!("--pod-selector={selector}"));
    let jobs = (pods.jobs == JobsArg::Wait).then(|| "--jobs=wait".to_owned());
    let downtime = pods.allow_downtime.iter().map(|WorkloadArg(name)| format!("--allow-downtime={name}"));
    switches
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, flag)| flag.to_owned())
        .chain(strategy)
        .chain(selector)
        .chain(jobs)
        .chain(downtime)
        .chain(given)
        .chain(allowed)
        .collect()
}

fn guests(guests: &GuestFlags, pods: &PodFlags) -> GuestRequest {
    // Who gives kubectl both consents has it shut down every virtual machine but those that are to migrate.
    let kubectl_shuts_down = pods.force && pods.delete_emptydir_data;
    let otherwise = if kubectl_shuts_down { NonMigratable::RestartUnlessLiveMigrate } else { NonMigratable::Refuse };
    GuestRequest {
        policy: VmPolicy {
            non_migratable: guests.non_migratable.map_or(otherwise, policy_of),
            allow_loss: guests.allow_loss.iter().map(|MachineName(key)| key.clone()).collect(),
        },
        timeout: guests.vm_timeout.limit(),
        max_failures: guests.max_failures,
        delete_stale_launchers: guests.delete_stale_launchers,
    }
}

fn policy_of(what: NonMigratableArg) -> NonMigratable {
    match what {
        NonMigratableArg::Refuse => NonMigratable::Refuse,
        NonMigratableArg::Restart => NonMigratable::Restart,
        NonMigratableArg::Stop => NonMigratable::Stop,
        NonMigratableArg::Leave => NonMigratable::Leave,
    }
}

fn warnings(pods: &PodFlags, run: &RunFlags) -> Vec<&'static str> {
    let implied = pods.disable_eviction && pods.strategy == StrategyArg::Surge;
    let implied = implied.then_some("--disable-eviction implies --strategy=evict");
    run.dry_run.deprecation().into_iter().chain(implied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    const PLUGIN: PluginIdentity =
        PluginIdentity { name: "x", version: "0.1.0", repository: "https://example.test/handover" };

    fn resolved(line: &str) -> (DrainRequest, Goal) {
        let args = parse(line);
        (request(args.pods(), args.run()).unwrap(), goal(args.nodes(), args.run(), &PLUGIN).unwrap())
    }

    #[test]
    fn nodes_are_named_once_and_with_or_without_their_kind() {
        let named = |line| targets(parse(line).nodes(), &PLUGIN).map_err(|error| error.to_string());
        let two = Targets::Named(vec![NodeName::from("b"), NodeName::from("a")]);
        assert_eq!(named("b node/a b nodes/a"), Ok(two));
        assert!(named("pod/a").unwrap_err().contains("pod/a"));
        assert!(named("node/").unwrap_err().contains("node/"));
        assert!(named("").unwrap_err().contains("USAGE: kubectl x NODE"));
        assert!(named("a -l pool=x").unwrap_err().contains("both"));
        assert!(named("--selector=").unwrap_err().contains("empty"));
        assert_eq!(named("--pool blue"), Ok(Targets::Pool("blue".to_owned())));
        assert!(named("--pool=").unwrap_err().contains("empty"));
        assert!(named("a --pool blue").unwrap_err().contains("--pool"));
        assert!(named("-l a=b --pool blue").unwrap_err().contains("--pool"));
    }

    #[test]
    fn status_and_undo_need_no_node() {
        assert_eq!(resolved("--status").1, Goal::Status(vec![]));
        assert_eq!(resolved("--undo n1").1, Goal::Undo(vec![NodeName::from("n1")]));
        assert_eq!(resolved("n1").1, Goal::Evacuate(Targets::Named(vec![NodeName::from("n1")])));
    }

    #[test]
    fn deleting_pods_implies_kubectls_way() {
        let request = resolved("n1 --disable-eviction --grace-period=0").0;
        assert_eq!(
            (request.strategy, request.removal, request.grace_seconds),
            (Strategy::Evict, Removal::Delete, Some(0))
        );
        assert_eq!(resolved("n1").0.grace_seconds, None);
    }

    #[test]
    fn kubectls_consents_imply_a_restart_and_a_flag_of_ones_own_beats_them() {
        let policy = |line| guests(parse(line).guests(), parse(line).pods()).policy.non_migratable;
        assert_eq!(policy("n1"), NonMigratable::Refuse);
        assert_eq!(policy("n1 --force"), NonMigratable::Refuse);
        assert_eq!(policy("n1 --delete-local-data --force"), NonMigratable::RestartUnlessLiveMigrate);
        assert_eq!(policy("n1 --delete-local-data --force --non-migratable=leave"), NonMigratable::Leave);
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let told = |line| warnings(parse(line).pods(), parse(line).run());
        assert_eq!(told("n1 --disable-eviction --strategy=surge"), ["--disable-eviction implies --strategy=evict"]);
        assert_eq!(told("n1 --dry-run").len(), 1);
        assert!(told("n1 --disable-eviction").is_empty());
    }
}
