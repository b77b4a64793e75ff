//! What KubeVirt's webhooks will answer to the eviction of a pod: their decision table, to check a server's dry run
//! against, and to know beforehand what an eviction does. It holds from 1.5 on ([`Features::webhook_answers_always`]).
//!
//! Rules: `webhooks/validating-webhook/admitters/pod-eviction-admitter.go`, in its order.
//!
//! [`Features::webhook_answers_always`]: super::Features::webhook_answers_always

use super::eviction_reply::{HOTPLUG_WEBHOOK, LAUNCHER_WEBHOOK, VirtualMachineReply};
use super::eviction_strategy::EvictionStrategy;
use super::launcher::{HotplugPod, LauncherPod};
use super::snapshot::Virtualization;
use crate::eviction_reply::EvictionReply;
use crate::identity::{NodeName, ObjectKey};

/// The pod whose eviction is thought of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PodSeen<'a> {
    /// A launcher pod.
    Launcher(&'a LauncherPod),
    /// A pod that attaches a disk.
    Hotplug(&'a HotplugPod),
}

/// What the webhook will answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Which row of its table.
    pub case: WebhookCase,
    /// The message of the refusal, whole; `None`: it lets the eviction pass, and the budgets are asked next.
    pub message: Option<String>,
    /// What the eviction changes, unless it is a dry run.
    pub side_effect: SideEffect,
}

/// A row of the webhook's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookCase {
    /// Passed: the pod has ended, or is none that the webhook looks after.
    NotGuarded,
    /// Refused: the instance is missing.
    InstanceMissing,
    /// Refused: LiveMigrate, and it cannot (or has not said that it can).
    NotMigratable,
    /// Passed: the guest is shut down. Also for the target of a migration, which this kills (OBSERVED, case 4).
    ShutsDown,
    /// Refused: it is marked already.
    InProgress,
    /// Refused: the pod is not on the guest's node.
    NotTheGuestsPod,
    /// Refused, and the evacuation begins.
    Triggered,
    /// Refused: a disk of a guest that runs.
    DiskAttached,
}

/// What an eviction changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideEffect {
    /// Nothing.
    Nothing,
    /// The pod begins to terminate, if the budgets allow it.
    PodTerminates,
    /// `status.evacuationNodeName` of the instance is set to this node.
    Marks(NodeName),
}

/// Predicts the answer to the eviction of a pod, in the order of the webhook's own clauses. It looks the instance up by
/// the name in the pod's annotation, whatever its uid, and does not ask whether the pod terminates already.
pub fn predicted_webhook_answer(pod: PodSeen<'_>, cluster: &Virtualization) -> Prediction {
    match pod {
        PodSeen::Launcher(launcher) => launcher_answer(launcher, cluster),
        PodSeen::Hotplug(hotplug) => hotplug_answer(hotplug, cluster),
    }
}

fn launcher_answer(launcher: &LauncherPod, cluster: &Virtualization) -> Prediction {
    let Some(domain) = launcher.domain.as_ref().filter(|_| !launcher.pod.is_terminal()) else {
        return Prediction::passes(WebhookCase::NotGuarded);
    };
    let key = ObjectKey::new(launcher.pod.id.namespace.clone(), domain.clone());
    let refuses = |case, words: String| Prediction::refuses(case, LAUNCHER_WEBHOOK, &words);
    let Some(instance) = cluster.instance(&key) else {
        let words =
            format!("kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io \"{domain}\" not found");
        return refuses(WebhookCase::InstanceMissing, words);
    };
    let (strategy, _) = cluster.eviction_strategy(instance);
    let is_protected = match strategy {
        EvictionStrategy::LiveMigrate if !instance.is_live_migratable() => {
            let words = format!("VMI {domain} is configured with an eviction strategy but is not live-migratable");
            return refuses(WebhookCase::NotMigratable, words);
        }
        EvictionStrategy::LiveMigrate | EvictionStrategy::External => true,
        EvictionStrategy::LiveMigrateIfPossible => instance.is_live_migratable(),
        EvictionStrategy::None | EvictionStrategy::Other(_) => false,
    };
    if !is_protected {
        return Prediction::passes(WebhookCase::ShutsDown);
    }
    let triggered = format!("Eviction triggered evacuation of VMI \"{key}\"");
    if instance.evacuation_node.is_some() {
        return refuses(WebhookCase::InProgress, format!("Evacuation in progress: {triggered}"));
    }
    match launcher.node().filter(|node| instance.node.as_ref() == Some(node)) {
        None => refuses(WebhookCase::NotTheGuestsPod, "Eviction request for target Pod".to_owned()),
        Some(node) => {
            Prediction { side_effect: SideEffect::Marks(node.clone()), ..refuses(WebhookCase::Triggered, triggered) }
        }
    }
}

fn hotplug_answer(hotplug: &HotplugPod, cluster: &Virtualization) -> Prediction {
    let (launcher, instance) = cluster.served_by(hotplug);
    let is_alive = launcher.is_some_and(|launcher| !launcher.pod.is_terminal());
    match instance.filter(|_| is_alive && !hotplug.pod.is_terminal()) {
        None => Prediction::passes(WebhookCase::NotGuarded),
        Some(instance) => {
            let ObjectKey { namespace, name } = &instance.metadata.key;
            let pod = &hotplug.pod.id.name;
            let words =
                format!("cannot evict hotplug pod: {pod} associated with running vmi: {name} in namespace {namespace}");
            Prediction::refuses(WebhookCase::DiskAttached, HOTPLUG_WEBHOOK, &words)
        }
    }
}

impl Prediction {
    fn passes(case: WebhookCase) -> Self {
        Self { case, message: None, side_effect: SideEffect::PodTerminates }
    }

    fn refuses(case: WebhookCase, webhook: &str, words: &str) -> Self {
        let message = format!("admission webhook \"{webhook}\" denied the request: {words}");
        Self { case, message: Some(message), side_effect: SideEffect::Nothing }
    }

    /// Whether an answer of the server is the predicted one; `None`: the eviction was granted. A budget's refusal agrees
    /// with a webhook that lets the eviction pass, since it is asked afterwards; an answer of neither (virt-api is down,
    /// the server is busy) agrees with nothing.
    pub fn agrees_with(&self, answer: Option<&VirtualMachineReply>) -> bool {
        match self.case {
            WebhookCase::NotGuarded | WebhookCase::ShutsDown => match answer {
                None => true,
                Some(VirtualMachineReply::Other(reply)) => matches!(
                    reply,
                    EvictionReply::BudgetBlocked { .. }
                        | EvictionReply::BudgetProcessing { .. }
                        | EvictionReply::ManyBudgets
                ),
                Some(_) => false,
            },
            WebhookCase::InstanceMissing => matches!(answer, Some(VirtualMachineReply::InstanceMissing { .. })),
            WebhookCase::NotMigratable => matches!(answer, Some(VirtualMachineReply::NotMigratable { .. })),
            WebhookCase::InProgress => matches!(answer, Some(VirtualMachineReply::EvacuationInProgress { .. })),
            WebhookCase::NotTheGuestsPod => matches!(answer, Some(VirtualMachineReply::NotTheGuestsPod)),
            WebhookCase::Triggered => matches!(answer, Some(VirtualMachineReply::EvacuationStarted { .. })),
            WebhookCase::DiskAttached => matches!(answer, Some(VirtualMachineReply::DiskAttached { .. })),
        }
    }
}

#[cfg(test)]
mod tests;
