//! OBSERVED, "Exact answers of POST pods/{p}/eviction".

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;

use super::by_hand::{ByHand, running};
use super::wire::Answer;

const NOT_MIGRATABLE: &str = "is configured with an eviction strategy but is not live-migratable";

/// Rows (a), (d2) and (e): marked by the first request, refused with another sentence from then on.
async fn is_marked_once(strategy: &str, status_of: impl FnOnce(&str) -> serde_json::Value) {
    let by_hand = ByHand::new("kv-marked").await;
    by_hand.vmi("vm-a", Some(strategy), status_of(&by_hand.node)).await;
    let source = by_hand.launcher("vm-a", &by_hand.node).await;
    let target = by_hand.launcher("vm-a", &by_hand.other_node).await;

    let triggered = format!("Eviction triggered evacuation of VMI {}", by_hand.quoted("vm-a"));
    assert_eq!(by_hand.evict(&source).await, Answer::refused(&triggered));
    assert_eq!(by_hand.mark("vm-a").await, Some(by_hand.node.clone()));

    let in_progress = Answer::refused(&format!("Evacuation in progress: {triggered}"));
    assert_eq!(by_hand.evict(&source).await, in_progress);
    assert_eq!(by_hand.evict(&target).await, in_progress, "the target pod while the VMI is marked");
    assert!(by_hand.is_untouched(&source).await);
    assert!(by_hand.is_untouched(&target).await);
}

#[tokio::test]
async fn live_migrate_is_marked() {
    is_marked_once("LiveMigrate", |node| running(node, true)).await;
}

#[tokio::test]
async fn if_possible_and_migratable_is_marked() {
    is_marked_once("LiveMigrateIfPossible", |node| running(node, true)).await;
}

#[tokio::test]
async fn external_is_marked_whether_or_not_it_is_migratable() {
    is_marked_once("External", |node| running(node, false)).await;
}

#[tokio::test]
async fn an_eviction_of_the_descheduler_is_noted() {
    let by_hand = ByHand::new("kv-descheduler").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    let pod = by_hand.launcher("vm-a", &by_hand.node).await;
    let metadata = json!({ "name": pod, "annotations": { "requested-by": "sigs.k8s.io/descheduler" } });
    let answer = by_hand.evict_with(&pod, "", json!({ "metadata": metadata })).await;
    assert_eq!(answer.code, 429);
    let vmi = by_hand.get("VirtualMachineInstance", "vm-a").await;
    assert_eq!(vmi["metadata"]["annotations"]["kubevirt.io/eviction-source"], "descheduler");
}

#[tokio::test]
async fn live_migrate_that_is_not_migratable_is_never_marked() {
    let by_hand = ByHand::new("kv-not-migratable").await;
    by_hand.vmi("vm-b", Some("LiveMigrate"), running(&by_hand.node, false)).await;
    let pod = by_hand.launcher("vm-b", &by_hand.node).await;
    for _ in 0..2 {
        assert_eq!(by_hand.evict(&pod).await, Answer::refused(&format!("VMI vm-b {NOT_MIGRATABLE}")));
    }
    assert_eq!(by_hand.mark("vm-b").await, None);
    assert!(by_hand.is_untouched(&pod).await);
}

#[tokio::test]
async fn live_migrate_that_boots_is_refused() {
    let by_hand = ByHand::new("kv-booting").await;
    by_hand.vmi("vm-b", Some("LiveMigrate"), json!({ "phase": "Scheduled", "nodeName": by_hand.node })).await;
    let pod = by_hand.launcher("vm-b", &by_hand.node).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::refused(&format!("VMI vm-b {NOT_MIGRATABLE}")));
    assert_eq!(by_hand.mark("vm-b").await, None);
}

/// Rows (c) and (d): the eviction is granted and the VMI is not marked.
async fn is_granted(strategy: Option<&str>, status_of: impl FnOnce(&str) -> serde_json::Value) {
    let by_hand = ByHand::new("kv-granted").await;
    let vmi = by_hand.vmi("vm-c", strategy, status_of(&by_hand.node)).await;
    assert_eq!(vmi["spec"]["evictionStrategy"], strategy.unwrap_or("None"), "unset becomes the literal None");
    let pod = by_hand.launcher("vm-c", &by_hand.node).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::granted());
    assert_eq!(by_hand.mark("vm-c").await, None);
    assert!(!by_hand.is_untouched(&pod).await);
}

#[tokio::test]
async fn none_is_granted() {
    is_granted(Some("None"), |node| running(node, true)).await;
}

#[tokio::test]
async fn no_strategy_is_granted() {
    is_granted(None, |node| running(node, true)).await;
}

#[tokio::test]
async fn if_possible_that_is_not_migratable_is_granted() {
    is_granted(Some("LiveMigrateIfPossible"), |node| running(node, false)).await;
}

#[tokio::test]
async fn if_possible_that_boots_is_granted() {
    is_granted(Some("LiveMigrateIfPossible"), |node| json!({ "phase": "Scheduled", "nodeName": node })).await;
}

#[tokio::test]
async fn a_pod_that_is_not_on_the_vmis_node_is_a_target() {
    let by_hand = ByHand::new("kv-target").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    // The target of a user's migration, or the stale source of one that is over (#18320).
    let pod = by_hand.launcher("vm-a", &by_hand.other_node).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::refused("Eviction request for target Pod"));
    assert_eq!(by_hand.mark("vm-a").await, None);
    assert!(by_hand.is_untouched(&pod).await);
}

#[tokio::test]
async fn an_external_vmi_that_is_being_scheduled_has_no_node_yet() {
    let by_hand = ByHand::new("kv-scheduling").await;
    by_hand.vmi("vm-e", Some("External"), json!({ "phase": "Scheduling" })).await;
    let pod = by_hand.launcher("vm-e", &by_hand.node).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::refused("Eviction request for target Pod"));
    assert_eq!(by_hand.mark("vm-e").await, None);
}

#[tokio::test]
async fn a_launcher_without_its_vmi_is_refused() {
    let by_hand = ByHand::new("kv-ghost").await;
    let pod = by_hand.launcher("ghost", &by_hand.node).await;
    let sentence = r#"kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io "ghost" not found"#;
    assert_eq!(by_hand.evict(&pod).await, Answer::refused(sentence));
    assert!(by_hand.is_untouched(&pod).await);
}

async fn hotplug_pod(by_hand: &ByHand, launcher: &str) {
    let owner = by_hand.ns.api::<k8s_openapi::api::core::v1::Pod>().get(launcher).await.unwrap();
    by_hand
        .ns
        .create(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "hp-volume-abc",
                "labels": { "kubevirt.io": "hotplug-disk" },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": launcher, "uid": owner.metadata.uid, "controller": true,
                }],
            },
            "spec": { "nodeName": by_hand.node, "containers": [{ "name": "hotplug-disk", "image": "hotplug" }] },
        }))
        .await;
}

#[tokio::test]
async fn a_hotplug_pod_is_kept_while_its_machine_runs() {
    let by_hand = ByHand::new("kv-hotplug").await;
    by_hand.migratable("vm-f", "LiveMigrate").await;
    let launcher = by_hand.launcher("vm-f", &by_hand.node).await;
    hotplug_pod(&by_hand, &launcher).await;
    let sentence = format!(
        "cannot evict hotplug pod: hp-volume-abc associated with running vmi: vm-f in namespace {}",
        by_hand.ns.name()
    );
    let expected = Answer::refused_by("hotplug-pod-eviction-interceptor", &sentence);
    assert_eq!(by_hand.evict("hp-volume-abc").await, expected);
    assert!(by_hand.is_untouched("hp-volume-abc").await);
}

#[tokio::test]
async fn a_hotplug_pod_of_an_ended_launcher_is_granted() {
    let by_hand = ByHand::new("kv-hotplug-ended").await;
    by_hand.migratable("vm-f", "LiveMigrate").await;
    let launcher = by_hand.launcher_with("vm-f", &by_hand.node, ends_at_once).await;
    by_hand.until_succeeded("vm-f").await;
    hotplug_pod(&by_hand, &launcher).await;
    assert_eq!(by_hand.evict("hp-volume-abc").await, Answer::granted());
}

fn ends_at_once(pod: &mut serde_json::Value) {
    pod["metadata"]["annotations"]["handover.test/complete-after"] = json!("0s");
}

#[tokio::test]
async fn a_finished_launcher_is_granted() {
    let by_hand = ByHand::new("kv-finished").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    let pod = by_hand.launcher_with("vm-a", &by_hand.node, ends_at_once).await;
    by_hand.until_succeeded("vm-a").await;
    assert_eq!(by_hand.evict(&pod).await, Answer::granted());
    assert_eq!(by_hand.mark("vm-a").await, None);
}

#[tokio::test]
async fn a_terminating_launcher_is_granted_again() {
    let by_hand = ByHand::new("kv-terminating").await;
    by_hand.vmi("vm-c", Some("None"), running(&by_hand.node, true)).await;
    let stays = |pod: &mut serde_json::Value| {
        pod["metadata"]["annotations"]["handover.test/exit-after"] = json!("never");
        pod["spec"]["terminationGracePeriodSeconds"] = json!(3600);
    };
    let pod = by_hand.launcher_with("vm-c", &by_hand.node, stays).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::granted());
    assert_eq!(by_hand.evict(&pod).await, Answer::granted());
    assert!(!by_hand.is_untouched(&pod).await);
}

/// Makes a budget that wants both launchers of a VMI, and waits until it allows none to go.
async fn exhausted_budget(by_hand: &ByHand, name: &str) {
    by_hand
        .ns
        .create(json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": { "name": name },
            "spec": { "minAvailable": 2, "selector": { "matchLabels": { "kubevirt.io": "virt-launcher" } } },
        }))
        .await;
    by_hand
        .ns
        .until::<PodDisruptionBudget>("", "the budget counts both launchers", |budgets| {
            budgets.iter().all(|budget| {
                budget.status.as_ref().is_some_and(|status| status.current_healthy == 2 && status.expected_pods == 2)
            })
        })
        .await;
}

#[tokio::test]
async fn a_users_budget_is_asked_after_the_webhook() {
    let by_hand = ByHand::new("kv-budget").await;
    by_hand.vmi("vm-c", Some("None"), running(&by_hand.node, true)).await;
    let pod = by_hand.launcher("vm-c", &by_hand.node).await;
    by_hand.launcher("vm-c", &by_hand.other_node).await;
    exhausted_budget(&by_hand, "user1").await;
    let expected = Answer::json(
        429,
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
            r#""message":"Cannot evict pod as it would violate the pod's disruption budget.","reason":"TooManyRequests","#,
            r#""details":{"causes":[{"reason":"DisruptionBudget","#,
            r#""message":"The disruption budget user1 needs 2 healthy pods and has 2 currently"}]},"code":429}"#
        ),
    );
    assert_eq!(by_hand.evict(&pod).await, expected);
    let dry_run = by_hand.evict_with(&pod, "?dryRun=All", json!({ "metadata": { "name": pod } })).await;
    assert_eq!(dry_run, expected, "a dry run gives the same");
}

#[tokio::test]
async fn two_budgets_are_an_error_unless_the_webhook_refuses_first() {
    let by_hand = ByHand::new("kv-two-budgets").await;
    by_hand.vmi("vm-c", Some("None"), running(&by_hand.node, true)).await;
    let pod = by_hand.launcher("vm-c", &by_hand.node).await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    let protected = by_hand.launcher("vm-a", &by_hand.node).await;
    exhausted_budget(&by_hand, "user1").await;
    exhausted_budget(&by_hand, "user2").await;
    let expected = Answer::json(
        500,
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
            r#""message":"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.","#,
            r#""code":500}"#
        ),
    );
    assert_eq!(by_hand.evict(&pod).await, expected);
    let dry_run = by_hand.evict_with(&pod, "?dryRun=All", json!({ "metadata": { "name": pod } })).await;
    assert_eq!(dry_run, expected, "a dry run gives the same");
    let triggered = format!("Eviction triggered evacuation of VMI {}", by_hand.quoted("vm-a"));
    assert_eq!(by_hand.evict(&protected).await, Answer::refused(&triggered));
}

#[tokio::test]
async fn a_pod_that_is_gone_is_not_found() {
    let by_hand = ByHand::new("kv-gone").await;
    let answer = by_hand.evict("virt-launcher-does-not-exist").await;
    assert_eq!(answer.code, 404);
    assert_eq!(answer.message(), r#"pods "virt-launcher-does-not-exist" not found"#);
    assert!(answer.body.contains(r#""reason":"NotFound""#), "{answer:?}");
}

#[tokio::test]
async fn an_eviction_of_another_name_is_a_bad_request() {
    let by_hand = ByHand::new("kv-other-name").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    let pod = by_hand.launcher("vm-a", &by_hand.node).await;
    let answer = by_hand.evict_with(&pod, "", json!({ "metadata": { "name": "virt-launcher-other" } })).await;
    assert_eq!(answer.code, 400);
    assert_eq!(answer.message(), "name in URL does not match name in Eviction object");
    assert_eq!(by_hand.mark("vm-a").await, None);
}

#[tokio::test]
async fn a_pod_that_only_has_the_name_of_a_launcher_is_granted() {
    let by_hand = ByHand::new("kv-namesake").await;
    let no_label = |pod: &mut serde_json::Value| pod["metadata"]["labels"] = json!({ "machine": "vm-x" });
    let pod = by_hand.launcher_with("vm-x", &by_hand.node, no_label).await;
    assert_eq!(by_hand.evict(&pod).await, Answer::granted());
}
