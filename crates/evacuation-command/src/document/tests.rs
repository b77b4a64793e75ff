use std::time::Duration;

use cluster_model::fixtures::kubevirt::{ObjectBuilder, instance, kubevirt, machine};
use cluster_model::fixtures::{at, node};
use cluster_model::kubevirt::{NonMigratable, Remnant, VmPolicy};
use cluster_model::snapshot::{Change, ClusterSnapshot};
use evacuation::engine::{Input, Moment, RunIdentity};
use evacuation::guests::{GuestRequest, Moves};
use evacuation::plan;
use evacuation::request::DrainRequest;
use evacuation::surge::detach::Circumstances;
use serde_json::{Value, json};

use super::*;

fn cluster(guests: &[ObjectBuilder]) -> ClusterSnapshot {
    let mut cluster = ClusterSnapshot::default();
    for name in ["n1", "n2"] {
        cluster.apply(Change::Node(Box::new(node(name))));
    }
    let owners = [machine("shop", "able", "Always"), machine("shop", "unable", "Always"), kubevirt("v1.9.0")];
    for change in guests.iter().chain(&owners).filter_map(ObjectBuilder::change) {
        cluster.apply(Change::Virtual(Box::new(change)));
    }
    cluster
}

fn able() -> ObjectBuilder {
    instance("shop", "able").on("n1").of_machine().strategy("LiveMigrate").migratable()
}

fn unable() -> ObjectBuilder {
    instance("shop", "unable").on("n1").of_machine().strategy("None").not_migratable()
}

fn request(non_migratable: NonMigratable) -> DrainRequest {
    let policy = VmPolicy { non_migratable, ..VmPolicy::default() };
    let guests = GuestRequest { policy, ..GuestRequest::default() };
    DrainRequest { moves: Moves::GuestsOnly, guests, ..DrainRequest::default() }
}

fn planned(cluster: &ClusterSnapshot, request: &DrainRequest) -> DrainPlan {
    let nodes = ["n1", "n2"].map(NodeName::from);
    plan::build(&nodes, request, cluster, &Circumstances::default(), None, at(600))
}

fn identity() -> ClusterIdentity {
    ClusterIdentity { context: "prod".into(), server: "https://k:6443".into(), user: "ann".into() }
}

fn value(document: &impl Serialize) -> Value {
    serde_json::to_value(document).unwrap()
}

#[test]
fn the_kind_follows_the_subject() {
    let (cluster, identity) = (cluster(&[able()]), identity());
    let plan = planned(&cluster, &request(NonMigratable::Refuse));
    let times = (at(0), at(1));
    for (subject, kinds) in
        [(Subject::Drain, ["DrainPlan", "DrainReport"]), (Subject::Evacuation, ["EvacuationPlan", "EvacuationReport"])]
    {
        let report = ReportDocument::new(subject, &plan, &identity, None, RunResult::Refused, times);
        let documents = [value(&PlanDocument::new(subject, &plan, &identity)), value(&report)];
        assert_eq!(documents.map(|document| document["kind"].clone()), kinds.map(Value::from));
    }
}

/// DESIGN of the contract: the fields of `vms[]`, and what is told of each besides.
#[test]
fn a_plan_has_the_fields_of_the_contract() {
    let (cluster, identity) = (cluster(&[able(), unable()]), identity());
    let plan = planned(&cluster, &request(NonMigratable::Refuse));
    let document = value(&PlanDocument::new(Subject::Evacuation, &plan, &identity));
    let message = "it cannot migrate (DisksNotLiveMigratable): cannot migrate VMI: PVC data is not shared, live \
                   migration requires that all PVCs must be shared (using ReadWriteMany access mode); shut down, it \
                   starts again elsewhere";
    let expected = json!({
        "apiVersion": "handover/v1", "kind": "EvacuationPlan", "verdict": "refused",
        "cluster": {"context": "prod", "server": "https://k:6443", "user": "ann"},
        "nodes": [
            {"name": "n1", "cordoned": false, "pods": []},
            {"name": "n2", "cordoned": false, "pods": []},
        ],
        "vms": [
            {
                "namespace": "shop", "name": "able", "uid": "uid-able", "node": "n1",
                "evictionStrategy": "LiveMigrate", "strategySource": "vmi", "liveMigratable": true,
                "reason": "KubeVirt migrates it when its pod is evicted",
                "owner": {"kind": "VirtualMachine", "name": "able", "runStrategy": "Always"},
                "action": "migrate", "means": "evacuate", "outcome": "migrates",
                "interruption": "none but a short pause at the switch-over", "warnings": [], "remedy": null,
            },
            {
                "namespace": "shop", "name": "unable", "uid": "uid-unable", "node": "n1",
                "evictionStrategy": "None", "strategySource": "vmi", "liveMigratable": false, "reason": message,
                "owner": {"kind": "VirtualMachine", "name": "unable", "runStrategy": "Always"},
                "action": "refuse", "means": "none", "outcome": "blocked",
                "interruption": "none: nothing is done", "warnings": [], "remedy": "--non-migratable=restart",
            },
        ],
        "strayLaunchers": [], "incoming": [], "services": [], "budgets": [], "estimate": null, "capacity": null,
        "refusals": [{
            "node": "n1", "namespace": "shop", "name": "unable", "uid": "uid-unable", "kind": "virtualMachine",
            "message": message, "remedy": "--non-migratable=restart",
        }],
    });
    assert_eq!(document, expected);
}

/// A run that was interrupted at once: how it ended for each virtual machine, and what is left on the nodes.
#[test]
fn a_report_tells_how_it_ended_for_each() {
    let (cluster, identity) = (cluster(&[able(), unable()]), identity());
    let request = request(NonMigratable::Leave);
    let plan = planned(&cluster, &request);
    let mut engine = Engine::drain(&plan, request, Circumstances::default(), RunIdentity::default());
    let now = Moment { wall: at(600), elapsed: Duration::ZERO };
    let turn = engine.on(vec![Input::Interrupted], &cluster, now);
    let mut record = RunRecord::default();
    turn.events.iter().for_each(|event| record.note(event));
    let left = vec![Remnant::Instance(ObjectKey::new("shop", "unable"))];
    record.note(&Event::NodeHolds { node: "n1".into(), remnants: left });
    record.note(&Event::NodeHoldsNoVm { node: "n2".into() });
    assert_eq!(["n1", "n2", "n3"].map(|node| record.holds_no_vm(&node.into())), [false, true, false]);

    let run = Some((&engine, &record));
    let times = (at(600), at(601));
    let report = ReportDocument::new(Subject::Evacuation, &plan, &identity, run, RunResult::Interrupted, times);
    let document = value(&report);

    assert_eq!(
        document["nodes"],
        json!([
            {
                "name": "n1", "cordoned": false, "pods": [], "verdict": "holds",
                "remnants": ["VirtualMachineInstance shop/unable is on it"],
            },
            {"name": "n2", "cordoned": false, "pods": [], "verdict": "empty"},
        ])
    );
    let result = |index: usize| [&document["vms"][index]["name"], &document["vms"][index]["result"]].map(Value::clone);
    assert_eq!(result(0), [json!("able"), json!({"end": "notStarted"})]);
    assert_eq!(result(1), [json!("unable"), json!({"end": "left"})]);
    assert_eq!(document["vms"][0]["action"], "migrate", "the plan's own fields are told again");
    assert_eq!(document.get("vmsFoundLater"), None);
}

/// What came onto the node after the plan was made is no part of it, and is reported all the same.
#[test]
fn a_report_names_what_the_plan_did_not_have() {
    let identity = identity();
    let (before, after) = (cluster(&[able()]), cluster(&[able(), instance("shop", "late").on("n1").migratable()]));
    let request = request(NonMigratable::Refuse);
    let plan = planned(&before, &request);
    let mut engine = Engine::drain(&plan, request, Circumstances::default(), RunIdentity::default());
    let moment = |seconds| Moment { wall: at(600), elapsed: Duration::from_secs(seconds) };
    let mut record = RunRecord::default();
    let turn = engine.on(vec![Input::Woke], &after, moment(0));
    turn.events.iter().for_each(|event| record.note(event));
    let replies = turn.commands.iter().map(|(id, _)| Input::Replied(*id, evacuation::engine::Reply::Done)).collect();
    let turn = engine.on(replies, &after, moment(1));
    turn.events.iter().for_each(|event| record.note(event));

    let run = Some((&engine, &record));
    let times = (at(600), at(601));
    let document = value(&ReportDocument::new(Subject::Evacuation, &plan, &identity, run, RunResult::Stopped, times));

    let found = json!([{"namespace": "shop", "name": "late", "uid": "uid-late", "node": "n1", "result": null}]);
    assert_eq!(document["vmsFoundLater"], found);
    assert_eq!(document["vms"].as_array().map(Vec::len), Some(1));
}
