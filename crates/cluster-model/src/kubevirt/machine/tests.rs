use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::machine;

/// Reference 1.1: `running` xor `runStrategy`; neither is Halted.
#[test]
fn the_run_strategy_is_a_word_or_the_older_boolean() {
    let plain = json!({"metadata": {"name": "db"}});
    let with = |spec| {
        let mut object = plain.clone();
        object["spec"] = spec;
        VirtualMachine::from(&object).run_strategy
    };
    assert_eq!(with(json!({"running": true})), RunStrategy::Always);
    assert_eq!(with(json!({"running": false})), RunStrategy::Halted);
    assert_eq!(with(json!({})), RunStrategy::Halted);
    for word in ["Always", "Halted", "Manual", "RerunOnFailure", "Once", "WaitAsReceiver", "Newer"] {
        assert_eq!(with(json!({"runStrategy": word})).as_str(), word);
    }
    assert_eq!(with(json!({"runStrategy": "Newer"})), RunStrategy::Other("Newer".into()));
}

#[test]
fn pool_status_and_failed_starts_are_read() {
    let failure = json!({"consecutiveFailCount": 3, "retryAfterTimestamp": "2026-11-22T10:00:00Z"});
    let found = machine("shop", "db", "Always")
        .owned_by("pool.kubevirt.io/v1beta1", "VirtualMachinePool", "dbs", "uid-dbs")
        .set("/status/printableStatus", "CrashLoopBackOff")
        .set("/status/startFailure", failure);
    let found = VirtualMachine::from(&found.build());
    assert_eq!(found.pool.as_deref(), Some("dbs"));
    assert_eq!(found.printable_status.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(found.start_failure.map(|failure| failure.count), Some(3));
    let other = machine("shop", "db", "Always").owned_by("example.com/v1", "Fleet", "f", "uid-f");
    assert_eq!(VirtualMachine::from(&other.build()).pool, None);
}
