//! Small clusters with one node to empty, and a plain shape: so much work on it, and so much room elsewhere.

use e2e::Namespace;
use e2e::scheduling::dice::Dice;
use e2e::workload::WorkloadBuilder;
use futures::future::join_all;
use serde_json::{Value, json};

use super::sketch::{HOST, ZONE};

/// How much room there is for the work that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// More than enough.
    Ample,
    /// About as much as is needed, in pieces.
    Tight,
    /// Too little.
    Short,
}

/// What owns pods, and so how they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deployment,
    /// A Deployment that stops its old pods first.
    Recreate,
    StatefulSet,
}

/// What pods want besides room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    None,
    /// This zone.
    Zone(usize),
    /// A node without another of its workload.
    Apart,
    /// A port of the node.
    Port(u32),
    /// Both zones evenly.
    Spread,
    /// A label that no other node has.
    Pinned,
}

/// A workload whose pods are all on the node that is emptied.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) replicas: u32,
    kind: Kind,
    cpu: u32,
    wish: Wish,
}

/// A cluster.
#[derive(Clone, Debug)]
pub(super) struct Town {
    pub(super) workloads: Vec<Workload>,
    /// What each other node has, in thousandths of a processor.
    nodes: Vec<u32>,
}

impl Town {
    /// Draws one: 3 to 8 pods, 2 to 4 other nodes.
    pub(super) fn draw(dice: &mut Dice, room: Room) -> Self {
        let mut workloads: Vec<Workload> = vec![];
        let most = 3 + dice.below(6);
        let mut left = most;
        while left > 0 {
            let wish = draw_wish(dice, room);
            // Two of these would not have been on one node.
            let is_alone = matches!(wish, Wish::Apart | Wish::Port(_));
            let replicas = if is_alone { 1 } else { (1 + dice.below(3)).min(left) };
            left -= replicas;
            workloads.push(Workload {
                name: format!("app-{}", workloads.len()),
                replicas: u32::try_from(replicas).expect("at most three"),
                kind: *dice.pick(&[
                    Kind::Deployment,
                    Kind::Deployment,
                    Kind::Deployment,
                    Kind::Recreate,
                    Kind::StatefulSet,
                ]),
                cpu: *dice.pick(&[500, 1000, 1500, 2000]),
                wish,
            });
        }
        let needed: u32 = workloads.iter().map(|one| one.cpu * one.replicas).sum();
        let largest = workloads.iter().map(|one| one.cpu).max().unwrap_or_default();
        let count = 2 + dice.below(3);
        let nodes = u32::try_from(count).expect("at most four");
        let percent = match room {
            Room::Ample => 190,
            Room::Tight => 100 + u32::try_from(dice.below(20)).expect("less than 20"),
            Room::Short => 60 + u32::try_from(dice.below(30)).expect("less than 30"),
        };
        let share = needed * percent / 100 / nodes;
        let nodes = (0..count).map(|index| {
            let uneven = if index % 2 == 0 { share + share / 5 } else { share - share / 5 };
            match room {
                Room::Ample => share + largest,
                Room::Tight => uneven.div_ceil(500) * 500,
                Room::Short => uneven,
            }
        });
        Self { nodes: nodes.collect(), workloads }
    }

    /// Makes it, with all pods ready on the node that is returned; the other nodes come last, so that nothing is elsewhere.
    pub(super) async fn build(&self, ns: &Namespace) -> String {
        let zone = |number: usize| format!("{}-z{number}", ns.name());
        let old = ns.node("old").label(ZONE, &zone(0)).label("disk", "ssd").create().await;
        join_all(self.workloads.iter().map(|one| one.describe(ns, &zone).ready())).await;
        join_all(self.nodes.iter().enumerate().map(|(index, cpu)| {
            let node = ns.node(&format!("new-{index}")).label(ZONE, &zone(index % 2));
            node.capacity(&format!("{cpu}m"), "64Gi", 50).create()
        }))
        .await;
        old
    }
}

fn draw_wish(dice: &mut Dice, room: Room) -> Wish {
    if room == Room::Short && dice.chance(25) {
        return Wish::Pinned;
    }
    match dice.below(20) {
        0..=1 => Wish::Zone(0),
        2 => Wish::Apart,
        3 => Wish::Port(8080 + u32::try_from(dice.below(2)).expect("0 or 1")),
        4 => Wish::Spread,
        _ => Wish::None,
    }
}

impl Workload {
    fn describe<'a>(&self, ns: &'a Namespace, zone: &impl Fn(usize) -> String) -> WorkloadBuilder<'a> {
        let builder = match self.kind {
            Kind::Deployment => ns.deployment(&self.name).max_surge(1),
            Kind::Recreate => ns.deployment(&self.name).recreate(),
            Kind::StatefulSet => ns.stateful_set(&self.name),
        };
        let alike = json!({ "matchLabels": { "app": self.name } });
        builder.replicas(self.replicas).requests(&format!("{}m", self.cpu), "64Mi").edit_pod(|pod| {
            let spec = &mut pod["spec"];
            match self.wish {
                Wish::None => {}
                Wish::Zone(number) => spec["nodeSelector"][ZONE] = json!(zone(number)),
                Wish::Pinned => spec["nodeSelector"]["disk"] = json!("ssd"),
                Wish::Port(port) => {
                    spec["containers"][0]["ports"] = json!([{ "containerPort": port, "hostPort": port }]);
                }
                Wish::Apart => {
                    let term = json!({ "topologyKey": HOST, "labelSelector": alike });
                    spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                        json!([term]);
                }
                Wish::Spread => {
                    let constraint: Value = json!({
                        "maxSkew": 2, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": alike,
                    });
                    spec["topologySpreadConstraints"] = json!([constraint]);
                }
            }
        })
    }
}
