//! `apps/v1`: the controllers of pods.

#![expect(missing_docs, reason = "the fields are the API's own")]

use k8s_openapi::api::apps::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::core::PodTemplateSpec;
use super::part_of;

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSet {
    pub metadata: ObjectMeta,
    pub spec: Option<ReplicaSetSpec>,
    pub status: Option<ReplicaSetStatus>,
}
part_of!(ReplicaSet, v1::ReplicaSet);

/// What a ReplicaSet keeps up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSetSpec {
    pub min_ready_seconds: Option<i32>,
    pub replicas: Option<i32>,
    pub selector: LabelSelector,
    pub template: Option<PodTemplateSpec>,
}

/// How far a ReplicaSet is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSetStatus {
    pub conditions: Option<Vec<Condition>>,
    pub replicas: i32,
}

/// One condition of a controller.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    pub message: Option<String>,
    pub status: String,
    #[serde(rename = "type")]
    pub type_: String,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Deployment {
    pub metadata: ObjectMeta,
    pub spec: Option<DeploymentSpec>,
}
part_of!(Deployment, v1::Deployment);

/// What a Deployment keeps up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentSpec {
    pub replicas: Option<i32>,
    pub strategy: Option<DeploymentStrategy>,
}

/// How a Deployment replaces pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStrategy {
    pub rolling_update: Option<RollingUpdateDeployment>,
    #[serde(rename = "type")]
    pub type_: Option<String>,
}

/// How many pods a rolling update may have too many.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdateDeployment {
    pub max_surge: Option<IntOrString>,
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSet {
    pub metadata: ObjectMeta,
    pub spec: Option<StatefulSetSpec>,
    pub status: Option<StatefulSetStatus>,
}
part_of!(StatefulSet, v1::StatefulSet);

/// What a StatefulSet keeps up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetSpec {
    pub ordinals: Option<StatefulSetOrdinals>,
    pub replicas: Option<i32>,
    pub selector: LabelSelector,
    pub template: Option<PodTemplateSpec>,
    pub update_strategy: Option<StatefulSetUpdateStrategy>,
}

/// Where a StatefulSet begins to count its pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetOrdinals {
    pub start: i32,
}

/// How a StatefulSet's pods get a new template.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetUpdateStrategy {
    pub rolling_update: Option<RollingUpdateStatefulSetStrategy>,
    #[serde(rename = "type")]
    pub type_: String,
}

/// Down to which of its pods a StatefulSet is updated.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdateStatefulSetStrategy {
    pub partition: Option<i32>,
}

/// How far a StatefulSet is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetStatus {
    pub current_revision: String,
    pub update_revision: String,
}

/// A DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSet {
    pub metadata: ObjectMeta,
    pub spec: Option<DaemonSetSpec>,
}
part_of!(DaemonSet, v1::DaemonSet);

/// What a DaemonSet keeps up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetSpec {
    pub selector: LabelSelector,
    pub template: PodTemplateSpec,
}
