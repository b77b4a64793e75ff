//! PersistentVolumeClaims, as far as they decide whether two pods may use them at once.

use crate::api::core as v1;

use crate::identity::ObjectKey;

/// One claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Which claim.
    pub key: ObjectKey,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// `spec.volumeName`: the PersistentVolume that it is bound to.
    pub volume: Option<String>,
}

impl From<&v1::PersistentVolumeClaim> for Claim {
    fn from(claim: &v1::PersistentVolumeClaim) -> Self {
        let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.clone());
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
        Self { key: ObjectKey::of(&claim.metadata), access_modes: modes.unwrap_or_default(), volume }
    }
}

impl Claim {
    /// Whether pods on two nodes may mount it at the same time: some mode says so, and no mode forbids it.
    pub fn is_shareable(&self) -> bool {
        self.access_modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
            && !self.access_modes.iter().any(|mode| mode == "ReadWriteOncePod")
    }
}
