//! What the controllers know of the cluster, and how they change it: watches fill the store, and the answer to each
//! write does so at once, so that nothing is done twice because a watch is behind.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request};
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::object::{Object, changes, key, merge, now, text_of};

/// How long after a refusal nobody expects the whole is looked at again.
const RETRY: Duration = Duration::from_millis(250);

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
    const fn has_status_path(self) -> bool {
        !matches!(self, Self::Instance)
    }
}

/// Who writes. The API server sees KubeVirt's service accounts, so that virt-api lets their writes pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    /// virt-controller.
    Controller,
    /// virt-handler.
    Handler,
    /// The kubelet of a launcher's node.
    Kubelet,
}

/// A write that the API server did not accept.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// The status code; 0 if no answer came.
    pub(super) code: u16,
    pub(super) message: String,
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

/// The answer to a write.
pub(super) type Written<T> = Result<T, Refused>;

/// What went wrong so far, for the message of a test that waits in vain.
pub(super) type Complaints = Arc<Mutex<Vec<String>>>;

/// The store, the clients and the times at which something is due.
pub(super) struct Cluster {
    clients: BTreeMap<Actor, Client>,
    objects: BTreeMap<Kind, BTreeMap<String, Arc<Object>>>,
    /// The launchers of each VMI by its uid.
    launchers: HashMap<String, Vec<String>>,
    /// The uids of what is gone: a watch that is behind may still tell of it.
    gone: HashSet<String>,
    events: HashMap<(String, String, String), (String, u32)>,
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
    complaints: Complaints,
}

impl Cluster {
    pub(super) fn new(clients: BTreeMap<Actor, Client>, complaints: Complaints) -> Self {
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

    fn keep(&mut self, kind: Kind, object: Arc<Object>) {
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

    /// Notes a refusal that nobody expects, and looks again soon. Conflicts and absences come right by the watch, and in a
    /// namespace that is going away nothing has to be made.
    pub(super) fn note(&mut self, what: &str, refused: &Refused) {
        let is_ending = refused.code == 403 && refused.message.contains("because it is being terminated");
        if matches!(refused.code, 404 | 409) || is_ending {
            return;
        }
        self.complain(format!("{what}: {} {}", refused.code, refused.message));
        self.is_due(Instant::now() + RETRY);
    }

    fn complain(&self, text: String) {
        if let Ok(mut complaints) = self.complaints.lock()
            && !complaints.contains(&text)
        {
            complaints.push(text);
        }
    }

    /// Creates an object, in a namespace unless that is "".
    pub(super) async fn create(&mut self, kind: Kind, object: &Value) -> Written<Arc<Object>> {
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let path = collection(&kind.resource(), namespace);
        let created = self.send(Actor::Controller, Method::POST, &path, object).await?;
        Ok(self.wrote(kind, created))
    }

    /// Merges a patch into an object, unless it would change nothing; returns the object as it then is. What is in
    /// `status` goes by the status path where the kind has one. The patch is refused (409) if the object has changed.
    pub(super) async fn ensure(
        &mut self,
        actor: Actor,
        kind: Kind,
        object: &Object,
        patch: Value,
    ) -> Written<Arc<Object>> {
        let known = self.newest(kind, object).filter(|known| known.version() == object.version());
        let mut current = known.unwrap_or_else(|| Arc::new(object.clone()));
        let Value::Object(mut main) = patch else { return Ok(current) };
        let status = if kind.has_status_path() { main.remove("status") } else { None };
        let parts = [
            (Value::Object(main), ""),
            (status.map_or_else(|| json!({}), |status| json!({ "status": status })), "/status"),
        ];
        for (mut part, subresource) in parts {
            if !changes(&current.0, &part) {
                continue;
            }
            merge(&mut part, &json!({ "metadata": { "resourceVersion": current.text("/metadata/resourceVersion") } }));
            let place = format!("{}/{}{subresource}", collection(&kind.resource(), object.namespace()), object.name());
            let written = self.send(actor, Method::PATCH, &place, &part).await?;
            if Object(written.clone()).version() == current.version() {
                if current.is_deleting() {
                    // Its last finalizer has gone, and the object with it.
                    self.lost(kind, &current);
                    self.has_written = true;
                    return Ok(Arc::new(current.patched(&part)));
                }
                self.complain(format!("{actor:?}'s patch of {place} has no effect: {part}"));
                continue;
            }
            current = self.wrote(kind, written);
        }
        Ok(current)
    }

    /// Deletes this very object unless that was asked for already; `grace` in seconds replaces a pod's own.
    pub(super) async fn delete(&mut self, kind: Kind, object: &Object, grace: Option<u32>) -> Written<()> {
        if object.is_deleting() && grace.is_none() {
            return Ok(());
        }
        let mut options =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": object.uid() } });
        if let Some(seconds) = grace {
            merge(&mut options, &json!({ "gracePeriodSeconds": seconds }));
        }
        let path = format!("{}/{}", collection(&kind.resource(), object.namespace()), object.name());
        let answer = self.send(Actor::Controller, Method::DELETE, &path, &options).await?;
        if answer.pointer("/metadata/uid").is_some_and(|uid| uid == object.uid()) {
            self.wrote(kind, answer);
        } else {
            self.lost(kind, object);
            self.has_written = true;
        }
        Ok(())
    }

    /// Tells an event of an object; the same again counts up, as client-go's recorder does it.
    pub(super) async fn event(&mut self, kind: Kind, object: &Object, warning: bool, reason: &str, message: &str) {
        let resource = kind.resource();
        let path = format!("/api/v1/namespaces/{}/events", object.namespace());
        let id = (object.uid().to_owned(), reason.to_owned(), message.to_owned());
        let known = self.events.get_mut(&id).map(|(name, count)| {
            *count += 1;
            (name.clone(), *count)
        });
        let sent = if let Some((name, count)) = known {
            let again = json!({ "count": count, "lastTimestamp": now() });
            self.send(Actor::Controller, Method::PATCH, &format!("{path}/{name}"), &again).await
        } else {
            let event = json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": { "generateName": format!("{}.", object.name()), "namespace": object.namespace() },
                "involvedObject": {
                    "apiVersion": resource.api_version, "kind": resource.kind, "namespace": object.namespace(),
                    "name": object.name(), "uid": object.uid(),
                },
                "type": if warning { "Warning" } else { "Normal" }, "reason": reason, "message": message,
                "count": 1, "firstTimestamp": now(), "lastTimestamp": now(),
                "source": { "component": "virt-controller-stand-in" },
            });
            let sent = self.send(Actor::Controller, Method::POST, &path, &event).await;
            if let Ok(created) = &sent {
                self.events.insert(id, (Object(created.clone()).name().to_owned(), 1));
            }
            sent
        };
        if let Err(refused) = sent {
            self.note(&format!("event {reason} of {}", object.key()), &refused);
        }
    }

    /// Reads one object of any kind, by its path.
    pub(super) async fn read(&mut self, path: &str) -> Written<Object> {
        self.send(Actor::Controller, Method::GET, path, &Value::Null).await.map(Object)
    }

    fn wrote(&mut self, kind: Kind, object: Value) -> Arc<Object> {
        let object = Arc::new(Object(object));
        self.keep(kind, object.clone());
        self.has_written = true;
        object
    }

    async fn send(&self, actor: Actor, method: Method, path: &str, body: &Value) -> Written<Value> {
        let unsent = |error: String| Refused { code: 0, message: error };
        let client = self.clients.get(&actor).ok_or_else(|| unsent(format!("{actor:?} has no client")))?;
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content)
            .header("Accept", "application/json")
            .body(body)
            .map_err(|error| unsent(error.to_string()))?;
        client.request(request).await.map_err(|error| match error {
            Error::Api(status) => Refused { code: status.code, message: status.message.clone() },
            error => unsent(error.to_string()),
        })
    }
}

fn collection(resource: &ApiResource, namespace: &str) -> String {
    let root = if resource.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", resource.api_version) };
    if namespace.is_empty() {
        format!("{root}/{}", resource.plural)
    } else {
        format!("{root}/namespaces/{namespace}/{}", resource.plural)
    }
}
