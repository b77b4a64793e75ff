//! `kubectl safedrain NODE…`: hands every pod of a node over to another one; the replacement is Ready before the old
//! pod goes.
//!
//! Here are its names and its command line; what it does is in `evacuation_command`, which `kubectl vmievict` shares.

pub mod cli;

use clap::CommandFactory;
use cli::DrainArgs;
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "safedrain", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Runs the plugin on the command line of this process.
pub async fn run(launch: Launch) -> Result<ExitStatus, Failure> {
    evacuation_command::run::<DrainArgs>(launch).await
}

/// The command line's definition, for tests and packaging.
pub fn command() -> clap::Command {
    DrainArgs::command()
}
