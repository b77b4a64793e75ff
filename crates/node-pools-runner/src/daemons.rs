//! What has to run on a new node before work may be put on it: the DaemonSets that run well on the old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use api_access::ApiAccess;
use cluster_model::api::apps;
use cluster_model::api::core;
use cluster_model::demand::Demand;
use cluster_model::identity::{NodeName, ObjectKey, Uid};
use cluster_model::pod::Pod;
use cluster_model::resources::Resources;
use futures::stream::SelectAll;
use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use node_pools::node::PoolNode;

use crate::look::LookError;
use crate::residents::{all, pods_on};
use crate::view::Seen;

/// A DaemonSet.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Which.
    pub key: ObjectKey,
    uid: Uid,
    demand: Demand,
}

impl Daemon {
    /// Whether it has a pod on a node, as far as selector, affinity and taints say (`nodeShouldRunDaemonPod` of
    /// `k8s.io/kubernetes/pkg/controller/daemon`).
    fn belongs_on(&self, node: &PoolNode) -> bool {
        let mut offer = node.offer();
        // Its pods tolerate what a node that is starting, or in need, says of itself.
        offer.taints.retain(|taint| !taint.key.starts_with("node.kubernetes.io/"));
        let mut demand = self.demand.clone();
        demand.requests = Resources::default();
        demand.misfit(&offer, &Resources::default()).is_none()
    }
}

/// Finds the DaemonSets that have pods on these nodes, all of them Ready: one that is unwell there is no measure.
pub async fn well_on(access: &ApiAccess, nodes: &[NodeName]) -> Result<Vec<Daemon>, LookError> {
    let mut wells: BTreeMap<Uid, bool> = BTreeMap::new();
    for node in nodes {
        for pod in pods_on(access, node).await?.iter().map(Pod::from) {
            if let Some(owner) = pod.controller.as_ref().filter(|owner| owner.kind == "DaemonSet") {
                *wells.entry(owner.uid.clone()).or_insert(true) &= pod.ready_since.is_some();
            }
        }
    }
    if !wells.values().any(|is_well| *is_well) {
        return Ok(Vec::new());
    }
    let api = Api::<apps::DaemonSet>::all(access.client.clone());
    let sets = all(access, &api, ListParams::default(), "list daemonsets.apps").await?;
    let daemon = |set: apps::DaemonSet| {
        let uid = Uid(set.metadata.uid?);
        wells.get(&uid).filter(|is_well| **is_well)?;
        let key = ObjectKey::new(&set.metadata.namespace?, &set.metadata.name?);
        Some(Daemon { key, uid, demand: Demand::from(&set.spec?.template.spec?) })
    };
    Ok(sets.into_iter().filter_map(daemon).collect())
}

/// What comes of the watch of one node's pods.
type News = Pin<Box<dyn Stream<Item = (NodeName, Box<watcher::Result<Event<core::Pod>>>)>>>;

/// The pods of new nodes, watched.
pub struct DaemonView {
    daemons: Vec<Daemon>,
    nodes: Vec<PoolNode>,
    news: SelectAll<News>,
    /// The Ready pods of DaemonSets, by the set, with their nodes.
    ready: BTreeMap<Uid, (Uid, NodeName)>,
    synced: BTreeSet<NodeName>,
}

impl DaemonView {
    /// Watches the pods of these nodes.
    pub fn new(access: &ApiAccess, daemons: Vec<Daemon>, nodes: Vec<PoolNode>) -> Self {
        let mut news: SelectAll<News> = SelectAll::new();
        for node in &nodes {
            let name = node.name.clone();
            let config = watcher::Config::default().fields(&format!("spec.nodeName={name}"));
            let events = watcher::watcher(Api::<core::Pod>::all(access.client.clone()), config).default_backoff();
            news.push(Box::pin(events.map(move |event| (name.clone(), Box::new(event)))));
        }
        Self { daemons, nodes, news, ready: BTreeMap::new(), synced: BTreeSet::new() }
    }

    /// Returns what is missing: a DaemonSet and the node on which its pod is not Ready yet.
    pub fn missing(&self) -> impl Iterator<Item = (&ObjectKey, &NodeName)> {
        let pairs = self.daemons.iter().flat_map(|daemon| self.nodes.iter().map(move |node| (daemon, node)));
        pairs
            .filter(|(daemon, node)| daemon.belongs_on(node))
            .filter(|(daemon, node)| !self.ready.values().any(|(set, at)| *set == daemon.uid && *at == node.name))
            .map(|(daemon, node)| (&daemon.key, &node.name))
    }

    /// Whether every watch has brought its first list.
    pub fn is_synced(&self) -> bool {
        self.synced.len() >= self.nodes.len()
    }

    /// Waits for the next change.
    pub async fn changed(&mut self) -> Seen {
        let Some((node, event)) = self.news.next().await else { return std::future::pending().await };
        match *event {
            Err(error) => return Seen::Trouble(error.to_string()),
            Ok(Event::Init) => self.ready.retain(|_, (_, at)| *at != node),
            Ok(Event::InitDone) => drop(self.synced.insert(node)),
            Ok(Event::Delete(pod)) => drop(self.ready.remove(&Pod::from(&pod).id.uid)),
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let pod = Pod::from(&pod);
                let set =
                    pod.controller.as_ref().filter(|owner| owner.kind == "DaemonSet").map(|owner| owner.uid.clone());
                match set.filter(|_| pod.ready_since.is_some() && pod.deletion.is_none()) {
                    Some(set) => self.ready.insert(pod.id.uid, (set, node)),
                    None => self.ready.remove(&pod.id.uid),
                };
            }
        }
        Seen::Change
    }
}
