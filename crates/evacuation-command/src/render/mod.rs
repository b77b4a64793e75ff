//! Words and tables for the person at the terminal.

mod events;
mod plan;

pub(crate) use events::{Narrator, Voice};
pub(crate) use plan::plan_text;
