//! What other pods may need while they leave goes last.

use e2e::{ControlPlane, Namespace, Plugin};

#[tokio::test]
async fn storage_leaves_after_the_pods_that_may_need_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order").await;
    let node = ns.node("old").create().await;
    // By its name alone it would be first.
    for name in ["ceph-osd", "web"] {
        ns.deployment(name).ready().await;
    }
    ns.node("new").create().await;

    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(0);

    let audit = ns.audit().await;
    let changes = audit.changes();
    let is_about = |name: &str| {
        let prefix = format!("{name}-");
        move |event: &&&e2e::AuditEvent| event.resource == "pods" && event.name.starts_with(&prefix)
    };
    let left = changes.iter().filter(is_about("web")).map(|event| event.received_at).max();
    let begun = changes.iter().filter(is_about("ceph-osd")).map(|event| event.received_at).min();
    assert!(left.is_some() && left < begun, "{left:?}, {begun:?}\n{run}");
    assert_eq!(audit.evictions().len(), 2, "{run}");
}
