//! A MachineSet's copy: one document, with a label of its own for its machines.

use serde_json::{Value, json};

use super::{OpenShift, SET_NAME, growth, health_checks};
use crate::address::Address;
use crate::copy_plan::{self, CopyPlan, CopyRequest};
use crate::difference::escaped;
use crate::finding::{Finding, Refusal};
use crate::inventory::Inventory;
use crate::one_document::{self, Original};
use crate::pool::Pool;
use crate::provider::PoolReader;

/// What makes a copy another pool.
const FIXED: [&str; 5] = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/spec/selector"];
/// Why the label of the machines is another one.
const OWN_NAME: &str = "its machines are told by it; with the source's name they would be taken for the source's";
const AUTOSCALING: &str = "a MachineAutoscaler of its own says so, if it is to be scaled";

pub(super) fn copy(
    inventory: &Inventory,
    pool: &Pool,
    address: &Address,
    object: &Value,
    request: &CopyRequest,
) -> Result<CopyPlan, Refusal> {
    let pools = OpenShift.pools(inventory);
    let original = Original { inventory, pool, pools: &pools, address, object, fixed: &FIXED };
    let mut plan = one_document::plan(original, request, |editor, name| {
        editor.remove_entries("/metadata/annotations", |key| growth::is_autoscaling(key).then_some(AUTOSCALING));
        editor.remove("/spec/template/spec/providerID", copy_plan::OF_THE_CONTROLLER);
        for map in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            editor.set(&format!("{map}/{}", escaped(SET_NAME)), json!(name), OWN_NAME);
        }
    })?;
    plan.findings = findings(inventory, pool, address, object, &plan.target);
    plan.afterwards = growth::freeze(inventory, address, object);
    Ok(plan)
}

fn findings(inventory: &Inventory, pool: &Pool, address: &Address, object: &Value, name: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = copy_plan::keepers_finding(pool, object).into_iter().collect();
    for (autoscaler, _) in growth::autoscalers(inventory, address) {
        findings.push(Finding::new(
            format!(
                "{autoscaler} scales {}, not its copy: the old pool grows no further once the copy is ready",
                address.name
            ),
            format!("make one whose spec.scaleTargetRef.name is {name} when {} is retired", address.name),
        ));
    }
    for check in health_checks(inventory, address) {
        findings.push(Finding::new(
            format!("{check} watches the machines of {}, not those of its copy", address.name),
            format!("make one whose selector says {SET_NAME}: {name}"),
        ));
    }
    findings
}
