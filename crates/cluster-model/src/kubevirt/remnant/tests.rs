use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::{ObjectBuilder, hotplug, instance, launcher, migration, virtualization};

/// What is left on n1, in words.
fn left(objects: &[ObjectBuilder]) -> Vec<String> {
    match whats_left(&"n1".into(), &virtualization(objects)) {
        NodeVerdict::Empty => Vec::new(),
        NodeVerdict::Holds(remnants) => {
            assert!(!remnants.is_empty(), "an empty list would be no verdict");
            remnants.iter().map(ToString::to_string).collect()
        }
    }
}

/// Reference 7, 13: no VMI has nodeName=node, no launcher on it is unfinished, no mark names it; 7, 8: incoming
/// migrations.
#[test]
fn a_node_is_empty_only_when_nothing_names_it() {
    let here = instance("shop", "db").on("n1");
    let away = instance("shop", "db").on("n2");
    let pod = launcher("shop", "db", "a", "n1");
    let target = launcher("shop", "db", "b", "n1").target_of("uid-m");
    let moving = migration("shop", "m", "db").phase("Running");
    let heading = json!({"migrationUid": "uid-m", "sourceNode": "n2", "targetNode": "n1", "targetPod": "other"});
    let arrived = json!({"migrationUid": "uid-m", "sourceNode": "n1", "sourcePod": "virt-launcher-db-a",
                         "targetNode": "n2", "completed": true});
    let disk = hotplug("shop", "hp-volume-a", "virt-launcher-db-a", "uid-db-a", "n1");
    let on_it = "VirtualMachineInstance shop/db is on it";
    let incoming = "VirtualMachineInstance shop/db is migrating to it";
    let marked = "VirtualMachineInstance shop/db is still marked for its evacuation";
    let cases: Vec<(&str, Vec<ObjectBuilder>, Vec<&str>)> = vec![
        ("nothing there", vec![away.clone(), launcher("shop", "db", "a", "n2")], vec![]),
        ("a guest, said once", vec![here.clone(), pod.clone()], vec![on_it]),
        ("a guest by its label alone", vec![instance("shop", "db").label("kubevirt.io/nodeName", "n1")], vec![on_it]),
        ("a guest that is being marked away", vec![here.marked("n1"), pod.clone()], vec![on_it, marked]),
        ("a guest that is gone and still marked", vec![away.marked("n1")], vec![marked]),
        // Reference 8, step 10: the label goes last.
        ("a guest that has just arrived", vec![here.label("kubevirt.io/migrationTargetNodeName", "n1")], vec![on_it]),
        ("a mark of another node", vec![away.marked("n3")], vec![]),
        // OBSERVED (a): the source pod stays as Succeeded, until evicted or deleted.
        ("a source that ended", vec![away.clone(), pod.phase("Succeeded")], vec![]),
        // OBSERVED, #18320 (w).
        (
            "a source that was left running",
            vec![away.set("/status/migrationState", arrived), pod.clone()],
            vec!["pod shop/virt-launcher-db-a was left running by a migration that is over"],
        ),
        (
            "a guest on its way here, by its target pod",
            vec![away.clone(), target, moving.clone()],
            vec!["pod shop/virt-launcher-db-b is where the guest is migrating to"],
        ),
        (
            "a guest on its way here, by its state",
            vec![away.set("/status/migrationState", heading), moving],
            vec![incoming],
        ),
        (
            "a guest on its way here, by its label",
            vec![away.label("kubevirt.io/migrationTargetNodeName", "n1")],
            vec![incoming],
        ),
        (
            "a guest that gets its node",
            vec![instance("shop", "db").phase("Scheduling"), pod.clone()],
            vec!["pod shop/virt-launcher-db-a holds the guest"],
        ),
        (
            "a pod of nobody",
            vec![pod.clone()],
            vec!["pod shop/virt-launcher-db-a belongs to no virtual machine that exists"],
        ),
        // OBSERVED (j): the object of a standalone guest stays, phase Succeeded.
        ("a guest that has ended", vec![here.phase("Succeeded").marked("n1"), pod.phase("Succeeded")], vec![]),
        (
            "a guest that has ended, its pod has not",
            vec![here.phase("Failed"), pod.clone()],
            vec!["pod shop/virt-launcher-db-a holds the guest"],
        ),
        (
            "an ended guest of the name of a running pod's",
            vec![here.set("/metadata/uid", "uid-2"), pod.clone()],
            vec![on_it, "pod shop/virt-launcher-db-a belongs to no virtual machine that exists"],
        ),
        ("a disk without guest", vec![disk], vec![]),
        (
            "a pod that provisions",
            vec![pod.annotation("kubevirt.io/ephemeral-provisioning", "true")],
            vec!["pod shop/virt-launcher-db-a provisions a volume"],
        ),
    ];
    for (name, objects, expected) in cases {
        assert_eq!(left(&objects), expected, "{name}");
    }
}
