//! Nodes, with the pods that are on them.

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::demand::Offer;
use cluster_model::identity::NodeName;
use cluster_model::resources::Resources;

use crate::resident::Resident;

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
    residents: Vec<Resident>,
    requested: Resources,
    /// How many of the residents keep away from others.
    keeping_away: usize,
}

impl From<&v1::Node> for Node {
    fn from(node: &v1::Node) -> Self {
        let features = node.status.as_ref().and_then(|status| status.declared_features.as_ref());
        Self {
            name: NodeName(node.metadata.name.clone().unwrap_or_default()),
            offer: Offer::from(node),
            is_cordoned: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
            features: features.into_iter().flatten().cloned().collect(),
            residents: Vec::new(),
            requested: Resources::default(),
            keeping_away: 0,
        }
    }
}

impl Node {
    /// The pods on it.
    pub fn residents(&self) -> &[Resident] {
        &self.residents
    }

    /// What they take together.
    pub fn requested(&self) -> &Resources {
        &self.requested
    }

    /// Those that keep away from others.
    pub(crate) fn keeping_away(&self) -> impl Iterator<Item = &Resident> {
        let some = if self.keeping_away == 0 { &[] } else { self.residents.as_slice() };
        some.iter().filter(|resident| !resident.anti_affinity.is_empty())
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.offer.labels.get(key).map(String::as_str)
    }

    /// Puts a pod on it.
    pub fn add(&mut self, resident: Resident) {
        self.requested.add(&resident.requests);
        self.keeping_away += usize::from(!resident.anti_affinity.is_empty());
        self.residents.push(resident);
    }

    /// Takes the pods off it that are meant, and returns them.
    pub fn remove(&mut self, is_meant: impl Fn(&Resident) -> bool) -> Vec<Resident> {
        let (gone, left) = std::mem::take(&mut self.residents).into_iter().partition(is_meant);
        self.residents = left;
        for resident in &gone {
            let resident: &Resident = resident;
            self.requested.remove(&resident.requests);
            self.keeping_away -= usize::from(!resident.anti_affinity.is_empty());
        }
        gone
    }
}
