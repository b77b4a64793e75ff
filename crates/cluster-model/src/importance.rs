//! What a pod is to the rest of its cluster, judged by what the common installers write.

use crate::pod::Pod;

/// Words in the namespace, or in one of the [`NAME_LABELS`], of programs that keep other pods' data.
const STORAGE: [&str; 11] = [
    "ceph",
    "glusterfs",
    "linstor",
    "longhorn",
    "mayastor",
    "minio",
    "openebs",
    "piraeus",
    "portworx",
    "storage",
    "topolvm",
];

/// Label keys under which programs say what they are.
const NAME_LABELS: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "component"];

/// The label by which KubeVirt's programs say what they are, as its operator writes it.
const KUBEVIRT_LABEL: &str = "kubevirt.io";

/// How much the rest of the cluster would miss a pod, the most delicate first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// It keeps other pods' data.
    Storage,
    /// A member of etcd.
    Etcd,
    /// The API server and its kind.
    ControlPlane,
    /// A program of KubeVirt's, without which no virtual machine is moved.
    KubeVirt,
    /// Of one of the two priority classes that Kubernetes makes itself.
    Critical,
    /// Any other.
    Ordinary,
}

impl Importance {
    /// Judges by what kubeadm and OpenShift write for etcd and the control plane, KubeVirt's operator for its own pods,
    /// and the projects' own namespaces and labels for storage. A DaemonSet's pod is on every node, and none is missed for
    /// itself.
    pub fn of(pod: &Pod) -> Self {
        let names = NAME_LABELS.iter().filter_map(|key| pod.labels.get(*key)).map(String::as_str);
        let words: Vec<&str> = std::iter::once(pod.id.namespace.as_str()).chain(names).collect();
        let is_of_daemon_set = pod.controller.as_ref().is_some_and(|owner| owner.is("apps", "DaemonSet"));
        let has_word = |wanted: &str| words.iter().any(|word| word.split('-').any(|part| part == wanted));
        let is_control_plane = pod.labels.get("tier").is_some_and(|tier| tier == "control-plane")
            || words.iter().any(|word| word.starts_with("kube-apiserver") || word.starts_with("openshift-kube-"));
        let is_of_kubevirt = pod.labels.get(KUBEVIRT_LABEL).is_some_and(|role| {
            matches!(role.as_str(), "virt-api" | "virt-controller" | "virt-operator" | "virt-exportproxy")
        });
        if has_word("etcd") {
            Self::Etcd
        } else if is_control_plane {
            Self::ControlPlane
        } else if is_of_kubevirt {
            Self::KubeVirt
        } else if !is_of_daemon_set && STORAGE.iter().any(|word| has_word(word)) {
            Self::Storage
        } else if pod.is_system_critical {
            Self::Critical
        } else {
            Self::Ordinary
        }
    }

    /// Whether other pods may need it while they leave: it goes when they are gone.
    pub fn goes_last(self) -> bool {
        self != Self::Ordinary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::pod;

    #[test]
    fn what_others_need_goes_last() {
        let table = [
            (pod("app", "web"), Importance::Ordinary),
            (pod("app", "launcher").labelled(&[("kubevirt.io", "virt-launcher")]), Importance::Ordinary),
            (pod("kubevirt", "api").labelled(&[("kubevirt.io", "virt-api")]), Importance::KubeVirt),
            (pod("rook-ceph", "osd").labelled(&[("app", "rook-ceph-osd")]), Importance::Storage),
            (pod("longhorn-system", "agent").managed_by("apps/v1", "DaemonSet", "agent"), Importance::Ordinary),
            (pod("openshift-etcd", "etcd-guard"), Importance::Etcd),
            (pod("kube-system", "s").labelled(&[("tier", "control-plane")]), Importance::ControlPlane),
        ];
        for (builder, expected) in table {
            let pod = builder.build();
            assert_eq!(Importance::of(&pod), expected, "{}", pod.id);
            assert_eq!(Importance::of(&pod).goes_last(), expected != Importance::Ordinary, "{}", pod.id);
        }
        let dns = Pod { is_system_critical: true, ..pod("kube-system", "dns").build() };
        assert_eq!(Importance::of(&dns), Importance::Critical);
    }
}
