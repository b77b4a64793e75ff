use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::{ObjectBuilder, hotplug, instance, launcher, virtualization};
use crate::kubevirt::classify_reply;

const LAUNCHER: &str = r#"admission webhook "virt-launcher-eviction-interceptor.kubevirt.io" denied the request: "#;
const HOTPLUG: &str = r#"admission webhook "hotplug-pod-eviction-interceptor.kubevirt.io" denied the request: "#;
const TRIGGERED: &str = r#"Eviction triggered evacuation of VMI "default/vm-a""#;

/// Predicts for the only launcher pod among the objects.
fn predict(objects: &[ObjectBuilder]) -> Prediction {
    let cluster = virtualization(objects);
    let launcher = cluster.launchers().next().unwrap();
    predicted_webhook_answer(PodSeen::Launcher(launcher), &cluster)
}

/// A row: its name, the objects, what is predicted, and the refusal's words.
type Row<'a> = (&'a str, Vec<ObjectBuilder>, WebhookCase, &'a str);

fn check(rows: Vec<Row<'_>>, side_effect: &SideEffect) {
    for (name, objects, case, words) in rows {
        let message = (!words.is_empty()).then(|| format!("{LAUNCHER}{words}"));
        assert_eq!(predict(&objects), Prediction { case, message, side_effect: side_effect.clone() }, "{name}");
    }
}

fn guest() -> ObjectBuilder {
    instance("default", "vm-a").on("node1")
}

/// Its pod runs and it has no node yet: OBSERVED, corrections 5.
fn booting() -> ObjectBuilder {
    instance("default", "vm-a").phase("Scheduling")
}

fn pod_on(node: &str) -> ObjectBuilder {
    launcher("default", "vm-a", "x", node)
}

/// Cases 1 and 4 of the table: the eviction passes, and the pod terminates.
#[test]
fn what_the_webhook_lets_pass() {
    use WebhookCase::{NotGuarded, ShutsDown};
    let live = guest().strategy("LiveMigrate").migratable();
    let possible = "LiveMigrateIfPossible";
    let pod = pod_on("node1");
    let rows = vec![
        // Case 1; OBSERVED, granted: finished launcher pods.
        ("ended well", vec![live.clone(), pod.phase("Succeeded")], NotGuarded, ""),
        ("ended badly", vec![live.clone(), pod.phase("Failed")], NotGuarded, ""),
        ("no annotation", vec![live, pod.annotation("kubevirt.io/domain", "")], NotGuarded, ""),
        // Case 4; OBSERVED (c), unset.
        ("None", vec![guest().strategy("None").migratable(), pod.clone()], ShutsDown, ""),
        ("unset", vec![guest().migratable(), pod.clone()], ShutsDown, ""),
        // OBSERVED (d), corrections 6.
        ("IfPossible, cannot", vec![guest().strategy(possible).not_migratable(), pod.clone()], ShutsDown, ""),
        ("IfPossible, booting", vec![booting().strategy(possible), pod.clone()], ShutsDown, ""),
        // Reference 2: case 4 comes before the mark.
        ("marked", vec![guest().strategy(possible).not_migratable().marked("node1"), pod], ShutsDown, ""),
        // OBSERVED (m): the target of a migrating guest.
        ("target", vec![guest().strategy("None").migratable(), pod_on("node2")], ShutsDown, ""),
    ];
    check(rows, &SideEffect::PodTerminates);
}

/// Cases 2, 3, 5 and 6 of the table: refused, and nothing changes.
#[test]
fn what_the_webhook_refuses_without_effect() {
    use WebhookCase::{InProgress, InstanceMissing, NotMigratable, NotTheGuestsPod};
    let missing = r#"kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io "vm-a" not found"#;
    let cannot = "VMI vm-a is configured with an eviction strategy but is not live-migratable";
    let progress = format!("Evacuation in progress: {TRIGGERED}");
    let target = "Eviction request for target Pod";
    let live = guest().strategy("LiveMigrate");
    let marked = live.migratable().marked("node1");
    let possible = guest().strategy("LiveMigrateIfPossible").migratable().marked("node1");
    let external = guest().strategy("External").marked("node1");
    let pod = pod_on("node1");
    let rows = vec![
        // Case 2; OBSERVED, VMI object missing.
        ("no instance", vec![pod.clone()], InstanceMissing, missing),
        // Case 3; OBSERVED (b), same on every POST.
        ("LiveMigrate, cannot", vec![live.not_migratable(), pod.clone()], NotMigratable, cannot),
        (
            "LiveMigrate, cannot, marked",
            vec![live.not_migratable().marked("node1"), pod.clone()],
            NotMigratable,
            cannot,
        ),
        // OBSERVED, corrections 6.
        ("LiveMigrate, booting", vec![booting().strategy("LiveMigrate"), pod.clone()], NotMigratable, cannot),
        // Case 5; OBSERVED, marked: also for the target pod.
        ("LiveMigrate, marked", vec![marked.clone(), pod.clone()], InProgress, progress.as_str()),
        ("LiveMigrate, marked, target", vec![marked, pod_on("node2")], InProgress, &progress),
        ("IfPossible, marked", vec![possible, pod.clone()], InProgress, &progress),
        ("External, marked", vec![external, pod.clone()], InProgress, &progress),
        // Case 6; OBSERVED: target, stale source, and External before it has a node (corrections 5).
        ("LiveMigrate, not on its node", vec![live.migratable(), pod_on("node2")], NotTheGuestsPod, target),
        ("External, booting", vec![booting().strategy("External"), pod], NotTheGuestsPod, target),
    ];
    check(rows, &SideEffect::Nothing);
}

/// Case 7 of the table; OBSERVED (a), (d2), (e): refused, and marked.
#[test]
fn what_the_webhook_marks() {
    let pod = pod_on("node1");
    let row = |name, guest: ObjectBuilder| (name, vec![guest, pod.clone()], WebhookCase::Triggered, TRIGGERED);
    let rows = vec![
        row("LiveMigrate", guest().strategy("LiveMigrate").migratable()),
        row("IfPossible", guest().strategy("LiveMigrateIfPossible").migratable()),
        row("External", guest().strategy("External").migratable()),
        row("External, cannot", guest().strategy("External").not_migratable()),
    ];
    check(rows, &SideEffect::Marks("node1".into()));
}

/// Case 9; OBSERVED, hotplug pod: the literal body.
#[test]
fn a_disk_of_a_running_guest_is_refused() {
    let guest = instance("default", "vm-f").on("node1");
    let pod = launcher("default", "vm-f", "x", "node1");
    let disk = hotplug("default", "hp-volume-abc", "virt-launcher-vm-f-x", "uid-vm-f-x", "node1");
    let predict = |objects: &[ObjectBuilder]| {
        let cluster = virtualization(objects);
        let node = NodeName::from("node1");
        let disk = cluster.hotplugs_on(&node).next().unwrap();
        predicted_webhook_answer(PodSeen::Hotplug(disk), &cluster)
    };
    let words = "cannot evict hotplug pod: hp-volume-abc associated with running vmi: vm-f in namespace default";
    let answer = predict(&[guest.clone(), pod.clone(), disk.clone()]);
    assert_eq!((answer.case, answer.message), (WebhookCase::DiskAttached, Some(format!("{HOTPLUG}{words}"))));
    assert_eq!(answer.side_effect, SideEffect::Nothing);
    assert_eq!(predict(&[guest, pod.phase("Succeeded"), disk.clone()]).case, WebhookCase::NotGuarded);
    assert_eq!(predict(&[pod, disk.clone()]).case, WebhookCase::NotGuarded);
    assert_eq!(predict(&[disk]).case, WebhookCase::NotGuarded);
}

/// The words that are predicted are the words that are understood.
#[test]
fn a_prediction_agrees_with_its_own_answer_and_no_other() {
    let guest = instance("default", "vm-a").on("node1");
    let pod = launcher("default", "vm-a", "x", "node1");
    let live = guest.strategy("LiveMigrate");
    let predictions = [
        predict(std::slice::from_ref(&pod)),
        predict(&[live.not_migratable(), pod.clone()]),
        predict(&[live.migratable().marked("node1"), pod.clone()]),
        predict(&[live.migratable(), pod.clone()]),
        predict(&[live.migratable(), launcher("default", "vm-a", "x", "node2")]),
        predict(&[guest.strategy("None"), pod]),
    ];
    let answers: Vec<_> = predictions
        .iter()
        .map(|prediction| {
            let message = prediction.message.as_ref()?;
            let status: Status = serde_json::from_value(json!({"code": 429, "message": message})).unwrap();
            Some(classify_reply(&status))
        })
        .collect();
    for (row, prediction) in predictions.iter().enumerate() {
        for (column, answer) in answers.iter().enumerate() {
            assert_eq!(prediction.agrees_with(answer.as_ref()), row == column, "{prediction:?} and {answer:?}");
        }
        let down = VirtualMachineReply::WebhookDown { message: "refused".into() };
        assert!(!prediction.agrees_with(Some(&down)), "{prediction:?}");
    }
    // OBSERVED, user PDB and two PDBs, strategy None: the budgets are asked after the webhook.
    let budget = VirtualMachineReply::Other(EvictionReply::ManyBudgets);
    let agreeing: Vec<_> = predictions.iter().filter(|prediction| prediction.agrees_with(Some(&budget))).collect();
    assert_eq!(agreeing.iter().map(|prediction| prediction.case).collect::<Vec<_>>(), [WebhookCase::ShutsDown]);
}
