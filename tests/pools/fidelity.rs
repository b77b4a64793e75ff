//! Nothing of a pool gets lost in its copy: every field of the providers' own schemas, and fields that they do not have.
//!
//! No cluster is needed: the documents are drawn from the schemas of the genuine custom resources, and planned with.

use std::hash::{DefaultHasher, Hash, Hasher};

use e2e::{ClusterApi, Karpenter, OpenShift};
use jiff::Timestamp;
use node_pools::address::Resource;
use node_pools::copy_plan::{CopyPlan, CopyRequest, fidelity};
use node_pools::difference::differences;
use node_pools::inventory::Inventory;
use node_pools::mark::Maker;
use node_pools::pool::Supply;
use node_pools::providers;
use serde_json::{Map, Value, json};

/// How many documents are drawn of each kind.
const CASES: u64 = 500;
/// Of a hundred fields of a schema, so many are in a document; the first document has all.
const RATE: u64 = 60;

const NAMESPACE: &str = "shop";
const NAME: &str = "blue";

#[test]
fn only_the_declared_changes_differ() {
    let mut fields = 0;
    for version in ["v1beta2", "v1beta1"] {
        for (kind, reference, is_pool) in [("MachineDeployment", "Template", false), ("MachinePool", "", true)] {
            let schema = ClusterApi::schema(kind, version);
            for case in 0..CASES {
                let mut draw = Draw { seed: case, count: 0, is_whole: case == 0 };
                let authored = pool(&schema, (kind, version), reference, is_pool, &mut draw);
                fields += leaves(&authored);
                check(&authored, (kind, version), reference, is_pool, &mut draw, case);
            }
        }
    }
    // A generator that makes empty documents proves nothing.
    assert!(fields > 40_000, "only {fields} fields were copied");
}

/// One case: the copy is planned, made, read back and planned again.
fn check(authored: &Value, (kind, version): (&str, &str), reference: &str, is_pool: bool, draw: &mut Draw, case: u64) {
    let mut inventory = Inventory::default();
    let (infrastructure, bootstrap) = (
        if is_pool { "FooMachinePool".to_owned() } else { format!("FooMachine{reference}") },
        format!("FooConfig{reference}"),
    );
    let referred = [
        ("infrastructure.cluster.x-k8s.io", infrastructure.as_str(), "v1alpha1"),
        ("bootstrap.cluster.x-k8s.io", bootstrap.as_str(), "v1alpha1"),
    ];
    let mut sources = vec![authored.clone()];
    put(&mut inventory, "cluster.x-k8s.io", kind, version, authored);
    for (group, kind, version) in referred {
        let spec = json!({ "template": { "spec": draw.anything(3) } });
        let object = json!({
            "apiVersion": format!("{group}/{version}"), "kind": kind,
            "metadata": { "name": NAME, "namespace": NAMESPACE }, "spec": spec,
        });
        put(&mut inventory, group, kind, version, &object);
        sources.push(object);
    }
    let plan = plan(&inventory).unwrap_or_else(|refusal| panic!("case {case}: {refusal}"));
    assert_eq!(plan.documents.len(), 3, "case {case}");
    compare(&mut inventory, &plan, &sources, &json!({ "clusterName": "another" }), case);
}

/// A NodePool is one document; half of them have a size.
#[test]
fn only_the_declared_changes_of_a_node_pool_differ() {
    let schema = Karpenter::schema("nodepools");
    let mut fields = 0;
    for case in 0..2 * CASES {
        let mut draw = Draw { seed: case, count: 0, is_whole: case == 0 };
        let mut spec = draw.value(&schema["properties"]["spec"], 0);
        spec.as_object_mut().unwrap().remove("replicas");
        if case % 2 == 0 {
            spec["replicas"] = json!(2);
        }
        if spec["weight"].is_null() {
            spec["weight"] = json!(7);
        }
        let authored = authored("karpenter.sh/v1", "NodePool", None, &spec);
        fields += leaves(&authored);
        let mut inventory = Inventory::default();
        put(&mut inventory, "karpenter.sh", "NodePool", "v1", &authored);
        let plan = plan(&inventory).unwrap_or_else(|refusal| panic!("case {case}: {refusal}"));
        compare(&mut inventory, &plan, &[authored], &json!({ "weight": 101 }), case);
    }
    assert!(fields > 15_000, "only {fields} fields were copied");
}

/// So is a MachineSet, whose `providerSpec` is of any shape.
#[test]
fn only_the_declared_changes_of_an_open_shift_machine_set_differ() {
    let schema = OpenShift::schema();
    let mut fields = 0;
    for case in 0..2 * CASES {
        let mut draw = Draw { seed: case, count: 0, is_whole: case == 0 };
        let mut spec = draw.value(&schema["properties"]["spec"], 0);
        let labels = json!({ "machine.openshift.io/cluster-api-machineset": NAME });
        merge(&mut spec["selector"]["matchLabels"], &labels);
        merge(&mut spec["template"]["metadata"]["labels"], &labels);
        spec["template"]["spec"]["providerSpec"]["value"] = draw.anything(4);
        spec["replicas"] = json!(3);
        spec["minReadySeconds"] = json!(7);
        let authored = authored("machine.openshift.io/v1beta1", "MachineSet", Some(NAMESPACE), &spec);
        fields += leaves(&authored);
        let mut inventory = Inventory::default();
        put(&mut inventory, "machine.openshift.io", "MachineSet", "v1beta1", &authored);
        let plan = plan(&inventory).unwrap_or_else(|refusal| panic!("case {case}: {refusal}"));
        compare(&mut inventory, &plan, &[authored], &json!({ "minReadySeconds": 8 }), case);
    }
    assert!(fields > 15_000, "only {fields} fields were copied");
}

/// The plan differs from its sources in the declared changes only; and once it is made, nothing is left to do. `other` is
/// what nobody would have planned.
fn compare(inventory: &mut Inventory, plan: &CopyPlan, sources: &[Value], other: &Value, case: u64) {
    for document in &plan.documents {
        let source = sources.iter().find(|one| one["kind"] == json!(document.source.resource.kind)).unwrap();
        for difference in differences(source, &document.body) {
            let is_declared = document.changes.iter().any(|change| {
                let is_within = difference.path.starts_with(&change.path);
                // A map that was not there, made for a declared change.
                is_within || (difference.from.is_none() && change.path.starts_with(&difference.path))
            });
            assert!(is_declared, "case {case}: {difference:?} of {source:#}");
        }
    }
    for document in &plan.documents {
        let resource = &document.target.resource;
        inventory.put(resource, with_server_fields(&document.body, case + 1));
    }
    let again = self::plan(inventory).unwrap_or_else(|refusal| panic!("case {case}, made: {refusal}"));
    assert!(again.steps.is_empty(), "case {case}: {:?}", again.steps);
    let fidelity = fidelity(&again, inventory);
    assert!(fidelity.identical && fidelity.differences.is_empty(), "case {case}: {fidelity:?}");
    // And what is not the same is seen.
    let target = &again.documents.last().unwrap().target;
    let mut changed = inventory.get(target).unwrap().clone();
    merge(&mut changed["spec"], other);
    inventory.put(&target.resource, changed);
    assert!(self::plan(inventory).is_err(), "case {case}: a copy that differs is not taken for the copy");
}

fn plan(inventory: &Inventory) -> Result<CopyPlan, node_pools::finding::Refusal> {
    let providers = providers::all(NAME);
    let found = providers.iter().find_map(|provider| {
        let pool = provider.pools(inventory).into_iter().find(|pool| pool.name == NAME)?;
        Some((provider, pool))
    });
    let (provider, pool) = found.unwrap();
    let maker =
        Maker { run: "run".to_owned(), user: "user".to_owned(), at: Timestamp::UNIX_EPOCH, version: "test".to_owned() };
    let size = (pool.supply == Supply::Sized).then_some(3);
    let request =
        CopyRequest { name: None, size, overrides: Vec::new(), nodes_match: None, share_templates: false, maker };
    provider.copy(inventory, &pool, &request)
}

fn put(inventory: &mut Inventory, group: &str, kind: &str, version: &str, object: &Value) {
    let resource = Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: object["metadata"]["namespace"].is_string(),
    };
    inventory.put(&resource, with_server_fields(object, 0));
    inventory.serve(resource);
}

/// What the API server adds to what somebody wrote.
fn with_server_fields(object: &Value, number: u64) -> Value {
    let mut object = object.clone();
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(format!("uid-{number}-{}", metadata["name"]));
    metadata["resourceVersion"] = json!("17");
    metadata["generation"] = json!(3);
    metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    metadata["managedFields"] = json!([{ "manager": "kubectl" }]);
    metadata["ownerReferences"] = json!([{ "kind": "Cluster", "name": "c1", "uid": "c" }]);
    metadata["finalizers"] = json!(["cluster.x-k8s.io/something"]);
    object["status"] = json!({ "replicas": 3, "availableReplicas": 3, "readyReplicas": 3, "nodes": 3 });
    object
}

/// A pool as somebody may have written it.
fn pool(schema: &Value, (kind, version): (&str, &str), reference: &str, is_pool: bool, draw: &mut Draw) -> Value {
    let mut spec = draw.value(&schema["properties"]["spec"], 0);
    let labels = json!({ "cluster.x-k8s.io/cluster-name": "c1", "cluster.x-k8s.io/deployment-name": NAME });
    spec["clusterName"] = json!("c1");
    spec["replicas"] = json!(3);
    // A paused pool is refused.
    spec.as_object_mut().unwrap().remove("paused");
    spec["template"]["spec"]["clusterName"] = json!("c1");
    if is_pool {
        spec.as_object_mut().unwrap().remove("selector");
    } else {
        spec["selector"]["matchLabels"] = labels.clone();
        merge(&mut spec["template"]["metadata"]["labels"], &labels);
    }
    let infrastructure = if is_pool { "FooMachinePool".to_owned() } else { format!("FooMachine{reference}") };
    let refer = |group: &str, kind: String| match version {
        "v1beta1" => {
            let version = format!("{group}/v1alpha1");
            json!({ "apiVersion": version, "kind": kind, "name": NAME, "namespace": NAMESPACE })
        }
        _ => json!({ "apiGroup": group, "kind": kind, "name": NAME }),
    };
    spec["template"]["spec"]["infrastructureRef"] = refer("infrastructure.cluster.x-k8s.io", infrastructure);
    spec["template"]["spec"]["bootstrap"]["configRef"] =
        refer("bootstrap.cluster.x-k8s.io", format!("FooConfig{reference}"));
    authored(&format!("cluster.x-k8s.io/{version}"), kind, Some(NAMESPACE), &spec)
}

fn authored(api_version: &str, kind: &str, namespace: Option<&str>, spec: &Value) -> Value {
    let labels = json!({ "team": "shop", "example.com/unknown": "yes" });
    let mut metadata = json!({ "name": NAME, "labels": labels, "annotations": { "example.com/note": "keep me" } });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec })
}

fn merge(into: &mut Value, more: &Value) {
    if !into.is_object() {
        *into = json!({});
    }
    let map = into.as_object_mut().unwrap();
    map.extend(more.as_object().unwrap().clone());
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.values().map(leaves).sum(),
        Value::Array(list) => list.iter().map(leaves).sum(),
        _ => 1,
    }
}

/// Draws values, the same for the same seed.
struct Draw {
    seed: u64,
    count: u64,
    /// Whether every field of a schema is there.
    is_whole: bool,
}

impl Draw {
    fn number(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.count += 1;
        (self.seed, self.count).hash(&mut hasher);
        hasher.finish()
    }

    fn happens(&mut self, rate: u64) -> bool {
        self.number() % 100 < rate
    }

    fn word(&mut self) -> String {
        format!("word-{}", self.number() % 100_000)
    }

    /// A value that a schema allows, and now and then a field that it does not know.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.is_empty()) {
            let index = usize::try_from(self.number() % choices.len() as u64).unwrap();
            return choices[index].clone();
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return if self.happens(50) { json!(self.number() % 10) } else { json!("25%") };
        }
        match schema["type"].as_str() {
            Some("integer") => json!(self.number() % 100 + 1),
            Some("number") => json!(0.5),
            Some("boolean") => json!(self.happens(50)),
            Some("array") => {
                let count = if self.is_whole { 2 } else { self.number() % 3 };
                Value::Array((0..count).map(|_| self.value(&schema["items"], depth + 1)).collect())
            }
            Some("object") => self.object(schema, depth),
            Some("string") if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
            Some("string") => json!(self.word()),
            _ => self.anything(2),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut map = Map::new();
        let known = schema["properties"].as_object();
        for (name, of_field) in known.into_iter().flatten() {
            if self.is_whole || self.happens(RATE) {
                map.insert(name.clone(), self.value(of_field, depth + 1));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..2 {
                let (name, value) = (self.word(), self.value(&schema["additionalProperties"], depth + 1));
                map.insert(format!("example.com/{name}"), value);
            }
        }
        if known.is_none() && map.is_empty() {
            return self.anything(2);
        }
        // What a newer version of Cluster API may have.
        if self.happens(20) {
            map.insert(format!("unknown{depth}"), self.anything(2));
        }
        Value::Object(map)
    }

    /// A value that no schema tells of.
    fn anything(&mut self, depth: usize) -> Value {
        match self.number() % 6 {
            0 if depth > 0 => {
                let fields = (0..3).map(|_| (format!("{}/a~b", self.word()), self.anything(depth - 1)));
                Value::Object(fields.collect())
            }
            1 if depth > 0 => json!([self.anything(depth - 1), self.anything(depth - 1)]),
            2 => json!(self.number() % 1000),
            3 => json!(self.happens(50)),
            4 => json!({ "nested": { "deep": self.word() } }),
            _ => json!(self.word()),
        }
    }
}
