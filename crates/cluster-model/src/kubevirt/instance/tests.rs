use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::{instance, kubevirt};

fn read(builder: &crate::fixtures::kubevirt::ObjectBuilder) -> VirtualMachineInstance {
    VirtualMachineInstance::from(&builder.build())
}

/// Reference 1.1: its own, else the cluster's, else the built-in `None`. OBSERVED cl: the default is copied at creation,
/// so a running one normally says it itself.
#[test]
fn the_strategy_in_effect_is_its_own_then_the_clusters_then_none() {
    let unset = instance("shop", "db");
    let default = KubeVirt::from(&kubevirt("v1.9.0").build());
    let cluster = kubevirt("v1.9.0").set("/spec/configuration/evictionStrategy", "LiveMigrateIfPossible").build();
    let cluster = KubeVirt::from(&cluster);
    let cases = [
        (unset.strategy("External"), Some(&cluster), EvictionStrategy::External, StrategySource::Vmi),
        (unset.strategy("None"), Some(&cluster), EvictionStrategy::None, StrategySource::Vmi),
        (unset.clone(), Some(&cluster), EvictionStrategy::LiveMigrateIfPossible, StrategySource::Cluster),
        (unset.strategy(""), Some(&cluster), EvictionStrategy::LiveMigrateIfPossible, StrategySource::Cluster),
        (unset.clone(), Some(&default), EvictionStrategy::None, StrategySource::Default),
        (unset.clone(), None, EvictionStrategy::None, StrategySource::Default),
        (unset.strategy("Newer"), None, EvictionStrategy::Other("Newer".into()), StrategySource::Vmi),
    ];
    for (builder, kubevirt, strategy, source) in cases {
        assert_eq!(read(&builder).eviction_strategy(kubevirt), (strategy, source), "{builder:?}");
    }
}

/// Reference 1.1: absent until virt-handler's first look; only True counts as "can".
#[test]
fn live_migratable_is_true_false_or_not_yet_known() {
    let unset = instance("shop", "db");
    assert_eq!(read(&unset).live_migratable, LiveMigratable::NotYetKnown);
    assert_eq!(read(&unset.migratable()).live_migratable, LiveMigratable::Yes);
    let LiveMigratable::No { reason, message } = read(&unset.not_migratable()).live_migratable else {
        panic!("it cannot migrate")
    };
    assert_eq!(reason, "DisksNotLiveMigratable");
    assert!(message.contains("ReadWriteMany"), "{message}");
    let unknown = unset.set("/status/conditions", json!([{"type": "LiveMigratable", "status": "Unknown"}]));
    assert!(!read(&unknown).is_live_migratable());
}

/// Reference 1.1 and 1.2.
#[test]
fn the_node_the_mark_and_the_labels_are_read() {
    let found = read(&instance("shop", "db").on("n1").marked("n1").label("kubevirt.io/migrationTargetNodeName", "n2"));
    assert_eq!(found.node, Some(NodeName::from("n1")));
    assert_eq!(found.node_label, Some(NodeName::from("n1")));
    assert_eq!(found.evacuation_node, Some(NodeName::from("n1")));
    assert_eq!(found.target_node_label, Some(NodeName::from("n2")));
    assert!(found.is_on(&"n1".into()) && found.is_incoming_to(&"n2".into()));
    assert!(!found.is_on(&"n2".into()) && !found.is_incoming_to(&"n1".into()));
    assert_eq!(found.grace_seconds, 30, "DefaultGracePeriodSeconds, types.go");
    assert_eq!(read(&instance("shop", "db").set("/spec/terminationGracePeriodSeconds", 180)).grace_seconds, 180);
}

/// Reference 1.1: the state persists after the migration, so its uid is compared.
#[test]
fn a_migration_state_speaks_of_one_migration_only() {
    let state = json!({"migrationUid": "uid-m1", "sourceNode": "n1", "targetNode": "n2", "completed": true,
                       "endTimestamp": "2026-11-22T10:00:00Z"});
    let found = read(&instance("shop", "db").on("n2").set("/status/migrationState", state));
    let state = found.migration_state.as_ref().unwrap();
    assert!(state.is_of(&"uid-m1".into()) && !state.is_of(&"uid-m2".into()) && !state.is_of(&"".into()));
    assert!(state.has_succeeded() && !state.is_under_way());
    assert!(!found.is_incoming_to(&"n2".into()), "it has arrived");
    let failed = json!({"migrationUid": "uid-m1", "completed": true, "failed": true, "failureReason": "no memory"});
    let found = read(&instance("shop", "db").set("/status/migrationState", failed));
    let state = found.migration_state.unwrap();
    assert!(!state.has_succeeded());
    assert_eq!(state.failure_reason.as_deref(), Some("no memory"));
    assert_eq!(read(&instance("shop", "db")).migration_state, None);
}

/// Reference 1.2 (containerDisk, emptyDisk) and 5 (ReadWriteMany is the sole test).
#[test]
fn volumes_are_told_apart() {
    let volumes = json!([
        {"name": "root", "containerDisk": {"image": "registry.example.com/fedora"}},
        {"name": "scratch", "emptyDisk": {"capacity": "2Gi"}},
        {"name": "init", "cloudInitNoCloud": {"userData": "x"}},
        {"name": "data", "dataVolume": {"name": "db-data"}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": "db-shared"}},
        {"name": "unseen", "persistentVolumeClaim": {"claimName": "db-unseen"}},
        {"name": "cow", "ephemeral": {"persistentVolumeClaim": {"claimName": "golden"}}},
    ]);
    let status = json!([
        {"name": "data", "persistentVolumeClaimInfo": {"claimName": "db-data", "accessModes": ["ReadWriteOnce"]}},
        {"name": "shared", "persistentVolumeClaimInfo": {"accessModes": ["ReadWriteMany"]}},
        {"name": "unseen", "target": "vdc"},
    ]);
    let found = read(&instance("shop", "db").volumes(volumes).set("/status/volumeStatus", status));
    assert_eq!(found.empty_disks(), ["scratch"]);
    assert_eq!(found.overlay_disks(), ["root", "cow"]);
    assert_eq!(found.claims_not_shared(), ["db-data"]);
}

#[test]
fn a_backup_runs_until_it_is_completed_or_failed() {
    let backup = |status| read(&instance("shop", "db").set("/status/changedBlockTracking/backupStatus", status));
    assert!(backup(json!({"backupName": "b"})).has_running_backup);
    assert!(!backup(json!({"backupName": "b", "completed": true})).has_running_backup);
    assert!(!backup(json!({"backupName": "b", "failed": true})).has_running_backup);
    assert!(!read(&instance("shop", "db")).has_running_backup);
}
