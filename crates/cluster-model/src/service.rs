//! Objects that choose pods by label: Services and NetworkPolicies. A detach must not change any such choice.

use crate::api::core as v1;
use crate::api::networking;

use crate::identity::ObjectKey;
use crate::selector::Selector;

/// An object whose meaning depends on which pods its selectors choose.
#[derive(Clone, Debug, PartialEq)]
pub struct PodChooser {
    /// The kind, for the person who reads the reason.
    pub kind: &'static str,
    /// Which object.
    pub key: ObjectKey,
    /// Every selector in it that is applied to pods.
    pub selectors: Vec<Selector>,
    /// Whether it is a Service to which a load balancer outside of the cluster leads.
    pub has_load_balancer: bool,
}

impl From<&v1::Service> for PodChooser {
    fn from(service: &v1::Service) -> Self {
        let spec = service.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        Self {
            kind: "Service",
            key: ObjectKey::of(&service.metadata),
            selectors: vec![Selector::from_map(selector)],
            has_load_balancer: spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer"),
        }
    }
}

impl From<&networking::NetworkPolicy> for PodChooser {
    /// Takes the policy's own subject and every peer. A peer's namespaceSelector is not looked at: a selector that
    /// might reach the pod counts.
    fn from(policy: &networking::NetworkPolicy) -> Self {
        let spec = policy.spec.as_ref();
        let subject = spec.and_then(|spec| spec.pod_selector.as_ref());
        let ingress = spec.and_then(|spec| spec.ingress.as_ref()).into_iter().flatten();
        let egress = spec.and_then(|spec| spec.egress.as_ref()).into_iter().flatten();
        let peers = ingress
            .flat_map(|rule| rule.from.iter().flatten())
            .chain(egress.flat_map(|rule| rule.to.iter().flatten()))
            .filter_map(|peer| peer.pod_selector.as_ref());
        // An absent podSelector in a policy's spec selects every pod of the namespace, as an empty one does.
        let subject = subject.map_or(Selector::All(Vec::new()), |subject| Selector::from_label_selector(Some(subject)));
        Self {
            kind: "NetworkPolicy",
            key: ObjectKey::of(&policy.metadata),
            selectors: std::iter::once(subject)
                .chain(peers.map(|peer| Selector::from_label_selector(Some(peer))))
                .collect(),
            has_load_balancer: false,
        }
    }
}
