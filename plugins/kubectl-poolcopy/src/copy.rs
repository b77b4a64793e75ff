//! The copy itself: plan, show, ask, make, wait, compare.

use api_access::interrupts::Interrupts;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::{DryRun, OutputFormat};
use node_pools::copy_plan::{self, CopyPlan, CopyRequest, Fidelity};
use node_pools::inventory::Inventory;
use node_pools::step::Step;

use crate::build::{self, LastWords};
use crate::document::{self, Ended, PlanDocument, ReportDocument, RunResult};
use crate::failure::PoolError;
use crate::follow::{self, Expected, Followed, NodeState};
use crate::look::{self, Chosen};
use crate::session::{Session, now, refused};
use crate::{preflight, render};

/// Runs `kubectl poolcopy POOL`.
pub(crate) async fn run(
    session: &Session,
    request: &CopyRequest,
    interrupts: &mut Interrupts,
) -> Result<ExitStatus, Failure> {
    let mut request = CopyRequest { maker: session.maker.clone(), ..request.clone() };
    let looking = Box::pin(prepare(session, &request));
    let (mut chosen, plan) = interrupts.unless(looking).await.map_err(|_| PoolError::InterruptedEarly)??;
    // From now on the size is the one that was planned, whatever becomes of the source meanwhile.
    request.size = plan.size;
    let request = request;
    if session.job.dry_run != DryRun::None {
        return Ok(ExitStatus::Done);
    }
    let words = LastWords {
        again: session.command(&session.job.pool, &flags(&request)),
        back: Some(session.command(&session.job.pool, "--undo")),
    };
    let expected = Expected::of(&chosen, &plan, &request);
    let plan_again = async |chosen: &Chosen<'_>, begun: bool| {
        let plan = chosen.provider.copy(&chosen.inventory, &chosen.pool, &request);
        plan.map(|plan| plan.steps).map_err(|refusal| build::not_planned(refusal, begun))
    };
    let states = loop {
        Box::pin(build::carry_out(session, &mut chosen, interrupts, &words, &plan_again)).await?;
        if !session.job.waits {
            session.output.note(&format!("{} is made; its nodes come by themselves", plan.target));
            finished(session, &chosen, &plan, None, Vec::new());
            return Ok(ExitStatus::Done);
        }
        let is_complete = |inventory: &Inventory| {
            let plan = chosen.provider.copy(inventory, &chosen.pool, &request);
            plan.is_ok_and(|plan| plan.steps.is_empty())
        };
        match follow::until_ready(session, &chosen, &plan, &expected, interrupts, &words, is_complete).await? {
            Followed::Ready(states) => break states,
            Followed::MoreToDo => look::again(session, &mut chosen).await?,
        }
    };
    look::again(session, &mut chosen).await?;
    follow::until_served(session, &chosen, &states, interrupts, &words).await?;
    let plan = chosen.provider.copy(&chosen.inventory, &chosen.pool, &request).unwrap_or(plan);
    let fidelity = copy_plan::fidelity(&plan, &chosen.inventory);
    // What is made afterwards does not exist yet, and is compared by the server's own answer.
    let fidelity = without_afterwards(fidelity, &plan);
    if !fidelity.identical {
        let what = render::infidelities(&fidelity);
        finished(session, &chosen, &plan, Some(fidelity), states);
        let undo = session.command(&session.job.pool, "--undo");
        return Err(PoolError::Unfaithful { pool: plan.target, what, undo }.into());
    }
    let afterwards = async |chosen: &Chosen<'_>, _| {
        let plan = chosen.provider.copy(&chosen.inventory, &chosen.pool, &request);
        // The copy is made, by this run or an earlier one.
        plan.map(|plan| plan.afterwards).map_err(|refusal| build::not_planned(refusal, true))
    };
    Box::pin(build::carry_out(session, &mut chosen, interrupts, &words, afterwards)).await?;
    session.output.note(&render::proof(&plan, &fidelity, states.len()));
    session.output.note(&next(session, &chosen, &plan.target));
    finished(session, &chosen, &plan, Some(fidelity), states);
    Ok(ExitStatus::Done)
}

async fn prepare<'a>(session: &'a Session, request: &CopyRequest) -> Result<(Chosen<'a>, CopyPlan), Failure> {
    let chosen = look::choose(session).await?;
    let plan = chosen.provider.copy(&chosen.inventory, &chosen.pool, request);
    let mut plan = plan.map_err(refused)?;
    plan.findings.extend(preflight::pinned(session, &chosen, &plan).await?);
    show(session, &chosen, &plan);
    let steps: Vec<&Step> = plan.steps.iter().chain(&plan.afterwards).collect();
    preflight::rights(session, &steps).await?;
    if session.job.dry_run != DryRun::Client {
        preflight::rehearse(session, &plan.steps).await?;
    }
    Ok((chosen, plan))
}

/// Shows the plan: on stdout in a dry run, where it is the result; else on stderr.
fn show(session: &Session, chosen: &Chosen<'_>, plan: &CopyPlan) {
    let (job, output) = (&session.job, &session.output);
    let cluster = &session.of_pools().cluster;
    let dry_run = job.dry_run != DryRun::None;
    let document = PlanDocument::of_copy(cluster, &chosen.pool, plan);
    match (job.format, dry_run) {
        // A manifest, for those who keep their pools in a repository.
        (OutputFormat::Yaml, true) => {
            output.yaml(&document::manifest(plan));
            render::findings(output, &plan.findings);
        }
        (OutputFormat::Json, true) => output.json(&document),
        (OutputFormat::Jsonl, _) => document::print(output, job.format, "planReady", now(), &document),
        _ => {
            let text = render::copy_plan(cluster, &chosen.pool, plan);
            if dry_run {
                output.result_line(&text);
            } else {
                output.note(&text);
            }
            render::findings(output, &plan.findings);
        }
    }
}

fn without_afterwards(fidelity: Fidelity, plan: &CopyPlan) -> Fidelity {
    let later: Vec<_> = plan.afterwards.iter().filter_map(|step| Some(step.target()?.to_string())).collect();
    let differences: Vec<_> =
        fidelity.differences.into_iter().filter(|difference| !later.contains(&difference.document)).collect();
    Fidelity { identical: !differences.iter().any(|difference| difference.is_loss), differences }
}

fn finished(
    session: &Session,
    chosen: &Chosen<'_>,
    plan: &CopyPlan,
    fidelity: Option<Fidelity>,
    nodes: Vec<NodeState>,
) {
    let is_faithful = fidelity.as_ref().is_none_or(|fidelity| fidelity.identical);
    let ended = Ended {
        action: "copy",
        result: if is_faithful { RunResult::Done } else { RunResult::Stopped },
        verdict: match &fidelity {
            None => "made",
            Some(fidelity) if fidelity.identical => "identical",
            Some(_) => "differs",
        },
        target: Some(plan.target.clone()),
        fidelity,
        nodes,
        started_at: session.started,
        finished_at: now(),
    };
    let document = ReportDocument::new(&session.of_pools().cluster, &chosen.pool, ended);
    document::print(&session.output, session.job.format, "finished", now(), &document);
}

/// The commands of the next two steps.
fn next(session: &Session, chosen: &Chosen<'_>, target: &str) -> String {
    let members = chosen.provider.members(&chosen.inventory, &chosen.pool);
    let nodes: Vec<_> = members.into_iter().filter_map(|member| member.node).collect();
    let pools = chosen.provider.pools(&chosen.inventory);
    let copy = follow::copy_of(&chosen.pool, target, &pools);
    let drain = session.drain(&chosen.pool, copy, &nodes);
    let old = chosen.pool.known_as();
    let retire = session.command(old, "--retire");
    let undo = session.command(old, "--undo");
    format!("Next:\n  hand over:  {drain}\n  then:       {retire}\n  or back:    {undo}")
}

/// The flags that make the same copy again.
fn flags(request: &CopyRequest) -> String {
    let name = request.name.as_ref().map(|name| format!("--name {name}"));
    let size = request.size.map(|size| format!("--nodes {size}"));
    let matching = request
        .nodes_match
        .as_ref()
        .map(|one| format!("--nodes-match {}", kubectl_common::failure::shell_word(&one.text)));
    let share = request.share_templates.then(|| "--share-templates".to_owned());
    let overrides = request.overrides.iter().map(|one| {
        let kind = one.kind.as_ref().map(|kind| format!("{kind}:")).unwrap_or_default();
        let (flag, value) = match &one.value {
            Some(value) => ("--set", format!("={value}")),
            None => ("--unset", String::new()),
        };
        let word = format!("{kind}{}{value}", one.pointer);
        format!("{flag} {}", kubectl_common::failure::shell_word(&word))
    });
    name.into_iter().chain(size).chain(matching).chain(share).chain(overrides).collect::<Vec<_>>().join(" ")
}
