//! The rehearsal: what a plan says beforehand about room, about what ties a pod to its node, and about who will feel it; and
//! that what it says to do helps.

use e2e::{AuditEvent, ControlPlane, Kubectl, Namespace, Plugin, Roles, Run};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// A label that tells old and new nodes apart.
const POOL: &str = "handover.test/pool";

/// The plan of a pod whose name begins so.
fn pod<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let mut pods = plan["nodes"][0]["pods"].as_array().unwrap().iter();
    pods.find(|pod| pod["name"].as_str().unwrap().starts_with(name)).unwrap()
}

fn fits<'a>(plan: &'a Value, name: &str) -> &'a str {
    pod(plan, name)["forecast"]["fits"].as_str().unwrap()
}

async fn plan(ns: &Namespace, node: &str, flags: &[&str]) -> Run {
    Plugin::safedrain(ns).args([node, "--dry-run=client", "-o", "json"]).args(flags).run().await
}

/// Runs a command line that was printed, as a person would: without the `kubectl` in front.
async fn obey(ns: &Namespace, command: &str) {
    let (words, rest) = command.split_once(" -p '").unwrap();
    let (patch, flags) = rest.split_once('\'').unwrap();
    let words = words.split(' ').skip(1).chain(flags.split_whitespace());
    let all: Vec<_> = words.chain(["-p", patch]).map(str::to_owned).collect();
    Kubectl::run(ns, all).await.expect_code(0);
}

fn required(terms: &Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

#[tokio::test]
async fn the_patch_that_is_printed_frees_a_tied_pod_and_the_run_ends() {
    let ns = Namespace::fresh(ControlPlane::shared(), "tied").await;
    let old = ns.node("old").label(POOL, "blue").create().await;
    let in_blue = json!({ "key": POOL, "operator": "In", "values": ["blue"] });
    let not_green = json!({ "key": POOL, "operator": "NotIn", "values": ["green"] });
    let by_selector = |pod: &mut Value| pod["spec"]["nodeSelector"][POOL] = json!("blue");
    let workloads = [
        ns.deployment("selects").edit_pod(by_selector),
        ns.stateful_set("ordered").edit_pod(by_selector),
        ns.deployment("likes").affinity(required(&json!([{ "matchExpressions": [in_blue] }]))),
        ns.deployment("dislikes").affinity(required(&json!([{ "matchExpressions": [not_green] }]))),
        ns.deployment("free"),
    ];
    futures::future::join_all(workloads.map(e2e::workload::WorkloadBuilder::ready)).await;
    ns.node("new").label(POOL, "green").create().await;

    // A StatefulSet's pod would be evicted and find no place, so that is refused; the others would serve on.
    let run = plan(&ns, &old, &[]).await.expect_code(3);
    let before = run.json();
    for name in ["selects", "ordered", "likes", "dislikes"] {
        assert_eq!(fits(&before, name), "no", "{name}: {run}");
        let warnings = pod(&before, name)["warnings"].to_string();
        assert!(warnings.contains(POOL), "{name}: the field is named\n{run}");
        obey(&ns, pod(&before, name)["remedy"].as_str().unwrap()).await;
    }
    assert_eq!(fits(&before, "free"), "yes", "{run}");
    assert_eq!(before["capacity"]["fits"], "no", "{run}");

    // Each patch is a new template, which is rolled out.
    for name in ["selects", "likes", "dislikes"] {
        ns.deployment_available(name).await;
    }
    let rolled_out = |sets: &[k8s_openapi::api::apps::v1::StatefulSet]| {
        sets.iter().all(|set| {
            set.status.as_ref().is_some_and(|status| {
                status.observed_generation == set.metadata.generation
                    && status.updated_replicas == Some(1)
                    && status.available_replicas == Some(1)
                    && status.current_revision == status.update_revision
            })
        })
    };
    ns.until("", "the StatefulSet rolled out", rolled_out).await;
    ns.until("", "the old ones are gone", |pods: &[Pod]| pods.len() == 5).await;
    let run = plan(&ns, &old, &[]).await.expect_code(0);
    let after = run.json();
    let left = after["nodes"][0]["pods"].as_array().unwrap().clone();
    for pod in &left {
        assert_eq!(pod["forecast"]["fits"], "yes", "{pod}");
    }
    assert_eq!(left.is_empty(), after["capacity"].is_null(), "{run}");
    Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);
}

#[tokio::test]
async fn a_pool_that_is_named_gets_the_tie() {
    let ns = Namespace::fresh(ControlPlane::shared(), "tied-onto").await;
    let old = ns.node("old").label(POOL, &format!("{}-blue", ns.name())).create().await;
    let blue = json!(format!("{}-blue", ns.name()));
    ns.deployment("web").edit_pod(|pod| pod["spec"]["nodeSelector"][POOL] = blue).ready().await;
    let green = format!("{}-green", ns.name());
    ns.node("new").label(POOL, &green).create().await;
    let onto = format!("--onto={POOL}={green}");
    let run = plan(&ns, &old, &[&onto]).await.expect_code(0);
    let remedy = pod(&run.json(), "web")["remedy"].as_str().unwrap().to_owned();
    assert!(
        remedy.contains(&format!(
            r#""op":"replace","path":"/spec/template/spec/nodeSelector/handover.test~1pool","value":"{green}""#
        )),
        "{run}"
    );
    obey(&ns, &remedy).await;
    ns.deployment_available("web").await;
    Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);
}

#[tokio::test]
async fn what_is_missing_is_counted_and_imagined_nodes_are_counted_in() {
    let ns = Namespace::fresh(ControlPlane::shared(), "missing").await;
    let old = ns.node("old").capacity("8", "16Gi", 20).create().await;
    ns.deployment("web").replicas(3).max_surge(3).requests("2", "1Gi").ready().await;
    ns.node("new").capacity("4", "16Gi", 20).create().await;
    let run = plan(&ns, &old, &[]).await.expect_code(0);
    let document = run.json();
    assert_eq!(document["capacity"]["fits"], "no", "{run}");
    let missing = json!([{ "zone": null, "pods": 1, "cpu": 2000, "memory": 1_073_741_824 }]);
    assert_eq!(document["capacity"]["missing"], missing, "{run}");
    assert_eq!(document["capacity"]["nodes"], json!({ "count": 1, "like": old }), "{run}");
    assert_eq!(fits(&document, "web"), "depends", "any two of the three find room: {run}");
    let told = Plugin::safedrain(&ns).args([old.as_str(), "--dry-run"]).run().await.expect_code(0);
    let line = format!("Room: there is none for 1 pod: it takes 2 cpu, 1 GiB; 1 more node like {old} would hold all.");
    assert!(told.stdout.contains(&line), "{told}");

    let imagined = plan(&ns, &old, &["--with-nodes=1"]).await.expect_code(0).json();
    assert_eq!((&imagined["capacity"]["fits"], fits(&imagined, "web")), (&json!("yes"), "yes"));
    let real = Plugin::safedrain(&ns).args([old.as_str(), "--with-nodes=1"]).run().await.expect_code(2);
    assert!(real.stderr.contains("--dry-run"), "{real}");
}

#[tokio::test]
async fn a_rehearsal_reads_and_asks_and_lets_the_server_judge_new_pods_only_as_a_dry_run() {
    let ns = Namespace::fresh(ControlPlane::shared(), "rehearsal").await;
    let old = ns.node("old").create().await;
    let workloads = [ns.deployment("web"), ns.stateful_set("db"), ns.job("batch")];
    futures::future::join_all(workloads.map(e2e::workload::WorkloadBuilder::ready)).await;
    ns.service("web").create().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;

    plan(&ns, &old, &[]).await.expect_code(0);
    let reads = ns.audit().await;
    assert!(reads.changes().is_empty() && reads.rehearsals().is_empty(), "{:?}", reads.mutating());

    let run = Plugin::safedrain(&ns).args([old.as_str(), "--dry-run=server", "-o", "json"]).run().await.expect_code(0);
    let audit = ns.audit().await;
    assert!(audit.changes().is_empty(), "{:?}", audit.changes());
    let made: Vec<_> = audit.rehearsals().into_iter().filter(|event| event.verb == "create").collect();
    let is_pod = |event: &&AuditEvent| event.resource == "pods" && event.subresource.is_empty();
    assert_eq!(made.iter().copied().filter(is_pod).count(), 3, "one for each workload: {made:?}\n{run}");
    assert!(ns.pods("").await.len() == 3, "nothing was made");
}

#[tokio::test]
async fn what_the_server_would_not_make_is_said_beforehand() {
    let ns = Namespace::fresh(ControlPlane::shared(), "not-made").await;
    let old = ns.node("old").create().await;
    let workloads = [ns.deployment("web").requests("500m", "64Mi"), ns.stateful_set("db").requests("500m", "64Mi")];
    futures::future::join_all(workloads.map(e2e::workload::WorkloadBuilder::ready)).await;
    ns.node("new").create().await;
    // It holds for pods that are made from now on.
    ns.create(json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "small" },
        "spec": { "limits": [{ "type": "Container", "max": { "cpu": "100m" } }] },
    }))
    .await;
    let server =
        Plugin::safedrain(&ns).args([old.as_str(), "--dry-run=server", "-o", "json"]).run().await.expect_code(3);
    let document = server.json();
    for name in ["web", "db"] {
        assert_eq!(fits(&document, name), "no", "{name}: {server}");
        let reason = pod(&document, name)["forecast"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("would not make its replacement") && reason.contains("cpu limit of 100m"), "{reason}");
    }
}

#[tokio::test]
async fn a_quota_that_has_no_room_for_one_more_is_said_beforehand() {
    let ns = Namespace::fresh(ControlPlane::shared(), "quota").await;
    let old = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    ns.create(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": { "pods": "1" } },
    }))
    .await;
    let is_counted = |quotas: &[k8s_openapi::api::core::v1::ResourceQuota]| {
        let used = quotas.first().and_then(|quota| quota.status.as_ref()?.used.as_ref()?.get("pods"));
        used.is_some_and(|used| used.0 == "1")
    };
    ns.until("", "the quota counted", is_counted).await;
    let run = plan(&ns, &old, &[]).await.expect_code(0);
    assert_eq!(fits(&run.json(), "web"), "no", "{run}");
    let reason = "ResourceQuota few leaves no room for one pod more (pods)";
    assert_eq!(pod(&run.json(), "web")["forecast"]["reason"], reason, "{run}");
}

#[tokio::test]
async fn what_leads_to_a_service_is_named_with_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "routes").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    ns.create(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "front" },
        "spec": { "defaultBackend": backend },
    }))
    .await;
    let run = plan(&ns, &old, &[]).await.expect_code(0);
    let expected = json!([{
        "namespace": ns.name(), "name": "web", "readyNow": 1, "readyWorst": 1, "routes": ["Ingress/front"],
    }]);
    assert_eq!(run.json()["services"], expected, "{run}");
    let told = Plugin::safedrain(&ns).args([old.as_str(), "--dry-run"]).run().await.expect_code(0);
    assert!(told.stdout.contains("REACHED BY") && told.stdout.contains("Ingress/front"), "{told}");
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_known_and_hinders_nothing() {
    let ns = Namespace::fresh(ControlPlane::shared(), "unseen").await;
    let old = ns.node("old").create().await;
    let name = format!("{}-shared", ns.name());
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let modes = json!(["ReadWriteMany"]);
    let volume = json!({ "capacity": { "storage": "1Gi" }, "accessModes": modes, "storageClassName": "", "hostPath": { "path": "/x" } });
    let claim = json!({ "accessModes": modes, "storageClassName": "", "volumeName": name, "resources": { "requests": { "storage": "1Gi" } } });
    ns.create(object("PersistentVolume", &name, volume)).await;
    ns.create(object("PersistentVolumeClaim", "shared", claim)).await;
    let mounts = |pod: &mut Value| {
        pod["spec"]["volumes"] = json!([{ "name": "shared", "persistentVolumeClaim": { "claimName": "shared" } }]);
    };
    let workloads = [ns.deployment("files").edit_pod(mounts), ns.deployment("web")];
    futures::future::join_all(workloads.map(e2e::workload::WorkloadBuilder::ready)).await;
    ns.node("new").create().await;
    let user = ns.limited_user();
    Roles::read("safedrain").bind(&ns, &user).await;
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([old.as_str()]).args(flags).user(&user);
    let dry = drain(&["--dry-run=client", "-o", "json"]).run().await.expect_code(0);
    assert_eq!([fits(&dry.json(), "files"), fits(&dry.json(), "web")], ["unknown", "yes"], "{dry}");
    let reason = pod(&dry.json(), "files")["forecast"]["reason"].to_string();
    assert!(reason.contains("you may not list") && reason.contains("persistentvolumes"), "{dry}");
    drain(&["--settle=0s"]).run().await.expect_code(0);
}
