//! Small clusters, drawn by a seed, that are full of what the scheduler's filters are about.
//!
//! A cluster has 3 to 8 nodes, 5 to 40 pods on them, storage, and 3 to 6 pods to judge. Each judged pod is about one, two
//! or three aspects and otherwise asks for little, so that every filter is the first to reject somewhere. All names and
//! values come from small sets, so that things meet. A case is JSON as a person would write it: what the API server fills
//! in is left out where that matters.
//!
//! Left out, because a forecast calls it unknown: devices (ResourceClaims), other schedulers.

#![expect(
    clippy::indexing_slicing,
    reason = "what is read of a JSON value was written a few lines above, and what is not there is made by writing it"
)]

mod affinity;
mod claims;
pub mod dice;
mod drivers;
mod nodes;
mod persistent_volumes;
mod pods;
mod ports;
mod resources;
mod selectors;
mod spread;
mod tolerations;
mod volumes;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::dice::Dice;

/// The namespaces of a cluster. The last one has no Namespace object: it was deleted a moment ago.
const NAMESPACES: [&str; 3] = ["shop", "lab", "gone"];
/// The zones that nodes are in, named as a cloud names them: a region is part of the name.
const ZONES: [&str; 3] = ["eu-north1-a", "eu-north1-b", "us-south1-c"];

/// A cluster and pods to judge there; what the oracle is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The cluster's objects, as JSON with kinds.
    pub objects: Vec<Value>,
    /// The pods to judge, none of which knows of the others.
    pub pods: Vec<Value>,
}

/// What a judged pod is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    Gates,
    Name,
    Tolerations,
    NodeAffinity,
    Ports,
    Resources,
    Disks,
    Claims,
    Spread,
    PodAffinity,
    Features,
}

/// One entry a share: what many filters are about comes up more often.
const ASPECTS: [Aspect; 27] = [
    Aspect::Gates,
    Aspect::Name,
    Aspect::Tolerations,
    Aspect::Tolerations,
    Aspect::NodeAffinity,
    Aspect::NodeAffinity,
    Aspect::NodeAffinity,
    Aspect::Ports,
    Aspect::Ports,
    Aspect::Ports,
    Aspect::Resources,
    Aspect::Resources,
    Aspect::Resources,
    Aspect::Disks,
    Aspect::Disks,
    Aspect::Claims,
    Aspect::Claims,
    Aspect::Claims,
    Aspect::Claims,
    Aspect::Spread,
    Aspect::Spread,
    Aspect::Spread,
    Aspect::PodAffinity,
    Aspect::PodAffinity,
    Aspect::PodAffinity,
    Aspect::PodAffinity,
    Aspect::Features,
];

/// Draws the case of a seed; always the same one.
pub fn generate(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let names = nodes::draw_names(&mut dice);
    let mut objects = nodes::draw(&mut dice, &names);
    let mut storage = claims::draw(&mut dice, &names);
    objects.extend(namespaces(&mut dice));
    let most = if dice.chance(20) { 36 } else { 16 };
    let bound = 5 + dice.below(most);
    for number in 0..bound {
        let with_pod = pods::bound(&mut dice, number, &names, &storage.claims);
        // Nothing keeps others from a claim that was made for one pod.
        storage.claims.extend(with_pod.iter().filter_map(claims::key_of));
        objects.extend(with_pod);
    }
    objects.extend(storage.objects);
    let judged = 3 + dice.below(4);
    let mut judged_pods = vec![];
    for number in 0..judged {
        let aspects = draw_aspects(&mut dice);
        let (pod, others) = pods::judged(&mut dice, number, &aspects, &names, &storage.claims);
        judged_pods.push(pod);
        objects.extend(others);
    }
    Case { objects, pods: judged_pods }
}

fn draw_aspects(dice: &mut Dice) -> Vec<Aspect> {
    let count = *dice.pick(&[0, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
    (0..count).map(|_| *dice.pick(&ASPECTS)).collect()
}

fn namespaces(dice: &mut Dice) -> Vec<Value> {
    NAMESPACES
        .iter()
        .take(2)
        .map(|name| {
            let mut labels = serde_json::Map::new();
            if dice.chance(80) {
                labels.insert("team".into(), json!(dice.pick(&["red", "blue"])));
            }
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::generate;

    #[test]
    fn a_seed_draws_the_same_case_each_time() {
        assert_eq!(generate(7), generate(7));
        assert_ne!(generate(7), generate(8));
    }
}
