//! What the answer to a request about a virtual machine means for it. KubeVirt refuses every eviction of a guest that it
//! is about to migrate: that refusal is the success.

use std::time::Duration;

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::kubevirt::{Means, VirtualMachineReply};
use cluster_model::snapshot::ClusterSnapshot;

use super::guest_step::{GuestId, GuestState, GuestStep};
use super::input::{Moment, Reply};
use super::{Engine, Turn};
use crate::event::Event;

/// How long a refusal that the view will explain is waited out.
const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// How often in all a refusal of what ends a guest is asked about again.
const PATIENCE: u32 = 5;
/// How long a budget's refusal is waited out, if no watch tells of it before.
const BUDGET_PAUSE: Duration = Duration::from_secs(5);

impl Engine {
    /// Takes in the answer to a request about a virtual machine.
    pub(super) fn guest_replied(
        &mut self,
        id: &GuestId,
        reply: Reply,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let Some(mut step) = self.guests.remove(id) else { return };
        if matches!(reply, Reply::Unanswered(_) | Reply::Conflict) {
            step.unanswered += 1;
        } else {
            step.unanswered = 0;
        }
        match step.state {
            GuestState::Asking => Self::asked_replied(&mut step, reply, cluster, now, turn),
            GuestState::CallingOff(_) => Self::call_off_replied(&mut step, reply, now, turn),
            GuestState::Planned | GuestState::Moving | GuestState::Done(_) => {}
        }
        self.guests.insert(id.clone(), step);
    }

    fn asked_replied(step: &mut GuestStep, reply: Reply, cluster: &ClusterSnapshot, now: Moment, turn: &mut Turn) {
        step.asked_at = now.elapsed;
        // The stale pod of a guest that runs elsewhere was deleted, or was not.
        let was_for_pod = step.off_since.is_some() && step.is_migrating();
        match reply {
            Reply::Done => {
                step.state = GuestState::Moving;
                if matches!(step.means, Means::Evacuate | Means::Mark) && !was_for_pod {
                    // It was granted: the guest was not migratable any more when KubeVirt looked.
                    step.means = Means::Evict;
                    turn.events.push(Event::VmShutDown { vm: step.id.vm.clone() });
                }
            }
            Reply::Launcher(reply) => Self::launcher_replied(step, reply, cluster, now, turn),
            Reply::Evicted(reply) => {
                Self::launcher_replied(step, VirtualMachineReply::Other(reply), cluster, now, turn);
            }
            // A migration of it is under way, or its name was taken: the view shows which.
            Reply::Conflict if step.means == Means::CreateMigration => step.state = GuestState::Moving,
            Reply::Gone | Reply::Conflict => again(step, SHORT_PAUSE, now, turn),
            Reply::Denied(message) if was_for_pod => {
                Self::give_guest_up(step, format!("the pod that it left running cannot be deleted: {message}"), turn);
            }
            // A person's migration came first (migration-create-admitter.go); it is followed.
            Reply::Denied(message) if message.contains("in-flight migration detected") => {
                step.means = Means::Follow;
                step.state = GuestState::Moving;
            }
            // It may be on its way already, by an earlier request or somebody else's: the view will show.
            Reply::Denied(message) if !step.is_migrating() && step.refusals < PATIENCE => {
                step.refusals += 1;
                let object = format!("virtual machine {}", step.id.vm);
                turn.events.push(Event::RequestRetried { object, message });
                again(step, SHORT_PAUSE, now, turn);
            }
            Reply::Denied(message) => {
                Self::abandon_guest(step, format!("KubeVirt refuses: {message}"), cluster, now, turn);
            }
            Reply::Unanswered(_) | Reply::Seen(_) => {
                step.may_have_landed = true;
                let pause = step.pause();
                Self::guest_retried(step, reply, turn);
                again(step, pause, now, turn);
            }
        }
    }

    fn launcher_replied(
        step: &mut GuestStep,
        reply: VirtualMachineReply,
        cluster: &ClusterSnapshot,
        now: Moment,
        turn: &mut Turn,
    ) {
        let retried = |message: &str, turn: &mut Turn| {
            let object = format!("virtual machine {}", step.id.vm);
            turn.events.push(Event::RequestRetried { object, message: message.to_owned() });
        };
        match reply {
            VirtualMachineReply::EvacuationStarted { .. } | VirtualMachineReply::EvacuationInProgress { .. } => {
                step.state = GuestState::Moving;
            }
            VirtualMachineReply::NotMigratable { .. } => {
                let reason = "it cannot migrate any more; the same command shows what can be done".to_owned();
                Self::abandon_guest(step, reason, cluster, now, turn);
            }
            // The view will show which pod is the guest's by now, or that the guest is gone.
            VirtualMachineReply::NotTheGuestsPod
            | VirtualMachineReply::InstanceMissing { .. }
            | VirtualMachineReply::DiskAttached { .. }
            | VirtualMachineReply::Other(EvictionReply::Gone | EvictionReply::AnotherPod) => {
                again(step, SHORT_PAUSE, now, turn);
            }
            VirtualMachineReply::LookupFailed { message } | VirtualMachineReply::WebhookDown { message } => {
                step.unanswered += 1;
                retried(&message, turn);
                let pause = step.pause();
                again(step, pause, now, turn);
            }
            VirtualMachineReply::Other(EvictionReply::BudgetBlocked { message }) => {
                retried(&message, turn);
                again(step, BUDGET_PAUSE, now, turn);
            }
            VirtualMachineReply::Other(EvictionReply::WebhookDenied { message }) => {
                retried(&message, turn);
                again(step, BUDGET_PAUSE, now, turn);
            }
            VirtualMachineReply::Other(
                EvictionReply::BudgetProcessing { retry_after } | EvictionReply::Throttled { retry_after },
            ) => again(step, Duration::from_secs(retry_after.clamp(1, 60)), now, turn),
            VirtualMachineReply::Other(EvictionReply::NamespaceTerminating) => step.state = GuestState::Moving,
            VirtualMachineReply::Other(EvictionReply::ManyBudgets) => {
                let reason =
                    "several PodDisruptionBudgets select its pod, and Kubernetes evicts no such pod".to_owned();
                Self::give_guest_up(step, reason, turn);
            }
            VirtualMachineReply::Other(
                EvictionReply::Forbidden { message } | EvictionReply::Unexpected { message, .. },
            ) => Self::abandon_guest(step, format!("its eviction is refused: {message}"), cluster, now, turn),
        }
    }

    pub(super) fn guest_retried(step: &GuestStep, reply: Reply, turn: &mut Turn) {
        let object = format!("virtual machine {}", step.id.vm);
        turn.events.push(Event::RequestRetried { object, message: reply.words() });
    }
}

/// Asks again after a pause, unless the view shows by then that there is no need.
fn again(step: &mut GuestStep, pause: Duration, now: Moment, turn: &mut Turn) {
    step.not_before = now.elapsed + pause;
    step.state = if step.off_since.is_some() { GuestState::Moving } else { GuestState::Planned };
    turn.wake_at = Some(turn.wake_at.map_or(step.not_before, |earlier| earlier.min(step.not_before)));
}
