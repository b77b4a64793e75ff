//! A case as the forecast judges it, beside what the scheduler says.

use std::collections::BTreeMap;

use cluster_model::api::core as v1;
use cluster_model::api::storage as storage_v1;
use e2e::scheduler_oracle::{Answer, Rejection};
use scheduler_forecast::{Candidate, Cluster};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One node about one pod: the forecast and the scheduler name different filters; `None` is a node that takes the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) source: Source,
    pub(crate) scheduler: Option<String>,
    pub(crate) forecast: Option<String>,
    /// All of it with reasons, for people.
    pub(crate) told: String,
}

/// Where the forecast read of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the pod, as the API server keeps it.
    Pod,
    /// In the template of an owner, which the API server completes when a pod is made of it.
    Template,
}

impl Difference {
    /// Returns whether the same filters are told apart, on whatever node.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.source, &self.scheduler, &self.forecast) == (other.source, &other.scheduler, &other.forecast)
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) differences: Vec<Difference>,
    /// Pods and templates of which the forecast says that it cannot know; they are not compared.
    pub(crate) unknown: usize,
}

/// Lets the forecast judge what the scheduler has judged.
pub(crate) fn compare(answer: &Answer) -> Comparison {
    let cluster = cluster_of(&answer.objects);
    let mut comparison = Comparison::default();
    for ((pod, template), theirs) in answer.pods.iter().zip(&answer.templates).zip(&answer.verdicts) {
        let pod = read::<v1::Pod>(pod);
        let replacement = Candidate::replacement(&pod, Some(&read::<v1::PodTemplateSpec>(template)));
        for (source, candidate) in [(Source::Pod, Candidate::from(&pod)), (Source::Template, replacement)] {
            if !cluster.unknown(&candidate).is_empty() {
                comparison.unknown += 1;
                continue;
            }
            let differences = differences(&cluster, &candidate, theirs);
            comparison.differences.extend(differences.into_iter().map(|(scheduler, forecast, told)| Difference {
                source,
                scheduler,
                forecast,
                told: format!("{} by its {source:?} {told}", candidate.resident.name),
            }));
        }
    }
    comparison
}

type Verdicts = BTreeMap<String, Option<Rejection>>;

fn differences(
    cluster: &Cluster,
    candidate: &Candidate,
    theirs: &Verdicts,
) -> Vec<(Option<String>, Option<String>, String)> {
    let ours: BTreeMap<String, _> =
        cluster.judge(candidate).into_iter().map(|verdict| (verdict.node.0, verdict.rejection)).collect();
    assert!(ours.keys().eq(theirs.keys()), "both judge all nodes: {:?}, {:?}", ours.keys(), theirs.keys());
    let mut differences = vec![];
    for ((node, ours), theirs) in ours.into_iter().zip(theirs.values()) {
        let scheduler = theirs.as_ref().map(|rejection| rejection.plugin.clone());
        let forecast = ours.as_ref().map(|rejection| format!("{:?}", rejection.plugin));
        if scheduler != forecast {
            let told = format!("on {node}: the scheduler says {theirs:?}, the forecast {ours:?}");
            differences.push((scheduler, forecast, told));
        }
    }
    differences
}

fn cluster_of(objects: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    for object in objects {
        let storage = &mut cluster.storage;
        match object["kind"].as_str().expect("an object has a kind") {
            "Node" => cluster.add_node(&read::<v1::Node>(object)),
            "Pod" => cluster.add_pod(&read::<v1::Pod>(object)),
            "Namespace" => cluster.add_namespace(&read::<v1::Namespace>(object)),
            "PersistentVolumeClaim" => storage.add_claim(&read::<v1::PersistentVolumeClaim>(object)),
            "PersistentVolume" => storage.add_volume(&read::<v1::PersistentVolume>(object)),
            "StorageClass" => storage.add_storage_class(&read::<storage_v1::StorageClass>(object)),
            "CSIDriver" => storage.add_csi_driver(&read::<storage_v1::CSIDriver>(object)),
            "CSINode" => storage.add_csi_node(&read::<storage_v1::CSINode>(object)),
            "CSIStorageCapacity" => storage.add_storage_capacity(&read::<storage_v1::CSIStorageCapacity>(object)),
            "VolumeAttachment" => storage.add_attachment(&read::<storage_v1::VolumeAttachment>(object)),
            other => panic!("the forecast is told nothing of a {other}"),
        }
    }
    cluster
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    T::deserialize(object).unwrap_or_else(|error| panic!("read {object}: {error}"))
}
