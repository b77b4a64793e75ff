//! Deployments: how many pods more than wanted they allow, and whether two generations may run side by side.

use crate::api::apps as v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::{ObjectKey, Uid};

/// One Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Which Deployment.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: Uid,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.strategy`.
    pub strategy: Strategy,
}

/// How a Deployment replaces pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Old pods go before new ones come: its owner says that no two may run at once.
    Recreate,
    /// With so many pods at once above `spec.replicas`, percentages resolved.
    RollingUpdate {
        /// `maxSurge`, rounded up.
        max_surge: i32,
    },
}

impl From<&v1::Deployment> for Deployment {
    fn from(deployment: &v1::Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let strategy = spec.and_then(|spec| spec.strategy.as_ref());
        let strategy = if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            Strategy::Recreate
        } else {
            let surge = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
            let surge = surge.and_then(|update| update.max_surge.as_ref());
            let surge = surge.cloned().unwrap_or_else(Self::default_surge);
            Strategy::RollingUpdate { max_surge: resolve_surge(&surge, replicas) }
        };
        Self {
            key: ObjectKey::of(&deployment.metadata),
            uid: Uid(deployment.metadata.uid.clone().unwrap_or_default()),
            replicas,
            strategy,
        }
    }
}

impl Deployment {
    /// The `maxSurge` of a Deployment that says none (`pkg/apis/apps/v1/defaults.go`).
    pub fn default_surge() -> IntOrString {
        IntOrString::String("25%".to_owned())
    }
}

/// Resolves a number or percentage of `replicas`, rounding up as a Deployment does for its surge
/// (`pkg/controller/deployment/util/deployment_util.go`, `ResolveFenceposts`). What cannot be read is 0.
pub fn resolve_surge(surge: &IntOrString, replicas: i32) -> i32 {
    match surge {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok()).unwrap_or(0).max(0);
            let scaled = i64::from(replicas.max(0)).saturating_mul(percent).saturating_add(99) / 100;
            i32::try_from(scaled).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_up() {
        for (surge, replicas, expected) in
            [("25%", 1, 1), ("25%", 4, 1), ("25%", 5, 2), ("0%", 9, 0), ("100%", 3, 3), ("x", 3, 0)]
        {
            assert_eq!(resolve_surge(&IntOrString::String(surge.into()), replicas), expected, "{surge} of {replicas}");
        }
        assert_eq!(resolve_surge(&IntOrString::Int(2), 1), 2);
    }
}
