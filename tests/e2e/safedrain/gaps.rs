//! What the plan says of a gap is what there is of it, at the most: for every kind of owner whose pods are evicted, and for
//! each rule by which a Deployment's pod cannot be handed over.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{ControlPlane, EndpointRecorder, Invocation, Kubectl, Namespace, Plugin, Roles, Run};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::flock::Flock;
use super::rules::{self, DEPLOYMENTS, RACK};

/// What the plan of a drain says of the pods of each workload: the action, and the longest gap.
type Expected = BTreeMap<String, (String, Option<u64>)>;

/// The plan of this drain, rehearsed, since a policy may keep pods from being handed over. A workload is known by the label `app` of its pods, by which its Service is called, too.
async fn plan(ns: &Namespace, drain: &Invocation) -> Expected {
    let app = |pod: Pod| (pod.name_any(), pod.labels()["app"].clone());
    let apps: BTreeMap<_, _> = ns.pods("app").await.into_iter().map(app).collect();
    let run = drain.clone().args(["--dry-run=server", "-o", "json"]).run().await.expect_code(0);
    let mut expected = Expected::new();
    for pod in run.json()["nodes"][0]["pods"].as_array().unwrap() {
        let app = apps[pod["name"].as_str().unwrap()].clone();
        let (action, gap) = (pod["action"].as_str().unwrap().to_owned(), pod["expectedGapSeconds"].as_u64());
        let (before, longest) = expected.entry(app).or_insert_with(|| (action.clone(), gap));
        assert_eq!(*before, action, "{pod}");
        *longest = longest.zip(gap).map(|(longest, gap)| longest.max(gap));
    }
    expected
}

/// What a pod takes to come up that is made as [`rules::alone`] says, and the two seconds that a plan grants the controllers.
const GRANTED: Duration = Duration::from_secs(1 + 2);

/// A ReplicaSet that no drain touches, on the other node. What its pod is missed for beyond what is [`GRANTED`], when somebody
/// deletes it, is this machine's being busy.
async fn reference(ns: &Namespace) {
    let mut set = rules::alone(ns, "ReplicaSet", "reference", 1);
    set["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/hostname"] = json!(ns.node_name("new"));
    ns.service("reference").create().await;
    ns.create(set).await;
    ns.ready_endpoints("reference", 1).await;
}

/// Carries the drain out. Each of these workloads was missed by its Service for no longer than the plan said, and it was
/// missed if the plan said so.
async fn keeps_to(ns: &Namespace, drain: Invocation, expected: &Expected, evicted: &[&str]) -> Run {
    reference(ns).await;
    let mut recorder = EndpointRecorder::start(ns).await;
    let before: BTreeMap<_, _> = evicted.iter().map(|app| (*app, recorder.history(app)[0].ready.len())).collect();
    let running = drain.spawn();
    running.stdout_contains("evicting pod").await;
    Kubectl::run(ns, ["delete", "pod", "--selector=app=reference", "--wait=false"]).await.expect_code(0);
    let run = running.wait().await.expect_code(0);
    for (app, count) in before.iter().chain([(&"reference", &1)]) {
        recorder.until(app, "as many endpoints as before", |sample| sample.ready.len() == *count).await;
    }
    recorder.stop().await;
    let busy = recorder.longest_below("reference", 1).saturating_sub(GRANTED);
    for (app, count) in before {
        let (action, gap) = &expected[app];
        assert_eq!(action, "evict", "{app}\n{run}");
        let longest = recorder.longest_below(app, count);
        assert!(longest > Duration::ZERO, "{app} lost no endpoint: {:?}\n{run}", recorder.counts(app));
        let is_kept = gap.is_some_and(|gap| longest <= Duration::from_secs(gap) + busy);
        assert!(is_kept, "{app}: {longest:?}, by the plan {gap:?} s, on a machine that took {busy:?} more\n{run}");
    }
    run
}

#[tokio::test]
async fn no_gap_is_longer_than_the_plan_says_by_whatever_rule_a_pod_is_evicted() {
    let ns = Namespace::fresh(ControlPlane::shared(), "gaps").await;
    let old = ns.node("old").label(RACK, "one").create().await;
    let evicted: Vec<_> = DEPLOYMENTS
        .into_iter()
        .filter(|name| !["plain", "ending"].contains(name))
        .chain(["db", "batch", "counter", "single", "flock"])
        .collect();
    for name in evicted.iter().copied().filter(|name| *name != "canary").chain(["plain", "ending", "bare", "sick"]) {
        ns.service(name).create().await;
    }
    rules::make(&ns).await;
    let flock = Flock::create(&ns).await;
    for _ in 0..Flock::SIZE {
        flock.add(&ns).await;
    }
    for name in &evicted {
        ns.ready_endpoints(name, if *name == "flock" { Flock::SIZE } else { 1 }).await;
    }
    ns.node("new").label(RACK, "one").create().await;
    let drain = Plugin::safedrain(&ns).args([old.as_str(), "--force", "--settle=0s"]);
    let expected = plan(&ns, &drain).await;
    let said = |app: &str| expected[app].clone();
    assert_eq!(said("plain"), ("handover".to_owned(), Some(0)));
    assert_eq!(said("sick"), ("evict".to_owned(), Some(0)), "it serves nobody");
    assert_eq!(said("ill"), ("evict".to_owned(), Some(0)), "it serves nobody");
    assert_eq!(said("bare"), ("evict".to_owned(), None), "nobody makes it again");
    assert_eq!(said("ending"), ("evict".to_owned(), None), "its ReplicaSet is about to go");
    let mut plain = EndpointRecorder::start(&ns).await;
    tokio::select! {
        _ = flock.is_kept(&ns) => unreachable!("it is kept for ever"),
        _ = keeps_to(&ns, drain, &expected, &evicted) => {}
    }
    plain.stop().await;
    assert_eq!(plain.fewest_ready("plain"), 1);
    rules::let_go(&ns).await;
}

/// Who may not patch pods hands over none.
#[tokio::test]
async fn nor_where_the_user_may_not_hand_over() {
    let ns = Namespace::fresh(ControlPlane::shared(), "gaps-rights").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").replicas(2).ready_after("1s").ready().await;
    ns.ready_endpoints("web", 2).await;
    ns.node("new").create().await;
    let roles = Roles::read("safedrain");
    let patch = roles.grants().into_iter().find(|grant| grant.to_string() == "patch pods").unwrap();
    let user = ns.limited_user();
    roles.without(&patch).bind(&ns, &user).await;
    let drain = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s"]).user(&user);
    let expected = plan(&ns, &drain).await;
    keeps_to(&ns, drain, &expected, &["web"]).await;
}

/// `kubectl drain`'s way: all pods at once, of which a StatefulSet makes the next ones one after another.
#[tokio::test]
async fn nor_where_all_pods_of_a_workload_go_at_once() {
    let ns = Namespace::fresh(ControlPlane::shared(), "gaps-at-once").await;
    let old = ns.node("old").create().await;
    let workloads = [("web", ns.deployment("web")), ("db", ns.stateful_set("db"))];
    for (name, workload) in workloads {
        ns.service(name).create().await;
        workload.replicas(3).ready_after("1s").exit_after("1s").grace(3).ready().await;
        ns.ready_endpoints(name, 3).await;
    }
    ns.node("new").create().await;
    let drain = Plugin::safedrain(&ns).args([old.as_str(), "--strategy=evict"]);
    let expected = plan(&ns, &drain).await;
    keeps_to(&ns, drain, &expected, &["web", "db"]).await;
}
