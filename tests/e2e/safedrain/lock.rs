//! Two runs never work on one node, whatever each of them may use as a lock.

use e2e::{ControlPlane, Kubectl, Namespace, Plugin, Roles, Running, User};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use rustix::process::Signal;

const LOCK: &str = "handover/lock";
const SAID: &str = "no right to leases in kube-node-lease (you may not create, get, update, delete them): the lock is an \
                    annotation on the node";

/// A node whose only pod cannot move yet, so that a run holds it for as long as the test wants.
struct Place {
    ns: Namespace,
    old: String,
}

impl Place {
    async fn open(purpose: &str) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.deployment("web").ready().await;
        Self { ns, old }
    }

    /// A user with every right but those to leases.
    async fn without_leases(&self) -> User {
        let user = self.ns.limited_user();
        for role in ["handover-safedrain-plan", "handover-safedrain"] {
            Roles::read("safedrain").only(role).bind(&self.ns, &user).await;
        }
        user
    }

    fn drain(&self, user: &User) -> e2e::Invocation {
        Plugin::safedrain(&self.ns).args([self.old.as_str(), "--settle=0s"]).user(user)
    }

    async fn holding(&self, user: &User) -> Running {
        let running = self.drain(user).spawn();
        running.stderr_contains("serves on").await;
        running
    }

    async fn lock(&self) -> Option<String> {
        self.ns.nodes().get(&self.old).await.unwrap().annotations().get(LOCK).cloned()
    }

    async fn lease(&self) -> Option<Lease> {
        let leases = Api::<Lease>::namespaced(self.ns.client(), "kube-node-lease");
        leases.get_opt(&format!("handover-{}", self.old)).await.unwrap()
    }
}

async fn interrupt(running: Running) {
    running.signal(Signal::INT);
    running.wait().await.expect_code(130);
}

#[tokio::test]
async fn without_a_right_to_leases_an_annotation_keeps_the_second_run_out() {
    let place = Place::open("annotated").await;
    let user = place.without_leases().await;
    let first = place.holding(&user).await;
    assert!(place.lock().await.is_some() && place.lease().await.is_none());

    let second = place.drain(&place.without_leases().await).run().await.expect_code(5);
    assert!(second.stderr.contains(&format!("node {} is held by {}", place.old, user.name)), "{second}");
    assert!(first.stderr().contains(SAID), "{}", first.stderr());
    assert_eq!(first.stderr().matches("no right to leases").count(), 1, "{}", first.stderr());
    // A run that may use leases looks for the annotation too.
    let third = place.drain(place.ns.user()).run().await.expect_code(5);
    assert!(third.stderr.contains(&format!("node {} is held by {}", place.old, user.name)), "{third}");
    assert!(place.lease().await.is_none(), "who is refused leaves nothing");

    interrupt(first).await;
    assert_eq!(place.lock().await, None, "the lock is released");
}

#[tokio::test]
async fn a_killed_runs_annotation_is_taken_over() {
    let place = Place::open("annotated-dead").await;
    let user = place.without_leases().await;
    place.holding(&user).await.kill().await.expect_code(137);
    assert!(place.lock().await.is_some(), "a killed run releases nothing");
    place.ns.node("new").create().await;

    let second = place.drain(&user).run().await.expect_code(0);
    assert!(second.stderr.contains("was held by a dead run"), "{second}");
    assert_eq!(place.lock().await, None);
}

#[tokio::test]
async fn a_run_with_a_lease_takes_a_dead_ones_annotation_away() {
    let place = Place::open("dead-mixed").await;
    place.holding(&place.without_leases().await).await.kill().await.expect_code(137);
    place.ns.node("new").create().await;
    let second = place.drain(place.ns.user()).run().await.expect_code(0);
    assert!(second.stderr.contains("was held by a dead run"), "{second}");
    assert_eq!((place.lock().await, place.lease().await), (None, None));
}

#[tokio::test]
async fn a_lock_of_a_silent_stranger_is_waited_for_and_then_taken() {
    let place = Place::open("stranger").await;
    let mark = format!("{LOCK}=somebody wrote this");
    Kubectl::run(&place.ns, ["annotate", "node", &place.old, &mark]).await.expect_code(0);
    place.ns.node("new").create().await;
    let run = place.drain(&place.without_leases().await).run().await.expect_code(0);
    assert!(run.stderr.contains("watching for 15 s whether that run lives"), "{run}");
    assert!(run.elapsed.as_secs() >= 15, "{run}");
    assert_eq!(place.lock().await, None);
}

#[tokio::test]
async fn a_run_that_may_only_read_leases_respects_one() {
    let place = Place::open("read-leases").await;
    let reader = place.ns.limited_user();
    let mut roles = Roles::read("safedrain");
    for grant in
        roles.grants().into_iter().filter(|grant| ["create leases", "delete leases"].contains(&&*grant.to_string()))
    {
        roles = roles.without(&grant);
    }
    roles.bind(&place.ns, &reader).await;
    let first = place.holding(place.ns.user()).await;
    let second = place.drain(&reader).run().await.expect_code(5);
    assert!(second.stderr.contains("by a lease that you may not take over"), "{second}");
    assert_eq!(place.lock().await, None, "who is refused leaves nothing");
    interrupt(first).await;
}

#[tokio::test]
async fn a_lock_that_somebody_takes_away_stops_the_run() {
    let place = Place::open("robbed").await;
    let first = place.holding(&place.without_leases().await).await;
    Kubectl::run(&place.ns, ["annotate", "node", &place.old, &format!("{LOCK}-")]).await.expect_code(0);
    let run = first.wait().await.expect_code(4);
    assert!(run.stderr.contains(&format!("somebody took the lock of node {} away", place.old)), "{run}");
}

#[tokio::test]
async fn take_over_takes_the_node_from_a_living_run_which_stops() {
    for leases in [true, false] {
        let place = Place::open(if leases { "seized" } else { "seized-note" }).await;
        let user = if leases { place.ns.user().clone() } else { place.without_leases().await };
        let first = place.holding(&user).await;
        let second = place.drain(&user).args(["--take-over"]).spawn();
        second.stderr_contains("taken over, as --take-over says").await;
        let robbed = first.wait().await.expect_code(4);
        assert!(robbed.stderr.contains(&format!("node {} was taken over by {}", place.old, user.name)), "{robbed}");
        place.ns.node("new").create().await;
        let run = second.wait().await.expect_code(0);
        assert!(run.stderr.contains("was detached by an earlier run, which goes on"), "{run}");
        assert_eq!((place.lock().await, place.lease().await), (None, None), "{run}");
    }
}
