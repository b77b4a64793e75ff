//! Nodes, with the pods that are on them.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core as v1;
use cluster_model::demand::Offer;
use cluster_model::identity::{NodeName, Uid};
use cluster_model::resources::Resources;

use crate::affinity::AffinityTerm;
use crate::resident::Resident;

/// The label that is a node's own name.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

/// A node as the scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What it offers.
    pub offer: Offer,
    /// `spec.unschedulable`.
    pub is_cordoned: bool,
    /// What its kubelet knows: `status.declaredFeatures`.
    pub features: BTreeSet<String>,
    /// By namespace: most of what is asked about is asked within one.
    residents: BTreeMap<String, Vec<Resident>>,
    requested: Resources,
    /// Those of the residents that keep away from others, with what they say.
    keepers: Vec<(Uid, Vec<AffinityTerm>)>,
}

impl From<&v1::Node> for Node {
    fn from(node: &v1::Node) -> Self {
        let features = node.status.as_ref().and_then(|status| status.declared_features.as_ref());
        Self {
            name: NodeName(node.metadata.name.clone().unwrap_or_default()),
            offer: Offer::from(node),
            is_cordoned: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
            features: features.into_iter().flatten().cloned().collect(),
            residents: BTreeMap::new(),
            requested: Resources::default(),
            keepers: Vec::new(),
        }
    }
}

impl Node {
    /// The pods on it.
    pub fn residents(&self) -> impl Iterator<Item = &Resident> {
        self.residents.values().flatten()
    }

    /// The pods of one namespace on it.
    pub fn residents_in(&self, namespace: &str) -> &[Resident] {
        self.residents.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// What they take together.
    pub fn requested(&self) -> &Resources {
        &self.requested
    }

    /// From which pods those on it keep away.
    pub(crate) fn avoided(&self) -> impl Iterator<Item = &AffinityTerm> {
        self.keepers.iter().flat_map(|(_, terms)| terms)
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.offer.labels.get(key).map(String::as_str)
    }

    /// Puts a pod on it.
    pub fn add(&mut self, resident: Resident) {
        self.requested.add(&resident.requests);
        if !resident.anti_affinity.is_empty() {
            self.keepers.push((resident.uid.clone(), resident.anti_affinity.clone()));
        }
        self.residents.entry(resident.namespace.clone()).or_default().push(resident);
    }

    /// Takes the pods off it that are meant, and returns them.
    pub fn remove(&mut self, is_meant: impl Fn(&Resident) -> bool) -> Vec<Resident> {
        let mut gone = Vec::new();
        for residents in self.residents.values_mut() {
            gone.extend(residents.extract_if(.., |resident| is_meant(resident)));
        }
        for resident in &gone {
            self.requested.remove(&resident.requests);
            let own =
                |(uid, terms): &(Uid, Vec<AffinityTerm>)| *uid == resident.uid && *terms == resident.anti_affinity;
            if let Some(place) = self.keepers.iter().position(own) {
                self.keepers.swap_remove(place);
            }
        }
        gone
    }
}
