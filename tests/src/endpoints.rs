//! The record of every change of a Service's ready endpoints: a proof that a Service never had too few.
//!
//! EndpointSlices and nodes are listed once, and from that very version on every change is taken in, also over a restart
//! of the API server (see `changes.rs`). Should one be missed all the same, every question to the record panics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, pin_mut, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, ObjectList};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

use crate::changes::{Change, Gap, changes_since, version_number};
use crate::namespace::Namespace;
use crate::wait::{DEADLINE, eventually};

/// The ready endpoints of a Service from one moment until the next sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When the recorder saw it.
    pub at: Timestamp,
    /// The ready pods, or the addresses of endpoints that are no pods.
    pub ready: BTreeSet<String>,
    /// The nodes they are on.
    pub nodes: BTreeSet<String>,
}

/// Records the ready endpoints of all Services of a namespace until it is dropped or stopped.
#[derive(Debug)]
pub struct EndpointRecorder {
    slices: Api<EndpointSlice>,
    pods: Api<Pod>,
    record: watch::Receiver<Record>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Record {
    /// By slice name: its Service and endpoints.
    slices: BTreeMap<String, Slice>,
    nodes: BTreeSet<String>,
    history: BTreeMap<String, Vec<Sample>>,
    /// Why changes are missing.
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Slice {
    service: String,
    version: u64,
    ready: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    /// The pod, or the address of what is no pod.
    name: String,
    is_pod: bool,
    node: Option<String>,
}

enum Seen {
    Slice(Result<Change<EndpointSlice>, Gap>),
    Node(Result<Change<Node>, Gap>),
}

impl EndpointRecorder {
    /// Starts the record; the first sample of each Service is in it when this returns.
    pub async fn start(namespace: &Namespace) -> Self {
        let (slice_api, node_api) = (namespace.api::<EndpointSlice>(), namespace.nodes());
        let again = slice_api.clone();
        let slices = slice_api.list(&ListParams::default()).await.expect("the endpoint slices can be listed");
        let nodes = node_api.list(&ListParams::default()).await.expect("the nodes can be listed");
        let slices_from = slices.metadata.resource_version.unwrap_or_default();
        let nodes_from = nodes.metadata.resource_version.unwrap_or_default();

        let mut record = Record::default();
        record.nodes.extend(nodes.items.iter().map(ResourceExt::name_any));
        for slice in &slices.items {
            record.put(slice);
        }
        record.sample();

        let (record_sender, record) = watch::channel(record);
        let (stop, mut stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let changes = stream::select(
                changes_since(slice_api, slices_from).map(Seen::Slice),
                changes_since(node_api, nodes_from).map(Seen::Node),
            );
            pin_mut!(changes);
            loop {
                tokio::select! {
                    change = changes.next() => match change {
                        Some(seen) => record_sender.send_modify(|record| record.apply(seen)),
                        None => return,
                    },
                    _ = stopped.changed() => return,
                }
            }
        });
        Self { slices: again, pods: namespace.api(), record, stop, tasks }
    }

    /// Returns every state the Service was in, oldest first; the last one still is.
    pub fn history(&self, service: &str) -> Vec<Sample> {
        let record = self.record.borrow();
        if let Some(Gap(reason)) = &record.gap {
            panic!("changes are missing in the record of endpoints: {reason}");
        }
        record.history.get(service).unwrap_or_else(|| panic!("service {service} was never seen")).clone()
    }

    /// Returns the lowest number of ready endpoints that the Service had at any moment.
    pub fn fewest_ready(&self, service: &str) -> usize {
        self.history(service).iter().map(|sample| sample.ready.len()).min().expect("a history has a first sample")
    }

    /// Returns how many ready endpoints there were, oldest first, without repetitions: 1, 2, 1.
    pub fn counts(&self, service: &str) -> Vec<usize> {
        let mut counts: Vec<usize> = self.history(service).iter().map(|sample| sample.ready.len()).collect();
        counts.dedup();
        counts
    }

    /// Returns for how long in all the Service had fewer than `count` ready endpoints, up to its last sample.
    pub fn time_below(&self, service: &str, count: usize) -> Duration {
        let history = self.history(service);
        let short = history.iter().zip(history.iter().skip(1)).filter(|(sample, _)| sample.ready.len() < count);
        short.map(|(from, until)| until.at.duration_since(from.at).unsigned_abs()).sum()
    }

    /// Returns for how long at a stretch the Service had fewer than `count` ready endpoints, at the longest, up to its last
    /// sample.
    pub fn longest_below(&self, service: &str, count: usize) -> Duration {
        let history = self.history(service);
        let (mut longest, mut since) = (Duration::ZERO, None);
        for sample in &history {
            let begin = *since.get_or_insert(sample.at);
            longest = longest.max(sample.at.duration_since(begin).unsigned_abs());
            if sample.ready.len() >= count {
                since = None;
            }
        }
        longest
    }

    /// Waits until the Service's newest sample fulfils `condition`; returns it.
    pub async fn until(&self, service: &str, description: &str, condition: impl Fn(&Sample) -> bool) -> Sample {
        let mut record = self.record.clone();
        let newest = |record: &Record| record.history.get(service).and_then(|history| history.last()).cloned();
        let waiting = record.wait_for(|record| record.gap.is_some() || newest(record).as_ref().is_some_and(&condition));
        let in_time = time::timeout(DEADLINE, waiting).await.is_ok();
        assert!(in_time, "not within {DEADLINE:?}: {description}; history: {:#?}", self.history(service));
        self.history(service).pop().expect("a history has a first sample")
    }

    /// Ends the record once all that has happened by now is in it, as far as pods that are gone or about to go are concerned
    /// also what kube-controller-manager has yet to write of it; it can be asked afterwards.
    pub async fn stop(&mut self) {
        eventually("no pod that is gone is still a ready endpoint", DEADLINE, || async {
            let all = self.pods.list(&ListParams::default()).await.expect("the pods can be listed");
            let serving = all.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
            let record = self.record.borrow();
            record.gap.is_some() || record.ready_pods().is_subset(&serving.map(ResourceExt::name_any).collect())
        })
        .await;
        let now = self.slices.list(&ListParams::default()).await.expect("the endpoint slices can be listed");
        let mut record = self.record.clone();
        let catching_up = record.wait_for(|record| record.gap.is_some() || record.has_reached(&now));
        let in_time = time::timeout(DEADLINE, catching_up).await.is_ok();
        assert!(in_time, "the record of endpoints is behind the server by more than {DEADLINE:?}");
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Record {
    fn apply(&mut self, seen: Seen) {
        match seen {
            Seen::Slice(Ok(Change::Put(slice))) => self.put(&slice),
            Seen::Slice(Ok(Change::Removed(name))) => {
                self.slices.remove(&name);
            }
            Seen::Slice(Ok(Change::All(slices))) => {
                self.slices.clear();
                for slice in &slices {
                    self.put(slice);
                }
            }
            Seen::Node(Ok(Change::Put(node))) => {
                self.nodes.insert(node.name_any());
            }
            Seen::Node(Ok(Change::Removed(name))) => {
                self.nodes.remove(&name);
            }
            Seen::Node(Ok(Change::All(nodes))) => self.nodes = nodes.iter().map(ResourceExt::name_any).collect(),
            Seen::Slice(Err(gap)) | Seen::Node(Err(gap)) => self.gap = Some(gap),
        }
        self.sample();
    }

    fn put(&mut self, slice: &EndpointSlice) {
        let Some(service) = slice.labels().get("kubernetes.io/service-name") else { return };
        let ready = slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
            .map(|endpoint| {
                let target = endpoint.target_ref.as_ref();
                let pod =
                    target.filter(|target| target.kind.as_deref() == Some("Pod")).and_then(|pod| pod.name.clone());
                let is_pod = pod.is_some();
                let address = || endpoint.addresses.first().cloned().unwrap_or_default();
                Endpoint { name: pod.unwrap_or_else(address), is_pod, node: endpoint.node_name.clone() }
            })
            .collect();
        let version = version_of(slice);
        self.slices.insert(slice.name_any(), Slice { service: service.clone(), version, ready });
    }

    /// An endpoint of a node that is gone serves nobody, whatever its slice still says.
    fn serves(&self, endpoint: &Endpoint) -> bool {
        endpoint.node.as_ref().is_none_or(|node| self.nodes.contains(node))
    }

    /// The pods that are ready endpoints of any Service.
    fn ready_pods(&self) -> BTreeSet<String> {
        let endpoints = self.slices.values().flat_map(|slice| &slice.ready);
        endpoints.filter(|endpoint| endpoint.is_pod && self.serves(endpoint)).map(|one| one.name.clone()).collect()
    }

    /// Returns whether everything in a list is in the record, and what the list no longer has is out of it.
    fn has_reached(&self, list: &ObjectList<EndpointSlice>) -> bool {
        let listed_at = version_number(list.metadata.resource_version.as_deref().unwrap_or_default());
        let has_all = list.items.iter().all(|slice| {
            self.slices.get(&slice.name_any()).is_some_and(|recorded| recorded.version >= version_of(slice))
        });
        let has_no_other = self.slices.iter().all(|(name, recorded)| {
            recorded.version > listed_at || list.items.iter().any(|slice| slice.name_any() == *name)
        });
        has_all && has_no_other
    }

    /// Adds a sample to every Service whose ready endpoints are not what its last sample says.
    fn sample(&mut self) {
        let at = Timestamp::now();
        let mut states: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> =
            self.history.keys().map(|service| (service.as_str(), Default::default())).collect();
        for slice in self.slices.values() {
            let (ready, nodes) = states.entry(&slice.service).or_default();
            for endpoint in slice.ready.iter().filter(|endpoint| self.serves(endpoint)) {
                ready.insert(endpoint.name.clone());
                nodes.extend(endpoint.node.clone());
            }
        }
        let states: Vec<(String, Sample)> = states
            .into_iter()
            .map(|(service, (ready, nodes))| (service.to_owned(), Sample { at, ready, nodes }))
            .collect();
        for (service, sample) in states {
            let history = self.history.entry(service).or_default();
            if history.last().is_none_or(|last| last.ready != sample.ready) {
                history.push(sample);
            }
        }
    }
}

fn version_of(slice: &EndpointSlice) -> u64 {
    version_number(slice.resource_version().as_deref().unwrap_or_default())
}
