//! The tests' stand-in for KubeVirt on a cluster that is there already, to look at by hand. It is no KubeVirt: no guest
//! runs.

#![expect(clippy::print_stdout, reason = "it says when it can be used")]

use std::path::PathBuf;

use clap::Parser;
use e2e::kubevirt::Setup;
use e2e::kubevirt::controller::ControllerSetup;
use e2e::{ControlPlane, KubeVirt};

/// Plays KubeVirt on a cluster whose API server is on this machine, until Ctrl-C
///
/// It is a stand-in: its objects go through the states that KubeVirt's go through, and no guest runs. A node takes part
/// if it has the annotation stand-in/virt-handler=alive; annotations of machines say how they behave
/// (tests/src/kubevirt/controller/behaviour.rs). On Ctrl-C the webhooks are taken away again; the custom resources and
/// what was made of them stay.
#[derive(Debug, Parser)]
#[command(name = "kubevirt-stand-in")]
struct Args {
    /// The kubeconfig whose current context is used; its user must have every right
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,

    /// The version of KubeVirt that is shown; before v1.7 an evacuation cannot be cancelled
    #[arg(long, value_name = "VERSION", default_value = "v1.9.0")]
    kubevirt_version: String,

    /// The eviction strategy of machines that name none
    #[arg(long, value_name = "STRATEGY", default_value = "None",
          value_parser = ["None", "LiveMigrate", "LiveMigrateIfPossible", "External"])]
    eviction_strategy: String,

    /// How many migrations may run in the cluster
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    parallel_migrations_per_cluster: u32,

    /// How many migrations may run from one node
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    parallel_outbound_migrations_per_node: u32,

    /// By how much KubeVirt's own waits (after a failed migration, for a target pod) are shorter than they are
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    time_divisor: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    let setup = Setup {
        version: args.kubevirt_version,
        eviction_strategy: args.eviction_strategy,
        parallel_migrations_per_cluster: args.parallel_migrations_per_cluster,
        parallel_outbound_migrations_per_node: args.parallel_outbound_migrations_per_node,
        controllers: Some(ControllerSetup { time_divisor: args.time_divisor }),
    };
    let kubevirt = KubeVirt::install(&ControlPlane::existing(&args.kubeconfig), setup).await;
    println!("The stand-in for KubeVirt is ready; virt-api is at {}. Ctrl-C ends it.", kubevirt.virt_api_address());
    // Without the signal there is nothing to wait for.
    drop(tokio::signal::ctrl_c().await);
    kubevirt.take_away_webhooks().await;
}
