//! A cluster that moves between the plan that was shown and the lock: the run executes no plan that nobody has seen.

use e2e::fault_proxy::Fault;
use e2e::wait::DEADLINE;
use e2e::{ControlPlane, EndpointRecorder, FaultProxy, Namespace, Plugin, Run, Running, Schedule};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

/// A run that has shown its plan, and whose request for the lock is on its way for as long as the test wants.
struct Held {
    running: Running,
    proxy: FaultProxy,
}

impl Held {
    async fn run(ns: &Namespace, node: &str, flags: &[&str]) -> Self {
        let lease = String::from("POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases");
        let proxy = FaultProxy::start(ns.control_plane(), ns.user(), Schedule::First(lease, Fault::Hold)).await;
        let running = Plugin::safedrain(ns).args([node]).args(flags).user(proxy.user()).spawn();
        proxy.aim(&running);
        proxy.struck().await;
        Self { running, proxy }
    }

    async fn goes_on(self) -> Run {
        self.proxy.let_go();
        self.running.wait().await
    }
}

/// Ends it, and looks that nothing but its lock was written.
async fn is_refused(ns: &Namespace, node: &str, held: Held, words: &[&str]) {
    let run = held.goes_on().await.expect_code(3);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?}\n{run}");
    }
    let audit = ns.audit().await;
    let changes = audit.changes();
    assert!(changes.iter().all(|event| event.resource == "leases"), "{changes:?}\n{run}");
    let lease = Api::<Lease>::namespaced(ns.client(), "kube-node-lease").get_opt(&format!("handover-{node}")).await;
    assert!(lease.unwrap().is_none(), "the lock is released\n{run}");
}

#[tokio::test]
async fn a_pod_that_came_meanwhile_is_shown_and_nobody_is_there_to_say_yes() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let known = ns.pods("").await.remove(0).name_any();
    let held = Held::run(&ns, &node, &[]).await;
    let more = Patch::Merge(json!({ "spec": { "replicas": 2 } }));
    ns.api::<Deployment>().patch("web", &PatchParams::default(), &more).await.unwrap();
    ns.deployment_available("web").await;
    let pods = ns.pods("").await;
    let newcomer = pods.iter().map(ResourceExt::name_any).find(|name| *name != known).unwrap();
    let appeared = format!("pod {}/{newcomer} is new here: handed over", ns.name());
    let words = [
        "The cluster has moved since the plan was shown:",
        &appeared,
        "there is no terminal to ask",
        "hint: pass `--yes`",
    ];
    is_refused(&ns, &node, held, &words).await;
}

#[tokio::test]
async fn a_pod_that_came_meanwhile_and_needs_a_consent_is_refused_whatever_yes_says() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved-bare").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let held = Held::run(&ns, &node, &[]).await;
    ns.pod("bare").ready().await;
    let line = format!("refused: pod {}/bare has no controller, so nobody makes it again (pass --force)", ns.name());
    is_refused(&ns, &node, held, &[&line, "nothing was changed", "hint: pass `--force`"]).await;
}

/// Deployments are not watched: one that nobody has seen yet is asked for under the lease.
#[tokio::test]
async fn the_pod_of_a_deployment_that_was_made_meanwhile_is_handed_over() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved-newer").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.service("newer").create().await;
    let held = Held::run(&ns, &node, &["--yes", "--settle=0s"]).await;
    ns.deployment("newer").ready_after("500ms").ready().await;
    ns.ready_endpoints("newer", 1).await;
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;
    let run = held.goes_on().await.expect_code(0);
    recorder.stop().await;
    assert!(run.stderr.contains("is new here: handed over"), "{run}");
    assert_eq!(recorder.fewest_ready("newer"), 1, "{:?}\n{run}", recorder.counts("newer"));
    assert!(!recorder.history("newer").pop().unwrap().nodes.contains(&node), "{run}");
}

#[tokio::test]
async fn a_node_that_is_deleted_before_it_can_be_locked_is_refused() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved-gone").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let held = Held::run(&ns, &node, &[]).await;
    ns.nodes().delete(&node, &DeleteParams::default()).await.unwrap();
    let told = format!("node {node} was deleted before it could be locked");
    is_refused(&ns, &node, held, &[&told, "try: `kubectl get nodes`"]).await;
}

/// The lease of the one node has the name of the other's own, which is its kubelet's.
#[tokio::test]
async fn a_node_whose_lock_would_be_another_nodes_lease_is_refused() {
    let ns = Namespace::fresh(ControlPlane::shared(), "foreign").await;
    let node = ns.node("old").create().await;
    let other = ns.node("other").called(&format!("handover-{node}")).create().await;
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    let holder = async || {
        let lease = leases.get_opt(&other).await.unwrap();
        lease.and_then(|lease| lease.spec?.holder_identity)
    };
    e2e::eventually("the kubelet has its lease", DEADLINE, || async { holder().await.is_some() }).await;
    let before = holder().await;
    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(3);
    let told =
        format!("the lease kube-node-lease/{other} belongs to a node of that name, so node {node} cannot be locked");
    assert!(run.stderr.contains(&told), "{run}");
    // It was asked for, and refused.
    let audit = ns.audit().await;
    let kept: Vec<_> = audit.changes().into_iter().filter(|event| event.code != 409).collect();
    assert!(kept.is_empty(), "{kept:?}\n{run}");
    assert_eq!(holder().await, before);
}
