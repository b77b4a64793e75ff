//! `kubectl poolcopy POOL` is to make an identical pool of new nodes. It is not built yet, and says so.

use clap::Parser;
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;
use kubectl_common::unbuilt::{self, AnyWords, Meanwhile, Unbuilt};

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "poolcopy", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Copy a node pool with chosen changes (not built yet)
///
/// This version has the name and nothing behind it: every use other than --help, --version, `completion SHELL` and
/// `man` ends with exit status 1 and changes nothing. Until it is built, create the new pool with your provider's own
/// console or command line, and hand the nodes of the old one over with `kubectl safedrain`.
#[derive(Clone, Debug, Parser)]
pub struct PoolcopyArgs {
    /// What was asked for.
    #[command(flatten)]
    pub any: AnyWords,
}

impl Unbuilt for PoolcopyArgs {
    const MEANWHILE: &'static [Meanwhile] = &[
        Meanwhile::Know(
            "make the new node pool with your provider's own console or command line, with the old one's settings",
        ),
        Meanwhile::Know("then hand over each node of the old pool; `kubectl safedrain` is built"),
        Meanwhile::Run("kubectl safedrain NODE --dry-run=client"),
    ];

    fn words(&self) -> &[String] {
        &self.any.words
    }
}

/// Runs the plugin on the command line of this process.
pub fn run(launch: &Launch) -> Result<ExitStatus, Failure> {
    unbuilt::run::<PoolcopyArgs>(launch)
}
