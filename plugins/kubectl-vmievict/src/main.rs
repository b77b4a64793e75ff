//! The `kubectl vmievict` plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_common::entry::run_plugin(&kubectl_vmievict::IDENTITY, kubectl_vmievict::run)
}
