//! `kubectl safedrain NODE…`: hands every pod of a node over to another one; the replacement is Ready before the old
//! pod goes.
//!
//! Arguments become a request (`request`), a request becomes a plan and a run (`drain`), and what happens is put
//! into words (`render`) or documents (`document`). Decisions are made in the crate `evacuation`.

pub mod cli;
mod document;
mod drain;
mod failure;
mod look;
mod nodes;
mod render;
mod request;
mod rights;
mod session;
mod status;
mod undo;

use clap::CommandFactory;
use cli::{DrainArgs, Goal};
use kubectl_common::entry::{self, Launch, Shell};
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "safedrain", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Runs the plugin on the command line of this process.
pub async fn run(launch: Launch) -> Result<ExitStatus, Failure> {
    let args: DrainArgs = launch.parse()?;
    let (terminal, output) = launch.open(args.kube.verbosity, args.output.color);
    match args.goal() {
        Goal::Completion(shell) => {
            let shell: Shell = request::parse_shell(&shell)?;
            let mut text = Vec::new();
            entry::completion(launch.command::<DrainArgs>(), shell, &mut text).map_err(failure::unexpected)?;
            output.result_line(String::from_utf8_lossy(&text).trim_end());
            Ok(ExitStatus::Done)
        }
        Goal::ManPage => {
            let mut text = Vec::new();
            entry::man_page(launch.command::<DrainArgs>(), &mut text).map_err(failure::unexpected)?;
            output.result_line(String::from_utf8_lossy(&text).trim_end());
            Ok(ExitStatus::Done)
        }
        Goal::Status => status::run(&args, &launch, &output, &terminal).await,
        Goal::Undo => Box::pin(undo::run(&args, &launch, &output)).await,
        Goal::Drain => drain::run(&args, &launch, &output, &terminal).await,
    }
}

/// The command line's definition, for tests and packaging.
pub fn command() -> clap::Command {
    DrainArgs::command()
}
