//! The provider's custom resources.

use serde_json::{Value, json};

/// The group of the provider's infrastructure.
pub(super) const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
/// The group of its bootstrap configurations.
pub(super) const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
/// The group of its control planes.
pub(super) const CONTROL_PLANE: &str = "controlplane.cluster.x-k8s.io";
/// The version of them all.
pub(super) const VERSION: &str = "v1alpha1";

/// The kinds: their group, and whether the spec may never change, as most providers have it for templates.
const KINDS: [(&str, &str, bool); 10] = [
    (INFRASTRUCTURE, "FooCluster", false),
    (INFRASTRUCTURE, "FooClusterTemplate", true),
    (INFRASTRUCTURE, "FooMachine", false),
    (INFRASTRUCTURE, "FooMachineTemplate", true),
    (INFRASTRUCTURE, "FooMachinePool", false),
    (INFRASTRUCTURE, "FooMachinePoolTemplate", true),
    (BOOTSTRAP, "FooConfig", false),
    (BOOTSTRAP, "FooConfigTemplate", true),
    (CONTROL_PLANE, "FooControlPlane", false),
    (CONTROL_PLANE, "FooControlPlaneTemplate", true),
];

/// Returns them all.
pub(super) fn custom_resource_definitions() -> Vec<Value> {
    KINDS.iter().map(|(group, kind, is_immutable)| definition(group, kind, *is_immutable)).collect()
}

fn definition(group: &str, kind: &str, is_immutable: bool) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let free = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let mut spec = free.clone();
    if is_immutable {
        let message = format!("{kind} spec is immutable");
        spec = json!({
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": message }],
        });
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // Which of the kind's versions follows which of Cluster API's contracts.
            "labels": { "cluster.x-k8s.io/v1beta2": VERSION, "cluster.x-k8s.io/provider": "foo" },
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec, "status": free } } },
            }],
        },
    })
}
