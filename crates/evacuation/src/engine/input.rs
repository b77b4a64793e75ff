//! What the engine is told.

use std::time::Duration;

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::kubevirt::VirtualMachineReply;
use cluster_model::pod::Pod;
use jiff::Timestamp;

/// Now, by two clocks. Waits are measured by the one that nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, for what is written down.
    pub wall: Timestamp,
    /// Monotonic time since the run began.
    pub elapsed: Duration,
}

/// Names one command of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What happened since the last turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The view changed, or time has passed.
    Woke,
    /// A command was carried out, or was not.
    Replied(CommandId, Reply),
    /// Somebody wants the run to end in good order.
    Interrupted,
    /// The right to write is lost: another run holds the node.
    LeaseLost,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The server did it.
    Done,
    /// What was looked up.
    Seen(Box<Pod>),
    /// The server refused the eviction, or the deletion, in this way.
    Evicted(EvictionReply),
    /// The server refused the eviction of a launcher pod in this way.
    Launcher(VirtualMachineReply),
    /// The object has changed since the view saw it.
    Conflict,
    /// The object is not there, or is another one by that name.
    Gone,
    /// The server will not do it, however often it is asked.
    Denied(String),
    /// No answer, or one that says nothing about whether it was done.
    Unanswered(String),
}

impl Reply {
    /// What was heard, in words for an answer that leaves nothing but asking again.
    pub(super) fn words(self) -> String {
        match self {
            Self::Unanswered(message) | Self::Denied(message) => message,
            Self::Conflict => "another write came in between".to_owned(),
            Self::Done | Self::Seen(_) | Self::Evicted(_) | Self::Launcher(_) | Self::Gone => {
                "unexpected answer".to_owned()
            }
        }
    }
}
