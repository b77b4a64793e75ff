//! Everything that a run shows: results on stdout, talk on stderr. Nothing else writes to either.

mod fit;
mod output;
mod progress;
mod table;

pub use output::{Output, OutputError};
pub use table::{Cell, Table, Tone};
