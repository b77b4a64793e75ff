//! Namespaces, and who goes first, as they and webhooks say. None of it has to be known: a user who may not see it drains in
//! another order, and hands fewer pods over.

use cluster_model::identity::ObjectKey;
use cluster_model::namespace::Namespace;
use cluster_model::precedence;
use cluster_model::snapshot::Change;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use crate::observe::{ListError, Observation};
use crate::virtual_machines::each_dynamic;
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
    let namespaces = resource("", "v1", "Namespace", "namespaces");
    let listed = each(access, &namespaces, |object| {
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
        let webhooks = resource("admissionregistration.k8s.io", "v1", kind, plural);
        let listed = each(access, &webhooks, |object| gatekeepers.extend(precedence::gatekeepers(object)));
        match listed.await {
            Err(error) if is_forbidden(&error) => found.is_blind_to_webhooks = true,
            listed => listed?,
        }
    }
    gatekeepers.retain(|service| observation.touches(&service.namespace));
    found.changes.push(Change::Gatekeepers(gatekeepers.into_iter().collect()));
    Ok(found)
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let separator = if group.is_empty() { "" } else { "/" };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}{separator}{version}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

async fn each(access: &ApiAccess, resource: &ApiResource, read: impl FnMut(&Value)) -> Result<(), ListError> {
    let api = Api::<DynamicObject>::all_with(access.client.clone(), resource);
    each_dynamic(access, &api, resource, &ListParams::default(), read).await
}
