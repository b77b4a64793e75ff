//! kill -9, INT and TERM before and after every request of a run, and the same command again.

use std::collections::{BTreeMap, VecDeque};

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use e2e::sample::{is_full, say, seed};
use e2e::{ControlPlane, Fault, FaultProxy, Invocation, Namespace, Run, Schedule, User};
use futures::future::join_all;
use rustix::process::Signal;

use crate::lane::{Lane, move_lease_to_another_host};
use crate::sample::{draw, numbers};

/// What is done at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Blow {
    /// kill -9; the same user goes on, on the same machine.
    KillThenSameUser,
    /// kill -9; another user goes on, on another machine.
    KillThenAnotherHost,
    /// kill -9; what it began is undone from another machine, and then the command is given anew.
    KillThenUndo,
    Interrupt,
    Terminate,
}

impl Blow {
    fn is_kill(self) -> bool {
        matches!(self, Self::KillThenSameUser | Self::KillThenAnotherHost | Self::KillThenUndo)
    }
}

/// What a matrix needs of the scene in which its cases happen, one after another: each begins where the one before it
/// ended.
pub(crate) trait Scene {
    /// What is noted when a case begins.
    type Case;
    fn ns(&self) -> &Namespace;
    /// Another user with the same rights.
    fn other(&self) -> &User;
    /// The node that is to be emptied in this case.
    fn old(&self) -> &str;
    fn command(&self) -> Invocation;
    fn undo(&self) -> Invocation;
    async fn begin(&self) -> Self::Case;
    /// Looks at what a signal has left; writes down what is wrong.
    async fn judge_stopped(&self, case: &Self::Case, wrong: &mut String);
    /// Looks at what an undo has left.
    async fn judge_undone(&self, case: &Self::Case, wrong: &mut String);
    /// Looks at what the case has left, once its last run has ended with 0.
    async fn judge(&self, case: Self::Case, wrong: &mut String);
    /// Gives everything back and makes the next case possible.
    async fn turn_round(&mut self, wrong: &mut String);
}

/// How large a matrix is, and how it is run.
pub(crate) struct Size {
    /// How many cases go on at the same time.
    pub(crate) lanes: usize,
    /// How many points are drawn.
    pub(crate) sample: usize,
}

const BLOWS: [Blow; 5] =
    [Blow::KillThenSameUser, Blow::KillThenAnotherHost, Blow::KillThenUndo, Blow::Interrupt, Blow::Terminate];

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
            (blow, Side::Before) if blow.is_kill() => Fault::KillBefore,
            (blow, Side::After) if blow.is_kill() => Fault::KillAfter,
            (Blow::Interrupt, Side::Before) => Fault::SignalBefore(Signal::INT),
            (Blow::Interrupt, Side::After) => Fault::SignalAfter(Signal::INT),
            (_, Side::Before) => Fault::SignalBefore(Signal::TERM),
            (_, Side::After) => Fault::SignalAfter(Signal::TERM),
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
    of_workloads("one workload", 1, Size { lanes: 6, sample: 48 }).await;
}

#[tokio::test]
async fn twenty_workloads_survive_a_blow_at_every_request() {
    of_workloads("twenty workloads", 20, Size { lanes: 3, sample: 12 }).await;
}

async fn of_workloads(title: &str, workloads: usize, size: Size) {
    let control_plane = ControlPlane::start();
    matrix(title, &control_plane, size, async || Lane::start(&control_plane, workloads, 1).await).await;
}

/// Runs the whole matrix, or a sample of it.
pub(crate) async fn matrix<S: Scene>(title: &str, control_plane: &ControlPlane, size: Size, set: impl AsyncFn() -> S) {
    let began = Instant::now();
    let requests = count_requests(control_plane, &set().await).await;
    let all: Vec<_> = points(requests).filter(|point| numbers().contains(&point.number)).collect();
    let total = all.len();
    let queue = Mutex::new(VecDeque::from(draw(all, size.sample)));
    let tally = Mutex::new(Tally::default());
    let workers = (0..size.lanes).map(|_| work(control_plane, &set, &queue, &tally));
    join_all(workers).await;

    let tally = tally.into_inner().unwrap();
    let blows: usize = tally.blows.values().sum();
    let of = |blow| tally.blows.get(&blow).copied().unwrap_or_default();
    say(&format!(
        "kill matrix, {title}: {blows} blows of {total} points ({}) at {requests} requests: {} kill -9 resumed by the \
         same user, {} by another user on another host, {} undone, {} INT, {} TERM, {} not reached; {} failed; {:.0?}",
        if is_full() { "all".to_owned() } else { format!("a sample, seed {}", seed()) },
        of(Blow::KillThenSameUser),
        of(Blow::KillThenAnotherHost),
        of(Blow::KillThenUndo),
        of(Blow::Interrupt),
        of(Blow::Terminate),
        tally.not_reached,
        tally.failures.len(),
        began.elapsed(),
    ));
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n\n"));
    let signals = of(Blow::Interrupt) + of(Blow::Terminate);
    assert!(tally.interrupted * 2 > signals, "only {} of {signals} signals ended the run with 130", tally.interrupted);
    assert!(blows * 10 >= total.min(size.sample) * 9, "too few points were reached: {blows}");
}

/// The requests of an undisturbed run.
async fn count_requests(control_plane: &ControlPlane, scene: &impl Scene) -> usize {
    let proxy = FaultProxy::start(control_plane, scene.ns().user(), Schedule::Calm).await;
    let running = scene.command().user(proxy.user()).spawn();
    proxy.aim(&running);
    running.wait().await.expect_code(0);
    proxy.arrivals().len()
}

fn points(requests: usize) -> impl Iterator<Item = Point> {
    (1..=requests).flat_map(move |number| {
        [Side::Before, Side::After].into_iter().flat_map(move |side| BLOWS.map(|blow| Point { number, side, blow }))
    })
}

/// Takes points from the queue until there are none. After a failure the scene is left as it is, and a new one begins.
async fn work<S: Scene>(
    control_plane: &ControlPlane,
    set: &impl AsyncFn() -> S,
    queue: &Mutex<VecDeque<Point>>,
    tally: &Mutex<Tally>,
) {
    let next = || queue.lock().unwrap().pop_front();
    let mut scene = None;
    while let Some(point) = next() {
        let mut current = match scene.take() {
            Some(scene) => scene,
            None => set().await,
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
            scene = Some(current);
        } else {
            say(&format!("failed: {point:?}\n{wrong}"));
            tally.failures.push(format!("{point:?} on {}:\n{wrong}", current.ns().name()));
        }
    }
}

/// One point of the matrix: the blow, the same command again, the judgement. Returns whether the run got so far,
/// how it ended, and what is wrong.
async fn strike(control_plane: &ControlPlane, scene: &mut impl Scene, point: Point) -> (bool, i32, String) {
    let mut wrong = String::new();
    let case = scene.begin().await;
    let proxy = FaultProxy::start(control_plane, scene.ns().user(), Schedule::At(point.number, point.fault())).await;
    let running = scene.command().user(proxy.user()).spawn();
    proxy.aim(&running);
    let first = running.wait().await;
    let struck = proxy.strikes() > 0;
    if !struck {
        expect(&first, &[0], &mut wrong);
    } else if point.blow.is_kill() {
        expect(&first, &[137], &mut wrong);
    } else {
        // A signal that comes when the work is done changes nothing any more.
        expect(&first, &[130, 0], &mut wrong);
        scene.judge_stopped(&case, &mut wrong).await;
    }
    let mut again = scene.command();
    let mut undo = None;
    if matches!(point.blow, Blow::KillThenAnotherHost | Blow::KillThenUndo) {
        move_lease_to_another_host(scene.ns(), scene.old()).await;
        again = again.user(scene.other());
    }
    if point.blow == Blow::KillThenUndo {
        let run = scene.undo().user(scene.other()).run().await;
        expect(&run, &[0], &mut wrong);
        scene.judge_undone(&case, &mut wrong).await;
        undo = Some(run);
    }
    let second = again.run().await;
    expect(&second, &[0], &mut wrong);
    scene.judge(case, &mut wrong).await;
    if wrong.is_empty() {
        scene.turn_round(&mut wrong).await;
    }
    if !wrong.is_empty() {
        let arrivals: Vec<_> = proxy.arrivals().iter().map(|arrival| arrival.what.clone()).collect();
        let _ = write!(wrong, "first run: {first}\nits requests: {}\n", arrivals.join(", "));
        let _ = undo.map(|undo| writeln!(wrong, "undo: {undo}"));
        let _ = write!(wrong, "second run: {second}");
    }
    (struck, first.code(), wrong)
}

/// Says what a run should have ended with, if it did not.
pub(crate) fn expect(run: &Run, codes: &[i32], what: &mut String) {
    if !codes.contains(&run.code()) {
        let _ = writeln!(what, "expected exit status {codes:?}: {run}");
    }
}
