//! `start`, `stop`, `restart` and `migrate` (OBSERVED, "Confirmed" 4.1; reference 4 and 4.1).

use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::Answer;

/// Makes a VM with a run strategy whose VMI runs.
async fn machine(purpose: &str, strategy: &str) -> ByHand {
    let by_hand = ByHand::new(purpose).await;
    by_hand.vm("vm-l", strategy, json!({ "created": true })).await;
    by_hand.vmi("vm-l", None, running(&by_hand.node, true)).await;
    by_hand
}

async fn put(by_hand: &ByHand, action: &str, body: &str) -> Answer {
    by_hand.put(&format!("virtualmachines/vm-l/{action}"), body).await
}

async fn run_strategy(by_hand: &ByHand) -> Value {
    by_hand.get("VirtualMachine", "vm-l").await["spec"]["runStrategy"].clone()
}

/// Returns the changes that virt-controller has been asked for, with `VMI` for the VMI's uid.
async fn requests(by_hand: &ByHand) -> Value {
    let vmi = by_hand.objects(&by_hand.client, "VirtualMachineInstance").get_opt("vm-l").await.unwrap();
    let uid = vmi.and_then(|vmi| vmi.metadata.uid).unwrap_or_default();
    let mut requests = by_hand.get("VirtualMachine", "vm-l").await["status"]["stateChangeRequests"].clone();
    for request in requests.as_array_mut().into_iter().flatten() {
        if request["uid"] == json!(uid) {
            request["uid"] = json!("VMI");
        }
    }
    requests
}

/// The answer of a VM that is not in the right state, as it is printed.
fn conflict(why: &str) -> Answer {
    let body = format!(
        r#"{{
 "kind": "Status",
 "apiVersion": "v1",
 "metadata": {{}},
 "status": "Failure",
 "message": "Operation cannot be fulfilled on virtualmachine.kubevirt.io \"vm-l\": {why}",
 "reason": "Conflict",
 "details": {{
  "name": "vm-l",
  "group": "kubevirt.io",
  "kind": "virtualmachine"
 }},
 "code": 409
}}"#
    );
    Answer::json(409, &body)
}

#[tokio::test]
async fn restart_asks_for_a_stop_and_a_start() {
    for strategy in ["Always", "Manual", "RerunOnFailure"] {
        let by_hand = machine("kv-restart", strategy).await;
        assert_eq!(put(&by_hand, "restart", "").await, Answer::empty(202), "{strategy}");
        let expected = json!([{ "action": "Stop", "uid": "VMI" }, { "action": "Start" }]);
        assert_eq!(requests(&by_hand).await, expected, "{strategy}");
        assert_eq!(run_strategy(&by_hand).await, strategy);
        // One is under way.
        let again = put(&by_hand, "restart", "").await;
        let message = "Internal error occurred: unable to complete request: stop/start already underway";
        assert_eq!((again.code, again.message().as_str()), (500, message), "{strategy}");
    }
}

#[tokio::test]
async fn restart_as_a_dry_run_asks_for_nothing() {
    let by_hand = machine("kv-restart-dry", "Always").await;
    assert_eq!(put(&by_hand, "restart", r#"{"dryRun":["All"]}"#).await, Answer::empty(202));
    assert_eq!(requests(&by_hand).await, Value::Null);
}

#[tokio::test]
async fn restart_without_grace_leaves_one_second() {
    let by_hand = machine("kv-restart-grace", "Always").await;
    assert_eq!(put(&by_hand, "restart", r#"{"gracePeriodSeconds":0}"#).await, Answer::empty(202));
    let vmi = by_hand.get("VirtualMachineInstance", "vm-l").await;
    assert_eq!(vmi["spec"]["terminationGracePeriodSeconds"], 1);
    for (seconds, message) in [
        (5, "For force restart, only gracePeriod=0 is supported for now"),
        (-1, "gracePeriod has to be greater or equal to 0"),
    ] {
        let answer = put(&by_hand, "restart", &json!({ "gracePeriodSeconds": seconds }).to_string()).await;
        assert_eq!((answer.code, answer.message().as_str()), (400, message));
    }
}

#[tokio::test]
async fn restart_is_a_conflict_where_nothing_would_start_again() {
    for strategy in ["Halted", "Once"] {
        let by_hand = machine("kv-no-restart", strategy).await;
        let why = format!("RunStategy {strategy} does not support manual restart requests");
        assert_eq!(put(&by_hand, "restart", "").await, conflict(&why));
    }
    let by_hand = ByHand::new("kv-no-vmi").await;
    by_hand.vm("vm-l", "Always", Value::Null).await;
    assert_eq!(put(&by_hand, "restart", "").await, conflict("VM is not running: Halted"));
}

#[tokio::test]
async fn stop_halts_always_and_once() {
    for strategy in ["Always", "Once"] {
        let by_hand = machine("kv-stop", strategy).await;
        assert_eq!(put(&by_hand, "stop", "").await, Answer::empty(202), "{strategy}");
        assert_eq!(run_strategy(&by_hand).await, "Halted", "{strategy}");
        assert_eq!(requests(&by_hand).await, Value::Null, "{strategy}");
    }
}

#[tokio::test]
async fn stop_keeps_the_strategy_of_manual_and_rerun_on_failure() {
    for strategy in ["Manual", "RerunOnFailure"] {
        let by_hand = machine("kv-stop-manual", strategy).await;
        assert_eq!(put(&by_hand, "stop", "").await, Answer::empty(202), "{strategy}");
        assert_eq!(run_strategy(&by_hand).await, strategy);
        assert_eq!(requests(&by_hand).await, json!([{ "action": "Stop", "uid": "VMI" }]), "{strategy}");
    }
}

#[tokio::test]
async fn stop_of_what_does_not_run_is_a_conflict() {
    for strategy in ["Halted", "Manual", "RerunOnFailure"] {
        let by_hand = ByHand::new("kv-stopped").await;
        by_hand.vm("vm-l", strategy, Value::Null).await;
        assert_eq!(put(&by_hand, "stop", "").await, conflict("VM is not running"), "{strategy}");
    }
}

#[tokio::test]
async fn stop_of_halted_needs_a_shorter_grace() {
    let by_hand = machine("kv-stop-halted", "Halted").await;
    let why = "Halted only supports manual stop requests with a shorter graceperiod";
    assert_eq!(put(&by_hand, "stop", "").await, conflict(why));
    assert_eq!(put(&by_hand, "stop", r#"{"gracePeriod":10}"#).await, Answer::empty(202));
    let vmi = by_hand.get("VirtualMachineInstance", "vm-l").await;
    assert_eq!(vmi["spec"]["terminationGracePeriodSeconds"], 10);
    assert_eq!(put(&by_hand, "stop", r#"{"gracePeriod":10}"#).await, conflict(why), "it is no shorter");
}

#[tokio::test]
async fn start_makes_halted_always() {
    let by_hand = ByHand::new("kv-start").await;
    by_hand.vm("vm-l", "Halted", Value::Null).await;
    assert_eq!(put(&by_hand, "start", "").await, Answer::empty(202));
    assert_eq!(run_strategy(&by_hand).await, "Always");
}

#[tokio::test]
async fn start_of_what_runs_is_a_conflict() {
    let by_hand = machine("kv-start-running", "Always").await;
    assert_eq!(put(&by_hand, "start", "").await, conflict("VM is already running"));
}

#[tokio::test]
async fn start_of_an_ended_guest_depends_on_the_strategy() {
    for (strategy, phase, expected) in [
        ("Manual", "Succeeded", json!([{ "action": "Stop", "uid": "VMI" }, { "action": "Start" }])),
        ("Manual", "Failed", json!([{ "action": "Stop", "uid": "VMI" }, { "action": "Start" }])),
        ("RerunOnFailure", "Succeeded", json!([{ "action": "Stop", "uid": "VMI" }, { "action": "Start" }])),
    ] {
        let by_hand = machine("kv-start-ended", strategy).await;
        by_hand.write_status("vm-l", json!({ "phase": phase })).await;
        assert_eq!(put(&by_hand, "start", "").await, Answer::empty(202), "{strategy} {phase}");
        assert_eq!(requests(&by_hand).await, expected, "{strategy} {phase}");
    }
    for (strategy, why) in [
        ("RerunOnFailure", "RerunOnFailure does not support starting VM from failed state"),
        ("Always", "Always does not support manual start requests"),
        ("Once", "Once does not support manual start requests"),
    ] {
        let by_hand = machine("kv-no-start", strategy).await;
        by_hand.write_status("vm-l", json!({ "phase": "Failed" })).await;
        assert_eq!(put(&by_hand, "start", "").await, conflict(why));
    }
}

#[tokio::test]
async fn migrate_makes_a_migration_without_saying_which() {
    let by_hand = machine("kv-migrate", "Always").await;
    let body = json!({ "addedNodeSelector": { "disk": "ssd" } }).to_string();
    assert_eq!(put(&by_hand, "migrate", &body).await, Answer::empty(202));
    let migrations = by_hand.objects(&by_hand.client, "VirtualMachineInstanceMigration");
    let found: Vec<DynamicObject> = migrations.list(&ListParams::default()).await.unwrap().items;
    let [migration] = found.as_slice() else { panic!("{found:?}") };
    assert!(migration.metadata.name.as_ref().unwrap().starts_with("kubevirt-migrate-vm-"), "{migration:?}");
    assert_eq!(migration.data["spec"], json!({ "vmiName": "vm-l", "addedNodeSelector": { "disk": "ssd" } }));
}

#[tokio::test]
async fn migrate_of_what_does_not_run_is_a_conflict() {
    let by_hand = machine("kv-migrate-boot", "Always").await;
    by_hand.write_status("vm-l", json!({ "phase": "Scheduled" })).await;
    assert_eq!(put(&by_hand, "migrate", "{}").await, conflict("VM is not running"));
}

#[tokio::test]
async fn an_unknown_vm_is_not_found() {
    let by_hand = ByHand::new("kv-no-vm").await;
    for action in ["start", "stop", "restart", "migrate"] {
        let answer = put(&by_hand, action, "").await;
        let message = r#"virtualmachine.kubevirt.io "vm-l" not found"#;
        assert_eq!((answer.code, answer.message().as_str()), (404, message), "{action}");
    }
}
