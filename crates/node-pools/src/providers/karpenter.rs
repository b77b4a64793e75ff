//! Karpenter (`karpenter.sh`): NodePools that make nodes when pods ask for them, and static ones with a size.
//!
//! A copy of a dynamic pool has no nodes until pods need them. Which of two pools of one weight gets them, the names
//! decide (the later in the alphabet), so the source's growth is stopped as the last step of the copy: otherwise the work
//! that is handed over might come back to new nodes of the old pool. Its template is never touched: Karpenter would
//! replace its nodes on its own. (Each was seen on the genuine controller.)

mod copying;
mod growth;

use cluster_model::identity::NodeName;
use serde_json::{Value, json};

use crate::address::Address;
use crate::copy_plan::{CopyPlan, CopyRequest};
use crate::finding::Refusal;
use crate::inventory::{Inventory, KindName};
use crate::mark::{self, CopyMark, FROZEN};
use crate::pool::{Member, Pool, ProviderName, Supply, Trouble};
use crate::provider::{PoolProvider, PoolReader};
use crate::raw::{annotation, condition, is_leaving, label, number, text, uid};
use crate::step::{Cascade, Step};

const GROUP: &str = "karpenter.sh";
const POOL: KindName = KindName { group: GROUP, kind: "NodePool" };
const CLAIM: KindName = KindName { group: GROUP, kind: "NodeClaim" };

/// The label by which claims and nodes say to which pool they belong.
const POOL_NAME: &str = "karpenter.sh/nodepool";

/// The provider.
#[derive(Clone, Copy, Debug)]
pub struct Karpenter;

impl PoolReader for Karpenter {
    fn name(&self) -> ProviderName {
        ProviderName::Karpenter
    }

    fn kinds(&self) -> &'static [KindName] {
        &[POOL, CLAIM]
    }

    fn pools(&self, inventory: &Inventory) -> Vec<Pool> {
        inventory.of(POOL).map(|(address, object)| pool_of(address, object)).collect()
    }

    fn members(&self, inventory: &Inventory, pool: &Pool) -> Vec<Member> {
        let mut members: Vec<_> = claims(inventory, &pool.name)
            .map(|(address, claim)| Member {
                machine: address.name.clone(),
                node: text(claim, "/status/nodeName").map(NodeName::from),
                phase: phase(claim),
                is_leaving: is_leaving(claim),
                goes_first: false,
            })
            .collect();
        // A node whose claim is gone is on its way out, and still there.
        for node in inventory.nodes().filter(|node| node.labels.get(POOL_NAME) == Some(&pool.name)) {
            if !members.iter().any(|member| member.node.as_ref() == Some(&node.name)) {
                members.push(Member::of_node(node.name.clone()));
            }
        }
        members
    }
}

impl PoolProvider for Karpenter {
    fn kinds_beside(&self, _: &Inventory, _: &Pool) -> Vec<(String, String)> {
        // The NodeClass is shared: a pool's condition Ready tells whether it is there and well.
        Vec::new()
    }

    fn copy(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<CopyPlan, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        copying::copy(inventory, pool, address, object, request)
    }

    fn freeze(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        Ok(growth::freeze(address, object).into_iter().collect())
    }

    fn thaw(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        Ok(growth::thaw(address, object).into_iter().collect())
    }

    fn resize(&self, inventory: &Inventory, pool: &Pool, size: u32, _: &[NodeName]) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        let Some(now) = replicas(object) else {
            return Err(Refusal::Unsupported(format!(
                "{} has no size: it makes nodes when pods ask for them; its limits are in spec.limits",
                pool.title()
            )));
        };
        if size < now {
            return Err(Refusal::Unsupported(format!(
                "{} cannot shrink safely: Karpenter chooses itself which of its nodes go; drain them all and --retire it, \
                 or delete the NodeClaims of drained nodes",
                pool.title()
            )));
        }
        Ok(vec![Step::scale(address, object, size)])
    }

    fn remove(&self, inventory: &Inventory, pool: &Pool, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        // In the background the pool would be gone at once, and its nodes some time later, with nobody to wait for.
        let mut steps = vec![Step::deletion(address, object, Cascade::Foreground)];
        steps.extend(gone(inventory, pool, Some(address)));
        steps.extend(copy.map(|copy| self.finish(inventory, copy)).transpose()?.into_iter().flatten());
        Ok(steps)
    }

    fn finish(&self, inventory: &Inventory, copy: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, copy)?;
        let Some(mark) = CopyMark::of(object) else { return Ok(Vec::new()) };
        let is_there = inventory.of(POOL).any(|(_, pool)| uid(pool) == mark.of.uid);
        // Of a source that somebody deleted in the background, nodes may still be there.
        let source = Pool { name: mark.of.name.clone(), ..copy.clone() };
        let gone = (!is_there).then(|| gone(inventory, &source, None)).flatten();
        let unmark = Step::Merge {
            target: address.clone(),
            patch: json!({ "metadata": { "annotations": { mark::COPY: Value::Null } } }),
            what: crate::copy_plan::GIVE_BACK.to_owned(),
        };
        Ok(gone.into_iter().chain([unmark]).collect())
    }

    fn sweep(&self, _: &Inventory, _: &Pool) -> Vec<Step> {
        // A copy is one object: it is there, or nothing is.
        Vec::new()
    }
}

fn existing<'a>(inventory: &'a Inventory, pool: &Pool) -> Result<(&'a Address, &'a Value), Refusal> {
    let found = inventory.of(POOL).find(|(_, object)| uid(object) == pool.uid);
    found.ok_or_else(|| Refusal::Nothing(format!("{} does not exist any more", pool.title())))
}

/// Returns the claims that say that they are a pool's.
fn claims<'a>(inventory: &'a Inventory, pool: &str) -> impl Iterator<Item = (&'a Address, &'a Value)> {
    inventory.of(CLAIM).filter(move |(_, claim)| label(claim, POOL_NAME) == Some(pool))
}

/// Waits until nothing is left of a pool; `None`: nothing is.
fn gone(inventory: &Inventory, pool: &Pool, address: Option<&Address>) -> Option<Step> {
    let claims = claims(inventory, &pool.name).map(|(address, _)| address);
    let objects: Vec<_> = address.into_iter().chain(claims).cloned().collect();
    let nodes: Vec<_> = Karpenter.members(inventory, pool).into_iter().filter_map(|member| member.node).collect();
    (!objects.is_empty() || !nodes.is_empty()).then_some(Step::AwaitGone { objects, nodes })
}

/// The size of a static pool.
fn replicas(object: &Value) -> Option<u32> {
    number(object, "/spec/replicas")
}

fn pool_of(address: &Address, object: &Value) -> Pool {
    let size = replicas(object);
    Pool {
        provider: ProviderName::Karpenter,
        description: if size.is_some() { "Karpenter NodePool, static" } else { "Karpenter NodePool" }.to_owned(),
        name: address.name.clone(),
        alias: None,
        object: Some(address.clone()),
        uid: uid(object).to_owned(),
        label: None,
        supply: if size.is_some() { Supply::Sized } else { Supply::OnDemand },
        size,
        scaled_by: growth::scaled_by(object).into_iter().collect(),
        is_accepted: condition(object, "Ready").is_some_and(|ready| ready.status == "True"),
        troubles: troubles(object),
        copy_of: CopyMark::of(object),
        is_frozen: annotation(object, FROZEN).is_some(),
    }
}

/// Says what is wrong with a pool. `Unknown` is no trouble: so is every pool's condition for a moment after an edit.
fn troubles(object: &Value) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if is_leaving(object) {
        troubles.push(Trouble::grave("it is being deleted"));
    }
    if let Some(ready) = condition(object, "Ready").filter(|ready| ready.status == "False") {
        troubles.push(Trouble::grave(format!("Karpenter says that it is not Ready: {}", ready.message)));
    }
    if let Some(wanted) = replicas(object) {
        let there = number(object, "/status/nodes").unwrap_or_default();
        if there < wanted {
            troubles.push(Trouble::of_size(format!("{there} of its {wanted} nodes are there")));
        }
    }
    troubles
}

/// Says how far a claim is on its way to a node.
fn phase(claim: &Value) -> Option<String> {
    if is_leaving(claim) {
        return Some("being deleted".to_owned());
    }
    for (kind, words) in
        [("Launched", "being launched"), ("Registered", "launched"), ("Initialized", "joined, not initialized")]
    {
        let Some(condition) = condition(claim, kind) else { return Some(words.to_owned()) };
        if condition.status != "True" {
            let why = Some(condition.message).filter(|message| !message.is_empty());
            return Some(why.map_or_else(|| words.to_owned(), |why| format!("{words}: {why}")));
        }
    }
    None
}

#[cfg(test)]
mod tests;
