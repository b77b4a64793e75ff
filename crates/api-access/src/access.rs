//! How this crate talks to the API server: one client, one deadline for each request that is no watch, and patience
//! with a server that stumbles while it is only being asked.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use kube::Client;

/// The client and how it is to be used.
#[derive(Clone)]
pub struct ApiAccess {
    /// The client; its own retry must be off, since a 429 is an answer here.
    pub client: Client,
    /// The limit for one request that is no watch; `None`: [`DEFAULT_TIMEOUT`].
    pub request_timeout: Option<Duration>,
    /// The name that writes are recorded under.
    pub field_manager: String,
    /// How many objects a page of a list holds.
    pub chunk_size: u32,
    /// Who is told why a question is asked again.
    pub patience: Patience,
}

/// Long enough for the API server's own retries (an eviction's conflict: up to 10 s), short enough to notice a dead
/// connection.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The pauses before a question is asked again. A kube-apiserver that restarts is back within them.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(750),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// The longest wait that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The client says so.
    #[error(transparent)]
    Client(#[from] kube::Error),
    /// No answer came in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Whether a server that does not answer is worth waiting for, and who hears of it.
#[derive(Clone)]
pub struct Patience {
    /// A server that has never answered is more likely the wrong address than a stumbling server.
    has_answered: Rc<Cell<bool>>,
    tell: Rc<dyn Fn(&str)>,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("has_answered", &self.has_answered).finish_non_exhaustive()
    }
}

impl Patience {
    /// Tells `tell` a line about each question that is going to be asked again.
    pub fn new(tell: impl Fn(&str) + 'static) -> Self {
        Self { has_answered: Rc::default(), tell: Rc::new(tell) }
    }
}

impl ApiAccess {
    /// Waits for the answer, but not for ever.
    pub async fn call<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let limit = self.request_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let answer = match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(CallError::from),
            Err(_) => Err(CallError::Timeout(limit)),
        };
        if answer.is_ok() || answer.as_ref().is_err_and(|error| error.status().is_some()) {
            self.patience.has_answered.set(true);
        }
        answer
    }

    /// Asks, and asks again while the server stumbles: only for what changes nothing, or may be done twice.
    pub async fn ask<T, F>(&self, request: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        for pause in PAUSES {
            let error = match self.call(request()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_passing(self.patience.has_answered.get()) => error,
                Err(error) => return Err(error),
            };
            let pause = error.wanted_pause().map_or(pause, |wanted| wanted.max(pause).min(LONGEST_PAUSE));
            (self.patience.tell)(&format!("{}; asking again in {:.1} s", error.in_short(), pause.as_secs_f32()));
            tokio::time::sleep(pause).await;
        }
        self.call(request()).await
    }
}

impl CallError {
    /// The server's own answer, if there was one.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Client(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// Whether asking again may help: an overloaded or restarting server, or a connection that broke to one that was
    /// there before.
    fn is_passing(&self, has_answered: bool) -> bool {
        match self {
            Self::Client(kube::Error::Api(status)) => matches!(status.code, 429 | 500 | 502..=504),
            Self::Client(kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)) => {
                has_answered
            }
            Self::Timeout(_) => has_answered,
            Self::Client(_) => false,
        }
    }

    /// The wait that the server asks for.
    fn wanted_pause(&self) -> Option<Duration> {
        let details = self.status()?.details.as_ref()?;
        Some(Duration::from_secs(u64::from(details.retry_after_seconds))).filter(|pause| !pause.is_zero())
    }

    /// The error in a few words, for a line that tells of it in passing.
    pub fn in_short(&self) -> String {
        match self {
            Self::Client(kube::Error::Api(status)) => {
                format!("the API server answers {} ({})", status.code, status.message)
            }
            Self::Client(_) => "the connection to the API server broke".to_owned(),
            Self::Timeout(limit) => format!("the API server has not answered within {} s", limit.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> CallError {
        let status = kube::core::Status { code, ..kube::core::Status::failure("", "") };
        CallError::Client(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        for code in [429, 500, 502, 503, 504] {
            assert!(answered(code).is_passing(false), "{code}");
        }
        for code in [400, 401, 403, 404, 409, 410, 422, 501] {
            assert!(!answered(code).is_passing(true), "{code}");
        }
        // Without any answer so far the address may be wrong, and nobody wants to wait to be told so.
        let silent = CallError::Timeout(DEFAULT_TIMEOUT);
        assert!(silent.is_passing(true) && !silent.is_passing(false));
        assert!(!CallError::Client(kube::Error::LinesCodecMaxLineLengthExceeded).is_passing(true));
    }
}
