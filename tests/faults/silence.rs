//! A connection that is open and dead, a server that goes and comes back, credentials that run out.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::fault_proxy::{Fault, RequestKind};
use e2e::sample::{is_full, say};
use e2e::{AuditLog, ControlPlane, FaultProxy, Schedule, eventually};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::Signal;

use crate::kill_matrix::{Scene, expect};
use crate::lane::Lane;

/// The pause that the API server leaves between two bookmarks at most, and some more.
const IDLE: Duration = Duration::from_secs(160);

#[tokio::test]
async fn a_watch_that_falls_silent_is_noticed_and_renewed() {
    let control_plane = ControlPlane::start();
    let lane = Lane::start(&control_plane, 1, 1).await;
    let case = lane.begin().await;
    let proxy = FaultProxy::start(&control_plane, lane.ns.user(), Schedule::Calm).await;
    let running = lane.command().user(proxy.user()).spawn();
    proxy.aim(&running);
    running.stderr_contains("serves on").await;
    proxy.silence_open_watches();

    let run = running.wait().await.expect_code(0);

    assert!(run.stderr.contains("fell silent and is being set up again"), "{run}");
    let mut wrong = String::new();
    lane.judge(case, &mut wrong).await;
    assert_eq!(wrong, "", "{run}");
    say(&format!("silent watches: noticed and renewed, the run ended after {:.0?}", run.elapsed));
}

/// Without the server's bookmarks every idle watch would be taken for dead. The server may leave one out; then that
/// watch is renewed, which costs a request and loses nothing.
#[tokio::test]
async fn an_idle_watch_is_left_alone() {
    let control_plane = ControlPlane::start();
    let lane = Lane::start(&control_plane, 1, 1).await;
    let proxy = FaultProxy::start(&control_plane, lane.ns.user(), Schedule::Calm).await;
    lane.ns.nodes().delete(&lane.new, &kube::api::DeleteParams::default()).await.unwrap();
    let idle = if is_full() { IDLE } else { Duration::from_secs(90) };
    let timeout = format!("--replacement-timeout={}s", idle.as_secs());
    let running = lane.command().args([&timeout]).user(proxy.user()).spawn();
    proxy.aim(&running);

    let run = running.wait().await.expect_code(4);

    let watches: BTreeSet<_> = proxy
        .arrivals()
        .into_iter()
        .filter(|arrival| arrival.kind == RequestKind::Watch)
        .map(|arrival| arrival.what)
        .collect();
    let renewed = run.stderr.matches("set up again").count();
    say(&format!("idle watches: {renewed} of {} renewed in {:.0?}", watches.len(), run.elapsed));
    assert!(watches.len() >= 5, "{watches:?}");
    assert!(renewed * 2 < watches.len(), "{renewed} of {watches:?} were renewed\n{run}");
}

#[tokio::test]
async fn the_api_server_restarts_in_the_middle_of_a_run() {
    let control_plane = ControlPlane::start();
    let mut lane = Lane::start(&control_plane, 20, 1).await;
    for blow in ["restart", "kill"] {
        let case = lane.begin().await;
        let running = lane.command().spawn();
        running.stderr_contains("is replaced by").await;
        if blow == "restart" {
            control_plane.restart("kube-apiserver").await;
        } else {
            control_plane.kill("kube-apiserver").await;
            control_plane.resume("kube-apiserver").await;
        }
        let mut wrong = String::new();
        let first = running.wait().await;
        // A server that is away for longer than the lease lasts ends the run: the same command goes on.
        expect(&first, &[0, 4], &mut wrong);
        if first.code() != 0 {
            expect(&lane.command().run().await, &[0], &mut wrong);
        }
        lane.judge(case, &mut wrong).await;
        assert_eq!(wrong, "", "{blow}: {first}");
        lane.turn_round(&mut wrong).await;
        assert_eq!(wrong, "", "{blow}");
    }
}

#[tokio::test]
async fn a_token_that_runs_out_ends_the_run_and_loses_nothing() {
    let control_plane = ControlPlane::start();
    let lane = Lane::start(&control_plane, 3, 1).await;
    let case = lane.begin().await;
    let proxy = FaultProxy::start(&control_plane, lane.ns.user(), Schedule::Calm).await;
    let running = lane.command().user(proxy.user()).spawn();
    proxy.aim(&running);
    running.stderr_contains("serves on").await;
    proxy.expire_token();

    let run = running.wait().await.expect_code(4);

    assert!(run.stderr.contains("401") || run.stderr.contains("Unauthorized"), "it says why: {run}");
    let mut wrong = String::new();
    expect(&lane.command().run().await, &[0], &mut wrong);
    lane.judge(case, &mut wrong).await;
    assert_eq!(wrong, "", "{run}");
}

/// The API server makes a Lease out of an update of one that is not there. A renewal that was given up when the run
/// ended, and arrives after the lease was deleted, must not do that: the lease would be nobody's.
#[tokio::test]
async fn a_renewal_that_arrives_after_the_end_does_not_bring_the_lease_back() {
    let control_plane = ControlPlane::start();
    let lane = Lane::start(&control_plane, 1, 1).await;
    let name = format!("handover-{}", lane.old);
    let renewal = format!("PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let schedule = Schedule::First(renewal, Fault::Hold);
    let proxy = FaultProxy::start(&control_plane, lane.ns.user(), schedule).await;
    // No node is left to move to: the run waits until it is told to end.
    lane.ns.nodes().delete(&lane.new, &kube::api::DeleteParams::default()).await.unwrap();
    let running = lane.command().user(proxy.user()).spawn();
    proxy.aim(&running);
    proxy.struck().await;
    running.signal(Signal::INT);
    running.wait().await.expect_code(130);

    let leases = Api::<Lease>::namespaced(lane.ns.client(), "kube-node-lease");
    assert!(leases.get_opt(&name).await.unwrap().is_none(), "the run gives its lease back");
    let user = &lane.ns.user().name;
    let answers = || async {
        let audit = AuditLog::of_user(&control_plane, user).await;
        audit.of_resource("leases").into_iter().filter(|event| event.verb == "update").map(|event| event.code).collect()
    };
    // A renewal is given up after a while, so that there may have been a later one meanwhile, which was answered.
    let before: Vec<u16> = answers().await;
    proxy.let_go();
    let deadline = Duration::from_secs(60);
    eventually("the late renewal has arrived", deadline, || async { Vec::len(&answers().await) > before.len() }).await;
    assert_eq!(answers().await.last(), Some(&409));
    assert!(leases.get_opt(&name).await.unwrap().is_none());
}
