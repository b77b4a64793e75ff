//! Operators that move their pods themselves, and deny evictions by a webhook meanwhile. The webhook is real and answers as
//! Strimzi's Drain Cleaner does; the operator is played by hand.

use e2e::{AuditEvent, ControlPlane, Denial, EvictionWebhook, Kubectl, Namespace, Plugin};
use jiff::{SignedDuration, Timestamp};

#[tokio::test]
async fn an_operator_that_says_it_moves_the_pod_itself_is_waited_for() {
    let ns = Namespace::fresh(ControlPlane::shared(), "operator").await;
    let old = ns.node("old").create().await;
    ns.stateful_set("kafka").ready().await;
    ns.deployment("web").ready().await;
    let message = "The pod will be rolled by the Strimzi Cluster Operator".to_owned();
    let denials = [("kafka-0".to_owned(), Denial { code: 500, message })];
    let webhook = EvictionWebhook::start(&ns, "drain-cleaner.handover.test", denials.into()).await;
    ns.node("new").create().await;

    let running = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s"]).spawn();
    running.stderr_contains("The pod will be rolled by the Strimzi Cluster Operator").await;
    // The others go meanwhile.
    running.stdout_contains("pod/web-").await;
    Kubectl::run(&ns, ["delete", "pod", "kafka-0", "--wait=false"]).await.expect_code(0);
    let run = running.wait().await.expect_code(0);

    assert!(run.stdout.contains(&format!("node/{old} drained")), "{run}");
    let audit = ns.audit().await;
    let refused = |event: &&&AuditEvent| event.name == "kafka-0" && event.code == 500 && !event.dry_run;
    let evictions = audit.evictions();
    let asked: Vec<_> = evictions.iter().filter(refused).map(|event| event.received_at).collect();
    let is_patient = |pair: &[Timestamp]| pair[1].duration_since(pair[0]) >= SignedDuration::from_secs(5);
    assert!(!asked.is_empty() && asked.windows(2).all(is_patient), "it is not asked again and again: {asked:?}\n{run}");
    webhook.stop().await;
    Kubectl::run(&ns, ["delete", "validatingwebhookconfiguration", ns.name()]).await.expect_code(0);
}
