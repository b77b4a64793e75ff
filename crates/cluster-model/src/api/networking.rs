//! `networking.k8s.io/v1`.

#![expect(missing_docs, reason = "the fields are the API's own")]

use k8s_openapi::api::networking::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use super::part_of;

/// A NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicy {
    pub metadata: ObjectMeta,
    pub spec: Option<NetworkPolicySpec>,
}
part_of!(NetworkPolicy, v1::NetworkPolicy);

/// Whom a policy is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    pub egress: Option<Vec<NetworkPolicyEgressRule>>,
    pub ingress: Option<Vec<NetworkPolicyIngressRule>>,
    pub pod_selector: Option<LabelSelector>,
}

/// Whom pods may speak to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicyEgressRule {
    pub to: Option<Vec<NetworkPolicyPeer>>,
}

/// Who may speak to pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicyIngressRule {
    pub from: Option<Vec<NetworkPolicyPeer>>,
}

/// One side of a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicyPeer {
    pub pod_selector: Option<LabelSelector>,
}
