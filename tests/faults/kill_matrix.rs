//! kill -9, INT and TERM before and after every request of a run, and the same command again.

use std::collections::{BTreeMap, VecDeque};

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use e2e::{ControlPlane, Fault, FaultProxy, Schedule};
use futures::future::join_all;
use rustix::process::Signal;

use crate::lane::{Lane, expect};
use crate::sample::{draw, is_full, say, seed};

/// What is done at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Blow {
    /// kill -9; the same user goes on, on the same machine.
    KillThenSameUser,
    /// kill -9; another user goes on, on another machine.
    KillThenAnotherHost,
    Interrupt,
    Terminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Side {
    Before,
    After,
}

/// A blow at the n-th request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Point {
    number: usize,
    side: Side,
    blow: Blow,
}

impl Point {
    fn fault(self) -> Fault {
        match (self.blow, self.side) {
            (Blow::KillThenSameUser | Blow::KillThenAnotherHost, Side::Before) => Fault::KillBefore,
            (Blow::KillThenSameUser | Blow::KillThenAnotherHost, Side::After) => Fault::KillAfter,
            (Blow::Interrupt, Side::Before) => Fault::SignalBefore(Signal::INT),
            (Blow::Interrupt, Side::After) => Fault::SignalAfter(Signal::INT),
            (Blow::Terminate, Side::Before) => Fault::SignalBefore(Signal::TERM),
            (Blow::Terminate, Side::After) => Fault::SignalAfter(Signal::TERM),
        }
    }
}

/// What came of it.
#[derive(Default)]
struct Tally {
    blows: BTreeMap<Blow, usize>,
    /// How many signals ended the run with 130.
    interrupted: usize,
    not_reached: usize,
    failures: Vec<String>,
}

#[tokio::test]
async fn one_workload_survives_a_blow_at_every_request() {
    matrix("one workload", 1, 6, 48).await;
}

#[tokio::test]
async fn twenty_workloads_survive_a_blow_at_every_request() {
    matrix("twenty workloads", 20, 3, 12).await;
}

/// Runs the whole matrix, or `size` points of it, on so many lanes at a time.
async fn matrix(title: &str, workloads: usize, lanes: usize, size: usize) {
    let began = Instant::now();
    let control_plane = ControlPlane::start();
    let mut first = Lane::start(&control_plane, workloads, 1).await;
    let requests = count_requests(&control_plane, &mut first).await;
    let all: Vec<_> = points(requests).collect();
    let total = all.len();
    let queue = Mutex::new(VecDeque::from(draw(all, size)));
    let tally = Mutex::new(Tally::default());
    let workers = (0..lanes).map(|_| work(&control_plane, workloads, &queue, &tally));
    join_all(workers).await;

    let tally = tally.into_inner().unwrap();
    let blows: usize = tally.blows.values().sum();
    let of = |blow| tally.blows.get(&blow).copied().unwrap_or_default();
    say(&format!(
        "kill matrix, {title}: {blows} blows of {total} points ({}) at {requests} requests: {} kill -9 resumed by the \
         same user, {} by another user on another host, {} INT, {} TERM, {} not reached; {} failed; {:.0?}",
        if is_full() { "all".to_owned() } else { format!("a sample, seed {}", seed()) },
        of(Blow::KillThenSameUser),
        of(Blow::KillThenAnotherHost),
        of(Blow::Interrupt),
        of(Blow::Terminate),
        tally.not_reached,
        tally.failures.len(),
        began.elapsed(),
    ));
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n\n"));
    let signals = of(Blow::Interrupt) + of(Blow::Terminate);
    assert!(tally.interrupted * 2 > signals, "only {} of {signals} signals ended the run with 130", tally.interrupted);
    assert!(blows * 10 >= total.min(size) * 9, "too few points were reached: {blows}");
}

/// The requests of an undisturbed run.
async fn count_requests(control_plane: &ControlPlane, lane: &mut Lane) -> usize {
    let proxy = FaultProxy::start(control_plane, lane.ns.user(), Schedule::Calm).await;
    let running = lane.drain().user(proxy.user()).spawn();
    proxy.aim(&running);
    running.wait().await.expect_code(0);
    proxy.arrivals().len()
}

fn points(requests: usize) -> impl Iterator<Item = Point> {
    let blows = [Blow::KillThenSameUser, Blow::KillThenAnotherHost, Blow::Interrupt, Blow::Terminate];
    (1..=requests).flat_map(move |number| {
        [Side::Before, Side::After].into_iter().flat_map(move |side| blows.map(|blow| Point { number, side, blow }))
    })
}

/// Takes points from the queue until there are none. After a failure the lane is left as it is, and a new one begins.
async fn work(control_plane: &ControlPlane, workloads: usize, queue: &Mutex<VecDeque<Point>>, tally: &Mutex<Tally>) {
    let next = || queue.lock().unwrap().pop_front();
    let mut lane = None;
    while let Some(point) = next() {
        let mut current = match lane.take() {
            Some(lane) => lane,
            None => Lane::start(control_plane, workloads, 1).await,
        };
        let (struck, code, wrong) = strike(control_plane, &mut current, point).await;
        let mut tally = tally.lock().unwrap();
        tally.interrupted += usize::from(code == 130);
        if struck {
            *tally.blows.entry(point.blow).or_default() += 1;
        } else {
            tally.not_reached += 1;
        }
        if wrong.is_empty() {
            lane = Some(current);
        } else {
            say(&format!("failed: {point:?}\n{wrong}"));
            tally.failures.push(format!("{point:?} on {}:\n{wrong}", current.ns.name()));
        }
    }
}

/// One point of the matrix: the blow, the same command again, the judgement. Returns whether the run got so far,
/// how it ended, and what is wrong.
async fn strike(control_plane: &ControlPlane, lane: &mut Lane, point: Point) -> (bool, i32, String) {
    let mut wrong = String::new();
    let case = lane.begin().await;
    let proxy = FaultProxy::start(control_plane, lane.ns.user(), Schedule::At(point.number, point.fault())).await;
    let running = lane.drain().user(proxy.user()).spawn();
    proxy.aim(&running);
    let first = running.wait().await;
    let struck = proxy.strikes() > 0;
    let killed = matches!(point.blow, Blow::KillThenSameUser | Blow::KillThenAnotherHost);
    if !struck {
        expect(&first, &[0], &mut wrong);
    } else if killed {
        expect(&first, &[137], &mut wrong);
    } else {
        // A signal that comes when the work is done changes nothing any more.
        expect(&first, &[130, 0], &mut wrong);
        lane.judge_marks(&mut wrong).await;
    }
    let mut again = lane.drain();
    if point.blow == Blow::KillThenAnotherHost {
        lane.move_lease_to_another_host().await;
        again = again.user(&lane.other);
    }
    let second = again.run().await;
    expect(&second, &[0], &mut wrong);
    lane.judge(case, &mut wrong).await;
    if wrong.is_empty() {
        lane.turn_round(&mut wrong).await;
    }
    if !wrong.is_empty() {
        let arrivals: Vec<_> = proxy.arrivals().iter().map(|arrival| arrival.what.clone()).collect();
        let _ = write!(wrong, "first run: {first}\nits requests: {}\nsecond run: {second}", arrivals.join(", "));
    }
    (struck, first.code(), wrong)
}
