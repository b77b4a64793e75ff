use std::collections::BTreeSet;

use cluster_model::fixtures::kubevirt::{ObjectBuilder, instance, kubevirt, launcher, machine, migration};
use cluster_model::fixtures::{at, node, pod};
use cluster_model::identity::ObjectKey;
use cluster_model::kubevirt::{Consequence, NonMigratable, VmPolicy};
use cluster_model::snapshot::{Change, ClusterSnapshot};
use evacuation::guests::{GuestRequest, Moves};
use evacuation::plan;
use evacuation::request::DrainRequest;
use evacuation::surge::detach::Circumstances;
use kubectl_common::connect::ClusterIdentity;
use serde_json::json;

use super::*;
use crate::render::{Page, plan_text};

/// Who makes a guest again; each is the name of its virtual machine as well.
const OWNERS: [&str; 11] =
    ["always", "rerun", "manual", "once", "newer", "receiver", "pool", "unseen", "replicas", "fleet", "standalone"];
/// The strategies, with a word for a name; an empty one is the cluster's or KubeVirt's own default.
const STRATEGIES: [(&str, &str); 6] = [
    ("default", ""),
    ("none", "None"),
    ("possible", "LiveMigrateIfPossible"),
    ("migrate", "LiveMigrate"),
    ("external", "External"),
    ("newer", "Newer"),
];
/// The consents, each with the words of the command line.
const POLICIES: [(&str, NonMigratable, bool); 6] = [
    ("refuse", NonMigratable::Refuse, false),
    ("refuse, all in --allow-loss", NonMigratable::Refuse, true),
    ("restart", NonMigratable::Restart, false),
    ("kubectl's line", NonMigratable::RestartUnlessLiveMigrate, false),
    ("stop, all in --allow-loss", NonMigratable::Stop, true),
    ("leave", NonMigratable::Leave, false),
];

/// A guest on n1 with the objects by which it is made again.
fn guest(name: &str, owner: &str) -> Vec<ObjectBuilder> {
    let guest = instance("shop", name).on("n1");
    let run_strategy = match owner {
        "always" | "pool" => "Always",
        "rerun" => "RerunOnFailure",
        "manual" => "Manual",
        "once" => "Once",
        "receiver" => "WaitAsReceiver",
        "halted" => "Halted",
        "newer" => "Newer",
        "unseen" => return vec![guest.owned_by("kubevirt.io/v1", "VirtualMachine", name, "uid-owner")],
        "replicas" => {
            return vec![guest.owned_by("kubevirt.io/v1", "VirtualMachineInstanceReplicaSet", "set", "uid-set")];
        }
        "fleet" => return vec![guest.owned_by("example.com/v1", "Fleet", "fleet", "uid-fleet")],
        _ => return vec![guest],
    };
    let machine = machine("shop", name, run_strategy);
    let machine = match owner {
        "pool" => machine.owned_by("pool.kubevirt.io/v1beta1", "VirtualMachinePool", "dbs", "uid-dbs"),
        _ => machine,
    };
    vec![guest.of_machine(), machine]
}

/// The same with the guest changed.
fn with(mut objects: Vec<ObjectBuilder>, change: impl Fn(&ObjectBuilder) -> ObjectBuilder) -> Vec<ObjectBuilder> {
    if let Some(guest) = objects.first_mut() {
        *guest = change(guest);
    }
    objects
}

/// Guests that cannot migrate: every owner under every strategy.
fn that_cannot_migrate() -> Vec<ObjectBuilder> {
    let why = json!([{"type": "LiveMigratable", "status": "False", "reason": "HostDeviceNotLiveMigratable"}]);
    let bind = |guest: &ObjectBuilder| guest.set("/status/conditions", why.clone());
    let each = |owner: &'static str| {
        STRATEGIES.iter().flat_map(move |(word, strategy)| {
            with(guest(&format!("{owner}-{word}"), owner), |guest| bind(&guest.strategy(strategy)))
        })
    };
    OWNERS.into_iter().flat_map(each).chain([kubevirt("v1.9.0")]).collect()
}

/// Guests that are not simply able or unable to migrate.
fn of_every_other_kind() -> Vec<ObjectBuilder> {
    let always = |name: &str| guest(name, "always");
    let backup = json!({"backupName": "nightly"});
    let deletion = "1970-01-01T00:01:00Z";
    let empty_disk = json!([{"name": "scratch", "emptyDisk": {}}, {"name": "root", "containerDisk": {"image": "i"}}]);
    let shares = json!([{"name": "data", "persistentVolumeClaimInfo": {"accessModes": ["ReadWriteOnce"]}}]);
    let failing = json!({"consecutiveFailCount": 3, "retryAfterTimestamp": "1970-01-01T00:05:00Z"});
    let crashing = vec![
        instance("shop", "crashing").on("n1").of_machine().strategy("None").not_migratable(),
        machine("shop", "crashing", "Always").set("/status/startFailure", failing),
    ];
    let migratable = |name: &str, strategy: &str| with(always(name), |guest| guest.strategy(strategy).migratable());
    [
        migratable("protected", "LiveMigrate"),
        migratable("if-possible", "LiveMigrateIfPossible"),
        migratable("unprotected", "None"),
        migratable("by-default", ""),
        with(migratable("marked", "LiveMigrate"), |guest| guest.marked("n1")),
        with(migratable("marked-elsewhere", "LiveMigrate"), |guest| guest.marked("n7")),
        migratable("in-flight", "None"),
        vec![migration("shop", "by-hand", "in-flight").phase("Running")],
        with(migratable("backed-up", "LiveMigrate"), |guest| {
            guest.set("/status/changedBlockTracking/backupStatus", backup.clone())
        }),
        with(migratable("with-utility", "LiveMigrate"), |guest| {
            guest.set("/spec/utilityVolumes", json!([{"name": "u"}]))
        }),
        with(migratable("external-marked", "External"), |guest| guest.marked("n1")),
        with(always("starting"), |guest| guest.strategy("LiveMigrate").phase("Scheduled")),
        with(guest("starting-alone", "standalone"), |guest| guest.phase("Scheduled")),
        with(always("deleted"), |guest| guest.migratable().set("/metadata/deletionTimestamp", deletion)),
        with(guest("deleted-alone", "standalone"), |guest| guest.set("/metadata/deletionTimestamp", deletion)),
        with(guest("halted", "halted"), ObjectBuilder::migratable),
        with(always("with-scratch"), |guest| guest.strategy("None").not_migratable().volumes(empty_disk.clone())),
        with(always("with-claim"), |guest| {
            guest
                .strategy("None")
                .not_migratable()
                .volumes(json!([{"name": "data", "persistentVolumeClaim": {"claimName": "db-data"}}]))
                .set("/status/volumeStatus", shares.clone())
        }),
        crashing,
        vec![kubevirt("v1.9.0")],
    ]
    .concat()
}

/// A KubeVirt that cannot cancel evacuations, with a default strategy of its own.
fn under_an_older_kubevirt() -> Vec<ObjectBuilder> {
    [
        with(guest("able", "always"), ObjectBuilder::migratable),
        with(guest("unable", "always"), ObjectBuilder::not_migratable),
        with(guest("evacuating", "always"), |guest| guest.migratable().marked("n1")),
        vec![kubevirt("v1.6.3").set("/spec/configuration/evictionStrategy", "LiveMigrate")],
    ]
    .concat()
}

fn cluster(objects: &[ObjectBuilder]) -> ClusterSnapshot {
    let mut cluster = ClusterSnapshot::default();
    cluster.apply(Change::Node(Box::new(node("n1"))));
    for change in objects.iter().filter_map(ObjectBuilder::change) {
        cluster.apply(Change::Virtual(Box::new(change)));
    }
    cluster
}

fn planned(cluster: &ClusterSnapshot, non_migratable: NonMigratable, allows_loss: bool, moves: Moves) -> DrainPlan {
    let names = cluster.virtualization().instances().map(|instance| instance.metadata.key.clone());
    let consents: BTreeSet<ObjectKey> = names.filter(|_| allows_loss).collect();
    let policy = VmPolicy { non_migratable, allow_loss: consents };
    let guests = GuestRequest { policy, ..GuestRequest::default() };
    let request = DrainRequest { moves, guests, ..DrainRequest::default() };
    plan::build(&[NodeName::from("n1")], &request, cluster, &Circumstances::default(), None, at(600))
}

fn drawn(
    plan: &DrainPlan,
    cluster: &ClusterSnapshot,
    moves: Moves,
    format: OutputFormat,
    width: Option<u16>,
) -> String {
    let identity = ClusterIdentity { context: "prod".into(), server: "https://k:6443".into(), user: "ann".into() };
    let text = plan_text(plan, &Page { identity: &identity, cluster, moves, format, width });
    anstream::adapter::strip_str(&text).to_string()
}

/// The text without limit, then the part that is drawn otherwise on 80 columns.
fn both_widths(objects: &[ObjectBuilder], non_migratable: NonMigratable, allows_loss: bool) -> String {
    let cluster = cluster(objects);
    let plan = planned(&cluster, non_migratable, allows_loss, Moves::GuestsOnly);
    let draw = |width| drawn(&plan, &cluster, Moves::GuestsOnly, OutputFormat::Table, width);
    let narrow = draw(Some(80));
    format!("{}\n\n======== 80 columns\n\n{}", draw(None), narrow.split("\n\n").nth(1).unwrap_or_default())
}

/// A name for the snapshot of a scene under a policy.
fn file_of(scene: &str, policy: &str) -> String {
    let words: Vec<_> = policy.split([' ', ',', '\'', '-']).filter(|word| !word.is_empty()).collect();
    format!("{scene}-{}", words.join("-"))
}

fn compare(name: &str, text: &str) {
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings
    };
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_owner_under_every_strategy_is_told_what_becomes_of_it() {
    for (words, non_migratable, allows_loss) in POLICIES {
        let text = both_widths(&that_cannot_migrate(), non_migratable, allows_loss);
        compare(&file_of("cannot-migrate", words), &text);
    }
}

#[test]
fn every_other_kind_of_guest_is_told_what_becomes_of_it() {
    for (words, non_migratable, allows_loss) in POLICIES {
        compare(&file_of("other", words), &both_widths(&of_every_other_kind(), non_migratable, allows_loss));
    }
}

#[test]
fn a_default_of_the_cluster_and_an_older_kubevirt_are_told() {
    compare("older-kubevirt", &both_widths(&under_an_older_kubevirt(), NonMigratable::Refuse, false));
}

/// What is not drawn is not reviewed: everything that a decision can be made of is in one of the snapshots above. A guest
/// that has ended is in no plan.
#[test]
fn the_snapshots_hold_everything_that_a_decision_is_made_of() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for objects in [that_cannot_migrate(), of_every_other_kind(), under_an_older_kubevirt()] {
        let cluster = cluster(&objects);
        for (_, non_migratable, allows_loss) in POLICIES {
            for vm in planned(&cluster, non_migratable, allows_loss, Moves::GuestsOnly).vms {
                seen.extend([format!("{:?}", vm.action), format!("{:?}", vm.means), format!("{:?}", vm.outcome)]);
                seen.insert(format!("from {:?}", vm.strategy_source));
                seen.insert(cause_word(&vm.reason.cause).to_owned());
                seen.extend(vm.reason.consequence.as_ref().map(|consequence| consequence_word(consequence).to_owned()));
            }
        }
    }
    let all = "Migrate Restart Stop Leave Refuse \
               Evacuate CreateMigration Follow Mark Evict RestartMachine StopMachine DeleteInstance None \
               Migrates RestartsElsewhere StaysOff Lost Blocked NeedsOther \
               protected unprotected no-cancel mark-of-another evacuating in-flight not-migratable starting external \
               unknown-strategy receiver ending \
               comes-back replaced stopped stays-off owner-unseen gone";
    let sources = ["from Vmi", "from Cluster", "from Default"].map(str::to_owned);
    let all: BTreeSet<String> = all.split_whitespace().map(str::to_owned).chain(sources).collect();
    assert_eq!(seen, all);
}

fn cause_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Protected => "protected",
        Cause::MigratableUnprotected => "unprotected",
        Cause::NoCancel => "no-cancel",
        Cause::MarkOfAnotherNode(_) => "mark-of-another",
        Cause::Evacuating => "evacuating",
        Cause::InFlight(_) => "in-flight",
        Cause::NotMigratable { .. } => "not-migratable",
        Cause::StillStarting => "starting",
        Cause::External => "external",
        Cause::UnknownStrategy(_) => "unknown-strategy",
        Cause::Receiver => "receiver",
        Cause::Ending => "ending",
        Cause::Ended => "ended",
    }
}

fn consequence_word(consequence: &Consequence) -> &'static str {
    match consequence {
        Consequence::ComesBack => "comes-back",
        Consequence::Replaced => "replaced",
        Consequence::Stopped => "stopped",
        Consequence::StaysOff(_) => "stays-off",
        Consequence::OwnerUnseen => "owner-unseen",
        Consequence::Gone => "gone",
    }
}

#[test]
fn wide_tells_what_is_sent() {
    let cluster = cluster(&of_every_other_kind());
    let plan = planned(&cluster, NonMigratable::Restart, true, Moves::GuestsOnly);
    compare("wide", &drawn(&plan, &cluster, Moves::GuestsOnly, OutputFormat::Wide, None));
}

/// Virtual machines, what else of KubeVirt's is about, and pods, in one plan.
#[test]
fn virtual_machines_stand_before_pods() {
    let migratable = |name: &str| with(guest(name, "always"), |guest| guest.strategy("LiveMigrate").migratable());
    let arriving = instance("shop", "arriving").on("n2").label("kubevirt.io/migrationTargetNodeName", "n1");
    let moved = instance("shop", "moved").on("n2").set(
        "/status/migrationState",
        json!({
            "migrationUid": "uid-done", "sourcePod": "virt-launcher-moved-old", "targetNode": "n2",
            "startTimestamp": "1970-01-01T00:00:01Z", "endTimestamp": "1970-01-01T00:00:09Z", "completed": true,
        }),
    );
    let objects = [
        migratable("a"),
        migratable("b"),
        migratable("c"),
        with(guest("stays", "always"), ObjectBuilder::not_migratable),
        vec![
            arriving,
            moved,
            launcher("shop", "moved", "old", "n1"),
            launcher("shop", "nobodys", "abc", "n1"),
            kubevirt("v1.9.0"),
        ],
    ];
    let mut cluster = cluster(&objects.concat());
    let pods = [
        pod("rook-ceph", "osd-0"),
        pod("app", "web-1").managed_by("batch/v1", "Job", "web"),
        pod("kube-system", "proxy-n1").mirror(),
        pod("shop", "virt-launcher-a").labelled(&[("kubevirt.io", "virt-launcher")]),
    ];
    for pod in pods {
        cluster.apply(Change::Pod(Box::new(pod.on("n1").ready().build())));
    }
    for (name, moves) in [("with-pods", Moves::Everything), ("guests-only", Moves::GuestsOnly)] {
        let plan = planned(&cluster, NonMigratable::Leave, false, moves);
        compare(name, &drawn(&plan, &cluster, moves, OutputFormat::Table, None));
    }
}

/// What is on the node and what is allowed; the last line of the plan of its virtual machines, and with its pods.
type VerdictRow = (Vec<Vec<ObjectBuilder>>, (NonMigratable, bool), &'static str, &'static str);

#[test]
fn the_verdict_counts_virtual_machines() {
    let migratable = |name: &str| with(guest(name, "always"), |guest| guest.strategy("LiveMigrate").migratable());
    let bound = |name: &str, owner: &str| with(guest(name, owner), ObjectBuilder::not_migratable);
    let new = || vec![kubevirt("v1.9.0")];
    let nothing: fn() -> Vec<ObjectBuilder> = Vec::new;
    let (refuse, restart, stop) =
        ((NonMigratable::Refuse, false), (NonMigratable::Restart, false), (NonMigratable::Stop, true));
    let leave = (NonMigratable::Leave, false);
    let table: [VerdictRow; 9] = [
        (
            vec![nothing()],
            refuse,
            "Ready: 1 node, no virtual machine has to move.",
            "Ready: 1 node, no pod has to move.",
        ),
        (
            vec![migratable("a")],
            refuse,
            "Ready: 1 node, 1 virtual machine migrates.",
            "Ready: 1 node, 1 virtual machine migrates, no pod has to move.",
        ),
        (
            vec![migratable("a"), migratable("b"), bound("c", "always")],
            restart,
            "Ready, with gaps: 1 node, 2 virtual machines migrate, 1 restarts elsewhere.",
            "Ready, with gaps: 1 node, 2 virtual machines migrate, 1 restarts elsewhere, no pod has to move.",
        ),
        (
            vec![bound("a", "always"), bound("b", "manual"), bound("c", "standalone"), bound("d", "once")],
            stop,
            "Ready, with gaps: 1 node, 3 virtual machines stay off, 1 is lost.",
            "Ready, with gaps: 1 node, 3 virtual machines stay off, 1 is lost, no pod has to move.",
        ),
        (
            vec![migratable("a"), bound("b", "always"), bound("c", "standalone")],
            leave,
            "Ready: 1 node, 1 virtual machine migrates, 2 stay on their nodes.",
            "Ready: 1 node, 1 virtual machine migrates, 2 stay on their nodes, no pod has to move.",
        ),
        (
            vec![with(bound("a", "always"), |guest| guest.strategy("External"))],
            restart,
            "Ready, with gaps: 1 node, 1 virtual machine waits for its manager.",
            "Ready, with gaps: 1 node, 1 virtual machine waits for its manager, no pod has to move.",
        ),
        (
            vec![bound("a", "halted")],
            refuse,
            "Ready: 1 node, 1 virtual machine is shutting down already.",
            "Ready: 1 node, 1 virtual machine is shutting down already, no pod has to move.",
        ),
        (
            vec![bound("a", "always"), bound("b", "standalone"), migratable("c")],
            refuse,
            "Refused: 2 virtual machines in the way of draining 1 node.",
            "Refused: 2 virtual machines in the way of draining 1 node.",
        ),
        (
            vec![bound("a", "always"), vec![launcher("shop", "nobodys", "abc", "n1")]],
            refuse,
            "Refused: 1 virtual machine and 1 pod in the way of draining 1 node.",
            "Refused: 1 virtual machine and 1 pod in the way of draining 1 node.",
        ),
    ];
    for (objects, (non_migratable, allows_loss), guests_only, with_pods) in table {
        let cluster = cluster(&[objects.concat(), new()].concat());
        for (moves, expected) in [(Moves::GuestsOnly, guests_only), (Moves::Everything, with_pods)] {
            let plan = planned(&cluster, non_migratable, allows_loss, moves);
            let text = drawn(&plan, &cluster, moves, OutputFormat::Table, None);
            assert_eq!(text.lines().last(), Some(expected), "{text}");
        }
    }
}

#[test]
fn the_slots_are_told_where_they_do_not_suffice() {
    let migratable = |number: usize| {
        with(guest(&format!("vm-{number}"), "always"), |guest| guest.strategy("LiveMigrate").migratable())
    };
    let limits = |out: u32, all: u32| {
        let fields = json!({"parallelOutboundMigrationsPerNode": out, "parallelMigrationsPerCluster": all});
        kubevirt("v1.9.0").set("/spec/configuration/migrations", fields)
    };
    let table = [
        (2, kubevirt("v1.9.0"), ""),
        (3, kubevirt("v1.9.0"), "  2 of 3 migrate at a time (KubeVirt's limits: 2 out of a node, 5 in the cluster)"),
        (3, limits(4, 5), ""),
        (5, limits(4, 1), "  1 of 5 migrate at a time (KubeVirt's limits: 4 out of a node, 1 in the cluster)"),
    ];
    for (number, kubevirt, expected) in table {
        let objects: Vec<_> = (0..number).flat_map(migratable).chain([kubevirt]).collect();
        let cluster = cluster(&objects);
        let plan = planned(&cluster, NonMigratable::Refuse, false, Moves::GuestsOnly);
        let text = drawn(&plan, &cluster, Moves::GuestsOnly, OutputFormat::Table, None);
        let told = text.lines().find(|line| line.contains("at a time")).unwrap_or_default();
        assert_eq!(told, expected, "{text}");
    }
}
