//! Why a node does not take a pod.

use std::fmt;

use cluster_model::demand::Misfit;

use crate::resident::HostPort;

/// A rule of the scheduler's, by the name of the plugin that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the scheduler's own")]
pub enum Plugin {
    SchedulingGates,
    NodeName,
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    NodeDeclaredFeatures,
}

/// The rule that rejects first, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejection {
    /// The rule.
    pub plugin: Plugin,
    /// What is in the way, said of a node: `has taint gpu`.
    pub reason: Reason,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Somebody does not want the pod scheduled yet.
    Gated(Vec<String>),
    /// The pod names another node.
    OtherNode(String),
    /// It is cordoned.
    Cordoned,
    /// What node and pod alone tell: a taint, a label, the node affinity, room.
    Misfit(Misfit),
    /// Its port is taken.
    Port(HostPort),
    /// A disk that is mounted there by another pod.
    DiskInUse,
    /// A claim for one pod, that another one uses.
    ClaimInUse(String),
    /// A claim that is not there.
    NoClaim(String),
    /// A claim that belongs to another pod.
    ForeignClaim(String),
    /// The most volumes of a driver.
    VolumeLimit(String),
    /// A driver that is not there.
    NoDriver(String),
    /// A disk that the driver of its kind cannot take over.
    NotTakenOver(String),
    /// A claim that lost its volume.
    LostClaim(String),
    /// A claim that is being deleted.
    DeletedClaim(String),
    /// A claim that has to be bound before its pod is placed, and is not.
    UnboundClaim(String),
    /// A claim whose volume is not there.
    NoVolume(String),
    /// A claim without volume or usable class.
    NoClass(String),
    /// A claim whose volume is not reached from it.
    VolumeUnreached(String),
    /// A claim for which no volume is there, and none can be made.
    NoVolumeFor(String),
    /// A claim for which there is too little storage.
    NoStorage(String),
    /// A claim whose volume is in another zone.
    OtherZone(String),
    /// It lacks a label by which the pods are spread.
    NoDomain(String),
    /// Pods would be spread too unevenly over the values of a label.
    Skew(String),
    /// No pod is there that the pod has to be near to.
    NotNear(String),
    /// A pod is there from which it keeps away.
    TooNear(String),
    /// A pod is there that keeps away from it.
    KeptAway(String),
    /// Its kubelet does not know something.
    NoFeature(&'static str),
}

impl Reason {
    /// Whether pods that go from the node could help; otherwise it never takes the pod as things are
    /// (`Unschedulable` against `UnschedulableAndUnresolvable`).
    pub fn passes_with_pods(&self) -> bool {
        matches!(
            self,
            Self::Port(_)
                | Self::Misfit(Misfit::Room(_))
                | Self::DiskInUse
                | Self::ClaimInUse(_)
                | Self::VolumeLimit(_)
                | Self::Skew(_)
                | Self::TooNear(_)
                | Self::KeptAway(_)
        )
    }

    /// Whether the scheduler takes it for an error of its own: then it gives the attempt up, and no other node gets the pod
    /// either for as long as this one is asked.
    pub fn ends_attempt(&self) -> bool {
        matches!(self, Self::NotTakenOver(_) | Self::ForeignClaim(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gated(gates) => write!(f, "is kept from it by scheduling gate {}", gates.join(" and ")),
            Self::OtherNode(name) => write!(f, "is not node {name}, which the pod names"),
            Self::Cordoned => f.write_str("is cordoned"),
            Self::Misfit(misfit) => misfit.fmt(f),
            Self::Port(port) => write!(f, "has no port {port} left"),
            Self::DiskInUse => f.write_str("has the pod's disk mounted by another pod"),
            Self::ClaimInUse(claim) => write!(f, "cannot have claim {claim}, which another pod uses alone"),
            Self::NoClaim(claim) => write!(f, "cannot have claim {claim}, which does not exist"),
            Self::ForeignClaim(claim) => write!(f, "cannot have claim {claim}, which was not made for the pod"),
            Self::VolumeLimit(driver) => write!(f, "takes no more volumes of {driver}"),
            Self::NoDriver(driver) => write!(f, "has no driver {driver}"),
            Self::NotTakenOver(driver) => write!(f, "cannot have a disk that driver {driver} does not take over"),
            Self::LostClaim(claim) => write!(f, "cannot have claim {claim}, which has lost its volume"),
            Self::DeletedClaim(claim) => write!(f, "cannot have claim {claim}, which is being deleted"),
            Self::UnboundClaim(claim) => write!(f, "cannot have claim {claim}, which is not bound"),
            Self::NoVolume(claim) => write!(f, "cannot have claim {claim}, whose volume does not exist"),
            Self::NoClass(claim) => write!(f, "cannot have claim {claim}, which has no usable storage class"),
            Self::VolumeUnreached(claim) => write!(f, "cannot reach the volume of claim {claim}"),
            Self::NoVolumeFor(claim) => write!(f, "has no volume for claim {claim}"),
            Self::NoStorage(claim) => write!(f, "has too little storage for claim {claim}"),
            Self::OtherZone(claim) => write!(f, "is not in the zone of claim {claim}"),
            Self::NoDomain(key) => write!(f, "lacks label {key}, by which the pods are spread"),
            Self::Skew(key) => write!(f, "would get too many of the pods that are spread by {key}"),
            Self::NotNear(key) => write!(f, "has no pod in its {key} that it must be near to"),
            Self::TooNear(key) => write!(f, "has a pod in its {key} from which it keeps away"),
            Self::KeptAway(key) => write!(f, "has a pod in its {key} that keeps away from it"),
            Self::NoFeature(name) => write!(f, "does not know {name}"),
        }
    }
}
