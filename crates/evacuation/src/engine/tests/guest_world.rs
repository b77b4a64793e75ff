//! A small KubeVirt for the engine's tests: one node with guests, another to go to, and watches that lag behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use cluster_model::fixtures::kubevirt::{self as kubevirt_objects, ObjectBuilder};
use cluster_model::fixtures::{self, at};
use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::{
    NodeVerdict, NonMigratable, VirtualChange, VirtualMachineReply, Virtualization, VmPolicy, whats_left,
};
use cluster_model::marks::{NodeRun, StoppedMachine};
use cluster_model::snapshot::{Change, ClusterSnapshot};

use super::{Engine, Input, Moment, Outcome, RunIdentity};
use crate::engine::{Command, CommandId, GuestCommand, Reply};
use crate::guests::GuestRequest;
use crate::plan;
use crate::request::DrainRequest;

pub(super) const OLD: &str = "old";
const NEW: &str = "new";

/// What a guest is, as far as its evacuation depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) strategy: &'static str,
    pub(super) migratable: bool,
    /// `Always`, `Manual`, `RerunOnFailure`, `Once`, `ReplicaSet` or `Nobody`.
    pub(super) owner: &'static str,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// One kind's watch catches up.
    Deliver(u8),
    /// The server does what was asked for.
    Execute(u8),
    /// An answer arrives.
    Answer(u8),
    /// The connection breaks after the server did it.
    LoseAnswer(u8),
    /// The connection breaks before.
    LoseRequest(u8),
    /// KubeVirt takes a step with one guest.
    KubeVirt(u8),
    /// A migration fails.
    Fail(u8),
    /// A pod that is done ends.
    Exit(u8),
    /// Time passes.
    Time,
    /// The run is killed and started again.
    Kill,
    /// Somebody takes the mark off.
    Cancel(u8),
    /// Somebody deletes a migration.
    DeleteMigration(u8),
    /// Somebody deletes an instance.
    DeleteInstance(u8),
    /// Somebody migrates a guest.
    Migrate(u8),
}

#[derive(Clone, Debug, PartialEq)]
struct Guest {
    kind: Kind,
    name: String,
    /// `None`: off.
    instance: Option<Instance>,
    is_halted: bool,
    is_changing: bool,
    is_gone: bool,
    incarnation: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Instance {
    uid: String,
    node: &'static str,
    mark: bool,
    is_final: bool,
    is_ending: bool,
    state: Option<(String, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Attempt {
    name: String,
    vm: usize,
    phase: &'static str,
    evacuates: bool,
    own: bool,
    from: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
struct Launcher {
    name: String,
    vm: usize,
    vm_uid: String,
    node: &'static str,
    attempt: Option<String>,
    has_ended: bool,
}

const PHASES: [&str; 6] = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running"];

/// The cluster as it is, what the run knows of it, and the run.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one small cluster")]
pub(super) struct GuestWorld {
    guests: Vec<Guest>,
    attempts: Vec<Attempt>,
    launchers: Vec<Launcher>,
    is_cordoned: bool,
    mark: Option<NodeRun>,
    database: bool,
    view: ClusterSnapshot,
    told: [BTreeSet<(ObjectKey, Uid)>; 4],
    engine: Engine,
    policy: VmPolicy,
    asked: Vec<(CommandId, Command)>,
    answers: Vec<(CommandId, Reply)>,
    elapsed: Duration,
    serial: u32,
    story: String,
    evictions: BTreeMap<String, u32>,
    lost: u32,
    kills: u32,
    pub(super) is_hostile: bool,
    pub(super) outcome: Option<Outcome>,
    is_undo: bool,
}

impl GuestWorld {
    pub(super) fn new(kinds: &[Kind], non_migratable: NonMigratable) -> Self {
        let guests: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| Guest {
                kind: *kind,
                name: format!("vm-{index}"),
                instance: Some(Instance {
                    uid: format!("uid-vm-{index}-0"),
                    node: OLD,
                    mark: false,
                    is_final: false,
                    is_ending: false,
                    state: None,
                }),
                is_halted: false,
                is_changing: false,
                is_gone: false,
                incarnation: 0,
            })
            .collect();
        let launchers = (0..kinds.len()).map(|vm| Launcher {
            name: format!("virt-launcher-vm-{vm}-0"),
            vm,
            vm_uid: format!("uid-vm-{vm}-0"),
            node: OLD,
            attempt: None,
            has_ended: false,
        });
        let allow_loss = (0..kinds.len()).map(|vm| ObjectKey::new("shop", format!("vm-{vm}"))).collect();
        let policy = VmPolicy { non_migratable, allow_loss };
        let mut world = Self {
            launchers: launchers.collect(),
            guests,
            attempts: Vec::new(),
            is_cordoned: false,
            mark: None,
            database: true,
            view: ClusterSnapshot::default(),
            told: Default::default(),
            engine: Engine::undo(&[], &[], DrainRequest::default(), RunIdentity::default()),
            policy,
            asked: Vec::new(),
            answers: Vec::new(),
            elapsed: Duration::ZERO,
            serial: 0,
            story: String::new(),
            evictions: BTreeMap::new(),
            lost: 0,
            kills: 0,
            is_hostile: false,
            outcome: None,
            is_undo: false,
        };
        world.start(false);
        world
    }

    /// A new run, which has looked at everything.
    pub(super) fn start(&mut self, is_undo: bool) {
        self.view = ClusterSnapshot::default();
        self.told = Default::default();
        kubevirt_objects::kubevirt("v1.9.0").change().into_iter().for_each(|change| self.apply(change));
        for kind in 0..6 {
            self.deliver(kind);
        }
        let request = DrainRequest {
            guests: GuestRequest {
                policy: self.policy.clone(),
                timeout: Some(Duration::from_secs(300)),
                ..GuestRequest::default()
            },
            ..DrainRequest::default()
        };
        let nodes = [NodeName::from(OLD)];
        self.is_undo = is_undo;
        self.engine = if is_undo {
            Engine::undo(&nodes, &[], request, RunIdentity::default())
        } else {
            let plan =
                plan::build(&nodes, &request, &self.view, &crate::surge::detach::Circumstances::default(), None, at(0));
            Engine::drain(&plan, request, crate::surge::detach::Circumstances::default(), RunIdentity::default())
        };
        self.asked.clear();
        self.answers.clear();
        self.outcome = None;
        self.tell(format_args!("start, undo {is_undo}"));
        self.turn(vec![Input::Woke]);
    }

    pub(super) fn interrupt(&mut self) {
        self.tell(format_args!("interrupt"));
        self.turn(vec![Input::Interrupted]);
    }

    fn tell(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.story, "{:>8.1} {line}", self.elapsed.as_secs_f32());
    }

    pub(super) fn story(&self) -> String {
        format!("{}\n{:#?}\n{:#?}\n{:#?}", self.story, self.guests, self.attempts, self.launchers)
    }

    fn now(&self) -> Moment {
        let seconds = i64::try_from(self.elapsed.as_secs()).unwrap_or(i64::MAX);
        Moment { wall: at(1_000 + seconds), elapsed: self.elapsed }
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        if self.outcome.is_some() {
            return;
        }
        let turn = self.engine.on(inputs, &self.view, self.now());
        for event in &turn.events {
            self.tell(format_args!("  {event:?}"));
        }
        for (id, command) in turn.commands {
            self.tell(format_args!("  asks {command:?}"));
            self.asked.push((id, command));
        }
        self.outcome = turn.finished;
        if let Some(outcome) = turn.finished {
            self.tell(format_args!("ends: {outcome:?}"));
        }
    }

    pub(super) fn act(&mut self, act: Act) {
        let line = format!("{act:?}");
        let pick = |number: u8, length: usize| usize::from(number) % length.max(1);
        let done = match act {
            Act::Deliver(kind) => {
                self.deliver(kind);
                true
            }
            Act::Execute(number) => {
                let index = pick(number, self.asked.len());
                (index < self.asked.len()).then(|| self.execute(index)).is_some()
            }
            Act::Answer(number) => {
                let index = pick(number, self.answers.len());
                (index < self.answers.len()).then(|| self.answer(index)).is_some()
            }
            Act::LoseAnswer(number) => {
                let index = pick(number, self.asked.len());
                (index < self.asked.len())
                    .then(|| {
                        self.execute(index);
                        self.lose();
                    })
                    .is_some()
            }
            Act::LoseRequest(number) => {
                let index = pick(number, self.asked.len());
                (index < self.asked.len())
                    .then(|| {
                        let (id, _) = self.asked.remove(index);
                        self.answers.push((id, Reply::Unanswered("lost".into())));
                    })
                    .is_some()
            }
            Act::KubeVirt(number) => self.kubevirt(pick(number, self.guests.len())),
            Act::Fail(number) => {
                let open: Vec<_> = (0..self.attempts.len()).filter(|index| self.is_open(*index)).collect();
                open.get(pick(number, open.len())).map(|index| self.fail(*index)).is_some()
            }
            Act::Exit(number) => {
                let index = pick(number, self.launchers.len());
                self.exit(index)
            }
            Act::Time => {
                // No watch lags so far behind.
                (0..6).for_each(|kind| self.deliver(kind));
                self.turn(vec![Input::Woke]);
                self.elapsed += Duration::from_secs(5);
                true
            }
            Act::Kill => {
                let unanswered = u32::try_from(self.asked.len() + self.answers.len()).unwrap_or(0);
                self.kills += 1;
                self.lost += unanswered;
                let is_undo = self.is_undo;
                // What was on its way may still arrive.
                while !self.asked.is_empty() {
                    self.execute(0);
                }
                self.start(is_undo);
                true
            }
            Act::Cancel(number) => {
                self.is_hostile = true;
                let index = pick(number, self.guests.len());
                let instance = self.guests[index].instance.as_mut();
                instance.map(|instance| instance.mark = false).is_some()
            }
            Act::DeleteMigration(number) => {
                self.is_hostile = true;
                let open: Vec<_> = (0..self.attempts.len()).filter(|index| self.is_open(*index)).collect();
                open.get(pick(number, open.len())).map(|index| self.abort(*index)).is_some()
            }
            Act::DeleteInstance(number) => {
                self.is_hostile = true;
                let index = pick(number, self.guests.len());
                let instance = self.guests[index].instance.as_mut();
                instance.map(|instance| instance.is_ending = true).is_some()
            }
            Act::Migrate(number) => {
                self.is_hostile = true;
                let vm = pick(number, self.guests.len());
                self.make_attempt(vm, false, false)
            }
        };
        if done {
            self.tell(format_args!("{line}"));
            self.turn(vec![Input::Woke]);
            self.check();
        }
    }

    /// Everything happens that is due, in order, until the run ends.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.outcome.is_some() {
                break;
            }
            while !self.asked.is_empty() {
                self.execute(0);
            }
            while !self.answers.is_empty() {
                self.answer(0);
            }
            for vm in 0..self.guests.len() {
                self.kubevirt(vm);
            }
            for launcher in 0..self.launchers.len() {
                self.exit(launcher);
            }
            for kind in 0..6 {
                self.deliver(kind);
            }
            self.elapsed += Duration::from_secs(1);
            self.turn(vec![Input::Woke]);
            self.check();
        }
        assert!(self.outcome.is_some(), "the run never ends\n{}", self.story());
    }

    fn lose(&mut self) {
        if let Some((_, reply)) = self.answers.last_mut() {
            *reply = Reply::Unanswered("lost".into());
            self.lost += 1;
        }
    }

    fn answer(&mut self, index: usize) {
        let (id, reply) = self.answers.remove(index);
        self.tell(format_args!("  hears {reply:?}"));
        self.turn(vec![Input::Replied(id, reply)]);
    }

    fn execute(&mut self, index: usize) {
        let (id, command) = self.asked.remove(index);
        let reply = self.perform(&command);
        self.answers.push((id, reply));
    }

    fn perform(&mut self, command: &Command) -> Reply {
        match command {
            Command::Cordon { mark, .. } => {
                self.is_cordoned = true;
                self.mark = Some(mark.clone());
                Reply::Done
            }
            Command::Mark { mark, .. } => {
                self.mark = Some(mark.clone());
                Reply::Done
            }
            Command::Release { uncordon, .. } => {
                self.mark = None;
                self.is_cordoned &= !uncordon;
                Reply::Done
            }
            Command::Evict { .. } => {
                let on_old = |guest: &Guest| {
                    guest.instance.as_ref().is_some_and(|instance| instance.node == OLD && !instance.is_final)
                };
                assert!(!self.guests.iter().any(on_old), "a pod goes before the guests\n{}", self.story());
                self.database = false;
                Reply::Done
            }
            Command::Guest(command) => self.perform_guest(command),
            other => panic!("unexpected {other:?}\n{}", self.story()),
        }
    }

    fn guest_of(&self, key: &ObjectKey) -> usize {
        self.guests.iter().position(|guest| guest.name == key.name).unwrap_or_else(|| panic!("no guest {key}"))
    }

    fn perform_guest(&mut self, command: &GuestCommand) -> Reply {
        match command {
            GuestCommand::EvictLauncher { pod } => self.evict(pod),
            GuestCommand::CreateMigration { vm, .. } => {
                let vm = self.guest_of(vm);
                let Some(instance) = &self.guests[vm].instance else { return Reply::Gone };
                if instance.is_final || !self.guests[vm].kind.migratable {
                    return Reply::Denied("Cannot migrate VMI".into());
                }
                if self.make_attempt(vm, false, true) {
                    Reply::Done
                } else {
                    Reply::Denied("in-flight migration detected.".into())
                }
            }
            GuestCommand::DeleteMigration { migration, .. } => {
                match (0..self.attempts.len()).find(|index| self.attempts[*index].name == migration.name) {
                    Some(index) if self.is_open(index) => {
                        self.abort(index);
                        Reply::Done
                    }
                    _ => Reply::Gone,
                }
            }
            GuestCommand::CancelEvacuation { vm, node } => {
                let vm = self.guest_of(vm);
                match self.guests[vm].instance.as_mut() {
                    None => Reply::Gone,
                    Some(instance) if instance.mark && node.0 != OLD => Reply::Unanswered("500".into()),
                    Some(instance) => {
                        instance.mark = false;
                        Reply::Done
                    }
                }
            }
            GuestCommand::RestartMachine { machine } => {
                let vm = self.guest_of(machine);
                self.consents(vm);
                match self.guests[vm].instance.as_mut().filter(|instance| !instance.is_final) {
                    None => Reply::Denied("409: VM is not running".into()),
                    Some(instance) => {
                        instance.is_ending = true;
                        self.guests[vm].is_changing = true;
                        Reply::Done
                    }
                }
            }
            GuestCommand::StopMachine { machine } => {
                let vm = self.guest_of(machine);
                self.consents(vm);
                let recorded = |stopped: &StoppedMachine| stopped.key == *machine;
                let is_recorded = self.mark.as_ref().is_some_and(|mark| mark.stopped.iter().any(recorded));
                if matches!(self.guests[vm].kind.owner, "Always" | "Once") {
                    assert!(is_recorded, "what a stop changes is written down before\n{}", self.story());
                    self.guests[vm].is_halted = true;
                }
                if let Some(instance) = self.guests[vm].instance.as_mut() {
                    instance.is_ending = true;
                }
                Reply::Done
            }
            GuestCommand::RestoreMachine { machine } => {
                let vm = self.guest_of(&machine.key);
                self.guests[vm].is_halted = false;
                Reply::Done
            }
            GuestCommand::DeleteInstance { vm, .. } => {
                let vm = self.guest_of(vm);
                self.consents(vm);
                match self.guests[vm].instance.as_mut() {
                    None => Reply::Gone,
                    Some(instance) => {
                        instance.is_ending = true;
                        Reply::Done
                    }
                }
            }
            GuestCommand::RemoveTaint { .. } => Reply::Done,
        }
    }

    /// The webhook's table, reference 2.
    fn evict(&mut self, pod: &PodId) -> Reply {
        let Some(index) = self.launchers.iter().position(|launcher| launcher.name == pod.name) else {
            return Reply::Evicted(cluster_model::eviction_reply::EvictionReply::Gone);
        };
        let launcher = self.launchers[index].clone();
        let guest = &self.guests[launcher.vm];
        *self.evictions.entry(launcher.vm_uid.clone()).or_default() += 1;
        let key = ObjectKey::new("shop", guest.name.clone());
        let kind = guest.kind;
        assert!(launcher.node == OLD, "only pods of the node are evicted\n{}", self.story());
        let Some(instance) = &guest.instance else {
            return Reply::Launcher(VirtualMachineReply::InstanceMissing { message: "not found".into() });
        };
        let refused = |reply| Reply::Launcher(reply);
        let is_protected = match kind.strategy {
            "LiveMigrate" if !kind.migratable => {
                return refused(VirtualMachineReply::NotMigratable { instance: key.name });
            }
            "LiveMigrate" | "External" => true,
            "LiveMigrateIfPossible" => kind.migratable,
            _ => false,
        };
        if !is_protected {
            self.consents(launcher.vm);
            if let Some(instance) = self.guests[launcher.vm].instance.as_mut() {
                instance.is_ending = true;
            }
            return Reply::Done;
        }
        if instance.mark {
            return refused(VirtualMachineReply::EvacuationInProgress { instance: key });
        }
        if instance.node != launcher.node {
            return refused(VirtualMachineReply::NotTheGuestsPod);
        }
        if let Some(instance) = self.guests[launcher.vm].instance.as_mut() {
            instance.mark = true;
        }
        refused(VirtualMachineReply::EvacuationStarted { instance: key })
    }

    /// A guest that can migrate is never ended, and none but by the policy.
    fn consents(&self, vm: usize) {
        let kind = self.guests[vm].kind;
        assert!(!kind.migratable, "a guest that can migrate is shut down\n{}", self.story());
        assert!(self.policy.non_migratable != NonMigratable::Leave, "it was to be left\n{}", self.story());
    }

    fn is_open(&self, index: usize) -> bool {
        !matches!(self.attempts[index].phase, "Succeeded" | "Failed")
    }

    fn open_of(&self, vm: usize) -> Option<usize> {
        (0..self.attempts.len()).find(|index| self.attempts[*index].vm == vm && self.is_open(*index))
    }

    fn make_attempt(&mut self, vm: usize, evacuates: bool, own: bool) -> bool {
        let running = self.guests[vm].instance.as_ref().filter(|instance| !instance.is_final && !instance.is_ending);
        let Some(from) = running.map(|instance| instance.node) else { return false };
        if self.open_of(vm).is_some() || !self.guests[vm].kind.migratable {
            return false;
        }
        self.serial += 1;
        let name = format!("migration-{}", self.serial);
        self.attempts.push(Attempt { name, vm, phase: "Pending", evacuates, own, from });
        true
    }

    fn abort(&mut self, index: usize) {
        let attempt = self.attempts.remove(index);
        self.launchers
            .iter_mut()
            .filter(|launcher| launcher.attempt.as_ref() == Some(&attempt.name))
            .for_each(|launcher| launcher.has_ended = true);
    }

    fn fail(&mut self, index: usize) {
        self.attempts[index].phase = "Failed";
        let name = self.attempts[index].name.clone();
        let its = |launcher: &&mut Launcher| launcher.attempt.as_ref() == Some(&name);
        self.launchers.iter_mut().filter(its).for_each(|launcher| launcher.has_ended = true);
    }

    /// One step of virt-controller and virt-handler with one guest.
    fn kubevirt(&mut self, vm: usize) -> bool {
        let guest = self.guests[vm].clone();
        let Some(instance) = guest.instance.clone() else {
            let comes_back = match guest.kind.owner {
                "Always" => !guest.is_halted,
                _ => false,
            };
            return comes_back && !guest.is_gone && self.boot(vm);
        };
        if instance.is_ending && !instance.is_final {
            if let Some(index) = self.open_of(vm) {
                self.fail(index);
            }
            if let Some(instance) = self.guests[vm].instance.as_mut() {
                instance.is_final = true;
                instance.mark = false;
            }
            self.launchers.iter_mut().filter(|one| one.vm_uid == instance.uid).for_each(|one| one.has_ended = true);
            return true;
        }
        if instance.is_final {
            // A restart, a replica set, or Always.
            self.guests[vm].instance = None;
            let comes_back = match guest.kind.owner {
                "Always" => !guest.is_halted,
                "Manual" | "RerunOnFailure" => self.policy.non_migratable != NonMigratable::Stop,
                "ReplicaSet" => true,
                _ => false,
            };
            return !comes_back || self.boot(vm);
        }
        let is_migratable =
            guest.kind.migratable && matches!(guest.kind.strategy, "LiveMigrate" | "LiveMigrateIfPossible");
        match self.open_of(vm) {
            None if instance.mark && instance.node == OLD && is_migratable => self.make_attempt(vm, true, false),
            None => false,
            Some(index) => {
                self.migrate(vm, index);
                true
            }
        }
    }

    fn boot(&mut self, vm: usize) -> bool {
        let guest = &mut self.guests[vm];
        guest.is_changing = false;
        guest.incarnation += 1;
        let uid = format!("uid-vm-{vm}-{}", guest.incarnation);
        let node = if self.is_cordoned { NEW } else { OLD };
        guest.instance =
            Some(Instance { uid: uid.clone(), node, mark: false, is_final: false, is_ending: false, state: None });
        self.serial += 1;
        let name = format!("virt-launcher-vm-{vm}-{}", self.serial);
        self.launchers.push(Launcher { name, vm, vm_uid: uid, node, attempt: None, has_ended: false });
        true
    }

    fn migrate(&mut self, vm: usize, index: usize) {
        let attempt = self.attempts[index].clone();
        let position = PHASES.iter().position(|phase| *phase == attempt.phase).unwrap_or(0);
        let target = if attempt.from == OLD || self.is_cordoned { NEW } else { OLD };
        if let Some(next) = PHASES.get(position + 1) {
            self.attempts[index].phase = next;
            if position == 0 {
                let uid = self.guests[vm].instance.as_ref().map(|instance| instance.uid.clone()).unwrap_or_default();
                self.serial += 1;
                self.launchers.push(Launcher {
                    name: format!("virt-launcher-vm-{vm}-{}", self.serial),
                    vm,
                    vm_uid: uid,
                    node: target,
                    attempt: Some(attempt.name),
                    has_ended: false,
                });
            }
            return;
        }
        if let Some(instance) = self.guests[vm].instance.as_mut() {
            instance.node = target;
            instance.mark = false;
            instance.state = Some((attempt.name, true));
        }
        self.attempts[index].phase = "Succeeded";
    }

    /// The source of a migration that is over ends.
    fn exit(&mut self, index: usize) -> bool {
        let Some(launcher) = self.launchers.get(index).cloned() else { return false };
        let guest = &self.guests[launcher.vm];
        let instance = guest.instance.as_ref().filter(|instance| instance.uid == launcher.vm_uid);
        let is_done =
            instance.is_none_or(|instance| instance.node != launcher.node && self.open_of(launcher.vm).is_none());
        if launcher.has_ended || !is_done {
            return false;
        }
        self.launchers[index].has_ended = true;
        true
    }

    fn objects(&self, kind: u8) -> Vec<ObjectBuilder> {
        match kind {
            0 => self.guests.iter().enumerate().filter_map(|(vm, guest)| Self::instance_object(vm, guest)).collect(),
            1 => self.attempts.iter().map(|attempt| self.attempt_object(attempt)).collect(),
            2 => self.launchers.iter().map(|launcher| self.launcher_object(launcher)).collect(),
            _ => self.guests.iter().filter_map(machine_object).collect(),
        }
    }

    fn instance_object(vm: usize, guest: &Guest) -> Option<ObjectBuilder> {
        let instance = guest.instance.as_ref()?;
        let mut object = kubevirt_objects::instance("shop", &guest.name)
            .set("/metadata/uid", instance.uid.as_str())
            .on(instance.node)
            .strategy(guest.kind.strategy)
            .phase(if instance.is_final { "Succeeded" } else { "Running" });
        object = if guest.kind.migratable { object.migratable() } else { object.not_migratable() };
        object = match guest.kind.owner {
            "Nobody" => object,
            "ReplicaSet" => {
                object.owned_by("kubevirt.io/v1", "VirtualMachineInstanceReplicaSet", "set", &format!("uid-set-{vm}"))
            }
            _ => object.of_machine(),
        };
        if instance.mark {
            object = object.marked(OLD);
        }
        if let Some((attempt, _)) = &instance.state {
            object = object.set(
                "/status/migrationState",
                serde_json::json!({"migrationUid": format!("uid-{attempt}"), "completed": true,
                    "sourceNode": OLD, "targetNode": instance.node, "endTimestamp": "1970-01-01T00:00:10Z"}),
            );
        }
        Some(object)
    }

    fn attempt_object(&self, attempt: &Attempt) -> ObjectBuilder {
        let mut object = kubevirt_objects::migration("shop", &attempt.name, &self.guests[attempt.vm].name)
            .set("/status/phase", attempt.phase);
        if attempt.evacuates {
            object = object.evacuating(attempt.from);
        }
        if attempt.own {
            object = object.annotation("handover/evacuates", attempt.from);
        }
        object
    }

    fn launcher_object(&self, launcher: &Launcher) -> ObjectBuilder {
        let guest = &self.guests[launcher.vm];
        let mut object = kubevirt_objects::launcher("shop", &guest.name, &launcher.name, launcher.node)
            .set("/metadata/name", launcher.name.as_str())
            .owned_by("kubevirt.io/v1", "VirtualMachineInstance", &guest.name, &launcher.vm_uid);
        if let Some(attempt) = &launcher.attempt {
            object = object.target_of(&format!("uid-{attempt}"));
        }
        if launcher.has_ended { object.set("/status/phase", "Succeeded") } else { object }
    }

    fn deliver(&mut self, kind: u8) {
        let kind = kind % 6;
        if kind == 4 {
            let mut node = fixtures::node(OLD);
            node.unschedulable = self.is_cordoned;
            node.run = self.mark.as_ref().and_then(|mark| serde_json::to_string(mark).ok());
            self.view.apply(Change::Node(Box::new(node)));
            return;
        }
        if kind == 5 {
            let pod = fixtures::pod("shop", "db").on(OLD).ready().managed_by("apps/v1", "StatefulSet", "db").build();
            let id = pod.id.clone();
            let change = if self.database { Change::Pod(Box::new(pod)) } else { Change::PodGone(id) };
            self.view.apply(change);
            return;
        }
        let objects = self.objects(kind);
        let keys: BTreeSet<_> = objects
            .iter()
            .map(|object| cluster_model::kubevirt::Metadata::from(&object.build()))
            .map(|metadata| (metadata.key, metadata.uid))
            .collect();
        let gone: Vec<_> = self.told[usize::from(kind)].difference(&keys).cloned().collect();
        for (key, uid) in gone {
            let id = PodId { namespace: key.namespace.clone(), name: key.name.clone(), uid: uid.clone() };
            self.apply(match kind {
                0 => VirtualChange::InstanceGone(key, uid),
                1 => VirtualChange::MigrationGone(key, uid),
                2 => VirtualChange::PodGone(id),
                _ => VirtualChange::MachineGone(key, uid),
            });
        }
        objects.iter().filter_map(ObjectBuilder::change).for_each(|change| self.apply(change));
        self.told[usize::from(kind)] = keys;
    }

    fn apply(&mut self, change: VirtualChange) {
        self.view.apply(Change::Virtual(Box::new(change)));
    }

    /// What holds after every act.
    fn check(&self) {
        if self.is_hostile {
            return;
        }
        for (uid, number) in &self.evictions {
            let most = 1 + self.lost + self.kills;
            assert!(*number <= most, "{uid} was evicted {number} times\n{}", self.story());
        }
    }

    /// The cluster as it is, to judge the end by.
    pub(super) fn truth(&self) -> Virtualization {
        let objects: Vec<_> = (0..4).flat_map(|kind| self.objects(kind)).collect();
        kubevirt_objects::virtualization(&objects)
    }

    pub(super) fn is_empty(&self) -> bool {
        whats_left(&NodeName::from(OLD), &self.truth()) == NodeVerdict::Empty
    }

    /// Whether an evacuation of the old node goes on by itself. A migration that copies already ends by itself.
    pub(super) fn goes_on(&self, counts_copying: bool) -> bool {
        let is_marked =
            |guest: &Guest| guest.instance.as_ref().is_some_and(|instance| instance.mark && !instance.is_final);
        let is_under_way = |index: usize| {
            let attempt = &self.attempts[index];
            let is_counted = counts_copying || attempt.phase != "Running";
            self.is_open(index) && (attempt.evacuates || attempt.own) && attempt.from == OLD && is_counted
        };
        self.guests.iter().any(is_marked) || (0..self.attempts.len()).any(is_under_way)
    }

    /// Whether the node is as it was before.
    pub(super) fn is_given_back(&self) -> bool {
        !self.is_cordoned && self.mark.is_none() && self.guests.iter().all(|guest| !guest.is_halted)
    }

    pub(super) fn has_database(&self) -> bool {
        self.database
    }
}

fn machine_object(guest: &Guest) -> Option<ObjectBuilder> {
    let strategy = match guest.kind.owner {
        "Nobody" | "ReplicaSet" => return None,
        _ if guest.is_halted => "Halted",
        strategy => strategy,
    };
    let object = kubevirt_objects::machine("shop", &guest.name, strategy);
    let requests = serde_json::json!([{"action": "Stop"}, {"action": "Start"}]);
    Some(if guest.is_changing { object.set("/status/stateChangeRequests", requests) } else { object })
}
