//! The pods that stay on a node whose virtual machines leave: who switches the node off has to know of them, first of
//! those that the whole cluster would miss.

use cluster_model::identity::NodeName;
use cluster_model::importance::Importance;
use cluster_model::kubevirt::{self, NodeVerdict};
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::notes::at_most;
use crate::failure::count;

/// How many are named, unless more than these matter to the whole cluster.
const NAMED: usize = 3;
/// How many are named at the most.
const MOST_NAMED: usize = 8;

/// The pods of one node in which no virtual machine runs and that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bystanders(Vec<(Importance, String)>);

impl Bystanders {
    /// Finds them.
    pub(super) fn on(node: &NodeName, cluster: &ClusterSnapshot) -> Self {
        let stays = |pod: &&Pod| !pod.is_terminal() && !is_launcher(pod);
        let pods = cluster.pods_on(node).filter(stays);
        let mut pods: Vec<_> = pods.map(|pod| (Importance::of(pod), pod.id.to_string())).collect();
        pods.sort();
        Self(pods)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The names of those that matter most, with why they do.
    pub(super) fn named(&self) -> String {
        let is_named_first = |importance: Importance| importance < Importance::Critical;
        let matter = self.0.iter().filter(|(importance, _)| is_named_first(*importance)).count();
        let names: Vec<_> = self.0.iter().map(|(importance, name)| format!("{name}{}", remark(*importance))).collect();
        at_most(matter.clamp(NAMED, MOST_NAMED), &names)
    }
}

fn remark(importance: Importance) -> &'static str {
    match importance {
        Importance::Storage => " (storage)",
        Importance::Etcd => " (etcd)",
        Importance::ControlPlane => " (control plane)",
        Importance::KubeVirt => " (KubeVirt itself)",
        Importance::Critical | Importance::Ordinary => "",
    }
}

/// Whether a guest runs in it. A pod that attaches a disk to one is no guest's: it may outlast the guest's leaving.
fn is_launcher(pod: &Pod) -> bool {
    pod.labels.get("kubevirt.io").is_some_and(|role| role == "virt-launcher")
}

/// The last word about a node of which the run has proven that it holds no virtual machine any more. Nothing is said
/// where that has changed since.
pub(crate) fn farewell(node: &NodeName, cluster: &ClusterSnapshot) -> Option<String> {
    let is_empty = kubevirt::whats_left(node, cluster.virtualization()) == NodeVerdict::Empty;
    let others = Bystanders::on(node, cluster);
    let rest = match others.count() {
        0 => "no other pod runs here".to_owned(),
        1 => format!("1 other pod still runs here: {}", others.named()),
        more => format!("{} still run here: {}", count(more, "other pod"), others.named()),
    };
    is_empty.then(|| format!("node {node}: no virtual machine is left; safe to power off for KubeVirt; {rest}"))
}

#[cfg(test)]
mod tests {
    use cluster_model::fixtures::kubevirt::{instance, launcher};
    use cluster_model::fixtures::{PodBuilder, pod};
    use cluster_model::pod::Phase;
    use cluster_model::snapshot::Change;

    use super::*;

    fn cluster(pods: &[PodBuilder]) -> ClusterSnapshot {
        let mut cluster = ClusterSnapshot::default();
        for pod in pods {
            cluster.apply(Change::Pod(Box::new(pod.on("n1").build())));
        }
        cluster
    }

    fn said(pods: &[PodBuilder]) -> String {
        farewell(&NodeName::from("n1"), &cluster(pods)).unwrap_or_default()
    }

    #[test]
    fn what_the_cluster_would_miss_most_is_named_first() {
        let daemon = |namespace: &str, name: &str| pod(namespace, name).managed_by("apps/v1", "DaemonSet", "agent");
        let ordinary = || pod("app", "web-1");
        let osd = || pod("rook-ceph", "osd-0").labelled(&[("app", "rook-ceph-osd")]);
        let table: [(&str, Vec<PodBuilder>, &str); 10] = [
            ("nothing", vec![], "no other pod runs here"),
            ("one", vec![ordinary()], "1 other pod still runs here: app/web-1"),
            (
                "storage before the rest",
                vec![ordinary(), pod("app", "web-2"), osd()],
                "3 other pods still run here: rook-ceph/osd-0 (storage), app/web-1, app/web-2",
            ),
            (
                "kubeadm's static pods",
                vec![
                    pod("kube-system", "kube-apiserver-n1").labelled(&[("tier", "control-plane")]).mirror(),
                    pod("kube-system", "etcd-n1").labelled(&[("component", "etcd"), ("tier", "control-plane")]),
                ],
                "2 other pods still run here: kube-system/etcd-n1 (etcd), kube-system/kube-apiserver-n1 (control plane)",
            ),
            (
                "OpenShift's namespaces",
                vec![pod("openshift-kube-scheduler", "s"), pod("openshift-etcd", "e"), pod("openshift-storage", "o")],
                "3 other pods still run here: openshift-storage/o (storage), openshift-etcd/e (etcd), \
                 openshift-kube-scheduler/s (control plane)",
            ),
            (
                "a storage program's pods on every node are none that is missed",
                vec![daemon("longhorn-system", "agent-x"), ordinary()],
                "2 other pods still run here: app/web-1, longhorn-system/agent-x",
            ),
            (
                "pods of guests, and pods that have ended",
                vec![
                    pod("shop", "virt-launcher-db").labelled(&[("kubevirt.io", "virt-launcher")]),
                    ordinary().phase(Phase::Succeeded),
                ],
                "no other pod runs here",
            ),
            (
                "a pod that still attaches the disk of a guest that has left",
                vec![pod("shop", "hp-volume-x").labelled(&[("kubevirt.io", "hotplug-disk")])],
                "1 other pod still runs here: shop/hp-volume-x",
            ),
            (
                "only some of the ordinary ones",
                (1..=5).map(|number| pod("app", &format!("web-{number}"))).collect(),
                "5 other pods still run here: app/web-1, app/web-2, app/web-3 and 2 more",
            ),
            (
                "all that matter",
                std::iter::once(ordinary())
                    .chain((0..5).map(|number| pod("rook-ceph", &format!("osd-{number}"))))
                    .collect(),
                "6 other pods still run here: rook-ceph/osd-0 (storage), rook-ceph/osd-1 (storage), \
                 rook-ceph/osd-2 (storage), rook-ceph/osd-3 (storage), rook-ceph/osd-4 (storage) and 1 more",
            ),
        ];
        for (case, pods, expected) in table {
            let whole = format!("node n1: no virtual machine is left; safe to power off for KubeVirt; {expected}");
            assert_eq!(said(&pods), whole, "{case}");
        }
    }

    #[test]
    fn nothing_is_promised_of_a_node_that_holds_a_guest_again() {
        for object in [instance("shop", "db").on("n1"), launcher("shop", "db", "abc", "n1")] {
            let mut cluster = cluster(&[]);
            let change = object.change().unwrap();
            cluster.apply(Change::Virtual(Box::new(change)));
            assert_eq!(farewell(&NodeName::from("n1"), &cluster), None);
        }
    }
}
