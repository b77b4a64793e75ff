//! What the controllers know of the cluster: watches fill the store, and so does the answer to each write.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde_json::Value;
use tokio::time::Instant;

use super::object::{Object, key, text_of};
use super::writes::Actor;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    KubeVirt,
    Node,
    Pod,
    Machine,
    ReplicaSet,
    Instance,
    Migration,
}

impl Kind {
    pub(super) const ALL: [Self; 7] =
        [Self::KubeVirt, Self::Node, Self::Pod, Self::Machine, Self::ReplicaSet, Self::Instance, Self::Migration];

    pub(super) fn resource(self) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::KubeVirt => ("kubevirt.io", "KubeVirt", "kubevirts"),
            Self::Node => ("", "Node", "nodes"),
            Self::Pod => ("", "Pod", "pods"),
            Self::Machine => ("kubevirt.io", "VirtualMachine", "virtualmachines"),
            Self::ReplicaSet => {
                ("kubevirt.io", "VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets")
            }
            Self::Instance => ("kubevirt.io", "VirtualMachineInstance", "virtualmachineinstances"),
            Self::Migration => ("kubevirt.io", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
    }

    /// Returns whether status is written through a path of its own; a VMI's is not (reference 1).
    pub(super) const fn has_status_path(self) -> bool {
        !matches!(self, Self::Instance)
    }
}

/// The guests there is something to do for.
pub(super) struct Turn {
    guests: HashSet<String>,
    is_for_all: bool,
}

impl Turn {
    /// Returns whether there is something to do for an object.
    pub(super) fn is_for(&self, kind: Kind, object: &Object) -> bool {
        // A migration that waits for its turn depends on all the others.
        let is_waiting = kind == Kind::Migration && matches!(object.phase(), "" | "Pending");
        self.is_for_all || is_waiting || guest_of(kind, object).is_none_or(|guest| self.guests.contains(&guest))
    }
}

/// Returns the place of the VMI that an object belongs to.
fn guest_of(kind: Kind, object: &Object) -> Option<String> {
    let name = match kind {
        Kind::Machine | Kind::Instance => object.name(),
        Kind::Migration => object.text("/spec/vmiName"),
        Kind::Pod => object.controller("VirtualMachineInstance").map(|owner| text_of(owner, "name"))?,
        Kind::KubeVirt | Kind::Node | Kind::ReplicaSet => return None,
    };
    Some(key(object.namespace(), name))
}

/// When the stand-in wrote which phase of which migration (by its uid): what a watch shows of it comes later, and now and then
/// much later.
pub(super) type Phases = Arc<Mutex<Vec<(String, String, Instant)>>>;

/// What went wrong so far, for the message of a test that waits in vain.
pub(super) type Complaints = Arc<Mutex<Vec<String>>>;

/// The store, the clients and the times at which something is due.
pub(super) struct Cluster {
    pub(super) clients: BTreeMap<Actor, Client>,
    objects: BTreeMap<Kind, BTreeMap<String, Arc<Object>>>,
    /// The launchers of each VMI by its uid.
    launchers: HashMap<String, Vec<String>>,
    /// The uids of what is gone: a watch that is behind may still tell of it.
    gone: HashSet<String>,
    pub(super) events: HashMap<(String, String, String), (String, u32)>,
    began: HashMap<(String, &'static str), Instant>,
    /// The guests (by the place of their VMI, which is that of their VM too) that something has happened to.
    touched: HashSet<String>,
    /// Something has happened that may concern every guest: to a node, or to KubeVirt's settings.
    is_all_touched: bool,
    /// When to look at a guest again although nothing happens; "" stands for all that is no guest.
    due: HashMap<String, Instant>,
    /// Whose turn it is, as in `due`.
    subject: String,
    /// Something was written since this was last cleared.
    pub(super) has_written: bool,
    pub(super) complaints: Complaints,
    pub(super) phases: Phases,
    /// The namespaces that are going away, in which nothing can be made any more, and since when that is known.
    pub(super) ending: HashMap<String, Instant>,
}

impl Cluster {
    pub(super) fn new(clients: BTreeMap<Actor, Client>, complaints: Complaints, phases: Phases) -> Self {
        Self {
            clients,
            objects: BTreeMap::new(),
            launchers: HashMap::new(),
            gone: HashSet::new(),
            events: HashMap::new(),
            began: HashMap::new(),
            touched: HashSet::new(),
            is_all_touched: true,
            due: HashMap::new(),
            subject: String::new(),
            has_written: false,
            complaints,
            phases,
            ending: HashMap::new(),
        }
    }

    /// Takes what a watch told; an older version than the known one is no news.
    pub(super) fn saw(&mut self, kind: Kind, object: Object) {
        self.keep(kind, Arc::new(object));
    }

    /// Takes that an object is gone.
    pub(super) fn lost(&mut self, kind: Kind, object: &Object) {
        self.gone.insert(object.uid().to_owned());
        self.touch(kind, object);
        let known = self.objects.entry(kind).or_default();
        if known.get(&object.key()).is_some_and(|own| own.uid() == object.uid()) {
            known.remove(&object.key());
        }
    }

    /// Takes a new list: what it does not name is gone.
    pub(super) fn listed(&mut self, kind: Kind, objects: Vec<Object>) {
        self.is_all_touched = true;
        self.objects.entry(kind).or_default().clear();
        for object in objects {
            self.saw(kind, object);
        }
    }

    pub(super) fn keep(&mut self, kind: Kind, object: Arc<Object>) {
        if self.gone.contains(object.uid()) {
            return;
        }
        let known = self.objects.entry(kind).or_default();
        if known.get(&object.key()).is_none_or(|own| own.version() <= object.version()) {
            if let (Kind::Pod, Some(uid)) = (kind, object.controller_uid("VirtualMachineInstance")) {
                let launchers = self.launchers.entry(uid.to_owned()).or_default();
                if !launchers.contains(&object.key()) {
                    launchers.push(object.key());
                }
            }
            if known.get(&object.key()).is_none_or(|own| own.version() != object.version()) {
                self.touch(kind, &object);
            }
            let known = self.objects.entry(kind).or_default();
            if kind == Kind::Migration {
                self.began.entry((object.uid().to_owned(), "seen")).or_insert_with(Instant::now);
            }
            known.insert(object.key(), object);
        }
    }

    fn touch(&mut self, kind: Kind, object: &Object) {
        match guest_of(kind, object) {
            Some(guest) => drop(self.touched.insert(guest)),
            None => self.is_all_touched |= matches!(kind, Kind::Node | Kind::KubeVirt),
        }
    }

    /// Returns which guests there is something to do for.
    pub(super) fn take_turn(&mut self) -> Turn {
        let now = Instant::now();
        let mut guests = std::mem::take(&mut self.touched);
        self.due.retain(|guest, due| {
            let is_due = *due <= now;
            if is_due {
                guests.insert(guest.clone());
            }
            !is_due
        });
        self.has_written = false;
        Turn { guests, is_for_all: std::mem::take(&mut self.is_all_touched) }
    }

    /// Says about which object the questions after the time are.
    pub(super) fn begin(&mut self, kind: Kind, object: &Object) {
        self.subject = guest_of(kind, object).unwrap_or_default();
    }

    /// Returns when to look again although nothing happens.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    pub(super) fn all(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.objects.get(&kind).map(|known| known.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.objects.get(&kind)?.get(&key(namespace, name)).cloned()
    }

    /// Returns the newest version of an object, if it is still there.
    pub(super) fn newest(&self, kind: Kind, object: &Object) -> Option<Arc<Object>> {
        self.get(kind, object.namespace(), object.name()).filter(|own| own.uid() == object.uid())
    }

    pub(super) fn node(&self, name: &str) -> Option<Arc<Object>> {
        self.get(Kind::Node, "", name)
    }

    /// Returns the launchers of a VMI, finished ones too, oldest first.
    pub(super) fn launchers(&self, vmi: &Object) -> Vec<Arc<Object>> {
        let (Some(keys), Some(pods)) = (self.launchers.get(vmi.uid()), self.objects.get(&Kind::Pod)) else {
            return Vec::new();
        };
        let mut launchers: Vec<_> = keys.iter().filter_map(|key| pods.get(key).cloned()).collect();
        launchers.retain(|pod| pod.controller_uid("VirtualMachineInstance") == Some(vmi.uid()));
        launchers.sort_by_cached_key(|pod| (pod.created(), pod.version()));
        launchers
    }

    /// Returns the VMI that a launcher belongs to.
    pub(super) fn instance_of(&self, pod: &Object) -> Option<Arc<Object>> {
        let owner = pod.controller("VirtualMachineInstance")?;
        self.get(Kind::Instance, pod.namespace(), text_of(owner, "name"))
            .filter(|vmi| vmi.uid() == text_of(owner, "uid"))
    }

    /// Returns the migrations of a VMI, oldest first.
    pub(super) fn migrations(&self, vmi: &Object) -> Vec<Arc<Object>> {
        let of_vmi = |own: &&Arc<Object>| own.namespace() == vmi.namespace() && own.text("/spec/vmiName") == vmi.name();
        let known = self.objects.get(&Kind::Migration);
        let mut migrations: Vec<_> = known.into_iter().flat_map(BTreeMap::values).filter(of_vmi).cloned().collect();
        migrations.sort_by_cached_key(|own| (own.created(), self.order(own)));
        migrations
    }

    /// Returns a setting of the KubeVirt object (below /spec/configuration), null where there is none.
    pub(super) fn setting(&self, pointer: &str) -> Value {
        let path = format!("/spec/configuration{pointer}");
        self.all(Kind::KubeVirt).first().map(|own| own.at(&path).clone()).unwrap_or_default()
    }

    /// Orders what was made within one second: as it was first seen.
    pub(super) fn order(&self, object: &Object) -> Option<Instant> {
        self.began.get(&(object.uid().to_owned(), "seen")).copied()
    }

    /// Returns since when something is so for an object: since the first question.
    pub(super) fn since(&mut self, uid: &str, what: &'static str) -> Instant {
        *self.began.entry((uid.to_owned(), what)).or_insert_with(Instant::now)
    }

    /// Returns since when something is so, if it was asked before.
    pub(super) fn known_since(&self, uid: &str, what: &'static str) -> Option<Instant> {
        self.began.get(&(uid.to_owned(), what)).copied()
    }

    /// Forgets since when something is so.
    pub(super) fn forget(&mut self, uid: &str, what: &'static str) {
        self.began.remove(&(uid.to_owned(), what));
    }

    /// Returns whether something has been so for this long; if not, there will be another look once it has.
    pub(super) fn has_lasted(&mut self, uid: &str, what: &'static str, duration: Duration) -> bool {
        let due = self.since(uid, what) + duration;
        self.is_due(due)
    }

    /// Returns whether a time has come; if not, there will be another look then.
    pub(super) fn is_due(&mut self, due: Instant) -> bool {
        if due <= Instant::now() {
            return true;
        }
        let known = self.due.entry(self.subject.clone()).or_insert(due);
        *known = due.min(*known);
        false
    }
}
