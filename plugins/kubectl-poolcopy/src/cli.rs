//! The command line.

use std::str::FromStr;

use clap::{ArgAction, Parser};
use cluster_model::selector::SelectorError;
use kubectl_common::duration::GoDuration;
use kubectl_common::flags::{DryRunFlags, KubeFlags, OutputFlags, parse_boolean};
use node_pools::copy_plan::{NodesMatch, Override};
use serde_json::Value;

/// Copy a node pool, and prove the copy identical
///
/// The pool's raw configuration is copied field by field, with only what makes it another pool changed; the copy is read
/// back and compared, and the run ends when as many nodes as the old pool has are Ready. The old pool is not touched.
/// Then `kubectl safedrain --pool POOL --onto COPY` hands the work over, and `kubectl poolcopy POOL --retire` removes
/// the old pool once it is proven empty. The same command goes on where an earlier run stopped; --undo removes the copy.
#[derive(Clone, Debug, Parser)]
#[command(
    after_help = "Exit status: 0 done, 1 unexpected, 2 usage, 3 refused and nothing changed, 4 stopped part-way \
                        (the same command goes on), 130 interrupted."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct PoolcopyArgs {
    /// The pool, as --list names it; or `completion SHELL`, `man`
    #[arg(value_name = "POOL")]
    pub words: Vec<String>,

    /// Show the pools of the cluster
    #[arg(long, conflicts_with_all = ["name", "nodes", "set", "unset", "resize", "freeze", "thaw", "retire", "undo"])]
    pub list: bool,

    /// Call the copy so [default: the pool's name with the next number]
    #[arg(long, value_name = "NEW", conflicts_with_all = ["resize", "freeze", "thaw", "retire", "undo"])]
    pub name: Option<String>,

    /// The provider of the pool, where several have one of this name
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// Give the copy so many nodes [default: as many as the pool has]
    #[arg(long, value_name = "N", conflicts_with_all = ["resize", "freeze", "thaw", "retire", "undo"])]
    pub nodes: Option<u32>,

    /// Change the copy: a JSON pointer, with the kind of the document before it unless it is the pool itself, and a
    /// value, JSON or a text; may be repeated
    #[arg(long, value_name = "[KIND:]POINTER=VALUE", conflicts_with_all = ["resize", "freeze", "thaw", "retire", "undo"])]
    pub set: Vec<SetArg>,

    /// Leave something out of the copy; may be repeated
    #[arg(long, value_name = "[KIND:]POINTER", conflicts_with_all = ["resize", "freeze", "thaw", "retire", "undo"])]
    pub unset: Vec<UnsetArg>,

    /// Refer to the same templates as the pool instead of clones (Cluster API)
    #[arg(long)]
    pub share_templates: bool,

    /// Wait until the nodes are there; =false ends when the copy is made
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", value_parser = parse_boolean, action = ArgAction::Set)]
    pub wait: bool,

    /// Do not wait until the nodes are there
    #[arg(long)]
    pub no_wait: bool,

    /// Which nodes are the new ones, of a pool whose nodes are joined by hand: they get the pool's labels and taints
    #[arg(long, value_name = "SELECTOR", conflicts_with_all = ["resize", "freeze", "thaw", "retire", "undo"])]
    pub nodes_match: Option<NodesMatchArg>,

    /// Give up waiting after so long; the same command goes on. 0s: never
    #[arg(long, default_value = "0s", allow_hyphen_values = true, value_name = "DURATION")]
    pub timeout: GoDuration,

    /// The context of the cluster that holds the pools' objects, where it is not the nodes' own (Cluster API)
    #[arg(long, value_name = "CONTEXT")]
    pub management_context: Option<String>,

    /// Give the pool N nodes, or N more or fewer; only empty, cordoned nodes go
    #[arg(long, value_name = "N|+N|-N", allow_hyphen_values = true,
          conflicts_with_all = ["freeze", "thaw", "retire", "undo"])]
    pub resize: Option<ResizeArg>,

    /// Stop the pool's growth
    #[arg(long, conflicts_with_all = ["thaw", "retire", "undo"])]
    pub freeze: bool,

    /// Let a frozen pool grow again
    #[arg(long, conflicts_with_all = ["retire", "undo"])]
    pub thaw: bool,

    /// Remove the pool, once it is proven empty
    #[arg(long, conflicts_with = "undo")]
    pub retire: bool,

    /// Remove the pool's copy, once it is proven empty
    #[arg(long)]
    pub undo: bool,

    /// Objects in a page of a list; 0: all at once
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub chunk_size: u32,

    /// The name that writes are recorded under
    #[arg(long, value_name = "NAME", default_value = "kubectl-poolcopy")]
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

impl PoolcopyArgs {
    /// Returns whether the run ends only when the nodes are there.
    pub fn waits(&self) -> bool {
        self.wait && !self.no_wait
    }
}

/// `--nodes-match`.
#[derive(Clone, Debug, PartialEq)]
pub struct NodesMatchArg(pub NodesMatch);

impl FromStr for NodesMatchArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err("an empty selector chooses every node".to_owned());
        }
        let meaning = text.parse().map_err(|error: SelectorError| error.to_string())?;
        Ok(Self(NodesMatch { text: text.to_owned(), meaning }))
    }
}

/// `--set`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetArg(pub Override);

/// `--unset`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnsetArg(pub Override);

/// `--resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeArg {
    /// So many.
    To(u32),
    /// So many more or fewer.
    By(i64),
}

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// No pointer.
    #[error("a JSON pointer begins with /, such as /spec/template/spec/version")]
    Pointer,
    /// No value.
    #[error("must be POINTER=VALUE, such as /spec/minReadySeconds=30")]
    Value,
    /// No number.
    #[error("must be a number of nodes, such as 5, or how many more or fewer, such as +2 or -1")]
    Number,
}

fn place(text: &str) -> Result<(Option<String>, String), ArgError> {
    let (kind, pointer) = match text.split_once(':') {
        Some((kind, pointer)) if !kind.contains('/') && !kind.is_empty() => (Some(kind.to_owned()), pointer),
        _ => (None, text),
    };
    if pointer.len() < 2 || !pointer.starts_with('/') {
        return Err(ArgError::Pointer);
    }
    Ok((kind, pointer.to_owned()))
}

impl FromStr for SetArg {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at, value) = text.split_once('=').ok_or(ArgError::Value)?;
        let (kind, pointer) = place(at)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self(Override { kind, pointer, value: Some(value) }))
    }
}

impl FromStr for UnsetArg {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, pointer) = place(text)?;
        Ok(Self(Override { kind, pointer, value: None }))
    }
}

impl FromStr for ResizeArg {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let by = |digits: &str| digits.parse::<u32>().map(i64::from).map_err(|_| ArgError::Number);
        match text.split_at_checked(1) {
            Some(("+", more)) => by(more).map(Self::By),
            Some(("-", fewer)) => by(fewer).map(|number| Self::By(-number)),
            _ => text.parse().map(Self::To).map_err(|_| ArgError::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use serde_json::json;

    use super::*;

    fn parse(line: &str) -> Result<PoolcopyArgs, clap::Error> {
        PoolcopyArgs::try_parse_from(std::iter::once("kubectl-poolcopy").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        PoolcopyArgs::command().debug_assert();
    }

    #[test]
    fn an_override_is_a_pointer_and_json_or_a_text() {
        let table = [
            ("/spec/replicas=3", (None, "/spec/replicas", json!(3))),
            ("/a=true", (None, "/a", json!(true))),
            ("/a=v1.37.1", (None, "/a", json!("v1.37.1"))),
            ("/a=", (None, "/a", json!(""))),
            ("/a={\"b\":1}", (None, "/a", json!({ "b": 1 }))),
            ("/a=x=y", (None, "/a", json!("x=y"))),
            ("FooMachineTemplate:/a/b=1", (Some("FooMachineTemplate"), "/a/b", json!(1))),
        ];
        for (text, (kind, pointer, value)) in table {
            let expected = Override { kind: kind.map(str::to_owned), pointer: pointer.to_owned(), value: Some(value) };
            assert_eq!(text.parse(), Ok(SetArg(expected)), "{text}");
        }
        for text in ["/spec/replicas", "spec/replicas=3", "=3", "/=3", ":/a=3", "K:a=3"] {
            assert!(text.parse::<SetArg>().is_err(), "{text}");
        }
        assert!("/a".parse::<UnsetArg>().is_ok() && "a".parse::<UnsetArg>().is_err());
    }

    #[test]
    fn a_size_is_a_number_or_a_difference() {
        let table =
            [("5", ResizeArg::To(5)), ("+2", ResizeArg::By(2)), ("-1", ResizeArg::By(-1)), ("0", ResizeArg::To(0))];
        for (text, expected) in table {
            assert_eq!(text.parse(), Ok(expected));
        }
        for text in ["", "+", "x", "1.5", "--1", "99999999999"] {
            assert!(text.parse::<ResizeArg>().is_err(), "{text}");
        }
        assert_eq!(parse("p --resize -1").unwrap().resize, Some(ResizeArg::By(-1)));
    }

    #[test]
    fn one_thing_is_done_at_a_time() {
        for line in [
            "p --retire --undo",
            "p --freeze --thaw",
            "p --list --retire",
            "p --resize 3 --name x",
            "p --undo --nodes 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(!parse("p --no-wait").unwrap().waits() && !parse("p --wait=false").unwrap().waits());
        assert!(parse("p").unwrap().waits() && parse("p --wait").unwrap().waits());
    }
}
