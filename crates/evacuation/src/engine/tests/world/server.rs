//! The API server: carries commands out, with their guards.

use cluster_model::budget::{self, Room};
use cluster_model::eviction_reply::EvictionReply;
use cluster_model::fixtures;
use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::marks::DETACHED_HASH;
use cluster_model::pod::TEMPLATE_HASH;
use cluster_model::snapshot::Change;

use super::{BUDGETS, Request, World};
use crate::engine::{Command, Reply};

/// A refusal that has nothing to do with the state of the object.
pub(super) fn refusal(command: &Command, choice: u8) -> Reply {
    match command {
        Command::Evict { .. } => Reply::Evicted(match choice % 3 {
            0 => EvictionReply::Throttled { retry_after: 1 },
            1 => EvictionReply::BudgetProcessing { retry_after: 10 },
            _ => EvictionReply::WebhookDenied { message: "not now".into() },
        }),
        Command::Look { .. } | Command::Delete { .. } | Command::Guest(_) => {
            Reply::Unanswered("too many requests".into())
        }
        _ if choice.is_multiple_of(2) => Reply::Conflict,
        _ => Reply::Unanswered("too many requests".into()),
    }
}

impl World {
    pub(super) fn execute(&mut self, request: &Request) -> Reply {
        match &request.command {
            Command::Cordon { node, resource_version, mark } => {
                if self.nodes[node].resource_version != *resource_version {
                    return Reply::Conflict;
                }
                let text = serde_json::to_string(mark).unwrap();
                self.change_node(node, |node| {
                    node.unschedulable = true;
                    node.run = Some(text);
                });
            }
            Command::Mark { node, uid, mark } => {
                self.guard(node, uid);
                let text = serde_json::to_string(mark).unwrap();
                self.change_node(node, |node| node.run = Some(text));
            }
            Command::Release { node, uid, uncordon, .. } => {
                self.guard(node, uid);
                self.change_node(node, |node| {
                    node.run = None;
                    node.unschedulable &= !uncordon;
                });
            }
            Command::Detach { pod: id, resource_version, record } => {
                let Some(pod) = self.pods.get(id) else { return Reply::Gone };
                if pod.resource_version != *resource_version {
                    return Reply::Conflict;
                }
                let text = serde_json::to_string(record).unwrap();
                self.change(id, |pod| {
                    pod.labels.insert(TEMPLATE_HASH.into(), DETACHED_HASH.into());
                    pod.detached = Some(text);
                    pod.controller = pod.controller.take().filter(|owner| owner.uid != record.replica_set_uid);
                });
            }
            Command::Look { pod } => {
                return self.pods.get(pod).map_or(Reply::Gone, |pod| Reply::Seen(Box::new(pod.clone())));
            }
            Command::Reattach { pod: id, record } => {
                if !self.pods.contains_key(id) {
                    return Reply::Gone;
                }
                let set = self.sets.iter().find(|set| set.uid == record.replica_set_uid);
                let owner = set.filter(|_| record.given_to.is_some());
                let owner = owner.and_then(|set| fixtures::pod("shop", "any").of(set).build().controller);
                self.change(id, |pod| {
                    match &record.hash {
                        Some(hash) => drop(pod.labels.insert(TEMPLATE_HASH.into(), hash.clone())),
                        None => drop(pod.labels.remove(TEMPLATE_HASH)),
                    }
                    pod.controller = pod.controller.take().or(owner);
                    pod.deletion_cost = Some("2147483647".into());
                });
            }
            Command::ClearRecord { pod: id, deletion_cost } => {
                if !self.pods.contains_key(id) {
                    return Reply::Gone;
                }
                self.change(id, |pod| {
                    pod.detached = None;
                    pod.deletion_cost.clone_from(deletion_cost);
                });
            }
            Command::Evict { pod, .. } => return self.evict(pod, request),
            Command::Delete { pod, .. } => {
                if !self.pods.contains_key(pod) {
                    return Reply::Evicted(EvictionReply::Gone);
                }
                self.change(pod, |pod| pod.deletion = Some(fixtures::at(2_000)));
            }
            Command::Guest(command) => panic!("this world has no virtual machines: {command:?}"),
        }
        Reply::Done
    }

    fn guard(&self, node: &NodeName, uid: &Uid) {
        assert_eq!(self.nodes[node].uid, *uid, "a write is guarded by the node's uid\n{}", self.story());
    }

    fn evict(&mut self, id: &PodId, request: &Request) -> Reply {
        let Some(pod) = self.pods.get(id) else {
            let is_another = self.pods.keys().any(|other| other.name == id.name);
            return Reply::Evicted(if is_another { EvictionReply::AnotherPod } else { EvictionReply::Gone });
        };
        if pod.is_terminating() {
            return Reply::Done;
        }
        if budget::room(pod, self.budgets.iter()) != Room::Open {
            return Reply::Evicted(EvictionReply::BudgetBlocked { message: "needs more".into() });
        }
        self.check_strength(pod, request);
        let name = pod.clone();
        for budget in self.budgets.iter_mut().filter(|budget| budget::selects(budget, &name)) {
            budget.disruptions_allowed = (budget.disruptions_allowed - 1).max(0);
            self.queues[BUDGETS].push_back(Change::Budget(budget.clone()));
        }
        self.change(id, |pod| pod.deletion = Some(fixtures::at(2_000)));
        Reply::Done
    }
}
