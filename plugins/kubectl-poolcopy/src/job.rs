//! From what was typed to what is meant.

use std::time::Duration;

use jiff::Timestamp;
use kubectl_common::entry::Launch;
use kubectl_common::environment::Environment;
use kubectl_common::flags::{DryRun, KubeFlags, OutputFormat};
use kubectl_common::identity::PluginIdentity;
use node_pools::copy_plan::CopyRequest;
use node_pools::mark::Maker;

use crate::cli::{NodesMatchArg, PoolcopyArgs, ResizeArg, SetArg, UnsetArg};
use crate::failure::PoolError;

/// What is to be done, with nothing left to resolve.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) plugin: &'static PluginIdentity,
    pub(crate) environment: Environment,
    pub(crate) kube: KubeFlags,
    pub(crate) management_context: Option<String>,
    pub(crate) goal: Goal,
    /// The pool; empty for a list.
    pub(crate) pool: String,
    /// `-n`, if it was given: only pools of this namespace are meant.
    pub(crate) namespace: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) waits: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dry_run: DryRun,
    pub(crate) format: OutputFormat,
    pub(crate) field_manager: String,
    pub(crate) chunk_size: u32,
    pub(crate) warnings: Vec<&'static str>,
}

/// What is to be done with the pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goal {
    List,
    /// Who makes the copy is known only when the connection is.
    Copy(CopyRequest),
    Freeze,
    Thaw,
    Resize(ResizeArg),
    Retire,
    Undo,
}

impl Job {
    /// Resolves a command line.
    pub(crate) fn resolve(args: PoolcopyArgs, launch: &Launch) -> Result<Self, PoolError> {
        let goal = goal(&args);
        let pool = match (args.words.as_slice(), &goal) {
            ([], Goal::List) => String::new(),
            ([], _) => return Err(PoolError::NoPool),
            ([pool], Goal::List) => return Err(PoolError::ListOfOne(pool.clone())),
            ([pool], _) if pool.trim().is_empty() => return Err(PoolError::EmptyPool),
            ([pool], _) => pool.clone(),
            _ => return Err(PoolError::SeveralPools),
        };
        let waits = args.waits();
        Ok(Self {
            plugin: launch.identity,
            environment: launch.environment.clone(),
            namespace: args.kube.namespace.clone(),
            kube: args.kube,
            management_context: args.management_context,
            goal,
            pool,
            provider: args.provider,
            waits,
            timeout: args.timeout.limit(),
            dry_run: args.dry_run.mode(),
            format: args.output.output,
            field_manager: args.field_manager,
            chunk_size: args.chunk_size,
            warnings: args.dry_run.deprecation().into_iter().collect(),
        })
    }
}

fn goal(args: &PoolcopyArgs) -> Goal {
    if args.list {
        return Goal::List;
    }
    if args.freeze {
        return Goal::Freeze;
    }
    if args.thaw {
        return Goal::Thaw;
    }
    if let Some(size) = args.resize {
        return Goal::Resize(size);
    }
    if args.retire {
        return Goal::Retire;
    }
    if args.undo {
        return Goal::Undo;
    }
    let set = args.set.iter().map(|SetArg(one)| one.clone());
    let unset = args.unset.iter().map(|UnsetArg(one)| one.clone());
    let nobody = Maker { run: String::new(), user: String::new(), at: Timestamp::UNIX_EPOCH, version: String::new() };
    Goal::Copy(CopyRequest {
        name: args.name.clone(),
        size: args.nodes,
        overrides: set.chain(unset).collect(),
        nodes_match: args.nodes_match.clone().map(|NodesMatchArg(one)| one),
        share_templates: args.share_templates,
        maker: nobody,
    })
}
