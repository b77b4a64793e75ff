//! What a mark does, and whom it does nothing to (OBSERVED (a), (d2), (e)).

use std::time::Duration;

use e2e::kubevirt::machine;

use super::record::{MIGRATION, POD, Record, VM, VMI, condition};
use super::{events, evict, evict_launcher, nothing_for, two_nodes, until_migration};

const PHASES: [&str; 8] =
    ["", "Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"];

#[tokio::test]
async fn marked_vmi_migrates_to_another_node() {
    let (ns, a, b) = two_nodes("kt-a").await;
    let vmi = machine::virtual_machine(&ns, "vm-a").eviction_strategy("LiveMigrate").on(&a).migration_time("1s");
    let vmi = vmi.running().await;
    assert_eq!(vmi["status"]["nodeName"], a);
    let record = Record::of(&ns).await;

    let (source, code, message) = evict_launcher(&ns, "vm-a").await;
    assert_eq!(code, 429);
    assert!(message.ends_with(&format!("Eviction triggered evacuation of VMI \"{}/vm-a\"", ns.name())), "{message}");
    let (code, message) = evict(&ns, &source).await;
    assert!(code == 429 && message.contains("Evacuation in progress: "), "{message}");
    let migration = until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    machine::until(&ns, VM, "its VM runs again", |vms| vms[0]["status"]["printableStatus"] == "Running").await;
    machine::until(&ns, VMI, "nothing is left of the move", |vmis| {
        vmis[0]["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"].is_null()
            && condition(&vmis[0], "EvictionRequested").is_empty()
    })
    .await;
    ns.until::<k8s_openapi::api::core::v1::Pod>("", "the source has ended", |pods| {
        pods.iter().any(|pod| super::phase_of(pod) == "Succeeded")
    })
    .await;

    let name = migration["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("kubevirt-evacuation-"), "{name}");
    assert_eq!(migration["metadata"]["annotations"]["kubevirt.io/evacuationMigration"], a);
    assert_eq!(migration["metadata"]["labels"]["kubevirt.io/vmi-name"], "vm-a");
    assert_eq!(migration["spec"]["priority"], "system-critical");
    record.catch_up().await;
    assert_eq!(record.sequence(MIGRATION, name, "/status/phase"), PHASES);
    assert_eq!(record.sequence(VMI, "vm-a", "/status/nodeName"), [a.clone(), b.clone()]);
    assert_eq!(record.sequence(VMI, "vm-a", "/metadata/labels/kubevirt.io~1nodeName"), [a.clone(), b.clone()]);
    assert_eq!(record.sequence(VMI, "vm-a", "/status/evacuationNodeName"), ["", &a, ""]);
    assert_eq!(
        record.sequence(VMI, "vm-a", "/metadata/labels/kubevirt.io~1migrationTargetNodeName"),
        ["", b.as_str(), ""]
    );
    assert_eq!(record.sequence_of(VMI, "vm-a", |vmi| condition(vmi, "EvictionRequested")), ["", "True", ""]);
    assert_eq!(record.sequence(VM, "vm-a", "/status/printableStatus"), ["Running", "Migrating", "Running"]);
    assert_eq!(record.sequence(POD, &source, "/status/phase"), ["Running", "Succeeded"]);
    assert_eq!(record.uids(VMI, "vm-a").len(), 1);

    let state = &migration["status"]["migrationState"];
    assert_eq!(state["migrationUid"], migration["metadata"]["uid"]);
    assert_eq!((&state["sourceNode"], &state["targetNode"]), (&a.into(), &b.into()));
    assert_eq!((&state["completed"], &state["sourcePod"]), (&true.into(), &source.clone().into()));
    assert_eq!(
        events(&ns, &migration).await,
        ["SuccessfulCreate x1", "SuccessfulHandOver x1", "SuccessfulMigration x2"]
    );

    let target = record.names(POD).into_iter().find(|pod| *pod != source).unwrap();
    let target = record.last(POD, &target);
    assert_eq!(target["metadata"]["labels"]["kubevirt.io/migrationJobUID"], migration["metadata"]["uid"]);
    assert_eq!(target["metadata"]["annotations"]["kubevirt.io/migrationJobName"], name);
    // OBSERVED, confirmed 1.2: copied from the VMI as it was.
    assert_eq!(target["metadata"]["labels"]["kubevirt.io/nodeName"], state["sourceNode"]);
    // OBSERVED, corrections 16.
    let shield = "/metadata/annotations/descheduler.alpha.kubernetes.io~1eviction-in-progress";
    assert_eq!(record.sequence(POD, &source, shield)[..2], ["", "true"]);

    // The source stays until it is evicted, which is granted.
    assert_eq!(evict(&ns, &source).await, (200, String::new()));
}

#[tokio::test]
async fn migratable_vmi_moves_if_possible() {
    let (ns, a, b) = two_nodes("kt-d2").await;
    machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrateIfPossible").on(&a).running().await;
    assert_eq!(evict_launcher(&ns, "vm").await.1, 429);
    until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    assert_eq!(machine::until_phase(&ns, "vm", "Running").await["status"]["nodeName"], b);
}

#[tokio::test]
async fn external_vmi_is_marked_and_left_alone() {
    let (ns, a, _) = two_nodes("kt-e").await;
    machine::virtual_machine(&ns, "vm-e").eviction_strategy("External").on(&a).running().await;
    let record = Record::of(&ns).await;
    let (source, code, message) = evict_launcher(&ns, "vm-e").await;
    assert!(code == 429 && message.contains(": Eviction triggered evacuation"), "{message}");
    let (_, message) = evict(&ns, &source).await;
    assert!(message.contains(": Evacuation in progress: "), "{message}");
    machine::until(&ns, VMI, "the mark is told", |vmis| condition(&vmis[0], "EvictionRequested") == "True").await;
    nothing_for(Duration::from_secs(2)).await;
    record.catch_up().await;
    assert_eq!(record.names(MIGRATION), [""; 0]);
    assert_eq!(record.sequence(VMI, "vm-e", "/status/evacuationNodeName"), ["", &a]);
    assert_eq!(record.sequence(VMI, "vm-e", "/status/nodeName"), [a]);
}

/// OBSERVED, confirmed 3.1: the old way to drain migrates without a mark, and leaves alone what cannot move.
#[tokio::test]
async fn drain_taint_migrates_without_a_mark() {
    let (ns, a, b) = two_nodes("kt-taint").await;
    machine::virtual_machine(&ns, "moves").eviction_strategy("LiveMigrate").on(&a).running().await;
    let stays = machine::virtual_machine(&ns, "stays").eviction_strategy("LiveMigrate").on(&a);
    stays.not_migratable("DisksNotLiveMigratable", "the disk is local").running().await;
    let record = Record::of(&ns).await;
    let taint = serde_json::json!({ "spec": { "taints": [{ "key": "kubevirt.io/drain", "effect": "NoSchedule" }] } });
    ns.nodes().patch(&a, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&taint)).await.unwrap();

    let migration = until_migration(&ns, "the VMI moves", |own| own["status"]["phase"] == "Succeeded").await;
    assert_eq!(migration["spec"]["vmiName"], "moves");
    record.catch_up().await;
    assert_eq!(record.sequence(VMI, "moves", "/status/nodeName"), [a.clone(), b.clone()]);
    assert_eq!(record.sequence(VMI, "moves", "/status/evacuationNodeName"), [""]);
    assert_eq!(record.names(MIGRATION).len(), 1);
}
