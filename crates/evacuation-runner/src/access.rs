//! How this crate talks to the API server: one client, one deadline for each request that is no watch.

use std::future::Future;
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
}

/// Long enough for the API server's own retries (an eviction's conflict: up to 10 s), short enough to notice a dead
/// connection.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

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

impl ApiAccess {
    /// Waits for the answer, but not for ever.
    pub async fn call<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let limit = self.request_timeout.unwrap_or(DEFAULT_TIMEOUT);
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CallError::Timeout(limit)),
        }
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
}
