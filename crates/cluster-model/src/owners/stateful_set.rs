//! StatefulSets: which of their pods are made of an earlier template.

use crate::api::apps;

/// The pods of a StatefulSet that are made again as they were, though its template is newer: those below the partition of a
/// rolling update (`newVersionedStatefulSetPod` in `pkg/controller/statefulset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    below: i32,
}

impl HeldBack {
    /// Reads a set; `None`: all pods are made of its template. Clauses:
    ///
    /// 1. its pods are updated one after another, down to a partition;
    /// 2. there is a template that not all of them have.
    pub fn read(set: &apps::StatefulSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let update = spec.update_strategy.as_ref().filter(|strategy| strategy.type_ != "OnDelete")?;
        let partition = update.rolling_update.as_ref().and_then(|rolling| rolling.partition).filter(|at| *at > 0)?;
        let status = set.status.as_ref()?;
        let start = spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start);
        let below = start.saturating_add(partition);
        (status.current_revision != status.update_revision).then_some(Self { below })
    }

    /// Whether the pod of this name is one of them: it ends in its ordinal.
    pub fn includes(self, pod: &str) -> bool {
        let ordinal = pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<i32>().ok());
        ordinal.is_some_and(|ordinal| ordinal < self.below)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_pods_below_the_partition_of_an_update_are_held_back() {
        let rolling = |partition: u32| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
        let table: [(Value, Value, &str, [bool; 3]); 6] = [
            (rolling(2), json!({}), "new", [true, true, false]),
            (rolling(1), json!({"start": 1}), "new", [true, true, false]),
            (rolling(2), json!({}), "old", [false, false, false]),
            (rolling(0), json!({}), "new", [false, false, false]),
            (json!({"type": "OnDelete"}), json!({}), "new", [false, false, false]),
            (Value::Null, Value::Null, "new", [false, false, false]),
        ];
        for (strategy, ordinals, newest, expected) in table {
            let set: apps::StatefulSet = serde_json::from_value(json!({
                "metadata": {"name": "db"}, "spec": {"updateStrategy": strategy, "ordinals": ordinals},
                "status": {"currentRevision": "old", "updateRevision": newest},
            }))
            .unwrap();
            let held = HeldBack::read(&set);
            let found = ["db-0", "db-1", "db-2"].map(|pod| held.is_some_and(|held| held.includes(pod)));
            assert_eq!(found, expected, "{strategy} {ordinals} {newest}");
        }
    }
}
