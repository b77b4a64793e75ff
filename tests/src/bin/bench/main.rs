//! The measurements behind `scripts/bench`: a node of virtual machines, emptied by `kubectl drain` and by
//! `kubectl vmievict`, with the real waits. Nothing here is a test: a slow run is a figure, only a failed one is an error.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are there to be read")]

mod evacuation;
mod figures;
mod guests;
mod memory;
mod migrations;
mod queue;

use std::process::ExitCode;

use clap::Parser;
use e2e::kubevirt::Setup;
use e2e::{ControlPlane, KubeVirt};

/// Measures `kubectl vmievict` beside `kubectl drain` on a control plane on this machine
///
/// The API server, its controllers and the scheduler are real. KubeVirt is the tests' stand-in, with its real waits: its
/// objects go through the states that KubeVirt's go through, and no guest runs.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench", bin_name = "scripts/bench")]
struct Args {
    /// How often each run is repeated
    #[arg(long, value_name = "TIMES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    println!("KubeVirt is a stand-in: it makes and moves KubeVirt's objects in real time, and no guest runs.");
    println!("etcd, kube-apiserver, its controllers and the scheduler are real; kwok plays the kubelets.");
    let kubevirt = KubeVirt::install(&ControlPlane::start(), Setup::default()).await;
    match queue::measure_all(kubevirt.control_plane(), args.repeat).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scripts/bench: a run failed, so there are no figures: {failure}");
            for complaint in kubevirt.complaints() {
                eprintln!("the stand-in for KubeVirt: {complaint}");
            }
            ExitCode::FAILURE
        }
    }
}
