//! The outlook against every order and every choice there is, in clusters that are small enough for that.

use cluster_model::api::core as v1;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::resident::Resident;

/// A pod of a small world.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent traits of a pod")]
struct Shape {
    app: u8,
    cpu: u8,
    keeps_away: bool,
    is_spread: bool,
    has_port: bool,
    zone: Option<u8>,
    stays: bool,
}

/// A world: what the nodes have left, by zone, and what has to move.
#[derive(Clone, Debug)]
struct World {
    nodes: Vec<(u8, u8)>,
    movers: Vec<Shape>,
    others: Vec<Shape>,
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn pod(name: &str, shape: Shape, node: Option<&str>) -> v1::Pod {
    let labels = json!({"app": format!("app-{}", shape.app)});
    let selector = json!({"matchLabels": labels});
    let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": shape.cpu.to_string()}}}]});
    spec["nodeName"] = json!(node);
    if shape.has_port {
        spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    }
    if let Some(zone) = shape.zone {
        spec["nodeSelector"] = json!({"zone": zone.to_string()});
    }
    if shape.keeps_away {
        spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]);
    }
    if shape.is_spread {
        spec["topologySpreadConstraints"] = json!([{
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
        }]);
    }
    read(json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "labels": labels}, "spec": spec}))
}

impl World {
    fn build(&self) -> (Cluster, Vec<Move>, BTreeSet<NodeName>) {
        let mut cluster = Cluster::default();
        let mut node = |name: String, zone: u8, cpu: u8, cordoned: bool| {
            let labels = json!({"kubernetes.io/hostname": name, "zone": zone.to_string()});
            let allocatable = json!({"cpu": cpu.to_string(), "pods": "10"});
            cluster.add_node(&read(json!({
                "metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": cordoned},
                "status": {"allocatable": allocatable},
            })));
        };
        node("old".to_owned(), 0, 99, true);
        for (index, (zone, cpu)) in self.nodes.iter().enumerate() {
            node(format!("new-{index}"), *zone, *cpu, false);
        }
        for (index, shape) in self.others.iter().enumerate() {
            let name = format!("new-{}", index % self.nodes.len());
            cluster.add_pod(&pod(&format!("other-{index}"), Shape { cpu: 0, ..*shape }, Some(&name)));
        }
        let moves = self.movers.iter().enumerate().map(|(index, shape)| {
            let running = pod(&format!("mover-{index}"), *shape, Some("old"));
            cluster.add_pod(&running);
            Move {
                pod: Uid(format!("mover-{index}")),
                from: NodeName::from("old"),
                candidate: Candidate::replacement(&running, None),
                stays: shape.stays,
            }
        });
        let moves = moves.collect();
        (cluster, moves, BTreeSet::from([NodeName::from("old")]))
    }
}

/// Every end that the moves can come to: for each set of places that were found, which moves found none.
fn all_ends(cluster: &mut Cluster, question: &Question<'_>, left: &[usize], ends: &mut BTreeSet<Vec<usize>>) {
    let mut is_end = true;
    for index in left {
        let one = &question.moves[*index];
        let own = if one.stays { Vec::new() } else { trial::take(cluster, one) };
        let nodes: Vec<_> = {
            let judgement = Judgement::prepare(&one.candidate, cluster);
            let open =
                cluster.nodes().filter(|node| question.counts(&node.name) && judgement.rejection(node).is_none());
            open.map(|node| node.name.clone()).collect()
        };
        for name in nodes {
            is_end = false;
            let uid = Uid(format!("placed-{index}"));
            cluster.place(&name, Resident { uid: uid.clone(), ..one.candidate.resident.clone() });
            let rest: Vec<_> = left.iter().copied().filter(|other| other != index).collect();
            // The old one goes when the new one is Ready.
            let old = trial::take(cluster, one);
            all_ends(cluster, question, &rest, ends);
            trial::put_back(cluster, one, old);
            let place = cluster.place_of(&name).unwrap();
            cluster.remove(place, |resident| resident.uid == uid);
        }
        trial::put_back(cluster, one, own);
    }
    if is_end {
        ends.insert(left.to_vec());
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags = (prop::bool::weighted(0.25), prop::bool::weighted(0.25), prop::bool::weighted(0.2), any::<bool>());
    (0..2_u8, 1..4_u8, flags, prop::option::weighted(0.2, 0..2_u8)).prop_map(|(app, cpu, flags, zone)| {
        let (keeps_away, is_spread, has_port, stays) = flags;
        Shape { app, cpu, keeps_away, is_spread, has_port, zone, stays }
    })
}

fn world() -> impl Strategy<Value = World> {
    let nodes = prop::collection::vec((0..2_u8, 1..7_u8), 1..4);
    let movers = prop::collection::vec(shape(), 1..5);
    let others = prop::collection::vec(shape(), 0..4);
    (nodes, movers, others).prop_map(|(nodes, movers, others)| World { nodes, movers, others })
}

proptest! {
    #[test]
    fn what_is_said_holds_in_every_order_and_for_every_choice(world in world()) {
        let (mut cluster, moves, leaving) = world.build();
        let question = Question { moves: &moves, leaving: &leaving, onto: None };
        let before = cluster.clone();
        let found = outlook(&mut cluster, &question);
        let sorted = |cluster: &Cluster| {
            let names = |node: &Node| (node.name.clone(), node.residents().map(|one| one.uid.clone()).collect::<BTreeSet<_>>());
            cluster.nodes().map(names).collect::<Vec<_>>()
        };
        prop_assert_eq!(sorted(&cluster), sorted(&before), "the cluster is given back as it was");
        for one in &moves {
            let keepers = |cluster: &Cluster| {
                let nodes = cluster.keeping_away_from(&one.candidate.resident.namespace);
                nodes.map(|node| node.name.clone()).collect::<Vec<_>>()
            };
            prop_assert_eq!(keepers(&cluster), keepers(&before));
        }
        let mut ends = BTreeSet::new();
        let all: Vec<usize> = (0..moves.len()).collect();
        all_ends(&mut cluster, &question, &all, &mut ends);
        for (index, prospect) in found.pods.iter().enumerate() {
            let failing = ends.iter().filter(|left| left.contains(&index)).count();
            match prospect.fits {
                Fits::Yes => prop_assert_eq!(failing, 0, "move {} of {:?} ends in {:?}", index, found, ends),
                Fits::No => prop_assert_eq!(failing, ends.len(), "move {} of {:?} ends in {:?}", index, found, ends),
                Fits::Depends => {}
                Fits::Preempting | Fits::Unknown => prop_assert!(false, "{:?}", found),
            }
        }
        match found.all {
            Fits::Yes => prop_assert!(ends.iter().all(Vec::is_empty), "{:?} ends in {:?}", found, ends),
            Fits::No => prop_assert!(ends.iter().all(|left| !left.is_empty()), "{:?} ends in {:?}", found, ends),
            _ => {}
        }
    }
}
