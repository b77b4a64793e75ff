//! Who goes first, since webhooks are asked about everything.

use serde_json::Value;

use crate::identity::ObjectKey;

/// Finds the Services behind the webhooks of a ValidatingWebhookConfiguration or MutatingWebhookConfiguration that would
/// refuse changes of pods or nodes when nobody answers. Clauses, each for one webhook:
///
/// 1. `failurePolicy` is Fail, which is what an absent one means (`pkg/apis/admissionregistration/v1/defaults.go`);
/// 2. it is asked by way of a Service;
/// 3. one of its rules has the core group and pods, nodes or a subresource of theirs, by name or by `*`.
///
/// Which namespaces it is asked about is not looked at: one that might be asked counts.
pub fn gatekeepers(configuration: &Value) -> impl Iterator<Item = ObjectKey> {
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let webhooks = list(configuration, "webhooks").into_iter();
    webhooks.filter_map(move |webhook| {
        let is_lenient = webhook.get("failurePolicy").and_then(Value::as_str) == Some("Ignore");
        let has = |rule: &Value, field: &str, wanted: fn(&str) -> bool| {
            list(rule, field).iter().any(|item| item.as_str().is_some_and(wanted))
        };
        let is_asked = list(&webhook, "rules").iter().any(|rule| {
            has(rule, "apiGroups", |group| matches!(group, "" | "*")) && has(rule, "resources", is_of_a_drain)
        });
        let service = webhook.pointer("/clientConfig/service").filter(|_| is_asked && !is_lenient)?;
        let text = |field: &str| service.get(field).and_then(Value::as_str);
        Some(ObjectKey::new(text("namespace")?, text("name")?))
    })
}

/// Whether a rule's resource is one that a drain changes, or that a replacement needs.
fn is_of_a_drain(resource: &str) -> bool {
    matches!(resource.split('/').next(), Some("pods" | "nodes" | "*"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_that_must_answer_for_pods_is_a_gatekeeper() {
        let webhook = |policy: &str, group: &str, resource: &str, service: bool| {
            let service = if service { json!({ "namespace": "policy", "name": "gate" }) } else { Value::Null };
            let mut webhook = json!({
                "clientConfig": { "service": service },
                "rules": [{ "apiGroups": [group], "resources": [resource] }],
            });
            if !policy.is_empty() {
                webhook["failurePolicy"] = json!(policy);
            }
            webhook
        };
        let table = [
            (webhook("Fail", "", "pods", true), true),
            (webhook("", "*", "*", true), true),
            (webhook("Fail", "", "pods/eviction", true), true),
            (webhook("Fail", "", "*/*", true), true),
            (webhook("Fail", "", "nodes", true), true),
            (webhook("Ignore", "", "pods", true), false),
            (webhook("Fail", "apps", "deployments", true), false),
            (webhook("Fail", "", "configmaps", true), false),
            (webhook("Fail", "", "pods", false), false),
        ];
        for (webhook, expected) in table {
            let found: Vec<_> = gatekeepers(&json!({ "webhooks": [webhook.clone()] })).collect();
            let wanted = if expected { vec![ObjectKey::new("policy", "gate")] } else { Vec::new() };
            assert_eq!(found, wanted, "{webhook}");
        }
        assert_eq!(gatekeepers(&json!({})).count(), 0);
    }
}
