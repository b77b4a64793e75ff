//! Which filters the generated clusters were about.

use std::collections::{BTreeMap, BTreeSet};

use e2e::scheduler_oracle::Answer;

/// Every filter of the default profile that can reject a pod without devices, with SchedulingGates, which comes before.
const FILTERS: [&str; 14] = [
    "SchedulingGates",
    "NodeName",
    "NodeUnschedulable",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "NodeDeclaredFeatures",
];
/// Of a hundred clusters, each filter is the first to reject some pod on some node in at least so many.
const LEAST: usize = 3;

/// Counts of clusters.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    clusters: usize,
    verdicts: usize,
    feasible: usize,
    rejecting: BTreeMap<String, usize>,
}

impl Coverage {
    /// Counts one cluster.
    pub(crate) fn count(&mut self, answer: &Answer) {
        self.clusters += 1;
        let mut rejecting = BTreeSet::new();
        for verdict in answer.verdicts.iter().flat_map(BTreeMap::values) {
            self.verdicts += 1;
            match verdict {
                None => self.feasible += 1,
                Some(rejection) => {
                    rejecting.insert(rejection.plugin.clone());
                }
            }
        }
        for plugin in rejecting {
            *self.rejecting.entry(plugin).or_default() += 1;
        }
    }

    /// Returns a line for people: in how many of a hundred clusters each filter was the first to reject.
    pub(crate) fn line(&self) -> String {
        let shares: Vec<_> = FILTERS.iter().map(|filter| format!("{filter} {}%", self.percent(filter))).collect();
        format!(
            "{} clusters, {} verdicts, {} of them feasible; first rejecting: {}",
            self.clusters,
            self.verdicts,
            self.feasible,
            shares.join(", ")
        )
    }

    /// Returns the filters that rejected too rarely for the comparison to say much about them, and rejecting plugins that
    /// are unknown here.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let rare = FILTERS.iter().filter(|filter| self.percent(filter) < LEAST).map(ToString::to_string);
        let unknown = self.rejecting.keys().filter(|plugin| !FILTERS.contains(&plugin.as_str())).cloned();
        rare.chain(unknown).collect()
    }

    fn percent(&self, filter: &str) -> usize {
        self.rejecting.get(filter).copied().unwrap_or_default() * 100 / self.clusters.max(1)
    }
}
