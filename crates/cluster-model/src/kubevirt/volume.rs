//! The volumes of a virtual machine, as far as they decide what a restart loses and what keeps it from migrating.

use serde_json::Value;

use super::object::{list, text};

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the spec.
    pub name: String,
    /// What is behind it.
    pub kind: VolumeKind,
}

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// An extra disk that lives as long as the launcher pod: a restart loses its data, a migration copies it.
    EmptyDisk,
    /// A disk whose writes live as long as the launcher pod: a container image, or a claim read through an overlay.
    Overlay,
    /// A claim, its own or a DataVolume's.
    Claim {
        /// The claim's name.
        claim: String,
        /// Its access modes; `None` while KubeVirt has not reported them.
        access_modes: Option<Vec<String>>,
    },
    /// Anything else.
    Other,
}

impl Volume {
    /// Reads `spec.volumes`, with the access modes that `status.volumeStatus` reports.
    pub(super) fn of(instance: &Value) -> Vec<Self> {
        list(instance, "/spec/volumes")
            .map(|volume| {
                let name = text(volume, "/name").unwrap_or_default();
                let claim =
                    text(volume, "/persistentVolumeClaim/claimName").or_else(|| text(volume, "/dataVolume/name"));
                let has = |key: &str| volume.get(key).is_some();
                let kind = match claim {
                    Some(claim) => VolumeKind::Claim { claim, access_modes: access_modes(instance, &name) },
                    None if has("emptyDisk") => VolumeKind::EmptyDisk,
                    None if has("containerDisk") || has("ephemeral") => VolumeKind::Overlay,
                    None => VolumeKind::Other,
                };
                Self { name, kind }
            })
            .collect()
    }

    /// Whether it is a claim that KubeVirt will not migrate: access mode ReadWriteMany is its only test
    /// (`pkg/storage/types/pvc.go`).
    pub fn forbids_migration(&self) -> bool {
        match &self.kind {
            VolumeKind::Claim { access_modes: Some(modes), .. } => !modes.iter().any(|mode| mode == "ReadWriteMany"),
            VolumeKind::Claim { access_modes: None, .. }
            | VolumeKind::EmptyDisk
            | VolumeKind::Overlay
            | VolumeKind::Other => false,
        }
    }
}

fn access_modes(instance: &Value, volume: &str) -> Option<Vec<String>> {
    let status = list(instance, "/status/volumeStatus").find(|one| text(one, "/name").as_deref() == Some(volume))?;
    let claim = status.pointer("/persistentVolumeClaimInfo")?;
    Some(list(claim, "/accessModes").filter_map(Value::as_str).map(str::to_owned).collect())
}
