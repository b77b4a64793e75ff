//! `discovery.k8s.io/v1`.

#![expect(missing_docs, reason = "the fields are the API's own")]

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{or_default, part_of};

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    pub address_type: String,
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
    pub metadata: ObjectMeta,
}
part_of!(EndpointSlice, v1::EndpointSlice);

/// Somebody behind a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    pub conditions: Option<EndpointConditions>,
    pub target_ref: Option<ObjectReference>,
}

/// How an endpoint is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointConditions {
    pub ready: Option<bool>,
}
