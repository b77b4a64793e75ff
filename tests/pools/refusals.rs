//! What is refused by every provider, with exit 3 and no changing request.

use e2e::{AuditLog, Kubectl, User, eventually};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::ground::Ground;
use crate::karpenter::Grove;
use crate::objects::{DEADLINE, get};
use crate::openshift::MachineSets;

/// What a provider's pools are like.
struct Kind {
    resource: &'static str,
    /// Leads to what somebody takes out of the copy.
    field: &'static str,
    /// What ails a pool, as arguments of `kubectl patch`.
    ailment: &'static [&'static str],
    /// Whether it shows.
    shows: fn(&Value) -> bool,
    /// What is said of it.
    told: &'static str,
}

#[tokio::test]
async fn of_cluster_api() {
    let fleet = Fleet::open("refuses").await;
    fleet.machine_deployment("blue", 1).await;
    fleet.machine_deployment("other", 1).await;
    let kind = Kind {
        resource: "machinedeployments.cluster.x-k8s.io",
        field: "/spec/template/metadata/labels/node.cluster.x-k8s.io~1tier",
        ailment: &["--type=merge", r#"--patch={"spec":{"paused":true}}"#],
        shows: |pool| pool["spec"]["paused"] == true,
        told: "it is paused",
    };
    refuses(&fleet, &kind, "blue", "other").await;
}

#[tokio::test]
async fn of_karpenter() {
    let grove = Grove::open("refuses").await;
    let (blue, other) = (grove.pool("blue", Some(1)).await, grove.pool("other", Some(0)).await);
    grove.until_counted(&blue, 1).await;
    let kind = Kind {
        resource: "nodepools.karpenter.sh",
        field: "/spec/template/metadata/labels/team",
        ailment: &["--type=merge", r#"--patch={"spec":{"template":{"spec":{"nodeClassRef":{"name":"none"}}}}}"#],
        shows: |pool| {
            let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "False")
        },
        told: "Karpenter says that it is not Ready",
    };
    refuses(&grove, &kind, &blue, &other).await;
}

#[tokio::test]
async fn of_open_shifts_stand_in() {
    let sets = MachineSets::open("os-refuses").await;
    sets.set("blue", 1).await;
    sets.set("other", 1).await;
    let kind = Kind {
        resource: "machinesets.machine.openshift.io",
        field: "/spec/template/spec/metadata/labels/team",
        ailment: &["--subresource=status", "--type=merge", r#"--patch={"status":{"errorMessage":"no such image"}}"#],
        shows: |pool| pool["status"]["errorMessage"] == "no such image",
        told: "its controller says: no such image",
    };
    refuses(&sets, &kind, "blue", "other").await;
}

async fn refuses(ground: &impl Ground, kind: &Kind, blue: &str, other: &str) {
    let ns = ground.ns();
    let user = ns.control_plane().operator(ns.name());
    let bleu = blue.replace("blue", "bleu");
    let taken = format!("--name={other}");
    refused(ground, &user, &[&bleu], blue).await;
    refused(ground, &user, &[blue, &taken], "exists already, and is no copy of").await;
    refused(ground, &user, &[blue, "--name=Green_"], "Green_").await;
    refused(ground, &ns.limited_user(), &[blue], "may not").await;

    // A pod on the pool's own node: it is not empty, however little depends on it.
    ns.deployment("web").replicas(1).on_node(&ground.nodes(blue).await[0]).ready().await;
    refused(ground, &user, &[blue, "--retire"], "is not empty").await;

    ground.poolcopy(&[blue]).run().await.expect_code(0);
    let pools = ground.pools().await;
    let copy = pools.iter().find(|pool| *pool != blue && *pool != other).unwrap();
    // Somebody changes the copy.
    let removal = json!([{ "op": "remove", "path": kind.field }]).to_string();
    Kubectl::run(ns, ["patch", kind.resource, copy, "--type=json", "-p", &removal]).await.expect_code(0);
    refused(ground, &user, &[blue], "was made as a copy, and differs from what would be made now").await;

    let patch = ["patch", kind.resource, other].into_iter().chain(kind.ailment.iter().copied());
    Kubectl::run(ns, patch).await.expect_code(0);
    eventually("the ailment shows", DEADLINE, || async { (kind.shows)(&get(ns, kind.resource, other).await.unwrap()) })
        .await;
    refused(ground, &user, &[other], kind.told).await;
    let audit = AuditLog::of_user(ns.control_plane(), &user.name).await;
    assert!(audit.changes().is_empty(), "{audit:?}");
}

async fn refused(ground: &impl Ground, user: &User, arguments: &[&str], told: &str) {
    let run = ground.poolcopy(arguments).user(user).run().await.expect_code(3);
    assert!(run.stderr.contains(told) && run.stderr.contains("error: "), "{told:?} in {run}");
}
