//! A cluster of Cluster API's in a test's namespace, and pools in it.

use e2e::{ClusterApi, ControlPlane, Kubectl, Namespace, Plugin, eventually};
use serde_json::{Value, json};
use std::time::Duration;

use crate::ground::Ground;
use crate::objects;

/// How long nodes may take to come or go.
const DEADLINE: Duration = Duration::from_secs(60);

/// A test's namespace with a Cluster called `c1` in it.
pub(crate) struct Fleet {
    pub(crate) ns: Namespace,
}

impl Fleet {
    pub(crate) async fn open(purpose: &str) -> Self {
        Self::with_control_plane(purpose, json!({ "version": "v1.37.1", "replicas": 1 })).await
    }

    /// A cluster in which Cluster API sees no control plane, as where somebody else made it: it drains no node there.
    pub(crate) async fn without_control_plane(purpose: &str) -> Self {
        Self::with_control_plane(purpose, json!({ "version": "v1.37.1", "replicas": 1, "external": false })).await
    }

    /// A cluster whose nodes are in another one than its objects.
    pub(crate) async fn with_nodes_in(purpose: &str, workload: &ControlPlane) -> Self {
        let its = json!({ "version": "v1.37.1", "replicas": 1, "kubeconfig": workload.administrator() });
        Self::with_control_plane(purpose, its).await
    }

    async fn with_control_plane(purpose: &str, its: Value) -> Self {
        let ns = Namespace::fresh(ClusterApi::shared().await.control_plane(), purpose).await;
        let fleet = Self { ns };
        let reference = |group: &str, kind: &str| json!({ "apiGroup": group, "kind": kind, "name": "c1" });
        let (infrastructure, control_plane) = ("infrastructure.cluster.x-k8s.io", "controlplane.cluster.x-k8s.io");
        fleet.apply(&object(infrastructure, "v1alpha1", "FooCluster", "c1", json!({}))).await;
        fleet.apply(&object(control_plane, "v1alpha1", "FooControlPlane", "c1", its)).await;
        let spec = json!({
            "infrastructureRef": reference(infrastructure, "FooCluster"),
            "controlPlaneRef": reference(control_plane, "FooControlPlane"),
        });
        fleet.apply(&object("cluster.x-k8s.io", "v1beta2", "Cluster", "c1", spec)).await;
        fleet
    }

    /// Makes a MachineDeployment with templates of its own and waits for its nodes.
    pub(crate) async fn machine_deployment(&self, name: &str, replicas: usize) {
        self.machine_deployment_with(name, replicas, &json!({ "team": "blue" })).await;
    }

    /// The same; its bootstrap configuration gives the nodes these labels.
    pub(crate) async fn machine_deployment_with(&self, name: &str, replicas: usize, node_labels: &Value) {
        let machine = json!({ "cpu": 4, "memory": "8Gi", "zone": "zone-b", "instanceType": "foo.large" });
        let template = json!({ "template": { "spec": machine } });
        self.apply(&object("infrastructure.cluster.x-k8s.io", "v1alpha1", "FooMachineTemplate", name, template)).await;
        let template = json!({ "template": { "spec": { "nodeLabels": node_labels } } });
        self.apply(&object("bootstrap.cluster.x-k8s.io", "v1alpha1", "FooConfigTemplate", name, template)).await;
        let mut pool = object(
            "cluster.x-k8s.io",
            "v1beta2",
            "MachineDeployment",
            name,
            json!({
                "clusterName": "c1",
                "replicas": replicas,
                "template": {
                    "metadata": { "labels": { "node.cluster.x-k8s.io/tier": "gold" } },
                    "spec": {
                        "clusterName": "c1",
                        "version": "v1.37.1",
                        "bootstrap": { "configRef":
                            { "apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "FooConfigTemplate", "name": name } },
                        "infrastructureRef":
                            { "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "FooMachineTemplate", "name": name },
                    },
                },
            }),
        );
        pool["metadata"]["labels"] = json!({ "env": "test" });
        self.apply(&pool).await;
        self.nodes_of(name, replicas).await;
    }

    /// Makes a MachinePool with an infrastructure pool and a bootstrap configuration of its own; waits for its nodes.
    pub(crate) async fn machine_pool(&self, name: &str, replicas: usize) {
        let template = json!({ "template": { "cpu": 4, "memory": "8Gi", "zone": "zone-c" } });
        self.apply(&object("infrastructure.cluster.x-k8s.io", "v1alpha1", "FooMachinePool", name, template)).await;
        let boot = json!({ "nodeLabels": { "team": "red" } });
        self.apply(&object("bootstrap.cluster.x-k8s.io", "v1alpha1", "FooConfig", name, boot)).await;
        let reference = |group: &str, kind: &str| json!({ "apiGroup": group, "kind": kind, "name": name });
        let spec = json!({
            "clusterName": "c1",
            "replicas": replicas,
            "template": { "spec": {
                "clusterName": "c1",
                "version": "v1.37.1",
                "bootstrap": { "configRef": reference("bootstrap.cluster.x-k8s.io", "FooConfig") },
                "infrastructureRef": reference("infrastructure.cluster.x-k8s.io", "FooMachinePool"),
            } },
        });
        self.apply(&object("cluster.x-k8s.io", "v1beta2", "MachinePool", name, spec)).await;
        let what = format!("{name} has {replicas} ready nodes");
        eventually(&what, DEADLINE, || async {
            let pool = self.get("machinepools.cluster.x-k8s.io", name).await;
            pool.is_some_and(|pool| pool["status"]["readyReplicas"].as_u64() == Some(replicas as u64))
        })
        .await;
    }

    /// Makes a Cluster called `c2` of a ClusterClass, with a worker pool that is a MachineDeployment; waits for its nodes.
    pub(crate) async fn topology(&self, name: &str, replicas: usize) {
        self.topology_with(json!({ "machineDeployments": [worker("w", name, replicas)] }), replicas).await;
        self.nodes_of(&self.of_topology(name).await, replicas).await;
    }

    /// The same with a worker pool that is a MachinePool.
    pub(crate) async fn topology_of_machine_pools(&self, name: &str, replicas: usize) {
        self.topology_with(json!({ "machinePools": [worker("p", name, replicas)] }), replicas).await;
    }

    async fn topology_with(&self, workers: Value, replicas: usize) {
        let (infrastructure, bootstrap) = ("infrastructure.cluster.x-k8s.io", "bootstrap.cluster.x-k8s.io");
        let control_plane = "controlplane.cluster.x-k8s.io";
        let empty = || json!({ "template": { "spec": {} } });
        let machine = json!({ "template": { "spec": { "cpu": 4, "memory": "8Gi", "zone": "zone-a" } } });
        let boot = json!({ "template": { "spec": { "nodeLabels": { "team": "topo" } } } });
        self.apply(&object(infrastructure, "v1alpha1", "FooClusterTemplate", "cc", empty())).await;
        self.apply(&object(control_plane, "v1alpha1", "FooControlPlaneTemplate", "cc", empty())).await;
        self.apply(&object(infrastructure, "v1alpha1", "FooMachineTemplate", "cc", machine)).await;
        let pool = json!({ "template": { "spec": { "template": { "cpu": 4, "memory": "8Gi", "zone": "zone-c" } } } });
        self.apply(&object(infrastructure, "v1alpha1", "FooMachinePoolTemplate", "cc", pool)).await;
        self.apply(&object(bootstrap, "v1alpha1", "FooConfigTemplate", "cc", boot)).await;
        let reference = |group: &str, kind: &str| json!({ "templateRef": { "apiVersion": format!("{group}/v1alpha1"), "kind": kind, "name": "cc" } });
        let class = json!({
            "infrastructure": reference(infrastructure, "FooClusterTemplate"),
            "controlPlane": reference(control_plane, "FooControlPlaneTemplate"),
            "workers": { "machineDeployments": [{
                "class": "w",
                "bootstrap": reference(bootstrap, "FooConfigTemplate"),
                "infrastructure": reference(infrastructure, "FooMachineTemplate"),
            }], "machinePools": [{
                "class": "p",
                "bootstrap": reference(bootstrap, "FooConfigTemplate"),
                "infrastructure": reference(infrastructure, "FooMachinePoolTemplate"),
            }] },
        });
        self.apply(&object("cluster.x-k8s.io", "v1beta2", "ClusterClass", "cc", class)).await;
        let cluster = json!({ "topology": {
            "classRef": { "name": "cc" },
            "version": "v1.37.1",
            "controlPlane": { "replicas": 1 },
            "workers": workers,
        } });
        self.apply(&object("cluster.x-k8s.io", "v1beta2", "Cluster", "c2", cluster)).await;
        self.until_nodes("the topology's nodes are there", |count| count == replicas).await;
    }

    /// The name of the MachineDeployment that a topology's controller made for a worker pool.
    pub(crate) async fn of_topology(&self, name: &str) -> String {
        let label = format!("topology.cluster.x-k8s.io/deployment-name={name}");
        let found = self.list("machinedeployments.cluster.x-k8s.io", &label).await;
        found[0]["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Whether the topology's controller is content with Cluster `c2`.
    pub(crate) async fn topology_is_reconciled(&self) -> bool {
        let cluster = self.get("clusters.cluster.x-k8s.io", "c2").await.unwrap();
        let conditions = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "TopologyReconciled" && one["status"] == "True")
    }

    /// Waits until a MachineDeployment has so many available nodes.
    pub(crate) async fn nodes_of(&self, name: &str, count: usize) {
        let what = format!("{name} has {count} available nodes");
        eventually(&what, DEADLINE, || async {
            self.get("machinedeployments.cluster.x-k8s.io", name)
                .await
                .is_some_and(|pool| pool["status"]["availableReplicas"].as_u64() == Some(count as u64))
        })
        .await;
    }

    pub(crate) async fn apply(&self, object: &Value) {
        objects::apply(&self.ns, object).await;
    }

    pub(crate) async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        objects::get(&self.ns, resource, name).await
    }

    pub(crate) async fn list(&self, resource: &str, label: &str) -> Vec<Value> {
        objects::list(&self.ns, resource, label).await
    }

    /// How many nodes this test's pools have.
    pub(crate) async fn node_count(&self) -> usize {
        let selector = format!("handover.test/namespace={}", self.ns.name());
        let run = Kubectl::run(&self.ns, ["get", "nodes", "-o", "name", "-l", &selector]).await.expect_code(0);
        run.stdout.lines().count()
    }

    /// Waits until this test's pools have a number of nodes that is right.
    pub(crate) async fn until_nodes(&self, what: &str, is_right: impl Fn(usize) -> bool) {
        eventually(what, DEADLINE, || async { is_right(self.node_count().await) }).await;
    }

    pub(crate) async fn naive_copy(&self, resource: &str, name: &str, copy: &str) {
        objects::naive_copy(&self.ns, resource, name, copy).await;
    }

    /// Reads the names of all of the objects that pools are made of, to compare.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let kinds = "machinedeployments.cluster.x-k8s.io,machinepools.cluster.x-k8s.io,machinesets.cluster.x-k8s.io,\
                     machines.cluster.x-k8s.io,foomachinetemplates,fooconfigtemplates,foomachinepools,fooconfigs,\
                     foomachines";
        let run = Kubectl::run(&self.ns, ["get", kinds, "-o", "name"]).await.expect_code(0);
        run.stdout.lines().map(str::to_owned).collect()
    }

    /// Starts to describe a run about pools of this test's namespace.
    pub(crate) fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Plugin::poolcopy(&self.ns).args(["-n", self.ns.name()]).args(arguments)
    }
}

/// An entry of a topology.
fn worker(class: &str, name: &str, replicas: usize) -> Value {
    let labels = json!({ "labels": { "node.cluster.x-k8s.io/tier": "gold" } });
    json!({ "class": class, "name": name, "replicas": replicas, "metadata": labels })
}

pub(crate) fn object(group: &str, version: &str, kind: &str, name: &str, spec: impl Into<Value>) -> Value {
    json!({ "apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": { "name": name }, "spec": spec.into() })
}

impl Ground for Fleet {
    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Self::poolcopy(self, arguments)
    }

    async fn pools(&self) -> Vec<String> {
        objects::names(&self.ns, "machinedeployments.cluster.x-k8s.io", "").await
    }

    async fn pool(&self, name: &str) -> Value {
        self.get("machinedeployments.cluster.x-k8s.io", name).await.unwrap()
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        let machines =
            self.list("machines.cluster.x-k8s.io", &format!("cluster.x-k8s.io/deployment-name={pool}")).await;
        machines.iter().map(|machine| machine["status"]["nodeRef"]["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn objects(&self) -> Vec<String> {
        let mut names = Self::objects(self).await;
        names.resize(names.len() + self.node_count().await, "node".to_owned());
        names
    }
}

/// A fleet whose one pool is a MachinePool.
pub(crate) struct MachinePools(pub(crate) Fleet);

impl Ground for MachinePools {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        self.0.poolcopy(arguments)
    }

    async fn pools(&self) -> Vec<String> {
        objects::names(&self.0.ns, "machinepools.cluster.x-k8s.io", "").await
    }

    async fn pool(&self, name: &str) -> Value {
        self.0.get("machinepools.cluster.x-k8s.io", name).await.unwrap()
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        let pool = self.pool(pool).await;
        let nodes = pool["status"]["nodeRefs"].as_array().cloned().unwrap_or_default();
        nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn objects(&self) -> Vec<String> {
        Ground::objects(&self.0).await
    }
}

/// A fleet whose one pool is an entry in the topology of Cluster `c2`.
pub(crate) struct Topology(pub(crate) Fleet);

impl Topology {
    async fn entries(&self) -> (Value, Vec<Value>) {
        let cluster = self.0.get("clusters.cluster.x-k8s.io", "c2").await.unwrap();
        let entries = cluster["spec"]["topology"]["workers"]["machineDeployments"].as_array().cloned();
        (cluster, entries.unwrap_or_default())
    }
}

impl Ground for Topology {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        self.0.poolcopy(arguments)
    }

    async fn pools(&self) -> Vec<String> {
        self.entries().await.1.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn pool(&self, _: &str) -> Value {
        let (mut cluster, _) = self.entries().await;
        // The Cluster keeps the marks of all of its entries in one annotation.
        let marks = cluster["metadata"]["annotations"]["handover/copies"].clone();
        cluster["metadata"]["annotations"]["handover/copy"] = marks;
        cluster
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        let label = format!("topology.cluster.x-k8s.io/deployment-name={pool}");
        let machines = self.0.list("machines.cluster.x-k8s.io", &label).await;
        machines.iter().map(|machine| machine["status"]["nodeRef"]["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn objects(&self) -> Vec<String> {
        Ground::objects(&self.0).await
    }
}
