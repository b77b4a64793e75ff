//! OBSERVED, corrections 4: who may cancel an evacuation.

use std::time::Duration;

use e2e::eventually;
use serde_json::json;

use super::by_hand::ByHand;
use super::wire::{Answer, JSON_OR_ANYTHING};

/// A role that has just been bound is known to the API server after a moment.
const ROLE_DEADLINE: Duration = Duration::from_secs(20);

/// Makes a role with `update` on subresources, and binds it to a user.
async fn grant(by_hand: &ByHand, user: &str, name: &str, resources: &[&str]) {
    by_hand
        .ns
        .create(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": name },
            "rules": [{ "apiGroups": ["subresources.kubevirt.io"], "resources": resources, "verbs": ["update"] }],
        }))
        .await;
    by_hand
        .ns
        .create(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        }))
        .await;
}

#[tokio::test]
async fn a_cancel_needs_both_names_of_the_subresource() {
    let by_hand = ByHand::new("kv-rights").await;
    by_hand.migratable("vm-h", "LiveMigrate").await;
    let user = by_hand.ns.limited_user();
    let client = by_hand.ns.control_plane().forwarding_client(&user).await;
    let body = json!({ "evacuationNodeName": by_hand.node }).to_string();
    let cancel = || by_hand.put_as(&client, "virtualmachineinstances/vm-h/evacuate/cancel", JSON_OR_ANYTHING, &body);

    assert_eq!(cancel().await.code, 403, "the API server asks for virtualmachineinstances/evacuate");
    grant(&by_hand, &user.name, "first-part", &["virtualmachineinstances/evacuate"]).await;
    eventually("the API server lets the request through", ROLE_DEADLINE, || async { cancel().await.code != 403 }).await;
    assert_eq!(cancel().await, Answer::empty(401), "virt-api asks for virtualmachineinstances/evacuate/cancel");
    grant(&by_hand, &user.name, "whole", &["virtualmachineinstances/evacuate/cancel"]).await;
    eventually("virt-api lets the request through", ROLE_DEADLINE, || async { cancel().await.code != 401 }).await;
    assert_eq!(cancel().await, Answer::empty(200));
}
