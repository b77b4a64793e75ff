//! A connection that is open and dead, a server that goes and comes back, credentials that run out.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::fault_proxy::RequestKind;
use e2e::{ControlPlane, FaultProxy, Schedule};

use crate::kill_matrix::{Scene, expect};
use crate::lane::Lane;
use crate::sample::{is_full, say};

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
