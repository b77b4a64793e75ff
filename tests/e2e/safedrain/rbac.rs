//! The roles in docs/rbac/safedrain.yaml are enough, and none of their rights is for nothing.

use std::fs;

use e2e::{ControlPlane, EndpointRecorder, Grant, Kubectl, Namespace, Plugin, Roles, Run, User};
use kube::ResourceExt;
use serde_json::json;

/// Nodes and workloads that use every right of the roles.
struct Shop {
    ns: Namespace,
    old: String,
}

impl Shop {
    async fn open(purpose: &str) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        ns.deployment("web").ready().await;
        ns.stateful_set("db").ready().await;
        ns.daemon_set("log").ready().await;
        ns.ready_endpoints("web", 1).await;
        Self { ns, old }
    }

    /// Adds a budget under which the only replica can be handed over and not evicted.
    async fn with_budget(self) -> Self {
        self.ns.budget("web").min_available(1).ready().await;
        self
    }

    /// Adds a Deployment whose pod mounts a claim that many nodes may mount at a time.
    async fn with_claim(self) -> Self {
        let name = format!("{}-shared", self.ns.name());
        let volume = json!({ "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                             "hostPath": { "path": "/shared" } });
        let claim = json!({ "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name,
                            "resources": { "requests": { "storage": "1Gi" } } });
        let object = |kind: &str, name: &str, spec| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        self.ns.create(object("PersistentVolume", &name, volume)).await;
        self.ns.create(object("PersistentVolumeClaim", "shared", claim)).await;
        self.ns
            .deployment("files")
            .edit_pod(|pod| {
                let claim = json!({ "name": "shared", "persistentVolumeClaim": { "claimName": "shared" } });
                pod["spec"]["volumes"] = json!([claim]);
            })
            .ready()
            .await;
        self
    }

    /// Adds a ReplicationController, of which most clusters have none.
    async fn with_replication_controller(self) -> Self {
        let labels = json!({ "app": "old-school" });
        let selector = json!({ e2e::NAMESPACE_LABEL: self.ns.name() });
        let spec = json!({ "nodeSelector": selector, "containers": [{ "name": "main", "image": "app:1" }] });
        self.ns
            .create(json!({
                "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "old-school" },
                "spec": { "selector": labels, "template": { "metadata": { "labels": labels }, "spec": spec } },
            }))
            .await;
        self.ns
            .until("app=old-school", "its pod is up", |pods: &[k8s_openapi::api::core::v1::Pod]| {
                pods.iter().any(e2e::workload::is_pod_ready)
            })
            .await;
        self
    }

    async fn run(&self, user: &User, arguments: &[&str]) -> Run {
        Plugin::safedrain(&self.ns).args([self.old.as_str(), "--settle=0s"]).args(arguments).user(user).run().await
    }

    async fn changes(&self, user: &User) -> Vec<String> {
        let audit = e2e::AuditLog::of_user(self.ns.control_plane(), &user.name).await;
        audit.changes().into_iter().map(e2e::AuditEvent::summary).collect()
    }
}

#[tokio::test]
async fn the_roles_of_the_file_are_enough_for_a_whole_drain_its_undo_and_the_status() {
    let Shop { ns, old } = Shop::open("roles").await.with_budget().await.with_claim().await;
    let Shop { ns, old } = Shop { ns, old }.with_replication_controller().await;
    let user = ns.limited_user();
    Kubectl::run(&ns, ["apply", "-f", &Roles::path("safedrain")]).await.expect_code(0);
    let bind = |arguments: [&str; 4]| {
        let user = format!("--user={}", user.name);
        Kubectl::command(&ns, ["create"]).args(arguments).args([user])
    };
    let plans = format!("{}-plans", ns.name());
    let drains = format!("{}-drains", ns.name());
    let locks = format!("{}-locks", ns.name());
    let role = ["clusterrolebinding", plans.as_str(), "--clusterrole=handover-safedrain-plan", "-o=name"];
    bind(role).run().await.expect_code(0);
    let role = ["clusterrolebinding", drains.as_str(), "--clusterrole=handover-safedrain", "-o=name"];
    bind(role).run().await.expect_code(0);
    let role = ["rolebinding", locks.as_str(), "--role=handover-safedrain-lock", "--namespace=kube-node-lease"];
    bind(role).run().await.expect_code(0);
    Roles::read("safedrain").until_granted(&ns, &user).await;
    // The right to one ConfigMap by its name is not one that the server can be asked about like this.
    let rehearsal = Roles::read("rehearsal");
    let by_name = rehearsal.grants().into_iter().find(|grant| grant.resource == "configmaps").unwrap();
    rehearsal.without(&by_name).bind(&ns, &user).await;
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let shop = Shop { ns, old };
    let run = shop.run(&user, &[]).await.expect_code(0);
    let status = shop.run(&user, &["--status"]).await.expect_code(0);
    let undo = shop.run(&user, &["--undo"]).await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{run}");
    assert!(!run.stderr.contains("annotation"), "the lock is a lease: {run}");
    assert!(run.stdout.contains("evicting pod") && run.stdout.contains("/db-0"), "{run}");
    assert!(status.stdout.contains("drained"), "{status}");
    assert!(undo.stdout.contains("uncordoned"), "{undo}");
    let audit = e2e::AuditLog::of_user(shop.ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(e2e::AuditEvent::summary).collect();
    assert!(denied.is_empty(), "{denied:?}");
}

#[tokio::test]
async fn the_role_to_plan_alone_shows_the_plan_and_what_the_run_would_miss() {
    let shop = Shop::open("plan-role").await;
    let user = shop.ns.limited_user();
    Roles::read("safedrain").only("handover-safedrain-plan").bind(&shop.ns, &user).await;
    let dry = shop.run(&user, &["--dry-run=client"]).await.expect_code(3);
    assert!(dry.stdout.contains("StatefulSet/db"), "{dry}");
    assert!(dry.stderr.contains("you may not patch nodes; nor create pods/eviction in "), "{dry}");
    assert!(dry.stderr.contains("docs/rbac/safedrain.yaml"), "{dry}");
    shop.run(&user, &["--status"]).await.expect_code(0);
    let run = shop.run(&user, &[]).await.expect_code(3);
    assert!(run.stderr.contains("nothing was changed"), "{run}");
    assert_eq!(shop.changes(&user).await, Vec::<String>::new());
}

/// One row of the table in docs/rbac.md.
#[derive(Debug)]
struct Row {
    right: String,
    arguments: Vec<String>,
    code: i32,
    says: String,
}

fn rows() -> Vec<Row> {
    let path = format!("{}/../docs/rbac.md", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        let mut cell = || cells.next().expect("a row has four cells");
        Row {
            right: cell(),
            arguments: cell().split_whitespace().skip(1).map(str::to_owned).collect(),
            code: cell().parse().unwrap(),
            says: cell(),
        }
    })
    .collect()
}

#[tokio::test]
async fn without_one_right_the_run_does_what_the_table_says() {
    let roles = Roles::read("safedrain");
    let mut rows = rows();
    let unknown: Vec<_> = roles.grants().iter().map(Grant::to_string).collect();
    rows.retain(|row| {
        assert!(unknown.contains(&row.right), "docs/rbac.md has a row for a right that is not in the file: {row:?}");
        true
    });
    // What is refused changes nothing, so all of it may be tried on one node.
    let refused = Shop::open("one-less").await.with_budget().await.with_claim().await;
    let refused = refused.with_replication_controller().await;
    for grant in roles.grants() {
        let found: Vec<_> = rows.iter().filter(|row| row.right == grant.to_string()).collect();
        let [row] = found.as_slice() else {
            panic!("docs/rbac.md needs one row for `{grant}`, and has {}", found.len())
        };
        let arguments: Vec<_> = row.arguments.iter().map(String::as_str).collect();
        if row.code == 3 {
            let user = refused.ns.limited_user();
            roles.without(&grant).bind(&refused.ns, &user).await;
            let run = refused.run(&user, &arguments).await.expect_code(3);
            assert!(run.stderr.contains(&row.says), "without {grant}: {run}");
            assert!(run.stderr.contains("kubectl auth can-i"), "without {grant}: {run}");
            assert!(run.stderr.contains("docs/rbac/safedrain.yaml"), "without {grant}: {run}");
            assert_eq!(refused.changes(&user).await, Vec::<String>::new(), "without {grant}: {run}");
        } else {
            let shop = Shop::open("degraded").await;
            shop.ns.node("new").create().await;
            let user = shop.ns.limited_user();
            roles.without(&grant).bind(&shop.ns, &user).await;
            let code = row.code;
            let run = shop.run(&user, &arguments).await.expect_code(code);
            assert!(run.stderr.contains(&row.says), "without {grant}: {run}");
            shop.run(&user, &["--undo"]).await.expect_code(0);
            let node = shop.ns.nodes().get(&shop.old).await.unwrap();
            let ours: Vec<_> = node.annotations().keys().filter(|key| key.starts_with("handover/")).collect();
            assert!(ours.is_empty(), "without {grant}: {ours:?}");
        }
    }
}

#[tokio::test]
async fn a_pod_that_only_a_handover_could_move_is_refused_with_the_right_that_is_missing() {
    let shop = Shop::open("no-handover").await.with_budget().await;
    let roles = Roles::read("safedrain");
    let patch = roles.grants().into_iter().find(|grant| grant.to_string() == "patch pods").unwrap();
    let user = shop.ns.limited_user();
    roles.without(&patch).bind(&shop.ns, &user).await;
    let run = shop.run(&user, &[]).await.expect_code(3);
    let told = "never allows an eviction; it cannot be handed over instead: you may not patch pods in its namespace";
    assert!(run.stderr.contains(told), "{run}");
    assert_eq!(shop.changes(&user).await, Vec::<String>::new());
}

#[tokio::test]
async fn undo_without_a_right_is_refused_before_it_changes_anything() {
    let shop = Shop::open("undo-rights").await;
    shop.ns.node("new").create().await;
    Plugin::safedrain(&shop.ns).args([shop.old.as_str(), "--settle=0s"]).run().await.expect_code(0);
    let roles = Roles::read("safedrain");
    let patch = roles.grants().into_iter().find(|grant| grant.to_string() == "patch nodes").unwrap();
    let user = shop.ns.limited_user();
    roles.without(&patch).bind(&shop.ns, &user).await;
    let run = shop.run(&user, &["--undo"]).await.expect_code(3);
    assert!(run.stderr.contains("you may not patch nodes"), "{run}");
    assert_eq!(shop.changes(&user).await, Vec::<String>::new());
}
