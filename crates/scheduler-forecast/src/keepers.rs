//! Where pods keep away from others: every pod that is judged asks for those that keep away from its namespace.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cluster_model::selector::Selector;

use crate::resident::Resident;

/// How many terms there are on each node, by the namespace that they name; `None`: they choose namespaces by labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keepers(BTreeMap<Option<String>, BTreeMap<usize, usize>>);

impl Keepers {
    /// A pod comes to the node at a position.
    pub(crate) fn add(&mut self, place: usize, resident: &Resident) {
        for namespace in namespaces(resident) {
            *self.0.entry(namespace).or_default().entry(place).or_default() += 1;
        }
    }

    /// A pod that was added goes.
    pub(crate) fn remove(&mut self, place: usize, resident: &Resident) {
        for namespace in namespaces(resident) {
            let Some(places) = self.0.get_mut(&namespace) else { continue };
            if let Entry::Occupied(mut count) = places.entry(place) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            if places.is_empty() {
                self.0.remove(&namespace);
            }
        }
    }

    /// The positions of nodes on which pods may keep away from those of a namespace; some twice.
    pub(crate) fn places(&self, namespace: &str) -> impl Iterator<Item = usize> {
        let named = self.0.get(&Some(namespace.to_owned()));
        named.into_iter().chain(self.0.get(&None)).flat_map(BTreeMap::keys).copied()
    }
}

fn namespaces(resident: &Resident) -> impl Iterator<Item = Option<String>> {
    resident.anti_affinity.iter().flat_map(|term| {
        let chosen = (term.namespace_selector != Selector::Nothing).then_some(None);
        term.namespaces.iter().cloned().map(Some).chain(chosen)
    })
}
