//! The `kubectl vmievict` plugin.

use std::future;
use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_common::entry::run_plugin(&kubectl_vmievict::IDENTITY, |launch| {
        future::ready(kubectl_vmievict::run(&launch))
    })
}
