//! Which pods a Service really sends traffic to: the ready endpoints of its EndpointSlices.

use crate::api::discovery as v1;

use crate::identity::{ObjectKey, Uid};

/// The label by which a slice names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// One EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// Which slice.
    pub key: ObjectKey,
    /// The Service that it belongs to; `None` for a slice that nobody claims.
    pub service: Option<String>,
    /// `IPv4`, `IPv6` or `FQDN`: a dual-stack Service has slices of two.
    pub address_type: String,
    /// The pods behind it.
    pub endpoints: Vec<Endpoint>,
}

/// One pod in a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The pod's uid; endpoints that are not pods are left out of the slice.
    pub pod: Uid,
    /// `conditions.ready`, where absent means true (`discovery/v1`, EndpointConditions).
    pub ready: bool,
}

impl From<&v1::EndpointSlice> for EndpointSlice {
    fn from(slice: &v1::EndpointSlice) -> Self {
        let endpoints = slice
            .endpoints
            .iter()
            .filter_map(|endpoint| {
                let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
                let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
                Some(Endpoint { pod: Uid(target.uid.clone()?), ready })
            })
            .collect();
        Self {
            key: ObjectKey::of(&slice.metadata),
            service: slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)).cloned(),
            address_type: slice.address_type.clone(),
            endpoints,
        }
    }
}
