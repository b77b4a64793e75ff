//! Events in the cluster: what a run did, told to whoever looks at a workload or a node afterwards. They change nothing, and
//! a run without the right to them is as good.

use std::time::Duration;

use cluster_model::identity::{ControllerRef, NodeName, Uid};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lease::LeaseGuard;
use api_access::{ApiAccess, CallError};

/// How many are sent at a time.
const IN_FLIGHT: usize = 8;
/// How long all of them may take: a run does not stay for what only tells of it.
const LIMIT: Duration = Duration::from_secs(10);

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    api_version: String,
    kind: String,
    /// `None`: it is in no namespace, and its events are in `default`.
    namespace: Option<String>,
    name: String,
    uid: Uid,
}

impl About {
    /// A pod's owner, which is in the pod's namespace.
    pub fn owner(owner: ControllerRef, namespace: &str) -> Self {
        let ControllerRef { api_version, kind, name, uid } = owner;
        Self { api_version, kind, namespace: Some(namespace.to_owned()), name, uid }
    }

    /// A node. Its events name it as their uid too, which is how `kubectl describe node` finds them
    /// (`pkg/kubelet/kubelet.go`, `nodeRef`).
    pub fn node(node: &NodeName) -> Self {
        let (kind, name) = ("Node".to_owned(), node.0.clone());
        Self { api_version: "v1".to_owned(), kind, namespace: None, name, uid: Uid(node.0.clone()) }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEvent {
    /// Whom it is about.
    pub about: About,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// Whether something was left undone.
    pub is_warning: bool,
    /// A sentence.
    pub message: String,
}

/// Sends events; returns the first error there was. Needs `create events` in the namespaces of what they are about, for nodes
/// in `default`. The guard is a witness: a dry run has none.
pub async fn send(
    access: &ApiAccess,
    guard: &LeaseGuard,
    reporter: &str,
    events: Vec<ClusterEvent>,
    now: Timestamp,
) -> Result<(), CallError> {
    if !guard.is_held() {
        return Ok(());
    }
    // A moment for each, and with it a name of its own.
    let moments = (now.as_nanosecond()..).map_while(|moment| Timestamp::from_nanosecond(moment).ok());
    let sending = stream::iter(moments.zip(events))
        .map(|(at, event)| async move { access.call(create(access, reporter, &event, at)).await })
        .buffer_unordered(IN_FLIGHT)
        .fold(Ok(()), |before, answer| async { before.and(answer) });
    tokio::time::timeout(LIMIT, sending).await.unwrap_or(Err(CallError::Timeout(LIMIT)))
}

/// The name of an event: of its object and the moment, as client-go's recorder names them (`tools/record/util`,
/// `GenerateEventName`). Seconds are all that an event keeps of its time: so those of one object are listed in their order.
fn name_of(object: &str, at: Timestamp) -> String {
    /// How long a name may be.
    const LONGEST: usize = 253;
    let moment = format!("{:x}", at.as_nanosecond());
    let kept = object.get(..LONGEST - 1 - moment.len()).unwrap_or(object);
    // The name of an owner is whatever its pod says, and goes into a path.
    format!("{}.{moment}", kept.trim_end_matches(['.', '-']).replace(['/', '%'], "-"))
}

async fn create(access: &ApiAccess, reporter: &str, event: &ClusterEvent, at: Timestamp) -> kube::Result<()> {
    let About { api_version, kind, namespace, name, uid } = &event.about;
    let event_name = name_of(name, at);
    let at = format!("{at:.0}");
    let place = namespace.as_deref().unwrap_or("default");
    let body = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": event_name, "namespace": place },
        "involvedObject": {
            "apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": uid,
        },
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "reason": event.reason, "message": event.message, "count": 1, "firstTimestamp": at, "lastTimestamp": at,
        "source": { "component": format!("kubectl-{reporter}") },
        "reportingComponent": format!("kubectl-{reporter}"),
    });
    let path = format!("/api/v1/namespaces/{place}/events?fieldManager={}", access.field_manager);
    let body = serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?;
    let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(body);
    access.client.request::<Value>(request.map_err(kube::Error::HttpError)?).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_time_and_no_longer_than_a_name_may_be() {
        let moment = |text: &str| text.parse::<Timestamp>().unwrap();
        let (first, second) = (moment("2026-11-28T11:10:01.000000001Z"), moment("2026-11-28T11:10:01.1Z"));
        assert!(name_of("web", first) < name_of("web", second));
        assert_eq!(name_of("web", first), format!("web.{:x}", first.as_nanosecond()));
        assert!(name_of("a/b%c", first).starts_with("a-b-c."));
        let long = format!("{}.{}", "a".repeat(235), "b".repeat(17));
        let name = name_of(&long, first);
        assert_eq!((name.len(), name.contains("..")), (252, false), "{name}");
    }
}
