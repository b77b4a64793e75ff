//! Which of the cases and requests are tried.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

use e2e::sample::{is_full, seed};

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
