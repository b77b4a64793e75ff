//! NodePools on the genuine Karpenter: copy, hand over, retire; and what a naive copy does.

use std::time::Duration;

use e2e::{Karpenter, Kubectl, Namespace, Plugin, Roles, eventually};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::objects::{apply, follow_advice, follow_all_advice, get, list, naive_copy, names, written};
use crate::shop::Shop;

const POOLS: &str = "nodepools.karpenter.sh";
const CLAIMS: &str = "nodeclaims.karpenter.sh";
const DEADLINE: Duration = Duration::from_secs(90);

/// A test's NodePools: they live in no namespace, so each name begins with that of the test's.
pub(crate) struct Grove {
    ns: Namespace,
}

impl Grove {
    pub(crate) async fn open(purpose: &str) -> Self {
        Self { ns: Namespace::fresh(Karpenter::shared().await.control_plane(), purpose).await }
    }

    fn name(&self, pool: &str) -> String {
        format!("{}-{pool}", self.ns.name())
    }

    /// Makes a NodePool; static with a size. Returns its name.
    pub(crate) async fn pool(&self, pool: &str, size: Option<u32>) -> String {
        let name = self.name(pool);
        let mut spec = json!({
            "template": {
                "metadata": { "labels": { "handover.test/namespace": self.ns.name(), "team": "blue" } },
                "spec": {
                    "requirements": [
                        { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c-4x-amd64-linux"] },
                        { "key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"] },
                    ],
                    "nodeClassRef": { "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" },
                    "expireAfter": "Never",
                },
            },
        });
        if let Some(size) = size {
            spec["replicas"] = json!(size);
        } else {
            spec["disruption"] = json!({ "consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never" });
            spec["limits"] = json!({ "cpu": "100" });
        }
        let object =
            json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name }, "spec": spec });
        apply(&self.ns, &object).await;
        eventually("Karpenter takes the pool", DEADLINE, || async {
            let pool = get(&self.ns, POOLS, &name).await.unwrap();
            let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        })
        .await;
        name
    }

    /// Pods of which two fit on a node, behind a Service and a budget that spares none.
    async fn shop(&self, replicas: u32) -> Shop {
        Shop::of(&self.ns, replicas, |web| web.requests("1500m", "100Mi").max_surge(replicas)).await
    }

    /// The names of the nodes of a pool.
    async fn nodes(&self, pool: &str) -> Vec<String> {
        names(&self.ns, "nodes", &format!("karpenter.sh/nodepool={pool}")).await
    }

    async fn claims(&self, pool: &str) -> Vec<Value> {
        list(&self.ns, CLAIMS, &format!("karpenter.sh/nodepool={pool}")).await
    }

    /// A pool as it would stand in a repository, under a name.
    async fn clean(&self, pool: &str, name: &str) -> Value {
        let object = get(&self.ns, POOLS, pool).await.unwrap();
        let metadata = json!({ "name": name, "labels": object["metadata"]["labels"] });
        json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "spec": object["spec"] })
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Plugin::poolcopy(&self.ns).args(arguments)
    }

    /// Waits until a static pool has so many nodes, and says so.
    pub(crate) async fn until_counted(&self, pool: &str, count: usize) {
        eventually(&format!("{pool} has {count} nodes"), DEADLINE, || async {
            let counted = get(&self.ns, POOLS, pool).await.unwrap()["status"]["nodes"] == count;
            counted && self.nodes(pool).await.len() == count
        })
        .await;
    }
}

impl Ground for Grove {
    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Self::poolcopy(self, arguments)
    }

    async fn pools(&self) -> Vec<String> {
        let mut names = names(&self.ns, POOLS, "").await;
        names.retain(|name| name.starts_with(self.ns.name()));
        names
    }

    async fn pool(&self, name: &str) -> Value {
        get(&self.ns, POOLS, name).await.unwrap()
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        Self::nodes(self, pool).await
    }

    async fn objects(&self) -> Vec<String> {
        let mut all = Ground::pools(self).await;
        for claim in list(&self.ns, CLAIMS, "").await {
            let name = claim["metadata"]["name"].as_str().unwrap();
            all.extend(name.starts_with(self.ns.name()).then(|| name.to_owned()));
        }
        all.extend(names(&self.ns, "nodes", &format!("handover.test/namespace={}", self.ns.name())).await);
        all
    }
}

#[tokio::test]
async fn a_dynamic_pool_is_copied_its_work_makes_the_copys_nodes_and_then_it_is_retired() {
    let grove = Grove::open("grow").await;
    let blue = grove.pool("blue", None).await;
    let shop = grove.shop(4).await;
    let nodes = grove.nodes(&blue).await;
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    let before = get(&grove.ns, POOLS, &blue).await.unwrap();
    let user = grove.ns.limited_user();
    Roles::read("poolcopy").bind(&grove.ns, &user).await;

    // Seen, with nothing changed.
    grove.poolcopy(&[&blue, "--dry-run=server"]).user(&user).run().await.expect_code(0);
    assert_eq!(written(&get(&grove.ns, POOLS, &blue).await.unwrap()), written(&before));
    let copied = grove.poolcopy(&[&blue]).user(&user).run().await.expect_code(0);
    assert!(copied.stderr.contains("makes nodes when pods ask for them, and is identical"), "{copied}");
    let copy = format!("{blue}-2");
    let frozen = get(&grove.ns, POOLS, &blue).await.unwrap();
    assert_eq!(frozen["spec"]["template"], before["spec"]["template"]);
    assert_eq!(frozen["spec"]["limits"]["cpu"], "0", "{copied}");
    assert_eq!(get(&grove.ns, POOLS, &copy).await.unwrap()["spec"], before["spec"], "the copy is as the source was");
    let again = grove.poolcopy(&[&blue]).user(&user).run().await.expect_code(0);
    assert!(again.stderr.contains("The copy has been made already"), "{again}");

    let refused = grove.poolcopy(&[&blue, "--retire"]).user(&user).run().await.expect_code(3);
    assert!(refused.stderr.contains("is not empty"), "{refused}");
    let drained = follow_advice(&grove.ns, &copied).await;
    assert_eq!(grove.nodes(&blue).await, nodes, "no node of the old pool came or went");
    assert!(!grove.nodes(&copy).await.is_empty() && !drained.stderr.contains("outside"), "{drained}");
    let retired = grove.poolcopy(&[&blue, "--retire"]).user(&user).run().await.expect_code(0);

    shop.never_had_less().await;
    assert!(get(&grove.ns, POOLS, &blue).await.is_none() && grove.claims(&blue).await.is_empty(), "{retired}");
    assert!(grove.nodes(&blue).await.is_empty(), "{retired}");
    let copy = get(&grove.ns, POOLS, &copy).await.unwrap();
    assert_eq!(copy["metadata"]["annotations"]["handover/copy"], Value::Null, "a pool like any other");
    let audit = e2e::AuditLog::of_user(grove.ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(e2e::AuditEvent::summary).collect();
    assert!(denied.is_empty(), "the roles of the file are enough: {denied:#?}");
}

#[tokio::test]
async fn a_static_pool_is_copied_at_its_size_taken_back_copied_again_and_takes_the_work_over() {
    let grove = Grove::open("static").await;
    let blue = grove.pool("blue", Some(2)).await;
    grove.until_counted(&blue, 2).await;
    let before = get(&grove.ns, POOLS, &blue).await.unwrap();
    let copy = format!("{blue}-2");
    grove.poolcopy(&[&blue]).run().await.expect_code(0);
    assert_eq!(grove.nodes(&copy).await.len(), 2);
    let undone = grove.poolcopy(&[&blue, "--undo"]).run().await.expect_code(0);
    assert!(get(&grove.ns, POOLS, &copy).await.is_none() && grove.nodes(&copy).await.is_empty(), "{undone}");
    let after = get(&grove.ns, POOLS, &blue).await.unwrap();
    assert_eq!(after["spec"], before["spec"], "what was frozen is given back");

    let shop = grove.shop(4).await;
    grove.poolcopy(&[&blue]).run().await.expect_code(0);
    let refused = grove.poolcopy(&[&blue, "--retire"]).run().await.expect_code(3);
    follow_advice(&grove.ns, &refused).await;
    grove.poolcopy(&[&blue, "--retire"]).run().await.expect_code(0);
    shop.never_had_less().await;
    assert!(grove.nodes(&blue).await.is_empty());
    assert_eq!(grove.nodes(&copy).await.len(), 2);
}

/// Of pools with one weight the later name wins, so the work that leaves a pool comes back to it.
#[tokio::test]
async fn without_the_end_of_the_sources_growth_its_work_comes_back_to_it() {
    let grove = Grove::open("weight").await;
    let blue = grove.pool("blue", None).await;
    let shop = grove.shop(2).await;
    let nodes = grove.nodes(&blue).await;
    let naive = grove.name("a-naive");
    naive_copy(&grove.ns, POOLS, &blue, &naive).await;
    // The harm: make before break as well, and the new node is one of the old pool.
    let drain = Plugin::safedrain(&grove.ns).args(["--settle=0s"]).args(&nodes).run().await.expect_code(0);
    let after = grove.nodes(&blue).await;
    assert!(after.len() > nodes.len() && grove.nodes(&naive).await.is_empty(), "{after:?} {drain}");
    Kubectl::run(&grove.ns, ["delete", POOLS, &naive]).await.expect_code(0);

    let ours = grove.name("a-ours");
    let copied = grove.poolcopy(&[&blue, &format!("--name={ours}")]).run().await.expect_code(0);
    follow_advice(&grove.ns, &copied).await;
    assert_eq!(grove.nodes(&blue).await.len(), after.len(), "no node more");
    assert!(!grove.nodes(&ours).await.is_empty());

    // And all the way back, by the words of the refusal: the old pool grows and takes work again.
    let refused = grove.poolcopy(&[&blue, "--undo"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("--thaw") && refused.stderr.contains("uncordon"), "{refused}");
    follow_all_advice(&grove.ns, &refused).await;
    grove.poolcopy(&[&blue, "--undo"]).run().await.expect_code(0);
    assert!(get(&grove.ns, POOLS, &ours).await.is_none() && grove.nodes(&ours).await.is_empty());
    let source = get(&grove.ns, POOLS, &blue).await.unwrap();
    assert_eq!(source["spec"]["limits"]["cpu"], "100", "{source}");
    shop.never_had_less().await;
}

/// Whoever edits the old pool's template, be it one label, has its nodes replaced at once.
#[tokio::test]
async fn the_template_of_the_old_pool_is_never_touched() {
    let grove = Grove::open("drift").await;
    let blue = grove.pool("blue", None).await;
    grove.ns.deployment("web").replicas(1).requests("1500m", "100Mi").ready().await;
    let drifted = || async {
        let claims = grove.claims(&blue).await;
        let conditions =
            claims.iter().flat_map(|claim| claim["status"]["conditions"].as_array().cloned().unwrap_or_default());
        conditions.into_iter().any(|one| one["type"] == "Drifted" && one["status"] == "True")
    };
    grove.poolcopy(&[&blue]).run().await.expect_code(0);
    let generation = get(&grove.ns, POOLS, &blue).await.unwrap()["metadata"]["generation"].clone();
    assert!(!drifted().await, "generation {generation}");
    grove.poolcopy(&[&blue, "--undo"]).run().await.expect_code(0);
    // The harm, on a pool with budgets again.
    let patch = r#"{"spec":{"template":{"metadata":{"labels":{"old":"yes"}}}}}"#;
    Kubectl::run(&grove.ns, ["patch", POOLS, &blue, "--type=merge", "-p", patch]).await.expect_code(0);
    eventually("its nodes are out of date", DEADLINE, drifted).await;
}

/// A pool that is deleted in the background is gone at once, and its nodes are not.
#[tokio::test]
async fn a_pool_whose_object_is_gone_while_its_nodes_live_is_seen_and_waited_for() {
    let grove = Grove::open("orphan").await;
    let blue = grove.pool("blue", None).await;
    let held = grove.ns.deployment("web").replicas(1).requests("1500m", "100Mi");
    held.pod_annotation("karpenter.sh/do-not-disrupt", "true").ready().await;
    grove.poolcopy(&[&blue]).run().await.expect_code(0);
    Kubectl::run(&grove.ns, ["delete", POOLS, &blue]).await.expect_code(0);
    assert!(get(&grove.ns, POOLS, &blue).await.is_none() && grove.nodes(&blue).await.len() == 1, "the harm");

    let listed = grove.poolcopy(&["--list"]).run().await.expect_code(0);
    let line = listed.stdout.lines().find(|line| line.starts_with(&format!("{blue} "))).unwrap_or_default();
    assert!(line.contains("without its object"), "{listed}");
    // Its nodes are found by their label, and their work is handed over to the copy.
    let onto = format!("{blue}-2");
    let arguments = ["--settle=0s", "--pool", &blue, "--onto", &onto];
    Plugin::safedrain(&grove.ns).args(arguments).run().await.expect_code(0);
    grove.poolcopy(&[&blue, "--retire"]).run().await.expect_code(0);
    assert!(grove.nodes(&blue).await.is_empty() && grove.claims(&blue).await.is_empty());
    let copy = get(&grove.ns, POOLS, &onto).await.unwrap();
    assert_eq!(copy["metadata"]["annotations"]["handover/copy"], Value::Null);
}

/// What a GitOps tool finds by its label and not in its repository, it prunes; `kubectl apply --prune` does the same.
#[tokio::test]
async fn a_copy_is_not_pruned_by_who_keeps_the_source() {
    let grove = Grove::open("pruned").await;
    let blue = grove.pool("blue", None).await;
    let label = format!("argocd.argoproj.io/instance={}", grove.ns.name());
    Kubectl::run(&grove.ns, ["label", POOLS, &blue, &label]).await.expect_code(0);
    let repository = grove.clean(&blue, &blue).await;
    let sync = async || {
        let prune = ["apply", "--prune", "--prune-allowlist=karpenter.sh/v1/NodePool", "-l", &label, "-f", "-"];
        Kubectl::command(&grove.ns, prune).stdin(&repository.to_string()).run().await.expect_code(0);
    };
    sync().await;
    let naive = grove.name("naive");
    apply(&grove.ns, &grove.clean(&blue, &naive).await).await;
    let copied = grove.poolcopy(&[&blue, "--name", &grove.name("ours")]).run().await.expect_code(0);
    assert!(copied.stderr.contains("kept by Argo CD"), "{copied}");
    sync().await;
    assert!(get(&grove.ns, POOLS, &naive).await.is_none(), "the harm");
    assert!(get(&grove.ns, POOLS, &grove.name("ours")).await.is_some(), "{copied}");
}
