//! A VirtualMachine: what is to happen when its guest ends.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::POOL_GROUP;
use super::object::{Metadata, amount, flag, list, moment, text};

/// One virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualMachine {
    /// Which one. Its instance has the same name.
    pub metadata: Metadata,
    /// When KubeVirt starts it.
    pub run_strategy: RunStrategy,
    /// `status.printableStatus`: what `kubectl get vm` shows.
    pub printable_status: Option<String>,
    /// `status.startFailure`: its last starts failed.
    pub start_failure: Option<StartFailure>,
    /// The VirtualMachinePool that made it.
    pub pool: Option<String>,
    /// Whether it says what is to run by the older `spec.running`.
    pub says_running: bool,
    /// Whether a start or stop was asked for and not yet done (`status.stateChangeRequests`).
    pub is_changing: bool,
}

/// `spec.runStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunStrategy {
    /// Started again whenever it ended.
    Always,
    /// Started again if it failed; after a clean shutdown, which is what an eviction is, it stays off.
    RerunOnFailure,
    /// Started and stopped by people.
    Manual,
    /// Started once.
    Once,
    /// Not to run.
    Halted,
    /// It receives a guest of another cluster.
    WaitAsReceiver,
    /// A word of a newer KubeVirt.
    Other(String),
}

/// KubeVirt tries a start that failed again later and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// How many starts failed in a row.
    pub count: u64,
    /// No new start before this moment.
    pub retry_after: Option<Timestamp>,
}

impl From<&Value> for VirtualMachine {
    fn from(object: &Value) -> Self {
        let metadata = Metadata::from(object);
        let pool = metadata.controller.as_ref().filter(|owner| owner.is(POOL_GROUP, "VirtualMachinePool"));
        let failure = object.pointer("/status/startFailure").filter(|failure| failure.is_object());
        Self {
            run_strategy: RunStrategy::of(object),
            printable_status: text(object, "/status/printableStatus"),
            start_failure: failure.map(|failure| StartFailure {
                count: amount(failure, "/consecutiveFailCount").unwrap_or(0),
                retry_after: moment(failure, "/retryAfterTimestamp"),
            }),
            pool: pool.map(|pool| pool.name.clone()),
            says_running: object.pointer("/spec/running").is_some_and(Value::is_boolean),
            is_changing: list(object, "/status/stateChangeRequests").next().is_some(),
            metadata,
        }
    }
}

impl RunStrategy {
    /// `spec.runStrategy`, or the older `spec.running`; with neither it is Halted (`api/core/v1/types.go`).
    fn of(object: &Value) -> Self {
        match text(object, "/spec/runStrategy").as_deref() {
            Some("Always") => Self::Always,
            Some("RerunOnFailure") => Self::RerunOnFailure,
            Some("Manual") => Self::Manual,
            Some("Once") => Self::Once,
            Some("Halted") => Self::Halted,
            Some("WaitAsReceiver") => Self::WaitAsReceiver,
            Some(other) => Self::Other(other.to_owned()),
            None if flag(object, "/spec/running") => Self::Always,
            None => Self::Halted,
        }
    }

    /// The word in the object.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Always => "Always",
            Self::RerunOnFailure => "RerunOnFailure",
            Self::Manual => "Manual",
            Self::Once => "Once",
            Self::Halted => "Halted",
            Self::WaitAsReceiver => "WaitAsReceiver",
            Self::Other(word) => word,
        }
    }
}

impl Serialize for RunStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
