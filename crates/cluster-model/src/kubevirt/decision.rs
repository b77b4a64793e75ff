//! What happens to one virtual machine: the entry of `vms[]` in a plan.

use std::fmt;

use serde::{Serialize, Serializer};

use super::eviction_strategy::{EvictionStrategy, StrategySource};
use super::machine::RunStrategy;
use super::policy::NonMigratable;
use super::reason::Reason;
use crate::identity::{NodeName, ObjectKey, Uid};

/// The decision about one virtual machine, with the facts that it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its namespace.
    pub namespace: String,
    /// The instance's name.
    pub name: String,
    /// The instance's uid: the guest that runs now.
    pub uid: Uid,
    /// Where it runs; `None` while it has no node.
    pub node: Option<NodeName>,
    /// The strategy in effect.
    pub eviction_strategy: EvictionStrategy,
    /// Who says so.
    pub strategy_source: StrategySource,
    /// Condition LiveMigratable; `None`: KubeVirt has not said yet.
    pub live_migratable: Option<bool>,
    /// Why this happens to it.
    pub reason: Reason,
    /// Who makes it again; `None` for a standalone instance.
    pub owner: Option<OwnerName>,
    /// The VirtualMachinePool that made its VirtualMachine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What is done.
    pub action: Action,
    /// By which means.
    pub means: Means,
    /// What comes of it.
    pub outcome: Outcome,
    /// For how long the guest is away, in words: nobody can tell how long a guest boots.
    pub interruption: String,
    /// What else to know.
    pub warnings: Vec<String>,
    /// What would change the answer.
    pub remedy: Option<Remedy>,
}

/// The owner of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerName {
    /// The kind.
    pub kind: String,
    /// The name; the namespace is the instance's.
    pub name: String,
    /// A VirtualMachine's run strategy; `None` for other kinds, and where it could not be read.
    pub run_strategy: Option<RunStrategy>,
}

/// What is done to a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It moves while it runs.
    Migrate,
    /// It is shut down and comes back elsewhere.
    Restart,
    /// It is shut down.
    Stop,
    /// Nothing: it stays, or is ending already.
    Leave,
    /// Nothing until somebody consents; the run does not begin.
    Refuse,
}

/// By which means. Only an eviction asks the budgets: the others are for the caller to check against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Means {
    /// Its pod is evicted, once: KubeVirt answers 429, marks the instance and migrates it, again after each failure.
    Evacuate,
    /// A migration object of the run's own.
    CreateMigration,
    /// Somebody has begun already: the evacuation or migration is only watched.
    Follow,
    /// Its pod is evicted, once: KubeVirt answers 429 and marks the instance for whoever manages it.
    Mark,
    /// Its pod is evicted, which is granted and shuts the guest down.
    Evict,
    /// PUT `virtualmachines/NAME/restart`.
    RestartMachine,
    /// PUT `virtualmachines/NAME/stop`; run strategies Always and Once become Halted by it.
    StopMachine,
    /// DELETE of the instance, where its eviction would be refused for ever.
    DeleteInstance,
    /// Nothing is sent.
    None,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The guest runs on, elsewhere.
    Migrates,
    /// The guest starts again elsewhere.
    RestartsElsewhere,
    /// The guest is off until somebody starts it.
    StaysOff,
    /// The guest is gone: nobody can start it again.
    Lost,
    /// The guest stays, and so the node is not emptied.
    Blocked,
    /// The guest stays until somebody else acts.
    NeedsOther,
}

/// What would change the answer. Printed as an exact flag or command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// `--allow-loss NAMESPACE/NAME`.
    AllowLoss(ObjectKey),
    /// `--non-migratable=…`.
    NonMigratable(NonMigratable),
    /// A command that returns when the guest runs; then the same command line again.
    WaitForStart(ObjectKey),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowLoss(key) => write!(f, "--allow-loss={key}"),
            Self::NonMigratable(value) => write!(f, "--non-migratable={value}"),
            Self::WaitForStart(ObjectKey { namespace, name }) => write!(
                f,
                "kubectl wait --namespace={namespace} --for=jsonpath='{{.status.phase}}'=Running --timeout=5m vmi/{name}"
            ),
        }
    }
}

impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Decision {
    /// The instance's key.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace.clone(), self.name.clone())
    }

    /// Whether the run itself ends the guest.
    pub fn ends_guest(&self) -> bool {
        match self.action {
            Action::Restart | Action::Stop => true,
            Action::Migrate | Action::Leave | Action::Refuse => false,
        }
    }
}
