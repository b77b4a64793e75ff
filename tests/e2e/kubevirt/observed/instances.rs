//! What may be written of a VMI (OBSERVED, corrections 1 and "Confirmed" 1, 1.1).

use e2e::kubevirt::Account;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::refusal;

/// Sends a merge patch of a VMI as the test's own user; returns the code and the message of a refusal.
async fn patch(by_hand: &ByHand, patch: Value) -> Result<Value, (u16, String)> {
    let api = by_hand.objects(&by_hand.client, "VirtualMachineInstance");
    let patched = api.patch("vm-u", &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(|vmi| serde_json::to_value(vmi).unwrap()).map_err(|error| refusal(&error))
}

fn refused(validator: &str, sentence: &str) -> (u16, String) {
    (422, format!("admission webhook \"{validator}.kubevirt.io\" denied the request: {sentence}"))
}

#[tokio::test]
async fn a_new_vmi_is_pending_with_the_clusters_strategy_and_a_finalizer() {
    let by_hand = ByHand::new("kv-new").await;
    let vmi = by_hand.vmi("vm-u", None, json!({})).await;
    assert_eq!(vmi["status"]["phase"], "Pending");
    assert_eq!(vmi["status"]["phaseTransitionTimestamps"][0]["phase"], "Pending");
    assert_eq!(vmi["spec"]["evictionStrategy"], "None");
    assert_eq!(vmi["spec"]["architecture"], "amd64");
    assert_eq!(vmi["metadata"]["finalizers"], json!(["kubevirt.io/foregroundDeleteVirtualMachine"]));
}

#[tokio::test]
async fn a_users_change_of_the_status_is_silently_undone() {
    let by_hand = ByHand::new("kv-status").await;
    let before = by_hand.vmi("vm-u", Some("LiveMigrate"), running(&by_hand.node, true)).await;
    let after = patch(&by_hand, json!({ "status": { "evacuationNodeName": by_hand.node } })).await.unwrap();
    assert_eq!(after["status"], before["status"]);
    let after = patch(&by_hand, json!({ "status": null })).await.unwrap();
    assert_eq!(after["status"], before["status"]);
}

#[tokio::test]
async fn kubevirts_own_accounts_may_change_the_status() {
    let by_hand = ByHand::new("kv-accounts").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), running(&by_hand.node, true)).await;
    for account in [Account::Api, Account::Controller, Account::Handler] {
        let client = account.client(by_hand.ns.control_plane()).await;
        let api = by_hand.objects(&client, "VirtualMachineInstance");
        for mark in [json!(by_hand.node), Value::Null] {
            let patch = json!({ "status": { "evacuationNodeName": mark } });
            api.patch("vm-u", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
            assert_eq!(by_hand.mark("vm-u").await, mark.as_str().map(str::to_owned), "{account:?}");
        }
    }
}

#[tokio::test]
async fn a_reserved_label_cannot_be_changed() {
    let by_hand = ByHand::new("kv-label").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), running(&by_hand.node, true)).await;
    let sentence = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited";
    assert_eq!(
        patch(&by_hand, json!({ "metadata": { "labels": { "kubevirt.io/nodeName": "other" } } })).await,
        Err(refused("virtualmachineinstances-update-validator", sentence))
    );
    patch(&by_hand, json!({ "metadata": { "labels": { "team": "shop" } } })).await.unwrap();
}

#[tokio::test]
async fn a_reserved_label_cannot_be_there_from_the_start() {
    let by_hand = ByHand::new("kv-new-label").await;
    let vmi = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": { "name": "vm-u", "labels": { "kubevirt.io/nodeName": "node" } },
        "spec": { "domain": { "devices": {} } },
    });
    let vmi = serde_json::from_value(vmi).unwrap();
    let api = by_hand.objects(&by_hand.client, "VirtualMachineInstance");
    let error = api.create(&PostParams::default(), &vmi).await.unwrap_err();
    let sentence = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited";
    assert_eq!(refusal(&error), refused("virtualmachineinstances-create-validator", sentence));
}

#[tokio::test]
async fn the_spec_cannot_be_changed() {
    let by_hand = ByHand::new("kv-spec").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), running(&by_hand.node, true)).await;
    assert_eq!(
        patch(&by_hand, json!({ "spec": { "evictionStrategy": "None" } })).await,
        Err(refused("virtualmachineinstances-update-validator", "update of VMI object is restricted"))
    );
}
