//! The cluster as it is now: a snapshot kept current by watches on what the plan touches, and nothing else.
//!
//! Each object has one source: the pods of a namespace that is watched whole come from there, never from the watch of
//! their node, so no older event of a slower watch can bring back what is gone.

mod source;

use std::collections::BTreeSet;

use cluster_model::api::apps;
use cluster_model::api::core;
use cluster_model::api::discovery;
use cluster_model::api::policy;
use cluster_model::budget::Budget;
use cluster_model::endpoint_slice::EndpointSlice;
use cluster_model::identity::NodeName;
use cluster_model::kubevirt::{Host, Metadata, Migration, VirtualChange, VirtualMachine, VirtualMachineInstance};
use cluster_model::node::Node;
use cluster_model::owners::{ReplicaSet, SetKind};
use cluster_model::pod::Pod;
use cluster_model::snapshot::{Change, ClusterSnapshot};
use futures::future::FutureExt;
use futures::stream::{BoxStream, SelectAll, StreamExt};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;

use crate::attachments;
use crate::dynamic::json_of;
use crate::kubevirt_api::Kind;
use crate::observe::Observation;
use crate::virtual_machines::{self, GUESTS_PODS};
use api_access::ApiAccess;
use source::{Key, Told, named_source, source};

/// A snapshot and the watches that feed it.
pub struct LiveView {
    cluster: ClusterSnapshot,
    sources: SelectAll<BoxStream<'static, Told>>,
    waiting_for_first_list: usize,
}

/// What [`LiveView::changed`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The snapshot is newer than before.
    Changes,
    /// A watch failed and is being set up again; the snapshot stays as it was.
    Trouble(String),
}

impl LiveView {
    /// Sets up the watches for a drain of `targets`: the nodes by name, their pods, and in each namespace with
    /// handovers its pods, ReplicaSets, budgets and EndpointSlices; where pods go one after another their pods and budgets,
    /// and in the others their budgets.
    pub fn new(access: &ApiAccess, targets: &[NodeName], observation: Observation) -> Self {
        let controller_namespaces = observation.controller_namespaces();
        let Observation {
            cluster,
            handover_namespaces,
            succession_namespaces,
            eviction_namespaces,
            guest_namespaces,
            watches_attachments,
            selected: _,
            templates: _,
            held_back: _,
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
        for namespace in &controller_namespaces {
            let api = Api::<core::ReplicationController>::namespaced(client(), namespace);
            let known = sets_of(namespace, SetKind::ReplicationController, &cluster);
            let read = |controller: &_| set_change(ReplicaSet::from(controller));
            sources.push(source(api, watcher::Config::default(), known, read));
        }
        for namespace in &handover_namespaces {
            let api = Api::<apps::ReplicaSet>::namespaced(client(), namespace);
            let known = sets_of(namespace, SetKind::ReplicaSet, &cluster);
            sources.push(source(api, watcher::Config::default(), known, |set| set_change(ReplicaSet::from(set))));
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

    /// Takes in what was listed beside the watches, of kinds that are not watched.
    pub fn learn(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.cluster.apply(change);
        }
    }

    /// Whether every watch has brought its first list: before that the snapshot mixes old and new.
    pub fn is_synced(&self) -> bool {
        self.waiting_for_first_list == 0
    }

    /// How many watches have not brought their first list.
    pub fn missing_lists(&self) -> usize {
        self.waiting_for_first_list
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
        self.learn(changes);
        Seen::Changes
    }
}

/// The ReplicaSets or ReplicationControllers of a namespace that are known already.
fn sets_of(namespace: &str, kind: SetKind, cluster: &ClusterSnapshot) -> BTreeSet<Key> {
    let sets = cluster.replica_sets().filter(|set| set.kind == kind && set.key.namespace == namespace);
    sets.map(|set| Key::ReplicaSet(set.uid.clone())).collect()
}

fn set_change(set: ReplicaSet) -> Vec<(Key, Change)> {
    vec![(Key::ReplicaSet(set.uid.clone()), Change::ReplicaSet(Box::new(set)))]
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
        let (key, change) = read(&json_of(object));
        vec![(key, virtual_change(change))]
    };
    named_source(api, kind.resource().plural, watcher::Config::default(), known, read)
}
