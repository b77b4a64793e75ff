//! Replacements that never become Ready: the old pods serve on, are attached again at the deadline, the reason is told,
//! and once it is mended the same command goes on.

use e2e::workload::{WorkloadBuilder, is_pod_ready};
use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin, Run};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::ResourceExt;
use serde_json::json;

/// `web` behind a Service and a budget that needs all its replicas, on a node that is to be drained.
struct Scene {
    ns: Namespace,
    old: String,
    replicas: usize,
    recorder: EndpointRecorder,
}

impl Scene {
    async fn open(
        purpose: &str,
        replicas: usize,
        make: impl FnOnce(WorkloadBuilder<'_>) -> WorkloadBuilder<'_>,
    ) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        let count = u32::try_from(replicas).unwrap();
        make(ns.deployment("web").replicas(count).max_surge(1)).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
        ns.ready_endpoints("web", replicas).await;
        let recorder = EndpointRecorder::start(&ns).await;
        Self { ns, old, replicas, recorder }
    }

    /// The same command each time.
    async fn drain(&self) -> Run {
        Plugin::safedrain(&self.ns).args([self.old.as_str(), "--settle=0s", "--replacement-timeout=8s"]).run().await
    }

    /// Drains in vain: for this reason, with every pod where and what it was, and its endpoint with it.
    async fn gives_up(&self, reason: &str) -> Run {
        let before = self.ns.pods("app=web").await;
        let run = self.drain().await.expect_code(4);
        assert_eq!(self.recorder.counts("web"), [self.replicas], "{run}");
        let told =
            "is attached to its ReplicaSet again and serves on: its replacement took too long: it was waiting for ";
        let told = run.stderr.lines().filter(|line| line.contains(told)).collect::<Vec<_>>();
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(reason)), "{reason:?} is the reason\n{run}");
        let again = format!("go on:     kubectl safedrain {}", self.old);
        assert!(run.stderr.contains(&again), "{again:?}\n{run}");
        let after =
            self.ns.until("app=web", "the surplus pod is gone", |pods: &[Pod]| pods.len() == self.replicas).await;
        let identity = |pod: &Pod| {
            let owner = pod.owner_references().first().map(|owner| (owner.uid.clone(), owner.controller));
            (pod.uid(), pod.labels().clone(), pod.annotations().clone(), owner)
        };
        let (mut before, mut after): (Vec<_>, Vec<_>) =
            (before.iter().map(identity).collect(), after.iter().map(identity).collect());
        before.sort_by(|one, other| one.0.cmp(&other.0));
        after.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(before, after, "record and deletion cost are taken back\n{run}");
        run
    }

    /// The reason is mended: the same command ends well, and there was never an endpoint too few.
    async fn goes_on(mut self, home: &str) {
        let run = self.drain().await.expect_code(0);
        self.recorder.stop().await;
        assert_eq!(self.recorder.fewest_ready("web"), self.replicas, "{run}");
        let last = self.recorder.history("web").pop().unwrap();
        assert_eq!(last.nodes.iter().collect::<Vec<_>>(), [home], "{run}");
        assert!(run.stdout.ends_with(&format!("node/{} drained\n", self.old)), "{run}");
        assert!(self.ns.pods("app=web").await.iter().all(is_pod_ready), "{run}");
    }
}

/// A node on which the containers do not come up is taken out of service, and another one comes.
async fn another_node(scene: &Scene, sick: &str) -> String {
    Kubectl::run(&scene.ns, ["cordon", sick]).await.expect_code(0);
    scene.ns.node("better").create().await
}

#[tokio::test]
async fn one_that_crashes_again_and_again_leaves_the_old_pods_serving() {
    let scene = Scene::open("crashes", 3, |web| {
        let sick = format!("{}-new", web.namespace());
        web.fails_on(&sick, "CrashLoopBackOff")
    })
    .await;
    let sick = scene.ns.node("new").create().await;
    let run = scene.gives_up("to be available (CrashLoopBackOff)").await;
    // One at a time may be surged, and the first speaks for the others: they do not wait for theirs in vain as well.
    let others =
        run.stderr.lines().filter(|line| line.contains("another pod of its workload was not replaced in time"));
    assert_eq!(others.filter(|line| line.contains("(CrashLoopBackOff)")).count(), 2, "{run}");
    let audit = scene.ns.audit().await;
    let of_pods = audit.changes().into_iter().filter(|event| event.resource == "pods").count();
    assert_eq!(of_pods, 3, "it was detached, attached again, and its record cleared: nothing else\n{run}");
    let better = another_node(&scene, &sick).await;
    scene.goes_on(&better).await;
}

#[tokio::test]
async fn one_whose_image_cannot_be_pulled_leaves_the_old_pod_serving() {
    let scene = Scene::open("no-image", 1, |web| {
        let sick = format!("{}-new", web.namespace());
        web.fails_on(&sick, "ImagePullBackOff")
    })
    .await;
    let sick = scene.ns.node("new").create().await;
    scene.gives_up("to be available (ImagePullBackOff)").await;
    let better = another_node(&scene, &sick).await;
    scene.goes_on(&better).await;
}

#[tokio::test]
async fn one_that_the_quota_does_not_allow_leaves_the_old_pod_serving() {
    let scene = Scene::open("quota", 1, |web| web).await;
    let ns = &scene.ns;
    let new = ns.node("new").create().await;
    let is_counted = |pods: &'static str| {
        move |quotas: &[ResourceQuota]| {
            let hard = quotas.first().and_then(|quota| quota.status.as_ref()?.hard.as_ref()?.get("pods").cloned());
            hard.is_some_and(|hard| hard.0 == pods)
        }
    };
    ns.create(json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "pods" }, "spec": { "hard": { "pods": "1" } } }))
        .await;
    ns.until("", "the quota is counted", is_counted("1")).await;
    scene.gives_up("its ReplicaSet to make a replacement, which fails: pods ").await;

    Kubectl::run(ns, ["patch", "quota", "pods", "-p", r#"{"spec":{"hard":{"pods":"2"}}}"#]).await.expect_code(0);
    ns.until("", "the quota is raised", is_counted("2")).await;
    scene.goes_on(&new).await;
}

#[tokio::test]
async fn one_that_no_node_takes_leaves_the_old_pod_serving() {
    let scene = Scene::open("no-node", 1, |web| web).await;
    let new = scene.ns.node("new").cordoned().create().await;
    scene.gives_up("to be available (Unschedulable: 0/").await;
    Kubectl::run(&scene.ns, ["uncordon", &new]).await.expect_code(0);
    scene.goes_on(&new).await;
}
