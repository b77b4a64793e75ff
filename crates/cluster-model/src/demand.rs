//! What a pod asks of the node that it is put on, as far as the pod itself and the node tell. How pods stand to each
//! other (affinity, spread) and to volumes is not judged here.

use std::collections::BTreeSet;
use std::fmt;

use crate::api::core as v1;
pub use crate::api::core::Taint;

use crate::resources::Resources;
use crate::selector::Labels;

/// The taint that the node controller gives a cordoned node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// What a pod asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    /// `spec.nodeSelector`.
    pub selector: Labels,
    /// The terms of the required node affinity, one of which has to hold; `None`: no affinity is required.
    pub terms: Option<Vec<v1::NodeSelectorTerm>>,
    /// `spec.tolerations`.
    pub tolerations: Vec<v1::Toleration>,
    /// What it takes.
    pub requests: Resources,
}

/// What a node offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Its name, which affinity may ask for.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<v1::Taint>,
    /// `status.allocatable`.
    pub allocatable: Resources,
}

/// Why a pod cannot be put on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// A taint that it does not tolerate.
    Taint(String),
    /// A label that it selects by.
    Label {
        /// Its key.
        key: String,
        /// The value that is wanted.
        value: String,
    },
    /// The required node affinity.
    Affinity,
    /// Too little of these resources is free.
    Room(BTreeSet<String>),
}

impl From<&v1::PodSpec> for Demand {
    fn from(pod: &v1::PodSpec) -> Self {
        let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            selector: pod.node_selector.clone().unwrap_or_default(),
            terms: required.map(|required| required.node_selector_terms.clone()),
            tolerations: pod.tolerations.clone().unwrap_or_default(),
            requests: Resources::of_pod(pod),
        }
    }
}

impl From<&v1::Node> for Offer {
    fn from(node: &v1::Node) -> Self {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            allocatable: allocatable.map(Resources::from).unwrap_or_default(),
        }
    }
}

impl Demand {
    /// Why a node cannot take the pod beside what is `taken` of it; `None`: it can. The first reason of the scheduler's
    /// own order: taints, selector, affinity, room. A taint by which a node is only cordoned is left to the caller.
    pub fn misfit(&self, offer: &Offer, taken: &Resources) -> Option<Misfit> {
        let taint = self.untolerated(offer).find(|taint| taint.key != UNSCHEDULABLE);
        taint
            .map(|taint| Misfit::Taint(taint.key.clone()))
            .or_else(|| self.mismatch(offer))
            .or_else(|| Misfit::room(offer.allocatable.beside(taken).lacking(&self.requests)))
    }

    /// The taints that keep the pod off.
    pub fn untolerated<'a>(&self, offer: &'a Offer) -> impl Iterator<Item = &'a v1::Taint> {
        let repels = |taint: &&v1::Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        offer.taints.iter().filter(repels).filter(|taint| !self.tolerates(taint))
    }

    /// Whether a taint does not matter to the pod.
    pub fn tolerates(&self, taint: &v1::Taint) -> bool {
        self.tolerations.iter().any(|toleration| tolerates(toleration, taint))
    }

    /// What of the pod's selector and affinity the node does not have.
    pub fn mismatch(&self, offer: &Offer) -> Option<Misfit> {
        let missing = self.selector.iter().find(|(key, value)| offer.labels.get(*key) != Some(*value));
        if let Some((key, value)) = missing {
            return Some(Misfit::Label { key: key.clone(), value: value.clone() });
        }
        let holds = |term: &v1::NodeSelectorTerm| term_holds(term, &offer.labels, Some(&offer.name));
        self.terms.as_ref().is_some_and(|terms| !terms.iter().any(holds)).then_some(Misfit::Affinity)
    }
}

impl Misfit {
    /// That these resources are lacking, if any are.
    pub fn room(lacking: BTreeSet<String>) -> Option<Self> {
        (!lacking.is_empty()).then_some(Self::Room(lacking))
    }
}

/// Whether a toleration is about a taint. Follows `Toleration.ToleratesTaint` of `k8s.io/api/core/v1`, without the comparisons
/// of numbers that are not on by default.
fn tolerates(toleration: &v1::Toleration, taint: &v1::Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let is_about_it = (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key);
    is_about_it
        && match toleration.operator.as_deref() {
            None | Some("" | "Equal") => text(&toleration.value) == text(&taint.value),
            Some("Exists") => true,
            Some(_) => false,
        }
}

/// Whether a volume can be used from a node, as far as its node affinity says.
pub fn is_reached(affinity: &v1::VolumeNodeAffinity, labels: &Labels) -> bool {
    let holds = |term: &v1::NodeSelectorTerm| term_holds(term, labels, None);
    affinity.required.as_ref().is_none_or(|required| required.node_selector_terms.iter().any(holds))
}

/// Whether a term of a node affinity holds. One without anything in it holds nowhere, nor does one that says what cannot be
/// read; what it says of the node's name counts for nothing where the name is not looked at, as with volumes
/// (`nodeaffinity.go` of component-helpers).
pub fn term_holds(term: &v1::NodeSelectorTerm, labels: &Labels, name: Option<&str>) -> bool {
    let expressions = || term.match_expressions.iter().flatten();
    let fields = || term.match_fields.iter().flatten();
    let is_empty = expressions().next().is_none() && fields().next().is_none();
    // Both are read before either is looked at.
    if is_empty || !expressions().all(is_readable) || !fields().all(is_readable_field) {
        return false;
    }
    let by_label = |one: &v1::NodeSelectorRequirement| is_met(one, labels.get(&one.key).map(String::as_str));
    let by_field = |one: &v1::NodeSelectorRequirement, name: &str| {
        is_met(one, Some(if one.key == "metadata.name" { name } else { "" }))
    };
    expressions().all(by_label) && name.is_none_or(|name| fields().all(|one| by_field(one, name)))
}

/// What `labels.NewRequirement` accepts.
fn is_readable(requirement: &v1::NodeSelectorRequirement) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" => !values.is_empty(),
        "Exists" | "DoesNotExist" => values.is_empty(),
        "Gt" | "Lt" => matches!(values, [only] if only.parse::<i64>().is_ok()),
        _ => false,
    }
}

fn is_readable_field(requirement: &v1::NodeSelectorRequirement) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    matches!(requirement.operator.as_str(), "In" | "NotIn") && values.len() == 1
}

fn is_met(requirement: &v1::NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_among = |found: &str| values.iter().any(|value| value == found);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || values.first().and_then(|value| number(value));
    match requirement.operator.as_str() {
        "In" => found.is_some_and(is_among),
        "NotIn" => !found.is_some_and(is_among),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => found.and_then(number).zip(bound()).is_some_and(|(found, bound)| found > bound),
        "Lt" => found.and_then(number).zip(bound()).is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taint(key) => write!(f, "has taint {key}"),
            Self::Label { key, value } => write!(f, "lacks label {key}={value}"),
            Self::Affinity => f.write_str("does not match the node affinity"),
            Self::Room(resources) => {
                let names: Vec<_> = resources.iter().map(String::as_str).collect();
                write!(f, "has no room ({})", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
    fn demand(spec: Value) -> Demand {
        let mut whole = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Demand::from(&serde_json::from_value::<v1::PodSpec>(whole).unwrap())
    }

    #[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
    fn offer(labels: Value, taints: Value) -> Offer {
        let node = json!({
            "metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": "2", "pods": "10"}},
        });
        Offer::from(&serde_json::from_value::<v1::Node>(node).unwrap())
    }

    #[test]
    fn the_first_thing_in_the_way_is_named() {
        let affinity = |expressions: Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": expressions}]}}}})
        };
        let zone = |operator: &str, values: &[&str]| {
            affinity(json!([{"key": "zone", "operator": operator, "values": values}]))
        };
        let plain = offer(json!({"zone": "a", "size": "5"}), json!([]));
        let tainted = offer(json!({}), json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]));
        let toleration = |toleration: Value| json!({"tolerations": [toleration]});
        let table = [
            (json!({}), &plain, ""),
            (json!({"nodeSelector": {"zone": "a"}}), &plain, ""),
            (json!({"nodeSelector": {"zone": "b"}}), &plain, "lacks label zone=b"),
            (zone("In", &["a", "b"]), &plain, ""),
            (zone("NotIn", &["a"]), &plain, "does not match the node affinity"),
            (zone("DoesNotExist", &[]), &plain, "does not match the node affinity"),
            (affinity(json!([{"key": "size", "operator": "Gt", "values": ["4"]}])), &plain, ""),
            (
                affinity(json!([{"key": "size", "operator": "Lt", "values": ["5"]}])),
                &plain,
                "does not match the node affinity",
            ),
            (affinity(json!([])), &plain, "does not match the node affinity"),
            (json!({}), &tainted, "has taint gpu"),
            (toleration(json!({"key": "gpu", "operator": "Exists"})), &tainted, ""),
            (toleration(json!({"key": "gpu", "value": "no"})), &tainted, "has taint gpu"),
            (toleration(json!({"key": "gpu", "value": "yes", "effect": "NoExecute"})), &tainted, "has taint gpu"),
            (toleration(json!({"operator": "Exists"})), &tainted, ""),
        ];
        for (spec, offer, expected) in table {
            let misfit = demand(spec.clone()).misfit(offer, &Resources::default());
            assert_eq!(misfit.map(|misfit| misfit.to_string()).unwrap_or_default(), expected, "{spec}");
        }
    }

    #[test]
    fn what_others_take_is_not_free() {
        let one = demand(json!({}));
        let node = offer(json!({}), json!([]));
        let mut taken = one.requests.clone();
        assert_eq!(one.misfit(&node, &taken), None);
        taken.add(&one.requests);
        assert_eq!(one.misfit(&node, &taken).unwrap().to_string(), "has no room (cpu)");
    }
}
