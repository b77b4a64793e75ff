//! A guest under way: followed until it runs elsewhere or has ended as planned. Only what the view shows counts, never
//! that somebody said it would happen.

use std::time::Duration;

use cluster_model::identity::{ObjectKey, Uid};
use cluster_model::kubevirt::{
    InstancePhase, LauncherPod, Means, Migration, MigrationPhase, MigrationQueue, Outcome, Place, Role, RunStrategy,
    VirtualMachineInstance, Virtualization,
};
use cluster_model::snapshot::ClusterSnapshot;
use jiff::SignedDuration;

use super::command::Command;
use super::guest_step::{GuestEnd, GuestState, GuestStep};
use super::guests::end_of;
use super::input::Moment;
use super::{Engine, Target, Turn};
use crate::event::Event;
use crate::wait::GuestWait;

/// How long KubeVirt may take to show what it was asked for: the mark, the migration.
pub(super) const ECHO_PATIENCE: Duration = Duration::from_secs(30);
/// How long the pod that a guest has left may take to end before it counts as left running (kubevirt#18320).
const STALE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a replica set may take to bring another instance up before its absence is only told.
const REPLACEMENT_PATIENCE: Duration = Duration::from_secs(120);
/// The wait before the run makes another migration of its own; it doubles with each failure, like KubeVirt's.
const FIRST_BACKOFF: Duration = Duration::from_secs(20);
/// The longest such wait.
const LONGEST_BACKOFF: Duration = Duration::from_secs(320);

impl Engine {
    pub(super) fn follow_guest(
        &mut self,
        step: &mut GuestStep,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let virtualization = cluster.virtualization();
        let own = virtualization.instance(&step.id.vm).filter(|instance| *instance.uid() == step.id.uid);
        let Some(instance) = own.filter(|instance| !instance.is_final()) else {
            return self.follow_ended(step, virtualization, now, turn);
        };
        notice_failures(step, virtualization, turn);
        if instance.node.is_some() && !instance.is_on(&step.node) {
            return self.follow_moved(step, instance, cluster, now, turn);
        }
        if step.is_migrating() {
            self.follow_migration(step, instance, cluster, now, turn);
        } else {
            self.follow_shutdown(step, now, turn);
        }
    }

    /// The guest runs elsewhere: its pod here has to end, and KubeVirt to be done with it.
    fn follow_moved(
        &mut self,
        step: &mut GuestStep,
        instance: &VirtualMachineInstance,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let virtualization = cluster.virtualization();
        let is_settled = instance.phase == InstancePhase::Running
            && instance.evacuation_node.as_ref() != Some(&step.node)
            && virtualization.migrations_of(&step.id.vm).all(|one| one.is_final() || !one.empties(&step.node));
        let left = virtualization.launchers_of(instance).find(|one| is_left_on(one, step));
        let since = *step.off_since.get_or_insert(now.elapsed);
        match left {
            None if is_settled => {
                let to = instance.node.clone();
                return Self::end_guest(step, GuestEnd::Migrated { to }, turn);
            }
            Some(launcher) if virtualization.role(launcher) == Role::StaleSource => {
                if now.elapsed >= since + STALE_PATIENCE && !launcher.pod.is_terminating() {
                    return self.remove_stale(step, launcher, now, turn);
                }
                Self::wake_at(turn, since + STALE_PATIENCE);
                Self::guest_waits(step, GuestWait::Launcher { pod: launcher.pod.id.name.clone() }, turn);
            }
            Some(launcher) => {
                Self::guest_waits(step, GuestWait::Launcher { pod: launcher.pod.id.name.clone() }, turn);
            }
            None => Self::guest_waits(step, GuestWait::Settling, turn),
        }
        if self.is_stopping() {
            return self.stop_following(step, cluster, now, turn);
        }
        if self.is_overdue(step, now) {
            let reason = "it runs elsewhere, but KubeVirt did not finish with it on this node in time".to_owned();
            Self::begin_call_off(step, GuestEnd::GivenUp { reason }, true, now);
        }
    }

    fn remove_stale(&mut self, step: &mut GuestStep, launcher: &LauncherPod, now: Moment, turn: &mut Turn) {
        if !self.request.guests.delete_stale_launchers {
            let reason = format!(
                "it runs elsewhere, but pod {} was left running here (pass --delete-stale-launchers)",
                launcher.pod.id.name
            );
            return Self::give_guest_up(step, reason, turn);
        }
        if step.not_before > now.elapsed {
            return Self::wake_at(turn, step.not_before);
        }
        if !self.has_room_in_flight() || self.is_stopping() {
            return;
        }
        step.state = GuestState::Asking;
        let command = Command::Delete { pod: launcher.pod.id.clone(), grace_seconds: None };
        turn.events.push(Event::EvictionRequested { pod: launcher.pod.id.clone() });
        self.send(Target::Guest(step.id.clone()), command, turn);
    }

    /// The guest is still here and is to migrate.
    fn follow_migration(
        &mut self,
        step: &mut GuestStep,
        instance: &VirtualMachineInstance,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let virtualization = cluster.virtualization();
        let is_marked = instance.evacuation_node.as_ref() == Some(&step.node);
        if is_marked && !std::mem::replace(&mut step.was_marked, true) {
            turn.events.push(Event::VmEvacuating { vm: step.id.vm.clone() });
        }
        if self.is_stopping() {
            return self.stop_following(step, cluster, now, turn);
        }
        let limit = self.request.guests.max_failures;
        if limit > 0 && step.failures() >= limit {
            let last = step.last_failure.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let s = if limit == 1 { "" } else { "s" };
            let reason = format!("{limit} migration{s} of it failed{last}");
            return Self::begin_call_off(step, GuestEnd::GivenUp { reason }, true, now);
        }
        if let Some(migration) = virtualization.migration_in_flight(&step.id.vm) {
            self.follow_attempt(step, migration, cluster, now, turn);
        } else {
            self.follow_nothing(step, instance, is_marked, cluster, now, turn);
        }
        if step.state == GuestState::Moving && self.is_overdue(step, now) {
            let waited = step.wait.as_ref().map(|wait| format!(": it waited for {wait}")).unwrap_or_default();
            let reason = format!("it was not moved within --vm-timeout{waited}");
            Self::begin_call_off(step, GuestEnd::GivenUp { reason }, true, now);
        } else if let Some((limit, since)) = self.request.guests.timeout.zip(step.clock) {
            Self::wake_at(turn, since + limit);
        }
    }

    /// A migration is on its way.
    #[expect(clippy::unused_self, reason = "asked like the other steps of the engine")]
    fn follow_attempt(
        &self,
        step: &mut GuestStep,
        migration: &Migration,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let virtualization = cluster.virtualization();
        let seen = (migration.uid().clone(), migration.phase.clone());
        let state = virtualization.instance(&step.id.vm).and_then(|instance| instance.migration_state.as_ref());
        let target = state.filter(|state| state.is_of(migration.uid())).and_then(|state| state.target_node.clone());
        // The instance, which knows the target, may be seen after the migration's phase.
        let is_newly_known = target.is_some() && step.target != target;
        if step.migration.as_ref() != Some(&seen) || is_newly_known {
            step.target.clone_from(&target);
            turn.events.push(Event::VmMigrating {
                vm: step.id.vm.clone(),
                migration: migration.metadata.key.name.clone(),
                phase: migration.phase.clone(),
                target,
            });
            step.migration = Some(seen);
        }
        let place = MigrationQueue::of(virtualization).place(migration, now.wall);
        if matches!(place, Place::WaitsForNode { .. } | Place::WaitsForCluster { .. }) {
            // The wait for others is not its own time.
            step.clock = Some(now.elapsed);
        }
        let wait = match place {
            Place::WaitsForNode { position, slots } => {
                GuestWait::Slot { node: Some(step.node.clone()), position, limit: slots.limit, holders: slots.holders }
            }
            Place::WaitsForCluster { position, slots } => {
                GuestWait::Slot { node: None, position, limit: slots.limit, holders: slots.holders }
            }
            Place::Backoff { failures, until } => GuestWait::Backoff { failures, until },
            Place::Blocked { by } => GuestWait::Blocked { by },
            Place::Next | Place::Over => GuestWait::Migration,
            Place::Running => running_wait(migration, virtualization),
        };
        Self::guest_waits(step, wait, turn);
    }

    /// No migration is on its way: not yet, not any more, or between two attempts.
    fn follow_nothing(
        &mut self,
        step: &mut GuestStep,
        instance: &VirtualMachineInstance,
        is_marked: bool,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        if is_marked {
            let wait = if step.means == Means::Mark { GuestWait::Manager } else { GuestWait::Migration };
            return Self::guest_waits(step, wait, turn);
        }
        if step.was_marked {
            // KubeVirt may have made a migration before, which nobody has cancelled.
            let reason = "somebody cancelled its evacuation".to_owned();
            return Self::begin_call_off(step, GuestEnd::GivenUp { reason }, true, now);
        }
        let is_own = step.means == Means::CreateMigration;
        if is_own && let Some((uid, _)) = &step.migration {
            if !step.failed.contains(uid) {
                let ended = cluster.virtualization().migrations_of(&step.id.vm).find(|one| one.uid() == uid);
                if ended.is_none_or(|one| one.abort_requested || one.metadata.deletion.is_some()) {
                    return Self::give_guest_up(step, "somebody deleted its migration".to_owned(), turn);
                }
                // It is said to have succeeded: the instance will show that.
                return Self::guest_waits(step, GuestWait::Settling, turn);
            }
            let pause =
                FIRST_BACKOFF.saturating_mul(1 << step.failures().saturating_sub(1).min(5)).min(LONGEST_BACKOFF);
            step.migration = None;
            step.not_before = now.elapsed + pause;
            let until = SignedDuration::try_from(pause).ok().and_then(|pause| now.wall.checked_add(pause).ok());
            let until = until.unwrap_or(now.wall);
            Self::guest_waits(step, GuestWait::Backoff { failures: step.failures(), until }, turn);
            step.state = GuestState::Planned;
            return;
        }
        let is_followed = step.means == Means::Follow;
        if is_followed || now.elapsed >= step.asked_at + ECHO_PATIENCE {
            // What was followed came to nothing, or nothing came of what was asked for.
            return self.plan_guest_again(step, instance, cluster, turn);
        }
        Self::wake_at(turn, step.asked_at + ECHO_PATIENCE);
        Self::guest_waits(step, GuestWait::Migration, turn);
    }

    /// The guest is still here and is to shut down.
    fn follow_shutdown(&mut self, step: &mut GuestStep, now: Moment, turn: &mut Turn) {
        if self.is_stopping() {
            return Self::end_guest(step, GuestEnd::UnderWay, turn);
        }
        if self.is_overdue(step, now) {
            let reason = "its guest did not shut down within --vm-timeout".to_owned();
            return Self::give_guest_up(step, reason, turn);
        }
        Self::guest_waits(step, GuestWait::Shutdown { grace_seconds: step.grace_seconds }, turn);
    }

    /// The guest has ended, or another one has its name.
    fn follow_ended(&mut self, step: &mut GuestStep, cluster: &Virtualization, now: Moment, turn: &mut Turn) {
        let mut launchers = cluster.launchers();
        let is_its = |launcher: &&LauncherPod| launcher.instance().is_some_and(|owner| owner.uid == step.id.uid);
        let left = launchers.find(|launcher| is_its(launcher) && is_left_on(launcher, step));
        if let Some(launcher) = left {
            Self::guest_waits(step, GuestWait::Launcher { pod: launcher.pod.id.name.clone() }, turn);
        } else if step.is_migrating() || step.outcome != Outcome::RestartsElsewhere || step.means == Means::None {
            let end = if step.is_migrating() || step.means == Means::None {
                GuestEnd::EndedMeanwhile
            } else {
                end_of(step.outcome)
            };
            return Self::end_guest(step, end, turn);
        } else if let Some(end) = Self::returned(step, cluster, now, turn) {
            return Self::end_guest(step, end, turn);
        }
        if self.is_stopping() {
            return Self::end_guest(step, GuestEnd::UnderWay, turn);
        }
        if self.is_overdue(step, now) {
            let waited = step.wait.as_ref().map(ToString::to_string).unwrap_or_default();
            Self::give_guest_up(
                step,
                format!("its guest has ended, and --vm-timeout ran out waiting for {waited}"),
                turn,
            );
        }
    }

    /// Whether what was shut down is back.
    fn returned(step: &mut GuestStep, cluster: &Virtualization, now: Moment, turn: &mut Turn) -> Option<GuestEnd> {
        let is_set = step.owner.as_ref().is_some_and(|owner| owner.kind == "VirtualMachineInstanceReplicaSet");
        if is_set {
            let owner = step.owner.as_ref().map(|owner| owner.uid.clone());
            let is_new = |other: &&VirtualMachineInstance| {
                other.metadata.controller.as_ref().map(|owner| &owner.uid) == owner.as_ref()
                    && !step.siblings.contains(other.uid())
                    && other.phase == InstancePhase::Running
            };
            if let Some(replacement) = cluster.instances().find(is_new) {
                return Some(GuestEnd::Replaced { by: Some(replacement.metadata.key.clone()) });
            }
            let since = *step.off_since.get_or_insert(now.elapsed);
            if now.elapsed >= since + REPLACEMENT_PATIENCE {
                return Some(GuestEnd::Replaced { by: None });
            }
            Self::wake_at(turn, since + REPLACEMENT_PATIENCE);
            Self::guest_waits(step, GuestWait::Replacement, turn);
            return None;
        }
        let successor = cluster.instance(&step.id.vm).filter(|instance| *instance.uid() != step.id.uid);
        match successor {
            Some(instance) if instance.phase == InstancePhase::Running => {
                return Some(GuestEnd::Restarted { on: instance.node.clone() });
            }
            Some(_) => {}
            None => {
                let owner = step.owner.as_ref().map(|owner| ObjectKey::new(&step.id.vm.namespace, &owner.name));
                let machine = owner.and_then(|key| cluster.machine(&key));
                let is_wanted = machine.is_some_and(|machine| machine.run_strategy != RunStrategy::Halted);
                if !is_wanted {
                    // Somebody stopped or deleted it since.
                    return Some(GuestEnd::EndedMeanwhile);
                }
            }
        }
        Self::guest_waits(step, GuestWait::Return, turn);
        None
    }

    /// The run ends: nothing may go on for ever by itself.
    fn stop_following(&mut self, step: &mut GuestStep, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        if !step.is_migrating() {
            return Self::end_guest(step, GuestEnd::UnderWay, turn);
        }
        Self::begin_call_off(step, GuestEnd::CalledOff, self.is_undoing(), now);
        self.call_off(step, cluster, now, turn);
    }
}

/// Whether a launcher pod of the guest has not ended on the node.
fn is_left_on(launcher: &LauncherPod, step: &GuestStep) -> bool {
    launcher.node() == Some(&step.node) && !launcher.pod.is_terminal()
}

/// Takes note of the migrations that failed since the last turn. One that somebody deleted is none of them.
fn notice_failures(step: &mut GuestStep, cluster: &Virtualization, turn: &mut Turn) {
    let is_new = |migration: &&Migration, step: &GuestStep| {
        let uid: &Uid = migration.uid();
        migration.phase == MigrationPhase::Failed
            && !migration.abort_requested
            && !step.past.contains(uid)
            && !step.failed.contains(uid)
    };
    for migration in cluster.migrations_of(&step.id.vm) {
        if !is_new(&migration, step) {
            continue;
        }
        step.failed.insert(migration.uid().clone());
        // What it waited for last is often why: a target that no node took is given no other reason.
        let waited = || match &step.wait {
            Some(GuestWait::Target { reason: Some(reason) }) => Some(reason.clone()),
            _ => None,
        };
        let reason = migration.failure_reason().map(str::to_owned).or_else(waited);
        step.last_failure.clone_from(&reason);
        turn.events.push(Event::VmMigrationFailed {
            vm: step.id.vm.clone(),
            migration: migration.metadata.key.name.clone(),
            failures: step.failures(),
            reason,
        });
    }
}

/// What a migration that holds a slot waits for.
fn running_wait(migration: &Migration, cluster: &Virtualization) -> GuestWait {
    let target = |launcher: &&LauncherPod| launcher.migration.as_ref() == Some(migration.uid());
    match migration.phase {
        MigrationPhase::Pending | MigrationPhase::Scheduling | MigrationPhase::Scheduled => {
            let pod = cluster.launchers().find(target);
            GuestWait::Target { reason: pod.and_then(|launcher| launcher.pod.waiting_reason.clone()) }
        }
        MigrationPhase::PreparingTarget
        | MigrationPhase::TargetReady
        | MigrationPhase::Running
        | MigrationPhase::Other(_) => {
            let instance = cluster.instance(&migration.instance_key());
            let state = instance.and_then(|instance| instance.migration_state.as_ref());
            let state = state.filter(|state| state.is_of(migration.uid()));
            GuestWait::Copying { target: state.and_then(|state| state.target_node.clone()) }
        }
        MigrationPhase::Succeeded | MigrationPhase::Failed => GuestWait::Settling,
    }
}
