//! What a node's virt-handler says of it, and what follows if it is silent (reference 5).

use e2e::kubevirt::machine;
use e2e::wait::{self, DEADLINE};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::runtime::watcher::Config;

use super::two_nodes;

#[tokio::test]
async fn node_without_a_heartbeat_takes_no_guests() {
    let (ns, a, b) = two_nodes("kt-heart").await;
    let until = async |node: &str, description: &str, schedulable: &str| {
        let config = Config::default().fields(&format!("metadata.name={node}"));
        let is_so = |nodes: &[Node]| {
            nodes.first().is_some_and(|node| {
                node.labels().get("kubevirt.io/schedulable").is_some_and(|label| label == schedulable)
            })
        };
        wait::until(ns.nodes(), config, description, DEADLINE, is_so).await.remove(0)
    };
    let alive = until(&a, "it takes guests", "true").await;
    assert!(alive.annotations().contains_key("kubevirt.io/heartbeat"));
    assert!(alive.labels().contains_key("host-model-cpu.node.kubevirt.io/Cascadelake-Server"));

    machine::kill_virt_handler(&ns, &a, true).await;
    until(&a, "its silence is noticed", "false").await;
    let vmi = machine::virtual_machine(&ns, "vm").on(&a).running().await;
    assert_eq!(vmi["status"]["nodeName"], b);
    machine::kill_virt_handler(&ns, &a, false).await;
    until(&a, "it takes guests again", "true").await;
}

#[tokio::test]
async fn node_without_a_virt_handler_is_no_node_for_guests() {
    let (ns, _, _) = two_nodes("kt-plain").await;
    let plain = ns.node("plain").create().await;
    for name in ["one", "two"] {
        machine::virtual_machine(&ns, name).on(&plain).running().await;
    }
    let plain = ns.nodes().get(&plain).await.unwrap();
    assert!(plain.labels().keys().all(|label| !label.contains("kubevirt.io")), "{:?}", plain.labels());
    let vmis = machine::until(&ns, "VirtualMachineInstance", "both run", |vmis| vmis.len() == 2).await;
    assert!(vmis.iter().all(|vmi| vmi["status"]["nodeName"] != plain.name_any()));
}
