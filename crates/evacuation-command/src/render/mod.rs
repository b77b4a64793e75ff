//! Words and tables for the person at the terminal.

mod bystanders;
mod capacity;
mod drift;
mod events;
mod notes;
mod pace;
mod plan;
mod vms;

pub(crate) use bystanders::farewell;
pub(crate) use drift::drift_line;
pub(crate) use events::{Narrator, Voice};
pub(crate) use pace::Pace;
pub(crate) use plan::{Page, plan_text, refusal_line};
