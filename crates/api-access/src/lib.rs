//! How the runners talk to an API server: one client with a deadline for each request, what this user may do, and the
//! signals that end a run.

mod access;
pub mod interrupts;
pub mod rights;

pub use access::{ApiAccess, CallError, DEFAULT_TIMEOUT, Patience};
