//! What somebody reads who lacks a right; every right on its own is tried in `rbac.rs`.

use e2e::{Plugin, Roles};
use k8s_openapi::api::core::v1::Pod;

use super::{Transcript, place};

#[tokio::test]
async fn who_lacks_a_right_reads_which_what_still_works_and_which_role_is_enough() {
    let (ns, node) = place("bad-rights").await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    let mut transcript = Transcript::of(&ns);
    let pod = ns.pods("").await.remove(0);
    // On top of what it took comes one second for the stamps, which are whole ones, and two for the controllers; for the run
    // also the settling of 2 s, and the grace period of 30 s.
    let took = seconds_to_ready(&pod);
    transcript.replace(&format!("<{}s", took + 3), "<3s");
    transcript.replace(&format!("It may take {} s to {} s.", took + 2, took + 35), "It may take 2 s to 35 s.");
    transcript.replace(&pod.metadata.name.unwrap(), "POD");
    let roles = Roles::read("safedrain");
    let without = |rights: &[&str]| {
        let mut fewer = roles.clone();
        for grant in roles.grants().iter().filter(|grant| rights.contains(&grant.to_string().as_str())) {
            fewer = fewer.without(grant);
        }
        fewer
    };
    let cases: [(&str, &[&str]); 5] = [
        ("may not list pods", &["list pods"]),
        ("may not list services", &["list services"]),
        ("may not evict", &["create pods/eviction"]),
        ("may only look", &["patch nodes", "patch pods", "create pods/eviction", "watch pods", "watch replicasets"]),
        ("may not even look", &["list nodes", "list pods", "watch nodes"]),
    ];
    for (case, rights) in cases {
        let user = ns.limited_user();
        without(rights).bind(&ns, &user).await;
        transcript.replace(&user.name, "USER");
        transcript.run(case, Plugin::safedrain(&ns).args([&node]).user(&user), 3).await;
        let audit = e2e::AuditLog::of_user(ns.control_plane(), &user.name).await;
        assert!(audit.changes().is_empty(), "{case}: {:#?}", audit.changes());
    }
    transcript.end("rights").await;
}

/// How long a pod took from its creation until it was Ready, by the server's stamps.
fn seconds_to_ready(pod: &Pod) -> i64 {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    let since = ready.last_transition_time.as_ref().unwrap().0;
    since.duration_since(pod.metadata.creation_timestamp.as_ref().unwrap().0).as_secs()
}
