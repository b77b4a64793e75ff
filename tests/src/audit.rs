//! What a user asked of the API server, as the server wrote it down: the proof of which requests were sent.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::wait::eventually;

/// How long the server may take to write the line of a request that it has answered.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// The verbs that change something.
const MUTATING: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// All requests of one user up to a moment, in the order in which the server received them.
#[derive(Debug, Clone)]
pub struct AuditLog {
    /// The requests; one that is still being answered, as a watch may be, is among them.
    pub events: Vec<AuditEvent>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// Who sent it.
    pub user: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// The resource, for example `pods`; empty for a request to another path.
    pub resource: String,
    /// The subresource, for example `eviction`; else empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The path and query.
    pub request_uri: String,
    /// The program that sent it.
    pub user_agent: String,
    /// The status of the answer; 0 while there is none.
    pub code: u16,
    /// What a change was asked for with; reads have none.
    pub request_object: Option<Value>,
    /// Whether nothing was to be kept.
    pub dry_run: bool,
    /// When the server received it.
    pub received_at: Timestamp,
    /// ResponseStarted (a watch that goes on) or ResponseComplete.
    pub stage: String,
}

/// One line of the log, in the server's words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: LineUser,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<LineObject>,
    response_status: Option<LineStatus>,
    request_object: Option<Value>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct LineUser {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LineObject {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct LineStatus {
    #[serde(default)]
    code: u16,
}

impl AuditLog {
    /// Reads everything that `user` has sent until now. It sends requests as that user, which are left out, and waits
    /// until they are in the log, so that what was sent before them is there as well.
    pub async fn of_user(control_plane: &ControlPlane, user: &str) -> Self {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let path = control_plane.audit_log().expect("an existing cluster has no audit log to read");
        let client = control_plane.client_as(user).await;
        let read = || fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        // The handler of an earlier request writes its line on its own after its answer; three round trips are time
        // enough for that.
        for _ in 0..3 {
            let marker = format!("/version?e2e-marker={}", MARKERS.fetch_add(1, Ordering::Relaxed));
            let request = http::Request::get(&marker).body(Body::empty()).expect("the marker is a valid path");
            client.send(request).await.unwrap_or_else(|error| panic!("send {marker} as {user}: {error}"));
            let quoted = format!("\"{marker}\"");
            eventually("the marker is in the audit log", WRITE_DEADLINE, || {
                let is_there = read().contains(&quoted);
                async move { is_there }
            })
            .await;
        }
        Self { events: parse(&read(), user) }
    }

    /// Returns the requests that change something, dry runs included.
    pub fn mutating(&self) -> Vec<&AuditEvent> {
        self.events.iter().filter(|event| event.is_mutating()).collect()
    }

    /// Returns the requests that were to change the cluster: no dry runs, and neither access reviews nor Events, which are
    /// created and change nothing.
    pub fn changes(&self) -> Vec<&AuditEvent> {
        let tells = |event: &AuditEvent| event.resource == "events";
        let changes = |event: &&AuditEvent| !event.dry_run && !event.is_access_review() && !tells(event);
        self.mutating().into_iter().filter(changes).collect()
    }

    /// Returns the changes that were only rehearsed.
    pub fn rehearsals(&self) -> Vec<&AuditEvent> {
        self.mutating().into_iter().filter(|event| event.dry_run).collect()
    }

    /// Returns the evictions, also refused ones and dry runs.
    pub fn evictions(&self) -> Vec<&AuditEvent> {
        self.events.iter().filter(|event| event.is_eviction()).collect()
    }

    /// Returns the requests for a resource (`pods`) or a subresource (`pods/eviction`), in order.
    pub fn of_resource(&self, resource: &str) -> Vec<&AuditEvent> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.events.iter().filter(|event| event.resource == resource && event.subresource == subresource).collect()
    }

    /// Returns how many requests there were with each verb.
    pub fn verbs(&self) -> BTreeMap<&str, usize> {
        let mut verbs = BTreeMap::new();
        for event in &self.events {
            *verbs.entry(event.verb.as_str()).or_default() += 1;
        }
        verbs
    }

    /// Returns how many requests there were with one verb.
    pub fn count(&self, verb: &str) -> usize {
        self.events.iter().filter(|event| event.verb == verb).count()
    }

    /// Returns the requests the server received at `start` or later.
    #[must_use]
    pub fn since(&self, start: Timestamp) -> Self {
        Self { events: self.events.iter().filter(|event| event.received_at >= start).cloned().collect() }
    }
}

impl AuditEvent {
    /// Returns whether it changes something, or would if it were no dry run.
    pub fn is_mutating(&self) -> bool {
        MUTATING.contains(&self.verb.as_str())
    }

    /// Returns whether it asks what its user may do.
    pub fn is_access_review(&self) -> bool {
        matches!(self.resource.as_str(), "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
    }

    /// Returns whether it asks for the eviction of a pod.
    pub fn is_eviction(&self) -> bool {
        self.verb == "create" && self.resource == "pods" && self.subresource == "eviction"
    }

    /// Returns it on one line, for comparisons: `create pods/eviction shop/web-1 -> 429`.
    pub fn summary(&self) -> String {
        let separator = if self.subresource.is_empty() { "" } else { "/" };
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        let Self { verb, resource, subresource, name, code, .. } = self;
        let dry_run = if self.dry_run { " (dry run)" } else { "" };
        format!("{verb} {resource}{separator}{subresource} {place}{name} -> {code}{dry_run}")
    }
}

fn parse(log: &str, user: &str) -> Vec<AuditEvent> {
    let quoted = format!("\"username\":\"{user}\"");
    let mut requests: BTreeMap<String, AuditEvent> = BTreeMap::new();
    for text in log.lines().filter(|line| line.contains(&quoted)) {
        // The last line may be half written; a line in the middle never is.
        let Ok(line) = serde_json::from_str::<Line>(text) else { continue };
        if line.user.username == user && !line.request_uri.starts_with("/version?e2e-marker=") {
            // A later stage of the same request says more.
            requests.insert(line.audit_id.clone(), AuditEvent::from(line));
        }
    }
    let mut events: Vec<AuditEvent> = requests.into_values().collect();
    events.sort_by_key(|event| event.received_at);
    events
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let object = line.object_ref.unwrap_or_default();
        let in_options = |options: &Value| options["dryRun"].as_array().is_some_and(|values| !values.is_empty());
        let dry_run = line.request_uri.contains("dryRun=All")
            || line.request_object.as_ref().is_some_and(|body| in_options(body) || in_options(&body["deleteOptions"]));
        Self {
            user: line.user.username,
            verb: line.verb,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            request_uri: line.request_uri,
            user_agent: line.user_agent,
            code: line.response_status.map_or(0, |status| status.code),
            request_object: line.request_object,
            dry_run,
            received_at: line.request_received_timestamp,
            stage: line.stage,
        }
    }
}
