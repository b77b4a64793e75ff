//! What others do to workloads while their node is drained: nobody asks a drain for leave before a rollout.
//!
//! | file | who |
//! |---|---|
//! | `rollouts` | a new version of the workload is rolled out |
//! | `scaling` | a user or an autoscaler wants another number of pods |
//! | `deletions` | the workload, or the pod that is being handed over, is deleted |
//! | `strangers` | the same node is drained by `kubectl drain` |
//! | `failures` | the node dies, or nobody makes replacements |
//! | `all_at_once` | most of it, with workloads of every `kinds` on one node, a `flock` among them |
//!
//! In each test the run is known to be in the middle of a handover when the others begin: the pod is marked, and its
//! replacement has no node to go to until the test makes one.

mod all_at_once;
mod deletions;
mod failures;
mod kinds;
mod rollouts;
mod scaling;
mod strangers;

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin, Run, Running, Sample};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

/// The label of the pods that a run has taken out of their ReplicaSets.
const DETACHED: &str = "pod-template-hash=handover";

/// A run that is in the middle of handing a pod of `web` over. Nothing can be replaced yet: there is no other node.
/// `calm` is a workload that nobody but the run touches.
struct Scene {
    ns: Namespace,
    old: String,
    recorder: EndpointRecorder,
    running: Running,
}

/// A run that has ended, and what was seen meanwhile and is seen still: what others began may outlast the run.
struct Ended {
    ns: Namespace,
    old: String,
    new: String,
    recorder: EndpointRecorder,
    run: Run,
}

impl Scene {
    /// Makes `web`, as `prepare` says, behind a Service of `endpoints` on one node, and drains that until the first of
    /// its pods is detached.
    async fn begun(purpose: &str, endpoints: usize, prepare: impl AsyncFnOnce(&Namespace)) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        Self::begun_with(ns, endpoints, &[], prepare).await
    }

    /// The same in a namespace that may have other nodes, which are cordoned, and with more flags of the run.
    async fn begun_with(
        ns: Namespace,
        endpoints: usize,
        flags: &[&str],
        prepare: impl AsyncFnOnce(&Namespace),
    ) -> Self {
        let old = ns.node("old").create().await;
        for name in ["web", "calm"] {
            ns.service(name).create().await;
        }
        prepare(&ns).await;
        ns.deployment("calm").ready().await;
        ns.budget("calm").min_available(1).ready().await;
        ns.ready_endpoints("web", endpoints).await;
        ns.ready_endpoints("calm", 1).await;
        let recorder = EndpointRecorder::start(&ns).await;
        let running = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s"]).args(flags).spawn();
        for name in ["web", "calm"] {
            until_detached(&ns, name).await;
        }
        Self { ns, old, recorder, running }
    }

    /// Gives the replacements a node and waits for the run, which is to end well: nothing may be left marked but the
    /// node, and `calm` never was without an endpoint.
    async fn resolves(self) -> Ended {
        let new = self.ns.node("new").create().await;
        self.ends_well(new).await
    }

    /// The same where the other node is there already.
    async fn ends_well(self, new: String) -> Ended {
        let Self { ns, old, recorder, running } = self;
        let run = running.wait().await.expect_code(0);
        recorder.until("calm", "it has moved", |sample| sample.ready.len() == 1 && sample.nodes.contains(&new)).await;
        assert_eq!(recorder.counts("calm"), [1, 2, 1], "{run}");
        assert_only_the_node_is_marked(&ns, &old, &run).await;
        Ended { ns, old, new, recorder, run }
    }
}

impl Ended {
    /// Waits until `web` has `now` ready endpoints, all on the other node, and fails unless it had `fewest` at every moment
    /// until then.
    async fn web_had(&mut self, fewest: usize, now: usize) {
        let Self { recorder, run, new, old, .. } = self;
        let is_over = |sample: &Sample| {
            sample.ready.len() == now && !sample.nodes.contains(old) && (now == 0 || sample.nodes.contains(new))
        };
        recorder.until("web", &format!("{now} endpoints, all on the other node"), is_over).await;
        recorder.stop().await;
        assert!(recorder.fewest_ready("web") >= fewest, "{:?} endpoints\n{run}", recorder.counts("web"));
    }

    /// Waits until there is no pod of `web`: the garbage collector takes its time.
    async fn web_is_gone(&self) {
        self.ns.until::<Pod>("app=web", "all pods are gone", <[_]>::is_empty).await;
    }
}

/// Waits until a pod of `app` is outside its ReplicaSet; returns it.
async fn until_detached(ns: &Namespace, app: &str) -> Pod {
    let selector = format!("app={app},{DETACHED}");
    ns.until::<Pod>(&selector, &format!("a pod of {app} is detached"), |pods| !pods.is_empty()).await.remove(0)
}

/// Waits until the ReplicaSet of `app` wants `count` pods and has no more than that.
async fn until_it_has(ns: &Namespace, app: &str, count: usize) {
    let wanted = i32::try_from(count).unwrap();
    let selector = format!("app={app}");
    ns.until::<ReplicaSet>(&selector, &format!("the ReplicaSet of {app} has its new size"), |sets| {
        sets.iter().any(|set| set.spec.as_ref().and_then(|spec| spec.replicas) == Some(wanted))
    })
    .await;
    ns.until::<Pod>(&selector, &format!("the ReplicaSet of {app} has as many pods as it wants"), |pods| {
        let owned = pods.iter().filter(|pod| !pod.owner_references().is_empty());
        owned.filter(|pod| pod.metadata.deletion_timestamp.is_none()).count() == count
    })
    .await;
}

/// Fails unless the mark of a whole run on `node` is all that is left of it: no pod is outside its ReplicaSet or carries
/// a record or a deletion cost, no lock is held, and no other node is marked.
async fn assert_only_the_node_is_marked(ns: &Namespace, node: &str, run: &Run) {
    let of_runs = ["handover/detached", "controller.kubernetes.io/pod-deletion-cost"];
    for pod in ns.pods("").await {
        let is_marked = of_runs.iter().any(|key| pod.annotations().contains_key(*key));
        let is_detached = pod.labels().get("pod-template-hash").is_some_and(|hash| hash == "handover");
        assert!(!is_marked && !is_detached, "pod {} is still marked: {:#?}\n{run}", pod.name_any(), pod.metadata);
    }
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease").list(&ListParams::default()).await.unwrap();
    let own = format!("handover-{}-", ns.name());
    let held: Vec<_> = leases.iter().map(ResourceExt::name_any).filter(|name| name.starts_with(&own)).collect();
    assert!(held.is_empty(), "{held:?}\n{run}");
    let nodes = ns.nodes().list(&ListParams::default()).await.unwrap();
    let prefix = format!("{}-", ns.name());
    for other in nodes.items.iter().filter(|other| other.name_any().starts_with(&prefix)) {
        let marks: Vec<_> = other.annotations().iter().filter(|(key, _)| key.starts_with("handover/")).collect();
        if other.name_any() == node {
            let keys: Vec<_> = marks.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, ["handover/run"], "{run}");
            let mark: Value = serde_json::from_str(marks[0].1).unwrap();
            assert_eq!(mark["phase"], "drained", "{run}");
        } else {
            assert!(marks.is_empty(), "{marks:?} on {}\n{run}", other.name_any());
        }
    }
    let left =
        ns.pods("").await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some(node));
    let left: Vec<_> =
        left.filter(|pod| pod.owner_references().iter().all(|owner| owner.kind != "DaemonSet")).collect();
    assert!(
        left.is_empty(),
        "{:?} are left on {node}\n{run}",
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
}

/// Merges `patch` into a Deployment, as a user does.
async fn patch_deployment(ns: &Namespace, name: &str, patch: &Value) {
    let command = ["patch", "deployment", name, "--type=merge", "-p", &patch.to_string()];
    Kubectl::run(ns, command).await.expect_code(0);
}
