//! OBSERVED (f): a dry run, in whichever of its three forms, is answered as the real request would be and changes
//! nothing.

use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::Answer;

async fn leaves_no_trace(strategy: Option<&str>, is_migratable: bool, expected: impl FnOnce(&ByHand) -> Answer) {
    let by_hand = ByHand::new("kv-dry-run").await;
    let before = by_hand.vmi("vm-k", strategy, running(&by_hand.node, is_migratable)).await;
    let pod = by_hand.launcher("vm-k", &by_hand.node).await;
    let expected = expected(&by_hand);
    let metadata = json!({ "name": pod });
    let plain = json!({ "metadata": metadata });
    let with_options = json!({ "metadata": metadata, "deleteOptions": { "dryRun": ["All"] } });
    for (query, body) in [("?dryRun=All", plain), ("", with_options.clone()), ("?dryRun=All", with_options)] {
        let form = format!("{query} {body}");
        assert_eq!(by_hand.evict_with(&pod, query, body).await, expected, "{form}");
        let after: Value = by_hand.get("VirtualMachineInstance", "vm-k").await;
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{form}");
        assert!(by_hand.is_untouched(&pod).await, "{form}");
    }
}

fn triggered(by_hand: &ByHand) -> Answer {
    Answer::refused(&format!("Eviction triggered evacuation of VMI {}", by_hand.quoted("vm-k")))
}

#[tokio::test]
async fn live_migrate() {
    leaves_no_trace(Some("LiveMigrate"), true, triggered).await;
}

#[tokio::test]
async fn live_migrate_not_migratable() {
    leaves_no_trace(Some("LiveMigrate"), false, |_| {
        Answer::refused("VMI vm-k is configured with an eviction strategy but is not live-migratable")
    })
    .await;
}

#[tokio::test]
async fn none() {
    leaves_no_trace(None, true, |_| Answer::granted()).await;
}

#[tokio::test]
async fn if_possible_not_migratable() {
    leaves_no_trace(Some("LiveMigrateIfPossible"), false, |_| Answer::granted()).await;
}

#[tokio::test]
async fn if_possible_migratable() {
    leaves_no_trace(Some("LiveMigrateIfPossible"), true, triggered).await;
}

#[tokio::test]
async fn external() {
    leaves_no_trace(Some("External"), true, triggered).await;
}
