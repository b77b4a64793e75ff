//! Questions that only the server can answer, asked before the first change: may this user patch, and would policy
//! webhooks let a detach pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cluster_model::identity::{PodId, Uid};
use cluster_model::marks::{self, DetachRecord};
use cluster_model::snapshot::ClusterSnapshot;
use evacuation::engine::Reply;
use evacuation::plan::{DrainPlan, Method};
use evacuation::surge::detach::{self, Circumstances};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use crate::access::{ApiAccess, CallError};
use crate::actions::{detach_patch, patch_pod};

/// How many questions are asked at a time.
const QUESTIONS_IN_FLIGHT: usize = 8;

/// A right that a run needs: a verb on a resource, in every one of the namespaces it touches or on the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core's.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The subresource; empty for none.
    pub subresource: &'static str,
}

impl Right {
    /// To detach a pod and attach it again.
    pub const PATCH_PODS: Self = Self { verb: "patch", group: "", resource: "pods", subresource: "" };
    /// To cordon a node and mark it.
    pub const PATCH_NODES: Self = Self { verb: "patch", group: "", resource: "nodes", subresource: "" };
    /// To evict.
    pub const EVICT_PODS: Self = Self { verb: "create", group: "", resource: "pods", subresource: "eviction" };
    /// To delete, with `--disable-eviction`.
    pub const DELETE_PODS: Self = Self { verb: "delete", group: "", resource: "pods", subresource: "" };
    /// To look at a pod whose detach was not answered.
    pub const GET_PODS: Self = Self { verb: "get", group: "", resource: "pods", subresource: "" };
    /// To see what becomes of the nodes.
    pub const WATCH_NODES: Self = Self { verb: "watch", group: "", resource: "nodes", subresource: "" };
    /// To see what becomes of the pods.
    pub const WATCH_PODS: Self = Self { verb: "watch", group: "", resource: "pods", subresource: "" };
    /// To see that a workload is as strong as before.
    pub const WATCH_REPLICA_SETS: Self =
        Self { verb: "watch", group: "apps", resource: "replicasets", subresource: "" };
    /// To see that a Service has its endpoint.
    pub const WATCH_ENDPOINT_SLICES: Self =
        Self { verb: "watch", group: "discovery.k8s.io", resource: "endpointslices", subresource: "" };
    /// To lock a node.
    pub const CREATE_LEASES: Self = Self::on_leases("create");
    /// To see whether somebody has locked it.
    pub const GET_LEASES: Self = Self::on_leases("get");
    /// To keep it locked.
    pub const UPDATE_LEASES: Self = Self::on_leases("update");
    /// To unlock it.
    pub const DELETE_LEASES: Self = Self::on_leases("delete");
    /// To see what becomes of virtual machines.
    pub const WATCH_INSTANCES: Self = Self::on_kubevirt("watch", "virtualmachineinstances");
    /// To see how migrations go.
    pub const WATCH_MIGRATIONS: Self = Self::on_kubevirt("watch", "virtualmachineinstancemigrations");
    /// To see who starts a guest again.
    pub const WATCH_MACHINES: Self = Self::on_kubevirt("watch", "virtualmachines");
    /// To migrate a virtual machine that an eviction would shut down.
    pub const CREATE_MIGRATIONS: Self = Self::on_kubevirt("create", "virtualmachineinstancemigrations");
    /// To abort a migration.
    pub const DELETE_MIGRATIONS: Self = Self::on_kubevirt("delete", "virtualmachineinstancemigrations");
    /// To end a virtual machine whose eviction is refused for ever.
    pub const DELETE_INSTANCES: Self = Self::on_kubevirt("delete", "virtualmachineinstances");
    /// To give a virtual machine its run strategy back.
    pub const PATCH_MACHINES: Self = Self::on_kubevirt("patch", "virtualmachines");
    /// To call an evacuation off: the API server asks for this one.
    pub const EVACUATE: Self = Self::of_virt_api("virtualmachineinstances", "evacuate");
    /// To call an evacuation off: virt-api asks for this one (OBSERVED, corrections 4).
    pub const CANCEL_EVACUATION: Self = Self::of_virt_api("virtualmachineinstances", "evacuate/cancel");
    /// To restart a virtual machine.
    pub const RESTART_MACHINES: Self = Self::of_virt_api("virtualmachines", "restart");
    /// To stop a virtual machine.
    pub const STOP_MACHINES: Self = Self::of_virt_api("virtualmachines", "stop");
    /// To see when a budget has room.
    pub const WATCH_BUDGETS: Self =
        Self { verb: "watch", group: "policy", resource: "poddisruptionbudgets", subresource: "" };
}

impl Right {
    const fn on_kubevirt(verb: &'static str, resource: &'static str) -> Self {
        Self { verb, group: "kubevirt.io", resource, subresource: "" }
    }

    const fn of_virt_api(resource: &'static str, subresource: &'static str) -> Self {
        Self { verb: "update", group: "subresources.kubevirt.io", resource, subresource }
    }

    const fn on_leases(verb: &'static str) -> Self {
        Self { verb, group: "coordination.k8s.io", resource: "leases", subresource: "" }
    }
}

/// A right and where a run needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    right: Right,
    /// `None`: in the whole cluster.
    namespaces: Option<BTreeSet<String>>,
}

impl Need {
    /// Needed in the whole cluster.
    pub fn everywhere(right: Right) -> Self {
        Self { right, namespaces: None }
    }

    /// Needed in each of these namespaces.
    pub fn within(right: Right, namespaces: BTreeSet<String>) -> Self {
        Self { right, namespaces: Some(namespaces) }
    }
}

/// A right that the user does not have where it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// The right.
    pub right: Right,
    /// Where; `None`: in the whole cluster.
    pub namespaces: Option<BTreeSet<String>>,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.right)?;
        match &self.namespaces {
            None if self.right.resource == "nodes" => Ok(()),
            None => f.write_str(" in the whole cluster"),
            Some(namespaces) => {
                let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
                write!(f, " in {}", names.join(", "))
            }
        }
    }
}

impl MissingRight {
    /// The arguments by which kubectl asks for it: `auth can-i create pods --subresource=eviction -n shop`.
    pub fn question(&self) -> String {
        let Right { verb, group, resource, subresource } = self.right;
        let mut words = vec!["auth", "can-i", verb];
        let full = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        words.push(&full);
        let subresource = format!("--subresource={subresource}");
        if !self.right.subresource.is_empty() {
            words.push(&subresource);
        }
        match self.namespaces.as_ref().and_then(BTreeSet::first) {
            Some(namespace) => words.extend(["-n", namespace]),
            None if resource == "nodes" => {}
            None => words.push("-A"),
        }
        words.join(" ")
    }
}

/// Asks which of these needs the user's rights do not meet; the answer is in their order.
pub async fn missing(access: &ApiAccess, needs: &[Need]) -> Result<Vec<MissingRight>, CallError> {
    let answers: Vec<_> = stream::iter(needs)
        .map(|need| async move {
            let right = need.right;
            match &need.namespaces {
                None => Ok((!has(access, right, None).await?).then_some(MissingRight { right, namespaces: None })),
                Some(namespaces) => {
                    let lacking = lacking(access, right, namespaces).await?;
                    Ok((!lacking.is_empty()).then_some(MissingRight { right, namespaces: Some(lacking) }))
                }
            }
        })
        .buffered(QUESTIONS_IN_FLIGHT)
        .collect()
        .await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.subresource.is_empty() { Ok(()) } else { write!(f, "/{}", self.subresource) }
    }
}

/// Asks in which of these namespaces the user lacks a right. Of several, the right to all of the cluster is asked for
/// first.
pub async fn lacking(
    access: &ApiAccess,
    right: Right,
    namespaces: &BTreeSet<String>,
) -> Result<BTreeSet<String>, CallError> {
    if namespaces.is_empty() || (namespaces.len() > 1 && has(access, right, None).await?) {
        return Ok(BTreeSet::new());
    }
    let answers: Vec<_> = stream::iter(namespaces)
        .map(|namespace| async move { (namespace, has(access, right, Some(namespace)).await) })
        .buffer_unordered(QUESTIONS_IN_FLIGHT)
        .collect()
        .await;
    let mut denied = BTreeSet::new();
    for (namespace, answer) in answers {
        if !answer? {
            denied.insert(namespace.clone());
        }
    }
    Ok(denied)
}

/// Asks whether the user has a right in a namespace, or with `None` everywhere.
pub async fn has(access: &ApiAccess, right: Right, namespace: Option<&str>) -> Result<bool, CallError> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: text(right.verb),
                group: text(right.group),
                resource: text(right.resource),
                subresource: text(right.subresource),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(access.client.clone());
    let params = PostParams::default();
    let answer = access.ask(|| reviews.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

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
        let name = cluster.replica_set(&detachable.replica_set).map(|set| set.key.name.clone()).unwrap_or_default();
        let record = DetachRecord {
            v: marks::VERSION,
            replica_set: name,
            replica_set_uid: detachable.replica_set.clone(),
            hash: detachable.hash,
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
