//! Why something happens to a virtual machine: typed for the program, a sentence for the person.

use std::fmt;

use serde::{Serialize, Serializer};

use super::machine::RunStrategy;
use crate::identity::NodeName;

/// The cause, and what a shutdown would mean where one is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What decides.
    pub cause: Cause,
    /// What a shutdown means; `None` where none is considered.
    pub consequence: Option<Consequence>,
    /// The emptyDisks whose data a shutdown loses.
    pub empty_disks: Vec<String>,
}

/// What decides about a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// KubeVirt migrates it when its pod is evicted.
    Protected,
    /// It can migrate, but its strategy would shut it down.
    MigratableUnprotected,
    /// It can migrate, but this KubeVirt could not be told to give an evacuation up.
    NoCancel,
    /// It can migrate, but an old mark names another node, so evictions are answered and come to nothing.
    MarkOfAnotherNode(NodeName),
    /// It is being evacuated already.
    Evacuating,
    /// A migration of this name is under way.
    InFlight(String),
    /// It cannot migrate.
    NotMigratable {
        /// Whether its strategy makes KubeVirt refuse every eviction for ever.
        protected: bool,
        /// KubeVirt's word.
        reason: String,
        /// KubeVirt's sentence.
        message: String,
        /// The claims that are not ReadWriteMany.
        claims: Vec<String>,
    },
    /// KubeVirt has not said whether it can migrate.
    StillStarting,
    /// Strategy External.
    External,
    /// A strategy of a newer KubeVirt.
    UnknownStrategy(String),
    /// It waits for a guest of another cluster.
    Receiver,
    /// Somebody is shutting it down.
    Ending,
    /// The guest has ended; only the object is left.
    Ended,
}

/// What a shutdown means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It starts again elsewhere.
    ComesBack,
    /// Its replica set makes another one.
    Replaced,
    /// It stays off: the person wants it so.
    Stopped,
    /// It stays off: its run strategy does not start it again.
    StaysOff(RunStrategy),
    /// Its VirtualMachine could not be read.
    OwnerUnseen,
    /// It is gone.
    Gone,
}

impl Reason {
    /// A cause alone.
    pub(super) fn because(cause: Cause) -> Self {
        Self { cause, consequence: None, empty_disks: Vec::new() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(consequence) = &self.consequence {
            write!(f, "; {consequence}")?;
        }
        if !self.empty_disks.is_empty() {
            write!(f, "; the data on {} is lost", emptydisk_words(&self.empty_disks))?;
        }
        Ok(())
    }
}

/// `emptyDisk scratch` or `emptyDisks scratch, swap`.
fn emptydisk_words(names: &[String]) -> String {
    format!("emptyDisk{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected => f.write_str("KubeVirt migrates it when its pod is evicted"),
            Self::MigratableUnprotected => f.write_str(
                "an eviction would shut it down, yet it can migrate: it is moved by a migration of this run",
            ),
            Self::NoCancel => f.write_str(
                "this KubeVirt cannot cancel an evacuation (1.7 can): it is moved by a migration of this run, which can \
                 be",
            ),
            Self::MarkOfAnotherNode(node) => write!(
                f,
                "it is still marked for the evacuation of node {node}, so evictions come to nothing: it is moved by a \
                 migration of this run"
            ),
            Self::Evacuating => f.write_str("KubeVirt is evacuating it already"),
            Self::InFlight(name) => write!(f, "migration {name} is moving it already"),
            Self::NotMigratable { protected, reason, message, claims } => {
                f.write_str("it cannot migrate")?;
                if !reason.is_empty() {
                    write!(f, " ({reason})")?;
                }
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                if !claims.is_empty() {
                    write!(f, " [not ReadWriteMany: {}]", claims.join(", "))?;
                }
                if *protected { f.write_str("; KubeVirt refuses every eviction") } else { Ok(()) }
            }
            Self::StillStarting => f.write_str("it is still starting: KubeVirt has not said whether it can migrate"),
            Self::External => f.write_str("its evictionStrategy is External: whoever manages it has to move it"),
            Self::UnknownStrategy(word) => {
                write!(f, "its evictionStrategy {word} is not known to this program")
            }
            Self::Receiver => f.write_str("it waits for a guest of another cluster: that migration has to end first"),
            Self::Ending => f.write_str("somebody is shutting it down already"),
            Self::Ended => f.write_str("it has shut down already"),
        }
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ComesBack => f.write_str("shut down, it starts again elsewhere"),
            Self::Replaced => f.write_str("shut down, its replica set replaces it under another name"),
            Self::Stopped => f.write_str("shut down as asked, it stays off"),
            Self::StaysOff(strategy) => {
                write!(f, "shut down, it stays off (runStrategy {})", strategy.as_str())
            }
            Self::OwnerUnseen => {
                f.write_str("its VirtualMachine was not found or may not be read, so it may stay off once shut down")
            }
            Self::Gone => f.write_str("shut down, it is gone: nobody starts it again"),
        }
    }
}
