//! Namespaces, and who goes first, as they and webhooks say. None of it has to be known: a user who may not see it drains in
//! another order, and hands fewer pods over.

use cluster_model::identity::ObjectKey;
use cluster_model::namespace::Namespace;
use cluster_model::precedence;
use cluster_model::snapshot::Change;

use crate::dynamic::{each_of, resource};
use crate::observe::{ListError, Observation};
use api_access::ApiAccess;

/// What was found, and what the user may not see of it.
#[derive(Debug, Default)]
pub struct Found {
    /// For the snapshot.
    pub changes: Vec<Change>,
    /// Whether namespaces are not seen.
    pub is_blind_to_namespaces: bool,
    /// Whether webhooks are not seen.
    pub is_blind_to_webhooks: bool,
}

/// Looks for it, as far as the observed namespaces are concerned.
pub async fn look(access: &ApiAccess, observation: &Observation) -> Result<Found, ListError> {
    let mut found = Found::default();
    let namespaces = resource("", "Namespace", "namespaces");
    let listed = each_of(access, &namespaces, |object| {
        let namespace = Namespace::from(object);
        if observation.touches(&namespace.name) {
            found.changes.push(Change::Namespace(namespace));
        }
    });
    let is_forbidden = |error: &ListError| error.source.status().is_some_and(|status| status.code == 403);
    match listed.await {
        Err(error) if is_forbidden(&error) => found.is_blind_to_namespaces = true,
        listed => listed?,
    }
    let mut gatekeepers = Vec::<ObjectKey>::new();
    for (kind, plural) in [
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ] {
        let webhooks = resource("admissionregistration.k8s.io", kind, plural);
        let listed = each_of(access, &webhooks, |object| gatekeepers.extend(precedence::gatekeepers(object)));
        match listed.await {
            Err(error) if is_forbidden(&error) => found.is_blind_to_webhooks = true,
            listed => listed?,
        }
    }
    gatekeepers.retain(|service| observation.touches(&service.namespace));
    found.changes.push(Change::Gatekeepers(gatekeepers.into_iter().collect()));
    Ok(found)
}
