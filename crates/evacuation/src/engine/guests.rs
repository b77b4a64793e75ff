//! The virtual machines of a run: found, moved on as far as the view allows, and proven gone before any pod of their
//! node is touched.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::budget::BudgetBlock;
use cluster_model::identity::{NodeName, ObjectKey, Uid};
use cluster_model::kubevirt::{
    self, Action, Means, NodeVerdict, Outcome, Owner, Remnant, RunStrategy, VirtualMachineInstance, Virtualization,
};
use cluster_model::marks::StoppedMachine;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::guest_command::GuestCommand;
use super::guest_step::{GuestEnd, GuestId, GuestState, GuestStep};
use super::input::Moment;
use super::node::NodeStep;
use super::{Engine, Goal, Target, Turn};
use crate::event::Event;
use crate::guests;
use crate::request::Removal;
use crate::wait::GuestWait;

/// How long what is left on a node after all its guests are settled may take to go: pods that KubeVirt tidies up.
const REMNANT_PATIENCE: Duration = Duration::from_secs(60);

/// Where the virtual machines of a node stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestsOf {
    /// Some are under way.
    Moving,
    /// None is left but those that stay by the person's own word.
    Off,
    /// Some could not be moved.
    Stuck,
}

/// How a node's virtual machines are once all that were to go are settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GuestVerdict {
    /// Nothing names the node.
    Empty,
    /// Only guests are there that the person did not choose.
    HoldsUnchosen(Vec<Remnant>),
    /// Something is there that was to go.
    Holds(Vec<Remnant>),
}

impl Engine {
    /// Moves every virtual machine on.
    pub(super) fn advance_guests(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if !cluster.virtualization().is_known() {
            return;
        }
        if self.is_undoing() {
            let mut is_untainted = true;
            for index in 0..self.nodes.len() {
                is_untainted &= self.remove_taint(index, cluster, now, turn);
            }
            if !is_untainted {
                return;
            }
            self.notice_what_to_call_off(cluster, now, turn);
            self.restore_machines(cluster, now, turn);
        } else if !self.is_stopping() {
            let open = self.nodes.iter().find(|node| node.is_draining()).map(|node| node.name.clone());
            if let Some(node) = open {
                self.notice_guests(&node, cluster, turn);
            }
        }
        let ids: Vec<GuestId> =
            self.guests.iter().filter(|(_, step)| !step.is_done()).map(|(id, _)| id.clone()).collect();
        for id in ids {
            // A step may pass several states in one turn; each pass either changes the state or ends.
            while let Some(mut step) = self.guests.remove(&id) {
                let before = step.state.clone();
                self.advance_guest(&mut step, cluster, now, turn);
                let moved = step.state != before && step.state != GuestState::Asking && !step.is_done();
                self.guests.insert(id.clone(), step);
                if !moved {
                    break;
                }
            }
        }
    }

    fn advance_guest(&mut self, step: &mut GuestStep, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        match step.state {
            GuestState::Planned => self.begin_guest(step, cluster, now, turn),
            GuestState::Moving => self.follow_guest(step, cluster, now, turn),
            GuestState::CallingOff(_) => self.call_off(step, cluster, now, turn),
            GuestState::Asking | GuestState::Done(_) => {}
        }
    }

    /// Asks for what was decided about a guest.
    fn begin_guest(&mut self, step: &mut GuestStep, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let virtualization = cluster.virtualization();
        let instance = virtualization.instance(&step.id.vm).filter(|instance| *instance.uid() == step.id.uid);
        if self.is_stopping() {
            // A run that died before may have left it marked: nobody else would ever end that evacuation.
            let is_marked = instance.is_some_and(|instance| instance.evacuation_node.as_ref() == Some(&step.node));
            let migration = virtualization.migration_in_flight(&step.id.vm);
            let is_under_way = migration.is_some_and(|migration| migration.empties(&step.node));
            // So may a request of this one that nobody answered.
            let may_be_under_way = step.was_asked && step.is_migrating();
            if is_marked || is_under_way || may_be_under_way {
                Self::begin_call_off(step, GuestEnd::CalledOff, false, now);
            } else if step.was_asked {
                Self::end_guest(step, GuestEnd::UnderWay, turn);
            } else {
                Self::end_guest(step, GuestEnd::NotStarted, turn);
            }
            return;
        }
        if !self.is_open_for_guests(&step.node) || !self.has_room_in_flight() {
            return;
        }
        if step.not_before > now.elapsed {
            Self::wake_at(turn, step.not_before);
            return;
        }
        let is_here = |instance: &&VirtualMachineInstance| instance.node.is_none() || instance.is_on(&step.node);
        let Some(instance) = instance.filter(|instance| !instance.is_final()).filter(is_here) else {
            step.state = GuestState::Moving;
            return;
        };
        step.owner.clone_from(&instance.metadata.controller);
        step.grace_seconds = instance.grace_seconds;
        step.clock.get_or_insert(now.elapsed);
        if self.is_overdue(step, now) {
            return Self::abandon_guest(step, "it could not be moved in time".to_owned(), cluster, now, turn);
        }
        let ended = virtualization.migrations_of(&step.id.vm).filter(|migration| migration.is_final());
        let fresh = |uid: &&Uid| !step.failed.contains(uid);
        let past: Vec<_> = ended.map(kubevirt::Migration::uid).filter(fresh).cloned().collect();
        step.past.extend(past);
        // The views of guests and of pods are not equally new: no pod of another node is ever evicted.
        let launcher = virtualization.active_launcher(instance).filter(|one| one.node() == Some(&step.node));
        let command: Command = match step.means {
            Means::None | Means::Follow => {
                step.asked_at = now.elapsed;
                step.state = GuestState::Moving;
                turn.events.push(Event::VmRequested { vm: step.id.vm.clone(), means: step.means });
                return;
            }
            Means::Evacuate | Means::Mark => {
                let Some(launcher) = launcher else { return Self::wait_for_launcher(step, now, turn) };
                GuestCommand::EvictLauncher { pod: launcher.pod.id.clone() }.into()
            }
            Means::CreateMigration => {
                // One that was followed before is not the one that is owed now.
                step.migration = None;
                GuestCommand::CreateMigration { vm: step.id.vm.clone(), node: step.node.clone() }.into()
            }
            Means::Evict | Means::RestartMachine | Means::StopMachine | Means::DeleteInstance => {
                if let Some(block) = self.held_by_budget(step, instance, cluster) {
                    let (healthy, needed) = (block.current_healthy, block.desired_healthy);
                    return Self::guest_waits(step, GuestWait::Budget { budget: block.budget, healthy, needed }, turn);
                }
                step.siblings = siblings(instance, cluster);
                if self.request.removal == Removal::Evict
                    && let Some(launcher) = launcher
                {
                    step.budgets = cluster.budgets_of(&launcher.pod).map(|budget| budget.key.clone()).collect();
                }
                let machine = || {
                    let owner = step.owner.as_ref().map(|owner| owner.name.clone());
                    ObjectKey::new(&step.id.vm.namespace, owner.unwrap_or_else(|| step.id.vm.name.clone()))
                };
                match step.means {
                    Means::Evict => {
                        let Some(launcher) = launcher else { return Self::wait_for_launcher(step, now, turn) };
                        let pod = launcher.pod.id.clone();
                        match self.request.removal {
                            Removal::Evict => GuestCommand::EvictLauncher { pod }.into(),
                            // Past the budgets; what a granted eviction does, too.
                            Removal::Delete => Command::Delete { pod, grace_seconds: None },
                        }
                    }
                    // A restart that was asked for and not answered may have been heard: asked again it would come
                    // twice.
                    Means::RestartMachine if self.is_being_restarted(&machine(), cluster) => {
                        step.state = GuestState::Moving;
                        return;
                    }
                    Means::RestartMachine => GuestCommand::RestartMachine { machine: machine() }.into(),
                    Means::StopMachine => GuestCommand::StopMachine { machine: machine() }.into(),
                    _ => GuestCommand::DeleteInstance { vm: step.id.vm.clone(), uid: step.id.uid.clone() }.into(),
                }
            }
        };
        turn.events.push(Event::VmRequested { vm: step.id.vm.clone(), means: step.means });
        step.was_asked = true;
        step.state = GuestState::Asking;
        self.send(Target::Guest(step.id.clone()), command, turn);
    }

    fn wait_for_launcher(step: &mut GuestStep, now: Moment, turn: &mut Turn) {
        step.not_before = now.elapsed + Duration::from_secs(1);
        Self::wake_at(turn, step.not_before);
        Self::guest_waits(step, GuestWait::Target { reason: Some("its pod is not there yet".to_owned()) }, turn);
    }

    #[expect(clippy::unused_self, reason = "asked like the other facts about a step")]
    fn is_being_restarted(&self, machine: &ObjectKey, cluster: &ClusterSnapshot) -> bool {
        cluster.virtualization().machine(machine).is_some_and(|machine| machine.is_changing)
    }

    /// The budget under which the guest may not be shut down now: it is closed, or another guest of this run is being
    /// shut down under it and not back yet.
    fn held_by_budget(
        &self,
        step: &GuestStep,
        instance: &VirtualMachineInstance,
        cluster: &ClusterSnapshot,
    ) -> Option<BudgetBlock> {
        let virtualization = cluster.virtualization();
        let pod = &virtualization.active_launcher(instance)?.pod;
        if let Some(block) = guests::closed_budget(pod, &self.request, cluster) {
            return Some(block);
        }
        let mut mine = cluster.budgets_of(pod);
        let shuts_down = |other: &&GuestStep| {
            other.id != step.id
                && !other.is_migrating()
                && matches!(other.state, GuestState::Asking | GuestState::Moving)
                && other.means != Means::None
        };
        let held: BTreeSet<&ObjectKey> =
            self.guests.values().filter(shuts_down).flat_map(|other| &other.budgets).collect();
        mine.find(|budget| held.contains(&budget.key)).map(|budget| BudgetBlock {
            budget: budget.key.clone(),
            current_healthy: budget.current_healthy,
            desired_healthy: budget.desired_healthy,
            is_stale: false,
        })
    }

    /// Finds guests on the node that the plan did not have: bound just before the cordon, arrived by a migration, or
    /// restarted there.
    fn notice_guests(&mut self, node: &NodeName, cluster: &ClusterSnapshot, turn: &mut Turn) {
        let virtualization = cluster.virtualization();
        for instance in virtualization.instances_on(node) {
            let id = GuestId::of(instance);
            let is_known = match self.guests.get(&id) {
                // It came back, by a migration that somebody else asked for.
                Some(step) => !step.end().is_some_and(GuestEnd::is_off) || instance.node.as_ref() != Some(node),
                None => self.left_guests.contains(&id),
            };
            let selector = self.pod_selector.as_ref();
            let is_chosen = |pod: &cluster_model::pod::Pod| selector.is_none_or(|chosen| chosen.matches(&pod.labels));
            if is_known || !guests::is_meant(instance, virtualization, is_chosen) {
                continue;
            }
            let (decision, obstacle) = guests::plan_guest(instance, &self.request, cluster);
            if guests::stays(&decision) {
                self.left_guests.insert(id);
                continue;
            }
            turn.events.push(Event::VmAppeared { vm: id.vm.clone(), node: node.clone() });
            let mut step = GuestStep::new(id.clone(), node.clone(), &decision, Some(instance));
            let obstacle =
                obstacle.map(|obstacle| format!("{} ({})", obstacle.message, obstacle.remedy)).or_else(|| {
                    // What a stop changes has to be written down before, and the mark was written without it.
                    (decision.means == Means::StopMachine)
                        .then(|| "it came after the plan was made; the same command stops it as well".to_owned())
                });
            if let Some(obstacle) = obstacle {
                Self::give_guest_up(&mut step, obstacle, turn);
            }
            self.guests.insert(id, step);
        }
    }

    /// The virtual machines of a node whose run strategy the run is going to change, and those that an earlier run has
    /// changed: those first, since by now they look as if they had been off all along.
    pub(super) fn stopped_machines(
        &self,
        mut recorded: Vec<StoppedMachine>,
        node: &NodeName,
        cluster: &ClusterSnapshot,
    ) -> Vec<StoppedMachine> {
        let virtualization = cluster.virtualization();
        let stops = |step: &&GuestStep| step.node == *node && step.means == Means::StopMachine;
        for step in self.guests.values().filter(stops) {
            let Some(instance) = virtualization.instance(&step.id.vm) else { continue };
            let Owner::Machine(machine) = virtualization.owner_of(instance) else { continue };
            let changes = matches!(machine.run_strategy, RunStrategy::Always | RunStrategy::Once);
            if changes && !recorded.iter().any(|known| known.uid == machine.metadata.uid) {
                recorded.push(StoppedMachine {
                    key: machine.metadata.key.clone(),
                    uid: machine.metadata.uid.clone(),
                    run_strategy: (!machine.says_running).then(|| machine.run_strategy.as_str().to_owned()),
                });
            }
        }
        recorded
    }

    /// Whether the run may now act on the guests of this node.
    fn is_open_for_guests(&self, node: &NodeName) -> bool {
        self.goal == Goal::Drain && self.nodes.iter().any(|step| step.name == *node && step.is_draining())
    }

    /// Where the virtual machines of a node stand.
    pub(super) fn guests_of(&self, node: &NodeName, cluster: &ClusterSnapshot) -> GuestsOf {
        let virtualization = cluster.virtualization();
        if !virtualization.is_known() {
            return GuestsOf::Off;
        }
        let mut steps = self.guests.values().filter(|step| step.node == *node);
        if steps.clone().any(|step| !step.is_done()) {
            return GuestsOf::Moving;
        }
        if !steps.all(|step| step.end().is_some_and(GuestEnd::is_off)) {
            return GuestsOf::Stuck;
        }
        if self.is_stopping() || guests::incoming(node, virtualization).next().is_none() {
            GuestsOf::Off
        } else {
            GuestsOf::Moving
        }
    }

    /// What is left of virtual machines on a node.
    fn remnants(node: &NodeName, cluster: &ClusterSnapshot) -> Vec<Remnant> {
        match kubevirt::whats_left(node, cluster.virtualization()) {
            NodeVerdict::Empty => Vec::new(),
            NodeVerdict::Holds(remnants) => remnants,
        }
    }

    /// Whether something that is left on a node is of a guest that the person did not choose.
    fn is_unchosen(&self, remnant: &Remnant, virtualization: &Virtualization) -> bool {
        let Some(selector) = &self.pod_selector else { return false };
        let is_chosen = |pod: &cluster_model::pod::Pod| selector.matches(&pod.labels);
        match remnant {
            Remnant::Instance(key) | Remnant::Incoming(key) | Remnant::Mark(key) => virtualization
                .instance(key)
                .is_some_and(|instance| !guests::is_meant(instance, virtualization, is_chosen)),
            Remnant::Launcher(pod, _) => {
                virtualization.launchers().any(|one| one.pod.id == *pod && !is_chosen(&one.pod))
            }
        }
    }

    /// How a node's virtual machines are at the end: `None` while something may still go by itself.
    pub(super) fn verdict(
        &mut self,
        node: &mut NodeStep,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) -> Option<GuestVerdict> {
        let all = Self::remnants(&node.name, cluster);
        if all.is_empty() {
            return Some(GuestVerdict::Empty);
        }
        let virtualization = cluster.virtualization();
        let (unchosen, remnants): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|remnant| self.is_unchosen(remnant, virtualization));
        if remnants.is_empty() {
            return Some(GuestVerdict::HoldsUnchosen(unchosen));
        }
        let stays = |remnant: &Remnant| match remnant {
            Remnant::Instance(key) => self.left_guests.iter().any(|id| id.vm == *key),
            Remnant::Launcher(..) | Remnant::Incoming(_) | Remnant::Mark(_) => false,
        };
        let since = *node.remnants_since.get_or_insert(now.elapsed);
        if remnants.iter().all(stays) || now.elapsed >= since + REMNANT_PATIENCE {
            return Some(GuestVerdict::Holds(all));
        }
        Self::wake_at(turn, since + REMNANT_PATIENCE);
        None
    }

    /// Whether a step has been under way for longer than `--vm-timeout`.
    pub(super) fn is_overdue(&self, step: &GuestStep, now: Moment) -> bool {
        let Some((limit, since)) = self.request.guests.timeout.zip(step.clock) else { return false };
        now.elapsed >= since + limit
    }

    /// Says what a virtual machine waits for, once for each change.
    pub(super) fn guest_waits(step: &mut GuestStep, wait: GuestWait, turn: &mut Turn) {
        if step.wait.as_ref() != Some(&wait) {
            turn.events.push(Event::VmWaiting { vm: step.id.vm.clone(), wait: wait.clone() });
            step.wait = Some(wait);
        }
    }

    pub(super) fn end_guest(step: &mut GuestStep, end: GuestEnd, turn: &mut Turn) {
        turn.events.push(Event::VmEnded { vm: step.id.vm.clone(), end: end.clone() });
        step.state = GuestState::Done(end);
    }

    pub(super) fn give_guest_up(step: &mut GuestStep, reason: String, turn: &mut Turn) {
        Self::end_guest(step, GuestEnd::GivenUp { reason }, turn);
    }

    /// Decides anew about a guest that is still there, after what was under way came to nothing.
    pub(super) fn plan_guest_again(
        &mut self,
        step: &mut GuestStep,
        instance: &VirtualMachineInstance,
        cluster: &ClusterSnapshot,
        turn: &mut Turn,
    ) {
        let (decision, obstacle) = guests::plan_guest(instance, &self.request, cluster);
        if let Some(obstacle) = obstacle {
            return Self::give_guest_up(step, format!("{} ({})", obstacle.message, obstacle.remedy), turn);
        }
        // A run that was to move it does not shut it down on second thought without having shown that.
        let interrupts = matches!(decision.action, Action::Restart | Action::Stop);
        if interrupts && step.is_migrating() {
            return Self::give_guest_up(
                step,
                format!("{}; the same command shows what it would do", decision.reason),
                turn,
            );
        }
        step.action = decision.action;
        step.means = decision.means;
        step.outcome = decision.outcome;
        step.state = GuestState::Planned;
    }
}

/// The instances of the same replica set.
fn siblings(instance: &VirtualMachineInstance, cluster: &ClusterSnapshot) -> BTreeSet<Uid> {
    let Some(owner) = &instance.metadata.controller else { return BTreeSet::new() };
    let of_owner = cluster
        .virtualization()
        .instances()
        .filter(|other| other.metadata.controller.as_ref().is_some_and(|other| other.uid == owner.uid));
    of_owner.map(|other| other.uid().clone()).collect()
}

/// What the end of a guest comes to where the run ended it.
pub(super) fn end_of(outcome: Outcome) -> GuestEnd {
    match outcome {
        Outcome::Lost => GuestEnd::Lost,
        Outcome::StaysOff => GuestEnd::Stopped,
        Outcome::Migrates | Outcome::RestartsElsewhere | Outcome::Blocked | Outcome::NeedsOther => {
            GuestEnd::EndedMeanwhile
        }
    }
}
