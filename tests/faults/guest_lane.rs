//! Virtual machines on two nodes, evacuated from one to the other and back: each case begins where the one before it
//! ended.
//!
//! | machine | what becomes of it |
//! |---|---|
//! | `moves` | migrates, asked for by an eviction |
//! | `own` | has strategy None and can migrate: by a migration of the run's own |
//! | `stays` | cannot migrate and is restarted |
//! | `off` | cannot migrate, nobody would start it again: it is stopped, which an undo takes back |

use std::fmt::Write as _;
use std::time::Duration;

use e2e::kubevirt::Setup;
use e2e::kubevirt::controller::ControllerSetup;
use e2e::kubevirt::machine::{self, MachineBuilder};
use e2e::{ControlPlane, Invocation, KubeVirt, Namespace, Plugin, User};
use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::kill_matrix::{Scene, Size, expect, matrix};
use crate::lane;

const VMI: &str = "VirtualMachineInstance";
const VM: &str = "VirtualMachine";
const MIGRATION: &str = "VirtualMachineInstanceMigration";
const WHY: (&str, &str) = ("DisksNotLiveMigratable", "its disk is not shared");

/// How long one run may take: a dead run of another host is watched for 15 s.
const RUN_DEADLINE: Duration = Duration::from_secs(300);

/// The machines that are never shut down, with the uid that each has to keep.
pub(crate) struct Case {
    began: Timestamp,
    kept: [(&'static str, Value); 2],
    restarted: Value,
}

pub(crate) struct GuestLane {
    ns: Namespace,
    other: User,
    old: String,
    new: String,
}

#[tokio::test]
async fn virtual_machines_survive_a_blow_at_every_request() {
    let setup = Setup {
        parallel_migrations_per_cluster: 1000,
        controllers: Some(ControllerSetup { time_divisor: 40 }),
        ..Setup::default()
    };
    let kubevirt = KubeVirt::install(&ControlPlane::start(), setup).await;
    let size = Size { lanes: 4, sample: 12 };
    matrix("four virtual machines", kubevirt.control_plane(), size, async || {
        GuestLane::start(kubevirt.control_plane()).await
    })
    .await;
}

fn is_over(migration: &Value) -> bool {
    matches!(migration["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}

impl GuestLane {
    async fn start(control_plane: &ControlPlane) -> Self {
        let ns = Namespace::fresh(control_plane, "guests").await;
        let old = machine::node(&ns, "left").create().await;
        let vm = |name| machine::virtual_machine(&ns, name);
        let machines = vec![
            vm("moves").eviction_strategy("LiveMigrate"),
            vm("own").eviction_strategy("None"),
            vm("stays").eviction_strategy("LiveMigrate").not_migratable(WHY.0, WHY.1),
            Self::off(&ns),
        ];
        join_all(machines.into_iter().map(MachineBuilder::running)).await;
        let new = machine::node(&ns, "right").create().await;
        let other = control_plane.operator(ns.name());
        Self { ns, other, old, new }
    }

    fn off(ns: &Namespace) -> MachineBuilder<'_> {
        let vm = machine::virtual_machine(ns, "off").run_strategy("Once");
        vm.eviction_strategy("None").not_migratable(WHY.0, WHY.1)
    }

    async fn all(&self, kind: &str) -> Vec<Value> {
        machine::until(&self.ns, kind, "they are read", |_| true).await
    }

    async fn instance(&self, name: &str) -> Value {
        self.all(VMI).await.into_iter().find(|vmi| vmi["metadata"]["name"] == name).unwrap_or_default()
    }

    async fn cordon(&self, node: &str, is_cordoned: bool) {
        let patch = json!({ "spec": { "unschedulable": is_cordoned } });
        self.ns.nodes().patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// The guests that were to move run on, the same as before.
    async fn judge_guests(&self, case: &Case, wrong: &mut String) {
        for (name, uid) in &case.kept {
            let vmi = self.instance(name).await;
            if vmi["metadata"]["uid"] != *uid || vmi["status"]["phase"] != "Running" {
                let _ = writeln!(wrong, "{name} is not what it was: {} {}", vmi["metadata"]["uid"], vmi["status"]);
            }
        }
    }

    /// Nothing goes on by itself; `copies`: but what copies already.
    async fn judge_evacuations(&self, copies: bool, wrong: &mut String) {
        for vmi in self.all(VMI).await.iter().filter(|vmi| !vmi["status"]["evacuationNodeName"].is_null()) {
            let _ = writeln!(wrong, "{} is marked: {}", vmi["metadata"]["name"], vmi["status"]);
        }
        let goes_on = |one: &&Value| {
            let is_ending = !one["metadata"]["deletionTimestamp"].is_null();
            let is_copied = copies && one["status"]["phase"] == "Running";
            !is_over(one) && !is_ending && !is_copied
        };
        for migration in self.all(MIGRATION).await.iter().filter(goes_on) {
            let _ = writeln!(wrong, "a migration goes on: {} {}", migration["metadata"], migration["status"]);
        }
    }

    /// What the runs of the case asked for: no launcher more often than there were runs, no restart twice.
    async fn judge_requests(&self, case: &Case, wrong: &mut String) {
        let mut restarts = 0;
        for user in [self.ns.user(), &self.other] {
            let audit = e2e::AuditLog::of_user(self.ns.control_plane(), &user.name).await.since(case.began);
            restarts += audit
                .changes()
                .iter()
                .filter(|event| event.subresource == "restart" && (200..300).contains(&event.code))
                .count();
        }
        if restarts > 1 {
            let _ = writeln!(wrong, "it was restarted {restarts} times");
        }
    }
}

impl Scene for GuestLane {
    type Case = Case;

    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn other(&self) -> &User {
        &self.other
    }

    fn old(&self) -> &str {
        &self.old
    }

    fn command(&self) -> Invocation {
        let consent = format!("--allow-loss={}/off", self.ns.name());
        let arguments = [&self.old, "--yes", "--non-migratable=restart", &consent];
        Plugin::vmievict(&self.ns).args(arguments).deadline(RUN_DEADLINE)
    }

    fn undo(&self) -> Invocation {
        Plugin::vmievict(&self.ns).args([&self.old, "--undo"]).deadline(RUN_DEADLINE)
    }

    async fn begin(&self) -> Case {
        let uid = async |name| self.instance(name).await["metadata"]["uid"].clone();
        let kept = [("moves", uid("moves").await), ("own", uid("own").await)];
        Case { began: Timestamp::now(), kept, restarted: uid("stays").await }
    }

    async fn judge_stopped(&self, case: &Case, wrong: &mut String) {
        lane::judge_lock(&self.ns, &self.old, wrong).await;
        self.judge_guests(case, wrong).await;
        self.judge_evacuations(true, wrong).await;
    }

    async fn judge_undone(&self, case: &Case, wrong: &mut String) {
        lane::judge_lock(&self.ns, &self.old, wrong).await;
        self.judge_guests(case, wrong).await;
        self.judge_evacuations(false, wrong).await;
        lane::judge_given_back(&self.ns, &self.old, wrong).await;
        let off = self.all(VM).await.into_iter().find(|vm| vm["metadata"]["name"] == "off").unwrap_or_default();
        if off["spec"]["runStrategy"] != "Once" {
            let _ = writeln!(wrong, "off has run strategy {}", off["spec"]["runStrategy"]);
        }
    }

    async fn judge(&self, case: Case, wrong: &mut String) {
        lane::judge_lock(&self.ns, &self.old, wrong).await;
        self.judge_guests(&case, wrong).await;
        self.judge_evacuations(false, wrong).await;
        self.judge_requests(&case, wrong).await;
        let stays = machine::until_phase(&self.ns, "stays", "Running").await;
        if stays["metadata"]["uid"] == case.restarted {
            let _ = writeln!(wrong, "stays was not restarted");
        }
        for vmi in self.all(VMI).await {
            let (name, phase) = (&vmi["metadata"]["name"], vmi["status"]["phase"].as_str());
            let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
            if !has_ended && vmi["status"]["nodeName"] != self.new {
                let _ = writeln!(wrong, "{name} is on {}, {phase:?}", vmi["status"]["nodeName"]);
            }
        }
        let node = self.ns.nodes().get(&self.old).await.unwrap();
        let mark = node.annotations().get("handover/run").cloned().unwrap_or_default();
        if !mark.contains("drained") || !lane::is_cordoned(&node) {
            let _ = writeln!(wrong, "node {} is not marked as drained: {mark}", self.old);
        }
    }

    async fn turn_round(&mut self, wrong: &mut String) {
        expect(&self.undo().run().await, &[0], wrong);
        lane::judge_given_back(&self.ns, &self.old, wrong).await;
        // Where it started again is the scheduler's choice: the next case needs it on the other node.
        machine::api(&self.ns, VM).delete("off", &DeleteParams::default()).await.unwrap();
        let is_gone = |all: &[Value]| all.iter().all(|one| one["metadata"]["name"] != "off");
        machine::until(&self.ns, VM, "the machine is gone", is_gone).await;
        machine::until(&self.ns, VMI, "its instance is gone", is_gone).await;
        self.cordon(&self.old, true).await;
        Self::off(&self.ns).running().await;
        self.cordon(&self.old, false).await;
        std::mem::swap(&mut self.old, &mut self.new);
    }
}
