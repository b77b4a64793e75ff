//! The shop that the demonstration drains: a bit of everything, all of it on one node to begin with.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON template with a name adds what is not there")]

use e2e::workload::WorkloadBuilder;
use e2e::{ControlPlane, Kubectl, Namespace, Plugin};
use serde_json::json;

/// The label of all the shop's pods.
pub(crate) const SHOP: &str = "app.kubernetes.io/part-of=shop";

/// Runs on every cluster, and does nothing there.
const IMAGE: &str = "registry.k8s.io/pause:3.10";

/// The Services and how many endpoints each has.
pub(crate) const SERVICES: [(&str, usize, &str); 4] = [
    ("checkout", 1, "Deployment, 1 replica, budget minAvailable 1"),
    ("web", 3, "Deployment, 3 replicas, budget maxUnavailable 1"),
    ("search", 2, "Deployment, 2 replicas, no budget"),
    ("db", 1, "StatefulSet, 1 replica, no budget"),
];

/// An open shop; it closes when it is dropped.
pub(crate) struct Shop {
    ns: Namespace,
    node: String,
}

impl Shop {
    /// Opens a shop whose pods prefer one node, and waits until all of it serves.
    pub(crate) async fn open(control_plane: &ControlPlane, node: &str) -> Self {
        // Deploying a plugin is part of the harness; this makes the link for `keep`.
        let ns = Namespace::fresh(control_plane, "shop").await;
        drop(Plugin::safedrain(&ns));
        let of_the_shop = |workload| part_of_the_shop(workload).preferring(node);
        for (service, replicas, _) in SERVICES {
            ns.service(service).create().await;
            let count = u32::try_from(replicas).unwrap_or(1);
            let workload = if service == "db" { ns.stateful_set(service) } else { ns.deployment(service) };
            of_the_shop(workload).replicas(count).ready().await;
            ns.ready_endpoints(service, replicas).await;
        }
        of_the_shop(ns.job("nightly-report")).ready().await;
        part_of_the_shop(ns.daemon_set("log-agent"))
            .edit_pod(|pod| pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node }))
            .ready()
            .await;
        ns.budget("checkout").min_available(1).ready().await;
        ns.budget("web").max_unavailable(1).ready().await;
        Self { ns, node: node.to_owned() }
    }

    /// Returns its namespace.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// Says what there is, and where.
    pub(crate) async fn introduce(&self) {
        println!("In namespace {}, pods need 3 s to become Ready and 1 s to end:", self.ns.name());
        for (service, _, what) in SERVICES {
            println!("  {service:<15} {what}");
        }
        println!("  {:<15} Job", "nightly-report");
        println!("  {:<15} DaemonSet\n", "log-agent");
        self.show_pods("Before").await;
    }

    /// Shows which pods are on the node and which are elsewhere.
    pub(crate) async fn show_pods(&self, title: &str) {
        let columns = "-o=custom-columns=NAME:.metadata.name,NODE:.spec.nodeName,PHASE:.status.phase";
        let all = Kubectl::run(&self.ns, ["get", "pods", columns, "--sort-by=.spec.nodeName", "-l", "app!=log-agent"])
            .await
            .expect_code(0);
        let here = all.stdout.lines().filter(|line| line.contains(&format!(" {} ", self.node))).count();
        let pods = if here == 1 { "pod" } else { "pods" };
        println!("{title}: {here} {pods} of the shop on {}, besides the DaemonSet's\n", self.node);
        print!("{}", all.stdout);
    }
}

fn part_of_the_shop(workload: WorkloadBuilder<'_>) -> WorkloadBuilder<'_> {
    workload
        .label("app.kubernetes.io/part-of", "shop")
        .edit_pod(|pod| pod["spec"]["containers"][0]["image"] = json!(IMAGE))
        .ready_after("3s")
        .exit_after("1s")
}
