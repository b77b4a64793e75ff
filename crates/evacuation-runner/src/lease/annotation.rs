//! The lock of a user without a right to leases: an annotation on the node, changed only from what was read before.
//!
//! A node changes often and for many reasons, so a refused write is read again and sent again as long as the annotation
//! itself is what it was.

use std::cell::RefCell;

use cluster_model::api::core::Node;
use cluster_model::identity::NodeName;
use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::observation::{Observed, observe};
use super::{Claim, Holder, LeaseError, LeaseNews, RENEWAL_TIMEOUT, Renewal, TakeOver, Taken, wall_clock};
use api_access::{ApiAccess, CallError};

/// The annotation on a node that is the lock.
pub const LOCK_ANNOTATION: &str = "handover/lock";
/// The version that this program writes.
const VERSION: u32 = 1;

/// What the annotation says.
#[derive(Serialize, Deserialize)]
struct LockRecord {
    v: u32,
    holder: Holder,
    /// When it was renewed, by its holder's clock: for people, and so that each renewal is a change.
    renewed: Timestamp,
}

impl LockRecord {
    fn text(holder: &Holder) -> String {
        let record = Self { v: VERSION, holder: holder.clone(), renewed: wall_clock() };
        // A plain struct of strings and numbers always serialises.
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// Reads who holds a lock; one that cannot be read is held by somebody all the same.
    fn holder(text: &str) -> Holder {
        serde_json::from_str::<Self>(text).map_or_else(|_| Holder::unknown(), |record| record.holder)
    }
}

/// An annotation that is ours.
#[derive(Debug)]
pub(super) struct HeldAnnotation {
    node: NodeName,
    holder: Holder,
    /// What was written last.
    text: RefCell<String>,
}

/// What came of a change of the annotation.
enum Swap {
    Done,
    /// It is another text by now, or `None`, none.
    Changed(Option<String>),
    NoNode,
}

impl HeldAnnotation {
    pub(super) async fn renew(&self, access: &ApiAccess) -> Renewal {
        tokio::time::timeout(RENEWAL_TIMEOUT, self.write_anew(access)).await.unwrap_or(Renewal::Failed)
    }

    async fn write_anew(&self, access: &ApiAccess) -> Renewal {
        loop {
            let known = self.text.borrow().clone();
            let text = LockRecord::text(&self.holder);
            match swap(access, &self.node, Some(&known), Some(&text)).await {
                Ok(Swap::Done) => {
                    *self.text.borrow_mut() = text;
                    return Renewal::Done;
                }
                // Nobody else can lock a node that is gone.
                Ok(Swap::NoNode) => return Renewal::Done,
                Ok(Swap::Changed(None)) => {
                    return Renewal::Lost(format!("somebody took the lock of node {} away", self.node));
                }
                Ok(Swap::Changed(Some(other))) => {
                    let holder = LockRecord::holder(&other);
                    if holder != self.holder {
                        return Renewal::Lost(format!("node {} was taken over by {holder}", self.node));
                    }
                    // Our own earlier renewal, whose answer was lost.
                    *self.text.borrow_mut() = other;
                }
                Err(_) => return Renewal::Failed,
            }
        }
    }

    /// Takes it away; one that cannot be taken away runs out by itself.
    pub(super) async fn release(&self, access: &ApiAccess) {
        loop {
            let known = self.text.borrow().clone();
            match swap(access, &self.node, Some(&known), None).await {
                Ok(Swap::Changed(Some(other))) if LockRecord::holder(&other) == self.holder => {
                    *self.text.borrow_mut() = other;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::info!("the lock of node {} was not released and runs out by itself: {error}", self.node);
                    return;
                }
            }
        }
    }
}

/// Locks a node.
pub(super) async fn take(
    claim: &Claim<'_>,
    news: &mut impl FnMut(LeaseNews),
) -> Result<Taken<HeldAnnotation>, LeaseError> {
    let text = LockRecord::text(claim.holder);
    let is_seized = replace(claim, Some(&text), news).await?;
    let lock = HeldAnnotation { node: claim.node.clone(), holder: claim.holder.clone(), text: RefCell::new(text) };
    Ok(Taken { lock, is_seized })
}

/// Takes away the lock that a run without a right to leases has left, if that run is dead or may be robbed. Returns
/// whether a living one was.
pub(super) async fn clear(claim: &Claim<'_>, news: &mut impl FnMut(LeaseNews)) -> Result<bool, LeaseError> {
    replace(claim, None, news).await
}

/// Puts `text` in the place of whatever lock there is, as soon as that may be done.
async fn replace(claim: &Claim<'_>, text: Option<&str>, news: &mut impl FnMut(LeaseNews)) -> Result<bool, LeaseError> {
    let Claim { access, node, holder, take_over, stop: _ } = *claim;
    let failed =
        |source| LeaseError::Call { node: node.clone(), lock: format!("annotation {LOCK_ANNOTATION}"), source };
    let vanished = || LeaseError::Vanished { node: node.clone() };
    loop {
        claim.go_on()?;
        let found = read(access, node).await.map_err(failed)?.ok_or_else(vanished)?;
        let current = lock_of(&found);
        let previous = current.map(LockRecord::holder);
        // A request whose answer was lost took it.
        if text.is_some() && previous.as_ref() == Some(holder) {
            return Ok(false);
        }
        let mut is_seized = false;
        if let (Some(current), Some(previous)) = (current, &previous)
            && !previous.is_dead_here(holder)
        {
            is_seized = take_over == TakeOver::FromAnybody;
            if !is_seized {
                let version = found.resource_version().unwrap_or_default();
                let seen = |node: &Node| match lock_of(node) {
                    None => Some(Observed::Released),
                    Some(other) if other == current => None,
                    Some(other) => Some(Observed::Renewed(LockRecord::holder(other))),
                };
                let api = nodes(access);
                let observing = observe(&api, &node.0, &version, (node, previous), news, seen);
                match claim.unless_stopped(observing).await? {
                    Observed::Silent => {}
                    Observed::Released => continue,
                    Observed::Renewed(holder) => {
                        return Err(LeaseError::Held { node: node.clone(), holder: Box::new(holder) });
                    }
                }
            }
        }
        if current.is_none() && text.is_none() {
            return Ok(false);
        }
        match (swap(access, node, current, text).await.map_err(failed)?, previous) {
            (Swap::Done, Some(holder)) => {
                let node = node.clone();
                news(if is_seized {
                    LeaseNews::Seized { node, holder }
                } else {
                    LeaseNews::TakenOver { node, holder }
                });
                return Ok(is_seized);
            }
            (Swap::Done, None) => return Ok(false),
            (Swap::NoNode, _) => return Err(vanished()),
            // It was renewed, or taken by somebody who was quicker; or our own write, whose answer was lost.
            (Swap::Changed(Some(other)), Some(_)) if LockRecord::holder(&other) != *holder => {
                let holder = LockRecord::holder(&other);
                return Err(LeaseError::Held { node: node.clone(), holder: Box::new(holder) });
            }
            (Swap::Changed(_), _) => {}
        }
    }
}

/// Changes the annotation from `known` to `text`, where `None` is no annotation, guarded by the version of the node.
/// Needs `list nodes` and `patch nodes`.
async fn swap(access: &ApiAccess, name: &NodeName, known: Option<&str>, text: Option<&str>) -> Result<Swap, CallError> {
    loop {
        let Some(node) = read(access, name).await? else { return Ok(Swap::NoNode) };
        let current = lock_of(&node);
        if current != known {
            return Ok(Swap::Changed(current.map(str::to_owned)));
        }
        let patch = json!({ "metadata": {
            "uid": node.uid(),
            "resourceVersion": node.resource_version(),
            "annotations": { LOCK_ANNOTATION: text },
        } });
        let params = PatchParams { field_manager: Some(access.field_manager.clone()), ..PatchParams::default() };
        let (nodes, patch) = (nodes(access), Patch::Merge(&patch));
        match access.ask(|| nodes.patch_metadata(&name.0, &params, &patch)).await {
            Ok(_) => return Ok(Swap::Done),
            // Somebody changed the node, if only its heartbeat.
            Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a node by a list, so that no other right is needed than the look at the cluster needs.
async fn read(access: &ApiAccess, name: &NodeName) -> Result<Option<Node>, CallError> {
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let nodes = nodes(access);
    Ok(access.ask(|| nodes.list(&params)).await?.items.into_iter().next())
}

fn lock_of(node: &Node) -> Option<&str> {
    node.annotations().get(LOCK_ANNOTATION).map(String::as_str)
}

fn nodes(access: &ApiAccess) -> Api<Node> {
    Api::all(access.client.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_holder_and_a_damaged_one_is_held_by_somebody() {
        let me = Holder::this_process("r1", "alice", Timestamp::UNIX_EPOCH);
        assert_eq!(LockRecord::holder(&LockRecord::text(&me)), me);
        for damaged in ["", "{", "[1]", r#"{"v":1}"#] {
            let holder = LockRecord::holder(damaged);
            assert_eq!(holder.user, "somebody", "{damaged}");
            assert!(!holder.is_dead_here(&me), "{damaged}");
        }
    }
}
