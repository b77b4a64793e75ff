//! The record of every version of KubeVirt's objects and launchers in a namespace, as a watch shows them.

#![expect(clippy::disallowed_methods, reason = "a record says when something was seen")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::Namespace;
use e2e::wait::DEADLINE;
use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::Value;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

pub(super) const VM: &str = "VirtualMachine";
pub(super) const VMI: &str = "VirtualMachineInstance";
pub(super) const MIGRATION: &str = "VirtualMachineInstanceMigration";
pub(super) const POD: &str = "Pod";

/// One version of an object, and when it was seen; no version: it was gone then.
#[derive(Clone)]
struct Seen {
    at: Instant,
    kind: &'static str,
    uid: Value,
    name: String,
    object: Option<Value>,
}

/// A record since it was made; it ends when it is dropped.
pub(super) struct Record {
    seen: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    began: Instant,
    apis: Vec<(&'static str, Api<DynamicObject>)>,
    _watching: JoinSet<()>,
}

impl Record {
    /// Begins to record; what there is already is in it.
    pub(super) async fn of(ns: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counting, count) = watch::channel(0);
        let mut watching = JoinSet::new();
        let kinds = [VM, VMI, MIGRATION, POD];
        let listed = Arc::new(Barrier::new(kinds.len() + 1));
        for kind in kinds {
            let (api, seen, listed, counting) = (api(ns, kind), seen.clone(), listed.clone(), counting.clone());
            watching.spawn(async move {
                let events = watcher(api, Config::default());
                pin_mut!(events);
                let mut is_listed = false;
                while let Some(event) = events.next().await {
                    let (object, is_gone) = match event {
                        Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
                        Ok(Event::Delete(object)) => (object, true),
                        Ok(Event::InitDone) if !is_listed => {
                            is_listed = true;
                            listed.wait().await;
                            continue;
                        }
                        Ok(Event::Init | Event::InitDone) => continue,
                        // It tries again by itself, without a pause of its own.
                        Err(_) => {
                            time::sleep(Duration::from_millis(25)).await;
                            continue;
                        }
                    };
                    let object = serde_json::to_value(object).unwrap();
                    seen.lock().unwrap().push(Seen {
                        at: Instant::now(),
                        kind,
                        uid: object["metadata"]["uid"].clone(),
                        name: object["metadata"]["name"].as_str().unwrap().to_owned(),
                        object: (!is_gone).then_some(object),
                    });
                    counting.send_modify(|count| *count += 1);
                }
            });
        }
        listed.wait().await;
        let apis = kinds.map(|kind| (kind, api(ns, kind))).into();
        Self { seen, count, began: Instant::now(), apis, _watching: watching }
    }

    /// Waits until everything that there is now is in the record, whose watches may be behind others.
    pub(super) async fn catch_up(&self) {
        let mut count = self.count.clone();
        for (kind, api) in &self.apis {
            let there: Vec<Value> = api
                .list(&ListParams::default())
                .await
                .unwrap()
                .into_iter()
                .map(|own| serde_json::to_value(own).unwrap())
                .collect();
            let is_in = |object: &Value| {
                self.seen().iter().any(|seen| {
                    let is_it = seen.kind == *kind && seen.uid == object["metadata"]["uid"];
                    is_it && seen.object.as_ref().is_none_or(|seen| version(seen) >= version(object))
                })
            };
            let has_gone = |name: &String| {
                there.iter().any(|object| object["metadata"]["name"] == *name.as_str())
                    || self.last(kind, name).is_null()
            };
            let waiting = async {
                while !(there.iter().all(is_in) && self.names(kind).iter().all(has_gone)) {
                    count.changed().await.unwrap();
                }
            };
            assert!(time::timeout(DEADLINE, waiting).await.is_ok(), "the record does not catch up with each {kind}");
        }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the different values of a field of an object one after the other; a missing field is "".
    pub(super) fn sequence(&self, kind: &str, name: &str, pointer: &str) -> Vec<String> {
        self.sequence_of(kind, name, |object| {
            object
                .pointer(pointer)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .unwrap_or_default()
        })
    }

    /// Returns what `view` makes of the versions of an object, without repetitions; when it was gone it is "gone".
    pub(super) fn sequence_of(&self, kind: &str, name: &str, view: impl Fn(&Value) -> String) -> Vec<String> {
        let mut sequence: Vec<String> = self
            .seen()
            .iter()
            .filter(|seen| seen.kind == kind && seen.name == name)
            .map(|seen| seen.object.as_ref().map_or_else(|| "gone".to_owned(), &view))
            .collect();
        sequence.dedup();
        sequence
    }

    /// Returns the names of the objects of a kind in the order in which they came.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for seen in self.seen().into_iter().filter(|seen| seen.kind == kind) {
            if !names.contains(&seen.name) {
                names.push(seen.name);
            }
        }
        names
    }

    /// Returns how many seconds after the begin of the record it is now.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Returns how many seconds after the begin of the record an object first was as `is_so` says; gone is null.
    pub(super) fn when(&self, kind: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> f64 {
        let seen = self.seen();
        let first = seen
            .iter()
            .filter(|seen| seen.kind == kind && seen.name == name)
            .find(|seen| is_so(seen.object.as_ref().unwrap_or(&Value::Null)));
        let first = first.unwrap_or_else(|| unreachable!("{kind} {name} was never so"));
        first.at.duration_since(self.began).as_secs_f64()
    }

    /// Returns the uids that objects of one name had, in their order.
    pub(super) fn uids(&self, kind: &str, name: &str) -> Vec<Value> {
        let mut uids: Vec<Value> = self
            .seen()
            .into_iter()
            .filter(|seen| seen.kind == kind && seen.name == name)
            .map(|seen| seen.uid)
            .collect();
        uids.dedup();
        uids
    }

    /// Returns the last version of an object.
    pub(super) fn last(&self, kind: &str, name: &str) -> Value {
        let mut seen = self.seen();
        seen.retain(|seen| seen.kind == kind && seen.name == name);
        seen.pop().and_then(|seen| seen.object).unwrap_or_default()
    }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn api(ns: &Namespace, kind: &str) -> Api<DynamicObject> {
    let group = if kind == POD { "" } else { "kubevirt.io" };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(ns.client(), ns.name(), &resource)
}

/// Returns the status of a condition, "" where there is none.
pub(super) fn condition(object: &Value, condition: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let own = conditions.into_iter().flatten().find(|own| own["type"] == condition);
    own.map(|own| own["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}
