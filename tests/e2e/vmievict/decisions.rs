//! Every decision about a virtual machine, planned and then run: what the plan says comes of it is what comes of it.
//!
//! For each eviction strategy a node holds a machine of every kind (owner and run strategy × what it can). All consents
//! are planned for it by a server's dry run; then one after another is run, from the one that allows nothing to the one
//! that allows everything. What a plan refuses holds the whole node up, which is seen first; the rest is chosen by a
//! selector. At the end each row of each plan is compared with what came of the machines for which the same was planned.

use std::collections::BTreeMap;

use e2e::kubevirt::machine::{self, MachineBuilder};
use e2e::{AuditLog, Invocation, KubeVirt, Namespace, Plugin, User};
use futures::future::join_all;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const VMI: &str = "VirtualMachineInstance";
const OWNERS: [Owner; 6] = [
    Owner::Machine("Always"),
    Owner::Machine("Manual"),
    Owner::Machine("RerunOnFailure"),
    Owner::Machine("Once"),
    Owner::ReplicaSet,
    Owner::Nobody,
];
const ABILITIES: [Ability; 3] = [Ability::Migrates, Ability::Stays, Ability::StaysWithEmptyDisk];

/// Who makes an instance again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    /// A VirtualMachine with this run strategy.
    Machine(&'static str),
    ReplicaSet,
    Nobody,
}

/// Whether it can migrate, and what it loses when it is shut down.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ability {
    Migrates,
    Stays,
    StaysWithEmptyDisk,
}

/// One machine.
#[derive(Clone, Debug)]
struct Case {
    /// Of the object that was made.
    object: String,
    strategy: &'static str,
    owner: Owner,
    ability: Ability,
}

/// One machine's instance, as it was before the plan.
#[derive(Debug)]
struct Guest {
    case: Case,
    name: String,
    uid: String,
}

/// What the person at the terminal agrees to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Consent {
    non_migratable: &'static str,
    /// Whether every machine is named in `--allow-loss`.
    loss: bool,
}

const fn safe(non_migratable: &'static str) -> Consent {
    Consent { non_migratable, loss: false }
}

const fn lossy(non_migratable: &'static str) -> Consent {
    Consent { non_migratable, loss: true }
}

/// All there are.
const CONSENTS: [Consent; 8] = [
    safe("refuse"),
    safe("restart"),
    safe("stop"),
    safe("leave"),
    lossy("refuse"),
    lossy("restart"),
    lossy("stop"),
    lossy("leave"),
];

/// Those that are run on one set of machines, and on another.
const RUN: [&[Consent]; 2] = [
    &[safe("refuse"), safe("leave"), safe("restart"), lossy("refuse")],
    &[lossy("leave"), safe("stop"), lossy("stop")],
];

/// What a plan says of a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// The object that was made.
    object: String,
    action: String,
    means: String,
    outcome: String,
}

fn cases(strategy: &'static str) -> Vec<Case> {
    let of_owner = |owner: Owner| {
        ABILITIES.map(|ability| {
            let object = format!("{}-{}", owner.short(), ability.short());
            Case { object, strategy, owner, ability }
        })
    };
    OWNERS.into_iter().flat_map(of_owner).collect()
}

impl Owner {
    fn short(self) -> String {
        match self {
            Self::Machine(strategy) => strategy.to_lowercase(),
            Self::ReplicaSet => "set".to_owned(),
            Self::Nobody => "alone".to_owned(),
        }
    }
}

impl Ability {
    fn short(self) -> &'static str {
        match self {
            Self::Migrates => "moves",
            Self::Stays => "stays",
            Self::StaysWithEmptyDisk => "disk",
        }
    }
}

impl Case {
    fn describe<'a>(&self, ns: &'a Namespace, node: &str) -> MachineBuilder<'a> {
        let machine = match self.owner {
            // Nobody starts a machine with run strategy Manual here: it becomes one once it runs.
            Owner::Machine("Manual") => machine::virtual_machine(ns, &self.object),
            Owner::Machine(strategy) => machine::virtual_machine(ns, &self.object).run_strategy(strategy),
            Owner::ReplicaSet => machine::replica_set(ns, &self.object),
            Owner::Nobody => machine::instance(ns, &self.object),
        };
        let machine = machine.eviction_strategy(self.strategy).on(node);
        match self.ability {
            Ability::Migrates => machine,
            Ability::Stays => machine.not_migratable("HotplugNotLiveMigratable", "the test says so"),
            Ability::StaysWithEmptyDisk => {
                machine.not_migratable("HotplugNotLiveMigratable", "the test says so").empty_disk("scratch")
            }
        }
    }

    /// Whether an instance is of this machine.
    fn is_of(&self, vmi: &Value) -> bool {
        match self.owner {
            Owner::Machine(_) | Owner::Nobody => name_of(vmi) == self.object,
            Owner::ReplicaSet => vmi["metadata"]["ownerReferences"][0]["name"] == self.object,
        }
    }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn has_condition(object: &Value, kind: &str) -> bool {
    object["status"]["conditions"].as_array().into_iter().flatten().any(|one| one["type"] == kind)
}

fn is_condition_true(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
}

fn is_up(vmi: &Value) -> bool {
    vmi["status"]["phase"] == "Running"
        && vmi["metadata"]["deletionTimestamp"].is_null()
        && is_condition_true(vmi, "Ready")
        && has_condition(vmi, "LiveMigratable")
}

fn is_final(vmi: &Value) -> bool {
    matches!(vmi["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// A part of a plan that is run by itself: more arguments, the exit status, and which rows.
type Part = (&'static [&'static str], i32, fn(&Row) -> bool);

/// A node with a machine of every kind, and one that may take them.
struct Site {
    ns: Namespace,
    old: String,
    new: String,
    guests: Vec<Guest>,
    /// Who makes every run that is to change nothing.
    looker: User,
}

impl Site {
    async fn with_every_kind(purpose: &str, strategy: &'static str) -> Self {
        let kubevirt = KubeVirt::shared().await;
        let ns = Namespace::fresh(kubevirt.control_plane(), purpose).await;
        let old = machine::node(&ns, "old").create().await;
        let cases = cases(strategy);
        join_all(cases.iter().map(|case| case.describe(&ns, &old).create())).await;
        let up =
            machine::until(&ns, VMI, "every machine runs", |all| all.len() == cases.len() && all.iter().all(is_up))
                .await;
        let manual = json!({ "spec": { "runStrategy": "Manual" } });
        let machines = machine::api(&ns, "VirtualMachine");
        for case in cases.iter().filter(|case| case.owner == Owner::Machine("Manual")) {
            machines.patch(&case.object, &PatchParams::default(), &Patch::Merge(&manual)).await.unwrap();
        }
        let guests = cases.into_iter().map(|case| {
            let vmi = up.iter().find(|vmi| case.is_of(vmi)).unwrap();
            assert_eq!(vmi["status"]["nodeName"], old, "{case:?}");
            let uid = vmi["metadata"]["uid"].as_str().unwrap().to_owned();
            Guest { name: name_of(vmi).to_owned(), uid, case }
        });
        let guests = guests.collect();
        let new = machine::node(&ns, "new").create().await;
        let looker = ns.control_plane().operator(ns.name());
        Self { ns, old, new, guests, looker }
    }

    fn evict(&self, consent: Consent, arguments: &[&str]) -> Invocation {
        let mut consents = vec![format!("--non-migratable={}", consent.non_migratable)];
        if consent.loss {
            let names = self.guests.iter().map(|guest| format!("{}/{}", self.ns.name(), guest.name));
            consents.push(format!("--allow-loss={}", names.collect::<Vec<_>>().join(",")));
        }
        Plugin::vmievict(&self.ns).args([&self.old, "-o", "json"]).args(consents).args(arguments)
    }

    /// Plans what is on the node by a server's dry run; the server answers as was expected.
    async fn plan(&self, consent: Consent) -> Vec<Row> {
        let run = self.evict(consent, &["--dry-run=server"]).user(&self.looker).run().await;
        let plan = run.json();
        let vms = plan["vms"].as_array().unwrap();
        let warned: Vec<_> = vms.iter().filter(|vm| vm["warnings"].to_string().contains("server")).collect();
        assert!(warned.is_empty(), "the server answers otherwise: {warned:?}\n{run}");
        assert!(run.stderr.contains(&format!("agree for {0} of {0} virtual machines", vms.len())), "{run}");
        let rows: Vec<Row> = vms.iter().map(|vm| self.row(vm)).collect();
        let code = match () {
            () if rows.iter().any(|row| row.action == "refuse") => 3,
            () if rows.iter().any(|row| row.action == "leave") => 4,
            () => 0,
        };
        run.expect_code(code);
        rows
    }

    fn row(&self, vm: &Value) -> Row {
        let field = |name: &str| vm[name].as_str().unwrap_or_default().to_owned();
        let object = self.guest(&field("name")).case.object.clone();
        Row { object, action: field("action"), means: field("means"), outcome: field("outcome") }
    }

    fn guest(&self, name: &str) -> &Guest {
        self.guests.iter().find(|guest| guest.name == name).expect("a plan names the guests of the test only")
    }

    /// Runs a plan: all of it, which must fail if it refuses anything, and then what it does not refuse. Returns what
    /// the reports say of each machine.
    async fn run(&self, consent: Consent, plan: &[Row]) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        if plan.iter().any(|row| row.action == "refuse") {
            let run = self.evict(consent, &[]).user(&self.looker).run().await.expect_code(3);
            assert_eq!(run.json()["result"], "refused", "{run}");
            told.extend(plan.iter().map(|row| (row.object.clone(), "stays".to_owned())));
        }
        let parts: [Part; 3] = [
            (&[], 0, |row| !matches!(row.action.as_str(), "refuse" | "leave") && row.means != "mark"),
            (&[], 4, |row| row.action == "leave"),
            // Nobody is there who would manage it.
            (&["--vm-timeout=2s"], 4, |row| row.means == "mark"),
        ];
        for (arguments, code, is_chosen) in parts {
            let rows: Vec<_> = plan.iter().filter(|row| is_chosen(row)).collect();
            if rows.is_empty() {
                continue;
            }
            let is_meant = |guest: &&Guest| rows.iter().any(|row| row.object == guest.case.object);
            let names: Vec<_> = self.guests.iter().filter(is_meant).map(|guest| guest.name.as_str()).collect();
            let selector = format!("--pod-selector=vmi.kubevirt.io/id in ({})", names.join(","));
            let run = self.evict(consent, &[&[selector.as_str()], arguments].concat()).run().await.expect_code(code);
            for vm in run.json()["vms"].as_array().unwrap() {
                told.insert(self.row(vm).object, end(vm["result"]["end"].as_str()).to_owned());
            }
        }
        told
    }

    /// What has come of every machine, once nothing changes by itself any more.
    async fn fates(&self) -> BTreeMap<String, &'static str> {
        machine::until(&self.ns, "VirtualMachine", "no start or stop is under way", |all| {
            all.iter().all(|vm| {
                let wanted = vm["spec"]["runStrategy"] == "Always";
                vm["status"]["stateChangeRequests"].is_null() && (!wanted || vm["status"]["ready"] == true)
            })
        })
        .await;
        let sets: Vec<_> =
            self.guests.iter().filter(|guest| guest.case.owner == Owner::ReplicaSet).map(|guest| &guest.case).collect();
        let vmis = machine::until(&self.ns, VMI, "every guest runs or is off", |all| {
            all.iter().all(|vmi| is_up(vmi) || is_final(vmi))
                && sets.iter().all(|case| all.iter().any(|vmi| case.is_of(vmi) && is_up(vmi)))
        })
        .await;
        self.guests.iter().map(|guest| (guest.case.object.clone(), self.fate(guest, &vmis))).collect()
    }

    /// What has come of a machine, in the words of a plan's outcome; `stays` for any that leaves it where it was.
    fn fate(&self, guest: &Guest, vmis: &[Value]) -> &'static str {
        let Some(vmi) = vmis.iter().find(|vmi| guest.case.is_of(vmi) && !is_final(vmi)) else {
            return match guest.case.owner {
                Owner::Machine(_) => "staysOff",
                Owner::ReplicaSet | Owner::Nobody => "lost",
            };
        };
        let is_same = vmi["metadata"]["uid"] == guest.uid;
        match vmi["status"]["nodeName"].as_str() {
            Some(node) if node == self.old && is_same => "stays",
            Some(node) if node == self.new && is_same => "migrates",
            Some(node) if node == self.new => "restartsElsewhere",
            _ => "restarted on the node that was to be emptied",
        }
    }
}

/// The outcome of a plan as it can be seen.
fn seen(outcome: &str) -> &str {
    if matches!(outcome, "blocked" | "needsOther") { "stays" } else { outcome }
}

/// What a report says of a machine's end, as it can be seen; a machine that was left has none.
fn end(word: Option<&str>) -> &str {
    match word {
        Some("migrated") => "migrates",
        Some("restarted" | "replaced") => "restartsElsewhere",
        Some("stopped") => "staysOff",
        None | Some("left" | "givenUp" | "calledOff") => "stays",
        Some(other) => other,
    }
}

/// Plans every machine under every consent, runs the plans, and compares.
#[expect(clippy::print_stdout, reason = "the count of the compared cases is a result")]
async fn predictions_come_true(purpose: &str, strategy: &'static str) {
    let mut planned = Vec::new();
    let mut came: BTreeMap<Row, &str> = BTreeMap::new();
    let mut differences = Vec::new();
    for consents in RUN {
        let site = Site::with_every_kind(purpose, strategy).await;
        let mut rehearsed = 0;
        if planned.is_empty() {
            for consent in CONSENTS {
                let plan = site.plan(consent).await;
                assert_eq!(plan.len(), site.guests.len());
                rehearsed += plan.len();
                planned.extend(plan.into_iter().map(|row| (consent, row)));
            }
        }
        for consent in consents {
            let plan = site.plan(*consent).await;
            rehearsed += plan.len();
            let told = site.run(*consent, &plan).await;
            let fates = site.fates().await;
            for row in plan {
                let fate = fates[&row.object];
                if told[&row.object] != fate {
                    differences.push(format!("{consent:?}: {row:?}: told {}, came {fate}", told[&row.object]));
                }
                if seen(&row.outcome) != fate {
                    differences.push(format!("{consent:?}: {row:?}: came {fate}"));
                }
                came.insert(row, fate);
            }
        }
        let audit = AuditLog::of_user(site.ns.control_plane(), &site.looker.name).await;
        assert_eq!((audit.changes().len(), audit.rehearsals().len()), (0, rehearsed), "dry runs and refusals");
        // Nothing of what was called off may go on by itself.
        machine::until(&site.ns, VMI, "no mark is left", |all| {
            all.iter().all(|vmi| vmi["status"]["evacuationNodeName"].is_null())
        })
        .await;
    }
    for (consent, row) in &planned {
        match came.get(row) {
            Some(fate) if *fate == seen(&row.outcome) => {}
            other => differences.push(format!("{consent:?}: {row:?}: came {other:?}")),
        }
    }
    println!("{strategy}: {} cases compared, {} differ; {} run", planned.len(), differences.len(), came.len());
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn of_machines_that_are_to_migrate() {
    predictions_come_true("vd-live", "LiveMigrate").await;
}

#[tokio::test]
async fn of_machines_that_are_to_migrate_if_they_can() {
    predictions_come_true("vd-possible", "LiveMigrateIfPossible").await;
}

#[tokio::test]
async fn of_machines_that_are_shut_down() {
    predictions_come_true("vd-none", "None").await;
}

#[tokio::test]
async fn of_machines_that_somebody_else_manages() {
    predictions_come_true("vd-external", "External").await;
}
