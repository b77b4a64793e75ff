//! The `kubectl poolcopy` plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_common::entry::run_plugin(&kubectl_poolcopy::IDENTITY, kubectl_poolcopy::run)
}
