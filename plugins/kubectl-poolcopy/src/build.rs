//! Carries steps out, one after another, and plans again where the cluster has moved.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use api_access::interrupts::{Interrupted, Interrupts};
use cluster_model::identity::NodeName;
use kubectl_common::failure::Failure;
use node_pools::address::Address;
use node_pools::finding::Refusal;
use node_pools::inventory::Inventory;
use node_pools::step::Step;
use node_pools_runner::send::{self, Mode, Sent};
use node_pools_runner::view::{PoolView, Seen};

use crate::failure::PoolError;
use crate::look::{self, Chosen};
use crate::session::{Session, refused};

/// How often a plan is made anew because the cluster has moved under it.
const REPLANS: usize = 5;
/// A plan that did not hold is made anew after so long: what moved may still be moving.
const REPLAN_PAUSE: Duration = Duration::from_millis(500);

/// What a run says when it is interrupted.
pub(crate) struct LastWords {
    /// The command that goes on.
    pub(crate) again: String,
    /// The command that takes it back.
    pub(crate) back: Option<String>,
}

/// Says why no plan is made, and that what was done stays done.
pub(crate) fn not_planned(refusal: Refusal, begun: bool) -> Failure {
    if begun { PoolError::Stopped(refusal.to_string()).into() } else { refused(refusal) }
}

/// Carries out what `plan` makes of the cluster, until there is nothing left of it. Returns whether anything was done.
///
/// `plan` is asked again whenever the cluster has moved, and told whether this run has changed anything by then.
pub(crate) async fn carry_out(
    session: &Session,
    chosen: &mut Chosen<'_>,
    interrupts: &mut Interrupts,
    words: &LastWords,
    plan: impl AsyncFn(&Chosen<'_>, bool) -> Result<Vec<Step>, Failure>,
) -> Result<bool, Failure> {
    let (mut did_something, mut last) = (false, String::new());
    for _ in 0..=REPLANS {
        let planning = interrupts.unless(plan(chosen, did_something)).await;
        let steps = planning.map_err(|Interrupted| interrupted(words, "before the next change"))??;
        match Box::pin(take_steps(session, chosen, interrupts, words, steps)).await? {
            None => return Ok(did_something),
            Some(Progress { sent, moved }) => {
                did_something |= sent;
                let Some(why) = moved else { return Ok(did_something) };
                last = why;
            }
        }
        let looking = async {
            tokio::time::sleep(REPLAN_PAUSE).await;
            look::again(session, chosen).await
        };
        interrupts.unless(looking).await.map_err(|Interrupted| interrupted(words, "before the next change"))??;
    }
    Err(PoolError::Moving { last }.into())
}

struct Progress {
    sent: bool,
    moved: Option<String>,
}

/// `None`: there was nothing to do.
async fn take_steps(
    session: &Session,
    chosen: &Chosen<'_>,
    interrupts: &mut Interrupts,
    words: &LastWords,
    steps: Vec<Step>,
) -> Result<Option<Progress>, Failure> {
    if steps.is_empty() {
        return Ok(None);
    }
    let mut sent = false;
    for step in steps {
        if let Step::AwaitGone { objects, nodes } = &step {
            wait_until_gone(session, chosen, interrupts, words, objects, nodes).await?;
            continue;
        }
        if interrupted_now(interrupts).await {
            return Err(interrupted(words, &format!("before `{step}`")));
        }
        session.output.status(&step.to_string());
        // A request under way is never cut off: its answer would be lost, not its effect.
        let answer = send::send(session.place_of(&step), &step, Mode::Real).await;
        session.output.clear_status();
        match answer.map_err(|error| session.step_failed(&error, &step))? {
            Sent::Done(_) => {
                sent = true;
                session.output.result_line(&result_line(&step, ""));
            }
            Sent::AlreadySo => {}
            Sent::Moved(why) => return Ok(Some(Progress { sent, moved: Some(why) })),
        }
        if interrupted_now(interrupts).await {
            return Err(interrupted(words, &format!("after `{step}`")));
        }
    }
    Ok(Some(Progress { sent, moved: None }))
}

/// Whether a signal has come by now.
async fn interrupted_now(interrupts: &mut Interrupts) -> bool {
    tokio::select! {
        biased;
        () = interrupts.next() => true,
        () = std::future::ready(()) => false,
    }
}

pub(crate) fn interrupted(words: &LastWords, state: &str) -> Failure {
    PoolError::Interrupted { state: state.to_owned(), again: words.again.clone(), back: words.back.clone() }.into()
}

/// Returns what kubectl would print for a step that was done.
pub(crate) fn result_line(step: &Step, suffix: &str) -> String {
    let verb = match step {
        Step::Create { .. } => "created",
        Step::Merge { .. } | Step::Edit { .. } => "patched",
        Step::Delete { .. } => "deleted",
        Step::AwaitGone { .. } => "gone",
    };
    let Some(target) = step.target() else { return step.to_string() };
    let kind = target.resource.kind.to_lowercase();
    let group = &target.resource.group;
    let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
    format!("{kind}/{} {verb}{suffix}", target.name)
}

/// Waits until objects and nodes are gone, and says what is still there.
async fn wait_until_gone(
    session: &Session,
    chosen: &Chosen<'_>,
    interrupts: &mut Interrupts,
    words: &LastWords,
    objects: &[Address],
    nodes: &[NodeName],
) -> Result<(), Failure> {
    let kinds: BTreeSet<_> = objects.iter().map(|address| address.resource.clone()).collect();
    let mut view = PoolView::new(&session.places, chosen.inventory.clone(), &kinds.into_iter().collect::<Vec<_>>());
    let mut told = String::new();
    let mut timeout = pin!(session.timeout());
    loop {
        // Until the watches have brought their lists, the inventory is what was read before the deletion.
        let left = left(view.inventory(), objects, nodes);
        if left.is_empty() && view.is_synced() {
            session.output.clear_status();
            return Ok(());
        }
        let what = format!("waiting until {} gone", listed(&left));
        if what != told {
            session.output.status(&what);
            told = what;
        }
        let seen = interrupts.unless(async {
            tokio::select! {
                seen = view.changed() => Some(seen),
                () = &mut timeout => None,
            }
        });
        match seen.await {
            Err(Interrupted) => return Err(interrupted(words, &told)),
            Ok(None) => {
                let seconds = session.job.timeout.unwrap_or_default().as_secs();
                return Err(PoolError::TimedOut {
                    waited: format!("still {told}"),
                    seconds,
                    again: words.again.clone(),
                }
                .into());
            }
            Ok(Some(Seen::Trouble(message))) => session.output.warning(&message),
            Ok(Some(Seen::Change)) => {}
        }
    }
}

fn left(inventory: &Inventory, objects: &[Address], nodes: &[NodeName]) -> Vec<String> {
    let things = objects.iter().filter(|address| inventory.get(address).is_some()).map(ToString::to_string);
    let nodes = nodes.iter().filter(|node| inventory.node(&node.0).is_some()).map(|node| format!("Node {node}"));
    things.chain(nodes).collect()
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "everything is".to_owned(),
        [one] => format!("{one} is"),
        [one, other] => format!("{one} and {other} are"),
        [one, rest @ ..] => format!("{one} and {} more are", rest.len()),
    }
}
