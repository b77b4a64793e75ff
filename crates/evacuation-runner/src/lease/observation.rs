//! Watching another run's lock for one lease duration to see whether that run is alive.

use std::fmt::Debug;
use std::time::Duration;

use cluster_model::identity::NodeName;
use futures::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{DURATION, Holder, LeaseNews, now};

/// What was seen.
pub(super) enum Observed {
    /// Nothing happened for a whole lease duration.
    Silent,
    /// It is gone.
    Released,
    /// By whom, which need not be who held it before.
    Renewed(Holder),
}

/// Watches the object that carries the lock from `version` on. `read` tells what a newer object means; `None`: nothing
/// to the lock. Without the right to watch the lock is only waited for: taking it over is guarded anyway.
pub(super) async fn observe<K>(
    api: &Api<K>,
    name: &str,
    version: &str,
    (node, holder): (&NodeName, &Holder),
    news: &mut impl FnMut(LeaseNews),
    read: impl Fn(&K) -> Option<Observed>,
) -> Observed
where
    K: Resource + Clone + DeserializeOwned + Debug + Send,
{
    let deadline = now() + DURATION;
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
    let mut events = match api.watch(&params, version).await {
        Ok(events) => events.boxed(),
        Err(_) => futures::stream::pending().boxed(),
    };
    loop {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Observed::Silent;
        }
        news(LeaseNews::Observing { node: node.clone(), holder: holder.clone(), left });
        tokio::select! {
            () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
            event = events.next() => match event {
                Some(Ok(WatchEvent::Modified(object) | WatchEvent::Added(object))) => {
                    if let Some(observed) = read(&object) {
                        return observed;
                    }
                }
                Some(Ok(WatchEvent::Deleted(_))) => return Observed::Released,
                Some(_) => {}
                None => events = futures::stream::pending().boxed(),
            },
        }
    }
}
