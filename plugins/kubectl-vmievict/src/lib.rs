//! `kubectl vmievict NODE…` is to move a node's virtual machines away by live migration. It is not built yet, and says
//! so.

use clap::Parser;
use kubectl_common::entry::Launch;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;
use kubectl_common::unbuilt::{self, AnyWords, Meanwhile, Unbuilt};

/// Who this plugin is.
pub const IDENTITY: PluginIdentity =
    PluginIdentity { name: "vmievict", version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY") };

/// Evict a node's virtual machines by live migration (not built yet)
///
/// This version has the name and nothing behind it: every use other than --help, --version, `completion SHELL` and
/// `man` ends with exit status 1 and changes nothing. `kubectl safedrain` does not handle virtual machines yet either.
/// Until it is built, cordon the node, migrate each virtual machine with `virtctl migrate`, look that none is left on
/// the node, and then use `kubectl drain`.
#[derive(Clone, Debug, Parser)]
pub struct VmievictArgs {
    /// What was asked for.
    #[command(flatten)]
    pub any: AnyWords,
}

impl Unbuilt for VmievictArgs {
    const MEANWHILE: &'static [Meanwhile] = &[
        Meanwhile::Know("`kubectl safedrain` does not handle virtual machines yet either; meanwhile, by hand:"),
        Meanwhile::Run("kubectl cordon NODE"),
        Meanwhile::Run("kubectl get vmi -A -l kubevirt.io/nodeName=NODE"),
        Meanwhile::Run("virtctl migrate NAME -n NAMESPACE"),
        Meanwhile::Run("kubectl drain NODE --ignore-daemonsets --delete-emptydir-data"),
        Meanwhile::Know(
            "migrate each virtual machine of the node and see none left there before the drain, which shuts down what \
             does not migrate",
        ),
    ];

    fn words(&self) -> &[String] {
        &self.any.words
    }
}

/// Runs the plugin on the command line of this process.
pub fn run(launch: &Launch) -> Result<ExitStatus, Failure> {
    unbuilt::run::<VmievictArgs>(launch)
}
