use serde_json::{Value, json};

use super::*;
use crate::fixtures::kubevirt::{self as objects, ObjectBuilder};
use crate::fixtures::{self, at};
use crate::snapshot::Change;

const HEARD: &str = "1970-01-01T00:10:00Z";

fn host(name: &str, labels: &[&str], memory: &str) -> ObjectBuilder {
    let node =
        objects::virtual_node(name, HEARD).set("/status", json!({"allocatable": {"memory": memory, "pods": "110"}}));
    labels.iter().fold(node, |node, label| node.label(label, "true"))
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
fn guest(name: &str, memory: &str, spec: Value) -> [ObjectBuilder; 2] {
    let mut pod = json!({"nodeName": "old", "containers": [
        {"name": "compute", "resources": {"requests": {"memory": memory}}}]});
    pod.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    [
        objects::instance("shop", name).on("old").phase("Running").migratable(),
        objects::launcher("shop", name, "0", "old").set("/spec", pod),
    ]
}

fn judge(hosts: &[ObjectBuilder], guests: &[[ObjectBuilder; 2]], taken: &[(&str, Value)]) -> Vec<String> {
    let mut cluster = ClusterSnapshot::default();
    for object in guests.iter().flatten() {
        cluster.apply(Change::Virtual(Box::new(object.change().unwrap())));
    }
    for object in hosts {
        let node: crate::api::core::Node = serde_json::from_value(object.build()).unwrap();
        let host = Host::from(&node);
        let mut node = fixtures::node(&host.name.0);
        node.unschedulable = host.name.0.contains("cordoned");
        node.ready = !host.name.0.contains("down");
        cluster.apply(Change::Node(Box::new(node)));
        cluster.apply(Change::Virtual(Box::new(super::super::VirtualChange::Host(host))));
    }
    let taken: BTreeMap<_, _> = taken
        .iter()
        .map(|(node, amounts)| {
            let amounts: BTreeMap<_, _> = serde_json::from_value(amounts.clone()).unwrap();
            (NodeName::from(*node), Resources::from(&amounts))
        })
        .collect();
    let keys: Vec<_> = guests
        .iter()
        .map(|guest| objects::virtualization(guest).instances().next().unwrap().metadata.key.clone())
        .collect();
    let leaving = BTreeSet::from([NodeName::from("old")]);
    let found = prospects(&keys, &leaving, &cluster, &taken, at(660));
    let say = |key: &ObjectKey| match &found[key] {
        Prospect::Fits(node) => format!("to {node}"),
        Prospect::Competes => "competes".to_owned(),
        Prospect::Nowhere(why) => {
            why.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ")
        }
    };
    keys.iter().map(say).collect()
}

#[test]
fn each_node_has_its_reason() {
    let hosts = [
        host("old", &[], "8Gi"),
        host("new", &[], "8Gi"),
        host("cordoned-1", &[], "8Gi"),
        host("cordoned-2", &[], "8Gi"),
        host("down", &[], "8Gi"),
        objects::virtual_node("silent", "1970-01-01T00:01:00Z"),
        objects::virtual_node("closed", HEARD).label("kubevirt.io/schedulable", "false"),
    ];
    assert_eq!(judge(&hosts, &[guest("a", "4Gi", json!({}))], &[]), ["to new"]);
    let full = [("new", json!({"memory": "5Gi"}))];
    assert_eq!(
        judge(&hosts, &[guest("a", "4Gi", json!({}))], &full),
        [
            "1 is not Ready, 2 is cordoned, 1 takes no virtual machines, 1 has a silent virt-handler, 1 has no room (memory)"
        ]
    );
}

#[test]
fn room_for_each_is_not_room_for_all() {
    let hosts = [host("old", &[], "8Gi"), host("new", &[], "8Gi"), host("small", &[], "2Gi")];
    let guests = [
        guest("a", "2Gi", json!({})),
        guest("b", "6Gi", json!({})),
        guest("c", "2Gi", json!({})),
        guest("d", "2Gi", json!({})),
    ];
    assert_eq!(judge(&hosts, &guests, &[]), ["to new", "to new", "to small", "competes"]);
}

#[test]
fn a_guest_with_its_hosts_processor_needs_the_same_one() {
    let old = |labels: &[&str]| host("old", labels, "8Gi");
    let labels = ["host-model-cpu.node.kubevirt.io/Skylake", "cpu-vendor.node.kubevirt.io/Intel"];
    let new = |labels: &[&str]| host("new", labels, "8Gi");
    let plain = || [guest("a", "1Gi", json!({}))];
    let model = "cpu-model-migration.node.kubevirt.io/Skylake";
    let vendor = "cpu-vendor.node.kubevirt.io/Intel";
    assert_eq!(judge(&[old(&labels), new(&[model, vendor])], &plain(), &[]), ["to new"]);
    assert_eq!(judge(&[old(&labels), new(&[vendor])], &plain(), &[]), [format!("1 lacks label {model}=true")]);
    assert_eq!(judge(&[old(&labels), new(&[model])], &plain(), &[]), [format!("1 lacks label {vendor}=true")]);
    // A named model, or the model that an earlier migration has fixed, is in the selector already.
    let named = guest("a", "1Gi", json!({"nodeSelector": {"cpu-model.node.kubevirt.io/Haswell": "true"}}));
    let haswell = "cpu-model.node.kubevirt.io/Haswell";
    assert_eq!(judge(&[old(&labels), new(&[haswell, vendor])], &[named], &[]), ["to new"]);
    assert_eq!(judge(&[old(&[]), new(&[])], &plain(), &[]), ["to new"], "nodes without the labels tell nothing");
}
