//! The one loop: what the watches tell, what the server answers, time, interrupts and the lease go into the engine;
//! its commands go out, its events go to whoever reports.

use std::pin::pin;
use std::time::Duration;

use evacuation::engine::{CommandId, Engine, Input, Moment, Outcome, Reply};
use evacuation::event::Event;
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::actions::ClusterActions;
use crate::lease::LeaseGuard;
use crate::live_view::{LiveView, Seen};
use api_access::ApiAccess;
use api_access::interrupts::Interrupts;

/// The engine is woken at least so often: some of what it waits for is only the passing of time.
const TICK: Duration = Duration::from_secs(1);

/// What a reporter is told.
#[derive(Debug)]
pub enum News<'a> {
    /// The engine did or saw something.
    Event(&'a Event),
    /// A watch failed and is being set up again.
    Trouble(&'a str),
    /// So many pods are settled, of so many.
    Progress(usize, usize),
    /// The lease is lost, for this reason.
    LeaseLost(&'a str),
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The engine came to an end.
    Finished(Outcome),
    /// A second interrupt: nothing more was written, not even to tidy up.
    Abandoned,
}

/// Runs the engine to its end. The first interrupt ends it in good order, the second at once.
pub async fn run(
    engine: &mut Engine,
    view: &mut LiveView,
    access: &ApiAccess,
    guard: &LeaseGuard,
    interrupts: &mut Interrupts,
    mut report: impl FnMut(News<'_>),
) -> RunEnd {
    let actions = ClusterActions::new(access, guard);
    let clock = Clock::start();
    let mut in_flight = FuturesUnordered::new();
    let mut lease = pin!(guard.keep(access));
    let mut was_interrupted = false;
    let mut inputs = vec![Input::Woke];
    loop {
        let turn = engine.on(std::mem::take(&mut inputs), view.cluster(), clock.now());
        for event in &turn.events {
            report(News::Event(event));
        }
        let (done, all) = engine.progress();
        report(News::Progress(done, all));
        if let Some(outcome) = turn.finished {
            return RunEnd::Finished(outcome);
        }
        for (id, command) in turn.commands {
            let actions = &actions;
            in_flight.push(async move { (id, actions.perform(&command).await) });
        }
        let wake = turn.wake_at.map_or(TICK, |at| at.saturating_sub(clock.now().elapsed).min(TICK));
        tokio::select! {
            seen = view.changed() => {
                if let Seen::Trouble(message) = seen {
                    report(News::Trouble(&message));
                }
                inputs.push(Input::Woke);
            }
            Some(answer) = in_flight.next(), if !in_flight.is_empty() => {
                inputs.push(replied(answer));
                while let Some(Some(answer)) = in_flight.next().now_or_never() {
                    inputs.push(replied(answer));
                }
            }
            () = tokio::time::sleep(wake) => inputs.push(Input::Woke),
            () = interrupts.next() => {
                if std::mem::replace(&mut was_interrupted, true) {
                    return RunEnd::Abandoned;
                }
                inputs.push(Input::Interrupted);
            }
            why = &mut lease => {
                report(News::LeaseLost(&why));
                inputs.push(Input::LeaseLost);
            }
        }
    }
}

fn replied((id, reply): (CommandId, Reply)) -> Input {
    Input::Replied(id, reply)
}

/// The run's clock: monotonic for waits, wall for what is written down.
struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the run loop is where time comes in")]
    fn start() -> Self {
        Self { start: Instant::now() }
    }

    #[expect(clippy::disallowed_methods, reason = "the run loop is where time comes in")]
    fn now(&self) -> Moment {
        Moment { wall: Timestamp::now(), elapsed: self.start.elapsed() }
    }
}
