//! Calling an evacuation off, for good: first the mark, then the migrations. The other way round KubeVirt makes a new
//! migration within a second (OBSERVED h).

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::identity::NodeName;
use cluster_model::kubevirt::{Means, Migration};
use cluster_model::marks::NodeRun;
use cluster_model::snapshot::ClusterSnapshot;

use super::command::Command;
use super::guest_command::GuestCommand;
use super::guest_follow::ECHO_PATIENCE;
use super::guest_step::{CallOff, CallOffRequest, GuestEnd, GuestId, GuestState, GuestStep};
use super::input::{Moment, Reply};
use super::restore::Restore;
use super::{Engine, Target, Turn};
use crate::event::Event;
use crate::wait::GuestWait;

/// How long nothing that is to be called off may be seen before an evacuation counts as called off: KubeVirt may have been
/// about to make a migration when the mark went.
const QUIET: Duration = Duration::from_millis(1500);
/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(90);

impl Engine {
    pub(super) fn begin_call_off(step: &mut GuestStep, end: GuestEnd, is_whole: bool, now: Moment) {
        step.not_before = Duration::ZERO;
        step.state = GuestState::CallingOff(CallOff {
            end,
            is_whole,
            since: now.elapsed,
            quiet_since: None,
            asking: None,
            is_unmarked: false,
            deleted: BTreeSet::new(),
        });
    }

    /// Gives a guest up whose request was refused, or came to nothing: an earlier one that nobody answered may have begun
    /// its evacuation, or an earlier run, whose mark somebody took off since.
    pub(super) fn abandon_guest(
        step: &mut GuestStep,
        reason: String,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let migration = cluster.virtualization().migration_in_flight(&step.id.vm);
        let is_under_way = migration.is_some_and(|migration| migration.empties(&step.node));
        if (step.may_have_landed || is_under_way) && step.is_migrating() {
            Self::begin_call_off(step, GuestEnd::GivenUp { reason }, true, now);
        } else {
            Self::give_guest_up(step, reason, turn);
        }
    }

    /// Finds, for an undo, the guests that are marked for the evacuation of one of its nodes, and the migrations off it.
    pub(super) fn notice_what_to_call_off(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let virtualization = cluster.virtualization();
        for node in &self.nodes {
            for instance in virtualization.instances() {
                let is_marked = instance.evacuation_node.as_ref() == Some(&node.name);
                let migration = virtualization.migration_in_flight(&instance.metadata.key);
                let is_under_way = migration.is_some_and(|migration| migration.empties(&node.name));
                let id = GuestId::of(instance);
                if !(is_marked || is_under_way) || self.guests.contains_key(&id) {
                    continue;
                }
                let decision = cluster_model::kubevirt::decide(instance, virtualization, &self.request.guests.policy);
                let mut step = GuestStep::new(id.clone(), node.name.clone(), &decision, Some(instance));
                turn.events.push(Event::VmAppeared { vm: id.vm.clone(), node: node.name.clone() });
                Self::begin_call_off(&mut step, GuestEnd::CalledOff, true, now);
                self.guests.insert(id, step);
            }
        }
    }

    /// Takes the next step of calling an evacuation off.
    pub(super) fn call_off(&mut self, step: &mut GuestStep, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let GuestState::CallingOff(call) = &mut step.state else { return };
        if call.asking.is_some() {
            return;
        }
        let virtualization = cluster.virtualization();
        let instance = virtualization.instance(&step.id.vm).filter(|instance| *instance.uid() == step.id.uid);
        let Some(instance) = instance.filter(|instance| !instance.is_final()) else {
            return Self::end_guest(step, GuestEnd::EndedMeanwhile, turn);
        };
        if now.elapsed >= call.since + PATIENCE {
            let why = match &call.end {
                GuestEnd::GivenUp { reason } => format!("{reason}; "),
                _ => String::new(),
            };
            let reason = format!("{why}its evacuation could not be called off in time and may still go on");
            return Self::give_guest_up(step, reason, turn);
        }
        Self::wake_at(turn, call.since + PATIENCE);
        if step.not_before > now.elapsed {
            return Self::wake_at(turn, step.not_before);
        }
        if !self.has_room_in_flight() {
            return;
        }
        let is_marked = instance.evacuation_node.as_ref() == Some(&step.node);
        // Asked for and not seen yet, it may be there all the same.
        let may_be_marked = step.was_asked && !step.was_marked && matches!(step.means, Means::Evacuate | Means::Mark);
        if (is_marked || may_be_marked) && !call.is_unmarked {
            if !virtualization.features().can_cancel_evacuation {
                let reason =
                    "this KubeVirt cannot cancel an evacuation (1.7 can): it goes on until it succeeds".to_owned();
                return Self::give_guest_up(step, reason, turn);
            }
            call.quiet_since = None;
            call.asking = Some(CallOffRequest::Unmark);
            let command = GuestCommand::CancelEvacuation { vm: step.id.vm.clone(), node: step.node.clone() };
            return self.send(Target::Guest(step.id.clone()), Command::Guest(command), turn);
        }
        if is_marked {
            // The view is older than the answer.
            call.quiet_since = None;
            return Self::guest_waits(step, GuestWait::Abort, turn);
        }
        let migration = virtualization.migration_in_flight(&step.id.vm).filter(|one| one.empties(&step.node));
        match self.drain_taint(&step.node, cluster) {
            Some((_, true)) => {
                // The view is older than the answer.
                call.quiet_since = None;
                return Self::guest_waits(step, GuestWait::Abort, turn);
            }
            Some((key, false)) => {
                // For each migration that is deleted KubeVirt would make another.
                let reason = format!(
                    "KubeVirt empties the node by its taint {key}, which goes on until it is off (kubectl taint nodes \
                     {} {key}-)",
                    step.node
                );
                return Self::give_guest_up(step, reason, turn);
            }
            None => {}
        }
        let goes_on =
            |migration: &Migration| migration.is_copying() && !call.is_whole && migration.metadata.deletion.is_none();
        let copying = migration.filter(|migration| goes_on(migration)).map(|own| own.metadata.key.name.clone());
        if let Some(migration) = migration.filter(|_| copying.is_none()) {
            let name = migration.metadata.key.name.clone();
            call.quiet_since = None;
            if call.deleted.contains(migration.uid()) || migration.metadata.deletion.is_some() {
                return Self::guest_waits(step, GuestWait::Abort, turn);
            }
            let uid = migration.uid().clone();
            call.asking = Some(CallOffRequest::Delete { name, uid: uid.clone() });
            let command = GuestCommand::DeleteMigration { migration: migration.metadata.key.clone(), uid };
            return self.send(Target::Guest(step.id.clone()), Command::Guest(command), turn);
        }
        // Also what copies may have failed since, and KubeVirt have begun another before the mark went: only what is seen for a
        // while is so.
        let since = *call.quiet_since.get_or_insert(now.elapsed);
        // The same holds for a migration of the run's own.
        let is_owed =
            step.was_asked && step.means == Means::CreateMigration && step.migration.is_none() && copying.is_none();
        let quiet = if is_owed { ECHO_PATIENCE } else { QUIET };
        if now.elapsed < since + quiet {
            return Self::wake_at(turn, since + quiet);
        }
        // A migration may have come to its end in the meantime.
        let end = match (&call.end, copying) {
            _ if instance.node.is_some() && !instance.is_on(&step.node) => {
                GuestEnd::Migrated { to: instance.node.clone() }
            }
            (GuestEnd::CalledOff, Some(migration)) => GuestEnd::StillCopying { migration },
            (end, _) => end.clone(),
        };
        Self::end_guest(step, end, turn);
    }

    pub(super) fn call_off_replied(step: &mut GuestStep, reply: Reply, now: Moment, turn: &mut Turn) {
        let GuestState::CallingOff(call) = &mut step.state else { return };
        let Some(asked) = call.asking.take() else { return };
        let vm = step.id.vm.clone();
        match (asked, reply) {
            (CallOffRequest::Unmark, Reply::Done) => {
                call.is_unmarked = true;
                turn.events.push(Event::VmCancelled { vm });
            }
            // The view will show that the guest is gone.
            (CallOffRequest::Unmark, Reply::Gone) => call.is_unmarked = true,
            (CallOffRequest::Delete { name, uid }, Reply::Done) => {
                call.deleted.insert(uid);
                turn.events.push(Event::VmMigrationDeleted { vm, migration: name });
            }
            (CallOffRequest::Delete { uid, .. }, Reply::Gone) => drop(call.deleted.insert(uid)),
            (_, Reply::Denied(message)) => {
                let reason = format!("its evacuation could not be called off: {message}");
                Self::give_guest_up(step, reason, turn);
            }
            (_, reply) => {
                step.not_before = now.elapsed + step.pause();
                Self::guest_retried(step, reply, turn);
            }
        }
    }

    /// Begins, for an undo, to give virtual machines back what a stop changed.
    pub(super) fn restore_machines(&mut self, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        let recorded: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.clone(), NodeRun::of(cluster.node(&node.name)?)?.stopped)))
            .collect();
        for (node, machines) in recorded {
            for machine in machines {
                let key = machine.key.clone();
                let restore = self.restores.entry(key.clone()).or_insert_with(|| Restore::new(node.clone(), machine));
                if let Some(command) = restore.next(now, turn) {
                    self.send(Target::Machine(key), command, turn);
                }
            }
        }
    }

    /// Whether everything of virtual machines that an undo gives back on this node is given back: `Err` if something
    /// could not be.
    pub(super) fn guests_undone(&self, node: &NodeName) -> Option<Result<(), ()>> {
        let mut steps = self.guests.values().filter(|step| step.node == *node);
        let mut restores = self.restores.values().filter(|restore| restore.node == *node);
        if steps.clone().any(|step| !step.is_done()) || restores.clone().any(|restore| !restore.is_done()) {
            return None;
        }
        let is_kept = |step: &GuestStep| matches!(step.end(), Some(GuestEnd::GivenUp { .. }));
        let failed = steps.any(is_kept) || restores.any(Restore::has_failed);
        Some(if failed { Err(()) } else { Ok(()) })
    }
}
