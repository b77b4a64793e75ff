//! Every change of the objects of a kind, without a gap: what the recorder of endpoints rests on.
//!
//! A watch that ends is opened again at the last version it told. After a restart the API server no longer knows that
//! version, because its cache begins anew; the store behind it does, so each state in between is then read from there.
//! Only where that fails, too, is there a gap, and it is told.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::api::{ListParams, VersionMatch, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time;

/// The pause before a watch that could not be opened is opened again: the server may be restarting.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// How many states in between are read from the store at most; each is one request of a few milliseconds.
const MOST_STATES: u64 = 2000;

/// One step from a state to the next.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// An object is new or different.
    Put(Box<K>),
    /// The object of this name is gone.
    Removed(String),
    /// These are all objects there are.
    All(Vec<K>),
}

/// A gap: the changes could not all be told, for this reason. Nothing comes after it.
#[derive(Debug)]
pub(crate) struct Gap(pub(crate) String);

enum State<K> {
    Closed { version: String },
    Open { version: String, events: BoxStream<'static, kube::Result<WatchEvent<K>>> },
    Expired { version: String },
    Replaying { states: VecDeque<Vec<K>>, version: String },
    Ended,
}

/// Yields every change after `version`.
pub(crate) fn changes_since<K>(api: Api<K>, version: String) -> impl Stream<Item = Result<Change<K>, Gap>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    stream::unfold((api, State::Closed { version }), |(api, mut state)| async move {
        loop {
            let item;
            (item, state) = state.next(&api).await;
            match (item, &state) {
                (Some(item), _) => return Some((item, (api, state))),
                (None, State::Ended) => return None,
                (None, _) => {}
            }
        }
    })
}

impl<K> State<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(self, api: &Api<K>) -> (Option<Result<Change<K>, Gap>>, Self) {
        match self {
            Self::Closed { version } => match api.watch(&WatchParams::default(), &version).await {
                Ok(events) => (None, Self::Open { version, events: events.boxed() }),
                Err(kube::Error::Api(status)) if status.code == 410 => (None, Self::Expired { version }),
                Err(_) => {
                    time::sleep(REOPEN_PAUSE).await;
                    (None, Self::Closed { version })
                }
            },
            Self::Open { version, mut events } => match events.next().await {
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    let version = object.resource_version().unwrap_or(version);
                    (Some(Ok(Change::Put(Box::new(object)))), Self::Open { version, events })
                }
                Some(Ok(WatchEvent::Deleted(object))) => {
                    let version = object.resource_version().unwrap_or(version);
                    (Some(Ok(Change::Removed(object.name_any()))), Self::Open { version, events })
                }
                Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                    (None, Self::Open { version: bookmark.metadata.resource_version, events })
                }
                Some(Ok(WatchEvent::Error(status))) if status.code == 410 => (None, Self::Expired { version }),
                Some(Ok(WatchEvent::Error(status))) => (Some(Err(Gap(status.to_string()))), Self::Ended),
                Some(Err(_)) | None => (None, Self::Closed { version }),
            },
            Self::Expired { version } => match states_since(api, &version).await {
                Ok((states, version)) => (None, Self::Replaying { states, version }),
                Err(gap) => (Some(Err(gap)), Self::Ended),
            },
            Self::Replaying { mut states, version } => match states.pop_front() {
                Some(objects) => (Some(Ok(Change::All(objects))), Self::Replaying { states, version }),
                None => (None, Self::Closed { version }),
            },
            Self::Ended => (None, Self::Ended),
        }
    }
}

/// Reads the state at each version after `version` up to now from the store; returns them with the newest version.
async fn states_since<K>(api: &Api<K>, version: &str) -> Result<(VecDeque<Vec<K>>, String), Gap>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let gap =
        |error: &dyn std::fmt::Display| Gap(format!("version {version} has expired, and reading on failed: {error}"));
    let now = api.list(&ListParams::default()).await.map_err(|error| gap(&error))?;
    let newest = now.metadata.resource_version.unwrap_or_default();
    let (first, last) = (version_number(version) + 1, version_number(&newest));
    if last.saturating_sub(first) > MOST_STATES {
        return Err(gap(&format!("there are more than {MOST_STATES} versions up to {newest}")));
    }
    let mut states = VecDeque::new();
    for number in first..=last {
        let exactly = ListParams::default().at(&number.to_string()).matching(VersionMatch::Exact);
        states.push_back(api.list(&exactly).await.map_err(|error| gap(&error))?.items);
    }
    Ok((states, newest))
}

/// Returns a version as the number it is: the API promises since Kubernetes 1.35 that versions of a kind can be compared.
pub(crate) fn version_number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}
