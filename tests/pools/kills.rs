//! kill -9 before and after every request: the same command goes on, and nothing is there twice or left behind.

use std::env;
use std::io::{Write, stderr};
use std::time::Instant;

use e2e::{Fault, FaultProxy, Invocation, Kubectl, Run, Schedule};
use serde_json::Value;

use crate::fleet::{Fleet, MachinePools, Topology};
use crate::ground::Ground;
use crate::karpenter::Grove;
use crate::labelled::Rack;
use crate::openshift::MachineSets;

/// A sample leaves out more and more requests: 1, 6, 16, 36 …
const STEP: usize = 5;

/// Which request, and on which side of it; counted from 1 for each command anew.
#[derive(Clone, Copy, Debug)]
struct Point {
    number: usize,
    fault: Fault,
}

/// What becomes of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Undo,
    Retire,
}

#[tokio::test]
async fn a_killed_run_is_taken_up_where_it_was() {
    let fleet = Fleet::open("killed").await;
    fleet.machine_deployment("blue", 1).await;
    strike("Cluster API", &fleet, "blue".to_owned()).await;
}

#[tokio::test]
async fn a_killed_run_about_a_node_pool_is_taken_up_where_it_was() {
    let grove = Grove::open("killed").await;
    let blue = grove.pool("blue", Some(1)).await;
    grove.until_counted(&blue, 1).await;
    strike("Karpenter", &grove, blue).await;
}

#[tokio::test]
async fn a_killed_run_about_a_machine_set_is_taken_up_where_it_was() {
    let sets = MachineSets::open("killed").await;
    sets.set("blue", 1).await;
    strike("OpenShift's stand-in", &sets, "blue".to_owned()).await;
}

#[tokio::test]
async fn a_killed_run_about_a_machine_pool_is_taken_up_where_it_was() {
    let pools = MachinePools(Fleet::open("mp-killed").await);
    pools.0.machine_pool("red", 1).await;
    strike("Cluster API's MachinePool", &pools, "red".to_owned()).await;
}

#[tokio::test]
async fn a_killed_run_about_a_topologys_pool_is_taken_up_where_it_was() {
    let topology = Topology(Fleet::open("topology-killed").await);
    topology.0.topology("blue", 1).await;
    strike("Cluster API's topology", &topology, "blue".to_owned()).await;
}

#[tokio::test]
async fn a_killed_run_about_nodes_that_somebody_joins_is_taken_up_where_it_was() {
    let rack = Rack::open("killed").await;
    rack.old("old-1").await;
    strike("nodes joined by hand", &rack, rack.pool("blue")).await;
}

async fn strike(provider: &str, fleet: &impl Ground, mut name: String) {
    let began = Instant::now();
    // The most requests that a command sends: until a number is reached by none.
    let (first, last) = limits();
    let (mut blows, mut not_reached, mut number) = (0, 0, first);
    while number <= last {
        let mut reached = false;
        for (fault, end) in rounds(number) {
            let (struck, next) = round(fleet, &name, Point { number, fault }, end).await;
            say(&format!("{end:?}, {fault:?} {number}: {struck} kills ({:.0?})", began.elapsed()));
            name = next;
            blows += struck;
            not_reached += 2 - struck;
            reached |= struck > 0;
        }
        if !reached {
            break;
        }
        number += if is_full() { 1 } else { number.div_ceil(STEP) * STEP };
    }
    assert!(blows > STEP, "only {blows} kills");
    let line = format!(
        "killed pool copies ({provider}): {blows} kill -9 in copies, undos and retirements, at requests up to {number} ({}), \
         {not_reached} not reached; 0 failed; {:.0?}",
        if is_full() { "all" } else { "a sample" },
        began.elapsed(),
    );
    say(&line);
}

/// Writes a line that the test runner does not hold back.
fn say(line: &str) {
    // A closed stderr takes the line with it.
    drop(writeln!(stderr(), "{line}"));
}

/// The requests that it is about: all, or those of `HANDOVER_POINTS`, for example `36-45`.
fn limits() -> (usize, usize) {
    let Ok(text) = env::var("HANDOVER_POINTS") else { return (1, usize::MAX) };
    let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let Some(ends) = ends else { panic!("HANDOVER_POINTS is {text:?}, not two numbers as in 36-45") };
    ends
}

/// Both sides and both ends; of a sample two of these four, which two changes from number to number.
fn rounds(number: usize) -> Vec<(Fault, End)> {
    let all = [
        (Fault::KillBefore, End::Undo),
        (Fault::KillAfter, End::Retire),
        (Fault::KillAfter, End::Undo),
        (Fault::KillBefore, End::Retire),
    ];
    if is_full() { all.to_vec() } else { all.into_iter().skip(number % 2 * 2).take(2).collect() }
}

fn is_full() -> bool {
    env::var_os("HANDOVER_FULL").is_some_and(|value| value == "1")
}

/// A copy and its end, each killed at a point and given again. Returns how often a run was killed, and the name of the
/// pool that is left.
async fn round(fleet: &impl Ground, name: &str, point: Point, end: End) -> (usize, String) {
    fleet.prepare().await;
    let before = fleet.objects().await;
    let copying = fleet.poolcopy(&[name]);
    let mut struck = usize::from(killed(fleet, &copying, point).await);
    let made = copying.run().await.expect_code(0);
    let copies = fleet.pools().await;
    assert_eq!(copies.len(), 2, "{point:?} {end:?}: the pool and one copy\n{made}");
    let copy = copies.into_iter().find(|one| one != name).unwrap();
    let old = fleet.nodes(name).await;
    let ending = match end {
        End::Undo => fleet.poolcopy(&[name, "--undo"]),
        End::Retire => {
            for node in &old {
                Kubectl::run(fleet.ns(), ["cordon", node]).await.expect_code(0);
            }
            fleet.poolcopy(&[name, "--retire"])
        }
    };
    struck += usize::from(killed(fleet, &ending, point).await);
    let ended = ending.run().await;
    // A retirement that was killed after its last request finds nothing of the pool any more.
    let is_told = ended.code() == 0 || (ended.code() == 3 && ended.stderr.contains("does not exist"));
    assert!(is_told, "{point:?} {end:?}: {ended}");
    if end == End::Retire {
        fleet.clear_away(&old).await;
    }
    let left = if end == End::Undo { name.to_owned() } else { copy };
    judge(fleet, &left, &before, point, end, &ended).await;
    (struck, left)
}

async fn judge(fleet: &impl Ground, left: &str, before: &[String], point: Point, end: End, ended: &Run) {
    assert_eq!(fleet.pools().await, [left], "{point:?} {end:?}: {ended}");
    assert_eq!(fleet.nodes(left).await.len(), 1, "{point:?} {end:?}: {ended}");
    let objects = fleet.objects().await;
    if end == End::Undo {
        assert_eq!(objects, before, "{point:?}: {ended}");
    } else {
        assert_eq!(objects.len(), before.len(), "{point:?}: nothing is left behind: {objects:#?}\n{ended}");
    }
    let pool = fleet.pool(left).await;
    let annotations = &pool["metadata"]["annotations"];
    assert_eq!(annotations["handover/copy"], Value::Null, "{point:?} {end:?}: {ended}");
    assert_eq!(annotations["handover/frozen"], Value::Null, "{point:?} {end:?}: {ended}");
}

/// Runs a command through a proxy that kills it. Returns whether it got so far.
async fn killed(fleet: &impl Ground, command: &Invocation, point: Point) -> bool {
    let schedule = Schedule::At(point.number, point.fault);
    let proxy = FaultProxy::start(fleet.ns().control_plane(), fleet.ns().user(), schedule).await;
    let running = command.clone().user(proxy.user()).spawn();
    proxy.aim(&running);
    let run = running.wait().await;
    // A watch that is asked for at the end may be answered when the run has come to its end without it: then the blow was
    // too late.
    let is_struck = proxy.strikes() > 0 && run.code() != 0;
    assert_eq!(run.code(), if is_struck { 137 } else { 0 }, "{point:?}: {run}");
    is_struck
}
