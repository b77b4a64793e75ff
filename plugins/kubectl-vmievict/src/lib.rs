//! `kubectl vmievict NODE…`: moves the virtual machines of a node away, by live migration where they can.
//!
//! Here are its names and its command line; what it does is in `evacuation_command`, which `kubectl safedrain` shares.

pub mod cli;

use clap::CommandFactory;
use cli::EvictArgs;
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "vmievict", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Runs the plugin on the command line of this process.
pub async fn run(launch: Launch) -> Result<ExitStatus, Failure> {
    evacuation_command::run::<EvictArgs>(launch).await
}

/// The command line's definition, for tests and packaging.
pub fn command() -> clap::Command {
    EvictArgs::command()
}
