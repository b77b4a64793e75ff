//! Terms of pod affinity and anti-affinity, read once.

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::selector::{Labels, Selector};

/// Pods that are meant, and how far from them matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityTerm {
    /// Namespaces by name.
    pub namespaces: BTreeSet<String>,
    /// And those whose labels are selected.
    pub namespace_selector: Selector,
    /// The pods in them.
    pub selector: Selector,
    /// The label whose value makes nodes one place.
    pub topology_key: String,
}

impl AffinityTerm {
    /// Reads a term of a pod in this namespace: without any namespace in it, that one is meant
    /// (`getNamespacesFromPodAffinityTerm`).
    pub fn of(term: &v1::PodAffinityTerm, namespace: &str) -> Self {
        let named = term.namespaces.iter().flatten().cloned();
        let is_own = term.namespaces.as_ref().is_none_or(Vec::is_empty) && term.namespace_selector.is_none();
        Self {
            namespaces: named.chain(is_own.then(|| namespace.to_owned())).collect(),
            namespace_selector: Selector::from_label_selector(term.namespace_selector.as_ref()),
            selector: Selector::from_label_selector(term.label_selector.as_ref()),
            topology_key: term.topology_key.clone(),
        }
    }

    /// Whether a pod with these labels is meant; `namespace_labels` are those of its namespace.
    pub fn means(&self, namespace: &str, namespace_labels: Option<&Labels>, labels: &Labels) -> bool {
        let of_nothing = Labels::new();
        let is_there = self.namespaces.contains(namespace)
            || self.namespace_selector.matches(namespace_labels.unwrap_or(&of_nothing));
        is_there && self.selector.matches(labels)
    }
}

/// Reads the required terms.
pub(crate) fn required(affinity: Option<&v1::PodAffinity>, namespace: &str) -> Vec<AffinityTerm> {
    let terms = affinity.and_then(|one| one.required_during_scheduling_ignored_during_execution.as_ref());
    terms.into_iter().flatten().map(|term| AffinityTerm::of(term, namespace)).collect()
}
