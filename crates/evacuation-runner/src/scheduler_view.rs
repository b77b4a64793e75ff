//! The cluster as the scheduler sees it: one list of all pods, and of storage and namespaces what the pods that move ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use api_access::ApiAccess;
use cluster_model::api::{core, storage};
use cluster_model::identity::{NodeName, Uid};
use cluster_model::resources::Resources;
use cluster_model::selector::Selector;
use kube::api::ListParams;
use kube::{Api, Resource};
use scheduler_forecast::affinity::AffinityTerm;
use scheduler_forecast::node::Node;
use scheduler_forecast::quota::Quota;
use scheduler_forecast::{Candidate, Cluster};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dynamic::{each_of, resource};
use crate::observe::{ListError, each_page};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct SchedulerView {
    /// Nodes with the pods of the whole cluster.
    pub cluster: Cluster,
    /// The pods on the nodes that were asked for, whole.
    pub leaving: BTreeMap<Uid, core::Pod>,
    /// What this user may not list, by the plurals: what hinges on it is not known.
    pub unseen: BTreeSet<String>,
}

/// Looks at all pods that have not ended; those on `leaving` are kept whole. `cluster` holds the nodes.
pub async fn look(
    access: &ApiAccess,
    mut cluster: Cluster,
    leaving: &BTreeSet<NodeName>,
) -> Result<SchedulerView, ListError> {
    let mut kept = BTreeMap::new();
    let pods = Api::<core::Pod>::all(access.client.clone());
    let living = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    each_page(access, &pods, None, &living, |pod| {
        cluster.add_pod(&pod);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(NodeName::from);
        if node.is_some_and(|node| leaving.contains(&node)) {
            kept.insert(Uid(pod.metadata.uid.clone().unwrap_or_default()), pod);
        }
    })
    .await?;
    Ok(SchedulerView { cluster, leaving: kept, unseen: BTreeSet::new() })
}

impl SchedulerView {
    /// What the pods take of each node.
    pub fn taken(&self) -> BTreeMap<NodeName, Resources> {
        self.cluster.nodes().map(|node| (node.name.clone(), node.requested().clone())).collect()
    }

    /// Looks at what these pods depend on besides nodes and other pods. What may not be seen is noted.
    pub async fn look_behind(&mut self, access: &ApiAccess, pods: &[&Candidate]) -> Result<(), ListError> {
        if pods.iter().any(|pod| pod.resident.volumes.iter().any(|volume| volume.claim().is_some())) {
            self.look_at_storage(access).await?;
        }
        let of_others = {
            let mut residents = self.cluster.nodes().flat_map(Node::residents);
            residents.any(|one| one.anti_affinity.iter().any(is_by_labels))
        };
        if of_others || pods.iter().any(|pod| terms(pod).any(is_by_labels)) {
            let mut namespaces = Vec::new();
            see(access, &mut self.unseen, |item: core::Namespace| namespaces.push(item)).await?;
            for item in &namespaces {
                self.cluster.add_namespace(item);
            }
        }
        let mut requested = pods.iter().flat_map(|pod| pod.resident.requests.others.keys());
        if requested.any(|name| name.contains('/')) {
            self.look_at_devices(access).await?;
        }
        Ok(())
    }

    /// Makes of what may not be seen something that is not known about these pods, instead of something that is not there.
    pub fn blur<'a>(&mut self, pods: impl Iterator<Item = &'a mut Candidate>) {
        let storage: Vec<_> = self.unseen.iter().filter(|plural| !NOT_STORAGE.contains(&plural.as_str())).collect();
        let storage = storage.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        for pod in pods {
            let has_claims = pod.resident.volumes.iter().any(|volume| volume.claim().is_some());
            if has_claims && !storage.is_empty() {
                pod.resident.volumes.retain(|volume| volume.claim().is_none());
                pod.unknown.push(format!("it mounts a claim, and you may not list {storage}"));
            }
            if self.unseen.contains("namespaces") && terms(pod).any(is_by_labels) {
                pod.unknown.push("it keeps to pods by labels of namespaces, and you may not list these".to_owned());
            }
            if self.unseen.contains("deviceclasses") {
                let asked = pod.resident.requests.others.keys().filter(|name| name.contains('/'));
                self.cluster.claimed_devices.extend(asked.cloned());
            }
        }
    }

    async fn look_at_storage(&mut self, access: &ApiAccess) -> Result<(), ListError> {
        let (found, unseen) = (&mut self.cluster.storage, &mut self.unseen);
        see(access, unseen, |item: core::PersistentVolumeClaim| found.add_claim(&item)).await?;
        see(access, unseen, |item: core::PersistentVolume| found.add_volume(&item)).await?;
        see(access, unseen, |item: storage::StorageClass| found.add_storage_class(&item)).await?;
        see(access, unseen, |item: storage::CSINode| found.add_csi_node(&item)).await?;
        let mut tells_capacity = false;
        see(access, unseen, |item: storage::CSIDriver| {
            tells_capacity |= item.spec.storage_capacity == Some(true);
            found.add_csi_driver(&item);
        })
        .await?;
        see(access, unseen, |item: storage::VolumeAttachment| found.add_attachment(&item)).await?;
        if tells_capacity {
            see(access, unseen, |item: storage::CSIStorageCapacity| found.add_storage_capacity(&item)).await?;
        }
        Ok(())
    }

    /// Which resources device drivers bring. Servers without device claims have no such list.
    async fn look_at_devices(&mut self, access: &ApiAccess) -> Result<(), ListError> {
        let classes = resource("resource.k8s.io", "DeviceClass", "deviceclasses");
        let mut names = BTreeSet::new();
        let listed = each_of(access, &classes, |class| {
            let text = |pointer: &str| class.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            names.extend(text("/spec/extendedResourceName"));
            names.extend(text("/metadata/name").map(|name| format!("deviceclass.resource.kubernetes.io/{name}")));
        })
        .await;
        match listed.as_ref().map_err(|error| error.source.status().map(|status| status.code)) {
            Ok(()) | Err(Some(404)) => {}
            Err(Some(403)) => {
                self.unseen.insert(classes.plural);
            }
            Err(_) => listed?,
        }
        self.cluster.claimed_devices = names;
        Ok(())
    }
}

/// What else may be unseen.
const NOT_STORAGE: [&str; 2] = ["namespaces", "deviceclasses"];

fn terms(pod: &Candidate) -> impl Iterator<Item = &AffinityTerm> {
    pod.affinity.iter().chain(&pod.resident.anti_affinity)
}

fn is_by_labels(term: &AffinityTerm) -> bool {
    matches!(&term.namespace_selector, Selector::All(all) if !all.is_empty())
}

/// What limits the pods of these namespaces. A user who may not see it learns of it when a pod is refused.
pub async fn quotas(access: &ApiAccess, namespaces: &BTreeSet<String>) -> Result<Vec<Quota>, ListError> {
    let mut quotas = Vec::new();
    for namespace in namespaces {
        let api = Api::<core::ResourceQuota>::namespaced(access.client.clone(), namespace);
        let listed = each_page(access, &api, Some(namespace), &ListParams::default(), |quota| {
            quotas.extend(Quota::read(&quota));
        })
        .await;
        match listed {
            Err(error) if error.source.status().is_some_and(|status| status.code == 403) => {}
            listed => listed?,
        }
    }
    Ok(quotas)
}

/// Whether the cluster autoscaler says that it is there: in the ConfigMap in which it tells how it is. `false` where that may
/// not be seen.
pub async fn has_cluster_autoscaler(access: &ApiAccess) -> bool {
    let api = Api::<core::ConfigMap>::namespaced(access.client.clone(), "kube-system");
    access.ask(|| api.get_opt("cluster-autoscaler-status")).await.is_ok_and(|found| found.is_some())
}

/// Reads every object of a kind, in all namespaces. That this may not be seen is noted, by the plural.
async fn see<K>(access: &ApiAccess, unseen: &mut BTreeSet<String>, each: impl FnMut(K)) -> Result<(), ListError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let listed = each_page(access, &Api::<K>::all(access.client.clone()), None, &ListParams::default(), each).await;
    match listed {
        Err(error) if error.source.status().is_some_and(|status| status.code == 403) => {
            unseen.insert(K::plural(&()).into_owned());
            Ok(())
        }
        listed => listed,
    }
}
