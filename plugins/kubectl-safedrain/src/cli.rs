//! The command line: `kubectl drain`'s flags with their meaning, and what goes beyond them.

use clap::Parser;
use evacuation_command::flags::{CommandLine, GuestFlags, NodeFlags, PodFlags, RunFlags};

/// Drain nodes make-before-break
///
/// Every pod's replacement is Ready, and receives traffic, before the old pod goes. A workload that Kubernetes cannot
/// move like that is evicted under its budgets, and the plan says so before anything happens. The same command goes on
/// where an earlier run stopped; --undo gives back what was changed.
#[derive(Clone, Debug, Parser)]
#[command(
    after_help = "Exit status: 0 done, 1 unexpected, 2 usage, 3 refused and nothing changed, 4 stopped part-way \
                        (the same command goes on), 5 another operator holds the node, 130 interrupted.",
    mut_arg("field_manager", |flag| flag.default_value(FIELD_MANAGER)),
)]
pub struct DrainArgs {
    /// Which nodes.
    #[command(flatten)]
    pub nodes: NodeFlags,

    /// Which pods go, and how.
    #[command(flatten)]
    pub pods: PodFlags,

    /// What may happen to virtual machines.
    #[command(flatten, next_help_heading = "Virtual machines (KubeVirt)")]
    pub guests: GuestFlags,

    /// What is done, and how it is told.
    #[command(flatten)]
    pub run: RunFlags,
}

/// The name that writes are recorded under unless another is given.
const FIELD_MANAGER: &str = "kubectl-safedrain";

impl CommandLine for DrainArgs {
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
        assert!(args.pods.delete_emptydir_data && args.pods.ignore_daemonsets && args.pods.force);
        assert_eq!(args.pods.pod_selector.as_deref(), Some("kubevirt.io=virt-launcher"));
    }

    #[test]
    fn writes_are_recorded_under_the_plugins_own_name() {
        assert_eq!(FIELD_MANAGER, crate::IDENTITY.binary());
        assert_eq!(parse("n1").unwrap().run.field_manager.as_deref(), Some(FIELD_MANAGER));
    }
}
