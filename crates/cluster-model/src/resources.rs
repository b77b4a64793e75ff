//! Amounts of resources, as containers request them and nodes offer them.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::core as v1;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;

/// Less than this share of an amount is a matter of how it was computed.
const TOLERANCE: f64 = 1e-9;

/// Amounts by resource name, each in its unit: cores, bytes, pieces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources(BTreeMap<String, f64>);

impl From<&BTreeMap<String, Quantity>> for Resources {
    /// What is no quantity is left out.
    fn from(amounts: &BTreeMap<String, Quantity>) -> Self {
        let amount = |quantity: &Quantity| ParsedQuantity::try_from(quantity).ok()?.to_bytes_f64();
        Self(amounts.iter().filter_map(|(name, quantity)| Some((name.clone(), amount(quantity)?))).collect())
    }
}

impl Resources {
    /// What a pod takes of its node, itself (resource `pods`) included: the containers and sidecars together, or what an
    /// init container needs beside the sidecars before it if that is more; and the overhead of its runtime class.
    /// Follows `PodRequests` of `k8s.io/component-helpers/resource`.
    pub fn of_pod(pod: &v1::PodSpec) -> Self {
        let requests = |container: &v1::Container| {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            requests.map(Self::from).unwrap_or_default()
        };
        let mut sidecars = Self::default();
        let mut starting = Self::default();
        for container in pod.init_containers.iter().flatten() {
            let mut needed = requests(container);
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars.add(&needed);
                starting.raise_to(&sidecars);
            } else {
                needed.add(&sidecars);
                starting.raise_to(&needed);
            }
        }
        let mut all = sidecars;
        pod.containers.iter().map(requests).for_each(|needed| all.add(&needed));
        all.raise_to(&starting);
        if let Some(overhead) = &pod.overhead {
            all.add(&Self::from(overhead));
        }
        all.0.insert("pods".to_owned(), 1.0);
        all
    }

    /// Adds an amount to each.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = own.max(*amount);
        }
    }

    /// What both have: the lesser amount of each resource that both name.
    pub fn least(&self, other: &Self) -> Self {
        let both = |(name, amount): (&String, &f64)| Some((name.clone(), amount.min(*other.0.get(name)?)));
        Self(self.0.iter().filter_map(both).collect())
    }

    /// What is left of it beside what is taken; less than nothing counts as nothing.
    pub fn beside(&self, taken: &Self) -> Self {
        let left = |(name, amount): (&String, &f64)| {
            (name.clone(), (amount - taken.0.get(name).copied().unwrap_or_default()).max(0.0))
        };
        Self(self.0.iter().map(left).collect())
    }

    /// Each amount times a factor.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|(name, amount)| (name.clone(), amount * factor)).collect())
    }

    /// The names of the resources of which there is not as much as is wanted.
    pub fn lacking(&self, wanted: &Self) -> BTreeSet<String> {
        let is_short = |name: &String, amount: f64| {
            amount > 0.0 && self.0.get(name).copied().unwrap_or_default() < amount * (1.0 - TOLERANCE)
        };
        wanted.0.iter().filter(|(name, amount)| is_short(name, **amount)).map(|(name, _)| name.clone()).collect()
    }

    /// The amount of one resource; zero where it is not named.
    pub fn amount(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: serde_json::Value) -> Resources {
        Resources::of_pod(&serde_json::from_value(spec).unwrap())
    }

    fn wants(cpu: &str, memory: &str) -> serde_json::Value {
        serde_json::json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn a_pod_takes_what_its_containers_request_at_their_most() {
        let plain = pod(serde_json::json!({"containers": [wants("100m", "1Gi"), wants("2", "512Mi")]}));
        assert!((plain.amount("cpu") - 2.1).abs() < 1e-9);
        assert!((plain.amount("memory") - 1.5 * 1024.0 * 1024.0 * 1024.0).abs() < 1.0);
        assert!((plain.amount("pods") - 1.0).abs() < 1e-9);
        let mut sidecar = wants("1", "1Ki");
        sidecar["restartPolicy"] = serde_json::json!("Always");
        let all = pod(serde_json::json!({
            "initContainers": [sidecar, wants("4", "1Ki")], "containers": [wants("500m", "2Ki")],
            "overhead": {"cpu": "250m"},
        }));
        assert!((all.amount("cpu") - 5.25).abs() < 1e-9, "the init container beside the sidecar, and the overhead");
        assert!((all.amount("memory") - 3072.0).abs() < 1e-9, "the sidecar beside the containers");
    }

    fn of(spec: serde_json::Value) -> Resources {
        Resources::from(&serde_json::from_value::<BTreeMap<String, Quantity>>(spec).unwrap())
    }

    #[test]
    fn the_least_is_what_both_have() {
        let small = of(serde_json::json!({"cpu": "4", "memory": "16Gi", "x": "1"}));
        let large = of(serde_json::json!({"cpu": "8", "memory": "8Gi"}));
        assert_eq!(small.least(&large), of(serde_json::json!({"cpu": "4", "memory": "8Gi"})));
    }

    #[test]
    fn what_is_short_is_named() {
        let offered = of(serde_json::json!({"cpu": "4", "memory": "8Gi", "pods": "110"}));
        let left = offered.beside(&of(serde_json::json!({"cpu": "3500m", "memory": "9Gi"})));
        let wanted = of(
            serde_json::json!({"cpu": "500m", "memory": "1", "pods": "1", "devices.kubevirt.io/kvm": "1", "x": "0"}),
        );
        let lacking: Vec<_> = left.lacking(&wanted).into_iter().collect();
        assert_eq!(lacking, ["devices.kubevirt.io/kvm", "memory"]);
    }
}
