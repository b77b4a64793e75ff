//! One watch as a source of changes: a list that is made anew after a gap also tells what went meanwhile.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;

use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::VirtualChange;
use cluster_model::snapshot::Change;
use futures::stream::{BoxStream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// How many objects a page of a watch's first list holds: pages are decoded whole, and memory is dear.
const PAGE: u32 = 100;

/// What a watch tells.
pub(super) enum Told {
    Changes(Vec<Change>),
    /// The first list of a source is complete.
    Synced(Vec<Change>),
    Trouble(String),
}

/// The key under which a source remembers what it has told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
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

/// What a source remembers between events.
struct Memory {
    known: BTreeSet<Key>,
    listed: BTreeSet<Key>,
    has_synced: bool,
}

/// Turns a watch into changes of the snapshot. A list that is made anew after a gap also tells what went meanwhile.
pub(super) fn source<K>(
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
pub(super) fn named_source<K>(
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
