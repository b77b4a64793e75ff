//! KubeVirt's custom resources, expanded from its published description (definitions.json, which
//! scripts/kubevirt-definitions makes) into the structural schemas that an API server takes.
//!
//! The description is KubeVirt's (Apache License 2.0). Names, short names, subresources and columns: reference 1, and KubeVirt's components/crds.go. Only the storage
//! version of each kind is served; the genuine KubeVirt serves the deprecated `kubevirt.io/v1alpha3` and
//! `pool.kubevirt.io/v1alpha1` beside it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What scripts/kubevirt-definitions printed.
const DEFINITIONS: &str = include_str!("definitions.json");

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp");
const READY: Column = ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status");
const REPLICAS: [Column; 3] = [
    ("Desired", "integer", ".spec.replicas"),
    ("Current", "integer", ".status.replicas"),
    ("Ready", "integer", ".status.readyReplicas"),
];

/// A column of `kubectl get`: name, type, JSONPath.
type Column = (&'static str, &'static str, &'static str);

/// One custom resource.
struct Resource {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    /// Its definition in definitions.json.
    definition: &'static str,
    short_names: &'static [&'static str],
    is_namespaced: bool,
    subresources: Subresources,
    columns: Vec<Column>,
}

#[derive(Clone, Copy)]
enum Subresources {
    /// The status is written through the main resource.
    None,
    Status,
    StatusAndScale,
}

/// Returns the CustomResourceDefinitions as they are applied.
pub(crate) fn custom_resource_definitions() -> Vec<Value> {
    let definitions: BTreeMap<String, Value> =
        serde_json::from_str(DEFINITIONS).expect("definitions.json holds an object of definitions");
    resources().iter().map(|resource| resource.custom_resource_definition(&definitions)).collect()
}

fn resources() -> Vec<Resource> {
    let core = |kind, definition, short_names, subresources, columns| Resource {
        group: "kubevirt.io",
        version: "v1",
        kind,
        definition,
        short_names,
        is_namespaced: true,
        subresources,
        columns,
    };
    let [desired, current, ready] = REPLICAS;
    vec![
        core(
            "VirtualMachine",
            "v1.VirtualMachine",
            &["vm", "vms"],
            Subresources::Status,
            vec![AGE, ("Status", "string", ".status.printableStatus"), READY],
        ),
        core(
            "VirtualMachineInstance",
            "v1.VirtualMachineInstance",
            &["vmi", "vmis"],
            // Reference 1: a VMI has no status subresource.
            Subresources::None,
            vec![
                AGE,
                ("Phase", "string", ".status.phase"),
                ("IP", "string", ".status.interfaces[0].ipAddress"),
                ("NodeName", "string", ".status.nodeName"),
                READY,
            ],
        ),
        core(
            "VirtualMachineInstanceMigration",
            "v1.VirtualMachineInstanceMigration",
            &["vmim", "vmims"],
            Subresources::Status,
            vec![("Phase", "string", ".status.phase"), ("VMI", "string", ".spec.vmiName")],
        ),
        core(
            "VirtualMachineInstanceReplicaSet",
            "v1.VirtualMachineInstanceReplicaSet",
            &["vmirs", "vmirss"],
            Subresources::StatusAndScale,
            vec![desired, current, ready, AGE],
        ),
        core(
            "KubeVirt",
            "v1.KubeVirt",
            &["kv", "kvs"],
            Subresources::Status,
            vec![AGE, ("Phase", "string", ".status.phase")],
        ),
        Resource {
            group: "pool.kubevirt.io",
            version: "v1beta1",
            kind: "VirtualMachinePool",
            definition: "v1beta1.VirtualMachinePool",
            short_names: &["vmpool", "vmpools"],
            is_namespaced: true,
            subresources: Subresources::StatusAndScale,
            columns: vec![desired, current, ready, AGE],
        },
        Resource {
            group: "migrations.kubevirt.io",
            version: "v1alpha1",
            kind: "MigrationPolicy",
            definition: "v1alpha1.MigrationPolicy",
            short_names: &[],
            is_namespaced: false,
            subresources: Subresources::None,
            columns: Vec::new(),
        },
    ]
}

impl Resource {
    fn plural(&self) -> String {
        let singular = self.kind.to_lowercase();
        match singular.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{singular}s"),
        }
    }

    fn custom_resource_definition(&self, definitions: &BTreeMap<String, Value>) -> Value {
        let plural = self.plural();
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(name, kind, path)| json!({ "name": name, "type": kind, "jsonPath": path }))
            .collect();
        let mut version = json!({
            "name": self.version,
            "served": true,
            "storage": true,
            "schema": { "openAPIV3Schema": root_schema(definitions, self.definition) },
            "additionalPrinterColumns": columns,
        });
        match self.subresources {
            Subresources::None => {}
            Subresources::Status => version["subresources"] = json!({ "status": {} }),
            Subresources::StatusAndScale => {
                version["subresources"] = json!({ "status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                } });
            }
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{}", self.group), "labels": { "kubevirt.io": "" } },
            "spec": {
                "group": self.group,
                "scope": if self.is_namespaced { "Namespaced" } else { "Cluster" },
                "names": {
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "plural": plural,
                    "singular": self.kind.to_lowercase(),
                    "shortNames": self.short_names,
                    "categories": ["all"],
                },
                "versions": [version],
            },
        })
    }
}

/// Returns the schema of a kind; the server itself knows what is in its metadata.
fn root_schema(definitions: &BTreeMap<String, Value>, name: &str) -> Value {
    let mut schema = named(definitions, name);
    schema["properties"]["metadata"] = json!({ "type": "object" });
    schema
}

fn named(definitions: &BTreeMap<String, Value>, name: &str) -> Value {
    match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" | "IntOrString" => json!({ "x-kubernetes-int-or-string": true }),
        // A Go client writes a time that it does not know as null.
        "Time" => json!({ "type": "string", "format": "date-time", "nullable": true }),
        // The metadata of a template; KubeVirt's own definitions keep all of it, too.
        "ObjectMeta" => json!({ "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true }),
        _ => {
            let definition =
                definitions.get(name).unwrap_or_else(|| panic!("definitions.json has no definition {name}"));
            structural(definitions, definition)
        }
    }
}

/// Returns a schema without references, in the words that a CustomResourceDefinition may use.
fn structural(definitions: &BTreeMap<String, Value>, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return named(definitions, name);
    }
    let mut expanded = Map::new();
    for (key, value) in schema.as_object().expect("a schema is an object") {
        match (key.as_str(), value) {
            ("type", Value::Array(types)) => {
                let (null, others): (Vec<_>, Vec<_>) = types.iter().partition(|name| *name == "null");
                if !null.is_empty() {
                    expanded.insert(String::from("nullable"), Value::Bool(true));
                }
                match others.as_slice() {
                    [one] => expanded.insert(key.clone(), (*one).clone()),
                    _ => expanded.insert(String::from("x-kubernetes-int-or-string"), Value::Bool(true)),
                };
            }
            ("properties", Value::Object(properties)) => {
                let properties =
                    properties.iter().map(|(name, schema)| (name.clone(), structural(definitions, schema))).collect();
                expanded.insert(key.clone(), Value::Object(properties));
            }
            ("items" | "additionalProperties", Value::Object(_)) => {
                expanded.insert(key.clone(), structural(definitions, value));
            }
            _ => {
                expanded.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(expanded)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::custom_resource_definitions;

    fn references(schema: &Value) -> usize {
        match schema {
            Value::Object(fields) => {
                usize::from(fields.contains_key("$ref")) + fields.values().map(references).sum::<usize>()
            }
            Value::Array(items) => items.iter().map(references).sum(),
            _ => 0,
        }
    }

    #[test]
    fn every_reference_is_expanded() {
        assert_eq!(custom_resource_definitions().iter().map(references).sum::<usize>(), 0);
    }

    #[test]
    fn plurals_and_groups_are_kubevirts() {
        let names: Vec<String> = custom_resource_definitions()
            .iter()
            .map(|definition| definition["metadata"]["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "virtualmachines.kubevirt.io",
                "virtualmachineinstances.kubevirt.io",
                "virtualmachineinstancemigrations.kubevirt.io",
                "virtualmachineinstancereplicasets.kubevirt.io",
                "kubevirts.kubevirt.io",
                "virtualmachinepools.pool.kubevirt.io",
                "migrationpolicies.migrations.kubevirt.io",
            ]
        );
    }
}
