//! Retire and undo: a pool goes once it is proven empty.

use api_access::interrupts::Interrupts;
use cluster_model::identity::NodeName;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::DryRun;
use node_pools::address::Resource;
use node_pools::finding::Refusal;
use node_pools::inventory::Inventory;
use node_pools::pool::{Pool, Supply};
use node_pools::step::Step;
use node_pools_runner::proof::{self, Obstacle};
use serde_json::json;

use crate::build::{self, LastWords};
use crate::document::{self, Ended, PlanDocument, ReportDocument};
use crate::failure::PoolError;
use crate::job::Goal;
use crate::look::{self, Chosen};
use crate::session::{Session, now, refused};
use crate::{preflight, render};

/// Runs `--retire` or `--undo`.
pub(crate) async fn run(session: &Session, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
    let looking = Box::pin(look::choose_or_copy(session));
    let mut chosen = interrupts.unless(looking).await.map_err(|_| PoolError::InterruptedEarly)??;
    let is_undo = session.job.goal == Goal::Undo;
    let action = if is_undo { "undo" } else { "retire" };
    let steps = plan(session, &chosen).map_err(refused)?;
    if steps.is_empty() {
        session.output.note(&format!("{}: nothing is left to do", session.job.pool));
        return Ok(ExitStatus::Done);
    }
    // Nodes that somebody else joined stay, and their pods with them.
    let stays = is_undo && chosen.pool.supply == Supply::External;
    if !stays {
        prove(session, &chosen, false).await?;
    }
    preflight::rights(session, &steps.iter().collect::<Vec<_>>()).await?;
    let cluster = &session.of_pools().cluster;
    let document = PlanDocument::of_steps(cluster, &chosen.pool, action, &steps, None);
    if session.job.dry_run != DryRun::None {
        render::steps(&session.output, session.job.format, cluster, &chosen.pool, &steps, &document);
        return Ok(ExitStatus::Done);
    }
    let words = LastWords { again: session.command(&session.job.pool, &format!("--{action}")), back: None };
    // Time has passed: nodes may have come, and pods on them.
    look::again(session, &mut chosen).await?;
    let pool = chosen.pool.clone();
    let goal = async |chosen: &Chosen<'_>, begun: bool| {
        let steps = plan(session, chosen).map_err(|refusal| build::not_planned(refusal, begun))?;
        if !steps.is_empty() && !stays {
            if is_undo { close(session, chosen).await? } else { prove(session, chosen, begun).await? }
        }
        Ok(steps)
    };
    Box::pin(build::carry_out(session, &mut chosen, interrupts, &words, goal)).await?;
    let end = match (is_undo, pool.supply) {
        (true, Supply::External) => "the new nodes are as they were",
        (true, _) => "the copy is gone; the old pool is as it was",
        (false, Supply::External) => "holds nothing that would be lost; its nodes can be switched off and deleted",
        (false, _) => "is gone, with its nodes",
    };
    session.output.note(&format!("{}: {end}", pool.title()));
    let ended = Ended::done(action, session.started, now());
    document::print(
        &session.output,
        session.job.format,
        "finished",
        now(),
        &ReportDocument::new(cluster, &pool, ended),
    );
    Ok(ExitStatus::Done)
}

/// The pool that was copied, and its copy, as far as they are there.
struct Pair {
    source: Option<Pool>,
    copy: Option<Pool>,
}

fn pair(chosen: &Chosen<'_>) -> Pair {
    let pools = chosen.provider.pools(&chosen.inventory);
    // A pool whose deletion has begun is still there.
    let source = pools.iter().find(|pool| pool.object == chosen.pool.object && pool.uid == chosen.pool.uid);
    let copy = pools.iter().find(|pool| pool.copy_of.as_ref().is_some_and(|mark| mark.of.uid == chosen.pool.uid));
    Pair { source: source.cloned(), copy: copy.cloned() }
}

fn plan(session: &Session, chosen: &Chosen<'_>) -> Result<Vec<Step>, Refusal> {
    let Chosen { provider, inventory, .. } = chosen;
    let Pair { source, copy } = pair(chosen);
    if session.job.goal == Goal::Retire {
        return match (source, copy) {
            (Some(source), copy) => provider.remove(inventory, &source, copy.as_ref()),
            (None, Some(copy)) => provider.finish(inventory, &copy),
            (None, None) => Ok(Vec::new()),
        };
    }
    let mut steps = Vec::new();
    let was_frozen = copy.as_ref().and_then(|copy| copy.copy_of.as_ref()).is_some_and(|mark| mark.source_was_frozen);
    if let Some(source) = source.as_ref().filter(|_| !was_frozen) {
        steps.extend(provider.thaw(inventory, source)?);
    }
    match (&source, copy) {
        (_, Some(copy)) => steps.extend(provider.remove(inventory, &copy, None)?),
        (Some(source), None) => steps.extend(provider.sweep(inventory, source)),
        (None, None) => {}
    }
    Ok(steps)
}

/// The nodes that go, and the commands that empty them.
fn leaving(session: &Session, chosen: &Chosen<'_>) -> (Vec<NodeName>, Vec<String>) {
    let Pair { source, copy } = pair(chosen);
    let mut next = Vec::new();
    let (from, onto) = if session.job.goal == Goal::Undo {
        next.extend(source.iter().flat_map(|source| reopening(session, chosen, source)));
        (copy, source)
    } else {
        (source, copy)
    };
    let members = from.iter().flat_map(|pool| chosen.provider.members(&chosen.inventory, pool));
    let nodes: Vec<_> = members.filter_map(|member| member.node).collect();
    next.push(session.drain(from.as_ref().unwrap_or(&chosen.pool), onto.as_ref(), &nodes));
    (nodes, next)
}

/// The commands by which the old pool takes work again, after some has been handed over.
fn reopening(session: &Session, chosen: &Chosen<'_>, source: &Pool) -> Vec<String> {
    let members = chosen.provider.members(&chosen.inventory, source);
    let nodes = members.iter().filter_map(|member| chosen.inventory.node(&member.node.as_ref()?.0));
    let closed: Vec<_> = nodes.filter(|node| node.unschedulable).map(|node| node.name.to_string()).collect();
    let thaw = source.is_frozen.then(|| session.command(&session.job.pool, "--thaw"));
    let uncordon = (!closed.is_empty()).then(|| session.workload.kubectl(&format!("uncordon {}", closed.join(" "))));
    thaw.into_iter().chain(uncordon).collect()
}

/// Refuses as long as a pod would be lost. What an undo takes away is cordoned by it, later.
async fn prove(session: &Session, chosen: &Chosen<'_>, begun: bool) -> Result<(), Failure> {
    let (leaving, next) = leaving(session, chosen);
    let mut obstacles = find(session, &chosen.inventory, &leaving).await?;
    if session.job.goal == Goal::Undo {
        obstacles.retain(|obstacle| matches!(obstacle, Obstacle::Pod { .. }));
    }
    if obstacles.is_empty() {
        return Ok(());
    }
    Err(PoolError::not_empty(begun, session.job.pool.clone(), obstacles, next).into())
}

async fn find(session: &Session, inventory: &Inventory, nodes: &[NodeName]) -> Result<Vec<Obstacle>, Failure> {
    proof::obstacles(&session.places.workload, inventory, nodes).await.map_err(|error| session.look_failed(&error))
}

/// Cordons nodes that are to go, and looks once more: a pod may have been put on one just before.
async fn close(session: &Session, chosen: &Chosen<'_>) -> Result<(), Failure> {
    let (leaving, next) = leaving(session, chosen);
    for name in &leaving {
        let is_open = chosen.inventory.node(&name.0).is_some_and(|node| !node.unschedulable);
        if is_open {
            cordon(session, name, true).await?;
        }
    }
    let obstacles = find(session, &chosen.inventory, &leaving).await?;
    let pods: Vec<_> = obstacles.into_iter().filter(|obstacle| matches!(obstacle, Obstacle::Pod { .. })).collect();
    if pods.is_empty() {
        return Ok(());
    }
    for name in &leaving {
        if chosen.inventory.node(&name.0).is_some_and(|node| !node.unschedulable) {
            cordon(session, name, false).await?;
        }
    }
    Err(PoolError::NoLongerEmpty { pool: session.job.pool.clone(), obstacles: pods, next }.into())
}

async fn cordon(session: &Session, node: &NodeName, closed: bool) -> Result<(), Failure> {
    let value = if closed { json!(true) } else { json!(null) };
    let step = Step::Merge {
        target: Resource::nodes().at(None, &node.0),
        patch: json!({ "spec": { "unschedulable": value } }),
        what: if closed { "cordon" } else { "uncordon" }.to_owned(),
    };
    let access = session.place_of(&step);
    node_pools_runner::send::send(access, &step, node_pools_runner::send::Mode::Real)
        .await
        .map_err(|error| session.step_failed(&error, &step))?;
    session.output.result_line(&format!("node/{node} {}", if closed { "cordoned" } else { "uncordoned" }));
    Ok(())
}
