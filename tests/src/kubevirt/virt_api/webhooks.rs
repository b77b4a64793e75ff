//! Which webhooks virt-api registers, under the names that the API server puts into its messages (reference 2, and
//! KubeVirt's components/webhooks.go).

use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// A webhook: what it is called, where it is asked, and for what.
struct Webhook {
    name: &'static str,
    path: &'static str,
    group: &'static str,
    resource: &'static str,
    operations: &'static [&'static str],
    side_effects: &'static str,
    /// A name and a CEL expression.
    condition: Option<(&'static str, &'static str)>,
}

pub(super) const POD_EVICTION: &str = "/pod-eviction-validate";
pub(super) const VMI_MUTATE: &str = "/virtualmachineinstances-mutate";
pub(super) const VMI_CREATE: &str = "/virtualmachineinstances-validate-create";
pub(super) const VMI_UPDATE: &str = "/virtualmachineinstances-validate-update";
pub(super) const MIGRATION_MUTATE: &str = "/migration-mutate-create";
pub(super) const MIGRATION_CREATE: &str = "/migration-validate-create";
pub(super) const MIGRATION_UPDATE: &str = "/migration-validate-update";

const MUTATING: &[Webhook] = &[
    Webhook::of_kind(
        "virtualmachineinstances-mutator.kubevirt.io",
        VMI_MUTATE,
        "virtualmachineinstances",
        &["CREATE", "UPDATE"],
    ),
    Webhook::of_kind(
        "migrations-mutator.kubevirt.io",
        MIGRATION_MUTATE,
        "virtualmachineinstancemigrations",
        &["CREATE"],
    ),
];

const VALIDATING: &[Webhook] = &[
    Webhook::of_eviction(
        "virt-launcher-eviction-interceptor.kubevirt.io",
        ("only-vms", r#"object.metadata.name.startsWith("virt-launcher")"#),
    ),
    Webhook::of_eviction(
        "hotplug-pod-eviction-interceptor.kubevirt.io",
        ("only-hotplug-pods", r#"object.metadata.name.startsWith("hp-volume-")"#),
    ),
    Webhook::of_kind(
        "virtualmachineinstances-create-validator.kubevirt.io",
        VMI_CREATE,
        "virtualmachineinstances",
        &["CREATE"],
    ),
    Webhook::of_kind(
        "virtualmachineinstances-update-validator.kubevirt.io",
        VMI_UPDATE,
        "virtualmachineinstances",
        &["UPDATE"],
    ),
    Webhook::of_kind(
        "migration-create-validator.kubevirt.io",
        MIGRATION_CREATE,
        "virtualmachineinstancemigrations",
        &["CREATE"],
    ),
    Webhook::of_kind(
        "migration-update-validator.kubevirt.io",
        MIGRATION_UPDATE,
        "virtualmachineinstancemigrations",
        &["UPDATE"],
    ),
];

impl Webhook {
    const fn of_kind(
        name: &'static str,
        path: &'static str,
        resource: &'static str,
        operations: &'static [&'static str],
    ) -> Self {
        Self { name, path, group: "kubevirt.io", resource, operations, side_effects: "None", condition: None }
    }

    const fn of_eviction(name: &'static str, condition: (&'static str, &'static str)) -> Self {
        Self {
            name,
            path: POD_EVICTION,
            group: "",
            resource: "pods/eviction",
            operations: &["*"],
            side_effects: "NoneOnDryRun",
            condition: Some(condition),
        }
    }

    fn registration(&self, port: u16, authority: &Value) -> Value {
        let conditions: Vec<Value> =
            self.condition.iter().map(|(name, expression)| json!({ "name": name, "expression": expression })).collect();
        json!({
            "name": self.name,
            "admissionReviewVersions": ["v1"],
            // Reference 0: Fail since v1.5. OBSERVED: without virt-api every launcher's eviction is answered 500.
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "sideEffects": self.side_effects,
            "rules": [{
                "operations": self.operations,
                "apiGroups": [self.group],
                "apiVersions": ["v1"],
                "resources": [self.resource],
            }],
            "matchConditions": conditions,
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}{}", self.path),
                "caBundle": authority,
            },
        })
    }
}

/// Returns the two webhook configurations of a virt-api that listens on `port` with `certificate` (PEM).
pub(crate) fn webhook_configurations(port: u16, certificate: &str) -> [Value; 2] {
    let authority = json!(ByteString(certificate.as_bytes().to_vec()));
    let configuration = |kind, name, webhooks: &[Webhook]| {
        let webhooks: Vec<Value> = webhooks.iter().map(|webhook| webhook.registration(port, &authority)).collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": { "name": name },
            "webhooks": webhooks,
        })
    };
    [
        configuration("MutatingWebhookConfiguration", "virt-api-mutator", MUTATING),
        configuration("ValidatingWebhookConfiguration", "virt-api-validator", VALIDATING),
    ]
}
