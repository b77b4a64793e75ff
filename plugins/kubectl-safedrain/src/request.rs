//! From what was typed to what is meant: nothing below knows of the command line.

use std::str::FromStr;
use std::time::Duration;

use cluster_model::disposition::DrainPolicy;
use cluster_model::identity::NodeName;
use cluster_model::selector::Selector;
use evacuation::request::{DrainRequest, Removal, Strategy, SurgeLimit};
use kubectl_common::entry::Shell;

use crate::cli::{DrainArgs, StrategyArg};
use crate::failure::DrainError;
use crate::nodes;

/// The most characters of a field manager's name (`k8s.io/apimachinery`, `FieldManagerMaxLength`).
const LONGEST_FIELD_MANAGER: usize = 128;

/// Which nodes were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    /// By name, in order, each once.
    Named(Vec<NodeName>),
    /// By label selector.
    Selected(String),
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

/// Resolves the drain itself.
pub(crate) fn drain_request(args: &DrainArgs) -> Result<DrainRequest, DrainError> {
    if args.field_manager.chars().count() > LONGEST_FIELD_MANAGER {
        return Err(DrainError::FieldManager);
    }
    let grace_seconds = match u64::try_from(args.grace_period) {
        Ok(seconds) => Some(u32::try_from(seconds).map_err(|_| DrainError::GracePeriod(args.grace_period))?),
        Err(_) => None,
    };
    let skip = Duration::from_secs(u64::from(args.skip_wait_for_delete_timeout));
    let strategy = match args.strategy {
        _ if args.disable_eviction => Strategy::Evict,
        StrategyArg::Auto => Strategy::Auto,
        StrategyArg::Surge => Strategy::Surge,
        StrategyArg::Evict => Strategy::Evict,
    };
    Ok(DrainRequest {
        strategy,
        policy: DrainPolicy {
            force: args.force,
            refuse_daemon_sets: !args.ignore_daemonsets,
            delete_empty_dir_data: args.delete_emptydir_data,
            skip_wait_for_delete: (!skip.is_zero()).then_some(skip),
        },
        removal: if args.disable_eviction { Removal::Delete } else { Removal::Evict },
        grace_seconds,
        max_surge: args.max_surge.map(|MaxSurge(limit)| limit),
        settle: args.settle.get(),
        replacement_timeout: args.replacement_timeout.limit().unwrap_or(Duration::MAX / 2),
        node_timeout: args.timeout.limit(),
        ..DrainRequest::default()
    })
}

/// Resolves the nodes of a drain.
pub(crate) fn targets(args: &DrainArgs) -> Result<Targets, DrainError> {
    match (&args.selector, args.nodes.is_empty()) {
        (None, true) => Err(DrainError::NoNode),
        (Some(_), false) => Err(DrainError::NodesAndSelector),
        (Some(selector), true) if selector.trim().is_empty() => Err(DrainError::EmptySelector),
        (Some(selector), true) => match selector.parse::<Selector>() {
            Ok(_) => Ok(Targets::Selected(selector.clone())),
            Err(error) => Err(DrainError::Selector("--selector", error)),
        },
        (None, false) => node_names(args).map(Targets::Named),
    }
}

/// Reads `--pod-selector`.
pub(crate) fn pod_selector(args: &DrainArgs) -> Result<Option<Selector>, DrainError> {
    let read = |text: &String| text.parse().map_err(|error| DrainError::Selector("--pod-selector", error));
    args.pod_selector.as_ref().filter(|text| !text.is_empty()).map(read).transpose()
}

/// Reads the nodes that were named, each once.
pub(crate) fn node_names(args: &DrainArgs) -> Result<Vec<NodeName>, DrainError> {
    let mut names = Vec::new();
    for argument in &args.nodes {
        let name = nodes::parse(argument)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The options that differ from the defaults, for the mark on the node.
pub(crate) fn options(args: &DrainArgs) -> Vec<String> {
    let switches = [
        (args.force, "--force"),
        (!args.ignore_daemonsets, "--ignore-daemonsets=false"),
        (args.delete_emptydir_data, "--delete-emptydir-data"),
        (args.disable_eviction, "--disable-eviction"),
    ];
    let strategy = match args.strategy {
        StrategyArg::Auto => None,
        StrategyArg::Surge => Some("--strategy=surge".to_owned()),
        StrategyArg::Evict => Some("--strategy=evict".to_owned()),
    };
    let selector = args.pod_selector.as_ref().map(|selector| format!("--pod-selector={selector}"));
    switches
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, flag)| flag.to_owned())
        .chain(strategy)
        .chain(selector)
        .collect()
}

/// Reads the name of a shell.
pub(crate) fn parse_shell(name: &str) -> Result<Shell, DrainError> {
    Shell::from_str(name).map_err(|_| DrainError::UnknownShell(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn parse(line: &str) -> DrainArgs {
        DrainArgs::try_parse_from(std::iter::once("kubectl-safedrain").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn nodes_are_named_once_and_with_or_without_their_kind() {
        let named = |line| targets(&parse(line)).map_err(|error| error.to_string());
        let two = Targets::Named(vec![NodeName::from("b"), NodeName::from("a")]);
        assert_eq!(named("b node/a b nodes/a"), Ok(two));
        assert!(named("pod/a").unwrap_err().contains("pod/a"));
        assert!(named("node/").unwrap_err().contains("node/"));
        assert!(named("").unwrap_err().contains("USAGE"));
        assert!(named("a -l pool=x").unwrap_err().contains("both"));
        assert!(named("--selector=").unwrap_err().contains("empty"));
    }

    #[test]
    fn a_surge_is_a_number_or_a_percentage() {
        assert_eq!("3".parse(), Ok(MaxSurge(SurgeLimit::Pods(3))));
        assert_eq!("50%".parse(), Ok(MaxSurge(SurgeLimit::Percent(50))));
        for bad in ["", "%", "-1", "x", "1.5"] {
            assert_eq!(bad.parse::<MaxSurge>(), Err(MaxSurgeError), "{bad}");
        }
    }

    #[test]
    fn deleting_pods_implies_kubectls_way() {
        let request = drain_request(&parse("n1 --disable-eviction --grace-period=0")).unwrap();
        assert_eq!(
            (request.strategy, request.removal, request.grace_seconds),
            (Strategy::Evict, Removal::Delete, Some(0))
        );
        assert_eq!(drain_request(&parse("n1")).unwrap().grace_seconds, None);
    }
}
