//! Many faults at once: the same command, again and again through a bad network, until it is done.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use e2e::sample::{is_full, say, seed};
use e2e::{AuditLog, ControlPlane, FaultProxy, Schedule};
use futures::future::join_all;
use jiff::Timestamp;

use crate::invariants;
use crate::kill_matrix::{Scene, expect};
use crate::lane::Lane;

/// How many schedules are run when everything is asked for, and in a sample.
const ALL: u64 = 200;
const SAMPLE: u64 = 20;
/// How many run at a time.
const LANES: usize = 6;
/// Deployments, and replicas of each.
const WORKLOADS: usize = 3;
const REPLICAS: usize = 2;
/// The fewest faults of a schedule; a seed adds up to ten.
const FEWEST_FAULTS: usize = 5;
/// How often the command is given through the bad network at most.
const MOST_RUNS: usize = 8;

#[derive(Default)]
struct Tally {
    schedules: usize,
    faults: usize,
    runs: usize,
    failures: Vec<String>,
}

#[tokio::test]
async fn no_schedule_of_faults_loses_an_endpoint_or_leaves_a_mark() {
    let began = Instant::now();
    let control_plane = ControlPlane::start();
    let count = if is_full() { ALL } else { SAMPLE };
    let first = seed() * 1000;
    let queue = Mutex::new((first..first + count).collect::<VecDeque<_>>());
    let tally = Mutex::new(Tally::default());
    join_all((0..LANES).map(|_| work(&control_plane, &queue, &tally))).await;

    let Tally { schedules, faults, runs, failures } = tally.into_inner().unwrap();
    say(&format!(
        "fault schedules: {schedules} (seeds {first} to {}), {faults} faults in {runs} runs, {} failed; {:.0?}",
        first + count - 1,
        failures.len(),
        began.elapsed(),
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn work(control_plane: &ControlPlane, queue: &Mutex<VecDeque<u64>>, tally: &Mutex<Tally>) {
    let next = || queue.lock().unwrap().pop_front();
    let mut lane = None;
    while let Some(seed) = next() {
        let mut current = match lane.take() {
            Some(lane) => lane,
            None => Lane::start(control_plane, WORKLOADS, REPLICAS).await,
        };
        let (faults, runs, wrong) = suffer(control_plane, &mut current, seed).await;
        let mut tally = tally.lock().unwrap();
        tally.schedules += 1;
        tally.faults += faults;
        tally.runs += runs;
        if wrong.is_empty() {
            lane = Some(current);
        } else {
            say(&format!("failed: schedule {seed}\n{wrong}"));
            tally.failures.push(format!("schedule {seed} on {}:\n{wrong}", current.ns.name()));
        }
    }
}

/// One schedule. Returns how many faults and runs there were, and what is wrong.
async fn suffer(control_plane: &ControlPlane, lane: &mut Lane, seed: u64) -> (usize, usize, String) {
    let mut wrong = String::new();
    let began = Timestamp::now();
    let case = lane.begin().await;
    let faults = FEWEST_FAULTS + usize::try_from(seed % 11).unwrap();
    let proxy = FaultProxy::start(control_plane, lane.ns.user(), Schedule::seeded(seed, faults)).await;
    let mut story = String::new();
    let mut runs = 0;
    loop {
        let running = lane.command().args(["--request-timeout=4s"]).user(proxy.user()).spawn();
        proxy.aim(&running);
        let run = running.wait().await;
        runs += 1;
        // A run that does not come to its end says whether anything was changed, and how to go on.
        expect(&run, &[0, 3, 4], &mut wrong);
        let explains = match run.code() {
            3 => run.stderr.contains("error: "),
            4 => run.stderr.contains("go on:"),
            _ => true,
        };
        if !explains {
            let _ = writeln!(wrong, "it does not say why it ended: {run}");
        }
        let is_done = run.code() == 0;
        let _ = writeln!(story, "run {runs}: {run}");
        if is_done || !wrong.is_empty() {
            break;
        }
        if runs == MOST_RUNS {
            let _ = writeln!(wrong, "it is not done after {runs} runs");
            break;
        }
    }
    let strikes = proxy.strikes();
    if wrong.is_empty() {
        if strikes < FEWEST_FAULTS {
            let _ = writeln!(wrong, "only {strikes} faults");
        }
        lane.judge(case, &mut wrong).await;
        let audit = AuditLog::of_user(control_plane, &lane.ns.user().name).await.since(began);
        invariants::judge(&audit, &lane.old, WORKLOADS * REPLICAS, &mut wrong);
    }
    if wrong.is_empty() {
        lane.turn_round(&mut wrong).await;
    }
    if !wrong.is_empty() {
        let hit =
            proxy.arrivals().into_iter().filter_map(|arrival| Some((arrival.number, arrival.what, arrival.fault?)));
        for (number, request, fault) in hit {
            let _ = writeln!(wrong, "  {number}: {request}: {fault:?}");
        }
        wrong.push_str(&story);
    }
    (strikes, runs, wrong)
}
