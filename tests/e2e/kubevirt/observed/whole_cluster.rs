//! What changes for all of a cluster at once, each on a control plane of its own: virt-api down, another version,
//! another default.

use e2e::kubevirt::Setup;
use e2e::{ControlPlane, KubeVirt, Kubectl};
use http::Method;
use serde_json::{Value, json};

use super::by_hand::{ByHand, running};
use super::wire::{Answer, JSON_OR_ANYTHING, send};

async fn alone() -> KubeVirt {
    KubeVirt::install(&ControlPlane::start(), Setup::only_virt_api()).await
}

#[tokio::test]
async fn without_virt_api_no_launcher_can_be_evicted() {
    let kubevirt = alone().await;
    let by_hand = ByHand::on(&kubevirt, "kv-down").await;
    by_hand.migratable("vm-a", "LiveMigrate").await;
    by_hand.vmi("vm-c", Some("None"), running(&by_hand.node, true)).await;
    let protected = by_hand.launcher("vm-a", &by_hand.node).await;
    let unprotected = by_hand.launcher("vm-c", &by_hand.node).await;
    by_hand.ns.pod("plain").on_node("node1").create().await;

    kubevirt.stop_virt_api().await;
    let address = kubevirt.virt_api_address();
    let cause = format!(
        "failed calling webhook \"virt-launcher-eviction-interceptor.kubevirt.io\": failed to call webhook: \
         Post \"https://{address}/pod-eviction-validate?timeout=10s\": dial tcp {address}: connect: connection refused"
    );
    let message = json!(format!("Internal error occurred: {cause}"));
    let cause = json!(cause);
    let expected = Answer::json(
        500,
        &format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{message},"reason":"InternalError","details":{{"causes":[{{"message":{cause}}}]}},"code":500}}"#
        ),
    );
    for pod in [&protected, &unprotected] {
        assert_eq!(by_hand.evict(pod).await, expected);
        let dry_run = by_hand.evict_with(pod, "?dryRun=All", json!({ "metadata": { "name": pod } })).await;
        assert_eq!(dry_run, expected, "a dry run is no better");
        assert!(by_hand.is_untouched(pod).await);
    }
    assert_eq!(by_hand.evict("plain").await, Answer::granted(), "others are no affair of virt-api's");
    let drain = ["drain", &by_hand.node, "--ignore-daemonsets", "--force"];
    let drain = Kubectl::run(&by_hand.ns, drain).await.expect_code(1);
    assert!(drain.stderr.contains("connect: connection refused"), "{drain}");
    let node = by_hand.ns.nodes().get(&by_hand.node).await.unwrap();
    assert_eq!(node.spec.unwrap().unschedulable, Some(true), "kubectl drain leaves the node cordoned");
    let discovery = discover(&by_hand).await;
    assert_eq!((discovery.code, discovery.content_type.as_str()), (503, "text/plain; charset=utf-8"));

    kubevirt.start_virt_api().await;
    assert_eq!(by_hand.evict(&unprotected).await, Answer::granted());
    assert_eq!(by_hand.evict(&protected).await.code, 429);
    assert_eq!(discover(&by_hand).await.code, 200);
}

async fn discover(by_hand: &ByHand) -> Answer {
    send(&by_hand.client, Method::GET, "/apis/subresources.kubevirt.io/v1", JSON_OR_ANYTHING, "").await
}

/// Returns the subresources that are offered and whose name contains `part`.
async fn offered(by_hand: &ByHand, part: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&discover(by_hand).await.body).unwrap();
    let names = list["resources"].as_array().unwrap().iter().map(|resource| resource["name"].as_str().unwrap());
    names.filter(|name| name.contains(part)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_settings_are_those_of_the_kubevirt_object() {
    let kubevirt = alone().await;
    let by_hand = ByHand::on(&kubevirt, "kv-settings").await;

    by_hand.vmi("before", None, running(&by_hand.node, true)).await;
    kubevirt.configure(json!({ "evictionStrategy": "LiveMigrate" })).await;
    let after = by_hand.vmi("after", None, running(&by_hand.node, true)).await;
    assert_eq!(after["spec"]["evictionStrategy"], "LiveMigrate");
    // Reference 1.1: copied when the VMI was made, and frozen.
    assert_eq!(by_hand.get("VirtualMachineInstance", "before").await["spec"]["evictionStrategy"], "None");
    let pod = by_hand.launcher("after", &by_hand.node).await;
    assert_eq!(by_hand.evict(&pod).await.code, 429);

    let both = ["virtualmachines/evacuate/cancel", "virtualmachineinstances/evacuate/cancel"];
    assert_eq!(offered(&by_hand, "evacuate").await, both);
    kubevirt.set_version("v1.6.2").await;
    assert_eq!(offered(&by_hand, "evacuate").await, [] as [&str; 0]);
    assert_eq!(offered(&by_hand, "restart").await, ["virtualmachines/restart"]);
    let body = json!({ "evacuationNodeName": by_hand.node }).to_string();
    let answer = by_hand.put("virtualmachineinstances/after/evacuate/cancel", &body).await;
    assert_eq!(answer, Answer::plain(404, "404: Page Not Found"));
    assert_eq!(by_hand.mark("after").await, Some(by_hand.node.clone()));
    kubevirt.set_version("v1.7.0").await;
    assert_eq!(by_hand.put("virtualmachineinstances/after/evacuate/cancel", &body).await, Answer::empty(200));
}
