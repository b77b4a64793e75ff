//! The `kubectl safedrain` plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_common::entry::run_plugin(&kubectl_safedrain::IDENTITY, kubectl_safedrain::run)
}
