//! More than thirty workloads of every kind leave one node in one run, while others roll out, scale, autoscale, delete and
//! drain, each when it sees the run at work.

use std::collections::BTreeSet;

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Metrics, Namespace, Plugin, Run, Sample};
use futures::join;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::super::flock::Flock;
use super::kinds::{self, DRAINED_TWICE, open_room};
use super::{assert_only_the_node_is_marked, patch_deployment, until_detached, until_it_has};

/// The annotation of the pods of the new version of `rolled`.
const VERSION: &str = "handover.test/version";

/// Those that others lay hands on, whose replacements are held back until that is done.
const HELD_BACK: [&str; 5] = ["rolled", "shrunk", "grown", "dropped", "shared"];

#[tokio::test]
async fn thirty_workloads_of_every_kind_move_at_once_while_others_lay_hands_on_them() {
    let metrics = Metrics::shared().await;
    let ns = Namespace::fresh(ControlPlane::shared(), "mw-all").await;
    let mut old = ns.node("old");
    for name in HELD_BACK {
        old = old.label(&kinds::room(name), "yes");
    }
    let old = old.create().await;
    let flock = Flock::create(&ns).await;
    let promises = kinds::make(&ns, &flock).await;
    Kubectl::run(&ns, ["wait", "--for=condition=Complete", "job/done", "--timeout=60s"]).await.expect_code(0);
    metrics.load(&ns, "grown", 80);
    ns.autoscaler("grown").create().await;
    let before = ns.pods("").await;
    let workloads: BTreeSet<_> = before.iter().map(|pod| pod.labels()["app"].clone()).collect();
    assert!(workloads.len() >= 30, "{} workloads: {workloads:?}", workloads.len());
    assert!(before.iter().all(|pod| is_on(pod, &old)), "all of it is on one node");
    let new = ns.node("new").create().await;
    ns.ready_endpoints("agent", 2).await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let flags = ["--force", "--delete-emptydir-data", "--settle=0s"];
    let running = Plugin::safedrain(&ns).args([old.as_str()]).args(flags).spawn();
    let others = async {
        join!(
            roll_out(&ns, &new),
            scale_down(&ns, &new),
            grow(&ns, &new, metrics),
            delete(&ns),
            drain_as_well(&ns, &old, &new),
            running.wait(),
        )
    };
    let (.., run) = tokio::select! {
        never = flock.is_kept(&ns) => match never {},
        done = others => done,
    };
    let run = run.expect_code(0);

    assert!(run.stdout.ends_with(&format!("node/{old} drained\n")), "{run}");
    assert_only_the_node_is_marked(&ns, &old, &run).await;
    for promise in &promises {
        // The last successors may still be starting. What serves on the old node is a DaemonSet's.
        let stays = promise.name == "agent";
        let is_over = |sample: &Sample| {
            promise.at_last.is_none_or(|count| sample.ready.len() == count) && (stays || !sample.nodes.contains(&old))
        };
        recorder.until(promise.name, &format!("{promise:?} is kept at last"), is_over).await;
    }
    recorder.stop().await;
    for promise in promises {
        let (counts, name) = (recorder.counts(promise.name), promise.name);
        let fewest = recorder.fewest_ready(name);
        assert!(fewest >= promise.least, "{name} had {counts:?} ready endpoints, not {}\n{run}", promise.least);
    }
    check_the_disturbed(&ns, &run).await;
}

fn is_on(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().unwrap().node_name.as_deref() == Some(node)
}

/// A new version, of which one pod is there before the old version's replacement can be.
async fn roll_out(ns: &Namespace, new: &str) {
    until_detached(ns, "rolled").await;
    let template = json!({ "metadata": { "annotations": { VERSION: "2" } } });
    patch_deployment(ns, "rolled", &json!({ "spec": { "template": template } })).await;
    ns.until::<Pod>("app=rolled", "the new version has a pod", |pods| pods.iter().any(is_new)).await;
    open_room(ns, new, "rolled").await;
}

fn is_new(pod: &Pod) -> bool {
    pod.annotations().contains_key(VERSION)
}

async fn scale_down(ns: &Namespace, new: &str) {
    until_detached(ns, "shrunk").await;
    Kubectl::run(ns, ["scale", "deployment", "shrunk", "--replicas=1"]).await.expect_code(0);
    until_it_has(ns, "shrunk", 1).await;
    open_room(ns, new, "shrunk").await;
}

async fn grow(ns: &Namespace, new: &str, metrics: &Metrics) {
    until_detached(ns, "grown").await;
    metrics.load(ns, "grown", 250);
    until_it_has(ns, "grown", 3).await;
    open_room(ns, new, "grown").await;
}

/// Two of its pods wait for the third one's replacement, which never comes.
async fn delete(ns: &Namespace) {
    until_detached(ns, "dropped").await;
    Kubectl::run(ns, ["delete", "deployment", "dropped"]).await.expect_code(0);
}

/// A stranger's drain of some of the pods, which its budget keeps from the one whose replacement is not there yet.
async fn drain_as_well(ns: &Namespace, old: &str, new: &str) {
    let detached = until_detached(ns, "shared").await;
    let selector = format!("--pod-selector={DRAINED_TWICE}=yes");
    let flags = ["--force", "--ignore-daemonsets", &selector];
    let drain = Kubectl::command(ns, ["drain", old]).args(flags).spawn();
    drain.stderr_contains(&format!("error when evicting pods/{:?}", detached.name_any())).await;
    open_room(ns, new, "shared").await;
    drain.wait().await.expect_code(0);
}

/// What the others wanted is so.
async fn check_the_disturbed(ns: &Namespace, run: &Run) {
    ns.deployment_available("rolled").await;
    let rolled = ns.pods("app=rolled").await;
    assert!(rolled.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).all(is_new), "{run}");
    for (name, wanted) in [("shrunk", 1), ("grown", 3)] {
        let deployment = ns.api::<Deployment>().get(name).await.unwrap();
        assert_eq!(deployment.spec.unwrap().replicas, Some(wanted), "{name}\n{run}");
        assert_eq!(ns.pods(&format!("app={name}")).await.len(), usize::try_from(wanted).unwrap(), "{name}\n{run}");
    }
    for name in ["dropped", "tool"] {
        assert!(ns.pods(&format!("app={name}")).await.is_empty(), "{name}\n{run}");
    }
    let sets = ns.until::<ReplicaSet>("app=dropped", "its ReplicaSet is gone, too", <[_]>::is_empty).await;
    assert!(sets.is_empty());
    let done = ns.api::<Job>().get("done").await.unwrap().status.unwrap();
    assert_eq!((done.succeeded, done.failed), (Some(1), None), "what had ended well stays so\n{run}");
}
