//! A NodePool's copy: one document, and the end of the source's growth.

use serde_json::Value;

use super::{Karpenter, growth, replicas};
use crate::address::Address;
use crate::copy_plan::{self, CopyPlan, CopyRequest};
use crate::finding::{Finding, Refusal};
use crate::inventory::Inventory;
use crate::one_document::{self, Original};
use crate::pool::Pool;
use crate::provider::PoolReader;
use crate::raw::text;

/// What makes a copy another pool.
const FIXED: [&str; 3] = ["/apiVersion", "/kind", "/metadata/name"];

pub(super) fn copy(
    inventory: &Inventory,
    pool: &Pool,
    address: &Address,
    object: &Value,
    request: &CopyRequest,
) -> Result<CopyPlan, Refusal> {
    if replicas(object).is_none() && request.size.is_some() {
        return Err(Refusal::Unsupported(format!(
            "--nodes: {} has no size, and neither has its copy: both make nodes when pods ask for them",
            pool.title()
        )));
    }
    let pools = Karpenter.pools(inventory);
    let as_before = growth::as_before(object);
    let original = Original { inventory, pool, pools: &pools, address, object: &as_before, fixed: &FIXED };
    let mut plan = one_document::plan(original, request, |editor, _| {
        editor.remove_entries("/metadata/annotations", |key| {
            key.starts_with("karpenter.sh/nodepool-hash").then_some(copy_plan::OF_THE_CONTROLLER)
        });
    })?;
    plan.findings = findings(pool, object, &plan.target);
    plan.start_up_taints = start_up_taints(object);
    plan.afterwards.extend(growth::freeze(address, object));
    Ok(plan)
}

fn findings(pool: &Pool, object: &Value, name: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = copy_plan::keepers_finding(pool, object).into_iter().collect();
    if let Some((kind, class)) =
        text(object, "/spec/template/spec/nodeClassRef/kind").zip(text(object, "/spec/template/spec/nodeClassRef/name"))
    {
        findings.push(Finding::note(format!("both pools use {kind} {class}, which is not copied")));
    }
    if replicas(object).is_none() {
        findings.push(Finding::note(format!(
            "{name} has no nodes until pods ask for them: they come as the work is handed over"
        )));
        findings.push(Finding::note(
            "the old pool makes no nodes and replaces none once the copy is there (spec.limits and \
             spec.disruption.budgets; what they were is kept, and given back by --thaw and --undo)",
        ));
    }
    findings
}

/// The taints that somebody takes off a node when it is set up.
fn start_up_taints(object: &Value) -> Vec<String> {
    let taints = object.pointer("/spec/template/spec/startupTaints").and_then(Value::as_array);
    taints.into_iter().flatten().filter_map(|taint| text(taint, "/key")).map(str::to_owned).collect()
}
