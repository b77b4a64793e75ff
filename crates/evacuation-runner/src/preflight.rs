//! A question that only the server can answer, asked before the first change: would policy webhooks let a detach pass.

use std::collections::BTreeMap;

use cluster_model::identity::{PodId, Uid};
use cluster_model::marks::{self, DetachRecord};
use cluster_model::snapshot::ClusterSnapshot;
use evacuation::engine::Reply;
use evacuation::plan::{DrainPlan, Method};
use evacuation::surge::detach::{self, Circumstances};
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::actions::{detach_patch, patch_pod};
use api_access::ApiAccess;

/// How many questions are asked at a time.
const QUESTIONS_IN_FLIGHT: usize = 8;

/// Sends one detach of each workload as a dry run and tells which the server refuses, with its words. Webhooks judge
/// by kind, namespace and labels, which the pods of one workload share.
pub async fn denied_patches(
    access: &ApiAccess,
    plan: &DrainPlan,
    cluster: &ClusterSnapshot,
    now: Timestamp,
) -> BTreeMap<Uid, String> {
    let mut samples: BTreeMap<Uid, (PodId, String, DetachRecord)> = BTreeMap::new();
    for (node, pod) in plan.pods().filter(|(_, pod)| pod.method == Method::Detach) {
        let Some(pod) = cluster.pod(&pod.pod) else { continue };
        let Ok(detachable) = detach::judge(pod, cluster, &Circumstances::default()) else { continue };
        let Some(set) = cluster.replica_set(&detachable.replica_set) else { continue };
        let record = DetachRecord {
            v: marks::VERSION,
            kind: set.kind,
            replica_set: set.key.name.clone(),
            replica_set_uid: detachable.replica_set.clone(),
            hash: detachable.hash,
            given_to: detachable.given_to,
            run: "dry-run".to_owned(),
            node: node.clone(),
            at: now,
            deletion_cost: pod.deletion_cost.clone(),
            available_before: 0,
            serving_before: 0,
        };
        let sample = || (pod.id.clone(), pod.resource_version.clone(), record);
        samples.entry(detachable.replica_set).or_insert_with(sample);
    }
    stream::iter(samples)
        .map(|(set, (pod, resource_version, record))| async move {
            let patch = detach_patch(&pod, &resource_version, &record);
            (set, patch_pod(access, &pod, &patch, true).await)
        })
        .buffer_unordered(QUESTIONS_IN_FLIGHT)
        .filter_map(|(set, reply)| async move {
            match reply {
                Reply::Denied(message) => Some((set, message)),
                _ => None,
            }
        })
        .collect()
        .await
}
