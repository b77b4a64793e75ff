//! How the controllers write: each answer goes into the store at once, so that nothing is done twice because a watch is
//! behind.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use kube::Error;
use kube::api::ApiResource;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{Cluster, Kind};
use super::object::{Object, changes, merge, now};

/// How long after a refusal nobody expects the whole is looked at again.
const RETRY: Duration = Duration::from_millis(250);

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

impl Refused {
    fn is_of_an_ending_namespace(&self) -> bool {
        self.code == 403 && self.message.contains("because it is being terminated")
    }
}

/// The answer to a write.
pub(super) type Written<T> = Result<T, Refused>;

impl Cluster {
    /// Notes a refusal that nobody expects, and looks again soon. Conflicts and absences come right by the watch, and in a
    /// namespace that is going away nothing has to be made.
    pub(super) fn note(&mut self, what: &str, refused: &Refused) {
        if matches!(refused.code, 404 | 409) || refused.is_of_an_ending_namespace() {
            return;
        }
        self.complain(format!("{what}: {} {}", refused.code, refused.message));
        self.is_due(Instant::now() + RETRY);
    }

    /// Whether nothing can be made in a namespace, as far as was said a short while ago: there may be another of its name.
    fn is_ending(&self, namespace: &str) -> bool {
        self.ending.get(namespace).is_some_and(|since| since.elapsed() < Duration::from_secs(5))
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
        if self.is_ending(namespace) {
            // It said so; asking again with every turn would cost others their time.
            return Err(Refused { code: 404, message: format!("namespace {namespace} is going away") });
        }
        let path = collection(&kind.resource(), namespace);
        let created = self.send(Actor::Controller, Method::POST, &path, object).await;
        if created.as_ref().is_err_and(Refused::is_of_an_ending_namespace) {
            self.ending.insert(namespace.to_owned(), Instant::now());
        }
        Ok(self.wrote(kind, created?))
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
        if self.is_ending(object.namespace()) {
            return;
        }
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
            if refused.is_of_an_ending_namespace() {
                self.ending.insert(object.namespace().to_owned(), Instant::now());
            }
            self.note(&format!("event {reason} of {}", object.key()), &refused);
        }
    }

    /// Reads one object of any kind, by its path.
    pub(super) async fn read(&mut self, path: &str) -> Written<Object> {
        self.send(Actor::Controller, Method::GET, path, &Value::Null).await.map(Object)
    }

    fn wrote(&mut self, kind: Kind, object: Value) -> Arc<Object> {
        let object = Arc::new(Object(object));
        if kind == Kind::Migration
            && let Ok(mut phases) = self.phases.lock()
        {
            phases.push((object.uid().to_owned(), object.phase().to_owned(), Instant::now()));
        }
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
