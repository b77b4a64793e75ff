//! Freeze, thaw and resize: one pool, no copy.

use api_access::interrupts::Interrupts;
use cluster_model::identity::NodeName;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::DryRun;
use node_pools::finding::Refusal;
use node_pools::step::Step;
use node_pools_runner::proof;

use crate::build::{self, LastWords};
use crate::cli::ResizeArg;
use crate::document::{self, Ended, PlanDocument, ReportDocument};
use crate::failure::PoolError;
use crate::job::Goal;
use crate::look::{self, Chosen};
use crate::session::{Session, now, refused};
use crate::{preflight, render};

/// Runs `--freeze`, `--thaw` or `--resize`.
pub(crate) async fn run(session: &Session, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
    let looking = Box::pin(prepare(session));
    let (mut chosen, size, steps) = interrupts.unless(looking).await.map_err(|_| PoolError::InterruptedEarly)??;
    let action = action(&session.job.goal);
    let cluster = &session.of_pools().cluster;
    if session.job.dry_run != DryRun::None {
        let document = PlanDocument::of_steps(cluster, &chosen.pool, action, &steps, None);
        render::steps(&session.output, session.job.format, cluster, &chosen.pool, &steps, &document);
        return Ok(ExitStatus::Done);
    }
    if steps.is_empty() {
        session.output.note(&format!("{}: nothing to do", chosen.pool.title()));
    }
    let words = LastWords { again: session.command(&session.job.pool, &format!("--{action}")), back: None };
    let goal = async |chosen: &Chosen<'_>, begun: bool| plan(session, chosen, size, begun).await;
    Box::pin(build::carry_out(session, &mut chosen, interrupts, &words, goal)).await?;
    let ended = Ended::done(action, session.started, now());
    let document = ReportDocument::new(cluster, &chosen.pool, ended);
    document::print(&session.output, session.job.format, "finished", now(), &document);
    Ok(ExitStatus::Done)
}

fn action(goal: &Goal) -> &'static str {
    match goal {
        Goal::Freeze => "freeze",
        Goal::Thaw => "thaw",
        _ => "resize",
    }
}

/// Chooses the pool, its new size (`None`: it keeps its own), and what is to be done.
async fn prepare(session: &Session) -> Result<(Chosen<'_>, Option<u32>, Vec<Step>), Failure> {
    let chosen = look::choose(session).await?;
    let size = match &session.job.goal {
        Goal::Resize(size) => Some(target(&chosen, *size).map_err(refused)?),
        _ => None,
    };
    let steps = plan(session, &chosen, size, false).await?;
    preflight::rights(session, &steps.iter().collect::<Vec<_>>()).await?;
    if session.job.dry_run != DryRun::Client {
        preflight::rehearse(session, &steps).await?;
    }
    Ok((chosen, size, steps))
}

/// Plans, each time with the nodes that are empty now.
async fn plan(session: &Session, chosen: &Chosen<'_>, size: Option<u32>, begun: bool) -> Result<Vec<Step>, Failure> {
    let Chosen { provider, inventory, pool, .. } = chosen;
    let steps = match (&session.job.goal, size) {
        (Goal::Freeze, _) => provider.freeze(inventory, pool),
        (Goal::Thaw, _) => provider.thaw(inventory, pool),
        (_, Some(wanted)) if pool.size != Some(wanted) => {
            let leaving = leaving(session, chosen, wanted, begun).await?;
            provider.resize(inventory, pool, wanted, &leaving)
        }
        _ => Ok(Vec::new()),
    };
    steps.map_err(|refusal| build::not_planned(refusal, begun))
}

fn target(chosen: &Chosen<'_>, size: ResizeArg) -> Result<u32, Refusal> {
    let now = chosen.pool.size.unwrap_or_default();
    match size {
        ResizeArg::To(size) => Ok(size),
        ResizeArg::By(more) => u32::try_from(i64::from(now) + more).map_err(|_| {
            Refusal::Nothing(format!("{} has {now} nodes: it cannot have {more} more", chosen.pool.title()))
        }),
    }
}

/// Finds as many nodes that are proven empty as the pool is to shrink by; with fewer it is refused.
async fn leaving(session: &Session, chosen: &Chosen<'_>, wanted: u32, begun: bool) -> Result<Vec<NodeName>, Failure> {
    let now = chosen.pool.size.unwrap_or_default();
    let fewer = usize::try_from(now.saturating_sub(wanted)).unwrap_or(usize::MAX);
    if fewer == 0 {
        return Ok(Vec::new());
    }
    let mut members = chosen.provider.members(&chosen.inventory, &chosen.pool);
    // What is on its way out already is no answer, and what somebody has marked goes first whatever is chosen.
    members.retain(|member| !member.is_leaving);
    members.sort_by_key(|member| !member.goes_first);
    let (mut empty, mut obstacles) = (Vec::new(), Vec::new());
    for node in members.into_iter().filter_map(|member| member.node) {
        let found = proof::obstacles(&session.places.workload, &chosen.inventory, std::slice::from_ref(&node))
            .await
            .map_err(|error| session.look_failed(&error))?;
        if found.is_empty() {
            empty.push(node);
        } else {
            obstacles.extend(found);
        }
    }
    if empty.len() < fewer {
        let pool =
            format!("{}, which is to lose {fewer} nodes and has {} empty ones,", chosen.pool.title(), empty.len());
        let next = vec![session.workload.kubectl("safedrain NODE")];
        return Err(PoolError::not_empty(begun, pool, obstacles, next).into());
    }
    empty.truncate(fewer);
    Ok(empty)
}
