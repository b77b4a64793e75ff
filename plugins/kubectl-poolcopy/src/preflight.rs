//! What is asked before the first change: may this user do it, and would the server let it be done.

use std::collections::{BTreeMap, BTreeSet};

use api_access::rights::{self, Need, Right};
use kubectl_common::failure::Failure;
use node_pools::address::Address;
use node_pools::copy_plan::CopyPlan;
use node_pools::finding::Finding;
use node_pools::pinned;
use node_pools::step::Step;
use node_pools_runner::residents;
use node_pools_runner::send::{self, Mode, Sent};

use crate::failure::PoolError;
use crate::look::Chosen;
use crate::session::Session;

/// How many missing rights are told with a command to look into them.
const QUESTIONS: usize = 3;

/// Refuses when the user lacks a right that one of these steps needs.
pub(crate) async fn rights(session: &Session, steps: &[&Step]) -> Result<(), Failure> {
    let mut wanted: BTreeMap<Right, BTreeSet<Option<String>>> = BTreeMap::new();
    for step in steps {
        let Some((target, verb)) = step.target().zip(step.verb()) else { continue };
        wanted.entry(right(target, verb)).or_default().insert(target.namespace.clone());
    }
    let needs: Vec<_> = wanted
        .into_iter()
        .map(|(right, namespaces)| match namespaces.iter().cloned().collect::<Option<BTreeSet<_>>>() {
            Some(namespaces) => Need::within(right, namespaces),
            None => Need::everywhere(right),
        })
        .collect();
    let (of_nodes, of_pools): (Vec<_>, Vec<_>) = needs.into_iter().partition(Need::is_of_the_core);
    let mut missing = Vec::new();
    for (access, needs) in [(&session.places.management, of_pools), (&session.places.workload, of_nodes)] {
        let lacking = rights::missing(access, &needs).await.map_err(|error| {
            let error = node_pools_runner::look::LookError {
                attempt: "ask what you may do".to_owned(),
                is_management: true,
                source: error,
            };
            session.look_failed(&error)
        })?;
        missing.extend(lacking);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let questions =
        missing.iter().take(QUESTIONS).map(|missing| session.of_pools().kubectl(&missing.question())).collect();
    Err(PoolError::MayNot { missing, questions }.into())
}

fn right(target: &Address, verb: &'static str) -> Right {
    Right::of(verb, &target.resource.group, &target.resource.plural)
}

/// Finds the pods of the old pool that can never run on its copy.
pub(crate) async fn pinned(session: &Session, chosen: &Chosen<'_>, plan: &CopyPlan) -> Result<Vec<Finding>, Failure> {
    let members = chosen.provider.members(&chosen.inventory, &chosen.pool);
    let nodes: Vec<_> = members.iter().filter_map(|member| chosen.inventory.node(&member.node.as_ref()?.0)).collect();
    session.output.status("looking for pods that are tied to the old nodes");
    let found = residents::residents(&session.places.workload, &nodes).await;
    session.output.clear_status();
    let (residents, blind) = found.map_err(|error| session.look_failed(&error))?;
    let mut findings = pinned::findings(&residents, &chosen.pool, &plan.target);
    if blind.is_some() {
        findings.push(Finding::note(
            "whether volumes tie pods to the old nodes was not looked at: you may not list persistentvolumes",
        ));
    }
    Ok(findings)
}

/// Sends every creation and edit for the server to check and not to keep: admission rules, validation, names.
pub(crate) async fn rehearse(session: &Session, steps: &[Step]) -> Result<(), Failure> {
    for step in steps {
        if matches!(step, Step::Delete { .. } | Step::AwaitGone { .. }) {
            continue;
        }
        session.output.status(&format!("asking the server to check: {step}"));
        let answer = send::send(session.place_of(step), step, Mode::Rehearsal).await;
        session.output.clear_status();
        match answer {
            Ok(Sent::Done(_) | Sent::AlreadySo | Sent::Moved(_)) => {}
            Err(error) => match error.status() {
                Some(status) if matches!(status.code, 400 | 403 | 422) => {
                    return Err(PoolError::Denied { step: step.to_string(), why: status.message.clone() }.into());
                }
                _ => return Err(session.step_failed(&error, step)),
            },
        }
    }
    Ok(())
}
