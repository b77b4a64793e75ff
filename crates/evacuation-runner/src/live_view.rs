//! The cluster as it is now: a snapshot kept current by watches on what the plan touches, and nothing else.
//!
//! Each object has one source: the pods of a namespace that is watched whole come from there, never from the watch of
//! their node, so no older event of a slower watch can bring back what is gone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;

use cluster_model::api::apps;
use cluster_model::api::core;
use cluster_model::api::discovery;
use cluster_model::api::policy;
use cluster_model::budget::Budget;
use cluster_model::endpoint_slice::EndpointSlice;
use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::{Host, Metadata, Migration, VirtualChange, VirtualMachine, VirtualMachineInstance};
use cluster_model::node::Node;
use cluster_model::owners::ReplicaSet;
use cluster_model::pod::Pod;
use cluster_model::snapshot::{Change, ClusterSnapshot};
use futures::future::FutureExt;
use futures::stream::{BoxStream, SelectAll, StreamExt};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::attachments;
use crate::kubevirt_api::Kind;
use crate::observe::Observation;
use crate::virtual_machines::{self, GUESTS_PODS};
use api_access::ApiAccess;

/// How many objects a page of a watch's first list holds: pages are decoded whole, and memory is dear.
const PAGE: u32 = 100;

/// A snapshot and the watches that feed it.
pub struct LiveView {
    cluster: ClusterSnapshot,
    sources: SelectAll<BoxStream<'static, Told>>,
    waiting_for_first_list: usize,
}

/// What a watch tells.
enum Told {
    Changes(Vec<Change>),
    /// The first list of a source is complete.
    Synced(Vec<Change>),
    Trouble(String),
}

/// What [`LiveView::changed`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The snapshot is newer than before.
    Changes,
    /// A watch failed and is being set up again; the snapshot stays as it was.
    Trouble(String),
}

/// The key under which a source remembers what it has told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Node(NodeName),
    Pod(PodId),
    ReplicaSet(Uid),
    Budget(ObjectKey),
    Slice(ObjectKey),
    Instance(ObjectKey, Uid),
    Machine(ObjectKey, Uid),
    Migration(ObjectKey, Uid),
    GuestsPod(PodId),
    Host(NodeName),
    Attachment(String),
}

impl Key {
    fn gone(self) -> Change {
        let guests = |change| Change::Virtual(Box::new(change));
        match self {
            Self::Instance(key, uid) => guests(VirtualChange::InstanceGone(key, uid)),
            Self::Machine(key, uid) => guests(VirtualChange::MachineGone(key, uid)),
            Self::Migration(key, uid) => guests(VirtualChange::MigrationGone(key, uid)),
            Self::GuestsPod(id) => guests(VirtualChange::PodGone(id)),
            Self::Host(name) => guests(VirtualChange::HostGone(name)),
            Self::Node(name) => Change::NodeGone(name),
            Self::Pod(id) => Change::PodGone(id),
            Self::ReplicaSet(uid) => Change::ReplicaSetGone(uid),
            Self::Budget(key) => Change::BudgetGone(key),
            Self::Slice(key) => Change::SliceGone(key),
            Self::Attachment(name) => Change::AttachmentGone(name),
        }
    }
}

impl LiveView {
    /// Sets up the watches for a drain of `targets`: the nodes by name, their pods, and in each namespace with
    /// handovers its pods, ReplicaSets, budgets and EndpointSlices; where pods go one after another their pods and budgets,
    /// and in the others their budgets.
    pub fn new(access: &ApiAccess, targets: &[NodeName], observation: Observation) -> Self {
        let Observation {
            cluster,
            handover_namespaces,
            succession_namespaces,
            eviction_namespaces,
            guest_namespaces,
            watches_attachments,
            selected: _,
        } = observation;
        let whole: BTreeSet<_> = handover_namespaces.union(&succession_namespaces).cloned().collect();
        let mut sources: Vec<BoxStream<'static, Told>> = Vec::new();
        let client = || access.client.clone();
        for target in targets {
            let known = BTreeSet::from([Key::Node(target.clone()), Key::Host(target.clone())]);
            let named = watcher::Config::default().fields(&format!("metadata.name={target}"));
            let has_guests = guest_namespaces.is_some();
            sources.push(source(Api::<core::Node>::all(client()), named, known, move |node| {
                let host = has_guests.then(|| Host::from(node));
                let host = host.map(|host| (Key::Host(host.name.clone()), virtual_change(VirtualChange::Host(host))));
                let node = Node::from(node);
                let node = (Key::Node(node.name.clone()), Change::Node(Box::new(node)));
                std::iter::once(node).chain(host).collect()
            }));
            let elsewhere = whole.clone();
            let known = cluster.pods_on(target).filter(|pod| !elsewhere.contains(&pod.id.namespace));
            let known = known.map(|pod| Key::Pod(pod.id.clone())).collect();
            let bound = watcher::Config::default().fields(&format!("spec.nodeName={target}"));
            sources.push(source(Api::<core::Pod>::all(client()), bound, known, move |pod| {
                let pod = Pod::from(pod);
                let is_other = elsewhere.contains(&pod.id.namespace);
                let change = (!is_other).then(|| (Key::Pod(pod.id.clone()), Change::Pod(Box::new(pod))));
                change.into_iter().collect()
            }));
        }
        for namespace in &whole {
            let known = cluster.pods_of(namespace).map(|pod| Key::Pod(pod.id.clone())).collect();
            sources.push(source(
                Api::<core::Pod>::namespaced(client(), namespace),
                watcher::Config::default(),
                known,
                |pod| {
                    let pod = Pod::from(pod);
                    vec![(Key::Pod(pod.id.clone()), Change::Pod(Box::new(pod)))]
                },
            ));
        }
        for namespace in &handover_namespaces {
            let sets = cluster.replica_sets().filter(|set| set.key.namespace == *namespace);
            let known = sets.map(|set| Key::ReplicaSet(set.uid.clone())).collect();
            sources.push(source(
                Api::<apps::ReplicaSet>::namespaced(client(), namespace),
                watcher::Config::default(),
                known,
                |set| {
                    let set = ReplicaSet::from(set);
                    vec![(Key::ReplicaSet(set.uid.clone()), Change::ReplicaSet(Box::new(set)))]
                },
            ));
            let slices = cluster.slices().filter(|slice| slice.key.namespace == *namespace);
            let known = slices.map(|slice| Key::Slice(slice.key.clone())).collect();
            sources.push(source(
                Api::<discovery::EndpointSlice>::namespaced(client(), namespace),
                watcher::Config::default(),
                known,
                |slice| {
                    let slice = EndpointSlice::from(slice);
                    vec![(Key::Slice(slice.key.clone()), Change::Slice(slice))]
                },
            ));
        }
        for namespace in whole.iter().chain(&eviction_namespaces) {
            let budgets = cluster.budgets().filter(|budget| budget.key.namespace == *namespace);
            let known: BTreeSet<_> = budgets.map(|budget| Key::Budget(budget.key.clone())).collect();
            // A budget made after the plan is met by the eviction API all the same.
            if known.is_empty() && !handover_namespaces.contains(namespace) {
                continue;
            }
            sources.push(source(
                Api::<policy::PodDisruptionBudget>::namespaced(client(), namespace),
                watcher::Config::default(),
                known,
                |budget| {
                    let budget = Budget::from(budget);
                    vec![(Key::Budget(budget.key.clone()), Change::Budget(budget))]
                },
            ));
        }
        if watches_attachments {
            let known = cluster.attachments().map(|attachment| Key::Attachment(attachment.name.clone())).collect();
            let plural = String::from("volumeattachments");
            sources.push(named_source(attachments::api(access), plural, watcher::Config::default(), known, |object| {
                let attachment = attachments::read(object);
                vec![(Key::Attachment(attachment.name.clone()), Change::Attachment(attachment))]
            }));
        }
        if let Some(namespaces) = guest_namespaces {
            sources.extend(guest_sources(access, &namespaces, &cluster));
        }
        let waiting_for_first_list = sources.len();
        Self { cluster, sources: futures::stream::select_all(sources), waiting_for_first_list }
    }

    /// The cluster as it is known now.
    pub fn cluster(&self) -> &ClusterSnapshot {
        &self.cluster
    }

    /// Whether every watch has brought its first list: before that the snapshot mixes old and new.
    pub fn is_synced(&self) -> bool {
        self.waiting_for_first_list == 0
    }

    /// Waits for news and takes in all of it that is there.
    pub async fn changed(&mut self) -> Seen {
        let mut seen = match self.sources.next().await {
            Some(told) => self.take_in(told),
            // Watches never end by themselves; without any there is no news.
            None => std::future::pending().await,
        };
        while let Some(Some(told)) = self.sources.next().now_or_never() {
            match self.take_in(told) {
                Seen::Changes => {}
                trouble @ Seen::Trouble(_) => seen = trouble,
            }
        }
        seen
    }

    fn take_in(&mut self, told: Told) -> Seen {
        let changes = match told {
            Told::Trouble(message) => return Seen::Trouble(message),
            Told::Synced(changes) => {
                self.waiting_for_first_list = self.waiting_for_first_list.saturating_sub(1);
                changes
            }
            Told::Changes(changes) => changes,
        };
        for change in changes {
            self.cluster.apply(change);
        }
        Seen::Changes
    }
}

fn virtual_change(change: VirtualChange) -> Change {
    Change::Virtual(Box::new(change))
}

/// The watches of virtual machines: all guests, migrations and guests' pods of the cluster, and the virtual machines of
/// these namespaces.
fn guest_sources(
    access: &ApiAccess,
    namespaces: &BTreeSet<String>,
    cluster: &ClusterSnapshot,
) -> Vec<BoxStream<'static, Told>> {
    let virtualization = cluster.virtualization();
    let key = |metadata: &Metadata| (metadata.key.clone(), metadata.uid.clone());
    let known = virtualization.instances().map(|one| key(&one.metadata)).map(|(key, uid)| Key::Instance(key, uid));
    let instances = dynamic_source(Kind::Instance.all(access), Kind::Instance, known.collect(), |object| {
        let instance = VirtualMachineInstance::from(object);
        let key = Key::Instance(instance.metadata.key.clone(), instance.metadata.uid.clone());
        (key, VirtualChange::Instance(Box::new(instance)))
    });
    let known = virtualization.migrations().map(|one| key(&one.metadata)).map(|(key, uid)| Key::Migration(key, uid));
    let migrations = dynamic_source(Kind::Migration.all(access), Kind::Migration, known.collect(), |object| {
        let migration = Migration::from(object);
        let key = Key::Migration(migration.metadata.key.clone(), migration.metadata.uid.clone());
        (key, VirtualChange::Migration(Box::new(migration)))
    });
    let known = virtualization.launchers().map(|launcher| Key::GuestsPod(launcher.pod.id.clone())).collect();
    let labelled = watcher::Config::default().labels(GUESTS_PODS);
    let pods = source(Api::<core::Pod>::all(access.client.clone()), labelled, known, |pod| {
        let id = Pod::from(pod).id;
        let change = virtual_machines::pod_change(pod);
        change.map(|change| (Key::GuestsPod(id), virtual_change(change))).into_iter().collect()
    });
    let mut sources = vec![instances, migrations, pods];
    for namespace in namespaces {
        let here = virtualization.machines().filter(|machine| machine.metadata.key.namespace == *namespace);
        let known = here.map(|one| key(&one.metadata)).map(|(key, uid)| Key::Machine(key, uid));
        sources.push(dynamic_source(Kind::Machine.api(access, namespace), Kind::Machine, known.collect(), |object| {
            let machine = VirtualMachine::from(object);
            let key = Key::Machine(machine.metadata.key.clone(), machine.metadata.uid.clone());
            (key, VirtualChange::Machine(Box::new(machine)))
        }));
    }
    sources
}

/// A watch of one of KubeVirt's kinds.
fn dynamic_source(
    api: Api<DynamicObject>,
    kind: Kind,
    known: BTreeSet<Key>,
    read: impl Fn(&serde_json::Value) -> (Key, VirtualChange) + Send + 'static,
) -> BoxStream<'static, Told> {
    let read = move |object: &DynamicObject| {
        let (key, change) = read(&virtual_machines::json_of(object));
        vec![(key, virtual_change(change))]
    };
    named_source(api, kind.resource().plural, watcher::Config::default(), known, read)
}

/// What a source remembers between events.
struct Memory {
    known: BTreeSet<Key>,
    listed: BTreeSet<Key>,
    has_synced: bool,
}

/// Turns a watch into changes of the snapshot. A list that is made anew after a gap also tells what went meanwhile.
fn source<K>(
    api: Api<K>,
    config: watcher::Config,
    known: BTreeSet<Key>,
    read: impl Fn(&K) -> Vec<(Key, Change)> + Send + 'static,
) -> BoxStream<'static, Told>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    named_source(api, K::plural(&()).into_owned(), config, known, read)
}

/// The same for a kind whose name is only known at run time. One object may be several things to the snapshot.
fn named_source<K>(
    api: Api<K>,
    resource: String,
    config: watcher::Config,
    known: BTreeSet<Key>,
    read: impl Fn(&K) -> Vec<(Key, Change)> + Send + 'static,
) -> BoxStream<'static, Told>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Clone,
{
    let mut memory = Memory { known, listed: BTreeSet::new(), has_synced: false };
    watcher(api, config.page_size(PAGE))
        .default_backoff()
        .map(move |event| match event {
            Ok(event) => memory.take_in(event, &read),
            Err(error) if is_silence(&error) => {
                Told::Trouble(format!("the watch of {resource} fell silent and is being set up again"))
            }
            Err(error) => Told::Trouble(format!("the watch of {resource} is being set up again: {error}")),
        })
        .boxed()
}

/// Whether the client gave the connection up because nothing came over it, not even a bookmark.
fn is_silence(error: &watcher::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Memory {
    fn take_in<K>(&mut self, event: Event<K>, read: impl Fn(&K) -> Vec<(Key, Change)>) -> Told {
        match event {
            Event::Init => {
                self.listed.clear();
                Told::Changes(Vec::new())
            }
            Event::InitApply(object) => {
                let (keys, changes): (Vec<_>, Vec<_>) = read(&object).into_iter().unzip();
                self.listed.extend(keys.iter().cloned());
                self.known.extend(keys);
                Told::Changes(changes)
            }
            Event::InitDone => {
                let gone: Vec<_> = self.known.difference(&self.listed).cloned().collect();
                self.known = std::mem::take(&mut self.listed);
                let changes = gone.into_iter().map(Key::gone).collect();
                if std::mem::replace(&mut self.has_synced, true) {
                    Told::Changes(changes)
                } else {
                    Told::Synced(changes)
                }
            }
            Event::Apply(object) => {
                let (keys, changes): (Vec<_>, Vec<_>) = read(&object).into_iter().unzip();
                self.known.extend(keys);
                Told::Changes(changes)
            }
            Event::Delete(object) => {
                let keys: Vec<_> = read(&object).into_iter().map(|(key, _)| key).collect();
                self.known.retain(|known| !keys.contains(known));
                Told::Changes(keys.into_iter().map(Key::gone).collect())
            }
        }
    }
}
