//! Evictions: one at a time under a budget, sent when the watch says that it has room, and what each refusal means.

use std::time::Duration;

use cluster_model::budget::{self, Budget, Room};
use cluster_model::eviction_reply::EvictionReply;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::facts::Facts;
use super::input::{Moment, Reply};
use super::step::{State, Step};
use super::{Engine, Target, Turn};
use crate::event::Event;
use crate::request::Removal;
use crate::wait::Wait;

/// How long a refused eviction waits if no watch tells that its budget changed.
const BUDGET_RETRY: Duration = Duration::from_secs(5);
/// How long after a refusal that the watch will explain in a moment.
const SHORT_RETRY: Duration = Duration::from_millis(125);

/// By which request a pod may go.
enum WayOut {
    Evict,
    Delete { bypasses: bool },
    Wait(Wait),
    None(String),
}

impl Engine {
    /// Sends the eviction if the budget has room and no other eviction under it is unanswered.
    pub(super) fn evict(&mut self, step: &mut Step, pod: &Pod, facts: &mut Facts<'_>, turn: &mut Turn) {
        if !self.has_room_in_flight() {
            return;
        }
        let grace_seconds = self.request.grace_seconds;
        let id = pod.id.clone();
        let evict =
            || (Command::Evict { pod: id.clone(), grace_seconds }, Event::EvictionRequested { pod: id.clone() });
        let delete = |event| (Command::Delete { pod: id.clone(), grace_seconds }, event);
        let (command, event) = match self.request.removal {
            Removal::Delete => delete(Event::EvictionRequested { pod: id.clone() }),
            Removal::Evict => {
                let request = match Self::way_out(step, pod, facts) {
                    WayOut::Evict => evict(),
                    WayOut::Delete { bypasses } => {
                        let budgets = facts.cluster.budgets_of(pod).map(|budget| budget.key.clone()).collect();
                        delete(Event::DeletionRequested { pod: id.clone(), budgets, bypasses })
                    }
                    WayOut::Wait(wait) => return Self::wait(step, wait, turn),
                    WayOut::None(reason) => return Self::impossible(step, reason, turn),
                };
                if !facts.claim_budgets(pod) {
                    return;
                }
                request
            }
        };
        turn.events.push(event);
        facts.evicted(pod);
        step.state = State::Evicting;
        self.send(Target::Pod(id), command, turn);
    }

    /// By which request a pod may go now. More than one budget makes the eviction API fail whatever their state: a pod that
    /// was handed over is deleted when each of them has a pod to spare, which is what they ask for.
    fn way_out(step: &Step, pod: &Pod, facts: &Facts<'_>) -> WayOut {
        let wait = |budget: &Budget, healthy: i32| {
            WayOut::Wait(Wait::Budget { budget: budget.key.clone(), healthy, needed: budget.desired_healthy })
        };
        match facts.cluster.room_for(pod) {
            Room::Open => WayOut::Evict,
            Room::Closed(_) | Room::ManyBudgets(_) if step.may_bypass => WayOut::Delete { bypasses: true },
            Room::Closed(block) => match facts.cluster.budget(&block.budget) {
                Some(budget) => wait(budget, budget.current_healthy),
                None => WayOut::Evict,
            },
            Room::ManyBudgets(_) if step.detachment.is_some() => {
                // The disruption controller keeps one budget of such a pod up to date, and nobody knows which: counted anew.
                let healthy = |budget: &Budget| {
                    let pods = facts.cluster.pods_of(&pod.id.namespace).filter(|other| other.is_ready());
                    let pods = pods.filter(|other| budget::selects(budget, other) && !facts.may_be_leaving(&other.id));
                    i32::try_from(pods.count()).unwrap_or(i32::MAX)
                };
                let counted = facts.cluster.budgets_of(pod).map(|budget| (budget, healthy(budget)));
                let has_one_to_spare =
                    |budget: &Budget, healthy| budget.is_computed() && healthy > budget.desired_healthy;
                let closed = counted.into_iter().find(|(budget, healthy)| !has_one_to_spare(budget, *healthy));
                closed.map_or(WayOut::Delete { bypasses: false }, |(budget, healthy)| wait(budget, healthy))
            }
            Room::ManyBudgets(budgets) => WayOut::None(format!("{} PodDisruptionBudgets select it", budgets.len())),
        }
    }

    pub(super) fn evict_replied(
        step: &mut Step,
        reply: Reply,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let again = if step.detachment.is_some() { State::Detached } else { State::Planned };
        match reply {
            Reply::Done => {
                turn.events.push(Event::EvictionAccepted { pod: step.pod.clone() });
                step.state = State::Leaving;
            }
            Reply::Gone | Reply::Evicted(EvictionReply::Gone | EvictionReply::AnotherPod) => {
                step.state = State::Leaving;
            }
            Reply::Evicted(reply) => {
                step.state = again;
                Self::refused(step, reply, cluster, now, turn);
            }
            Reply::Conflict | Reply::Launcher(_) | Reply::Seen(_) => {
                step.state = again;
                step.not_before = now.elapsed + SHORT_RETRY;
            }
            Reply::Denied(message) => {
                step.state = again;
                Self::impossible(step, format!("its eviction is refused: {message}"), turn);
            }
            Reply::Unanswered(_) => {
                step.state = again;
                step.may_be_leaving = true;
                Self::retry(step, reply, now, turn);
            }
        }
    }

    fn refused(step: &mut Step, reply: EvictionReply, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let pause = match &reply {
            EvictionReply::BudgetBlocked { .. } => {
                // The watch usually shows the closed budget by now, and its opening wakes the engine at once.
                let is_shut = cluster.pod(&step.pod).is_some_and(|pod| cluster.room_for(pod) != Room::Open);
                step.refusals = if is_shut { 0 } else { step.refusals + 1 };
                let pause = SHORT_RETRY.saturating_mul(1 << step.refusals.min(6)).min(BUDGET_RETRY);
                if is_shut { Duration::ZERO } else { pause }
            }
            EvictionReply::BudgetProcessing { retry_after } | EvictionReply::Throttled { retry_after } => {
                Duration::from_secs(*retry_after)
            }
            EvictionReply::WebhookDenied { .. } | EvictionReply::NamespaceTerminating => BUDGET_RETRY,
            // The watch is about to show the other budget, and then it is deleted.
            EvictionReply::ManyBudgets if step.may_bypass || step.detachment.is_some() => BUDGET_RETRY,
            EvictionReply::ManyBudgets => {
                return Self::impossible(step, "several PodDisruptionBudgets select it".to_owned(), turn);
            }
            EvictionReply::Forbidden { message } => {
                return Self::impossible(step, format!("its eviction is forbidden: {message}"), turn);
            }
            EvictionReply::Unexpected { code, message } => {
                return Self::impossible(step, format!("its eviction was answered with {code}: {message}"), turn);
            }
            EvictionReply::Gone | EvictionReply::AnotherPod => Duration::ZERO,
        };
        turn.events.push(Event::EvictionDeferred { pod: step.pod.clone(), reply });
        step.not_before = now.elapsed + pause;
    }

    /// No eviction will ever pass: a detached pod goes back to its ReplicaSet, any other stays what it was.
    fn impossible(step: &mut Step, reason: String, turn: &mut Turn) {
        if step.detachment.is_some() {
            step.failure = Some(reason);
            step.state = State::Detached;
        } else {
            Self::give_up(step, reason, turn);
        }
    }
}
