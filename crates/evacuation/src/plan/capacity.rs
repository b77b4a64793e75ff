//! Whether there is room for all of a plan's pods together, and what is missing.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::NodeName;
use cluster_model::resources::Resources;
use scheduler_forecast::imagined::needed_nodes;
use scheduler_forecast::{Cluster, Move, Outlook, Question};
use serde::Serialize;

use super::Fits;
use super::foresight::{Ground, fits_of};

/// The label by which clouds tell zones.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Room for all together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Whether all find places.
    pub fits: Fits,
    /// The pool on which alone they were sought; `None`: all nodes that are not emptied.
    pub onto: Option<String>,
    /// How many pods seek one.
    pub pods: usize,
    /// What those take that found none in the try that went best, zone by zone where they need one.
    pub missing: Vec<Missing>,
    /// How many more nodes like this one would hold all; `None`: none is missing, or that would not help.
    pub nodes: Option<MoreNodes>,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The zone, where nothing else helps.
    pub zone: Option<String>,
    /// How many pods.
    pub pods: usize,
    /// Cores, in thousandths.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
}

/// Nodes that would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoreNodes {
    /// How many.
    pub count: usize,
    /// Nodes like this one.
    pub like: NodeName,
}

impl Capacity {
    pub(super) fn of(
        outlook: &Outlook,
        moves: &[Move],
        cluster: &mut Cluster,
        question: &Question<'_>,
        ground: &Ground,
    ) -> Self {
        let left: Vec<&Move> = outlook.left_over.iter().filter_map(|index| moves.get(*index)).collect();
        let mut sums: BTreeMap<Option<String>, (usize, Resources)> = BTreeMap::new();
        for one in &left {
            let (pods, sum) = sums.entry(zone_of(one, cluster, question)).or_default();
            *pods += 1;
            sum.add(&one.candidate.resident.requests);
        }
        let missing =
            sums.into_iter().map(|(zone, (pods, sum))| Missing { zone, pods, cpu: sum.cpu, memory: sum.memory });
        let like = left.first().map(|one| one.from.clone());
        let count = like.as_ref().and_then(|like| needed_nodes(cluster, question, like));
        Self {
            fits: fits_of(outlook, ground),
            onto: ground.onto.as_ref().map(|(pool, _)| pool.clone()),
            pods: moves.len(),
            missing: missing.collect(),
            nodes: count.zip(like).map(|(count, like)| MoreNodes { count, like }),
        }
    }
}

/// The zone in which alone a pod could be, as far as its own wishes and its volumes say.
fn zone_of(one: &Move, cluster: &Cluster, question: &Question<'_>) -> Option<String> {
    let judged = cluster.judge(&one.candidate);
    let is_possible = |verdict: &&scheduler_forecast::Verdict| {
        verdict.rejection.as_ref().is_none_or(|rejection| rejection.reason.passes_with_pods())
            && question.counts(&verdict.node)
    };
    let zones: BTreeSet<_> = judged
        .iter()
        .filter(is_possible)
        .filter_map(|verdict| cluster.node(&verdict.node)?.label(ZONE).map(str::to_owned))
        .collect();
    let all: BTreeSet<_> = cluster.nodes().filter_map(|node| node.label(ZONE)).collect();
    if all.len() > 1 && zones.len() == 1 { zones.into_iter().next() } else { None }
}
