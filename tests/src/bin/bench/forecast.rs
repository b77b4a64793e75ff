//! The forecast for a large cluster: 5,000 nodes, 150,000 pods, one node of 250 pods to empty. Pure code; nothing is asked of
//! a server. What it takes to read the objects is told apart.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::api::core as v1;
use cluster_model::identity::{NodeName, Uid};
use scheduler_forecast::{Candidate, Cluster, Fits, Move, Question, outlook};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::memory::own_peak;

const NODES: usize = 5_000;
const PODS_PER_NODE: usize = 30;
const LEAVING: usize = 250;

/// How much room there is.
#[derive(Clone, Copy)]
enum Room {
    /// On every node.
    Plenty,
    /// Two places on every fortieth, which is just enough for all: nothing can be proven, and much has to be tried.
    Scarce,
}

/// Measures it once for each kind of room.
pub(crate) fn measure() -> serde_json::Result<()> {
    println!(
        "\nThe forecast for {NODES} nodes and {} pods; a node of {LEAVING} pods leaves (pure code, one core)",
        NODES * PODS_PER_NODE
    );
    for (name, room) in [("the outlook", Room::Plenty), ("the outlook, room just enough", Room::Scarce)] {
        look(name, room)?;
    }
    let peak = own_peak().map_or_else(|| "not seen".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
    println!("{:<34}{peak}   to reach: 1,200 MB", "peak memory, objects included");
    Ok(())
}

fn look(name: &str, room: Room) -> serde_json::Result<()> {
    let mut cluster = Cluster::default();
    let mut reading = Duration::ZERO;
    for index in 0..NODES {
        let node: v1::Node = read(&node(index, room).to_string(), &mut reading)?;
        cluster.add_node(&node);
    }
    for index in 0..NODES * PODS_PER_NODE {
        let pod: v1::Pod = read(&pod(index, index / PODS_PER_NODE).to_string(), &mut reading)?;
        cluster.add_pod(&pod);
    }
    let leaving = NodeName::from("node-0");
    let mut moves = Vec::new();
    for index in 0..LEAVING {
        let number = NODES * PODS_PER_NODE + index;
        let running: v1::Pod = read(&pod(number, 0).to_string(), &mut reading)?;
        cluster.add_pod(&running);
        let candidate = Candidate::replacement(&running, None);
        let uid = running.metadata.uid.unwrap_or_default();
        moves.push(Move { pod: Uid(uid), from: leaving.clone(), candidate, stays: index % 2 == 0 });
    }
    println!("{:<34}{:.1} s", "reading the objects", reading.as_secs_f64());
    let leaving = BTreeSet::from([leaving]);
    let question = Question { moves: &moves, leaving: &leaving, onto: None };
    let began = now();
    let found = outlook(&mut cluster, &question);
    let took = began.elapsed();
    let sure = found.pods.iter().filter(|pod| pod.fits == Fits::Yes).count();
    println!("{name:<34}{:.2} s   to reach: 2 s   ({sure} of {LEAVING} pods: yes)", took.as_secs_f64());
    Ok(())
}

/// When something began that is measured.
#[expect(clippy::disallowed_methods, reason = "what is measured here is the time itself")]
fn now() -> Instant {
    Instant::now()
}

fn read<T: serde::de::DeserializeOwned>(text: &str, reading: &mut Duration) -> serde_json::Result<T> {
    let began = now();
    let object = serde_json::from_str(text)?;
    *reading += began.elapsed();
    Ok(object)
}

fn node(index: usize, room: Room) -> Value {
    let cpu = match room {
        Room::Plenty => "16",
        // Its 30 pods take 7500m.
        Room::Scarce if index % 40 == 1 => "8",
        Room::Scarce => "7600m",
    };
    let (name, zone) = (format!("node-{index}"), format!("zone-{}", index % 3));
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "spec": {"unschedulable": index == 0},
        "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}},
    })
}

/// A pod of one of a few thousand workloads; some keep away from their like, some are spread.
fn pod(index: usize, node: usize) -> Value {
    let workload = index % 5_000;
    let labels = json!({"app": format!("app-{workload}"), "tier": "web", "pod-template-hash": "5d8f7c9b64"});
    let selector = json!({"matchLabels": {"app": format!("app-{workload}")}});
    let mut spec = json!({
        "nodeName": format!("node-{node}"),
        "containers": [{"name": "app", "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}}],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    });
    if let (0, Some(spec)) = (workload % 10, spec.as_object_mut()) {
        let term = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]);
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
        spec.insert("affinity".to_owned(), affinity);
    }
    if let (1, Some(spec)) = (workload % 10, spec.as_object_mut()) {
        let constraint = json!([{
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector,
        }]);
        spec.insert("topologySpreadConstraints".to_owned(), constraint);
    }
    json!({
        "metadata": {"namespace": format!("team-{}", workload % 50), "name": format!("pod-{index}"), "uid": format!("uid-{index}"), "labels": labels},
        "spec": spec, "status": {"phase": "Running"},
    })
}
