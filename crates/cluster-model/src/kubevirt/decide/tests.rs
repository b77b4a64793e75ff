use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixtures::kubevirt::{ObjectBuilder, instance, kubevirt, machine, migration, virtualization};
use crate::identity::ObjectKey;

const DB: &str = "shop/db";

fn db() -> ObjectKey {
    ObjectKey::new("shop", "db")
}

fn policy(non_migratable: NonMigratable, allow_loss: bool) -> VmPolicy {
    VmPolicy { non_migratable, allow_loss: allow_loss.then(db).into_iter().collect() }
}

/// Decides about `shop/db` among these objects.
fn decided(objects: &[ObjectBuilder], policy: &VmPolicy) -> Decision {
    let cluster = virtualization(objects);
    decide(cluster.instance(&db()).unwrap(), &cluster, policy)
}

/// `action means outcome remedy`, as the document writes them.
fn cell(decision: &Decision) -> String {
    let document = serde_json::to_value(decision).unwrap();
    let word = |field: &str| document[field].as_str().filter(|word| *word != "none").unwrap_or_default().to_owned();
    let words = [word("action"), word("means"), word("outcome"), word("remedy")];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The instance `shop/db` under each owner, with the objects that belong to it.
fn owned(owner: &str) -> Vec<ObjectBuilder> {
    let guest = instance("shop", "db").on("n1");
    let kubevirt_owner = |kind| guest.owned_by("kubevirt.io/v1", kind, "db", "uid-owner");
    match owner {
        "standalone" => vec![guest],
        "replica set" => vec![kubevirt_owner("VirtualMachineInstanceReplicaSet")],
        "other" => vec![guest.owned_by("example.com/v1", "Fleet", "db", "uid-owner")],
        "unseen" => vec![kubevirt_owner("VirtualMachine")],
        // The VM was deleted and made again: the guest is not its own.
        "another of that name" => vec![kubevirt_owner("VirtualMachine"), machine("shop", "db", "Always")],
        "pool" => {
            let pool = ("pool.kubevirt.io/v1beta1", "VirtualMachinePool");
            vec![guest.of_machine(), machine("shop", "db", "Always").owned_by(pool.0, pool.1, "dbs", "uid-dbs")]
        }
        "running" => {
            let older = machine("shop", "db", "Always").set("/spec", json!({"running": true}));
            vec![guest.of_machine(), older]
        }
        run_strategy => vec![guest.of_machine(), machine("shop", "db", run_strategy)],
    }
}

/// The objects with the guest changed.
fn with_guest(objects: &[ObjectBuilder], change: impl Fn(&ObjectBuilder) -> ObjectBuilder) -> Vec<ObjectBuilder> {
    let mut objects = objects.to_vec();
    if let Some(guest) = objects.first_mut() {
        *guest = change(guest);
    }
    objects
}

/// The rows: who makes the guest again × whether KubeVirt grants its eviction; the columns: refuse, restart and stop,
/// each without and with `--allow-loss`. Sources: reference 4 (the table of run strategies), 2 (cases 3 and 4), OBSERVED
/// (b), (c), (d), (j), corrections 11 and 12.
#[test]
fn a_guest_that_cannot_migrate_is_ended_only_as_agreed() {
    const ASK: &str = "refuse blocked --non-migratable=restart";
    const NAME: &str = "refuse blocked --allow-loss=shop/db";
    const RESTART: &str = "restart restartMachine restartsElsewhere";
    const OFF: &str = "stop stopMachine staysOff";
    const OFF_BY_EVICTION: &str = "stop evict staysOff";
    const OFF_BY_DELETE: &str = "stop deleteInstance staysOff";
    const REPLACED: &str = "restart evict restartsElsewhere";
    const REPLACED_BY_DELETE: &str = "restart deleteInstance restartsElsewhere";
    const LOST: &str = "stop evict lost";
    const LOST_BY_DELETE: &str = "stop deleteInstance lost";
    let comes_back = [ASK, RESTART, RESTART, RESTART, NAME, OFF];
    let only_named = |end| [NAME, end, NAME, end, NAME, end];
    let replaced = |end| [ASK, end, end, end, end, end];
    // (owner, columns if the eviction is granted, columns if it is refused for ever)
    let rows = [
        // Reference 4, VM Always: `restart` yes, `stop` patches the spec.
        ("Always", comes_back, comes_back),
        // Reference 1.1: `running: true` is Always.
        ("running", comes_back, comes_back),
        // Reference 4: an eviction would leave these off (#9823), a restart does not.
        ("RerunOnFailure", comes_back, comes_back),
        ("Manual", comes_back, comes_back),
        // Reference 4, VMPool: the VM's own row applies.
        ("pool", comes_back, comes_back),
        // Reference 4, VM Once: `restart` 409, not restarted; `stop` patches the spec.
        ("Once", only_named(OFF_BY_EVICTION), only_named(OFF)),
        // A newer run strategy: nobody can say that it comes back.
        ("Newer", only_named(OFF_BY_EVICTION), only_named(OFF)),
        // Its VM cannot be read, or has another uid.
        ("unseen", only_named(OFF_BY_EVICTION), only_named(OFF_BY_DELETE)),
        ("another of that name", only_named(OFF_BY_EVICTION), only_named(OFF_BY_DELETE)),
        // Reference 4, VMIRS: replaced under a new name; OBSERVED (j).
        ("replica set", replaced(REPLACED), replaced(REPLACED_BY_DELETE)),
        // Reference 4, standalone: gone for good; OBSERVED (j).
        ("standalone", only_named(LOST), only_named(LOST_BY_DELETE)),
        ("other", only_named(LOST), only_named(LOST_BY_DELETE)),
    ];
    let policies = [NonMigratable::Refuse, NonMigratable::Restart, NonMigratable::Stop]
        .map(|value| [policy(value, false), policy(value, true)]);
    for (owner, granted, refused) in rows {
        let strategies =
            [("None", granted), ("", granted), ("LiveMigrateIfPossible", granted), ("LiveMigrate", refused)];
        for (strategy, columns) in strategies {
            let objects = with_guest(&owned(owner), |guest| guest.strategy(strategy).not_migratable());
            for (policy, expected) in policies.iter().flatten().zip(columns) {
                let decision = decided(&objects, policy);
                assert_eq!(cell(&decision), expected, "{owner}, strategy {strategy:?}, {policy:?}");
            }
            let left = decided(&objects, &policy(NonMigratable::Leave, true));
            assert_eq!(cell(&left), "leave needsOther", "{owner}, strategy {strategy:?}");
        }
    }
}

/// DESIGN 2: kubectl's line implies restart for None and LiveMigrateIfPossible, never for LiveMigrate.
#[test]
fn kubectls_line_restarts_what_kubectl_would_and_no_more() {
    let implied = policy(NonMigratable::RestartUnlessLiveMigrate, false);
    let rows = [
        ("Always", "None", "restart restartMachine restartsElsewhere"),
        ("Always", "LiveMigrateIfPossible", "restart restartMachine restartsElsewhere"),
        ("Always", "LiveMigrate", "refuse blocked --non-migratable=restart"),
        ("replica set", "None", "restart evict restartsElsewhere"),
        ("standalone", "None", "refuse blocked --allow-loss=shop/db"),
        ("standalone", "LiveMigrate", "refuse blocked --allow-loss=shop/db"),
        ("Once", "LiveMigrateIfPossible", "refuse blocked --allow-loss=shop/db"),
    ];
    for (owner, strategy, expected) in rows {
        let objects = with_guest(&owned(owner), |guest| guest.strategy(strategy).not_migratable());
        assert_eq!(cell(&decided(&objects, &implied)), expected, "{owner}, {strategy}");
    }
}

/// Reference 1.2 and 7, 2: an emptyDisk's data goes with the launcher pod, whoever starts the guest again.
#[test]
fn an_emptydisk_is_lost_only_by_name() {
    let volumes = json!([{"name": "root", "containerDisk": {}}, {"name": "scratch", "emptyDisk": {}}]);
    for owner in ["Always", "Manual", "replica set"] {
        let objects = with_guest(&owned(owner), |guest| guest.not_migratable().volumes(volumes.clone()));
        for value in [NonMigratable::Refuse, NonMigratable::Restart, NonMigratable::Stop] {
            let refused = decided(&objects, &policy(value, false));
            assert_eq!(cell(&refused), "refuse blocked --allow-loss=shop/db", "{owner}, {value}");
            assert!(
                refused.reason.to_string().ends_with("the data on emptyDisk scratch is lost"),
                "{}",
                refused.reason
            );
        }
        let agreed = decided(&objects, &policy(NonMigratable::Restart, true));
        assert_eq!(agreed.outcome, Outcome::RestartsElsewhere, "{owner}");
        assert_eq!(agreed.warnings, ["what the guest wrote to root is lost, as whenever it is shut down from outside"]);
    }
    let moved =
        with_guest(&owned("standalone"), |guest| guest.strategy("LiveMigrate").migratable().volumes(volumes.clone()));
    let moved = decided(&[moved, vec![kubevirt("v1.9.0")]].concat(), &VmPolicy::default());
    assert_eq!((moved.outcome, moved.warnings.len()), (Outcome::Migrates, 0), "a migration copies local disks");
}

/// What can migrate does, whoever owns it and whatever the flags; by which means depends on strategy, version, mark and
/// what is under way.
#[test]
fn what_can_migrate_migrates() {
    let flying = migration("shop", "m1", "db").phase("Running");
    let landed = migration("shop", "m1", "db").phase("Succeeded");
    let of_another = migration("shop", "m2", "web").phase("Running");
    let (new, old) = (kubevirt("v1.9.0"), kubevirt("v1.6.3"));
    let devel = kubevirt("{gitVersion}");
    let cases: Vec<(&str, &str, &str, Vec<&ObjectBuilder>, &str)> = vec![
        // OBSERVED (a), (d2).
        ("LiveMigrate", "LiveMigrate", "", vec![&new], "migrate evacuate migrates"),
        ("IfPossible", "LiveMigrateIfPossible", "", vec![&new], "migrate evacuate migrates"),
        // Reference 3.4: the strategy is irrelevant for a migration object; OBSERVED (c): an eviction would shut it down.
        ("None", "None", "", vec![&new], "migrate createMigration migrates"),
        ("unset", "", "", vec![&new], "migrate createMigration migrates"),
        // Reference 3.1: the evacuation controller passes a None by, marked or not.
        ("None, marked", "None", "n1", vec![&new], "migrate createMigration migrates"),
        // Reference 0: evacuate/cancel since 1.7; without it nobody could give up.
        ("no cancel", "LiveMigrate", "", vec![&old], "migrate createMigration migrates"),
        ("unknown version", "LiveMigrate", "", vec![&devel], "migrate createMigration migrates"),
        ("unreadable KubeVirt", "LiveMigrate", "", vec![], "migrate createMigration migrates"),
        // OBSERVED, marked: the next eviction changes nothing.
        ("marked", "LiveMigrate", "n1", vec![&new], "migrate follow migrates"),
        ("marked, no cancel", "LiveMigrateIfPossible", "n1", vec![&old], "migrate follow migrates"),
        // Reference 3.1: the evacuation controller wants the guest on the marked node.
        ("marked for another node", "LiveMigrate", "n7", vec![&new], "migrate createMigration migrates"),
        // Reference 3.4: in-flight migration detected.
        ("None, in flight", "None", "", vec![&new, &flying], "migrate follow migrates"),
        ("marked for another node, in flight", "LiveMigrate", "n7", vec![&new, &flying], "migrate follow migrates"),
        ("None, landed before", "None", "", vec![&new, &landed, &of_another], "migrate createMigration migrates"),
        // OBSERVED 3.1: an eviction during a user's migration marks, and that migration's success clears the mark.
        ("LiveMigrate, in flight", "LiveMigrate", "", vec![&new, &flying], "migrate evacuate migrates"),
    ];
    for (name, strategy, mark, others, expected) in cases {
        for owner in ["Always", "Manual", "Once", "replica set", "standalone"] {
            let mut objects = with_guest(&owned(owner), |guest| guest.strategy(strategy).migratable().marked(mark));
            objects.extend(others.iter().map(|other| (*other).clone()));
            for value in NonMigratable::FLAG_VALUES {
                let decision = decided(&objects, &policy(value, true));
                assert_eq!(cell(&decision), expected, "{name}, {owner}, {value}");
                assert_eq!(decision.interruption, "none but a short pause at the switch-over");
            }
        }
    }
}

/// What discovery found beats the version number.
#[test]
fn a_probed_feature_decides_against_the_version() {
    let objects = with_guest(&owned("Always"), |guest| guest.strategy("LiveMigrate").migratable());
    let mut cluster = virtualization(&[objects, vec![kubevirt("{gitVersion}")]].concat());
    let features = super::super::Features { can_cancel_evacuation: true, ..cluster.features() };
    cluster.apply(super::super::VirtualChange::Features(features));
    let decision = decide(cluster.instance(&db()).unwrap(), &cluster, &VmPolicy::default());
    assert_eq!(decision.means, Means::Evacuate);
}

/// Somebody else has to act.
#[test]
fn what_others_have_to_move_is_told_apart() {
    let external = with_guest(&owned("Always"), |guest| guest.strategy("External").migratable());
    let marked = with_guest(&external, |guest| guest.marked("n1"));
    let newer = with_guest(&owned("Always"), |guest| guest.strategy("Newer").migratable());
    // Reference 4, VM WaitAsReceiver: leave alone.
    let receiver = owned("WaitAsReceiver");
    let waiting = with_guest(&owned("Always"), |guest| guest.phase("WaitingForSync"));
    let arrived = with_guest(&owned("WaitAsReceiver"), |guest| guest.strategy("LiveMigrate").migratable());
    let arrived = [arrived, vec![kubevirt("v1.9.0")]].concat();
    let leave = "refuse needsOther --non-migratable=leave";
    let rows: [(&str, &[ObjectBuilder], [&str; 4]); 6] = [
        // Columns: refuse, restart, stop, leave. OBSERVED (e): marked, and nothing else happens.
        ("External", &external, [leave, "restart mark needsOther", "stop mark needsOther", "leave needsOther"]),
        (
            "External, marked",
            &marked,
            [leave, "restart follow needsOther", "stop follow needsOther", "leave needsOther"],
        ),
        (
            "a newer strategy",
            &newer,
            [
                "refuse blocked --non-migratable=leave",
                "refuse blocked --non-migratable=leave",
                "refuse blocked --non-migratable=leave",
                "leave needsOther",
            ],
        ),
        ("receiver", &receiver, [leave, leave, leave, "leave needsOther"]),
        ("waiting for sync", &waiting, [leave, leave, leave, "leave needsOther"]),
        ("a receiver whose guest has arrived", &arrived, ["migrate evacuate migrates"; 4]),
    ];
    for (name, objects, columns) in rows {
        for (value, expected) in NonMigratable::FLAG_VALUES.into_iter().zip(columns) {
            assert_eq!(cell(&decided(objects, &policy(value, true))), expected, "{name}, {value}");
        }
    }
    assert_eq!(cell(&decided(&external, &policy(NonMigratable::RestartUnlessLiveMigrate, true))), leave);
}

/// What ends without the run needs no consent: reference 4, column "guest shuts down"; OBSERVED, corrections 11.
#[test]
fn what_ends_by_itself_is_left() {
    let deletion = "1970-01-01T00:01:00Z";
    let rows = [
        ("Always", "restartsElsewhere", "restartsElsewhere"),
        ("RerunOnFailure", "staysOff", "restartsElsewhere"),
        ("Manual", "staysOff", "staysOff"),
        ("Once", "staysOff", "staysOff"),
        ("Halted", "staysOff", "staysOff"),
        ("replica set", "restartsElsewhere", "restartsElsewhere"),
        ("standalone", "lost", "lost"),
    ];
    for (owner, clean, failed) in rows {
        for (phase, outcome) in [("Succeeded", clean), ("Failed", failed)] {
            let ended = decided(&with_guest(&owned(owner), |guest| guest.phase(phase)), &VmPolicy::default());
            assert_eq!(cell(&ended), format!("leave {outcome}"), "{owner}, {phase}");
            assert_eq!(ended.reason.cause, Cause::Ended);
        }
        let deleted = with_guest(&owned(owner), |guest| guest.set("/metadata/deletionTimestamp", deletion));
        let ending = decided(&deleted, &VmPolicy::default());
        assert_eq!(cell(&ending), format!("leave {clean}"), "{owner}, being deleted");
        assert_eq!(ending.reason.cause, Cause::Ending);
    }
    let halted = decided(&with_guest(&owned("Halted"), ObjectBuilder::migratable), &VmPolicy::default());
    assert_eq!((cell(&halted).as_str(), halted.reason.cause), ("leave staysOff", Cause::Ending));
}

/// OBSERVED, corrections 6: booting, LiveMigrate is refused and LiveMigrateIfPossible shut down; waiting helps both.
#[test]
fn a_guest_that_is_still_starting_is_waited_for() {
    let objects = with_guest(&owned("Always"), |guest| guest.strategy("LiveMigrate").phase("Scheduled"));
    let decision = decided(&objects, &VmPolicy::default());
    assert_eq!(decision.live_migratable, None);
    assert_eq!(decision.reason.cause, Cause::StillStarting);
    assert_eq!(
        cell(&decision),
        "refuse blocked kubectl wait --namespace=shop --for=jsonpath='{.status.phase}'=Running --timeout=5m vmi/db"
    );
    let restarted = decided(&objects, &policy(NonMigratable::Restart, false));
    assert_eq!(cell(&restarted), "restart restartMachine restartsElsewhere");
}

#[test]
fn warnings_tell_what_the_action_brings_with_it() {
    let warnings = |objects: &[ObjectBuilder], value| decided(objects, &policy(value, true)).warnings;
    // Reference 4: `stop` patches the spec of Always and Once, and keeps that of Manual and RerunOnFailure.
    for (owner, strategy, count) in [
        ("Always", "None", 1),
        ("Once", "LiveMigrate", 1),
        ("Once", "None", 0),
        ("Manual", "None", 0),
        ("RerunOnFailure", "None", 0),
    ] {
        let objects = with_guest(&owned(owner), |guest| guest.strategy(strategy).not_migratable());
        let found = warnings(&objects, NonMigratable::Stop);
        let halted = found.iter().filter(|warning| warning.contains("becomes Halted")).count();
        assert_eq!(halted, count, "{owner}, {strategy}: {found:?}");
    }
    // Reference 4: startFailure delays the restart.
    let failing = machine("shop", "db", "Always")
        .set("/status/startFailure", json!({"consecutiveFailCount": 3, "retryAfterTimestamp": "1970-01-01T00:05:00Z"}));
    let objects = [instance("shop", "db").on("n1").of_machine().not_migratable(), failing];
    assert_eq!(
        warnings(&objects, NonMigratable::Restart),
        ["KubeVirt counts 3 failed starts in a row and starts it no sooner than 1970-01-01T00:05:00Z"]
    );
    // Reference 0 and 3.3: since 1.8 an evacuation aborts a running backup, other migrations wait for it.
    let backup = |strategy: &str, version: &str| {
        let guest = instance("shop", "db").on("n1").strategy(strategy).migratable();
        let guest = guest.set("/status/changedBlockTracking/backupStatus", json!({"backupName": "nightly"}));
        warnings(&[guest, kubevirt(version)], NonMigratable::Refuse)
    };
    assert_eq!(backup("LiveMigrate", "v1.8.4"), ["a backup of it runs, which the evacuation aborts"]);
    assert_eq!(backup("LiveMigrate", "v1.7.0"), ["a backup of it runs, for which the migration waits"]);
    assert_eq!(backup("None", "v1.9.0"), ["a backup of it runs, for which the migration waits"]);
    // Reference 3.3: utility volumes make a migration wait, then fail.
    let guest = instance("shop", "db").on("n1").migratable().set("/spec/utilityVolumes", json!([{"name": "u"}]));
    assert_eq!(warnings(&[guest], NonMigratable::Refuse).len(), 1);
}

/// The fields that the contract names (DESIGN 2, `vms[]`), as they are written.
#[test]
fn the_document_has_the_fields_of_the_contract() {
    let status = json!([{"name": "data", "persistentVolumeClaimInfo": {"accessModes": ["ReadWriteOnce"]}}]);
    let mut objects = with_guest(&owned("pool"), |guest| {
        guest
            .set(
                "/status/conditions",
                json!([{"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"}]),
            )
            .volumes(json!([{"name": "data", "dataVolume": {"name": "db-data"}}]))
            .set("/status/volumeStatus", status.clone())
    });
    objects.push(kubevirt("v1.9.0").set("/spec/configuration/evictionStrategy", "LiveMigrate"));
    let document = serde_json::to_value(decided(&objects, &VmPolicy::default())).unwrap();
    assert_eq!(
        document,
        json!({
            "namespace": "shop", "name": "db", "uid": "uid-db", "node": "n1",
            "evictionStrategy": "LiveMigrate", "strategySource": "cluster", "liveMigratable": false,
            "reason": "it cannot migrate (DisksNotLiveMigratable) [not ReadWriteMany: db-data]; KubeVirt refuses every \
                       eviction; shut down, it starts again elsewhere",
            "owner": {"kind": "VirtualMachine", "name": "db", "runStrategy": "Always"}, "pool": "dbs",
            "action": "refuse", "means": "none", "outcome": "blocked", "interruption": "none: nothing is done",
            "warnings": [], "remedy": "--non-migratable=restart",
        })
    );
}

#[test]
fn the_interruption_names_the_grace_that_the_guest_may_take() {
    let objects =
        with_guest(&owned("Always"), |guest| guest.not_migratable().set("/spec/terminationGracePeriodSeconds", 180));
    let decision = decided(&objects, &policy(NonMigratable::Restart, false));
    assert_eq!(decision.interruption, "its shutdown (up to 180 s), then until it has started elsewhere");
}

fn non_migratable() -> impl Strategy<Value = NonMigratable> {
    prop::sample::select(vec![
        NonMigratable::Refuse,
        NonMigratable::Restart,
        NonMigratable::RestartUnlessLiveMigrate,
        NonMigratable::Stop,
        NonMigratable::Leave,
    ])
}

/// A guest under any owner, strategy, condition, phase, mark and version, with or without an emptyDisk.
fn clusters() -> impl Strategy<Value = Vec<ObjectBuilder>> {
    let owner = prop::sample::select(vec![
        "Always",
        "running",
        "RerunOnFailure",
        "Manual",
        "Once",
        "Halted",
        "WaitAsReceiver",
        "Newer",
        "pool",
        "unseen",
        "another of that name",
        "replica set",
        "standalone",
        "other",
    ]);
    let strategies = vec!["", "None", "LiveMigrate", "LiveMigrateIfPossible", "External", "Newer"];
    let strategy = prop::sample::select(strategies.clone());
    let default = prop::sample::select(strategies);
    let phase = prop::sample::select(vec![
        "",
        "Pending",
        "Scheduling",
        "Scheduled",
        "Running",
        "Succeeded",
        "Failed",
        "WaitingForSync",
        "Unknown",
        "Newer",
    ]);
    let mark = prop::sample::select(vec!["", "n1", "n2"]);
    let version = prop::sample::select(vec!["", "v1.2.0", "v1.6.0", "v1.9.0", "devel"]);
    let facts = (owner, strategy, default, phase, mark, version);
    let switches = (0..3_u8, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (facts, switches).prop_map(|(facts, (migratable, empty_disk, in_flight, deleted, has_node))| {
        let (owner, strategy, default, phase, mark, version) = facts;
        let mut objects = with_guest(&owned(owner), |guest| {
            let mut guest = guest.strategy(strategy).phase(phase).marked(mark);
            guest = match migratable {
                0 => guest,
                1 => guest.migratable(),
                _ => guest.not_migratable(),
            };
            if empty_disk {
                guest = guest.volumes(json!([{"name": "scratch", "emptyDisk": {}}]));
            }
            if deleted {
                guest = guest.set("/metadata/deletionTimestamp", "1970-01-01T00:01:00Z");
            }
            if has_node { guest } else { guest.set("/status/nodeName", "") }
        });
        objects.push(kubevirt(version).set("/spec/configuration/evictionStrategy", default));
        if in_flight {
            objects.push(migration("shop", "m1", "db").phase("Running"));
        }
        objects
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// There is always an answer, and it never does what nobody agreed to.
    #[test]
    fn no_guest_is_ended_without_consent(
        objects in clusters(),
        value in non_migratable(),
        allow_loss in any::<bool>(),
    ) {
        let policy = policy(value, allow_loss);
        let cluster = virtualization(&objects);
        let guest = cluster.instance(&db()).unwrap();
        let decision = decide(guest, &cluster, &policy);
        let Decision { action, means, outcome, .. } = &decision;

        prop_assert_eq!(decision.key().to_string(), DB);
        prop_assert_eq!(*action == Action::Migrate, *outcome == Outcome::Migrates);
        if *action == Action::Migrate {
            prop_assert!(guest.is_live_migratable(), "{:?}", decision);
        }
        // Off or lost: named, or somebody else's doing.
        let is_ending = guest.is_final() || matches!(decision.reason.cause, Cause::Ending);
        if matches!(outcome, Outcome::StaysOff | Outcome::Lost) {
            prop_assert!(allow_loss || (is_ending && *action == Action::Leave), "{:?}", decision);
        }
        if decision.ends_guest() {
            prop_assert!(allow_loss || matches!(value, NonMigratable::Restart | NonMigratable::RestartUnlessLiveMigrate | NonMigratable::Stop), "{:?}", decision);
            prop_assert!(value != NonMigratable::Leave, "{:?}", decision);
            let is_others = *outcome == Outcome::NeedsOther;
            prop_assert!(allow_loss || is_others || guest.empty_disks().is_empty(), "{:?}", decision);
            prop_assert!(!is_ending, "{:?}", decision);
        }
        // An eviction shuts down only what was to be shut down.
        prop_assert_eq!(*means == Means::None, matches!(action, Action::Leave | Action::Refuse), "{:?}", decision);
        let strategy = &decision.eviction_strategy;
        match means {
            Means::Evict => prop_assert!(matches!(strategy, EvictionStrategy::None | EvictionStrategy::LiveMigrateIfPossible)),
            Means::Evacuate => prop_assert!(matches!(strategy, EvictionStrategy::LiveMigrate | EvictionStrategy::LiveMigrateIfPossible)),
            Means::Mark => prop_assert_eq!(strategy, &EvictionStrategy::External),
            Means::CreateMigration => prop_assert!(cluster.migration_in_flight(&db()).is_none()),
            Means::RestartMachine | Means::StopMachine => prop_assert!(matches!(cluster.owner_of(guest), Owner::Machine(_))),
            Means::Follow | Means::DeleteInstance | Means::None => {}
        }
    }

    /// A refusal names what helps, and that does help.
    #[test]
    fn the_remedy_of_a_refusal_lifts_it(
        objects in clusters(),
        value in non_migratable(),
        allow_loss in any::<bool>(),
    ) {
        let before = decided(&objects, &policy(value, allow_loss));
        prop_assert_eq!(before.remedy.is_some(), before.action == Action::Refuse, "{:?}", before);
        let after = match &before.remedy {
            Some(Remedy::AllowLoss(_)) => decided(&objects, &policy(value, true)),
            Some(Remedy::NonMigratable(value)) => decided(&objects, &policy(*value, allow_loss)),
            Some(Remedy::WaitForStart(_)) => {
                let started = with_guest(&objects, |guest| guest.phase("Running").migratable());
                decided(&started, &policy(value, allow_loss))
            }
            None => before,
        };
        prop_assert!(after.action != Action::Refuse, "{:?}", after);
    }

    /// What an eviction is predicted to do is what the means was chosen for.
    #[test]
    fn the_means_and_the_predicted_answer_agree(objects in clusters(), value in non_migratable(), allow_loss in any::<bool>()) {
        use super::super::{PodSeen, WebhookCase, predicted_webhook_answer};
        let mut objects = objects;
        objects.push(crate::fixtures::kubevirt::launcher("shop", "db", "a", "n1"));
        let cluster = virtualization(&objects);
        let guest = cluster.instance(&db()).unwrap();
        let launcher = cluster.launchers().next().unwrap();
        let predicted = predicted_webhook_answer(PodSeen::Launcher(launcher), &cluster);
        let expected: &[WebhookCase] = match decide(guest, &cluster, &policy(value, allow_loss)).means {
            Means::Evict => &[WebhookCase::ShutsDown],
            // Before the guest has a node the eviction comes to nothing, and is asked for again later.
            Means::Evacuate | Means::Mark if guest.node.is_none() => &[WebhookCase::NotTheGuestsPod],
            Means::Evacuate | Means::Mark => &[WebhookCase::Triggered],
            Means::DeleteInstance => &[WebhookCase::NotMigratable],
            Means::CreateMigration | Means::Follow | Means::RestartMachine | Means::StopMachine | Means::None => return Ok(()),
        };
        prop_assert!(expected.contains(&predicted.case), "{:?}", predicted);
    }
}
