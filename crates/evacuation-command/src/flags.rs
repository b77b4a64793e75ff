//! The flags of the plugins that evacuate nodes, in groups that each of them flattens into its own command line. What
//! they come to is a `Job`; nothing behind it knows of them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser};
use cluster_model::identity::ObjectKey;
use evacuation::guests::Moves;
use evacuation::request::{SurgeLimit, WorkloadName};
use kubectl_common::duration::GoDuration;
use kubectl_common::flags::{DryRunFlags, KubeFlags, OutputFlags, parse_boolean};

/// The command line of a plugin, made of the groups of this module.
///
/// The plugin names itself in the help of `--field-manager`: `mut_arg("field_manager", |flag| flag.default_value(…))`.
pub trait CommandLine: Parser {
    /// Returns which nodes are meant.
    fn nodes(&self) -> &NodeFlags;

    /// Returns which pods go, and how.
    fn pods(&self) -> &PodFlags;

    /// Returns what may happen to virtual machines.
    fn guests(&self) -> &GuestFlags;

    /// Returns what is done, and how it is told.
    fn run(&self) -> &RunFlags;

    /// Returns whether the plugin is there for virtual machines, and wrong in a cluster without KubeVirt.
    fn is_for_guests(&self) -> bool {
        false
    }

    /// Returns what leaves the nodes.
    fn moves(&self) -> Moves {
        Moves::Everything
    }
}

/// Which nodes; flattened first.
#[derive(Clone, Debug, Default, Args)]
pub struct NodeFlags {
    /// The nodes, as NAME or node/NAME; emptied in this order
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,

    /// Drain the nodes that this label selector chooses
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// Drain the nodes of this pool: its name in `kubectl poolcopy --list`, or a label as KEY=VALUE
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
}

/// Which pods go, and how: the flags of `kubectl drain` about pods, and those of make-before-break.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of kubectl drain")]
pub struct PodFlags {
    /// How pods leave: auto (make before break where possible), surge (refuse what cannot), evict (kubectl's way)
    #[arg(long, value_enum, default_value = "auto", value_name = "STRATEGY")]
    pub strategy: StrategyArg,

    /// Extra pods of one workload at a time, a number or a percentage [default: its own maxSurge]
    #[arg(long, value_name = "N|P%")]
    pub max_surge: Option<MaxSurge>,

    /// Hold so long after a new endpoint is ready [default: 2s; behind a load balancer without readiness gates 30s]
    #[arg(long, allow_hyphen_values = true, value_name = "DURATION")]
    pub settle: Option<GoDuration>,

    /// Attach the old pod again when its replacement takes longer than this
    #[arg(long, default_value = "10m", allow_hyphen_values = true, value_name = "DURATION")]
    pub replacement_timeout: GoDuration,

    /// Expect replacements on the nodes of this pool: say beforehand what finds no room there, and refuse to evict it
    #[arg(long, value_name = "POOL")]
    pub onto: Option<String>,

    /// With --dry-run: ask whether there is room when so many nodes more are there, like the first that is drained
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub with_nodes: usize,

    /// Let pods go that no controller makes again
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub force: bool,

    /// Keep the manifests of pods that no controller makes again in this folder, before --force lets them go
    #[arg(long, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,

    /// What becomes of pods of Jobs: evict (their Jobs make others) or wait (until they have ended)
    #[arg(long, value_enum, default_value = "evict", value_name = "WHAT")]
    pub jobs: JobsArg,

    /// Let these workloads be missing for a while although their budgets never allow it: their pods are deleted one at a
    /// time; several with commas
    #[arg(long, value_name = "NAMESPACE/[KIND/]NAME", value_delimiter = ',')]
    pub allow_downtime: Vec<WorkloadArg>,

    /// Leave the pods of DaemonSets where they are; =false refuses to drain beside them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_boolean, action = ArgAction::Set)]
    pub ignore_daemonsets: bool,

    /// Let pods go whose emptyDir volumes are lost with them
    #[arg(long, alias = "delete-local-data", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true,
          value_parser = parse_boolean, action = ArgAction::Set)]
    pub delete_emptydir_data: bool,

    /// Accepted for old scripts; a failed node ends the run as without it
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", value_parser = parse_boolean,
          action = ArgAction::Set)]
    pub ignore_errors: bool,

    /// Seconds that each pod gets to end; negative: its own
    #[arg(long, default_value_t = -1, allow_hyphen_values = true, value_name = "SECONDS",
          value_parser = parse_seconds)]
    pub grace_period: i64,

    /// Move only the pods that this label selector chooses
    #[arg(long, value_name = "SELECTOR")]
    pub pod_selector: Option<String>,

    /// Delete pods instead of evicting them, past their budgets; implies --strategy=evict
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub disable_eviction: bool,

    /// Do not wait for pods whose grace period ended so many seconds ago; 0: wait
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub skip_wait_for_delete_timeout: u32,
}

/// What may happen to virtual machines.
#[derive(Clone, Debug, Args)]
pub struct GuestFlags {
    /// Virtual machines that cannot migrate: refuse to begin, restart them elsewhere, stop them, or leave them
    /// [default: refuse; with kubectl's --force --delete-emptydir-data: restart, but never one with strategy LiveMigrate]
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    pub non_migratable: Option<NonMigratableArg>,

    /// These virtual machines may lose data, stay off or be gone; several with commas
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub allow_loss: Vec<MachineName>,

    /// Call a virtual machine's evacuation off after so long, its wait for a migration slot not counted; 0s: never
    #[arg(long, default_value = "30m", allow_hyphen_values = true, value_name = "DURATION")]
    pub vm_timeout: GoDuration,

    /// Call it off after so many migrations of it have failed; 0: never
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub max_failures: u32,

    /// Delete pods that a migration left running although their virtual machine runs elsewhere
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub delete_stale_launchers: bool,
}

/// `--non-migratable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NonMigratableArg {
    /// The run does not begin.
    Refuse,
    /// It is shut down and comes back elsewhere.
    Restart,
    /// It is shut down and stays off.
    Stop,
    /// It stays on the node.
    Leave,
}

/// A virtual machine as it is typed, `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineName(pub ObjectKey);

/// What is no `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be NAMESPACE/NAME, such as shop/db")]
pub struct MachineNameError;

impl FromStr for MachineName {
    type Err = MachineNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self(ObjectKey::new(namespace, name)))
            }
            _ => Err(MachineNameError),
        }
    }
}

/// What is done, by which rules, and how it is told; flattened last, beside [`NodeFlags`].
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RunFlags {
    /// Give up on a node after so long; 0s: never
    #[arg(long, default_value = "0s", allow_hyphen_values = true, value_name = "DURATION")]
    pub timeout: GoDuration,

    /// Objects in a page of a list; 0: all at once
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub chunk_size: u32,

    /// Take each node that is drained out of the load balancers, until --undo
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub exclude_from_lb: bool,

    /// Wait until the volumes of the pods that left are detached from their node
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_boolean, action = ArgAction::Set)]
    pub wait_volumes: bool,

    /// Write what the run came to into this file, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,

    /// Why, for whoever finds the node cordoned
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Show the runs that have left marks, on these nodes or in the whole cluster
    #[arg(long, conflicts_with_all = ["undo", "selector", "pool"])]
    pub status: bool,

    /// Give back what runs have changed, on these nodes or in the whole cluster
    #[arg(long, conflicts_with_all = ["selector", "pool"])]
    pub undo: bool,

    /// Take the nodes from another run that holds them, alive or not; that run stops
    #[arg(long, conflicts_with = "status")]
    pub take_over: bool,

    /// Go on when the cluster has moved since the plan was shown
    #[arg(short = 'y', long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true,
          value_parser = parse_boolean, action = ArgAction::Set)]
    pub yes: bool,

    /// The name that writes are recorded under
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,

    /// Show the plan and change nothing.
    #[command(flatten)]
    pub dry_run: DryRunFlags,

    /// How to show results.
    #[command(flatten)]
    pub output: OutputFlags,

    /// Which cluster, as whom.
    #[command(flatten)]
    pub kube: KubeFlags,
}

/// Reads `--grace-period`, which takes no unit while flags beside it need one.
fn parse_seconds(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "must be whole seconds without a unit, such as 30; -1 for each pod's own")
}

/// `--strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StrategyArg {
    /// Make before break where Kubernetes allows it.
    Auto,
    /// Make before break, or refuse.
    Surge,
    /// Evict, as `kubectl drain` does.
    Evict,
}

/// `--jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum JobsArg {
    /// They are evicted.
    Evict,
    /// They are waited for.
    Wait,
}

/// `--allow-downtime`: a workload as it is typed, `NAMESPACE/NAME` or `NAMESPACE/KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadArg(pub WorkloadName);

/// What is no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be NAMESPACE/NAME or NAMESPACE/KIND/NAME, such as shop/deployment/web")]
pub struct WorkloadArgError;

impl FromStr for WorkloadArg {
    type Err = WorkloadArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.split('/').collect();
        let (namespace, kind, name) = match parts.as_slice() {
            [namespace, name] => (*namespace, None, *name),
            [namespace, kind, name] => (*namespace, Some(*kind), *name),
            _ => return Err(WorkloadArgError),
        };
        if namespace.is_empty() || name.is_empty() || kind.is_some_and(str::is_empty) {
            return Err(WorkloadArgError);
        }
        let kind = kind.map(str::to_owned);
        Ok(Self(WorkloadName { namespace: namespace.to_owned(), kind, name: name.to_owned() }))
    }
}

/// `--max-surge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSurge(pub SurgeLimit);

/// A `--max-surge` that is neither a number nor a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a whole number of pods, or a percentage such as 25%")]
pub struct MaxSurgeError;

impl FromStr for MaxSurge {
    type Err = MaxSurgeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limit = match text.strip_suffix('%') {
            Some(percent) => percent.parse().map(SurgeLimit::Percent),
            None => text.parse().map(SurgeLimit::Pods),
        };
        limit.map(Self).map_err(|_| MaxSurgeError)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A command line with every group.
    #[derive(Debug, Parser)]
    pub(crate) struct Cli {
        #[command(flatten)]
        nodes: NodeFlags,
        #[command(flatten)]
        pods: PodFlags,
        #[command(flatten)]
        guests: GuestFlags,
        #[command(flatten)]
        run: RunFlags,
    }

    impl CommandLine for Cli {
        fn nodes(&self) -> &NodeFlags {
            &self.nodes
        }

        fn pods(&self) -> &PodFlags {
            &self.pods
        }

        fn guests(&self) -> &GuestFlags {
            &self.guests
        }

        fn run(&self) -> &RunFlags {
            &self.run
        }
    }

    pub(crate) fn parse(line: &str) -> Cli {
        Cli::try_parse_from(std::iter::once("kubectl-x").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn defaults_are_kubectls_but_for_daemon_sets() {
        let Cli { pods, run, .. } = parse("n1");
        assert!(pods.ignore_daemonsets && !pods.force && !pods.delete_emptydir_data && !pods.disable_eviction);
        assert_eq!((pods.grace_period, run.chunk_size, pods.skip_wait_for_delete_timeout), (-1, 500, 0));
        assert!(!parse("n1 --ignore-daemonsets=false").pods.ignore_daemonsets);
        assert_eq!(parse("n1 --grace-period -1").pods.grace_period, -1);
    }

    #[test]
    fn a_machine_is_named_with_its_namespace() {
        let named = |text: &str| text.parse::<MachineName>().map(|MachineName(key)| key.to_string());
        assert_eq!(named("shop/db"), Ok("shop/db".to_owned()));
        for bad in ["", "db", "/db", "shop/", "vm/shop/db"] {
            assert_eq!(named(bad), Err(MachineNameError), "{bad}");
        }
    }

    #[test]
    fn a_workload_is_named_with_its_namespace_and_perhaps_its_kind() {
        let named = |text: &str| text.parse::<WorkloadArg>().map(|WorkloadArg(name)| name.to_string());
        assert_eq!(named("shop/web"), Ok("shop/web".to_owned()));
        assert_eq!(named("shop/deployment/web"), Ok("shop/deployment/web".to_owned()));
        for bad in ["", "web", "/web", "shop/", "shop//web", "a/b/c/d"] {
            assert_eq!(named(bad), Err(WorkloadArgError), "{bad}");
        }
    }

    #[test]
    fn a_surge_is_a_number_or_a_percentage() {
        assert_eq!("3".parse(), Ok(MaxSurge(SurgeLimit::Pods(3))));
        assert_eq!("50%".parse(), Ok(MaxSurge(SurgeLimit::Percent(50))));
        for bad in ["", "%", "-1", "x", "1.5"] {
            assert_eq!(bad.parse::<MaxSurge>(), Err(MaxSurgeError), "{bad}");
        }
    }
}
