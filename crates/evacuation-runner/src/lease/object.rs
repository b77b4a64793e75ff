//! The lock that is a Lease in kube-node-lease.

use std::cell::RefCell;

use cluster_model::identity::NodeName;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use super::observation::{Observed, observe};
use super::{
    Claim, DURATION, Holder, LeaseError, LeaseNews, NAMESPACE, RENEWAL_TIMEOUT, Renewal, TakeOver, Taken, wall_clock,
};
use api_access::{ApiAccess, CallError};

/// The annotation that holds a [`Holder`].
pub(super) const HOLDER: &str = "handover/holder";
/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;

/// A Lease that is ours.
#[derive(Debug)]
pub(super) struct HeldLease {
    node: NodeName,
    name: String,
    holder: Holder,
    uid: String,
    resource_version: RefCell<String>,
}

impl HeldLease {
    pub(super) async fn renew(&self, access: &ApiAccess) -> Renewal {
        match self.replace(access).await {
            // A conflict may be our own earlier renewal, whose answer was lost: then only a further write counts.
            Renewal::Lost(_) => match self.is_still_ours(access).await {
                Ok(()) => self.replace(access).await,
                Err(other) => other,
            },
            other => other,
        }
    }

    async fn replace(&self, access: &ApiAccess) -> Renewal {
        let replaced = (self.uid.clone(), self.resource_version.borrow().clone());
        let lease = lease_object(&self.name, &self.holder, Some(replaced));
        let params = PostParams::default();
        let leases = leases(access);
        let answer = tokio::time::timeout(RENEWAL_TIMEOUT, access.call(leases.replace(&self.name, &params, &lease)));
        match answer.await {
            Ok(Ok(renewed)) => {
                *self.resource_version.borrow_mut() = renewed.resource_version().unwrap_or_default();
                Renewal::Done
            }
            Ok(Err(error)) => match error.status().map(|status| status.code) {
                Some(404 | 409) => Renewal::Lost(format!("the lease of node {} was changed by somebody", self.node)),
                Some(code @ (401 | 403)) => Renewal::Lost(refused(&self.node, code)),
                _ => Renewal::Failed,
            },
            Err(_) => Renewal::Failed,
        }
    }

    /// Looks the lease up, and takes over its version if it still names this run.
    async fn is_still_ours(&self, access: &ApiAccess) -> Result<(), Renewal> {
        let answer = tokio::time::timeout(RENEWAL_TIMEOUT, access.call(leases(access).get_opt(&self.name))).await;
        let current = match answer {
            Ok(Ok(current)) => current,
            Ok(Err(error)) => match error.status().map(|status| status.code) {
                Some(code @ (401 | 403)) => return Err(Renewal::Lost(refused(&self.node, code))),
                _ => return Err(Renewal::Failed),
            },
            Err(_) => return Err(Renewal::Failed),
        };
        let Some(current) = current else {
            return Err(Renewal::Lost(format!("somebody deleted the lease of node {}", self.node)));
        };
        let holder = Holder::of(&current);
        if holder != self.holder {
            return Err(Renewal::Lost(format!("node {} was taken over by {holder}", self.node)));
        }
        *self.resource_version.borrow_mut() = current.resource_version().unwrap_or_default();
        Ok(())
    }

    /// Deletes it; one that cannot be deleted runs out by itself.
    pub(super) async fn release(&self, access: &ApiAccess) {
        let mut deleted = self.delete(access).await;
        let is_conflict = deleted.as_ref().is_err_and(|error| error.status().is_some_and(|status| status.code == 409));
        // A renewal that was given up half-way may have reached the server after all.
        if is_conflict && self.is_still_ours(access).await.is_ok() {
            deleted = self.delete(access).await;
        }
        if let Err(error) = deleted {
            tracing::info!("the lease of node {} was not released and runs out by itself: {error}", self.node);
        }
    }

    async fn delete(&self, access: &ApiAccess) -> Result<(), CallError> {
        let preconditions = Preconditions {
            uid: Some(self.uid.clone()),
            resource_version: Some(self.resource_version.borrow().clone()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let leases = leases(access);
        access.ask(|| leases.delete(&self.name, &params)).await.map(drop)
    }
}

fn refused(node: &NodeName, code: u16) -> String {
    format!("the API server refuses to renew the lease of node {node} ({code}): log in again")
}

/// The name of a node's lease. A name that would be too long is replaced by its hash (FNV-1a, 64 bits).
pub fn lease_name(node: &NodeName) -> String {
    let name = format!("handover-{node}");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let hash = node
        .0
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("handover-{hash:016x}")
}

/// Takes a node's lease.
pub(super) async fn take(claim: &Claim<'_>, news: &mut impl FnMut(LeaseNews)) -> Result<Taken<HeldLease>, LeaseError> {
    let Claim { access, node, holder, take_over, stop: _ } = *claim;
    let name = lease_name(node);
    let api = leases(access);
    let failed = |source| failed(node, source);
    let held = |lease: &Lease, is_seized| Taken {
        lock: HeldLease {
            node: node.clone(),
            name: name.clone(),
            holder: holder.clone(),
            uid: lease.uid().unwrap_or_default(),
            resource_version: RefCell::new(lease.resource_version().unwrap_or_default()),
        },
        is_seized,
    };
    let params = PostParams::default();
    loop {
        claim.go_on()?;
        let wanted = lease_object(&name, holder, None);
        match access.ask(|| api.create(&params, &wanted)).await {
            Ok(created) => return Ok(held(&created, false)),
            Err(error) if error.status().is_some_and(|status| status.code == 409) => {}
            Err(error) => return Err(failed(error)),
        }
        let Some(current) = access.ask(|| api.get_opt(&name)).await.map_err(failed)? else { continue };
        if current.owner_references().iter().any(|owner| owner.kind == "Node") {
            return Err(LeaseError::Foreign { node: node.clone(), name });
        }
        let previous = Holder::of(&current);
        // A request whose answer was lost took it.
        if previous == *holder {
            return Ok(held(&current, false));
        }
        let is_dead = previous.is_dead_here(holder);
        let is_seized = !is_dead && take_over == TakeOver::FromAnybody;
        if !is_dead && !is_seized {
            match watch(claim, &api, &current, &previous, news).await? {
                Observed::Silent => {}
                Observed::Released => continue,
                Observed::Renewed(holder) => {
                    return Err(LeaseError::Held { node: node.clone(), holder: Box::new(holder) });
                }
            }
        }
        let replaced = (current.uid().unwrap_or_default(), current.resource_version().unwrap_or_default());
        let wanted = lease_object(&name, holder, Some(replaced));
        match access.ask(|| api.replace(&name, &params, &wanted)).await {
            Ok(taken) => {
                let (node, holder) = (node.clone(), previous);
                news(if is_seized {
                    LeaseNews::Seized { node, holder }
                } else {
                    LeaseNews::TakenOver { node, holder }
                });
                return Ok(held(&taken, is_seized));
            }
            // It moved in the last moment: look again.
            Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Waits for a lease that this user may read and not take: only one of a run that died on this machine is passed over.
/// Returns that nothing was seized, as [`super::annotation::clear`] does.
pub(super) async fn respect(claim: &Claim<'_>, news: &mut impl FnMut(LeaseNews)) -> Result<bool, LeaseError> {
    let Claim { access, node, holder, .. } = *claim;
    let api = leases(access);
    let name = lease_name(node);
    let current = access.ask(|| api.get_opt(&name)).await.map_err(|source| failed(node, source))?;
    let Some(current) = current else { return Ok(false) };
    let previous = Holder::of(&current);
    if !previous.is_dead_here(holder) {
        match watch(claim, &api, &current, &previous, news).await? {
            Observed::Released => return Ok(false),
            // A holder that only slept would renew it and go on: it cannot be told to stop without a write to its lease.
            Observed::Silent => {
                return Err(LeaseError::OutOfReach { node: node.clone(), holder: Box::new(previous) });
            }
            Observed::Renewed(holder) => {
                return Err(LeaseError::OutOfReach { node: node.clone(), holder: Box::new(holder) });
            }
        }
    }
    news(LeaseNews::TakenOver { node: node.clone(), holder: previous });
    Ok(false)
}

async fn watch(
    claim: &Claim<'_>,
    api: &Api<Lease>,
    current: &Lease,
    previous: &Holder,
    news: &mut impl FnMut(LeaseNews),
) -> Result<Observed, LeaseError> {
    let name = lease_name(claim.node);
    let version = current.resource_version().unwrap_or_default();
    let read = |lease: &Lease| Some(Observed::Renewed(Holder::of(lease)));
    let observing = observe(api, &name, &version, (claim.node, previous), news, read);
    let observed = claim.unless_stopped(observing).await?;
    if !matches!(observed, Observed::Silent) {
        return Ok(observed);
    }
    // The watch may have been refused: what it did not tell, the version does.
    let now = claim.access.ask(|| api.get_opt(&name)).await.map_err(|source| failed(claim.node, source))?;
    Ok(match now {
        None => Observed::Released,
        Some(now) if now.resource_version() != current.resource_version() => Observed::Renewed(Holder::of(&now)),
        Some(_) => Observed::Silent,
    })
}

fn leases(access: &ApiAccess) -> Api<Lease> {
    Api::namespaced(access.client.clone(), NAMESPACE)
}

fn failed(node: &NodeName, source: CallError) -> LeaseError {
    LeaseError::Call { node: node.clone(), lock: format!("lease {NAMESPACE}/{}", lease_name(node)), source }
}

/// A lease that is held, in the place of the one with this UID and version.
///
/// Without the UID, a renewal that arrives after the lease was deleted would make a new one: the API server creates a
/// Lease on update, whatever version the update names (`AllowCreateOnUpdate` in pkg/registry/coordination/lease).
fn lease_object(name: &str, holder: &Holder, replaced: Option<(String, String)>) -> Lease {
    let renewed = MicroTime(wall_clock());
    let (uid, resource_version) = replaced.unzip();
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            uid,
            resource_version,
            annotations: Some([(HOLDER.to_owned(), holder.to_text())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_string()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(MicroTime(holder.since)),
            renew_time: Some(renewed),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_node_name_is_hashed() {
        assert_eq!(lease_name(&NodeName::from("n1")), "handover-n1");
        let long = NodeName("n".repeat(250));
        assert_eq!(lease_name(&long).len(), "handover-".len() + 16);
        assert_ne!(lease_name(&long), lease_name(&NodeName("n".repeat(251))));
    }
}
