//! How much is run: everything, or a sample that a seed draws.

use std::env;
use std::io::{Write, stderr};

/// Returns whether everything is asked for.
pub fn is_full() -> bool {
    env::var_os("HANDOVER_FULL").is_some_and(|value| value == "1")
}

/// Returns the seed of samples and schedules, 1 unless `HANDOVER_SEED` says otherwise.
pub fn seed() -> u64 {
    env::var("HANDOVER_SEED").map_or(1, |text| text.parse().expect("HANDOVER_SEED is a number"))
}

/// Writes a line that the test runner does not hold back.
pub fn say(line: &str) {
    // A closed stderr takes the line with it.
    drop(writeln!(stderr(), "{line}"));
}
