use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::migration;

/// OBSERVED (a): the object that an evacuation makes.
#[test]
fn an_evacuations_migration_is_known_by_its_annotation() {
    let found = Migration::from(&migration("shop", "kubevirt-evacuation-x", "db").evacuating("n1").build());
    assert_eq!(found.evacuates, Some(NodeName::from("n1")));
    assert_eq!(found.priority, Priority::SystemCritical);
    assert_eq!(found.instance_key(), ObjectKey::new("shop", "db"));
    assert!(found.is_evacuation() && !found.is_final());
    let own = Migration::from(&migration("shop", "own", "db").build());
    assert_eq!((own.priority, own.is_evacuation()), (Priority::Unset, false));
    assert!(Priority::SystemCritical > Priority::UserTriggered);
    assert!(Priority::UserTriggered > Priority::SystemMaintenance && Priority::SystemMaintenance > Priority::Unset);
}

/// Reference 1.1: only Succeeded and Failed are final; a phase of a newer KubeVirt is not.
#[test]
fn finality_is_succeeded_or_failed() {
    let phases = [
        ("", false),
        ("Pending", false),
        ("Scheduling", false),
        ("Scheduled", false),
        ("PreparingTarget", false),
        ("TargetReady", false),
        ("Running", false),
        ("Synchronizing", false),
        ("Succeeded", true),
        ("Failed", true),
    ];
    for (phase, is_final) in phases {
        let found = Migration::from(&migration("shop", "m", "db").phase(phase).build());
        assert_eq!(found.is_final(), is_final, "{phase}");
        assert_eq!(found.phase.as_str(), if phase.is_empty() { "Pending" } else { phase });
    }
}

/// OBSERVED corrections 9 and 10: a failure has a reason only where somebody wrote one into the state.
#[test]
fn a_failure_reason_is_the_states_and_only_of_a_failed_one() {
    let failed = migration("shop", "m", "db")
        .phase("Failed")
        .set(
            "/status/phaseTransitionTimestamps",
            json!([
                {"phase": "Running", "phaseTransitionTimestamp": "1970-01-01T00:00:05Z"},
                {"phase": "Failed", "phaseTransitionTimestamp": "1970-01-01T00:00:10Z"},
            ]),
        )
        .set("/status/migrationState", json!({"sourcePod": "p"}));
    let found = Migration::from(&failed.build());
    assert_eq!((found.failure_reason(), found.failed_at), (None, Some(crate::fixtures::at(10))));
    let with_reason = failed.set("/status/migrationState/failureReason", "Target pod is down");
    assert_eq!(Migration::from(&with_reason.build()).failure_reason(), Some("Target pod is down"));
    assert_eq!(Migration::from(&with_reason.phase("Running").build()).failure_reason(), None);
}

/// Reference 1.1, migration conditions.
#[test]
fn what_holds_a_pending_migration_is_said() {
    let held = |kind: &str, message: &str| {
        let conditions = json!([{"type": kind, "status": "True", "message": message}]);
        Migration::from(&migration("shop", "m", "db").set("/status/conditions", conditions).build())
    };
    assert_eq!(
        held("migrationRejectedByResourceQuota", "exceeded quota: q").blocked_by.as_deref(),
        Some("exceeded quota: q")
    );
    assert_eq!(held("migrationBlockedByBackup", "").blocked_by.as_deref(), Some("a backup runs"));
    let aborted = held("migrationAbortRequested", "");
    assert_eq!((aborted.abort_requested, aborted.blocked_by), (true, None));
}
