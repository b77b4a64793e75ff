//! Pods of an owner of a kind that Kubernetes does not know, and the controller of that kind: like many an operator it
//! keeps a number of pods, and says that number in no way that others could read.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Kubectl, Namespace};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::{Config, Event, watcher};
use serde_json::{Value, json};

/// A flock, and how many pods it has had.
pub(super) struct Flock {
    owner: Value,
    made: AtomicUsize,
}

impl Flock {
    /// How many pods a flock has.
    pub(super) const SIZE: usize = 2;

    /// Makes the kind and one of it, without pods.
    pub(super) async fn create(ns: &Namespace) -> Self {
        // All tests share the cluster, so the kind is this one's own.
        let group = format!("{}.example.com", ns.name());
        let names = json!({ "plural": "flocks", "singular": "flock", "kind": "Flock" });
        let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        ns.create(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("flocks.{group}") },
            "spec": {
                "group": group, "scope": "Namespaced", "names": names,
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
            },
        }))
        .await;
        let definition = format!("crd/flocks.{group}");
        Kubectl::run(ns, ["wait", "--for=condition=Established", &definition, "--timeout=60s"]).await.expect_code(0);
        let api_version = format!("{group}/v1");
        let object = json!({ "apiVersion": api_version, "kind": "Flock", "metadata": { "name": "flock" } });
        // That the definition is established does not yet make it known to those who ask what there is.
        e2e::eventually("a Flock can be made", Duration::from_secs(60), || async {
            Kubectl::command(ns, ["apply", "-f", "-"]).stdin(&object.to_string()).run().await.code() == 0
        })
        .await;
        let kind = format!("flocks.{group}");
        let flock = Kubectl::run(ns, ["get", &kind, "flock", "-o", "json"]).await.expect_code(0).json();
        let owner = json!({
            "apiVersion": api_version, "kind": "Flock", "name": "flock", "uid": flock["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        });
        Self { owner, made: AtomicUsize::new(0) }
    }

    /// Makes one more pod; returns its name.
    pub(super) async fn add(&self, ns: &Namespace) -> String {
        let name = format!("flock-{}", self.made.fetch_add(1, Ordering::Relaxed));
        let owners = json!([self.owner]);
        ns.pod(&name)
            .exit_after("200ms")
            .edit(|pod| {
                pod["metadata"]["labels"]["app"] = json!("flock");
                pod["metadata"]["ownerReferences"] = owners;
            })
            .create()
            .await;
        name
    }

    /// Makes another pod whenever one is on its way out, for as long as it is polled.
    pub(super) async fn is_kept(&self, ns: &Namespace) -> Infallible {
        let mut events = pin!(watcher(ns.api::<Pod>(), Config::default().labels("app=flock")));
        let mut pods: BTreeMap<String, bool> = BTreeMap::new();
        let mut is_listed = false;
        loop {
            match events.next().await.expect("a watcher never ends") {
                Ok(Event::Init) => pods.clear(),
                Ok(Event::InitApply(pod) | Event::Apply(pod)) => {
                    pods.insert(pod.name_any(), pod.metadata.deletion_timestamp.is_none());
                }
                Ok(Event::Delete(pod)) => drop(pods.remove(&pod.name_any())),
                Ok(Event::InitDone) => is_listed = true,
                // The watcher tries again by itself.
                Err(_) => {}
            }
            while is_listed && pods.values().filter(|is_active| **is_active).count() < Self::SIZE {
                pods.insert(self.add(ns).await, true);
            }
        }
    }
}
