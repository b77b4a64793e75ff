//! The eviction request as the server sees it, and budgets that make a drain wait.

use e2e::{ControlPlane, EndpointRecorder, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

#[tokio::test]
async fn the_uid_guard_and_the_grace_period_arrive() {
    let ns = Namespace::fresh(ControlPlane::shared(), "request").await;
    let node = ns.node("old").create().await;
    ns.node("new").create().await;
    ns.stateful_set("db").edit_pod(on(&node)).ready().await;
    let pod = ns.pods("app=db").await.remove(0);

    // What the plugin relies on: the server compares the uid of an eviction and refuses another pod's.
    let wrong = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod.name_any(), "namespace": ns.name() },
        "deleteOptions": { "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } },
    });
    let pods = ns.api::<Pod>();
    let refused =
        pods.create_subresource::<_, Value>("eviction", &pod.name_any(), &PostParams::default(), &wrong).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));

    Plugin::safedrain(&ns).args(["--grace-period=7", "--timeout=20s", &node]).run().await.expect_code(0);

    let audit = ns.audit().await;
    let evictions = audit.evictions();
    let [eviction] = evictions.as_slice() else { panic!("one eviction was expected: {evictions:?}") };
    let options = &eviction.request_object.as_ref().unwrap()["deleteOptions"];
    assert_eq!(options["preconditions"]["uid"], json!(pod.uid()), "{options}");
    assert_eq!(options["gracePeriodSeconds"], json!(7), "{options}");
    assert!(eviction.user_agent.starts_with("kubectl-safedrain/v"), "{}", eviction.user_agent);
}

#[tokio::test]
async fn an_eviction_waits_for_its_budget_and_goes_when_it_opens() {
    let ns = Namespace::fresh(ControlPlane::shared(), "opens").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    // Strategy Recreate cannot be handed over; two replicas with one to spare are evicted one after another.
    ns.deployment("web").replicas(2).recreate().ready_after("1s").exit_after("500ms").ready().await;
    ns.budget("web").max_unavailable(1).ready().await;
    ns.ready_endpoints("web", 2).await;
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let run = Plugin::safedrain(&ns).args([old.as_str()]).run().await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{run}");
    assert!(run.stderr.contains("Recreate"), "the plan says why there is no handover: {run}");
    let audit = ns.audit().await;
    let sent = audit.evictions().len();
    assert!(sent <= 4, "two evictions, and hardly any in vain: {sent}\n{run}");
}

#[tokio::test]
async fn a_budget_that_never_allows_an_eviction_is_refused_before_anything_happens() {
    let ns = Namespace::fresh(ControlPlane::shared(), "never").await;
    let node = ns.node("old").create().await;
    ns.stateful_set("db").ready().await;
    ns.budget("db").min_available(1).ready().await;

    let run = Plugin::safedrain(&ns).args([node.as_str()]).run().await.expect_code(3);

    assert!(run.stderr.contains("never allows an eviction"), "{run}");
    let remedy = format!("--allow-downtime {}/statefulset/db", ns.name());
    assert!(run.stderr.contains(&remedy), "{run}");
    assert!(ns.audit().await.mutating().iter().all(|event| event.resource == "selfsubjectaccessreviews"), "{run}");
}

#[tokio::test]
async fn without_the_eviction_api_pods_are_deleted_past_their_budgets() {
    let ns = Namespace::fresh(ControlPlane::shared(), "delete").await;
    let node = ns.node("old").create().await;
    ns.stateful_set("db").edit_pod(on(&node)).ready().await;
    ns.budget("db").min_available(1).ready().await;
    ns.node("new").create().await;

    let run = Plugin::safedrain(&ns).args(["--disable-eviction", &node]).run().await.expect_code(0);

    let audit = ns.audit().await;
    assert_eq!((audit.evictions().len(), audit.count("delete")), (0, 2), "the pod and the lease\n{run}");
}

/// Binds pods to a node by hostname preference only, so that the next pod may land elsewhere.
fn on(node: &str) -> impl FnOnce(&mut Value) + use<> {
    let node = node.to_owned();
    move |template| {
        template["spec"]["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "preference": { "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] }
            ] },
        }] } });
    }
}

/// Each of them alone may go; together they would leave the budget shut for ever, and a drain waiting.
#[tokio::test]
async fn pods_that_nobody_makes_again_are_counted_together_before_the_first_one_goes() {
    let ns = Namespace::fresh(ControlPlane::shared(), "ledger").await;
    let node = ns.node("old").create().await;
    for name in ["one", "two", "three"] {
        ns.pod(name).label("app", "kept").on_node(&node).create().await;
    }
    ns.until("app=kept", "all three are up", |pods: &[Pod]| {
        pods.len() == 3 && pods.iter().all(e2e::workload::is_pod_ready)
    })
    .await;
    ns.budget("kept").min_available(1).ready().await;
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str(), "--force"]).args(flags);
    let run = drain(&[]).run().await.expect_code(3);
    assert!(run.stderr.contains("of 3 under PodDisruptionBudget kept that nobody makes again"), "{run}");
    assert!(run.stderr.contains("it has only 2 to spare"), "{run}");
    assert!(ns.audit().await.changes().is_empty(), "{run}");
    let remedy = run.stderr.split("(pass ").nth(1).and_then(|rest| rest.split(')').next()).expect("a remedy");
    let flags: Vec<_> = remedy.split(' ').collect();
    let run = drain(&flags).run().await.expect_code(0);
    assert!(run.stderr.contains("budget bypassed"), "{run}");
    assert!(ns.pods("app=kept").await.is_empty(), "{run}");
}

#[tokio::test]
async fn the_plan_tells_in_how_many_turns_a_budget_lets_pods_go() {
    let ns = Namespace::fresh(ControlPlane::shared(), "turns-told").await;
    let node = ns.node("old").create().await;
    ns.stateful_set("db").replicas(3).ready().await;
    ns.budget("db").max_unavailable(1).ready().await;
    ns.node("new").create().await;
    let dry = Plugin::safedrain(&ns).args([node.as_str(), "--dry-run=client"]).run().await.expect_code(0);
    let row = dry.stdout.lines().find(|line| line.starts_with(&format!("{}/db ", ns.name()))).expect("a row");
    let cells: Vec<_> = row.split_whitespace().skip(1).collect();
    assert_eq!(cells, ["3", "1", "3"], "{dry}");
    let dry = Plugin::safedrain(&ns).args([node.as_str(), "--dry-run=client", "-o", "json"]).run().await;
    let spend = &dry.expect_code(0).json()["budgets"][0];
    assert_eq!((&spend["allowedNow"], &spend["pods"], &spend["turns"]), (&1.into(), &3.into(), &3.into()));
}
