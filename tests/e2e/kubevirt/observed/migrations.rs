//! Which migrations may be created (OBSERVED, "Confirmed" 3.4).

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::refusal;

/// Creates a migration of `vm-u` as somebody; returns it, or the code and the message of the refusal.
async fn create(by_hand: &ByHand, client: &kube::Client, name: &str, spec: Value) -> Result<Value, (u16, String)> {
    let migration = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": { "name": name },
        "spec": spec,
    });
    let migration = serde_json::from_value(migration).unwrap();
    let api = by_hand.objects(client, "VirtualMachineInstanceMigration");
    let created = api.create(&PostParams::default(), &migration).await;
    created.map(|migration| serde_json::to_value(migration).unwrap()).map_err(|error| refusal(&error))
}

async fn create_plain(by_hand: &ByHand, name: &str) -> Result<Value, (u16, String)> {
    create(by_hand, &by_hand.client, name, json!({ "vmiName": "vm-u" })).await
}

fn refused(code: u16, sentence: &str) -> Result<Value, (u16, String)> {
    Err((code, format!("admission webhook \"migration-create-validator.kubevirt.io\" denied the request: {sentence}")))
}

#[tokio::test]
async fn a_new_one_gets_its_label_and_finalizer() {
    let by_hand = ByHand::new("kv-vmim").await;
    by_hand.migratable("vm-u", "None").await;
    let migration = create_plain(&by_hand, "first").await.unwrap();
    assert_eq!(migration["metadata"]["labels"], json!({ "kubevirt.io/vmi-name": "vm-u" }));
    assert_eq!(migration["metadata"]["finalizers"], json!(["kubevirt.io/migrationJobFinalize"]));
}

#[tokio::test]
async fn a_second_one_is_refused_until_the_first_is_final() {
    let by_hand = ByHand::new("kv-vmim-second").await;
    by_hand.migratable("vm-u", "LiveMigrate").await;
    let first = create_plain(&by_hand, "first").await.unwrap();
    let uid = first["metadata"]["uid"].as_str().unwrap();
    let sentence = format!(
        "in-flight migration detected. Active migration job ({uid}) is currently already in progress for VMI vm-u."
    );
    assert_eq!(create_plain(&by_hand, "second").await, refused(400, &sentence));
    let failed = Patch::Merge(json!({ "status": { "phase": "Failed" } }));
    let api = by_hand.objects(&by_hand.controller, "VirtualMachineInstanceMigration");
    api.patch_status("first", &PatchParams::default(), &failed).await.unwrap();
    create_plain(&by_hand, "second").await.unwrap();
}

#[tokio::test]
async fn of_a_vmi_that_is_not_migratable_is_refused() {
    let by_hand = ByHand::new("kv-vmim-disks").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), running(&by_hand.node, false)).await;
    let sentence =
        "Cannot migrate VMI, Reason: DisksNotLiveMigratable, Message: cannot migrate VMI: PVC disk is not shared";
    assert_eq!(create_plain(&by_hand, "first").await, refused(400, sentence));
}

#[tokio::test]
async fn of_a_vmi_that_boots_is_accepted() {
    let by_hand = ByHand::new("kv-vmim-boot").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), json!({ "phase": "Scheduled" })).await;
    create_plain(&by_hand, "first").await.unwrap();
}

#[tokio::test]
async fn of_an_ended_vmi_is_refused() {
    let by_hand = ByHand::new("kv-vmim-ended").await;
    by_hand.vmi("vm-u", Some("LiveMigrate"), json!({ "phase": "Succeeded" })).await;
    assert_eq!(create_plain(&by_hand, "first").await, refused(400, "Cannot migrate VMI in finalized state."));
}

#[tokio::test]
async fn of_no_vmi_is_refused() {
    let by_hand = ByHand::new("kv-vmim-missing").await;
    let sentence = format!("the VMI {} does not exist", by_hand.quoted("vm-u"));
    assert_eq!(create_plain(&by_hand, "first").await, refused(400, &sentence));
}

#[tokio::test]
async fn only_virt_controller_gives_a_priority() {
    let by_hand = ByHand::new("kv-vmim-priority").await;
    by_hand.migratable("vm-u", "LiveMigrate").await;
    let spec = json!({ "vmiName": "vm-u", "priority": "system-critical" });
    assert_eq!(
        create(&by_hand, &by_hand.client, "first", spec.clone()).await,
        refused(422, "Migration priority queue, only virt-controller is allowed to set priority field")
    );
    create(&by_hand, &by_hand.controller, "first", spec).await.unwrap();
}

#[tokio::test]
async fn the_spec_cannot_be_changed() {
    let by_hand = ByHand::new("kv-vmim-spec").await;
    by_hand.migratable("vm-u", "LiveMigrate").await;
    create_plain(&by_hand, "first").await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "vmiName": "other" } }));
    let api = by_hand.objects(&by_hand.client, "VirtualMachineInstanceMigration");
    let error = api.patch("first", &PatchParams::default(), &patch).await.unwrap_err();
    let (code, message) = refusal(&error);
    assert_eq!(code, 422);
    assert!(message.ends_with("update of Migration object's spec is restricted"), "{message}");
}
