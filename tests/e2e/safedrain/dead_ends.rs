//! Budgets under which no eviction can ever pass: refused before anything is changed, with the consent that helps.

use e2e::workload::WorkloadBuilder;
use e2e::{ControlPlane, Namespace, Plugin};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::refused::{Refused, Row};

/// A pod of the workload `kind/name` that needs somebody's consent.
fn row<'a>(ns: &Namespace, pod: &'a str, kind: &str, name: &str, says: impl Into<String>) -> Row<'a> {
    Row { pod, says: says.into(), remedy: format!("--allow-downtime {}/{kind}/{name}", ns.name()) }
}

/// Waits until the controller has said of a budget that it cannot be computed.
async fn until_uncomputable(ns: &Namespace, name: &str) {
    let is_failed = |budget: &PodDisruptionBudget| {
        let conditions = budget.status.iter().flat_map(|status| status.conditions.iter().flatten());
        budget.name_any() == name && conditions.into_iter().any(|condition| condition.reason == "SyncFailed")
    };
    ns.until("", "the budget cannot be computed", |budgets: &[PodDisruptionBudget]| budgets.iter().any(is_failed))
        .await;
}

/// Makes the workloads and the budgets over them.
async fn furnish(ns: &Namespace) {
    let labels = json!({ "app": "counter" });
    let spec = json!({ "nodeSelector": { e2e::NAMESPACE_LABEL: ns.name() }, "containers": [{ "name": "main", "image": "app:1" }] });
    ns.create(
        json!({ "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "counter" }, "spec": {
        "replicas": 1, "selector": labels, "template": { "metadata": { "labels": labels }, "spec": spec } } }),
    )
    .await;
    let workloads = [
        ns.stateful_set("whole").replicas(2),
        ns.stateful_set("more").replicas(2),
        ns.stateful_set("twice"),
        ns.deployment("anew").recreate(),
        ns.deployment("tight").max_surge(0).max_unavailable(1),
        ns.deployment("mixed").label("tier", "mixed"),
        ns.deployment("paired").label("pair", "one"),
        ns.job("mixer").label("tier", "mixed"),
        ns.job("pairer").label("pair", "one"),
        ns.job("batch"),
        ns.pod("bare"),
        // These move: one by a handover, the others because there is room.
        ns.deployment("plain"),
        ns.stateful_set("roomy").replicas(2),
    ];
    futures::future::join_all(workloads.map(WorkloadBuilder::ready)).await;
    ns.until("app=counter", "the controller's pod is Ready", |pods: &[Pod]| {
        pods.iter().any(e2e::workload::is_pod_ready)
    })
    .await;
    let budgets = [
        ns.budget("whole").min_available("100%"),
        ns.budget("more").min_available(3),
        ns.budget("twice").max_unavailable(1),
        ns.budget("anew").min_available(1),
        ns.budget("tight").max_unavailable("0%"),
        ns.budget("counter").max_unavailable(0),
        ns.budget("paired").min_available(1),
        ns.budget("bare").min_available(1),
        ns.budget("plain").min_available(1),
        ns.budget("roomy").max_unavailable(1),
    ];
    futures::future::join_all(budgets.map(WorkloadBuilder::ready)).await;
    ns.budget("also").selecting(json!({ "app": "twice" })).max_unavailable(1).create().await;
    // A Job has no scale, and a budget that needs one cannot be computed for anybody.
    ns.budget("mixed").selecting(json!({ "tier": "mixed" })).max_unavailable(1).create().await;
    ns.budget("pair").selecting(json!({ "pair": "one" })).max_unavailable(1).create().await;
    ns.budget("batch").max_unavailable(1).create().await;
    for name in ["mixed", "pair", "batch"] {
        until_uncomputable(ns, name).await;
    }
}

#[tokio::test]
async fn each_budget_that_never_opens_is_a_refusal_with_the_consent_for_its_workload() {
    let ns = Namespace::fresh(ControlPlane::shared(), "dead-ends").await;
    let node = ns.node("old").create().await;
    furnish(&ns).await;
    // There is room enough: only the budgets stand in the way.
    ns.node("new").create().await;
    let never = |budget: &str, needs: u32, of: u32| {
        format!(
            "is held by PodDisruptionBudget {budget}, which needs {needs} healthy pods of {of} and so never allows an eviction"
        )
    };
    let unknown = |budget: &str| format!("is held by PodDisruptionBudget {budget}, which cannot be computed: ");
    let many = |first: &str, second: &str| {
        format!("is selected by 2 PodDisruptionBudgets ({first}, {second}), and Kubernetes evicts no such pod")
    };
    let mut rows = vec![
        row(&ns, "whole-0", "statefulset", "whole", never("whole", 2, 2)),
        row(&ns, "whole-1", "statefulset", "whole", never("whole", 2, 2)),
        row(&ns, "more-0", "statefulset", "more", never("more", 3, 2)),
        row(&ns, "more-1", "statefulset", "more", never("more", 3, 2)),
        row(&ns, "twice-0", "statefulset", "twice", many("also", "twice")),
        row(
            &ns,
            "anew-",
            "deployment",
            "anew",
            format!("{}; it cannot be handed over instead: strategy Recreate", never("anew", 1, 1)),
        ),
        row(
            &ns,
            "tight-",
            "deployment",
            "tight",
            format!("{}; it cannot be handed over instead: maxSurge is 0", never("tight", 1, 1)),
        ),
        row(&ns, "counter-", "replicationcontroller", "counter", never("counter", 1, 1)),
        row(&ns, "mixed-", "deployment", "mixed", unknown("mixed")),
        row(&ns, "paired-", "deployment", "paired", unknown("pair")),
        row(&ns, "bare", "pod", "bare", never("bare", 1, 1)),
    ];
    let jobs = [
        row(&ns, "mixer-", "job", "mixer", unknown("mixed")),
        row(&ns, "pairer-", "job", "pairer", unknown("pair")),
        row(&ns, "batch-", "job", "batch", unknown("batch")),
    ];
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str(), "--force"]).args(flags);

    // Who waits for the Jobs' pods evicts none of them.
    Refused::run(&ns, ns.user(), drain(&["--jobs=wait"])).await.refuses(&ns, &rows);
    rows.extend(jobs);
    Refused::run(&ns, ns.user(), drain(&[])).await.refuses(&ns, &rows);

    // kubectl's way has no handover that would open a budget.
    rows.push(row(&ns, "plain-", "deployment", "plain", never("plain", 1, 1)));
    for row in &mut rows {
        // Without a handover there is nothing to say of it.
        row.says = row.says.split("; it cannot be handed over").next().unwrap().to_owned();
    }
    rows.iter_mut().find(|row| row.pod == "paired-").unwrap().says = many("pair", "paired");
    Refused::run(&ns, ns.user(), drain(&["--strategy=evict"])).await.refuses(&ns, &rows);

    // The remedies are ones, all of them together.
    let consents: Vec<_> = rows.iter().map(|row| row.remedy.replace(' ', "=")).collect();
    let consents: Vec<_> =
        consents.iter().map(String::as_str).chain(["--strategy=evict", "--dry-run=client"]).collect();
    let dry = drain(&consents).run().await.expect_code(0);
    assert!(dry.stdout.contains("deleted past it, as --allow-downtime says"), "{dry}");
    Plugin::safedrain(&ns)
        .args([&node, "--disable-eviction", "--force", "--dry-run=client"])
        .run()
        .await
        .expect_code(0);
}

/// Where the controllers are away, nobody counts budgets, and a DaemonSet that is deleted leaves its pods.
#[tokio::test]
async fn while_controllers_are_away_what_they_have_not_said_is_a_refusal_where_it_decides() {
    let control_plane = ControlPlane::start();
    let ns = Namespace::fresh(&control_plane, "away").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.stateful_set("db").ready().await;
    ns.daemon_set("log").ready().await;
    ns.node("new").create().await;
    control_plane.stop("kube-controller-manager").await;
    ns.budget("web").min_available(1).create().await;
    ns.budget("also").selecting(json!({ "app": "web" })).min_available(1).create().await;
    // One that is only late may open yet.
    ns.budget("db").max_unavailable(1).create().await;
    ns.api::<DaemonSet>().delete("log", &DeleteParams::background()).await.unwrap();

    let rows = [
        Row {
            pod: "log-",
            says: "names a DaemonSet that does not exist, so nobody makes it again".to_owned(),
            remedy: "--force".to_owned(),
        },
        row(
            &ns,
            "web-",
            "deployment",
            "web",
            "is held by PodDisruptionBudget also, which cannot be computed: its controller has not looked at it",
        ),
    ];
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str()]).args(flags);
    Refused::run(&ns, ns.user(), drain(&[])).await.refuses(&ns, &rows);
    Refused::run(&ns, ns.user(), drain(&["--force"])).await.refuses(&ns, &rows[1..]);
    let consent = rows[1].remedy.replace(' ', "=");
    drain(&["--force", &consent, "--dry-run=client"]).run().await.expect_code(0);

    control_plane.resume("kube-controller-manager").await;
    ns.until("", "all budgets are counted", |budgets: &[PodDisruptionBudget]| {
        let is_seen = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().and_then(|status| status.observed_generation) == budget.metadata.generation
        };
        budgets.len() == 3 && budgets.iter().all(is_seen)
    })
    .await;
    drain(&["--force", "--dry-run=client"]).run().await.expect_code(0);
}
