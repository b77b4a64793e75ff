//! Pods that have to be near others, or keep away: both ways (`interpodaffinity/filtering.go`).

use std::borrow::Cow;
use std::collections::BTreeSet;

use cluster_model::selector::{Labels, Selector};

use super::{Judge, Prepared};
use crate::affinity::AffinityTerm;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;
use crate::resident::Resident;

/// Places: label and value.
type Places<'a> = BTreeSet<(&'a str, &'a str)>;

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let near = expanded(&pod.affinity, cluster);
    let away = expanded(&pod.resident.anti_affinity, cluster);
    let kept = places_of_keepers(&pod.resident, cluster);
    if near.is_empty() && away.is_empty() && kept.is_empty() {
        return Prepared::Skip;
    }
    let mut found = Places::new();
    let mut avoided = Places::new();
    if !near.is_empty() || !away.is_empty() {
        let terms = || near.iter().chain(&away);
        // Only where a term means all namespaces have all pods to be looked at.
        let is_wide = terms().any(|term| term.namespace_selector != Selector::Nothing);
        let namespaces: BTreeSet<&str> = terms().flat_map(|term| &term.namespaces).map(String::as_str).collect();
        for node in cluster.unordered() {
            let all = is_wide.then(|| node.residents()).into_iter().flatten();
            let some = namespaces.iter().filter(|_| !is_wide).flat_map(|name| node.residents_in(name));
            for resident in all.chain(some) {
                if !near.is_empty() && near.iter().all(|term| means(term, resident)) {
                    found.extend(near.iter().filter_map(|term| place(node, &term.topology_key)));
                }
                let meant = away.iter().filter(|term| means(term, resident));
                avoided.extend(meant.filter_map(|term| place(node, &term.topology_key)));
            }
        }
    }
    // The first of pods that want to be together has none to be near to.
    let is_first = found.is_empty() && near.iter().all(|term| means(term, &pod.resident));
    let owned =
        |places: Places<'_>| places.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let (found, avoided) = (owned(found), owned(avoided));
    let keys = |terms: &[Cow<'_, AffinityTerm>]| terms.iter().map(|term| term.topology_key.clone()).collect();
    Prepared::judge(Affinity { near: keys(&near), away: keys(&away), is_first, found, avoided, kept })
}

struct Affinity<'a> {
    /// The labels in whose places a pod has to be.
    near: Vec<String>,
    /// Those in whose places none may be.
    away: Vec<String>,
    is_first: bool,
    found: BTreeSet<(String, String)>,
    avoided: BTreeSet<(String, String)>,
    kept: Places<'a>,
}

impl Judge for Affinity<'_> {
    fn judge(&self, node: &Node) -> Option<Reason> {
        let mut lonely = None;
        for key in &self.near {
            // Also the first of them needs a place.
            let Some(value) = node.label(key) else { return Some(Reason::NotNear(key.clone())) };
            if !self.found.contains(&(key.clone(), value.to_owned())) {
                lonely = lonely.or(Some(key));
            }
        }
        if let Some(key) = lonely.filter(|_| !self.is_first) {
            return Some(Reason::NotNear(key.clone()));
        }
        let is_avoided = |key: &&String| {
            node.label(key).is_some_and(|value| self.avoided.contains(&((*key).clone(), value.to_owned())))
        };
        if let Some(key) = self.away.iter().find(is_avoided) {
            return Some(Reason::TooNear(key.clone()));
        }
        let mut kept = self.kept.iter().filter(|(key, value)| node.label(key) == Some(value));
        kept.next().map(|(key, _)| Reason::KeptAway((*key).to_owned()))
    }
}

fn place<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a str)> {
    node.offer.labels.get_key_value(key).map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Terms of a pod that comes, with the namespaces that are selected by their labels written out. A selector of all of them
/// stays, as it needs no label.
fn expanded<'a>(terms: &'a [AffinityTerm], cluster: &Cluster) -> Vec<Cow<'a, AffinityTerm>> {
    let selects_some = |term: &AffinityTerm| matches!(&term.namespace_selector, Selector::All(all) if !all.is_empty());
    let expand = |term: &'a AffinityTerm| {
        if !selects_some(term) {
            return Cow::Borrowed(term);
        }
        let mut term = term.clone();
        let selected = cluster.namespaces().filter(|(_, labels)| term.namespace_selector.matches(labels));
        let names: Vec<_> = selected.map(|(name, _)| name.to_owned()).collect();
        term.namespaces.extend(names);
        term.namespace_selector = Selector::Nothing;
        Cow::Owned(term)
    };
    terms.iter().map(expand).collect()
}

fn means(term: &AffinityTerm, resident: &Resident) -> bool {
    term.means(&resident.namespace, None, &resident.labels)
}

/// The places of pods that keep away from this one.
fn places_of_keepers<'a>(pod: &Resident, cluster: &'a Cluster) -> Places<'a> {
    let nothing = Labels::new();
    let labels = cluster.namespace(&pod.namespace).unwrap_or(&nothing);
    let mut places = Places::new();
    for node in cluster.keeping_away_from(&pod.namespace) {
        for term in node.avoided() {
            if term.means(&pod.namespace, Some(labels), &pod.labels) {
                places.extend(place(node, &term.topology_key));
            }
        }
    }
    places
}
