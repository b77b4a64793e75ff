//! The command line: `kubectl drain`'s flags with their meaning, and what goes beyond them.

use clap::{ArgAction, Parser};
use evacuation_runner::lease::TakeOver;
use kubectl_common::duration::GoDuration;
use kubectl_common::flags::{DryRunFlags, KubeFlags, OutputFlags, parse_boolean};

use crate::request::MaxSurge;

/// Drain nodes make-before-break
///
/// Every pod's replacement is Ready, and receives traffic, before the old pod goes. A workload that Kubernetes cannot
/// move like that is evicted under its budgets, and the plan says so before anything happens. The same command goes on
/// where an earlier run stopped; --undo gives back what was changed.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of kubectl drain")]
#[command(
    after_help = "Exit status: 0 done, 1 unexpected, 2 usage, 3 refused and nothing changed, 4 stopped part-way \
                        (the same command goes on), 5 another operator holds the node, 130 interrupted."
)]
pub struct DrainArgs {
    /// The nodes, as NAME or node/NAME; emptied in this order
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,

    /// Drain the nodes that this label selector chooses
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// How pods leave: auto (make before break where possible), surge (refuse what cannot), evict (kubectl's way)
    #[arg(long, value_enum, default_value = "auto", value_name = "STRATEGY")]
    pub strategy: StrategyArg,

    /// Extra pods of one workload at a time, a number or a percentage [default: its own maxSurge]
    #[arg(long, value_name = "N|P%")]
    pub max_surge: Option<MaxSurge>,

    /// Hold so long after a new endpoint is ready
    #[arg(long, default_value = "2s", allow_hyphen_values = true, value_name = "DURATION")]
    pub settle: GoDuration,

    /// Attach the old pod again when its replacement takes longer than this
    #[arg(long, default_value = "10m", allow_hyphen_values = true, value_name = "DURATION")]
    pub replacement_timeout: GoDuration,

    /// Let pods go that no controller makes again
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub force: bool,

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

    /// Give up on a node after so long; 0s: never
    #[arg(long, default_value = "0s", allow_hyphen_values = true, value_name = "DURATION")]
    pub timeout: GoDuration,

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

    /// Objects in a page of a list; 0: all at once
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub chunk_size: u32,

    /// Why, for whoever finds the node cordoned
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Show the runs that have left marks, on these nodes or in the whole cluster
    #[arg(long, conflicts_with_all = ["undo", "selector"])]
    pub status: bool,

    /// Give back what runs have changed, on these nodes or in the whole cluster
    #[arg(long, conflicts_with = "selector")]
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
    #[arg(long, default_value = "kubectl-safedrain", value_name = "NAME")]
    pub field_manager: String,

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

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Empty nodes.
    Drain,
    /// Show marks.
    Status,
    /// Give back changes.
    Undo,
    /// Print a completion script for this shell.
    Completion(String),
    /// Print the manual page.
    ManPage,
}

impl DrainArgs {
    /// From whom the nodes may be taken.
    pub fn take_over(&self) -> TakeOver {
        if self.take_over { TakeOver::FromAnybody } else { TakeOver::FromTheDead }
    }

    /// Tells what is asked for. A node that is called like a subcommand is reached as `node/NAME`.
    pub fn goal(&self) -> Goal {
        if self.status {
            return Goal::Status;
        }
        if self.undo {
            return Goal::Undo;
        }
        match self.nodes.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["man"] => Goal::ManPage,
            ["completion", shell] => Goal::Completion((*shell).to_owned()),
            _ => Goal::Drain,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<DrainArgs, clap::Error> {
        DrainArgs::try_parse_from(std::iter::once("kubectl-safedrain").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        DrainArgs::command().debug_assert();
    }

    #[test]
    fn the_command_line_of_the_kubevirt_procedure_is_accepted() {
        let args = parse(
            "n1 --delete-local-data --ignore-daemonsets=true --force --pod-selector=kubevirt.io=virt-launcher --ignore-errors",
        )
        .unwrap();
        assert!(args.delete_emptydir_data && args.ignore_daemonsets && args.force);
        assert_eq!(args.pod_selector.as_deref(), Some("kubevirt.io=virt-launcher"));
    }

    #[test]
    fn defaults_are_kubectls_but_for_daemon_sets() {
        let args = parse("n1").unwrap();
        assert!(args.ignore_daemonsets && !args.force && !args.delete_emptydir_data && !args.disable_eviction);
        assert_eq!((args.grace_period, args.chunk_size, args.skip_wait_for_delete_timeout), (-1, 500, 0));
        assert!(!parse("n1 --ignore-daemonsets=false").unwrap().ignore_daemonsets);
        assert_eq!(parse("n1 --grace-period -1").unwrap().grace_period, -1);
    }

    #[test]
    fn words_are_told_from_nodes() {
        assert_eq!(parse("man").unwrap().goal(), Goal::ManPage);
        assert_eq!(parse("node/man").unwrap().goal(), Goal::Drain);
        assert_eq!(parse("completion bash").unwrap().goal(), Goal::Completion("bash".into()));
        assert_eq!(parse("--undo").unwrap().goal(), Goal::Undo);
    }
}
