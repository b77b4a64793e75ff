//! What can happen, one thing at a time.

use std::collections::VecDeque;
use std::time::Duration;

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::snapshot::Change;

use super::{Goal, KINDS, PODS, Request, World, pick, server, take};
use crate::engine::{Command, Input, Reply};

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Act {
    Deliver(u8),
    Execute(u8),
    /// The server does it and the answer is lost.
    LoseAnswer(u8),
    /// The request is lost on the way.
    LoseRequest(u8),
    /// The server refuses for a reason of its own and does nothing: a conflict in a webhook, too many requests.
    Refuse(u8),
    Answer(u8),
    ReplicaSet,
    Deployment,
    StatefulSet,
    Schedule(u8),
    Ready(u8),
    Exit(u8),
    Endpoints,
    Budgets,
    Time,
    /// Somebody touches an object: guarded writes on the old version conflict.
    Touch(u8),
    /// The process dies; what it had sent is done or not. The next one begins at once.
    Kill,
    // From here on the world is hostile.
    /// The scheduler binds a pod to one of the old nodes: it had not heard of the cordon.
    BindLate(u8),
    Grow,
    Shrink,
    Rollout,
    Unready(u8),
    Delete(u8),
}

impl World {
    pub(in super::super) fn act(&mut self, act: Act) {
        let before = self.measure();
        let beginning = self.trace.len();
        self.trace.push(format!("{act:?}"));
        self.perform(act);
        if self.trace.len() == beginning + 1 && self.measure() == before {
            // Nothing happened: that is no part of the story.
            self.trace.pop();
        }
        self.check();
    }

    /// Changes whenever anything does.
    fn measure(&self) -> (u64, usize, usize, Duration, usize) {
        let news = self.queues.iter().map(VecDeque::len).sum();
        (self.version, news, self.pods.len(), self.elapsed, self.requests.len() * 64 + self.answers.len())
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Deliver(kind) => {
                if let Some(change) = self.queues[usize::from(kind) % KINDS].pop_front() {
                    self.view.apply(change);
                    self.turn(vec![Input::Woke]);
                }
            }
            Act::Execute(index) | Act::LoseAnswer(index) => {
                let Some(request) = take(&mut self.requests, index) else { return };
                self.trace.push(format!("  does {}", request.id.0));
                let mut reply = self.execute(&request);
                if matches!(act, Act::LoseAnswer(_)) {
                    reply = Reply::Unanswered("connection reset".into());
                }
                self.answers.push((request.id, request.command, reply));
            }
            Act::LoseRequest(index) | Act::Refuse(index) => {
                let Some(Request { id, command, .. }) = take(&mut self.requests, index) else { return };
                let reply = if matches!(act, Act::Refuse(_)) {
                    server::refusal(&command, index)
                } else {
                    Reply::Unanswered("connection refused".into())
                };
                self.trace.push(format!("  no {}: {reply:?}", id.0));
                self.answers.push((id, command, reply));
            }
            Act::Answer(index) => {
                let Some((id, command, reply)) = take(&mut self.answers, index) else { return };
                self.trace.push(format!(
                    "  answers {}: {}",
                    id.0,
                    if matches!(reply, Reply::Seen(_)) { "Seen".to_owned() } else { format!("{reply:?}") }
                ));
                self.evicting.remove(&id);
                // A budget that is full may open at once; whatever else is refused needs a moment.
                let is_full = matches!(reply, Reply::Evicted(EvictionReply::BudgetBlocked { .. }));
                if !is_full && !matches!(reply, Reply::Done | Reply::Seen(_)) {
                    self.refused.push((self.elapsed, command));
                }
                self.turn(vec![Input::Replied(id, reply)]);
            }
            Act::ReplicaSet => self.sync_sets(),
            Act::Deployment => self.sync_deployment(),
            Act::StatefulSet => self.sync_database(),
            Act::Schedule(index) => self.schedule(index),
            Act::Ready(index) => self.make_ready(index),
            Act::Exit(index) => {
                let ending = self.pods.values().filter(|pod| pod.is_terminating()).map(|pod| pod.id.clone());
                if let Some(id) = pick(ending, index) {
                    self.pods.remove(&id);
                    self.queues[PODS].push_back(Change::PodGone(id));
                }
            }
            Act::Endpoints => self.sync_endpoints(),
            Act::Budgets => self.sync_budgets(),
            Act::Time => {
                self.elapsed += Duration::from_secs(1);
                if self.engine.is_none() {
                    self.start(Goal::Drain);
                }
                self.turn(vec![Input::Woke]);
            }
            Act::Touch(index) => {
                let ids = self.pods.keys().cloned();
                if index.is_multiple_of(4) {
                    let name = self.old[usize::from(index) % self.old.len()].clone();
                    self.change_node(&name, |_| {});
                } else if let Some(id) = pick(ids, index) {
                    self.change(&id, |_| {});
                }
            }
            Act::Kill => self.start(self.goal),
            Act::BindLate(index) => {
                self.is_hostile = true;
                let name = self.old[usize::from(index) % self.old.len()].clone();
                self.bind(name);
            }
            Act::Grow => self.scale(1),
            Act::Shrink => self.scale(-1),
            Act::Rollout => self.begin_rollout(),
            Act::Unready(index) => self.make_unready(index),
            Act::Delete(index) => self.delete_any(index),
        }
    }
}

fn kind_of(command: &Command) -> &'static str {
    match command {
        Command::Cordon { .. } => "cordon",
        Command::Mark { .. } => "mark",
        Command::Release { .. } => "release",
        Command::Detach { .. } => "detach",
        Command::Look { .. } => "look",
        Command::Reattach { .. } => "reattach",
        Command::ClearRecord { .. } => "clear",
        Command::Evict { .. } => "evict",
        Command::Delete { .. } => "delete",
        Command::Guest(_) => "guest",
    }
}

pub(super) fn words(command: &Command) -> String {
    let kind = kind_of(command);
    match command {
        Command::Cordon { node, resource_version, .. } => format!("{kind} {node} at {resource_version}"),
        Command::Mark { node, .. } | Command::Release { node, .. } => format!("{kind} {node}"),
        Command::Detach { pod, resource_version, record } => format!(
            "{kind} {pod} at {resource_version}, available {}, serving {}",
            record.available_before, record.serving_before
        ),
        Command::Look { pod }
        | Command::Reattach { pod, .. }
        | Command::ClearRecord { pod, .. }
        | Command::Evict { pod, .. }
        | Command::Delete { pod, .. } => format!("{kind} {pod}"),
        Command::Guest(command) => format!("{command:?}"),
    }
}
