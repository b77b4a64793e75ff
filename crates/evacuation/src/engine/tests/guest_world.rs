//! A small KubeVirt for the engine's tests: one node with guests, another to go to, and watches that lag behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use cluster_model::fixtures::at;
use cluster_model::fixtures::kubevirt::{self as kubevirt_objects};
use cluster_model::identity::{NodeName, ObjectKey, Uid};
use cluster_model::kubevirt::{
    NodeVerdict, NonMigratable, VirtualMachineInstance, Virtualization, VmPolicy, whats_left,
};
use cluster_model::marks::NodeRun;
use cluster_model::snapshot::ClusterSnapshot;

mod controllers;
mod server;
mod watches;

use super::{Engine, Input, Moment, Outcome, RunIdentity};
use crate::engine::{Command, CommandId, Reply};
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
    /// A guest cannot migrate any more.
    Harden(u8),
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
    /// How often the command was given.
    runs: u32,
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
            runs: 0,
            is_hostile: false,
            outcome: None,
            is_undo: false,
        };
        world.start(false);
        world
    }

    /// A new run, which has looked at everything.
    pub(super) fn start(&mut self, is_undo: bool) {
        self.runs += 1;
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
            if matches!(command, Command::Evict { .. }) {
                // One that the run has not been shown yet was bound just before the cordon.
                let old = NodeName::from(OLD);
                let is_there = |instance: &VirtualMachineInstance| !instance.is_final();
                let has_guest = self.view.virtualization().instances_on(&old).any(is_there);
                assert!(!has_guest, "a pod goes before the guests\n{}", self.story());
            }
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
            Act::Harden(number) => {
                self.is_hostile = true;
                let vm = pick(number, self.guests.len());
                std::mem::replace(&mut self.guests[vm].kind.migratable, false)
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

    /// What holds after every act.
    fn check(&self) {
        if self.is_hostile {
            return;
        }
        for (uid, number) in &self.evictions {
            let most = self.runs + self.lost;
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
