//! The controllers, the scheduler and the kubelet, and what is done to the workload by its owner and by misfortune.

use cluster_model::budget::Budget;
use cluster_model::fixtures;
use cluster_model::identity::{ControllerRef, NodeName, ObjectKey, PodId, Uid};
use cluster_model::owners::{Controller, ReplicaSet};
use cluster_model::pod::{Phase, Pod, TEMPLATE_HASH};
use cluster_model::selector::Selector;
use cluster_model::snapshot::Change;

use super::{BUDGETS, PODS, Rule, SETS, SLICES, World, pick, size};

/// A StatefulSet's pod; each time it is another one by the same name.
pub(super) fn database(ordinal: u32, generation: u32) -> fixtures::PodBuilder {
    let name = format!("db-{ordinal}");
    let mut pod =
        fixtures::pod("shop", &name).labelled(&[("app", "db")]).managed_by("apps/v1", "StatefulSet", "db").build();
    pod.id.uid = Uid(format!("uid-{name}-{generation}"));
    fixtures::PodBuilder::from(pod)
}

/// The StatefulSet.
pub(super) fn database_set(replicas: u32) -> Controller {
    let uid = database(0, 0).build().controller.unwrap().uid;
    let selector = fixtures::selector(&[("app", "db")]);
    let replicas = Some(i32::try_from(replicas).unwrap());
    Controller { kind: "StatefulSet", key: ObjectKey::new("shop", "db"), uid, selector, replicas }
}

impl World {
    /// The ReplicaSets' controller: adopts, creates, deletes by rank, counts.
    pub(super) fn sync_sets(&mut self) {
        for index in 0..self.sets.len() {
            let set = self.sets[index].clone();
            let controller = fixtures::pod("shop", "any").of(&set).build().controller;
            let is_orphan =
                |pod: &&Pod| pod.controller.is_none() && pod.is_active() && set.selector.matches(&pod.labels);
            // What was given to its namespace has an owner, although it reads as if it had none.
            let is_orphan = |pod: &&Pod| is_orphan(pod) && !(self.shape.is_bare && pod.has_detached_label());
            let orphans: Vec<_> = self.pods.values().filter(is_orphan).map(|pod| pod.id.clone()).collect();
            for id in orphans {
                let controller: Option<ControllerRef> = controller.clone();
                self.change(&id, |pod| pod.controller = controller);
            }
            let owned = self.owned(&set).len();
            for _ in size(owned)..set.replicas {
                self.create(&set);
            }
            let mut ranked = self.owned(&set);
            let cost = |pod: &Pod| pod.deletion_cost.as_ref().map_or(0, |cost| cost.parse::<i64>().unwrap());
            // `pkg/controller/controller_utils.go`, ActivePodsWithRanks.
            ranked.sort_by_key(|pod| {
                let newest_first = std::cmp::Reverse((pod.ready_since, pod.created_at));
                (pod.node.is_some(), pod.phase != Phase::Pending, pod.is_ready(), cost(pod), newest_first)
            });
            let mut debt = self.owed.remove(&set.uid).unwrap_or(0);
            for pod in ranked.into_iter().take(usize::try_from(size(owned) - set.replicas).unwrap_or(0)) {
                if debt > 0 {
                    debt -= 1;
                    self.taken.insert(pod.id.uid.clone());
                }
                self.change(&pod.id, |pod| pod.deletion = Some(fixtures::at(2_000)));
            }
            let current_replicas = size(self.owned(&set).len());
            if current_replicas != set.current_replicas {
                self.change_set(index, |set| set.current_replicas = current_replicas);
            }
        }
    }

    fn owned(&self, set: &ReplicaSet) -> Vec<Pod> {
        let is_owned = |pod: &&Pod| pod.is_managed_by(&set.uid) && pod.is_active();
        self.pods.values().filter(is_owned).cloned().collect()
    }

    fn create(&mut self, set: &ReplicaSet) {
        self.made += 1;
        let name = format!("web-{}-{}", set.revision, self.made);
        let mut pod = fixtures::pod("shop", &name).of(set).phase(Phase::Pending).build();
        pod.created_at = self.wall();
        let id = pod.id.clone();
        self.pods.insert(id.clone(), pod);
        self.change(&id, |_| {});
    }

    fn change_set(&mut self, index: usize, change: impl FnOnce(&mut ReplicaSet)) {
        let before = self.sets[index].replicas;
        change(&mut self.sets[index]);
        let set = self.sets[index].clone();
        if set.replicas < before {
            *self.owed.entry(set.uid.clone()).or_default() += before - set.replicas;
        }
        self.queues[SETS].push_back(Change::ReplicaSet(Box::new(set)));
    }

    /// The Deployment's controller: passes a new number on, and rolls by one pod more than wanted.
    pub(super) fn sync_deployment(&mut self) {
        let newest = self.sets.len() - 1;
        let desired = self.desired;
        if self.shape.is_bare {
            if self.sets[0].replicas != desired {
                self.change_set(0, |set| set.replicas = desired);
            }
            return;
        }
        let is_scaled = self.sets.iter().any(|set| set.replicas > 0 && set.desired_replicas != Some(desired));
        if is_scaled || newest == 0 && self.sets[0].replicas != desired {
            for index in 0..=newest {
                let others: i32 = self.sets.iter().map(|set| set.replicas).sum::<i32>() - self.sets[index].replicas;
                if index == newest || self.sets[index].replicas > 0 {
                    self.change_set(index, |set| {
                        set.desired_replicas = Some(desired);
                        // The newest takes what the older ones leave; the older give up what is too much.
                        let share = (desired - others).max(0);
                        set.replicas = if index == newest { share } else { set.replicas.min(share) };
                    });
                }
            }
            return;
        }
        let total: i32 = self.sets.iter().map(|set| set.replicas).sum();
        let grown = desired.min(self.sets[newest].replicas + (desired + 1 - total).max(0));
        if grown != self.sets[newest].replicas {
            return self.change_set(newest, |set| set.replicas = grown);
        }
        let ready = self.owned(&self.sets[newest]).iter().filter(|pod| pod.is_ready()).count();
        let mut surplus = total - desired - (grown - size(ready)).max(0);
        for index in 0..newest {
            let less = self.sets[index].replicas.min(surplus.max(0));
            if less > 0 {
                surplus -= less;
                self.change_set(index, |set| set.replicas -= less);
            }
        }
    }

    pub(super) fn sync_database(&mut self) {
        for ordinal in 0..self.shape.databases {
            let name = format!("db-{ordinal}");
            match self.pods.values().find(|pod| pod.id.name == name) {
                Some(pod) if pod.is_ready() => {}
                // OrderedReady: the next one is made when those before it are Ready.
                Some(_) => return,
                None => {
                    self.made += 1;
                    let mut pod = database(ordinal, self.made).phase(Phase::Pending).build();
                    pod.created_at = self.wall();
                    let id = pod.id.clone();
                    self.pods.insert(id.clone(), pod);
                    return self.change(&id, |_| {});
                }
            }
        }
    }

    pub(super) fn schedule(&mut self, index: u8) {
        let open = self.nodes.values().filter(|node| !node.unschedulable).map(|node| node.name.clone());
        if let Some(name) = pick(open, index) {
            self.bind(name);
        }
    }

    pub(super) fn bind(&mut self, name: NodeName) {
        let is_waiting = |pod: &&Pod| pod.node.is_none() && pod.is_active();
        let waiting = self.pods.values().find(is_waiting).map(|pod| pod.id.clone());
        if let Some(id) = waiting {
            self.change(&id, |pod| pod.node = Some(name));
        }
    }

    pub(super) fn make_ready(&mut self, index: u8) {
        let is_starting = |pod: &&Pod| pod.ready_since.is_none() && pod.is_active() && pod.node.is_some();
        let starting = self.pods.values().filter(is_starting).map(|pod| pod.id.clone());
        let Some(id) = pick(starting, index) else { return };
        let since = self.wall();
        self.taken.remove(&id.uid);
        self.change(&id, |pod| {
            pod.ready_since = Some(since);
            pod.phase = Phase::Running;
        });
    }

    /// The same for all of those whose names begin like this, and for no other.
    pub(in super::super) fn make_ready_of(&mut self, prefix: &str) {
        let is_starting = |pod: &&Pod| pod.ready_since.is_none() && pod.is_active() && pod.node.is_some();
        let starting = self.pods.values().filter(is_starting).map(|pod| pod.id.clone());
        let meant: Vec<_> = starting.filter(|id| id.name.starts_with(prefix)).collect();
        for id in meant {
            let since = self.wall();
            self.change(&id, |pod| pod.ready_since = Some(since));
        }
    }

    pub(super) fn sync_endpoints(&mut self) {
        let is_behind = |pod: &&Pod| pod.is_ready() && pod.labels.get("app").is_some_and(|app| app == "web");
        let endpoints = self.pods.values().filter(is_behind).map(|pod| pod.id.uid.clone()).collect();
        if endpoints != self.endpoints {
            self.endpoints = endpoints;
            let slice = self.slice();
            self.queues[SLICES].push_back(slice);
        }
    }

    pub(super) fn slice(&self) -> Change {
        let pods = self.pods.values().filter(|pod| self.endpoints.contains(&pod.id.uid));
        Change::Slice(fixtures::slice("shop", "web", pods))
    }

    /// The disruption controller.
    pub(super) fn sync_budgets(&mut self) {
        let healthy = |app: &str| {
            let is_healthy = |pod: &&Pod| pod.is_ready() && pod.labels.get("app").is_some_and(|own| own == app);
            size(self.pods.values().filter(is_healthy).count())
        };
        let (web, db) = (healthy("web"), healthy("db"));
        let has_controller = self.pods.values().any(|pod| self.is_member(pod));
        let matching =
            size(self.pods.values().filter(|pod| pod.labels.get("app").is_some_and(|app| app == "web")).count());
        let own = match self.shape.rule {
            Rule::NoBudget => None,
            Rule::AllAvailable => Some((self.shape.replicas, matching)),
            Rule::NoneUnavailable => Some((self.desired, if has_controller { self.desired } else { 0 })),
        };
        let database = (self.shape.databases > 0).then_some(("db", db, 0, 1));
        let all = own.map(|(needed, expected)| ("web", web, needed, expected)).into_iter().chain(database);
        let budgets: Vec<_> = all
            .map(|(name, healthy, needed, expected)| Budget {
                current_healthy: healthy,
                desired_healthy: needed,
                expected_pods: expected,
                disruptions_allowed: if expected > 0 { (healthy - needed).max(0) } else { 0 },
                ..fixtures::budget("shop", name, 0)
            })
            .collect();
        if budgets != self.budgets {
            self.queues[BUDGETS].extend(budgets.iter().cloned().map(Change::Budget));
            self.budgets = budgets;
        }
    }

    /// Whether no controller has anything left to do.
    pub(super) fn is_at_rest(&self) -> bool {
        let newest = self.sets.len() - 1;
        let has_all = |(index, set): (usize, &ReplicaSet)| {
            let wanted = if index == newest { self.desired } else { 0 };
            set.replicas == wanted && size(self.owned(set).len()) == wanted
        };
        self.sets.iter().enumerate().all(has_all)
    }

    /// Nobody wants a pod of the workload any more.
    pub(in super::super) fn scale_to_nothing(&mut self) {
        self.is_hostile = true;
        self.desired = 0;
    }

    pub(super) fn scale(&mut self, by: i32) {
        self.is_hostile = true;
        self.desired = (self.desired + by).clamp(1, 6);
    }

    /// A new revision of the template.
    pub(super) fn begin_rollout(&mut self) {
        if self.sets.len() >= 3 || self.shape.is_bare {
            return;
        }
        self.is_hostile = true;
        let revision = i64::try_from(self.sets.len()).unwrap() + 1;
        let hash = format!("h{revision}");
        let name = format!("web-{revision}");
        let pairs = [("app", "web"), (TEMPLATE_HASH, hash.as_str())];
        let mut set = ReplicaSet {
            key: ObjectKey::new("shop", name.clone()),
            uid: Uid(format!("uid-{name}")),
            selector: fixtures::selector(&pairs),
            template_hash: Some(hash.clone()),
            revision,
            replicas: 0,
            current_replicas: 0,
            desired_replicas: Some(self.desired),
            ..self.sets[0].clone()
        };
        set.template.labels = fixtures::labels(&pairs);
        assert_ne!(set.selector, Selector::Nothing);
        self.sets.push(set.clone());
        self.queues[SETS].push_back(Change::ReplicaSet(Box::new(set)));
    }

    fn any_ready(&self, index: u8) -> Option<PodId> {
        let is_web = |pod: &&Pod| pod.is_ready() && pod.id.name.starts_with("web");
        pick(self.pods.values().filter(is_web).map(|pod| pod.id.clone()), index)
    }

    pub(super) fn make_unready(&mut self, index: u8) {
        let Some(id) = self.any_ready(index) else { return };
        self.is_hostile = true;
        self.taken.insert(id.uid.clone());
        self.change(&id, |pod| pod.ready_since = None);
    }

    pub(super) fn delete_any(&mut self, index: u8) {
        let Some(id) = self.any_ready(index) else { return };
        self.is_hostile = true;
        self.taken.insert(id.uid.clone());
        self.change(&id, |pod| pod.deletion = Some(fixtures::at(2_000)));
        assert!(!self.queues[PODS].is_empty());
    }
}
