//! Pods that are on a node, as far as they matter to those that come.

use std::fmt;

use cluster_model::api::core as v1;
use cluster_model::identity::Uid;
use cluster_model::resources::Resources;
use cluster_model::selector::Labels;

use crate::affinity::{self, AffinityTerm};
use crate::volume::PodVolume;

/// A pod on a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resident {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`; empty for a pod that is only imagined.
    pub uid: Uid,
    /// All labels.
    pub labels: Labels,
    /// Whether its deletion was asked for. It takes room until it is gone.
    pub is_terminating: bool,
    /// `spec.priority`.
    pub priority: i32,
    /// What it takes of the node.
    pub requests: Resources,
    /// The ports that it opens on the node itself.
    pub ports: Vec<HostPort>,
    /// From which pods it keeps away.
    pub anti_affinity: Vec<AffinityTerm>,
    /// What it mounts.
    pub volumes: Vec<PodVolume>,
}

/// A port of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address, `0.0.0.0` for all of them.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

/// All addresses of a node.
const ANY_IP: &str = "0.0.0.0";

impl HostPort {
    /// Whether two pods cannot both have these (`HostPortInfo.CheckConflict`).
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        let is_any = self.ip == ANY_IP || other.ip == ANY_IP;
        self.port == other.port && self.protocol == other.protocol && (is_any || self.ip == other.ip)
    }

    /// Reads the ports that containers and sidecars open on the node. In the network of the node itself every port of a
    /// container is one of the node; the API server writes that into pods, and not into templates.
    fn all_of(spec: &v1::PodSpec) -> Vec<Self> {
        let is_in_network_of_node = spec.host_network.unwrap_or(false);
        let runs_on = |container: &&v1::Container| container.restart_policy.as_deref() == Some("Always");
        let sidecars = spec.init_containers.iter().flatten().filter(runs_on);
        let text = |own: Option<&String>, default: &str| {
            own.filter(|own| !own.is_empty()).map_or_else(|| default.to_owned(), Clone::clone)
        };
        let read = |port: &v1::ContainerPort| {
            let own = port.host_port.filter(|port| *port > 0);
            let number = own.or_else(|| is_in_network_of_node.then_some(port.container_port))?;
            Some(Self {
                ip: text(port.host_ip.as_ref(), ANY_IP),
                protocol: text(port.protocol.as_ref(), "TCP"),
                port: number,
            })
        };
        sidecars
            .chain(&spec.containers)
            .flat_map(|container| container.ports.iter().flatten())
            .filter_map(read)
            .collect()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, protocol, port } = self;
        if ip == ANY_IP { write!(f, "{port}/{protocol}") } else { write!(f, "{ip}:{port}/{protocol}") }
    }
}

impl From<&v1::Pod> for Resident {
    fn from(pod: &v1::Pod) -> Self {
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let resident = Self {
            labels: metadata.labels.clone().unwrap_or_default(),
            uid: Uid(metadata.uid.clone().unwrap_or_default()),
            is_terminating: metadata.deletion_timestamp.is_some(),
            requests: Resources::held_by(pod),
            ..Self::default()
        };
        let Some(spec) = &pod.spec else { return Self { namespace, name, ..resident } };
        let anti_affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        Self {
            priority: spec.priority.unwrap_or(0),
            ports: HostPort::all_of(spec),
            anti_affinity: affinity::required(anti_affinity, &namespace),
            volumes: PodVolume::all_of(spec, &name),
            namespace,
            name,
            ..resident
        }
    }
}
