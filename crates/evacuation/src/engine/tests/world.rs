//! A small world for the engine: the truth of an API server with its controllers, each acting when the test says so, and
//! a view that lags behind, one queue for each kind of object as with real watches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use cluster_model::budget::Budget;
use cluster_model::eviction_reply::EvictionReply;
use cluster_model::fixtures;
use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::marks::{DETACHED_HASH, DetachRecord};
use cluster_model::node::Node;
use cluster_model::owners::ReplicaSet;
use cluster_model::pod::{Phase, Pod, TEMPLATE_HASH};
use cluster_model::snapshot::{Change, ClusterSnapshot};
use jiff::Timestamp;

use crate::engine::{Command, CommandId, Engine, Input, Moment, Outcome, Reply, RunIdentity};
use crate::plan;
use crate::request::{DrainRequest, SurgeLimit};
use crate::surge::detach::Circumstances;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Deliver(u8),
    Execute(u8),
    /// The server does it and the answer is lost.
    LoseAnswer(u8),
    /// The request is lost on the way.
    LoseRequest(u8),
    Answer(u8),
    ReplicaSet,
    Ready(u8),
    Exit(u8),
    Endpoints,
    Budgets,
    Time,
    /// Somebody touches an object: guarded writes on the old version conflict.
    Touch(u8),
    Kill,
}

pub(super) struct World {
    pub(super) replicas: i32,
    surge: i32,
    version: u64,
    pods: BTreeMap<PodId, Pod>,
    nodes: BTreeMap<NodeName, Node>,
    set: ReplicaSet,
    endpoints: BTreeSet<Uid>,
    budget: Budget,
    queues: [VecDeque<Change>; 4],
    view: ClusterSnapshot,
    pub(super) engine: Engine,
    requests: Vec<(CommandId, Command)>,
    answers: Vec<(CommandId, Reply)>,
    elapsed: Duration,
    pub(super) outcome: Option<Outcome>,
    made: u32,
    run: u32,
    pub(super) interrupted: bool,
    pub(super) trace: Vec<String>,
}

const NODES: usize = 0;
const PODS: usize = 1;
const SLICES: usize = 2;
const BUDGETS: usize = 3;

impl World {
    /// `on_old` of the replicas run on the node to be drained.
    pub(super) fn new(replicas: i32, on_old: i32, surge: i32) -> Self {
        let set = fixtures::replica_set("shop", "web", replicas);
        let mut pods = BTreeMap::new();
        for number in 0..replicas {
            let node = if number < on_old { "old" } else { "new" };
            let pod = fixtures::pod("shop", &format!("web-{number}")).of(&set).on(node).ready().build();
            pods.insert(pod.id.clone(), pod);
        }
        let nodes = ["old", "new"].map(|name| (NodeName::from(name), fixtures::node(name)));
        let endpoints = pods.values().map(|pod: &Pod| pod.id.uid.clone()).collect();
        let mut world = Self {
            replicas,
            surge,
            version: 1,
            pods,
            nodes: nodes.into(),
            set,
            endpoints,
            budget: fixtures::budget("shop", "web", 0),
            queues: Default::default(),
            view: ClusterSnapshot::default(),
            engine: Engine::undo(&[], &[], DrainRequest::default(), identity(0)),
            requests: Vec::new(),
            answers: Vec::new(),
            elapsed: Duration::ZERO,
            outcome: None,
            made: 0,
            run: 0,
            interrupted: false,
            trace: Vec::new(),
        };
        world.sync_budget();
        world.start(true);
        world
    }

    /// Begins a new process: it lists the truth, and remembers nothing.
    pub(super) fn start(&mut self, drain: bool) {
        self.run += 1;
        self.requests.clear();
        self.answers.clear();
        self.queues = Default::default();
        self.view = ClusterSnapshot::default();
        let mut changes: Vec<Change> = self.nodes.values().map(|node| Change::Node(Box::new(node.clone()))).collect();
        changes.extend(self.pods.values().map(|pod| Change::Pod(Box::new(pod.clone()))));
        changes.push(Change::ReplicaSet(Box::new(self.set.clone())));
        changes.push(Change::Deployment(fixtures::deployment("shop", "web", self.replicas)));
        changes.push(self.slice());
        changes.push(Change::Budget(self.budget.clone()));
        for change in changes {
            self.view.apply(change);
        }
        let old = NodeName::from("old");
        let request = DrainRequest {
            settle: Duration::from_secs(1),
            max_surge: Some(SurgeLimit::Pods(u32::try_from(self.surge).unwrap())),
            ..DrainRequest::default()
        };
        self.outcome = None;
        self.engine = if drain {
            let circumstances = Circumstances { leaving: BTreeSet::from([old.clone()]), ..Circumstances::default() };
            let plan = plan::build(&[old], &request, &self.view, &circumstances, None, fixtures::at(1_000));
            assert_eq!(plan.refusals, [], "nothing stands in the way of a run");
            Engine::drain(&plan, request, circumstances, identity(self.run))
        } else {
            let detached: Vec<_> = self.pods.values().filter(|pod| pod.detached.is_some()).collect();
            let detached: Vec<_> = detached.iter().map(|pod| (pod.id.clone(), old.clone())).collect();
            Engine::undo(&[old], &detached, request, identity(self.run))
        };
        self.turn(vec![Input::Woke]);
    }

    fn wall(&self) -> Timestamp {
        fixtures::at(1_000 + i64::try_from(self.elapsed.as_secs()).unwrap())
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
        self.turn(vec![Input::Interrupted]);
    }

    fn turn(&mut self, inputs: Vec<Input>) {
        if self.outcome.is_some() {
            return;
        }
        let now = Moment { wall: self.wall(), elapsed: self.elapsed };
        let turn = self.engine.on(inputs, &self.view, now);
        for (id, command) in turn.commands {
            self.trace.push(format!("  command {command:?}"));
            if self.interrupted {
                assert!(!matches!(command, Command::Detach { .. }), "nothing begins after an interrupt");
            }
            self.requests.push((id, command));
        }
        assert!(self.requests.len() + self.answers.len() <= 64, "at most 64 requests are unanswered");
        let evictions = self.requests.iter().filter(|(_, command)| matches!(command, Command::Evict { .. })).count();
        assert!(evictions <= 1, "one eviction at a time under one budget");
        self.outcome = turn.finished;
    }

    pub(super) fn act(&mut self, act: Act) {
        self.trace.push(format!("{act:?}"));
        match act {
            Act::Deliver(kind) => {
                if let Some(change) = self.queues[usize::from(kind) % 4].pop_front() {
                    self.view.apply(change);
                    self.turn(vec![Input::Woke]);
                }
            }
            Act::Execute(index) | Act::LoseAnswer(index) => {
                let Some((id, command)) = take(&mut self.requests, index) else { return };
                let reply = self.execute(command);
                let lost = matches!(act, Act::LoseAnswer(_));
                self.answers.push((id, if lost { Reply::Unanswered("connection reset".into()) } else { reply }));
            }
            Act::LoseRequest(index) => {
                let Some((id, _)) = take(&mut self.requests, index) else { return };
                self.answers.push((id, Reply::Unanswered("connection refused".into())));
            }
            Act::Answer(index) => {
                let Some((id, reply)) = take(&mut self.answers, index) else { return };
                self.turn(vec![Input::Replied(id, reply)]);
            }
            Act::ReplicaSet => self.sync_set(),
            Act::Ready(index) => {
                let starting = self.pods.values().filter(|pod| pod.ready_since.is_none() && pod.is_active());
                let ids: Vec<_> = starting.map(|pod| pod.id.clone()).collect();
                if let Some(id) = pick(&ids, index) {
                    let since = self.wall();
                    self.change(&id, |pod| {
                        pod.ready_since = Some(since);
                        pod.phase = Phase::Running;
                    });
                }
            }
            Act::Exit(index) => {
                let ids: Vec<_> =
                    self.pods.values().filter(|pod| pod.is_terminating()).map(|pod| pod.id.clone()).collect();
                if let Some(id) = pick(&ids, index) {
                    self.pods.remove(&id);
                    self.queues[PODS].push_back(Change::PodGone(id));
                }
            }
            Act::Endpoints => self.sync_endpoints(),
            Act::Budgets => self.sync_budget(),
            Act::Time => {
                self.elapsed += Duration::from_secs(1);
                self.turn(vec![Input::Woke]);
            }
            Act::Touch(index) => {
                let ids: Vec<_> = self.pods.keys().cloned().collect();
                if index % 4 == 0 {
                    self.change_node(|_| {});
                } else if let Some(id) = pick(&ids, index) {
                    self.change(&id, |_| {});
                }
            }
            Act::Kill => self.start(true),
        }
        self.check();
    }

    /// What must hold at every moment: as many pods serve as in the beginning, and no more are surged than allowed.
    fn check(&self) {
        let serving = self.pods.values().filter(|pod| pod.is_ready() && self.endpoints.contains(&pod.id.uid)).count();
        assert!(serving >= usize::try_from(self.replicas).unwrap(), "{serving} endpoints serve\n{}", self.story());
        let detached = self.pods.values().filter(|pod| pod.has_detached_label() && pod.is_active()).count();
        assert!(detached <= usize::try_from(self.surge).unwrap(), "{detached} are detached\n{}", self.story());
        for pod in self.pods.values().filter(|pod| pod.has_detached_label()) {
            let record = DetachRecord::parse(pod.detached.as_deref().unwrap()).unwrap();
            assert_eq!(record.believe(pod, Some(&self.set)), Ok(()), "a detached pod knows its way back");
        }
    }

    pub(super) fn story(&self) -> String {
        self.trace.join("\n")
    }

    /// Everything that can happen does, again and again, until the engine has come to its end.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            for _ in 0..4 {
                while !self.requests.is_empty() {
                    self.act(Act::Execute(0));
                }
                while !self.answers.is_empty() {
                    self.act(Act::Answer(0));
                }
            }
            for act in [
                Act::ReplicaSet,
                Act::Ready(0),
                Act::Ready(0),
                Act::Endpoints,
                Act::Exit(0),
                Act::Endpoints,
                Act::Budgets,
            ] {
                self.act(act);
            }
            for kind in 0..4 {
                while !self.queues[usize::from(kind)].is_empty() {
                    self.act(Act::Deliver(kind));
                }
            }
            self.act(Act::Time);
            let quiet = self.requests.is_empty() && self.pods.values().all(|pod| !pod.is_terminating());
            if self.outcome.is_some() && quiet && self.owned().count() == usize::try_from(self.replicas).unwrap() {
                return;
            }
        }
        panic!("the run does not come to an end\n{}", self.story());
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    pub(super) fn old_node(&self) -> &Node {
        &self.nodes[&NodeName::from("old")]
    }

    fn owned(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().filter(|pod| pod.is_managed_by(&self.set.uid) && pod.is_active())
    }

    fn change(&mut self, id: &PodId, change: impl FnOnce(&mut Pod)) {
        self.version += 1;
        let Some(pod) = self.pods.get_mut(id) else { return };
        change(pod);
        pod.resource_version = self.version.to_string();
        self.queues[PODS].push_back(Change::Pod(Box::new(pod.clone())));
    }

    fn change_node(&mut self, change: impl FnOnce(&mut Node)) {
        self.version += 1;
        let node = self.nodes.get_mut(&NodeName::from("old")).unwrap();
        change(node);
        node.resource_version = self.version.to_string();
        self.queues[NODES].push_back(Change::Node(Box::new(node.clone())));
    }

    /// The ReplicaSet's controller: adopts, creates, deletes by rank.
    fn sync_set(&mut self) {
        let orphans: Vec<_> = self
            .pods
            .values()
            .filter(|pod| pod.controller.is_none() && pod.is_active() && self.set.selector.matches(&pod.labels))
            .map(|pod| pod.id.clone())
            .collect();
        let controller = fixtures::pod("shop", "any").of(&self.set).build().controller;
        for id in orphans {
            let controller = controller.clone();
            self.change(&id, |pod| pod.controller = controller);
        }
        let owned = i32::try_from(self.owned().count()).unwrap();
        for _ in owned..self.replicas {
            self.made += 1;
            let name = format!("web-new-{}", self.made);
            let created_at = self.wall();
            let mut pod = fixtures::pod("shop", &name).of(&self.set).on("new").phase(Phase::Pending).build();
            pod.created_at = created_at;
            let id = pod.id.clone();
            self.pods.insert(id.clone(), pod);
            self.change(&id, |_| {});
        }
        let mut ranked: Vec<_> = self.owned().cloned().collect();
        let cost = |pod: &Pod| pod.deletion_cost.as_ref().map_or(0, |cost| cost.parse::<i64>().unwrap());
        ranked.sort_by_key(|pod| (pod.is_ready(), cost(pod), std::cmp::Reverse(pod.created_at)));
        for pod in ranked.into_iter().take(usize::try_from(owned - self.replicas).unwrap_or(0)) {
            self.change(&pod.id, |pod| pod.deletion = Some(fixtures::at(2_000)));
        }
    }

    fn sync_endpoints(&mut self) {
        self.endpoints = self.pods.values().filter(|pod| pod.is_ready()).map(|pod| pod.id.uid.clone()).collect();
        let slice = self.slice();
        self.queues[SLICES].push_back(slice);
    }

    fn slice(&self) -> Change {
        let pods = self.pods.values().filter(|pod| self.endpoints.contains(&pod.id.uid));
        Change::Slice(fixtures::slice("shop", "web", pods))
    }

    /// The disruption controller with `minAvailable` equal to the replicas: a drain alone could never pass.
    fn sync_budget(&mut self) {
        self.version += 1;
        let healthy = i32::try_from(self.pods.values().filter(|pod| pod.is_ready()).count()).unwrap();
        self.budget = Budget {
            resource_version: self.version.to_string(),
            current_healthy: healthy,
            desired_healthy: self.replicas,
            expected_pods: healthy,
            disruptions_allowed: (healthy - self.replicas).max(0),
            ..self.budget.clone()
        };
        self.queues[BUDGETS].push_back(Change::Budget(self.budget.clone()));
    }

    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Cordon { resource_version, mark, .. } => {
                if self.old_node().resource_version != resource_version {
                    return Reply::Conflict;
                }
                let text = serde_json::to_string(&mark).unwrap();
                self.change_node(|node| {
                    node.unschedulable = true;
                    node.run = Some(text);
                });
            }
            Command::Mark { mark, .. } => {
                let text = serde_json::to_string(&mark).unwrap();
                self.change_node(|node| node.run = Some(text));
            }
            Command::Release { uncordon, .. } => self.change_node(|node| {
                node.run = None;
                node.unschedulable &= !uncordon;
            }),
            Command::Detach { pod: id, resource_version, record } => {
                let Some(pod) = self.pods.get(&id) else { return Reply::Gone };
                if pod.resource_version != resource_version {
                    return Reply::Conflict;
                }
                self.change(&id, |pod| {
                    pod.labels.insert(TEMPLATE_HASH.into(), DETACHED_HASH.into());
                    pod.detached = Some(serde_json::to_string(&record).unwrap());
                    pod.controller = None;
                });
            }
            Command::Look { pod: id } => {
                let pod = self.pods.get(&id);
                return pod.map_or(Reply::Gone, |pod| Reply::Seen(Box::new(pod.clone())));
            }
            Command::Reattach { pod: id, hash } => {
                if !self.pods.contains_key(&id) {
                    return Reply::Gone;
                }
                self.change(&id, |pod| {
                    pod.labels.insert(TEMPLATE_HASH.into(), hash);
                    pod.deletion_cost = Some("2147483647".into());
                });
            }
            Command::ClearRecord { pod: id, deletion_cost } => {
                if !self.pods.contains_key(&id) {
                    return Reply::Gone;
                }
                self.change(&id, |pod| {
                    pod.detached = None;
                    pod.deletion_cost = deletion_cost;
                });
            }
            Command::Evict { pod: id, .. } | Command::Delete { pod: id, .. } => {
                if self.pods.get(&id).is_none_or(Pod::is_terminating) {
                    return Reply::Evicted(EvictionReply::Gone);
                }
                if self.budget.disruptions_allowed == 0 {
                    return Reply::Evicted(EvictionReply::BudgetBlocked { message: "needs more".into() });
                }
                self.budget.disruptions_allowed -= 1;
                self.queues[BUDGETS].push_back(Change::Budget(self.budget.clone()));
                self.change(&id, |pod| pod.deletion = Some(fixtures::at(2_000)));
            }
        }
        Reply::Done
    }
}

fn identity(run: u32) -> RunIdentity {
    RunIdentity {
        run: format!("run-{run}"),
        user: "alice".into(),
        version: "test".into(),
        reason: None,
        options: Vec::new(),
    }
}

fn take<T>(items: &mut Vec<T>, index: u8) -> Option<T> {
    let length = items.len();
    (length > 0).then(|| items.remove(usize::from(index) % length))
}

fn pick(ids: &[PodId], index: u8) -> Option<PodId> {
    (!ids.is_empty()).then(|| ids[usize::from(index) % ids.len()].clone())
}
