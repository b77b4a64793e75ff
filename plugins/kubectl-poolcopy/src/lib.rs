//! `kubectl poolcopy POOL`: makes an identical pool of new nodes beside an old one, proves it identical, and later
//! removes the old one.
//!
//! ```text
//! PoolcopyArgs ─► Job ─► look (which pools are there) ─► choose POOL
//!                                                          ├─► copy:   plan ─► preflight ─► build ─► follow ─► compare
//!                                                          ├─► settle: freeze, thaw, resize
//!                                                          └─► remove: retire, undo
//! ```
//!
//! What a provider's copy is, is decided in `node_pools`; what is sent and watched is in `node_pools_runner`.

mod build;
pub mod cli;
mod copy;
mod document;
mod failure;
mod follow;
mod job;
mod list;
mod look;
mod preflight;
mod remove;
mod render;
mod session;
mod settle;

use api_access::interrupts::Interrupts;
use clap::CommandFactory;
use cli::PoolcopyArgs;
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;
use kubectl_common::word::Word;

use crate::failure::PoolError;
use crate::job::{Goal, Job};
use crate::session::Session;

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "poolcopy", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Runs the plugin on the command line of this process.
pub async fn run(launch: Launch) -> Result<ExitStatus, Failure> {
    let args: PoolcopyArgs = launch.parse()?;
    let (terminal, output) = launch.open(args.kube.verbosity, args.output.color);
    if let Some(word) = Word::of(&args.words) {
        output.result_line(word.answer::<PoolcopyArgs>(&launch)?.trim_end());
        return Ok(ExitStatus::Done);
    }
    let job = Job::resolve(args, &launch)?;
    for warning in &job.warnings {
        output.warning(warning);
    }
    let mut interrupts = Interrupts::listen().map_err(PoolError::Signals)?;
    let opening = Box::pin(Session::open(job, output, terminal));
    let session = interrupts.unless(opening).await.map_err(|_| PoolError::InterruptedEarly)??;
    match &session.job.goal {
        Goal::List => Box::pin(list::run(&session, &mut interrupts)).await,
        Goal::Copy(request) => Box::pin(copy::run(&session, request, &mut interrupts)).await,
        Goal::Freeze | Goal::Thaw | Goal::Resize(_) => Box::pin(settle::run(&session, &mut interrupts)).await,
        Goal::Retire | Goal::Undo => Box::pin(remove::run(&session, &mut interrupts)).await,
    }
}

/// The command line's definition, for tests and packaging.
pub fn command() -> clap::Command {
    PoolcopyArgs::command()
}
