//! Runs that do not get their lock, or no news once they have it: refused, with nothing changed.

use std::time::Duration;

use e2e::fault_proxy::Fault;
use e2e::{AuditLog, ControlPlane, FaultProxy, Kubectl, Namespace, Plugin, Run, Schedule};
use serde_json::json;

/// A node with a pod that could be handed over.
async fn place(purpose: &str) -> (Namespace, String) {
    let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    (ns, node)
}

/// It ended with 3 and these words, and the server has carried out nothing but what became of its lock.
async fn is_refused(ns: &Namespace, run: Run, words: &[&str]) {
    let run = run.expect_code(3);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?}\n{run}");
    }
    let audit = AuditLog::of_user(ns.control_plane(), &ns.user().name).await;
    let changes: Vec<_> = audit.changes().into_iter().filter(|event| event.code < 400).collect();
    assert!(changes.iter().all(|event| event.resource == "leases"), "{changes:?}\n{run}");
}

/// Drains through a proxy that does what the schedule says.
async fn drain(ns: &Namespace, node: &str, flags: &[&str], schedule: Schedule) -> Run {
    let proxy = FaultProxy::start(ns.control_plane(), ns.user(), schedule).await;
    let running = Plugin::safedrain(ns).args([node]).args(flags).user(proxy.user()).spawn();
    proxy.aim(&running);
    running.wait().await
}

#[tokio::test]
async fn watches_that_bring_no_list_end_the_run_before_it_begins() {
    let (ns, node) = place("deaf").await;
    let schedule = Schedule::Since {
        since: "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases".to_owned(),
        begin: format!("GET /api/v1/namespaces/{}/pods", ns.name()),
        fault: Fault::NoAnswerBefore,
    };
    let run = drain(&ns, &node, &["--request-timeout=6s"], schedule).await;
    let elapsed = run.elapsed;
    is_refused(&ns, run, &["a watch brought no first list within 6 s; nothing was changed", "/readyz"]).await;
    assert!(elapsed >= Duration::from_secs(6), "{elapsed:?}");
    let lease = Kubectl::run(&ns, ["get", "leases", "-n", "kube-node-lease", &format!("handover-{node}")]).await;
    assert!(lease.stderr.contains("NotFound"), "the lock is given back: {lease}");
}

/// The rehearsal is what a run asks last before it asks about leases.
#[tokio::test]
async fn a_server_that_does_not_say_what_lock_may_be_used_is_told() {
    let (ns, node) = place("no-review").await;
    let schedule = Schedule::Since {
        since: format!("PATCH /api/v1/namespaces/{}/pods/", ns.name()),
        begin: "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
        fault: Fault::Refuse(403),
    };
    let run = drain(&ns, &node, &[], schedule).await;
    is_refused(&ns, run, &["cannot ask whether you may use leases in kube-node-lease"]).await;
}

/// A policy of the cluster has its own ideas of leases.
#[tokio::test]
async fn a_lease_that_the_server_does_not_let_be_made_is_told() {
    let (ns, node) = place("no-lease").await;
    let name = format!("handover-{node}");
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [{ "apiGroups": ["coordination.k8s.io"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["leases"] }] },
        "matchConditions": [{ "name": "ours", "expression": format!("object.metadata.name == '{name}'") }],
        "validations": [{ "expression": "false", "message": "leases are for kubelets" }],
    });
    ns.create_policy(ns.name(), spec).await;
    e2e::eventually("the policy is in force", Duration::from_secs(60), || async {
        let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name } });
        let create = ["create", "-n", "kube-node-lease", "--dry-run=server", "-f", "-"];
        Kubectl::command(&ns, create).stdin(&lease.to_string()).run().await.stderr.contains("leases are for kubelets")
    })
    .await;
    let run = Plugin::safedrain(&ns).args([node.as_str()]).run().await;
    let told = format!("cannot take the lease kube-node-lease/{name} of node {node}");
    is_refused(&ns, run, &[&told, "leases are for kubelets", "/readyz"]).await;
}
