//! Where a migration goes, and what happens if it can go nowhere (OBSERVED, corrections 9; reference 3.3, 5).

use e2e::kubevirt::machine;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use serde_json::json;

use super::record::{MIGRATION, Record, VMI, condition};
use super::{cordon, evict_launcher, has_event, two_nodes, until_migration};

#[tokio::test]
async fn unschedulable_target_is_given_up_in_the_time_that_an_annotation_says() {
    let (ns, a, b) = two_nodes("kt-nowhere").await;
    machine::virtual_machine(&ns, "vm-t").eviction_strategy("LiveMigrate").on(&a).running().await;
    cordon(&ns, &b, true).await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm-t").await.1, 429);
    let migration = until_migration(&ns, "its target waits", |own| own["status"]["phase"] == "Scheduling").await;
    let name = migration["metadata"]["name"].as_str().unwrap();
    ns.until::<Pod>("kubevirt.io/migrationJobUID", "the scheduler has judged", |pods| {
        pods.iter().any(|pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|own| own.reason.as_deref() == Some("Unschedulable"))
        })
    })
    .await;
    let timeout = json!({ "metadata": { "annotations": {
        "kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "1",
    } } });
    let api = machine::api(&ns, MIGRATION);
    api.patch(name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&timeout)).await.unwrap();
    let uid = migration["metadata"]["uid"].clone();
    let failed =
        until_migration(&ns, "it fails", |own| own["metadata"]["uid"] == uid && own["status"]["phase"] == "Failed")
            .await;

    // OBSERVED, corrections 9: no failureReason; the events tell it.
    let state = failed["status"]["migrationState"].as_object().unwrap();
    assert_eq!(state.keys().collect::<Vec<_>>(), ["sourcePod"]);
    let words = format!("Migration target pod for VMI [{}/vm-t] is currently unschedulable.", ns.name());
    assert!(has_event(&ns, &failed, "migrationTargetPodUnschedulable", &words).await);
    assert!(has_event(&ns, &failed, "SuccessfulDelete", "timeout period exceeded").await);
    // The mark stays, and with it the next try.
    machine::until(&ns, MIGRATION, "the next one is there", |all| all.len() > 1).await;
    record.catch_up().await;
    assert_eq!(record.last(VMI, "vm-t")["status"]["evacuationNodeName"], a);
}

#[tokio::test]
async fn quota_that_has_no_room_for_two_launchers_keeps_the_migration_waiting() {
    let (ns, a, b) = two_nodes("kt-quota").await;
    machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a).running().await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "one" }, "spec": { "hard": { "pods": "1" } },
    });
    ns.create(quota).await;
    ns.until::<ResourceQuota>("", "the quota is counted", |quotas| {
        quotas.iter().any(|quota| quota.status.as_ref().is_some_and(|status| status.used.is_some()))
    })
    .await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    let waiting =
        until_migration(&ns, "the quota refuses", |own| condition(own, "migrationRejectedByResourceQuota") == "True")
            .await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    ns.api::<ResourceQuota>().delete("one", &kube::api::DeleteParams::default()).await.unwrap();
    until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    assert_eq!(machine::until_phase(&ns, "vm", "Running").await["status"]["nodeName"], b);
}

/// Reference 5: a guest that shows its host's processor only goes where that can be shown.
#[tokio::test]
async fn guest_goes_where_its_processor_is_known() {
    let (ns, a, _) = two_nodes("kt-cpu").await;
    machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&a).running().await;
    cordon(&ns, &ns.node_name("b"), true).await;
    let other = machine::node(&ns, "other").label("cpu-model-migration.node.kubevirt.io/Opteron_G3", "true");
    let other = other.label("cpu-vendor.node.kubevirt.io/AMD", "true").create().await;
    let record = Record::of(&ns).await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    let is_judged = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions
            .into_iter()
            .any(|own| own.message.as_deref().unwrap_or_default().contains("didn't match Pod's node affinity/selector"))
    };
    ns.until::<Pod>("kubevirt.io/migrationJobUID", "no node fits", |pods| pods.iter().any(is_judged)).await;
    record.catch_up().await;
    assert_eq!(record.sequence(VMI, "vm", "/status/nodeName"), [a]);
    assert_ne!(other, "");
}
