//! Whether pods that are to leave find room on some nodes: each by itself, and all of them together. Advice only; the
//! scheduler decides. Not judged: affinity and spread between pods, volumes, quotas.

use std::collections::BTreeMap;

use crate::demand::{Demand, Misfit, Offer};
use crate::identity::NodeName;
use crate::resources::Resources;

/// Where one pod could go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// To this node for example, beside all others that leave.
    Fits(NodeName),
    /// Only if others that leave as well go elsewhere or later.
    Competes,
    /// Nowhere; for each reason the number of nodes.
    Nowhere(BTreeMap<Misfit, usize>),
}

/// Seeks room for all of these pods on the nodes of `offers`, beside what is `taken` of each. The largest is placed
/// first, each where most memory is free: what is small finds a place more easily.
pub fn landings<K: Ord + Clone>(
    demands: &BTreeMap<K, Demand>,
    offers: &[Offer],
    taken: &BTreeMap<NodeName, Resources>,
) -> BTreeMap<K, Landing> {
    let mut room: BTreeMap<&str, Resources> = offers
        .iter()
        .map(|offer| {
            (offer.name.as_str(), taken.get(&NodeName::from(offer.name.as_str())).cloned().unwrap_or_default())
        })
        .collect();
    let alone = room.clone();
    let size = |demand: &Demand| (demand.requests.memory, demand.requests.cpu);
    let mut sized: Vec<_> = demands.iter().collect();
    sized.sort_by_key(|(_, demand)| std::cmp::Reverse(size(demand)));
    let nothing = Resources::default();
    let mut found = BTreeMap::new();
    for (key, demand) in sized {
        let misfit = |offer: &Offer, room: &BTreeMap<&str, Resources>| {
            demand.misfit(offer, room.get(offer.name.as_str()).unwrap_or(&nothing))
        };
        let free = |offer: &Offer| {
            let beside = room.get(offer.name.as_str()).unwrap_or(&nothing);
            offer.allocatable.beside(beside).memory
        };
        let best = offers.iter().filter(|offer| misfit(offer, &room).is_none()).max_by_key(|offer| free(offer));
        let landing = if let Some(offer) = best {
            room.entry(offer.name.as_str()).or_default().add(&demand.requests);
            Landing::Fits(NodeName::from(offer.name.as_str()))
        } else {
            let all: Vec<_> = offers.iter().map(|offer| misfit(offer, &alone)).collect();
            if all.iter().any(Option::is_none) {
                Landing::Competes
            } else {
                let mut reasons = BTreeMap::new();
                all.into_iter().flatten().for_each(|reason| *reasons.entry(reason).or_default() += 1);
                Landing::Nowhere(reasons)
            }
        };
        found.insert(key.clone(), landing);
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::api::core as v1;
    use serde_json::json;

    use super::*;

    fn demand(memory: &str, selector: &[(&str, &str)]) -> Demand {
        let selector: BTreeMap<_, _> = selector.iter().copied().collect();
        let spec: v1::PodSpec = serde_json::from_value(json!({
            "nodeSelector": selector,
            "containers": [{ "name": "c", "resources": { "requests": { "memory": memory } } }],
        }))
        .unwrap();
        Demand::from(&spec)
    }

    fn offer(name: &str, memory: &str) -> Offer {
        let node: v1::Node = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "pool": "green" } },
            "status": { "allocatable": { "memory": memory, "pods": "10" } },
        }))
        .unwrap();
        Offer::from(&node)
    }

    #[test]
    fn the_largest_is_placed_first_and_who_finds_nothing_is_told_why() {
        let demands = BTreeMap::from([
            ("large", demand("6Gi", &[])),
            ("medium", demand("3Gi", &[])),
            ("small", demand("1Gi", &[])),
            ("huge", demand("9Gi", &[])),
            ("pinned", demand("1Gi", &[("pool", "blue")])),
        ]);
        let offers = [offer("a", "8Gi"), offer("b", "4Gi")];
        let taken = BTreeMap::from([(NodeName::from("b"), demand("2Gi", &[]).requests)]);
        let found = landings(&demands, &offers, &taken);
        assert_eq!(found.get("large"), Some(&Landing::Fits(NodeName::from("a"))));
        assert_eq!(found.get("medium"), Some(&Landing::Competes), "it would fit on a if the large one were not there");
        assert!(matches!(found.get("small"), Some(Landing::Fits(_))));
        let lacks = Misfit::Label { key: "pool".to_owned(), value: "blue".to_owned() };
        assert_eq!(found.get("pinned"), Some(&Landing::Nowhere(BTreeMap::from([(lacks, 2)]))));
        let room = Misfit::Room(std::iter::once("memory".to_owned()).collect());
        assert_eq!(found.get("huge"), Some(&Landing::Nowhere(BTreeMap::from([(room, 2)]))));
    }
}
