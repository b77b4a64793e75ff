//! How much is run: everything, or a sample that a seed draws.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Write, stderr};

/// Returns whether everything is asked for.
pub(crate) fn is_full() -> bool {
    env::var_os("HANDOVER_FULL").is_some_and(|value| value == "1")
}

/// Returns the seed of samples and schedules, 1 unless `HANDOVER_SEED` says otherwise.
pub(crate) fn seed() -> u64 {
    env::var("HANDOVER_SEED").map_or(1, |text| text.parse().expect("HANDOVER_SEED is a number"))
}

/// Returns all of the cases, or `size` of them in an order that the seed draws.
pub(crate) fn draw<T: Hash>(mut cases: Vec<T>, size: usize) -> Vec<T> {
    if !is_full() {
        let seed = seed();
        cases.sort_by_cached_key(|case| {
            let mut hasher = DefaultHasher::new();
            (seed, case).hash(&mut hasher);
            hasher.finish()
        });
        cases.truncate(size);
    }
    cases
}

/// Writes a line that the test runner does not hold back.
pub(crate) fn say(line: &str) {
    // A closed stderr takes the line with it.
    drop(writeln!(stderr(), "{line}"));
}
