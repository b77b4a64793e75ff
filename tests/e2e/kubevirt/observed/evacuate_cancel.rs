//! OBSERVED (h) and corrections 3: `evacuate/cancel`.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::{Answer, JSON_OR_ANYTHING};

const OF_VMI: &str = "virtualmachineinstances/vm-h/evacuate/cancel";
const OF_VM: &str = "virtualmachines/vm-h/evacuate/cancel";

/// The one sentence for a body that names no node, or another one.
const REFUSED: &str = "Internal error occurred: the server rejected our request due to an error in our request";

/// Makes a VMI that is marked, as the eviction of its launcher leaves it.
async fn marked(purpose: &str) -> ByHand {
    let by_hand = ByHand::new(purpose).await;
    by_hand.migratable("vm-h", "LiveMigrate").await;
    let pod = by_hand.launcher("vm-h", &by_hand.node).await;
    assert_eq!(by_hand.evict(&pod).await.code, 429);
    assert_eq!(by_hand.mark("vm-h").await, Some(by_hand.node.clone()));
    by_hand
}

fn naming(node: &str) -> String {
    json!({ "evacuationNodeName": node }).to_string()
}

#[tokio::test]
async fn takes_the_mark_away() {
    let by_hand = marked("kv-cancel").await;
    assert_eq!(by_hand.put(OF_VMI, &naming(&by_hand.node)).await, Answer::empty(200));
    assert_eq!(by_hand.mark("vm-h").await, None);
    // Once more: there is no mark, and nothing to do.
    assert_eq!(by_hand.put(OF_VMI, &naming(&by_hand.node)).await, Answer::empty(200));
}

#[tokio::test]
async fn of_an_unmarked_vmi_is_fine() {
    let by_hand = ByHand::new("kv-cancel-unmarked").await;
    by_hand.migratable("vm-h", "LiveMigrate").await;
    for body in [naming(&by_hand.node), naming("elsewhere"), String::new()] {
        assert_eq!(by_hand.put(OF_VMI, &body).await, Answer::empty(200), "{body}");
    }
}

#[tokio::test]
async fn as_a_dry_run_changes_nothing() {
    let by_hand = marked("kv-cancel-dry-run").await;
    let body = json!({ "evacuationNodeName": by_hand.node, "dryRun": ["All"] }).to_string();
    assert_eq!(by_hand.put(OF_VMI, &body).await, Answer::empty(200));
    assert_eq!(by_hand.mark("vm-h").await, Some(by_hand.node.clone()));
}

#[tokio::test]
async fn needs_the_marks_node() {
    let by_hand = marked("kv-cancel-node").await;
    for body in [naming(&by_hand.other_node), String::from("{}"), String::new()] {
        let answer = by_hand.put(OF_VMI, &body).await;
        assert_eq!((answer.code, answer.message().as_str()), (500, REFUSED), "{body:?}");
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(by_hand.mark("vm-h").await, Some(by_hand.node.clone()), "{body:?}");
    }
}

#[tokio::test]
async fn of_an_unknown_vmi_is_not_found() {
    let by_hand = ByHand::new("kv-cancel-unknown").await;
    let answer = by_hand.put(OF_VMI, &naming(&by_hand.node)).await;
    assert_eq!(answer.code, 404);
    assert_eq!(answer.message(), r#"virtualmachineinstance.kubevirt.io "vm-h" not found"#);
}

#[tokio::test]
async fn of_a_node_with_the_drain_taint_is_refused() {
    let by_hand = marked("kv-cancel-taint").await;
    let taint = json!({ "spec": { "taints": [{ "key": "kubevirt.io/drain", "effect": "NoSchedule" }] } });
    by_hand.ns.nodes().patch(&by_hand.node, &PatchParams::default(), &Patch::Merge(&taint)).await.unwrap();
    let answer = by_hand.put(OF_VMI, &naming(&by_hand.node)).await;
    assert_eq!(answer.code, 400);
    assert_eq!(
        answer.message(),
        format!(
            r#"Node "{}" has NodeDrainTaintKey "&Taint{{Key:kubevirt.io/drain,Value:,Effect:NoSchedule,TimeAdded:<nil>,}}""#,
            by_hand.node
        )
    );
    assert_eq!(by_hand.mark("vm-h").await, Some(by_hand.node.clone()));
}

#[tokio::test]
async fn through_the_vm_takes_the_mark_away() {
    let by_hand = ByHand::new("kv-cancel-vm").await;
    let vm = by_hand.vm("vm-h", "Always", json!({ "created": true })).await;
    by_hand.migratable("vm-h", "LiveMigrate").await;
    let owner: Value = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm-h", "uid": vm["metadata"]["uid"],
        "controller": true,
    }] } });
    let api = by_hand.objects(&by_hand.controller, "VirtualMachineInstance");
    api.patch("vm-h", &PatchParams::default(), &Patch::Merge(&owner)).await.unwrap();
    by_hand.write_status("vm-h", json!({ "evacuationNodeName": by_hand.node })).await;
    assert_eq!(by_hand.put(OF_VM, &naming(&by_hand.node)).await, Answer::empty(200));
    assert_eq!(by_hand.mark("vm-h").await, None);
}

#[tokio::test]
async fn through_a_vm_that_has_not_started_is_a_conflict() {
    let by_hand = ByHand::new("kv-cancel-stopped").await;
    by_hand.vm("vm-h", "Halted", Value::Null).await;
    let answer = by_hand.put(OF_VM, &naming(&by_hand.node)).await;
    assert_eq!(answer.code, 409);
    assert_eq!(
        answer.message(),
        r#"Operation cannot be fulfilled on virtualmachine.kubevirt.io "vm-h": VMI is not started"#
    );
}

#[tokio::test]
async fn accepts_only_who_accepts_anything() {
    let by_hand = ByHand::new("kv-cancel-accept").await;
    by_hand.vmi("vm-h", Some("LiveMigrate"), running(&by_hand.node, true)).await;
    let body = naming(&by_hand.node);
    let others = ["restart", "stop", "migrate"].map(|action| format!("virtualmachines/vm-h/{action}"));
    for path in others.iter().map(String::as_str).chain([OF_VMI, OF_VM]) {
        let answer = by_hand.put_as(&by_hand.client, path, "application/json", &body).await;
        assert_eq!(answer, Answer::plain(406, "406: Not Acceptable"), "{path}");
    }
    for accept in ["*/*", JSON_OR_ANYTHING] {
        let answer = by_hand.put_as(&by_hand.client, OF_VMI, accept, &body).await;
        assert_eq!(answer, Answer::empty(200), "{accept}");
    }
}
