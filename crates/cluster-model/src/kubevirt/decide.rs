//! The decision about one virtual machine. Pure and total: every combination of facts and consents has an answer, and a
//! guest is ended only where somebody agreed to what follows.
//!
//! Rules: `pod-eviction-admitter.go`, `watch/drain/evacuation/evacuation.go`, `watch/vm/vm.go` (`syncRunStrategy`),
//! `rest/lifecycle.go`, and what the genuine programs were seen to do.

use super::decision::{Action, Decision, Means, Outcome, OwnerName, Remedy};
use super::eviction_strategy::EvictionStrategy;
use super::instance::{InstancePhase, LiveMigratable, VirtualMachineInstance};
use super::machine::RunStrategy;
use super::owner::Owner;
use super::policy::{NonMigratable, VmPolicy};
use super::reason::{Cause, Consequence, Reason};
use super::snapshot::Virtualization;

/// Decides about one instance. Clauses:
///
/// 1. a guest that has ended or is being ended needs nothing: what comes of it is its owner's doing;
/// 2. a strategy that this program does not know, and a guest that is arriving from another cluster, stop the run;
/// 3. External: only the person's word lets the run ask its controller, by marking it;
/// 4. what can migrate migrates: by an evacuation where KubeVirt protects it and can be told to stop, else by a
///    migration of the run's own;
/// 5. what cannot is decided by `--non-migratable`; what would stay off, be gone or lose an emptyDisk is let go only by
///    its name in `--allow-loss`.
pub fn decide(instance: &VirtualMachineInstance, cluster: &Virtualization, policy: &VmPolicy) -> Decision {
    let (strategy, source) = cluster.eviction_strategy(instance);
    let owner = cluster.owner_of(instance);
    let judgement = judge(instance, &strategy, owner, cluster, policy);
    let run_strategy = match owner {
        Owner::Machine(machine) => Some(machine.run_strategy.clone()),
        Owner::UnseenMachine(_) | Owner::ReplicaSet(_) | Owner::Other(_) | Owner::Nobody => None,
    };
    let pool = match owner {
        Owner::Machine(machine) => machine.pool.clone(),
        Owner::UnseenMachine(_) | Owner::ReplicaSet(_) | Owner::Other(_) | Owner::Nobody => None,
    };
    Decision {
        namespace: instance.metadata.key.namespace.clone(),
        name: instance.metadata.key.name.clone(),
        uid: instance.uid().clone(),
        node: instance.node.clone(),
        eviction_strategy: strategy,
        strategy_source: source,
        live_migratable: instance.live_migratable.answer(),
        owner: owner.kind_and_name().map(|(kind, name)| OwnerName {
            kind: kind.to_owned(),
            name: name.to_owned(),
            run_strategy,
        }),
        pool,
        interruption: interruption(&judgement, instance, owner),
        warnings: warnings(&judgement, instance, owner, cluster),
        action: judgement.action,
        means: judgement.means,
        outcome: judgement.outcome,
        reason: judgement.reason,
        remedy: judgement.remedy,
    }
}

/// The part of a decision that the clauses find.
struct Judgement {
    action: Action,
    means: Means,
    outcome: Outcome,
    reason: Reason,
    remedy: Option<Remedy>,
}

impl Judgement {
    fn leave(outcome: Outcome, reason: Reason) -> Self {
        Self { action: Action::Leave, means: Means::None, outcome, reason, remedy: None }
    }

    fn refuse(outcome: Outcome, reason: Reason, remedy: Remedy) -> Self {
        Self { action: Action::Refuse, means: Means::None, outcome, reason, remedy: Some(remedy) }
    }

    fn migrate(means: Means, cause: Cause) -> Self {
        let reason = Reason::because(cause);
        Self { action: Action::Migrate, means, outcome: Outcome::Migrates, reason, remedy: None }
    }
}

fn judge(
    instance: &VirtualMachineInstance,
    strategy: &EvictionStrategy,
    owner: Owner<'_>,
    cluster: &Virtualization,
    policy: &VmPolicy,
) -> Judgement {
    let is_halted = matches!(owner, Owner::Machine(machine) if machine.run_strategy == RunStrategy::Halted);
    if instance.is_final() {
        return Judgement::leave(outcome_of_end(instance, owner), Reason::because(Cause::Ended));
    }
    if instance.deletion().is_some() || is_halted {
        return Judgement::leave(outcome_of_end(instance, owner), Reason::because(Cause::Ending));
    }
    match strategy {
        EvictionStrategy::Other(word) => {
            return stays_for_others(Outcome::Blocked, Cause::UnknownStrategy(word.clone()), policy);
        }
        EvictionStrategy::External => return external(instance, policy),
        EvictionStrategy::None | EvictionStrategy::LiveMigrate | EvictionStrategy::LiveMigrateIfPossible => {}
    }
    if instance.is_live_migratable() {
        return migrate(instance, strategy, cluster);
    }
    if cluster.is_receiver(instance) {
        return stays_for_others(Outcome::NeedsOther, Cause::Receiver, policy);
    }
    end(instance, strategy, owner, policy)
}

/// What comes of a guest that the run does not end.
fn outcome_of_end(instance: &VirtualMachineInstance, owner: Owner<'_>) -> Outcome {
    match owner {
        Owner::Machine(machine) => match &machine.run_strategy {
            RunStrategy::Always => Outcome::RestartsElsewhere,
            RunStrategy::RerunOnFailure if instance.phase == InstancePhase::Failed => Outcome::RestartsElsewhere,
            RunStrategy::RerunOnFailure
            | RunStrategy::Manual
            | RunStrategy::Once
            | RunStrategy::Halted
            | RunStrategy::WaitAsReceiver
            | RunStrategy::Other(_) => Outcome::StaysOff,
        },
        Owner::UnseenMachine(_) => Outcome::StaysOff,
        Owner::ReplicaSet(_) => Outcome::RestartsElsewhere,
        Owner::Other(_) | Owner::Nobody => Outcome::Lost,
    }
}

/// Neither migrated nor ended by this program, whatever the flags.
fn stays_for_others(outcome: Outcome, cause: Cause, policy: &VmPolicy) -> Judgement {
    let reason = Reason::because(cause);
    match policy.non_migratable {
        NonMigratable::Leave => Judgement::leave(Outcome::NeedsOther, reason),
        NonMigratable::Refuse
        | NonMigratable::Restart
        | NonMigratable::RestartUnlessLiveMigrate
        | NonMigratable::Stop => Judgement::refuse(outcome, reason, Remedy::NonMigratable(NonMigratable::Leave)),
    }
}

/// KubeVirt marks it and does nothing more (OBSERVED e). What its controller does then nobody here knows, so the mark is
/// set only when the person agreed to an interruption; and if nobody acts, the run says so.
fn external(instance: &VirtualMachineInstance, policy: &VmPolicy) -> Judgement {
    let action = match policy.non_migratable {
        NonMigratable::Restart => Action::Restart,
        NonMigratable::Stop => Action::Stop,
        NonMigratable::Refuse | NonMigratable::RestartUnlessLiveMigrate | NonMigratable::Leave => {
            return stays_for_others(Outcome::NeedsOther, Cause::External, policy);
        }
    };
    let means = if instance.evacuation_node.is_some() { Means::Follow } else { Means::Mark };
    let reason = Reason::because(Cause::External);
    Judgement { action, means, outcome: Outcome::NeedsOther, reason, remedy: None }
}

fn migrate(instance: &VirtualMachineInstance, strategy: &EvictionStrategy, cluster: &Virtualization) -> Judgement {
    let is_protected = match strategy {
        EvictionStrategy::LiveMigrate | EvictionStrategy::LiveMigrateIfPossible => true,
        EvictionStrategy::None | EvictionStrategy::External | EvictionStrategy::Other(_) => false,
    };
    let mark = instance.evacuation_node.as_ref();
    let is_marked_here = mark.is_some() && mark == instance.node.as_ref();
    if is_protected && is_marked_here {
        return Judgement::migrate(Means::Follow, Cause::Evacuating);
    }
    let cause = match mark {
        _ if !is_protected => Cause::MigratableUnprotected,
        // The evacuation controller looks only at marks that name the guest's node (evacuation.go:326), the webhook
        // at any: it would answer "in progress" for ever.
        Some(node) => Cause::MarkOfAnotherNode(node.clone()),
        None if !cluster.features().can_cancel_evacuation => Cause::NoCancel,
        None => return Judgement::migrate(Means::Evacuate, Cause::Protected),
    };
    // A second migration of the same instance would be refused (migration-create-admitter.go).
    match cluster.migration_in_flight(&instance.metadata.key) {
        Some(migration) => Judgement::migrate(Means::Follow, Cause::InFlight(migration.metadata.key.name.clone())),
        None => Judgement::migrate(Means::CreateMigration, cause),
    }
}

/// The gentlest way to end a guest.
struct Way {
    action: Action,
    means: Means,
    outcome: Outcome,
    consequence: Consequence,
}

/// Finds the gentlest way to end a guest, by who makes it again; `wants_off` where `--non-migratable=stop` was given.
///
/// An eviction that is granted leaves RerunOnFailure and Manual off, so what is to come back is restarted by request
/// (`rest/lifecycle.go`). Where the strategy makes KubeVirt refuse the eviction, the instance is deleted: a replica set
/// replaces it all the same, and nobody else does.
fn way(strategy: &EvictionStrategy, owner: Owner<'_>, wants_off: bool) -> Way {
    let is_granted = *strategy != EvictionStrategy::LiveMigrate;
    let evict = if is_granted { Means::Evict } else { Means::DeleteInstance };
    match owner {
        Owner::Machine(machine) => match &machine.run_strategy {
            RunStrategy::Always | RunStrategy::Manual | RunStrategy::RerunOnFailure if wants_off => Way {
                action: Action::Stop,
                means: Means::StopMachine,
                outcome: Outcome::StaysOff,
                consequence: Consequence::Stopped,
            },
            RunStrategy::Always | RunStrategy::Manual | RunStrategy::RerunOnFailure => Way {
                action: Action::Restart,
                means: Means::RestartMachine,
                outcome: Outcome::RestartsElsewhere,
                consequence: Consequence::ComesBack,
            },
            // A restart of these is answered 409, and deleting the instance would run Once a second time.
            RunStrategy::Once | RunStrategy::Halted | RunStrategy::WaitAsReceiver | RunStrategy::Other(_) => Way {
                action: Action::Stop,
                means: if is_granted { Means::Evict } else { Means::StopMachine },
                outcome: Outcome::StaysOff,
                consequence: Consequence::StaysOff(machine.run_strategy.clone()),
            },
        },
        Owner::UnseenMachine(_) => Way {
            action: Action::Stop,
            means: evict,
            outcome: Outcome::StaysOff,
            consequence: Consequence::OwnerUnseen,
        },
        Owner::ReplicaSet(_) => Way {
            action: Action::Restart,
            means: evict,
            outcome: Outcome::RestartsElsewhere,
            consequence: Consequence::Replaced,
        },
        Owner::Other(_) | Owner::Nobody => {
            Way { action: Action::Stop, means: evict, outcome: Outcome::Lost, consequence: Consequence::Gone }
        }
    }
}

/// A guest that cannot migrate, or of which KubeVirt has not said that it can.
fn end(
    instance: &VirtualMachineInstance,
    strategy: &EvictionStrategy,
    owner: Owner<'_>,
    policy: &VmPolicy,
) -> Judgement {
    let is_protected = *strategy == EvictionStrategy::LiveMigrate;
    let cause = match &instance.live_migratable {
        LiveMigratable::No { reason, message } => Cause::NotMigratable {
            protected: is_protected,
            reason: reason.clone(),
            message: message.clone(),
            claims: instance.claims_not_shared().into_iter().map(str::to_owned).collect(),
        },
        LiveMigratable::NotYetKnown | LiveMigratable::Yes => Cause::StillStarting,
    };
    let way = way(strategy, owner, policy.non_migratable == NonMigratable::Stop);
    let empty_disks: Vec<_> = instance.empty_disks().into_iter().map(str::to_owned).collect();
    let loses = matches!(way.outcome, Outcome::StaysOff | Outcome::Lost) || !empty_disks.is_empty();
    let key = &instance.metadata.key;
    let may_lose = policy.allow_loss.contains(key);
    let may_end = match policy.non_migratable {
        NonMigratable::Leave => {
            return Judgement::leave(Outcome::NeedsOther, Reason::because(cause));
        }
        NonMigratable::Refuse => may_lose,
        NonMigratable::RestartUnlessLiveMigrate => may_lose || (!loses && !is_protected),
        NonMigratable::Restart | NonMigratable::Stop => may_lose || !loses,
    };
    let remedy = match (&cause, loses) {
        (Cause::StillStarting, _) => Remedy::WaitForStart(key.clone()),
        (_, true) => Remedy::AllowLoss(key.clone()),
        (_, false) => Remedy::NonMigratable(NonMigratable::Restart),
    };
    let reason = Reason { cause, consequence: Some(way.consequence), empty_disks };
    if !may_end {
        return Judgement::refuse(Outcome::Blocked, reason, remedy);
    }
    Judgement { action: way.action, means: way.means, outcome: way.outcome, reason, remedy: None }
}

fn interruption(judgement: &Judgement, instance: &VirtualMachineInstance, owner: Owner<'_>) -> String {
    let grace = instance.grace_seconds;
    match (judgement.action, judgement.outcome) {
        (Action::Migrate, _) => "none but a short pause at the switch-over".to_owned(),
        (Action::Refuse, _) => "none: nothing is done".to_owned(),
        (Action::Leave, Outcome::NeedsOther | Outcome::Blocked | Outcome::Migrates) => {
            "none: it stays on the node".to_owned()
        }
        (_, Outcome::NeedsOther | Outcome::Blocked | Outcome::Migrates) => {
            "as long as whoever manages it takes".to_owned()
        }
        (_, Outcome::StaysOff) => "until somebody starts it".to_owned(),
        (_, Outcome::Lost) => "for good".to_owned(),
        // The replacement is made as soon as the old launcher begins to terminate (OBSERVED j).
        (_, Outcome::RestartsElsewhere) if matches!(owner, Owner::ReplicaSet(_)) => {
            "until its replacement, which is made at once, has started".to_owned()
        }
        (_, Outcome::RestartsElsewhere) => {
            format!("its shutdown (up to {grace} s), then until it has started elsewhere")
        }
    }
}

fn warnings(
    judgement: &Judgement,
    instance: &VirtualMachineInstance,
    owner: Owner<'_>,
    cluster: &Virtualization,
) -> Vec<String> {
    let mut warnings = Vec::new();
    match judgement.action {
        Action::Restart | Action::Stop => {
            let overlays = instance.overlay_disks();
            if !overlays.is_empty() {
                warnings.push(format!(
                    "what the guest wrote to {} is lost, as whenever it is shut down from outside",
                    overlays.join(", ")
                ));
            }
            if let Owner::Machine(machine) = owner {
                let halts = matches!(machine.run_strategy, RunStrategy::Always | RunStrategy::Once);
                if judgement.means == Means::StopMachine && halts {
                    let word = machine.run_strategy.as_str();
                    warnings.push(format!("its runStrategy {word} becomes Halted; --undo gives it back"));
                }
                let failure = machine.start_failure.as_ref().filter(|_| judgement.action == Action::Restart);
                if let Some(failure) = failure {
                    let wait = failure.retry_after.map(|at| format!(" and starts it no sooner than {at}"));
                    warnings.push(format!(
                        "KubeVirt counts {} failed starts in a row{}",
                        failure.count,
                        wait.unwrap_or_default()
                    ));
                }
            }
        }
        Action::Migrate => {
            let ends_backup = judgement.means == Means::Evacuate && cluster.features().evacuation_ends_backups;
            if instance.has_running_backup && ends_backup {
                warnings.push("a backup of it runs, which the evacuation aborts".to_owned());
            } else if instance.has_running_backup {
                warnings.push("a backup of it runs, for which the migration waits".to_owned());
            }
            if instance.has_utility_volumes {
                warnings.push(
                    "a utility volume is attached: the migration waits for its end, and fails if that takes too long"
                        .to_owned(),
                );
            }
        }
        Action::Leave | Action::Refuse => {}
    }
    warnings
}

#[cfg(test)]
mod tests;
