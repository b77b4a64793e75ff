//! How much is run: everything, or a sample that a seed draws.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Write, stderr};
use std::ops::RangeInclusive;

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

/// Returns which requests the kill matrix is about: all, or those of `HANDOVER_POINTS`, for example `45-50`.
pub(crate) fn numbers() -> RangeInclusive<usize> {
    let Ok(text) = env::var("HANDOVER_POINTS") else { return 1..=usize::MAX };
    let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last) = ends.expect("HANDOVER_POINTS is two numbers, as in 45-50");
    first..=last
}

/// Writes a line that the test runner does not hold back.
pub(crate) fn say(line: &str) {
    // A closed stderr takes the line with it.
    drop(writeln!(stderr(), "{line}"));
}
