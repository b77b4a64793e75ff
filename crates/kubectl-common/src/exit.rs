//! Exit statuses: the contract with scripts, and the only place that knows the numbers.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// Everything asked for was done, or a dry run found nothing in the way.
    Done,
    /// Something went wrong that no other status names.
    Unexpected,
    /// The command line asks for something that makes no sense.
    Usage,
    /// The run was refused before it changed anything.
    Refused,
    /// The run stopped part-way; the same command resumes it.
    Stopped,
    /// Another operator holds what the run needs.
    HeldByAnother,
    /// The user interrupted the run.
    Interrupted,
}

impl ExitStatus {
    /// Returns the number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Stopped => 4,
            Self::HeldByAnother => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
