//! What the three plugins have in common around their work: the way in (flags, connection) and the way out (reports,
//! prompts, failures, exit status).
//!
//! ```text
//! main ─► entry::run_plugin ─► Launch::parse (flags) ─► Launch::open (terminal, output) ─► connect ─► Connection
//!              ▲                                                                                          │
//!              └── ExitStatus | Failure ◄── the plugin's own work, told through report::Output ◄──────────┘
//! ```
//!
//! Only [`environment`] reads the process environment, only [`report`], [`prompt`] and the log of `-v` write to the
//! terminal, and only [`entry`] ends the process. Nothing here decides what happens to a pod.

pub mod api_error;
pub mod connect;
pub mod duration;
pub mod entry;
pub mod environment;
pub mod exit;
pub mod failure;
pub mod flags;
pub mod identity;
mod log;
pub mod prompt;
pub mod report;
pub mod terminal;
pub mod word;
