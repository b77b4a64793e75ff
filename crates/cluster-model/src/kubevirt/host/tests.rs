use crate::api::core::Node;

use super::*;
use crate::fixtures::at;
use crate::fixtures::kubevirt::virtual_node;

fn read(builder: &crate::fixtures::kubevirt::ObjectBuilder) -> Host {
    let node: Node = serde_json::from_value(builder.build()).unwrap();
    Host::from(&node)
}

/// Reference 5: stale after five minutes, a missing heartbeat counts as answering.
#[test]
fn a_heartbeat_is_stale_after_five_minutes() {
    let host = read(&virtual_node("n1", "1970-01-01T00:10:00Z"));
    assert_eq!(host.schedulable, Some(true));
    assert_eq!(host.heartbeat_age(at(660)), Some(Duration::from_secs(60)));
    assert!(host.is_responsive(at(900)) && !host.is_responsive(at(901)));
    assert_eq!(host.heartbeat_age(at(500)), Some(Duration::ZERO), "a clock that is ahead");
    let silent = read(&virtual_node("n1", "").label("kubevirt.io/schedulable", "false"));
    assert_eq!((silent.heartbeat_age(at(900)), silent.is_responsive(at(900))), (None, true));
    assert_eq!(silent.schedulable, Some(false));
}

#[test]
fn the_drain_taint_is_seen() {
    let taints = serde_json::json!([{"key": "kubevirt.io/drain", "effect": "NoSchedule"}]);
    let host = read(&virtual_node("n1", "").set("/spec/taints", taints));
    assert!(host.has_taint("kubevirt.io/drain") && !host.has_taint("example.com/drain"));
}
