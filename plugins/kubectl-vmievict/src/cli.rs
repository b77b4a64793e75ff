//! The command line.

use clap::{ArgAction, Parser};
use evacuation::guests::Moves;
use evacuation_command::flags::{CommandLine, GuestFlags, NodeFlags, PodFlags, RunFlags};
use kubectl_common::flags::parse_boolean;

/// Evacuate the virtual machines of nodes (KubeVirt)
///
/// Every virtual machine that can migrate does, one eviction each, followed to its end; what cannot is named before
/// anything happens, with the flag that says what becomes of it. "Safe to power off" is said only when nothing names the
/// node any more. The same command goes on where an earlier run stopped; --undo calls an evacuation off for good.
#[derive(Clone, Debug, Parser)]
#[command(
    after_help = "Exit status: 0 done, 1 unexpected, 2 usage, 3 refused and nothing changed, 4 stopped part-way \
                        (the same command goes on), 5 another operator holds the node, 130 interrupted.",
    mut_arg("field_manager", |flag| flag.default_value(FIELD_MANAGER)),
)]
pub struct EvictArgs {
    /// Which nodes.
    #[command(flatten)]
    pub nodes: NodeFlags,

    /// Then drain everything else as well, like `kubectl safedrain`
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, value_parser = parse_boolean, action = ArgAction::Set)]
    pub with_pods: bool,

    /// What may happen to virtual machines.
    #[command(flatten)]
    pub guests: GuestFlags,

    /// What is done, and how it is told.
    #[command(flatten)]
    pub run: RunFlags,

    /// Which pods go, and how.
    #[command(flatten, next_help_heading = "Pods, with --with-pods")]
    pub pods: PodFlags,
}

/// The name that writes are recorded under unless another is given.
const FIELD_MANAGER: &str = "kubectl-vmievict";

impl CommandLine for EvictArgs {
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

    fn is_for_guests(&self) -> bool {
        true
    }

    fn moves(&self) -> Moves {
        if self.with_pods { Moves::Everything } else { Moves::GuestsOnly }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<EvictArgs, clap::Error> {
        EvictArgs::try_parse_from(std::iter::once("kubectl-vmievict").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        EvictArgs::command().debug_assert();
    }

    #[test]
    fn pods_stay_unless_they_are_asked_for() {
        assert_eq!(parse("n1").unwrap().moves(), Moves::GuestsOnly);
        assert_eq!(parse("n1 --with-pods").unwrap().moves(), Moves::Everything);
        assert_eq!(parse("n1 --with-pods=false").unwrap().moves(), Moves::GuestsOnly);
    }

    #[test]
    fn virtual_machines_are_named_with_their_namespace() {
        assert_eq!(parse("n1 --allow-loss=shop/db,shop/web").unwrap().guests.allow_loss.len(), 2);
        assert!(parse("n1 --allow-loss=db").is_err());
        assert!(parse("n1 --non-migratable=destroy").is_err());
    }
}
