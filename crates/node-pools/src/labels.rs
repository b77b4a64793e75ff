//! The classes of labels and annotations on pools and nodes: what a provider puts there because of the pool's name,
//! what Kubernetes puts there because of the machine, what a GitOps tool puts there to own the object.

use serde_json::Value;

/// Why a node or a pool carries a label that no copy may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLabel {
    /// The label's key.
    pub key: &'static str,
    /// Whose pools it tells.
    pub provider: &'static str,
    /// Whether this program knows how to copy such a pool.
    pub is_built: bool,
}

/// The labels by which providers say to which pool a node belongs, the most telling first.
pub const POOL_LABELS: [PoolLabel; 17] = [
    built("karpenter.sh/nodepool", "Karpenter"),
    built("cluster.x-k8s.io/deployment-name", "Cluster API"),
    built("cluster.x-k8s.io/pool-name", "Cluster API"),
    unbuilt("cce.cloud.com/cce-nodepool", "Huawei CCE"),
    unbuilt("cloud.google.com/gke-nodepool", "GKE"),
    unbuilt("eks.amazonaws.com/nodegroup", "EKS"),
    unbuilt("alpha.eksctl.io/nodegroup-name", "eksctl"),
    unbuilt("kubernetes.azure.com/agentpool", "AKS"),
    unbuilt("agentpool", "AKS"),
    unbuilt("worker.gardener.cloud/pool", "Gardener"),
    unbuilt("doks.digitalocean.com/node-pool", "DigitalOcean"),
    unbuilt("lke.linode.com/pool-id", "Linode"),
    unbuilt("k8s.scaleway.com/pool-name", "Scaleway"),
    unbuilt("nodepool", "OVHcloud"),
    unbuilt("oci.oraclecloud.com/node-pool-id", "Oracle OKE"),
    unbuilt("ibm-cloud.kubernetes.io/worker-pool-name", "IBM Cloud"),
    unbuilt("kops.k8s.io/instancegroup", "kOps"),
];

const fn built(key: &'static str, provider: &'static str) -> PoolLabel {
    PoolLabel { key, provider, is_built: true }
}

const fn unbuilt(key: &'static str, provider: &'static str) -> PoolLabel {
    PoolLabel { key, provider, is_built: false }
}

/// Labels that say which machine a node is, or where it stands: no two nodes of a pool need to share them.
pub fn is_of_the_machine(key: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "kubernetes.io/hostname",
        "topology.",
        "failure-domain.beta.kubernetes.io/",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "csi.",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Labels that an agent on the node puts there of itself: what it found out about the machine, or runs on it.
pub fn is_discovered(key: &str) -> bool {
    const PREFIXES: [&str; 4] = ["feature.node.kubernetes.io/", "nvidia.com/", "amd.com/", "kubevirt.io/"];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || key.contains(".node.kubevirt.io/")
}

/// Taints that say how a node is, not what it is for: whoever put one there takes it away again.
pub fn is_of_the_moment(key: &str) -> bool {
    const PREFIXES: [&str; 4] = [
        "node.kubernetes.io/",
        "node.cloudprovider.kubernetes.io/",
        "ToBeDeletedByClusterAutoscaler",
        "DeletionCandidateOf",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// A GitOps or release tool that says that it owns an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// Argo CD.
    ArgoCd,
    /// Flux.
    Flux,
    /// Helm.
    Helm,
    /// Terraform.
    Terraform,
}

impl Keeper {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
            Self::Helm => "Helm",
            Self::Terraform => "Terraform",
        }
    }
}

/// Returns whose mark of ownership a key is, in labels or annotations. A copy that carries it is taken for an object
/// that is not in the repository any more, and is pruned.
pub fn keeper(key: &str) -> Option<Keeper> {
    match key {
        "argocd.argoproj.io/instance" | "argocd.argoproj.io/tracking-id" | "argocd.argoproj.io/installation-id"
        // Argo CD's own default before version 3.
        | "app.kubernetes.io/instance" => Some(Keeper::ArgoCd),
        "kustomize.toolkit.fluxcd.io/name"
        | "kustomize.toolkit.fluxcd.io/namespace"
        | "kustomize.toolkit.fluxcd.io/checksum"
        | "helm.toolkit.fluxcd.io/name"
        | "helm.toolkit.fluxcd.io/namespace" => Some(Keeper::Flux),
        "meta.helm.sh/release-name"
        | "meta.helm.sh/release-namespace"
        | "app.kubernetes.io/managed-by"
        | "helm.sh/chart" => Some(Keeper::Helm),
        "app.terraform.io/workspace" | "terraform.io/managed" => Some(Keeper::Terraform),
        _ => None,
    }
}

/// Returns who says that an object is theirs. The generic `app.kubernetes.io` labels alone prove nobody.
pub fn keepers(object: &Value) -> Vec<Keeper> {
    let maps = ["/metadata/labels", "/metadata/annotations"].map(|map| object.pointer(map).and_then(Value::as_object));
    let entries = maps.into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|(key, value)| match key.as_str() {
            "app.kubernetes.io/instance" => false,
            "app.kubernetes.io/managed-by" => value.as_str() == Some("Helm"),
            _ => true,
        })
        .filter_map(|(key, _)| keeper(key))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_is_recognised_by_marks_that_nobody_else_sets() {
        let owned = json!({ "metadata": {
            "labels": { "app.kubernetes.io/managed-by": "Helm", "kustomize.toolkit.fluxcd.io/name": "infra" },
            "annotations": { "argocd.argoproj.io/tracking-id": "a:b" },
        } });
        assert_eq!(keepers(&owned), [Keeper::ArgoCd, Keeper::Flux, Keeper::Helm]);
        let free = json!({ "metadata": { "labels": {
            "app.kubernetes.io/instance": "x", "app.kubernetes.io/managed-by": "me", "team": "blue",
        } } });
        assert!(keepers(&free).is_empty());
    }
}
