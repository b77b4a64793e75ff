//! Pools of nodes that somebody joins by hand: the new ones get what the old ones have in common.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::workload::is_pod_ready;
use e2e::{ControlPlane, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::objects::{follow_advice, get, list, names};
use crate::shop::Shop;

/// A test's nodes that somebody joined.
pub(crate) struct Rack {
    ns: Namespace,
    joins: AtomicUsize,
}

impl Rack {
    pub(crate) async fn open(purpose: &str) -> Self {
        Self { ns: Namespace::fresh(ControlPlane::shared(), purpose).await, joins: AtomicUsize::new(0) }
    }

    /// The pool as it is typed. Labels are the whole cluster's, so its value is the test's own.
    pub(crate) fn pool(&self, value: &str) -> String {
        format!("example.test/pool={}-{value}", self.ns.name())
    }

    /// An old node, of the pool `blue`.
    pub(crate) async fn old(&self, name: &str) -> String {
        let value = format!("{}-blue", self.ns.name());
        let node = self.ns.node(name).label("example.test/pool", &value).label("team", "shop").label("disk", name);
        node.taint("dedicated", "shop", "NoSchedule").zone("z1").create().await
    }

    /// A node that somebody has joined.
    fn joined(&self, name: &str) -> e2e::node::NodeBuilder<'_> {
        self.ns.node(name).label("rack", self.ns.name()).label("team", "spare")
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Plugin::poolcopy(&self.ns).args([self.pool("blue")]).args(arguments)
    }

    fn selector(&self) -> String {
        format!("--nodes-match=rack={}", self.ns.name())
    }

    async fn node(&self, name: &str) -> Value {
        get(&self.ns, "nodes", name).await.unwrap()
    }
}

impl Ground for Rack {
    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        let run = Plugin::poolcopy(&self.ns).args(arguments);
        if arguments.len() == 1 { run.args([self.selector()]) } else { run }
    }

    async fn pools(&self) -> Vec<String> {
        let label = format!("handover.test/namespace={}", self.ns.name());
        let nodes = list(&self.ns, "nodes", &label).await;
        let values = nodes.iter().filter_map(|node| node["metadata"]["labels"]["example.test/pool"].as_str());
        let pools: BTreeSet<_> = values.map(|value| format!("example.test/pool={value}")).collect();
        pools.into_iter().collect()
    }

    async fn pool(&self, name: &str) -> Value {
        list(&self.ns, "nodes", name).await[0].clone()
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        names(&self.ns, "nodes", pool).await
    }

    /// What of the nodes a copy changes.
    async fn objects(&self) -> Vec<String> {
        let nodes = list(&self.ns, "nodes", &format!("handover.test/namespace={}", self.ns.name())).await;
        let told = |node: &Value| {
            let metadata = &node["metadata"];
            json!([metadata["name"], metadata["labels"], metadata["annotations"], node["spec"]["taints"]]).to_string()
        };
        nodes.iter().map(told).collect()
    }

    /// Somebody joins a node, where none waits.
    async fn prepare(&self) {
        let rack = names(&self.ns, "nodes", &format!("rack={},!example.test/pool", self.ns.name())).await;
        if rack.is_empty() {
            let number = self.joins.fetch_add(1, Ordering::Relaxed);
            // A node that was joined for an earlier copy is a pool's by now, and is not to be chosen again.
            for node in names(&self.ns, "nodes", &format!("rack={}", self.ns.name())).await {
                Kubectl::run(&self.ns, ["label", "node", &node, "rack-"]).await.expect_code(0);
            }
            self.joined(&format!("new-{number}")).create().await;
        }
    }

    /// Its nodes are switched off.
    async fn clear_away(&self, nodes: &[String]) {
        for node in nodes {
            Kubectl::run(&self.ns, ["delete", "node", node]).await.expect_code(0);
        }
        self.prepare().await;
    }
}

#[tokio::test]
async fn nodes_that_join_become_the_copy_and_take_the_work_over() {
    let rack = Rack::open("joined").await;
    for name in ["old-1", "old-2"] {
        rack.old(name).await;
    }
    let tolerant = |pod: &mut Value| pod["spec"]["tolerations"] = json!([{ "key": "dedicated", "operator": "Exists" }]);
    let shop = Shop::of(&rack.ns, 2, |web| web.edit_pod(tolerant)).await;
    let agent = rack.ns.daemon_set("agent").ready_after("3s").edit_pod(tolerant);
    agent.create().await;
    rack.ns
        .until::<Pod>("app=agent", "the old nodes have their agents", |pods| {
            pods.iter().filter(|pod| is_pod_ready(pod)).count() == 2
        })
        .await;
    let first = rack.joined("new-1").create().await;
    let user = rack.ns.limited_user();
    e2e::Roles::read("poolcopy").bind(&rack.ns, &user).await;

    let refused = rack.poolcopy(&[]).user(&user).run().await.expect_code(3);
    assert!(refused.stderr.contains("each new node needs at least 32 cpu, 128Gi"), "{refused}");
    assert!(refused.stderr.contains("--nodes-match SELECTOR"), "{refused}");

    let copy = rack.poolcopy(&[&rack.selector()]).user(&user).spawn();
    copy.stderr_contains(&format!("node {first} is ready (1 of 2)")).await;
    let second = rack.joined("new-2").create().await;
    let copied = copy.wait().await.expect_code(0);
    let agents = rack.ns.pods("app=agent").await;
    assert!(
        agents.len() == 4 && agents.iter().all(is_pod_ready),
        "a node without its agent is not ready for work: {copied}"
    );
    for name in [&first, &second] {
        let node = rack.node(name).await;
        let labels = &node["metadata"]["labels"];
        assert_eq!(labels["example.test/pool"], format!("{}-blue-2", rack.ns.name()), "{copied}");
        assert_eq!((&labels["team"], &labels["disk"]), (&json!("shop"), &Value::Null), "what all old nodes have");
        assert_eq!(node["spec"]["taints"][0]["key"], "dedicated", "{node}");
    }
    let again = rack.poolcopy(&[&rack.selector()]).user(&user).run().await.expect_code(0);
    assert!(again.stderr.contains("have been given everything"), "{again}");

    rack.poolcopy(&["--retire"]).user(&user).run().await.expect_code(3);
    follow_advice(&rack.ns, &copied).await;
    let retired = rack.poolcopy(&["--retire"]).user(&user).run().await.expect_code(0);
    shop.never_had_less().await;
    assert!(retired.stderr.contains("its nodes can be switched off and deleted"), "{retired}");
    for name in [&first, &second] {
        assert_eq!(rack.node(name).await["metadata"]["annotations"]["handover/copy"], Value::Null, "{retired}");
    }
    let audit = e2e::AuditLog::of_user(rack.ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(e2e::AuditEvent::summary).collect();
    assert!(denied.is_empty(), "the roles of the file are enough: {denied:#?}");
}

#[tokio::test]
async fn a_copy_that_is_taken_back_leaves_the_nodes_as_they_were() {
    let rack = Rack::open("back").await;
    rack.old("old-1").await;
    let small = rack.joined("new-1").capacity("16", "128Gi", 250).taint("mine", "", "PreferNoSchedule").create().await;
    let pinned = rack.ns.deployment("pinned").replicas(1).edit_pod(|pod| {
        pod["spec"]["nodeSelector"]["example.test/pool"] = json!(format!("{}-blue", rack.ns.name()));
        pod["spec"]["tolerations"] = json!([{ "key": "dedicated", "operator": "Exists" }]);
    });
    pinned.ready().await;
    let written = |node: &Value| json!([node["metadata"]["labels"], node["spec"]["taints"]]);
    let before = written(&rack.node(&small).await);
    let copied = rack.poolcopy(&[&rack.selector(), "--timeout=3s"]).run().await.expect_code(4);
    assert!(copied.stderr.contains("as much cpu as an old node has"), "{copied}");
    let told = "asks for the label example.test/pool=";
    assert!(copied.stderr.contains(told) && copied.stderr.contains("it can never run on"), "{copied}");
    assert_eq!(rack.node(&small).await["spec"]["taints"].as_array().unwrap().len(), 2, "{copied}");
    let undone = rack.poolcopy(&["--undo"]).run().await.expect_code(0);
    assert_eq!(written(&rack.node(&small).await), before, "{undone}");
    let again = rack.poolcopy(&["--undo"]).run().await.expect_code(0);
    assert!(again.stderr.contains("nothing is left to do"), "{again}");
}

#[tokio::test]
async fn a_node_of_another_pool_is_not_taken() {
    let rack = Rack::open("taken").await;
    rack.old("old-1").await;
    let red = format!("{}-red", rack.ns.name());
    let name = rack.joined("new-1").label("example.test/pool", &red).create().await;
    let refused = rack.poolcopy(&[&rack.selector()]).run().await.expect_code(3);
    assert!(refused.stderr.contains(&format!("node {name}")) && refused.stderr.contains(&red), "{refused}");
    let spare = rack.joined("new-2").label("spare", "yes").create().await;
    let taken = rack.poolcopy(&["--nodes-match=spare=yes", "--name", &red]).run().await.expect_code(3);
    assert!(taken.stderr.contains(&format!("(node {name}) exists already")), "{taken}");
    assert!(rack.node(&spare).await["metadata"]["annotations"]["handover/copy"].is_null(), "{taken}");
    for arguments in [["--nodes-match="], ["--nodes-match=a in"]] {
        rack.poolcopy(&arguments).run().await.expect_code(2);
    }
    let unknown = Plugin::poolcopy(&rack.ns).args([&*rack.pool("none"), &rack.selector()]).run().await.expect_code(3);
    assert!(unknown.stderr.contains("poolcopy --list"), "{unknown}");
}
