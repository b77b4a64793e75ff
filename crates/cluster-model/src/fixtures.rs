//! Builders for tests: `pod("shop", "web").on("n1").ready()`.

pub mod kubevirt;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::budget::Budget;
use crate::endpoint_slice::{Endpoint, EndpointSlice};
use crate::identity::{ControllerRef, NodeName, ObjectKey, PodId, Uid};
use crate::namespace::Namespace;
use crate::node::Node;
use crate::owners::{Deployment, ReplicaSet, SetKind, Strategy, TemplateRules};
use crate::pod::{Phase, Pod, TEMPLATE_HASH};
use crate::selector::{Labels, Requirement, Selector, Test};

/// A moment, in seconds since 1970.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

/// Labels from pairs.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A selector of exactly these labels.
pub fn selector(pairs: &[(&str, &str)]) -> Selector {
    let requirement = |(key, value): &(&str, &str)| Requirement {
        key: (*key).to_owned(),
        test: Test::In(std::iter::once((*value).to_owned()).collect()),
    };
    Selector::All(pairs.iter().map(requirement).collect())
}

/// A namespace, uid `uid-NAME`.
pub fn namespace(name: &str) -> Namespace {
    Namespace { name: name.into(), uid: Uid(format!("uid-{name}")), order: None }
}

/// A pod in the making; each step gives a new one, so that tables can branch.
#[derive(Clone, Debug)]
pub struct PodBuilder(Pod);

/// Begins a pod, uid `uid-NAME`, running and not ready.
pub fn pod(namespace: &str, name: &str) -> PodBuilder {
    PodBuilder(Pod {
        id: PodId { namespace: namespace.into(), name: name.into(), uid: Uid(format!("uid-{name}")) },
        resource_version: "1".into(),
        labels: BTreeMap::new(),
        controller: None,
        node: None,
        phase: Phase::Running,
        ready_since: None,
        created_at: at(0),
        deletion: None,
        waiting_reason: None,
        is_mirror: false,
        has_empty_dir: false,
        claims: Vec::new(),
        detached: None,
        deletion_cost: None,
        grace_seconds: 30,
        has_readiness_gates: false,
        finalizers: Vec::new(),
        priority: 0,
        wishes: crate::wishes::Wishes::default(),
        is_system_critical: false,
    })
}

impl From<Pod> for PodBuilder {
    fn from(pod: Pod) -> Self {
        Self(pod)
    }
}

impl PodBuilder {
    fn with(&self, change: impl FnOnce(&mut Pod)) -> Self {
        let mut next = self.clone();
        change(&mut next.0);
        next
    }

    /// The finished pod.
    pub fn build(&self) -> Pod {
        self.0.clone()
    }

    /// Bound to a node.
    pub fn on(&self, node: &str) -> Self {
        self.with(|pod| pod.node = Some(NodeName::from(node)))
    }

    /// Ready since the beginning.
    pub fn ready(&self) -> Self {
        self.with(|pod| pod.ready_since = Some(at(0)))
    }

    /// In this phase.
    pub fn phase(&self, phase: Phase) -> Self {
        self.with(|pod| pod.phase = phase)
    }

    /// With these labels.
    pub fn labelled(&self, pairs: &[(&str, &str)]) -> Self {
        self.with(|pod| pod.labels.extend(labels(pairs)))
    }

    /// Managed by an owner with uid `uid-NAME`.
    pub fn managed_by(&self, api_version: &str, kind: &str, name: &str) -> Self {
        let uid = Uid(format!("uid-{name}"));
        self.with(|pod| {
            pod.controller =
                Some(ControllerRef { api_version: api_version.into(), kind: kind.into(), name: name.into(), uid });
        })
    }

    /// One of a ReplicaSet's: managed by it and labelled as its selector asks.
    pub fn of(&self, set: &ReplicaSet) -> Self {
        self.managed_by("apps/v1", "ReplicaSet", &set.key.name)
            .with(|pod| pod.labels.extend(set.template.labels.clone()))
    }

    /// With an emptyDir volume.
    pub fn empty_dir(&self) -> Self {
        self.with(|pod| pod.has_empty_dir = true)
    }

    /// Mounting a claim.
    pub fn claim(&self, name: &str) -> Self {
        self.with(|pod| pod.claims.push(name.into()))
    }

    /// A static pod's image.
    pub fn mirror(&self) -> Self {
        self.with(|pod| pod.is_mirror = true)
    }

    /// On its way out; its grace ends at this moment.
    pub fn terminating(&self, end: Timestamp) -> Self {
        self.with(|pod| pod.deletion = Some(end))
    }

    /// With this text as its `handover/detached`.
    pub fn detached(&self, record: &str) -> Self {
        self.with(|pod| pod.detached = Some(record.into()))
    }
}

/// A Ready, schedulable node.
pub fn node(name: &str) -> Node {
    Node {
        name: NodeName::from(name),
        uid: Uid(format!("uid-{name}")),
        resource_version: "1".into(),
        labels: labels(&[("kubernetes.io/hostname", name)]),
        unschedulable: false,
        ready: true,
        holders: Vec::new(),
        run: None,
    }
}

/// ReplicaSet `NAME-1` of Deployment `NAME`, pods labelled `app=NAME`, hash `h1`.
pub fn replica_set(namespace: &str, deployment: &str, replicas: i32) -> ReplicaSet {
    let name = format!("{deployment}-1");
    let pairs = [("app", deployment), (TEMPLATE_HASH, "h1")];
    ReplicaSet {
        kind: SetKind::ReplicaSet,
        key: ObjectKey::new(namespace, name.clone()),
        uid: Uid(format!("uid-{name}")),
        controller: Some(ControllerRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: deployment.into(),
            uid: Uid(format!("uid-{deployment}")),
        }),
        selector: selector(&pairs),
        template_hash: Some("h1".into()),
        replicas,
        current_replicas: replicas,
        min_ready_seconds: 0,
        revision: 1,
        desired_replicas: Some(replicas),
        is_terminating: false,
        failure: None,
        template: TemplateRules { labels: labels(&pairs), ..TemplateRules::default() },
    }
}

/// The Deployment above [`replica_set`], surge 1.
pub fn deployment(namespace: &str, name: &str, replicas: i32) -> Deployment {
    Deployment {
        key: ObjectKey::new(namespace, name),
        uid: Uid(format!("uid-{name}")),
        replicas,
        strategy: Strategy::RollingUpdate { max_surge: 1 },
    }
}

/// A budget over `app=NAME` that allows so many disruptions.
pub fn budget(namespace: &str, name: &str, disruptions_allowed: i32) -> Budget {
    Budget {
        key: ObjectKey::new(namespace, name),
        resource_version: "1".into(),
        selector: selector(&[("app", name)]),
        is_observed: true,
        disruptions_allowed,
        current_healthy: 1 + disruptions_allowed,
        desired_healthy: 1,
        expected_pods: 1,
        counts_by_scale: false,
        always_allows_unhealthy: false,
        sync_failure: None,
    }
}

/// A Service's only slice, with these pods as ready endpoints.
pub fn slice<'a>(namespace: &str, service: &str, pods: impl IntoIterator<Item = &'a Pod>) -> EndpointSlice {
    EndpointSlice {
        key: ObjectKey::new(namespace, format!("{service}-a")),
        service: Some(service.into()),
        address_type: "IPv4".into(),
        endpoints: pods.into_iter().map(|pod| Endpoint { pod: pod.id.uid.clone(), ready: true }).collect(),
    }
}
