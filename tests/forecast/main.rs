//! The forecast judges as kube-scheduler does: its filters against the scheduler's own code, over clusters drawn by a seed.
//!
//! `HANDOVER_FULL=1` draws more of them, `HANDOVER_SEED` others. A case that is judged differently is reduced and written
//! down; once it is understood, it moves into `fixtures/`, where it is judged for ever.
//!
//! | module | what it is |
//! |---|---|
//! | [`coverage`] | which filters the drawn clusters were about |
//! | [`ours`] | a case as the forecast judges it, beside what the scheduler says |
//! | [`reduce`] | makes a case small that shows a difference |

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "how long it took is told")]

mod coverage;
mod ours;
mod reduce;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use e2e::SchedulerOracle;
use e2e::sample::{is_full, say, seed};
use e2e::scheduling::{Case, generate};

use crate::coverage::Coverage;
use crate::ours::{Difference, compare};
use crate::reduce::reduce;

/// How many clusters are drawn, and with `HANDOVER_FULL=1`.
const CLUSTERS: u64 = 300;
const CLUSTERS_IN_FULL: u64 = 5000;
/// After so many cases that are judged differently there is enough to look at.
const ENOUGH: usize = 5;

#[test]
fn every_verdict_is_the_schedulers_own() {
    let mut oracle = SchedulerOracle::start();
    let started = Instant::now();
    let count = if is_full() { CLUSTERS_IN_FULL } else { CLUSTERS };
    let mut coverage = Coverage::default();
    let mut unknown = 0;
    let mut failures = vec![];
    for number in 0..count {
        let drawn = seed() * 1_000_000 + number;
        let case = generate(drawn);
        let answer = oracle.ask(&case).unwrap_or_else(|error| panic!("cluster {drawn} is no cluster: {error}"));
        coverage.count(&answer);
        let comparison = compare(&answer);
        unknown += comparison.unknown;
        if let Some(difference) = comparison.differences.into_iter().next() {
            let file = keep(&mut oracle, &case, &difference, drawn);
            failures.push(format!("cluster {drawn}: {}\n    reduced to {}", difference.told, file.display()));
        }
        if failures.len() == ENOUGH {
            break;
        }
    }
    say(&format!(
        "{}; {unknown} pods and templates of which nothing can be known; {} clusters judged differently; {} s",
        coverage.line(),
        failures.len(),
        started.elapsed().as_secs()
    ));
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    let gaps = coverage.gaps();
    assert!(gaps.is_empty(), "too few clusters are about {gaps:?}");
}

#[test]
fn kept_cases_are_judged_as_the_scheduler_does() {
    let mut oracle = SchedulerOracle::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("forecast/fixtures");
    let entries = fs::read_dir(&folder).expect("the folder of kept cases can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.sort();
    for file in files {
        let text = fs::read(&file).expect("a kept case can be read");
        let case: Case = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let answer = oracle.ask(&case).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let comparison = compare(&answer);
        let told: Vec<_> = comparison.differences.iter().map(|difference| &difference.told).collect();
        assert!(told.is_empty(), "{}: {told:#?}", file.display());
        let pods = answer.pods.len();
        assert!(comparison.unknown <= pods, "{}: a case that is not compared says nothing", file.display());
    }
}

/// Reduces a case that shows a difference and writes it where a person finds it.
fn keep(oracle: &mut SchedulerOracle, case: &Case, difference: &Difference, drawn: u64) -> PathBuf {
    let reduced = reduce(case, |smaller| {
        let Ok(answer) = oracle.ask(smaller) else { return false };
        compare(&answer).differences.iter().any(|other| other.is_like(difference))
    });
    let name = |filter: &Option<String>| filter.clone().unwrap_or_else(|| "fits".to_owned());
    let file = format!(
        "{drawn}-{:?}-{}-not-{}.json",
        difference.source,
        name(&difference.scheduler),
        name(&difference.forecast)
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    let text = serde_json::to_string_pretty(&reduced).expect("a case is JSON");
    fs::write(&path, text + "\n").expect("a reduced case can be written");
    path
}
