//! `v1`: pods, nodes, Services, volumes and ReplicationControllers.

#![expect(missing_docs, reason = "the fields are the API's own")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
pub use k8s_openapi::api::core::v1::{
    NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, PodAffinityTerm,
    PodCondition, ResourceRequirements, Taint, Toleration, TopologySelectorTerm, TopologySpreadConstraint,
    VolumeNodeAffinity, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{or_default, part_of};

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub spec: Option<PodSpec>,
    pub status: Option<PodStatus>,
}
part_of!(Pod, v1::Pod);

/// What a pod is to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub affinity: Option<Affinity>,
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    pub host_network: Option<bool>,
    pub host_users: Option<bool>,
    pub init_containers: Option<Vec<Container>>,
    pub node_name: Option<String>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub overhead: Option<BTreeMap<String, Quantity>>,
    pub preemption_policy: Option<String>,
    pub priority: Option<i32>,
    pub priority_class_name: Option<String>,
    pub readiness_gates: Option<Vec<Present>>,
    pub resource_claims: Option<Vec<Present>>,
    pub resources: Option<ResourceRequirements>,
    pub runtime_class_name: Option<String>,
    pub scheduler_name: Option<String>,
    pub scheduling_gates: Option<Vec<PodSchedulingGate>>,
    pub termination_grace_period_seconds: Option<i64>,
    pub tolerations: Option<Vec<Toleration>>,
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    pub volumes: Option<Vec<Volume>>,
}

/// Something of which only matters that it is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Somebody's reason not to schedule a pod yet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSchedulingGate {
    pub name: String,
}

/// What a pod asks of its place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
    pub pod_affinity: Option<PodAffinity>,
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// The pods near which a pod wants to be, or from which it keeps away.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodAffinity {
    pub required_during_scheduling_ignored_during_execution: Option<Vec<PodAffinityTerm>>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub ports: Option<Vec<ContainerPort>>,
    pub resources: Option<ResourceRequirements>,
    pub restart_policy: Option<String>,
    pub restart_policy_rules: Option<Vec<ContainerRestartRule>>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    pub container_port: i32,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    pub host_port: Option<i32>,
    pub protocol: Option<String>,
}

/// What happens when a container ends.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerRestartRule {
    pub action: String,
}

/// A volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    pub aws_elastic_block_store: Option<AwsElasticBlockStore>,
    pub azure_disk: Option<AzureDisk>,
    pub cinder: Option<IdentifiedVolume>,
    pub empty_dir: Option<Present>,
    pub ephemeral: Option<EphemeralVolumeSource>,
    pub gce_persistent_disk: Option<GcePersistentDisk>,
    pub iscsi: Option<Iscsi>,
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    pub portworx_volume: Option<IdentifiedVolume>,
    pub rbd: Option<Rbd>,
}

/// A disk of AWS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AwsElasticBlockStore {
    #[serde(rename = "volumeID")]
    pub volume_id: String,
}

/// A disk of Azure.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AzureDisk {
    #[serde(rename = "diskURI")]
    pub disk_uri: String,
    pub kind: Option<String>,
}

/// A volume of Cinder or Portworx.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IdentifiedVolume {
    #[serde(rename = "volumeID")]
    pub volume_id: String,
}

/// A disk of Google Cloud.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GcePersistentDisk {
    pub pd_name: String,
    pub read_only: Option<bool>,
}

/// A disk over iSCSI.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Iscsi {
    pub iqn: String,
    pub read_only: Option<bool>,
}

/// An image of Ceph.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rbd {
    #[serde(deserialize_with = "or_default")]
    pub monitors: Vec<String>,
    pub image: String,
    pub pool: Option<String>,
    pub read_only: Option<bool>,
}

/// A claim that is made with the pod, and goes with it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EphemeralVolumeSource {
    pub volume_claim_template: Option<PersistentVolumeClaimTemplate>,
}

/// The claim that is made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimTemplate {
    pub spec: Option<PersistentVolumeClaimSpec>,
}

/// A claim as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimVolumeSource {
    pub claim_name: String,
}

/// How a pod is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub allocated_resources: Option<BTreeMap<String, Quantity>>,
    pub conditions: Option<Vec<PodCondition>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    pub phase: Option<String>,
    pub resources: Option<ResourceRequirements>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    pub allocated_resources: Option<BTreeMap<String, Quantity>>,
    pub name: String,
    pub resources: Option<ResourceRequirements>,
    pub state: Option<ContainerState>,
}

/// In which state a container is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerState {
    pub waiting: Option<ContainerStateWaiting>,
}

/// Why a container does not run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStateWaiting {
    pub reason: Option<String>,
}

/// The pods that a controller makes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodTemplateSpec {
    pub metadata: Option<ObjectMeta>,
    pub spec: Option<PodSpec>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Node {
    pub metadata: ObjectMeta,
    pub spec: Option<NodeSpec>,
    pub status: Option<NodeStatus>,
}
part_of!(Node, v1::Node);

/// What a node is to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSpec {
    #[serde(rename = "providerID")]
    pub provider_id: Option<String>,
    pub taints: Option<Vec<Taint>>,
    pub unschedulable: Option<bool>,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    pub allocatable: Option<BTreeMap<String, Quantity>>,
    pub capacity: Option<BTreeMap<String, Quantity>>,
    pub conditions: Option<Vec<NodeCondition>>,
    pub declared_features: Option<Vec<String>>,
    pub node_info: Option<NodeSystemInfo>,
}

/// One condition of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeCondition {
    pub status: String,
    #[serde(rename = "type")]
    pub type_: String,
}

/// What runs on a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSystemInfo {
    pub kubelet_version: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Service {
    pub metadata: ObjectMeta,
    pub spec: Option<ServiceSpec>,
}
part_of!(Service, v1::Service);

/// What a Service is to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    pub selector: Option<BTreeMap<String, String>>,
    #[serde(rename = "type")]
    pub type_: Option<String>,
}

/// A claim to a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaim {
    pub metadata: ObjectMeta,
    pub spec: Option<PersistentVolumeClaimSpec>,
    pub status: Option<PersistentVolumeClaimStatus>,
}
part_of!(PersistentVolumeClaim, v1::PersistentVolumeClaim);

/// What is claimed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimSpec {
    pub access_modes: Option<Vec<String>>,
    pub resources: Option<VolumeResourceRequirements>,
    pub selector: Option<LabelSelector>,
    pub storage_class_name: Option<String>,
    pub volume_attributes_class_name: Option<String>,
    pub volume_mode: Option<String>,
    pub volume_name: Option<String>,
}

/// How a claim is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimStatus {
    pub phase: Option<String>,
}

/// A volume of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolume {
    pub metadata: ObjectMeta,
    pub spec: Option<PersistentVolumeSpec>,
    pub status: Option<PersistentVolumeStatus>,
}
part_of!(PersistentVolume, v1::PersistentVolume);

/// Whose a volume is, and from where it is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeSpec {
    pub access_modes: Option<Vec<String>>,
    pub aws_elastic_block_store: Option<AwsElasticBlockStore>,
    pub azure_disk: Option<AzureDisk>,
    pub capacity: Option<BTreeMap<String, Quantity>>,
    pub cinder: Option<IdentifiedVolume>,
    pub claim_ref: Option<ObjectReference>,
    pub csi: Option<CsiPersistentVolumeSource>,
    pub gce_persistent_disk: Option<GcePersistentDisk>,
    pub node_affinity: Option<VolumeNodeAffinity>,
    pub portworx_volume: Option<IdentifiedVolume>,
    pub storage_class_name: Option<String>,
    pub volume_attributes_class_name: Option<String>,
    pub volume_mode: Option<String>,
}

/// A volume that a driver brings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CsiPersistentVolumeSource {
    pub driver: String,
    pub volume_handle: String,
}

/// How a volume is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeStatus {
    pub phase: Option<String>,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Namespace {
    pub metadata: ObjectMeta,
}
part_of!(Namespace, v1::Namespace);

/// A ConfigMap, of which only matters that it is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigMap {
    pub metadata: ObjectMeta,
}
part_of!(ConfigMap, v1::ConfigMap);

/// How much the pods of a namespace may ask for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceQuota {
    pub metadata: ObjectMeta,
    pub spec: Option<ResourceQuotaSpec>,
    pub status: Option<ResourceQuotaStatus>,
}
part_of!(ResourceQuota, v1::ResourceQuota);

/// What is counted, and for which pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceQuotaSpec {
    pub hard: Option<BTreeMap<String, Quantity>>,
    pub scope_selector: Option<Present>,
    pub scopes: Option<Vec<String>>,
}

/// How much is used.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceQuotaStatus {
    pub hard: Option<BTreeMap<String, Quantity>>,
    pub used: Option<BTreeMap<String, Quantity>>,
}

/// A ReplicationController.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicationController {
    pub metadata: ObjectMeta,
    pub spec: Option<ReplicationControllerSpec>,
    pub status: Option<ReplicationControllerStatus>,
}
part_of!(ReplicationController, v1::ReplicationController);

/// What a ReplicationController keeps up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicationControllerSpec {
    pub min_ready_seconds: Option<i32>,
    pub replicas: Option<i32>,
    pub selector: Option<BTreeMap<String, String>>,
    pub template: Option<PodTemplateSpec>,
}

/// How far a ReplicationController is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicationControllerStatus {
    pub conditions: Option<Vec<super::apps::Condition>>,
    pub replicas: i32,
}
