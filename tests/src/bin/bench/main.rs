//! The measurements behind `scripts/bench`: a node of pods, emptied by `kubectl drain` and by `kubectl safedrain`, and one of
//! virtual machines, emptied by `kubectl drain` and by `kubectl vmievict`, with the real waits. Nothing here is a test: a slow run is a figure, only a failed one is an error.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are there to be read")]

mod evacuation;
mod figures;
mod forecast;
mod guests;
mod memory;
mod migrations;
mod pods;
mod queue;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use e2e::kubevirt::Setup;
use e2e::{ControlPlane, KubeVirt};

/// Measures `kubectl safedrain` and `kubectl vmievict` beside `kubectl drain` on a control plane on this machine
///
/// The API server, its controllers and the scheduler are real. KubeVirt is the tests' stand-in, with its real waits: its
/// objects go through the states that KubeVirt's go through, and no guest runs.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench", bin_name = "scripts/bench")]
struct Args {
    /// How often each run is repeated
    #[arg(long, value_name = "TIMES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// What is measured
    #[arg(long, value_enum, default_value_t = What::All)]
    what: What,
}

/// What is on the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The forecast, then pods, then virtual machines
    All,
    /// Pods only
    Pods,
    /// Virtual machines only
    Machines,
    /// The forecast of a large cluster only, which needs no server
    Forecast,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    if matches!(args.what, What::All | What::Forecast)
        && let Err(error) = forecast::measure()
    {
        eprintln!("scripts/bench: a generated object cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    if args.what == What::Forecast {
        return ExitCode::SUCCESS;
    }
    println!("etcd, kube-apiserver, its controllers and the scheduler are real; kwok plays the kubelets.");
    if args.what != What::Machines
        && let Err(failure) = pods::measure_all(&ControlPlane::start(), args.repeat).await
    {
        eprintln!("scripts/bench: a run failed, so there are no figures: {failure}");
        return ExitCode::FAILURE;
    }
    if args.what == What::Pods {
        return ExitCode::SUCCESS;
    }
    println!("\nKubeVirt is a stand-in: it makes and moves KubeVirt's objects in real time, and no guest runs.");
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
