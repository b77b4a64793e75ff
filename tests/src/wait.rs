//! Waiting for a condition with a deadline: by a watch where the API has one, else by asking again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time;

/// How long a condition may take that depends only on the cluster's controllers.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks at something that cannot be watched.
const PAUSE: Duration = Duration::from_millis(25);

/// Watches the objects that `api` and `config` select until `condition` holds for all of them; returns them then.
/// Panics at the deadline with `description` and what there was.
pub async fn until<K>(
    api: Api<K>,
    config: watcher::Config,
    description: &str,
    deadline: Duration,
    mut condition: impl FnMut(&[K]) -> bool,
) -> Vec<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut objects: BTreeMap<String, K> = BTreeMap::new();
    let mut last: Vec<K> = Vec::new();
    let watching = async {
        let events = watcher(api, config);
        pin_mut!(events);
        let mut listed = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    objects.clear();
                    listed = false;
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    objects.insert(key(&object), object);
                }
                Ok(Event::Delete(object)) => {
                    objects.remove(&key(&object));
                }
                Ok(Event::InitDone) => listed = true,
                // The watcher tries again by itself; at the deadline the objects below tell what it saw.
                Err(_) => time::sleep(PAUSE).await,
            }
            last = objects.values().cloned().collect();
            if listed && condition(&last) {
                return;
            }
        }
    };
    let in_time = time::timeout(deadline, watching).await.is_ok();
    assert!(in_time, "not within {deadline:?}: {description}; there was {last:#?}");
    last
}

fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Asks `condition` again and again until it holds; for what cannot be watched. Panics at the deadline.
pub async fn eventually<F>(description: &str, deadline: Duration, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let asking = async {
        while !condition().await {
            time::sleep(PAUSE).await;
        }
    };
    let in_time = time::timeout(deadline, asking).await.is_ok();
    assert!(in_time, "not within {deadline:?}: {description}");
}
