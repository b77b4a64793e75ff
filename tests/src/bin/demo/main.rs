//! The demonstration behind `scripts/demo`: the same node with the same shop on it, drained by `kubectl drain` and by
//! `kubectl safedrain`, with the ready endpoints of every Service recorded throughout.

#![expect(clippy::print_stdout, reason = "a demonstration is there to be read")]

mod shop;
mod turn;

use std::path::PathBuf;

use clap::Parser;
use e2e::{ControlPlane, Kubectl, Namespace, Plugin};

use shop::{SHOP, Shop};
use turn::{Turn, compare};

/// How long `kubectl drain` may try: for ever would be the truth, but nobody wants to watch that.
const PATIENCE: &str = "--timeout=25s";

/// Drains the same node of the same shop twice: with `kubectl drain` and with `kubectl safedrain`
#[derive(Debug, Parser)]
#[command(name = "scripts/demo", bin_name = "scripts/demo")]
struct Args {
    /// Leave the cluster running afterwards, until Ctrl-C
    #[arg(long, conflicts_with = "kubeconfig")]
    keep: bool,

    /// Use the current context of this kubeconfig instead of a control plane on this machine. The shop gets a namespace
    /// of its own, only its pods are moved, and the node is given back
    #[arg(long, value_name = "FILE", requires = "node")]
    kubeconfig: Option<PathBuf>,

    /// The node of that cluster that is cordoned and freed of the shop's pods
    #[arg(long, value_name = "NODE", requires = "kubeconfig")]
    node: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    if let (Some(kubeconfig), Some(node)) = (args.kubeconfig, args.node) {
        title(&format!("The cluster of {}: node {node}, and only the shop's pods", kubeconfig.display()));
        show_both(&ControlPlane::existing(&kubeconfig), &node).await;
        return;
    }
    title("A control plane starts: etcd, kube-apiserver, controllers, scheduler; kwok plays the kubelets");
    let control_plane = ControlPlane::start();
    let pools = Namespace::fresh(&control_plane, "pools").await;
    let node = make_pools(&pools).await;
    show_both(&control_plane, &node).await;
    show_the_whole_pool(&control_plane, &pools).await;
    if args.keep {
        keep(&control_plane, &pools).await;
    }
}

/// Makes three old nodes and three new ones; returns the one that is going to be drained.
async fn make_pools(pools: &Namespace) -> String {
    for pool in ["old", "new"] {
        for letter in ["a", "b", "c"] {
            let name = format!("pool-{pool}-{letter}");
            let label = if pool == "old" { "pool" } else { "rack" };
            pools.node(&name).called(&name).label(label, pool).zone(&format!("zone-{letter}")).create().await;
        }
    }
    print!(
        "{}",
        Kubectl::run(pools, ["get", "nodes", "--label-columns=pool,rack,topology.kubernetes.io/zone"]).await.stdout
    );
    "pool-old-a".to_owned()
}

async fn show_both(control_plane: &ControlPlane, node: &str) {
    let selector = format!("--pod-selector={SHOP}");

    title("The shop opens");
    let shop = Shop::open(control_plane, node).await;
    shop.introduce().await;
    let line = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", &selector, PATIENCE];
    title(&format!("First kubectl: kubectl {}", line.join(" ")));
    let by_kubectl = Turn::take(&shop, Kubectl::command(shop.namespace(), line)).await;
    shop.show_pods("After kubectl drain").await;
    Kubectl::run(shop.namespace(), ["uncordon", node]).await.expect_code(0);
    drop(shop);

    title("The same shop again, on the same node");
    let shop = Shop::open(control_plane, node).await;
    shop.show_pods("Before").await;
    let plan = [node, &selector, "--dry-run=client"];
    title(&format!("The plan: kubectl safedrain {}", plan.join(" ")));
    Plugin::safedrain(shop.namespace()).args(plan).shown().run().await.expect_code(0);
    title(&format!("The run: kubectl safedrain {node} {selector}"));
    let by_us = Turn::take(&shop, Plugin::safedrain(shop.namespace()).args([node, &selector])).await;
    shop.show_pods("After safedrain").await;

    title("Side by side: ready endpoints of each Service while the node was drained");
    compare(&[("kubectl drain", &by_kubectl), ("kubectl safedrain", &by_us)]);
    println!("\nkubectl drain was given 25 s; without a --timeout it tries for ever to evict checkout's only pod.");

    title(&format!("And back: kubectl safedrain {node} --undo"));
    Plugin::safedrain(shop.namespace()).args([node, "--undo"]).shown().run().await.expect_code(0);
}

/// A whole pool of nodes replaced: the three steps of a rolling node replacement.
async fn show_the_whole_pool(control_plane: &ControlPlane, pools: &Namespace) {
    let shop = Shop::open(control_plane, "pool-old-a").await;
    let selector = format!("--pod-selector={SHOP}");
    let copy = ["pool=old", "--name=new", "--nodes-match=rack=new"];
    title(&format!(
        "A whole pool in three steps. First the copy, of nodes that stand ready: kubectl poolcopy {}",
        copy.join(" ")
    ));
    Plugin::poolcopy(shop.namespace()).args(copy).shown().run().await.expect_code(0);
    let drain = ["--pool=pool=old", "--onto=pool=new", &selector];
    title(&format!("The work goes over: kubectl safedrain {}", drain.join(" ")));
    let turn = Turn::take(&shop, Plugin::safedrain(shop.namespace()).args(drain)).await;
    shop.show_pods("After safedrain").await;
    compare(&[("safedrain --pool", &turn)]);
    let retire = ["pool=old", "--retire"];
    title(&format!("The end of the old pool, once it is proven empty: kubectl poolcopy {}", retire.join(" ")));
    Plugin::poolcopy(shop.namespace()).args(retire).shown().run().await.expect_code(0);
    let nodes = ["pool-old-a", "pool-old-b", "pool-old-c"];
    Plugin::safedrain(pools).args(nodes).args(["--undo"]).run().await.expect_code(0);
}

/// Leaves the cluster to the person at the terminal. It ends with this process, so nothing is left behind.
async fn keep(control_plane: &ControlPlane, pools: &Namespace) {
    let shop = Shop::open(control_plane, "pool-old-a").await;
    title("The cluster stays until you press Ctrl-C. In another terminal:");
    let path = control_plane.folder().join("path");
    println!("  export PATH={}:$PATH", path.display());
    println!("  export KUBECONFIG={}", pools.user().kubeconfig.display());
    println!("  kubectl get pods -A -o wide          the shop is in namespace {}", shop.namespace().name());
    println!("  kubectl safedrain pool-old-a --dry-run");
    println!("  kubectl safedrain pool-old-a");
    println!("  kubectl safedrain --undo");
    if tokio::signal::ctrl_c().await.is_ok() {
        println!();
    }
}

fn title(text: &str) {
    println!("\n── {text}\n");
}
