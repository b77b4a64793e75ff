//! Kubernetes' objects as far as they are read here: names and shapes of `k8s_openapi`, without the fields at which nobody
//! looks. What is left out is skipped when an object arrives instead of being built and dropped, and no program has to
//! hold a reader for each kind of volume and probe there is.
//!
//! As there, what the server leaves out or sends as null is absent, and an absent list is empty.

pub mod apps;
pub mod batch;
pub mod core;
pub mod discovery;
pub mod networking;
pub mod policy;
pub mod storage;

use serde::{Deserialize, Deserializer};

/// Gives a type the name, the group and the metadata of the type of `k8s_openapi` that it is a part of.
macro_rules! part_of {
    ($part:ty, $whole:ty) => {
        impl k8s_openapi::Resource for $part {
            const API_VERSION: &'static str = <$whole as k8s_openapi::Resource>::API_VERSION;
            const GROUP: &'static str = <$whole as k8s_openapi::Resource>::GROUP;
            const KIND: &'static str = <$whole as k8s_openapi::Resource>::KIND;
            const VERSION: &'static str = <$whole as k8s_openapi::Resource>::VERSION;
            const URL_PATH_SEGMENT: &'static str = <$whole as k8s_openapi::Resource>::URL_PATH_SEGMENT;
            type Scope = <$whole as k8s_openapi::Resource>::Scope;
        }

        impl k8s_openapi::Metadata for $part {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use part_of;

/// Reads null as the default: the API server sends it for some lists that are empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
