//! A provider by Cluster API's contract of v1beta2, whose machines are Node objects: in the same cluster, or in the one
//! that the `kubeconfig` of a FooControlPlane leads to.
//!
//! What of a bootstrap configuration reaches a node goes through the Secret, as cloud-init's data would: a copy that
//! loses something of it makes nodes that lack it. A FooMachine's spec knows `cpu`, `memory`, `zone`, `instanceType`,
//! `bootSeconds` and `refusal` (a cloud that makes no machine and says why).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time;

use super::definitions::{BOOTSTRAP, CONTROL_PLANE, INFRASTRUCTURE, VERSION};
use crate::background::Background;
use crate::control_plane::ControlPlane;
use crate::manifest::text;
use crate::namespace::NAMESPACE_LABEL;
use crate::rest::Rest;

/// How often the provider looks at its objects.
const TURN: Duration = Duration::from_millis(250);
const FINALIZER: &str = "foo.infrastructure.cluster.x-k8s.io";

/// Starts the provider; it ends when this is dropped.
pub(super) fn start(control_plane: &ControlPlane) -> Background {
    let control_plane = control_plane.clone();
    Background::start("foo-provider", async move || {
        let server = control_plane.server().trim_start_matches("https://").to_owned();
        let (host, port) = server.split_once(':').expect("the server's address has a port");
        let turns = Turns {
            rest: Rest(control_plane.client().await),
            endpoint: json!({ "host": host, "port": port.parse::<u16>().expect("a port is a number") }),
            kubeconfig: base64(control_plane.administrator().as_bytes()),
            elsewhere: HashMap::new(),
            born: HashMap::new(),
        };
        turns.run().await;
    })
}

struct Turns {
    rest: Rest,
    endpoint: Value,
    /// In base64, as a Secret holds it.
    kubeconfig: String,
    /// The API servers of clusters that are not this one, by the clusters' namespaces and names.
    elsewhere: HashMap<(String, String), Rest>,
    /// When a machine was first seen, by its UID.
    born: HashMap<String, Instant>,
}

impl Turns {
    async fn run(mut self) {
        loop {
            self.clusters().await;
            self.control_planes().await;
            self.configurations().await;
            self.machines().await;
            self.machine_pools().await;
            time::sleep(TURN).await;
        }
    }

    async fn clusters(&self) {
        for object in self.all(INFRASTRUCTURE, "fooclusters").await {
            if is_deleted(&object) || owner(&object, "Cluster").is_none() {
                continue;
            }
            let path = path(INFRASTRUCTURE, "fooclusters", &object);
            if object["spec"]["controlPlaneEndpoint"]["host"].is_null() {
                self.rest.merge(&path, &json!({ "spec": { "controlPlaneEndpoint": self.endpoint } })).await;
            }
            self.report(&path, &object, json!({ "initialization": { "provisioned": true } })).await;
        }
    }

    async fn control_planes(&mut self) {
        for object in self.all(CONTROL_PLANE, "foocontrolplanes").await {
            let Some(cluster) = owner(&object, "Cluster").filter(|_| !is_deleted(&object)) else { continue };
            let theirs = object["spec"]["kubeconfig"].as_str();
            let key = (text(&object, "/metadata/namespace").to_owned(), cluster.to_owned());
            if let Some(theirs) = theirs
                && !self.elsewhere.contains_key(&key)
            {
                self.elsewhere.insert(key, Rest(client_of(theirs).await));
            }
            let kubeconfig = theirs.map_or_else(|| self.kubeconfig.clone(), |theirs| base64(theirs.as_bytes()));
            self.secret(&object, &format!("{cluster}-kubeconfig"), cluster, json!([]), &kubeconfig).await;
            let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
            let status = json!({
                // Without it Cluster API takes the cluster for one without a control plane, and drains no node.
                "externalManagedControlPlane": object["spec"]["external"].as_bool().unwrap_or(true),
                "initialization": { "controlPlaneInitialized": true },
                "version": object["spec"]["version"],
                "replicas": replicas,
                "readyReplicas": replicas,
                "availableReplicas": replicas,
                "upToDateReplicas": replicas,
                "observedGeneration": object["metadata"]["generation"],
                "selector": format!("cluster.x-k8s.io/cluster-name={cluster}"),
            });
            self.report(&path(CONTROL_PLANE, "foocontrolplanes", &object), &object, status).await;
        }
    }

    async fn configurations(&self) {
        for object in self.all(BOOTSTRAP, "fooconfigs").await {
            let is_wanted = owner(&object, "Machine").or_else(|| owner(&object, "MachinePool")).is_some();
            if is_deleted(&object) || !is_wanted || object["status"]["dataSecretName"].is_string() {
                continue;
            }
            let name = text(&object, "/metadata/name");
            let cluster = text(&object, "/metadata/labels/cluster.x-k8s.io~1cluster-name");
            let owners = json!([{
                "apiVersion": object["apiVersion"], "kind": "FooConfig", "name": name,
                "uid": object["metadata"]["uid"], "controller": true,
            }]);
            let data = base64(object["spec"].to_string().as_bytes());
            self.secret(&object, name, cluster, owners, &data).await;
            let status = json!({ "initialization": { "dataSecretCreated": true }, "dataSecretName": name });
            self.report(&path(BOOTSTRAP, "fooconfigs", &object), &object, status).await;
        }
    }

    /// Where the nodes of an object's cluster are.
    fn workload(&self, object: &Value) -> &Rest {
        let cluster = text(object, "/metadata/labels/cluster.x-k8s.io~1cluster-name").to_owned();
        self.elsewhere.get(&(text(object, "/metadata/namespace").to_owned(), cluster)).unwrap_or(&self.rest)
    }

    async fn machines(&mut self) {
        for object in self.all(INFRASTRUCTURE, "foomachines").await {
            let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            let path = path(INFRASTRUCTURE, "foomachines", &object);
            if is_deleted(&object) {
                self.workload(&object).delete(&format!("/api/v1/nodes/{name}")).await;
                self.hold(&path, &object, false).await;
                continue;
            }
            let Some(machine) = owner(&object, "Machine") else { continue };
            if object["status"]["initialization"]["provisioned"] == true {
                continue;
            }
            let spec = &object["spec"];
            if let Some(refusal) = spec["refusal"].as_str() {
                self.report(&path, &object, json!({ "conditions": conditions(false, refusal) })).await;
                continue;
            }
            let machine = format!("/apis/cluster.x-k8s.io/v1beta2/namespaces/{namespace}/machines/{machine}");
            let Some(machine) = self.rest.get(&machine).await else { continue };
            let Some(boot) = self.boot_data(namespace, text(&machine, "/spec/bootstrap/dataSecretName")).await else {
                continue;
            };
            self.hold(&path, &object, true).await;
            let born = *self.born.entry(text(&object, "/metadata/uid").to_owned()).or_insert_with(Instant::now);
            if born.elapsed().as_secs_f64() < spec["bootSeconds"].as_f64().unwrap_or_default() {
                continue;
            }
            let provider_id = format!("foo:///{namespace}/{name}");
            let node = node(namespace, name, &provider_id, spec, &boot);
            self.workload(&object).create("/api/v1/nodes", &node).await;
            self.rest.merge(&path, &json!({ "spec": { "providerID": provider_id } })).await;
            let addresses = json!([{ "type": "Hostname", "address": name }]);
            let status = json!({ "initialization": { "provisioned": true }, "addresses": addresses });
            self.report(&path, &object, status).await;
        }
    }

    async fn machine_pools(&self) {
        for object in self.all(INFRASTRUCTURE, "foomachinepools").await {
            let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            let path = path(INFRASTRUCTURE, "foomachinepools", &object);
            let prefix = format!("foo:///{namespace}/pool/{}/", text(&object, "/metadata/uid"));
            let mut nodes = self.rest.items("/api/v1/nodes").await;
            nodes.retain(|node| text(node, "/spec/providerID").starts_with(&prefix));
            nodes.sort_by_key(|node| text(node, "/metadata/name").to_owned());
            if is_deleted(&object) {
                // A cloud's instance group goes at once: nobody drains.
                for node in &nodes {
                    self.rest.delete(&format!("/api/v1/nodes/{}", text(node, "/metadata/name"))).await;
                }
                self.hold(&path, &object, false).await;
                continue;
            }
            let Some(pool) = owner(&object, "MachinePool") else { continue };
            let pool = format!("/apis/cluster.x-k8s.io/v1beta2/namespaces/{namespace}/machinepools/{pool}");
            let Some(pool) = self.rest.get(&pool).await else { continue };
            let secret = text(&pool, "/spec/template/spec/bootstrap/dataSecretName");
            let Some(boot) = self.boot_data(namespace, secret).await else { continue };
            self.hold(&path, &object, true).await;
            let wanted = usize::try_from(pool["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or_default();
            for node in nodes.drain(wanted.min(nodes.len())..) {
                self.rest.delete(&format!("/api/v1/nodes/{}", text(&node, "/metadata/name"))).await;
            }
            for number in 0..wanted {
                let node = format!("{name}-{number}");
                if !nodes.iter().any(|present| text(present, "/metadata/name") == node) {
                    let provider_id = format!("{prefix}{number}");
                    let node = self::node(namespace, &node, &provider_id, &object["spec"]["template"], &boot);
                    self.rest.create("/api/v1/nodes", &node).await;
                }
            }
            let ids: Vec<&str> = nodes.iter().map(|node| text(node, "/spec/providerID")).collect();
            if json!(ids) != object["spec"]["providerIDList"] {
                self.rest.merge(&path, &json!({ "spec": { "providerIDList": ids } })).await;
            }
            let is_ready = ids.len() == wanted;
            // The core manager still reads `ready` of an infrastructure of MachinePools.
            let status = json!({
                "ready": is_ready, "replicas": ids.len(), "initialization": { "provisioned": is_ready },
            });
            self.report(&path, &object, status).await;
        }
    }

    async fn boot_data(&self, namespace: &str, secret: &str) -> Option<Value> {
        if secret.is_empty() {
            return None;
        }
        let secret = self.rest.get(&format!("/api/v1/namespaces/{namespace}/secrets/{secret}")).await?;
        let data: k8s_openapi::ByteString = serde_json::from_value(secret["data"]["value"].clone()).ok()?;
        serde_json::from_slice(&data.0).ok()
    }

    async fn secret(&self, beside: &Value, name: &str, cluster: &str, owners: Value, data: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "cluster.x-k8s.io/secret",
            "metadata": {
                "name": name,
                "labels": { "cluster.x-k8s.io/cluster-name": cluster },
                "ownerReferences": owners,
            },
            "data": { "value": data },
        });
        let namespace = text(beside, "/metadata/namespace");
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        if self.rest.get(&format!("{path}/{name}")).await.is_none() {
            self.rest.create(&path, &secret).await;
        }
    }

    /// Writes a status where it says something new.
    async fn report(&self, path: &str, object: &Value, mut status: Value) {
        if status["conditions"].is_null() {
            status["conditions"] = conditions(true, "");
        }
        let has = |key: &String, value: &Value| match key.as_str() {
            "conditions" => object["status"][key][0]["status"] == value[0]["status"],
            _ => object["status"][key] == *value,
        };
        if !status.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| has(key, value))) {
            self.rest.merge(&format!("{path}/status"), &json!({ "status": status })).await;
        }
    }

    /// Puts the provider's finalizer on an object, or takes it off.
    async fn hold(&self, path: &str, object: &Value, is_held: bool) {
        let present: Vec<&str> =
            object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if present.contains(&FINALIZER) == is_held {
            return;
        }
        let mut wanted: Vec<&str> = present.into_iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        wanted.extend(is_held.then_some(FINALIZER));
        self.rest.merge(path, &json!({ "metadata": { "finalizers": wanted } })).await;
    }

    async fn all(&self, group: &str, plural: &str) -> Vec<Value> {
        let mut objects = self.rest.items(&format!("/apis/{group}/{VERSION}/{plural}")).await;
        for object in &mut objects {
            // The items of a list do not say what they are.
            object["apiVersion"] = json!(format!("{group}/{VERSION}"));
        }
        objects
    }
}

fn node(namespace: &str, name: &str, provider_id: &str, spec: &Value, boot: &Value) -> Value {
    let or = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    let resources = json!({
        "cpu": spec["cpu"].as_u64().unwrap_or(4).to_string(),
        "memory": or(&spec["memory"], "8Gi"),
        "pods": "110",
    });
    let mut labels = json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": or(&spec["instanceType"], "foo.medium"),
        "topology.kubernetes.io/zone": or(&spec["zone"], "zone-a"),
        NAMESPACE_LABEL: namespace,
    });
    let mut taints = vec![json!({ "key": "node.cluster.x-k8s.io/uninitialized", "effect": "NoSchedule" })];
    for (key, value) in boot["nodeLabels"].as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    taints.extend(boot["taints"].as_array().into_iter().flatten().cloned());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels, "annotations": { "kwok.x-k8s.io/node": "fake" } },
        "spec": { "providerID": provider_id, "taints": taints },
        "status": { "capacity": resources, "allocatable": resources },
    })
}

async fn client_of(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a control plane's kubeconfig is one");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is whole")).expect("a client can be made of it")
}

fn conditions(is_ready: bool, message: &str) -> Value {
    json!([{
        "type": "Ready",
        "status": if is_ready { "True" } else { "False" },
        "reason": "Foo",
        "message": message,
        "lastTransitionTime": jiff::Timestamp::now().to_string(),
    }])
}

fn base64(bytes: &[u8]) -> String {
    let encoded = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).expect("bytes can be written as JSON");
    encoded.as_str().unwrap_or_default().to_owned()
}

fn is_deleted(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn owner<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["kind"] == kind).and_then(|owner| owner["name"].as_str())
}

fn path(group: &str, plural: &str, object: &Value) -> String {
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    format!("/apis/{group}/{VERSION}/namespaces/{namespace}/{plural}/{name}")
}
