//! What kwok's stages promise of a pod's life; every timed test rests on it. tests/control-plane/stages says the rules.

#![expect(clippy::disallowed_methods, reason = "a test of how long things take looks at the clock")]

use std::time::Duration;

use e2e::workload::is_pod_ready;
use e2e::{ControlPlane, Namespace};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

#[tokio::test]
async fn every_kind_of_workload_becomes_ready() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "kinds").await;
    namespace.node("a").zone("z1").create().await;
    namespace.node("b").zone("z2").create().await;
    namespace.deployment("web").replicas(2).anti_affinity("kubernetes.io/hostname").max_surge("25%").ready().await;
    namespace.stateful_set("db").replicas(2).empty_dir().requests("100m", "64Mi").ready().await;
    namespace.daemon_set("agent").ready().await;
    namespace.job("batch").replicas(2).ready().await;
    namespace.pod("alone").grace(5).ready().await;
    namespace.service("web").ready().await;
    namespace.budget("web").max_unavailable("50%").ready().await;

    namespace.ready_endpoints("web", 2).await;
    assert_eq!(namespace.pods("app=agent").await.len(), 2);
    let budget = namespace.api::<PodDisruptionBudget>().get("web").await.unwrap();
    assert_eq!(budget.status.unwrap().disruptions_allowed, 1);
    for pod in namespace.pods("").await {
        let status = pod.status.clone().unwrap();
        assert!(is_pod_ready(&pod) && status.pod_ip.is_some() && status.start_time.is_some(), "{pod:#?}");
    }
}

#[tokio::test]
async fn pod_is_ready_after_the_time_it_says_and_not_before() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "start").await;
    namespace.node("a").create().await;
    let created = Timestamp::now();
    namespace.pod("never").ready_after("never").create().await;
    namespace.pod("slow").ready_after("2s").ready().await;

    let taken = Timestamp::now().duration_since(created).unsigned_abs();
    assert!(taken >= Duration::from_secs(2), "{taken:?}");
    let never = namespace.pods("app=never").await.remove(0);
    assert_eq!(never.status.as_ref().unwrap().phase.as_deref(), Some("Running"));
    assert!(!is_pod_ready(&never));
}

#[tokio::test]
async fn pod_does_not_come_up_on_the_node_it_says_for_the_reason_it_says() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "fails").await;
    let sick = namespace.node("a").create().await;
    let well = namespace.node("b").create().await;
    namespace.pod("elsewhere").fails_on(&sick, "CrashLoopBackOff").on_node(&well).ready().await;
    for (name, reason, phase) in [("crash", "CrashLoopBackOff", "Running"), ("image", "ImagePullBackOff", "Pending")] {
        namespace.pod(name).fails_on(&sick, reason).on_node(&sick).create().await;
        let waits = |pod: &Pod| {
            let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
            containers.first()?.state.as_ref()?.waiting.as_ref()?.reason.clone()
        };
        let pods = namespace
            .until(&format!("app={name}"), "it waits", |pods: &[Pod]| {
                pods.iter().filter_map(waits).any(|why| why == reason)
            })
            .await;
        assert_eq!(pods[0].status.as_ref().unwrap().phase.as_deref(), Some(phase));
        assert!(!is_pod_ready(&pods[0]));
        namespace.api::<Pod>().delete(name, &DeleteParams::default()).await.unwrap();
        namespace.pod_gone(&pods[0]).await;
    }
}

#[tokio::test]
async fn deleted_pod_stays_ready_until_it_exits() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "exit").await;
    namespace.node("a").create().await;
    namespace.pod("web").exit_after("2s").ready().await;
    let pods = namespace.api::<Pod>();
    let web = pods.get("web").await.unwrap();

    let deleted = Timestamp::now();
    pods.delete("web", &DeleteParams::default()).await.unwrap();
    let terminating = pods.get("web").await.unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some() && is_pod_ready(&terminating));
    namespace.pod_gone(&web).await;
    let taken = Timestamp::now().duration_since(deleted).unsigned_abs();
    assert!(taken >= Duration::from_secs(2), "{taken:?}");
}

#[tokio::test]
async fn pod_exits_at_the_end_of_its_grace_at_the_latest() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "grace").await;
    namespace.node("a").create().await;
    namespace.pod("deaf").exit_after("10m").grace(2).ready().await;
    let pods = namespace.api::<Pod>();
    let deaf = pods.get("deaf").await.unwrap();

    let deleted = Timestamp::now();
    pods.delete("deaf", &DeleteParams::default()).await.unwrap();
    namespace.pod_gone(&deaf).await;
    let taken = Timestamp::now().duration_since(deleted).unsigned_abs();
    assert!(taken >= Duration::from_secs(2), "{taken:?}");
}

#[tokio::test]
async fn job_completes_after_the_time_its_pods_say() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "job").await;
    namespace.node("a").create().await;
    namespace.job("batch").complete_after("1s").create().await;
    namespace
        .until::<Job>("", "the job is complete", |jobs| {
            jobs.iter().any(|job| job.status.as_ref().is_some_and(|status| status.completion_time.is_some()))
        })
        .await;
    assert_eq!(namespace.pods("app=batch").await[0].status.as_ref().unwrap().phase.as_deref(), Some("Succeeded"));
}

#[tokio::test]
async fn readiness_follows_the_gates_and_the_probe() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "gates").await;
    namespace.node("a").create().await;
    namespace
        .pod("web")
        .edit_pod(|pod| pod["spec"]["readinessGates"] = json!([{ "conditionType": "handover.test/gate" }]))
        .create()
        .await;
    let has = |pods: &[Pod], kind: &str, status: &str| {
        let conditions = pods[0].status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == status)
    };
    let waiting = namespace
        .until::<Pod>("", "containers ready", |pods| !pods.is_empty() && has(pods, "ContainersReady", "True"))
        .await;
    assert!(has(&waiting, "Ready", "False"));

    let pods = namespace.api::<Pod>();
    let gate = json!({ "status": { "conditions": [{ "type": "handover.test/gate", "status": "True" }] } });
    pods.patch_status("web", &PatchParams::default(), &Patch::Strategic(gate)).await.unwrap();
    namespace.until::<Pod>("", "ready once the gate is open", |pods| has(pods, "Ready", "True")).await;

    for (value, ready) in [(json!("yes"), "False"), (json!(null), "True")] {
        let probe = json!({ "metadata": { "annotations": { "handover.test/unready": value } } });
        pods.patch("web", &PatchParams::default(), &Patch::Merge(probe)).await.unwrap();
        namespace.until::<Pod>("", "readiness follows the probe", |pods| has(pods, "Ready", ready)).await;
    }
}

#[tokio::test]
async fn lost_node_is_not_ready_and_comes_back() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "lost").await;
    let name = namespace.node("a").create().await;
    // Where most nodes of a zone are lost, kube-controller-manager takes its network for broken and taints none of them.
    for healthy in ["b", "c", "d"] {
        namespace.node(healthy).create().await;
    }
    for (value, ready) in [(json!("Unknown"), "Unknown"), (json!(null), "True")] {
        let lost = json!({ "metadata": { "annotations": { "handover.test/ready": value } } });
        namespace.nodes().patch(&name, &PatchParams::default(), &Patch::Merge(lost)).await.unwrap();
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        e2e::wait::until(namespace.nodes(), config, "the node's readiness", e2e::wait::DEADLINE, |nodes: &[Node]| {
            let conditions = nodes[0].status.iter().flat_map(|status| status.conditions.iter().flatten());
            let tainted = nodes[0]
                .spec
                .iter()
                .flat_map(|spec| spec.taints.iter().flatten())
                .any(|taint| taint.key == "node.kubernetes.io/unreachable" && taint.effect == "NoExecute");
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == ready)
                && tainted == (ready == "Unknown")
        })
        .await;
    }
    assert_eq!(namespace.nodes().get(&name).await.unwrap().name_any(), name);
}
