//! The `kubectl poolcopy` plugin.

use std::future;
use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_common::entry::run_plugin(&kubectl_poolcopy::IDENTITY, |launch| {
        future::ready(kubectl_poolcopy::run(&launch))
    })
}
