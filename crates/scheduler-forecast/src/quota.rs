//! ResourceQuotas: whether a namespace has room for one pod more while the old one is still there.

use std::collections::BTreeMap;

use cluster_model::api::core as v1;
use cluster_model::identity::ObjectKey;
use cluster_model::quantity::{nanos, thousandths, units};

use crate::candidate::Candidate;

/// A ResourceQuota that counts all pods of its namespace. Those with scopes count some, and which ones is not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Which.
    pub key: ObjectKey,
    /// What is left of each resource, of cpu in thousandths.
    left: BTreeMap<String, i64>,
}

impl Quota {
    /// Reads a quota; `None` for one with scopes.
    pub fn read(quota: &v1::ResourceQuota) -> Option<Self> {
        let spec = quota.spec.as_ref()?;
        let is_scoped = spec.scope_selector.is_some() || spec.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty());
        let status = quota.status.as_ref()?;
        let used = status.used.as_ref()?;
        let amount = |name: &str, quantity| {
            let amount = nanos(quantity)?;
            Some(if name.ends_with("cpu") { thousandths(amount) } else { units(amount) })
        };
        let left = status.hard.iter().flatten().filter_map(|(name, hard)| {
            let used = used.get(name).and_then(|used| amount(name, used)).unwrap_or(0);
            Some((name.clone(), amount(name, hard)?.saturating_sub(used)))
        });
        (!is_scoped).then(|| Self { key: ObjectKey::of(&quota.metadata), left: left.collect() })
    }

    /// The resource of which too little is left for this pod as one more (`pkg/quota/v1/evaluator/core/pods.go`).
    pub fn lacks(&self, pod: &Candidate) -> Option<&str> {
        if self.key.namespace != pod.resident.namespace {
            return None;
        }
        let wanted = |name: &str| {
            let (requests, limits) = (&pod.resident.requests, &pod.limits);
            match name {
                "count/pods" => 1,
                "pods" | "cpu" | "memory" | "ephemeral-storage" => requests.of(name),
                _ => match (name.strip_prefix("requests."), name.strip_prefix("limits.")) {
                    (Some(name), _) => requests.of(name),
                    (_, Some(name)) => limits.of(name),
                    _ => 0,
                },
            }
        };
        let is_short = |(name, left): &(&String, &i64)| {
            let wanted = wanted(name);
            wanted > 0 && wanted > **left
        };
        self.left.iter().find(is_short).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
    fn quota(spec: Value, hard: Value, used: Value) -> Option<Quota> {
        let metadata = json!({"namespace": "ns", "name": "q"});
        let object = json!({"metadata": metadata, "spec": spec, "status": {"hard": hard, "used": used}});
        Quota::read(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn one_more_pod_is_counted_beside_the_old_one() {
        let pod: v1::Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "p"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}}]},
        }))
        .unwrap();
        let candidate = Candidate::replacement(&pod, None);
        let table = [
            (json!({"pods": "3"}), json!({"pods": "2"}), None),
            (json!({"pods": "3"}), json!({"pods": "3"}), Some("pods")),
            (json!({"requests.cpu": "2"}), json!({"requests.cpu": "1500m"}), None),
            (json!({"requests.cpu": "2"}), json!({"requests.cpu": "1501m"}), Some("requests.cpu")),
            (json!({"limits.memory": "1Gi"}), json!({"limits.memory": "1"}), Some("limits.memory")),
            (json!({"services": "0"}), json!({"services": "0"}), None),
        ];
        for (hard, used, expected) in table {
            assert_eq!(quota(json!({}), hard.clone(), used).unwrap().lacks(&candidate), expected, "{hard}");
        }
        assert_eq!(quota(json!({"scopes": ["BestEffort"]}), json!({"pods": "0"}), json!({})), None);
    }
}
