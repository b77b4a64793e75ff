//! A small world for the engine: the truth of an API server, and a view that lags behind it, one queue for each kind of
//! object as with real watches. The controllers (`controllers.rs`) and the server (`server.rs`) act when the test says so.

mod act;
mod checks;
mod controllers;
mod server;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(super) use act::Act;
use cluster_model::budget::Budget;
use cluster_model::fixtures;
use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::node::Node;
use cluster_model::owners::ReplicaSet;
use cluster_model::pod::Pod;
use cluster_model::snapshot::{Change, ClusterSnapshot};
use jiff::Timestamp;

use crate::engine::{Command, CommandId, Engine, Input, Moment, Outcome, Reply, RunIdentity};
use crate::plan;
use crate::request::{DrainRequest, SurgeLimit};
use crate::surge::detach::Circumstances;

/// What the budget over the workload asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    NoBudget,
    /// `minAvailable` equal to the replicas at the start: kubectl drain could never pass.
    AllAvailable,
    /// `maxUnavailable: 0`.
    NoneUnavailable,
}

/// What a world begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) replicas: i32,
    /// How many of them run on the nodes to be drained, by turns.
    pub(super) on_old: i32,
    pub(super) old_nodes: usize,
    pub(super) surge: i32,
    pub(super) min_ready_seconds: i32,
    pub(super) rule: Rule,
    /// Whether the pods have a deletion cost of their own.
    pub(super) has_cost: bool,
    /// Whether somebody had cordoned the first node.
    pub(super) was_cordoned: bool,
    /// Whether it is a ReplicaSet of its own, whose pods are given to their namespace, and not a Deployment's.
    pub(super) is_bare: bool,
    /// How many pods of a StatefulSet run there as well.
    pub(super) databases: u32,
}

/// A request on its way, with what the engine saw when it was sent.
struct Request {
    id: CommandId,
    command: Command,
    seen_ready: BTreeSet<Uid>,
    seen_desired: i32,
    /// The workload's pods that were ready then and not detached, nor asked to be.
    attached: BTreeSet<Uid>,
}

pub(super) struct World {
    pub(super) shape: Shape,
    old: Vec<NodeName>,
    version: u64,
    pods: BTreeMap<PodId, Pod>,
    nodes: BTreeMap<NodeName, Node>,
    /// What the Deployment asks for.
    desired: i32,
    /// Its ReplicaSets, the newest last.
    pub(super) sets: Vec<ReplicaSet>,
    /// How many deletions each ReplicaSet owes to a smaller spec.
    owed: BTreeMap<Uid, i32>,
    /// Pods that the world took away, which a lagging view cannot know of.
    taken: BTreeSet<Uid>,
    pub(super) is_hostile: bool,
    endpoints: BTreeSet<Uid>,
    budgets: Vec<Budget>,
    queues: [VecDeque<Change>; KINDS],
    pub(super) view: ClusterSnapshot,
    goal: Goal,
    pub(super) engine: Option<Engine>,
    requests: Vec<Request>,
    answers: Vec<(CommandId, Command, Reply)>,
    /// What this run was refused, and when.
    refused: Vec<(Duration, Command)>,
    /// Budgets under which an eviction is unanswered.
    evicting: BTreeMap<CommandId, (String, PodId)>,
    elapsed: Duration,
    run_began: Duration,
    pub(super) outcome: Option<Outcome>,
    made: u32,
    run: u32,
    interrupted: bool,
    pub(super) trace: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Goal {
    Drain,
    Undo,
}

const NODES: usize = 0;
const PODS: usize = 1;
const SLICES: usize = 2;
const BUDGETS: usize = 3;
const SETS: usize = 4;
const KINDS: usize = 5;

impl World {
    pub(super) fn new(shape: Shape) -> Self {
        let Shape { replicas, on_old, old_nodes, min_ready_seconds, has_cost, .. } = shape;
        let mut set = ReplicaSet { min_ready_seconds, ..fixtures::replica_set("shop", "web", replicas) };
        if shape.is_bare {
            let labels = [("app", "web")];
            set.selector = fixtures::selector(&labels);
            set.template.labels = fixtures::labels(&labels);
            (set.controller, set.template_hash, set.revision, set.desired_replicas) = (None, None, 0, None);
        }
        let old: Vec<_> = (1..=old_nodes).map(|number| NodeName(format!("old-{number}"))).collect();
        let mut pods = BTreeMap::new();
        for number in 0..replicas {
            let at = usize::try_from(number).unwrap() % old_nodes;
            let node = if number < on_old { old[at].0.as_str() } else { "new" };
            let mut pod = fixtures::pod("shop", &format!("web-{number}")).of(&set).on(node).ready().build();
            pod.deletion_cost = has_cost.then(|| "7".to_owned());
            pods.insert(pod.id.clone(), pod);
        }
        let endpoints = pods.values().map(|pod: &Pod| pod.id.uid.clone()).collect();
        for ordinal in 0..shape.databases {
            let at = usize::try_from(ordinal).unwrap() % old_nodes;
            let pod = controllers::database(ordinal, 0).on(&old[at].0).ready().build();
            pods.insert(pod.id.clone(), pod);
        }
        let mut nodes: BTreeMap<_, _> = old
            .iter()
            .map(|name| name.0.as_str())
            .chain(["new"])
            .map(|name| (name.into(), fixtures::node(name)))
            .collect();
        if let Some(node) = nodes.get_mut(&NodeName::from("old-1")) {
            node.unschedulable = shape.was_cordoned;
        }
        let mut world = Self {
            shape,
            old,
            version: 1,
            pods,
            nodes,
            desired: replicas,
            sets: vec![set],
            owed: BTreeMap::new(),
            taken: BTreeSet::new(),
            is_hostile: false,
            endpoints,
            budgets: Vec::new(),
            queues: Default::default(),
            view: ClusterSnapshot::default(),
            goal: Goal::Drain,
            engine: None,
            requests: Vec::new(),
            answers: Vec::new(),
            refused: Vec::new(),
            evicting: BTreeMap::new(),
            elapsed: Duration::ZERO,
            run_began: Duration::ZERO,
            outcome: None,
            made: 0,
            run: 0,
            interrupted: false,
            trace: Vec::new(),
        };
        world.sync_budgets();
        world.start(Goal::Drain);
        world
    }

    /// Begins a new process: it lists the truth, and remembers nothing.
    pub(super) fn start(&mut self, goal: Goal) {
        self.run += 1;
        self.goal = goal;
        self.run_began = self.elapsed;
        self.interrupted = false;
        self.requests.clear();
        self.answers.clear();
        self.refused.clear();
        self.evicting.clear();
        self.queues = Default::default();
        self.view = ClusterSnapshot::default();
        let mut changes: Vec<Change> = self.nodes.values().map(|node| Change::Node(Box::new(node.clone()))).collect();
        changes.extend(self.pods.values().map(|pod| Change::Pod(Box::new(pod.clone()))));
        changes.extend(self.sets.iter().map(|set| Change::ReplicaSet(Box::new(set.clone()))));
        if !self.shape.is_bare {
            changes.push(Change::Deployment(fixtures::deployment("shop", "web", self.desired)));
        }
        changes.push(Change::Namespace(fixtures::namespace("shop")));
        changes.push(self.slice());
        if self.shape.databases > 0 {
            changes.push(Change::Controller(controllers::database_set(self.shape.databases)));
        }
        changes.extend(self.budgets.iter().cloned().map(Change::Budget));
        for change in changes {
            self.view.apply(change);
        }
        let request = DrainRequest {
            settle: Duration::from_secs(1),
            max_surge: Some(SurgeLimit::Pods(u32::try_from(self.shape.surge).unwrap())),
            ..DrainRequest::default()
        };
        self.outcome = None;
        let identity = RunIdentity {
            run: format!("run-{}", self.run),
            user: "alice".into(),
            version: "test".into(),
            reason: None,
            options: Vec::new(),
        };
        self.engine = match goal {
            Goal::Drain => {
                let leaving = self.old.iter().cloned().collect();
                let circumstances = Circumstances { leaving, ..Circumstances::default() };
                let plan = plan::build(&self.old, &request, &self.view, &circumstances, None, self.wall());
                if self.is_hostile && !plan.refusals.is_empty() {
                    // Not now: the same command is given again later.
                    self.trace.push(format!("  refused: {}", plan.refusals[0].message));
                    None
                } else {
                    assert_eq!(plan.refusals, [], "nothing stands in the way of a run\n{}", self.story());
                    Some(Engine::drain(&plan, request, circumstances, identity))
                }
            }
            Goal::Undo => {
                let detached = self.pods.values().filter(|pod| pod.detached.is_some());
                let detached: Vec<_> = detached.filter_map(|pod| Some((pod.id.clone(), pod.node.clone()?))).collect();
                Some(Engine::undo(&self.old, &detached, request, identity))
            }
        };
        self.turn(vec![Input::Woke]);
    }

    fn wall(&self) -> Timestamp {
        fixtures::at(1_000 + i64::try_from(self.elapsed.as_secs()).unwrap())
    }

    pub(super) fn now(&self) -> Moment {
        Moment { wall: self.wall(), elapsed: self.elapsed.saturating_sub(self.run_began) }
    }

    pub(super) fn interrupt(&mut self) {
        self.trace.push("Interrupt".to_owned());
        self.interrupted = true;
        self.turn(vec![Input::Interrupted]);
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        let now = self.now();
        let Some(engine) = self.engine.as_mut().filter(|_| self.outcome.is_none()) else { return };
        let turn = engine.on(inputs, &self.view, now);
        for (id, command) in turn.commands {
            let ready = self.view.pods().filter(|pod| pod.is_ready());
            let seen_ready = ready.map(|pod| pod.id.uid.clone()).collect();
            let newest = self.view.replica_sets().max_by_key(|set| set.revision);
            let seen_desired = newest.map_or(0, |set| set.desired_replicas.unwrap_or(set.replicas));
            self.trace.push(format!("  sends {}: {}", id.0, act::words(&command)));
            self.check_command(id, &command, seen_desired);
            let attached = self.attached_and_asked_nothing();
            self.requests.push(Request { id, command, seen_ready, seen_desired, attached });
        }
        assert!(self.requests.len() + self.answers.len() <= 64, "at most 64 requests are unanswered");
        self.outcome = turn.finished;
        if let Some(outcome) = turn.finished {
            self.trace.push(format!("  ends: {outcome:?}"));
            assert!(self.requests.is_empty() && self.answers.is_empty(), "it ends with answers due\n{}", self.story());
        }
    }

    pub(super) fn story(&self) -> String {
        let mut lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        let length = lines.len();
        lines.dedup();
        let cut = if length > 260 { lines.split_off(lines.len().min(200)).len() } else { 0 };
        format!("{:?}\n{}\n({cut} more)", self.shape, lines.join("\n"))
    }

    /// Everything that can happen does, again and again, until the engine has come to its end and the controllers to
    /// rest.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            self.pass();
            let is_quiet = self.requests.is_empty() && self.pods.values().all(|pod| !pod.is_terminating());
            if self.outcome.is_some() && is_quiet && self.is_at_rest() {
                return;
            }
        }
        panic!("the run does not come to an end\n{}", self.story());
    }

    /// One round in which everything that can happen does.
    pub(super) fn pass(&mut self) {
        for _ in 0..4 {
            self.answer_all();
        }
        self.sync_all();
        self.act(Act::Exit(0));
        for act in [Act::Endpoints, Act::Budgets] {
            self.act(act);
        }
        self.deliver_all();
        self.act(Act::Time);
    }

    /// Everything that was asked for is done, and answered.
    pub(super) fn answer_all(&mut self) {
        while !self.requests.is_empty() {
            self.act(Act::Execute(0));
        }
        while !self.answers.is_empty() {
            self.act(Act::Answer(0));
        }
    }

    /// Every controller acts once, and every pod is scheduled and Ready.
    pub(super) fn sync_all(&mut self) {
        for act in [Act::Deployment, Act::ReplicaSet, Act::StatefulSet] {
            self.act(act);
        }
        for index in 0..3 {
            self.act(Act::Schedule(index));
            self.act(Act::Ready(0));
        }
        for act in [Act::Endpoints, Act::Budgets] {
            self.act(act);
        }
    }

    pub(super) fn deliver_all(&mut self) {
        for kind in 0..u8::try_from(KINDS).unwrap() {
            while !self.queues[usize::from(kind)].is_empty() {
                self.act(Act::Deliver(kind));
            }
        }
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    pub(super) fn old_nodes(&self) -> impl Iterator<Item = &Node> {
        self.old.iter().map(|name| &self.nodes[name])
    }

    fn is_member(&self, pod: &Pod) -> bool {
        self.sets.iter().any(|set| pod.is_managed_by(&set.uid))
    }

    /// The workload's ready pods without detached ones.
    fn attached(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().filter(|pod| pod.is_ready() && self.is_member(pod))
    }

    /// The same without those whose detach is under way.
    fn attached_and_asked_nothing(&self) -> BTreeSet<Uid> {
        let is_asked = |pod: &Pod| {
            let mut commands = self.requests.iter().map(|request| &request.command);
            commands.any(|command| matches!(command, Command::Detach { pod: other, .. } if *other == pod.id))
        };
        self.attached().filter(|pod| !is_asked(pod)).map(|pod| pod.id.uid.clone()).collect()
    }

    fn change(&mut self, id: &PodId, change: impl FnOnce(&mut Pod)) {
        self.version += 1;
        let Some(pod) = self.pods.get_mut(id) else { return };
        change(pod);
        pod.resource_version = self.version.to_string();
        self.queues[PODS].push_back(Change::Pod(Box::new(pod.clone())));
    }

    fn change_node(&mut self, name: &NodeName, change: impl FnOnce(&mut Node)) {
        self.version += 1;
        let node = self.nodes.get_mut(name).unwrap();
        change(node);
        node.resource_version = self.version.to_string();
        self.queues[NODES].push_back(Change::Node(Box::new(node.clone())));
    }
}

fn size(count: usize) -> i32 {
    i32::try_from(count).unwrap()
}

fn take<T>(items: &mut Vec<T>, index: u8) -> Option<T> {
    let length = items.len();
    (length > 0).then(|| items.remove(usize::from(index) % length))
}

fn pick<T>(items: impl Iterator<Item = T>, index: u8) -> Option<T> {
    let mut items: Vec<_> = items.collect();
    take(&mut items, index)
}
