//! What the pods mount, as far as it decides where they can run.

use cluster_model::api::core as v1;

use crate::in_tree::InTreeDisk;

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodVolume {
    /// A claim of this name.
    Claim(String),
    /// A claim that is made with the pod, and has this name.
    Ephemeral(String),
    /// A disk written in the pod itself.
    Disk {
        /// What it is where several pods may not mount it at will.
        exclusive: Option<Disk>,
        /// What it is to the driver that brings it by now.
        in_tree: Option<InTreeDisk>,
    },
}

/// A disk that is written in the pod itself, which several pods may not mount at will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    kind: DiskKind,
    read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DiskKind {
    Gce(String),
    Aws(String),
    Iscsi(String),
    Rbd { monitors: Vec<String>, pool: String, image: String },
}

/// Ceph's pool where none is named (`SetDefaults_RBDVolumeSource`).
const RBD_POOL: &str = "rbd";

impl Disk {
    fn of(volume: &v1::Volume) -> Option<Self> {
        let disk = |kind, read_only: Option<bool>| Some(Self { kind, read_only: read_only.unwrap_or(false) });
        if let Some(gce) = &volume.gce_persistent_disk {
            disk(DiskKind::Gce(gce.pd_name.clone()), gce.read_only)
        } else if let Some(aws) = &volume.aws_elastic_block_store {
            // Never shared, however it is mounted.
            disk(DiskKind::Aws(aws.volume_id.clone()), None)
        } else if let Some(iscsi) = &volume.iscsi {
            disk(DiskKind::Iscsi(iscsi.iqn.clone()), iscsi.read_only)
        } else {
            let rbd = volume.rbd.as_ref()?;
            let pool = rbd.pool.clone().unwrap_or_else(|| RBD_POOL.to_owned());
            let kind = DiskKind::Rbd { monitors: rbd.monitors.clone(), pool, image: rbd.image.clone() };
            disk(kind, rbd.read_only)
        }
    }

    /// Whether two pods cannot mount these on one node (`isVolumeConflict` of the plugin `VolumeRestrictions`).
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        let is_same = match (&self.kind, &other.kind) {
            (
                DiskKind::Rbd { monitors, pool, image },
                DiskKind::Rbd { monitors: theirs, pool: their_pool, image: their_image },
            ) => pool == their_pool && image == their_image && monitors.iter().any(|one| theirs.contains(one)),
            (one, other) => one == other,
        };
        is_same && !(self.read_only && other.read_only)
    }
}

impl PodVolume {
    /// Reads the volumes of a pod of this name; those that can be mounted anywhere are left out.
    pub fn all_of(spec: &v1::PodSpec, pod: &str) -> Vec<Self> {
        let read = |volume: &v1::Volume| {
            if let Some(claim) = &volume.persistent_volume_claim {
                Some(Self::Claim(claim.claim_name.clone()))
            } else if volume.ephemeral.is_some() {
                Some(Self::Ephemeral(format!("{pod}-{}", volume.name)))
            } else {
                let (exclusive, in_tree) = (Disk::of(volume), InTreeDisk::of_pod(volume));
                (exclusive.is_some() || in_tree.is_some()).then_some(Self::Disk { exclusive, in_tree })
            }
        };
        spec.volumes.iter().flatten().filter_map(read).collect()
    }

    /// The claim that it mounts.
    pub fn claim(&self) -> Option<&str> {
        match self {
            Self::Claim(name) | Self::Ephemeral(name) => Some(name),
            Self::Disk { .. } => None,
        }
    }
}
