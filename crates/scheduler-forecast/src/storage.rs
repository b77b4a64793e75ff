//! Claims, volumes and the drivers that bring them to nodes.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core as v1;
use cluster_model::api::storage as storage_v1;
use cluster_model::identity::{NodeName, ObjectKey, Uid};
use cluster_model::quantity::{nanos, units};
use cluster_model::selector::{Labels, Selector};

use crate::in_tree::{Attachable, InTreeDisk};

/// Where a class was written before it had a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// Set when both sides of a binding are written.
const BOUND_ANNOTATION: &str = "pv.kubernetes.io/bind-completed";
/// The node for which a volume is being made.
const SELECTED_NODE_ANNOTATION: &str = "volume.kubernetes.io/selected-node";
/// The in-tree plugins that a node leaves to drivers.
const MIGRATED_ANNOTATION: &str = "storage.alpha.kubernetes.io/migrated-plugins";

/// All that is known of storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Storage {
    pub(crate) claims: BTreeMap<ObjectKey, Claim>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) drivers: BTreeMap<String, Driver>,
    pub(crate) nodes: BTreeMap<NodeName, NodeDrivers>,
    pub(crate) capacities: Vec<Capacity>,
    /// The volumes at each node, by driver and handle.
    pub(crate) attached: BTreeMap<NodeName, Vec<Attached>>,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub(crate) key: ObjectKey,
    pub(crate) uid: Uid,
    /// The pod that it was made for, as its controller.
    pub(crate) controller: Option<Uid>,
    pub(crate) access_modes: Vec<String>,
    pub(crate) class: String,
    /// The volume that it names.
    pub(crate) volume: Option<String>,
    /// Whether the binding is written on both sides.
    pub(crate) is_bound: bool,
    pub(crate) is_lost: bool,
    pub(crate) is_deleting: bool,
    pub(crate) selected_node: Option<NodeName>,
    /// Bytes; `None`: nothing is asked for.
    pub(crate) size: Option<i64>,
    pub(crate) selector: Option<Selector>,
    pub(crate) mode: String,
    pub(crate) attributes: String,
}

/// A PersistentVolume.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) class: String,
    pub(crate) size: i64,
    pub(crate) access_modes: Vec<String>,
    /// The claim it belongs to, with its uid if that is known.
    pub(crate) claim: Option<(ObjectKey, Uid)>,
    pub(crate) affinity: Option<v1::VolumeNodeAffinity>,
    pub(crate) mode: String,
    pub(crate) attributes: String,
    pub(crate) is_available: bool,
    pub(crate) is_deleting: bool,
    /// Driver and handle.
    pub(crate) csi: Option<Attachable>,
    /// What it is where it is written in the words of a plugin that a driver has taken over, and from where the driver
    /// reaches it.
    pub(crate) in_tree: Option<(InTreeDisk, Option<v1::VolumeNodeAffinity>)>,
}

/// A StorageClass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) provisioner: String,
    pub(crate) waits_for_consumer: bool,
    pub(crate) topologies: Vec<v1::TopologySelectorTerm>,
}

/// A CSIDriver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Driver {
    /// Whether it tells how much room it has.
    pub(crate) has_capacity: bool,
    /// Whether pods are kept off nodes where it is not.
    pub(crate) is_needed_on_node: bool,
}

/// A CSINode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeDrivers {
    /// Each driver with the most volumes that it can bring.
    pub(crate) limits: BTreeMap<String, Option<i64>>,
    /// The in-tree plugins that are left to drivers.
    pub(crate) taken_over: BTreeSet<String>,
}

/// A CSIStorageCapacity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Capacity {
    pub(crate) class: String,
    pub(crate) nodes: Selector,
    /// The largest volume that can be made.
    pub(crate) limit: Option<i64>,
}

/// A VolumeAttachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) attacher: String,
    pub(crate) volume: Option<String>,
}

fn class_of(annotations: Option<&BTreeMap<String, String>>, field: Option<&String>) -> String {
    annotations.and_then(|all| all.get(CLASS_ANNOTATION)).or(field).cloned().unwrap_or_default()
}

fn mode_of(mode: Option<&String>) -> String {
    mode.cloned().unwrap_or_else(|| "Filesystem".to_owned())
}

impl From<&v1::PersistentVolumeClaim> for Claim {
    fn from(claim: &v1::PersistentVolumeClaim) -> Self {
        let metadata = &claim.metadata;
        let nothing = v1::PersistentVolumeClaimSpec::default();
        let spec = claim.spec.as_ref().unwrap_or(&nothing);
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key));
        let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let owners = metadata.owner_references.iter().flatten();
        Self {
            key: ObjectKey::of(metadata),
            uid: Uid(metadata.uid.clone().unwrap_or_default()),
            controller: owners
                .filter(|owner| owner.controller == Some(true))
                .map(|owner| Uid(owner.uid.clone()))
                .next(),
            access_modes: spec.access_modes.clone().unwrap_or_default(),
            class: class_of(metadata.annotations.as_ref(), spec.storage_class_name.as_ref()),
            volume: spec.volume_name.clone().filter(|name| !name.is_empty()),
            is_bound: annotation(BOUND_ANNOTATION).is_some(),
            is_lost: claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost"),
            is_deleting: metadata.deletion_timestamp.is_some(),
            selected_node: annotation(SELECTED_NODE_ANNOTATION).cloned().map(NodeName),
            size: requests.and_then(|requests| requests.get("storage")).and_then(nanos).map(units),
            selector: spec.selector.as_ref().map(|selector| Selector::from_label_selector(Some(selector))),
            mode: mode_of(spec.volume_mode.as_ref()),
            attributes: spec.volume_attributes_class_name.clone().unwrap_or_default(),
        }
    }
}

impl From<&v1::PersistentVolume> for Volume {
    fn from(volume: &v1::PersistentVolume) -> Self {
        let metadata = &volume.metadata;
        let nothing = v1::PersistentVolumeSpec::default();
        let spec = volume.spec.as_ref().unwrap_or(&nothing);
        let labels = metadata.labels.clone().unwrap_or_default();
        let in_tree = InTreeDisk::of_volume(spec, &labels);
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            class: class_of(metadata.annotations.as_ref(), spec.storage_class_name.as_ref()),
            size: spec.capacity.as_ref().and_then(|all| all.get("storage")).and_then(nanos).map_or(0, units),
            access_modes: spec.access_modes.clone().unwrap_or_default(),
            claim: spec.claim_ref.as_ref().map(|claim| {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                (ObjectKey::new(text(&claim.namespace), text(&claim.name)), Uid(text(&claim.uid)))
            }),
            affinity: spec.node_affinity.clone(),
            mode: mode_of(spec.volume_mode.as_ref()),
            attributes: spec.volume_attributes_class_name.clone().unwrap_or_default(),
            is_available: volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available"),
            is_deleting: metadata.deletion_timestamp.is_some(),
            csi: spec.csi.as_ref().map(|csi| (csi.driver.clone(), csi.volume_handle.clone())),
            in_tree: in_tree.map(|disk| {
                let reach = disk.plugin.reach(spec.node_affinity.as_ref(), &labels);
                (disk, reach)
            }),
            labels,
        }
    }
}

impl Volume {
    /// Whether it belongs to this claim (`IsVolumeBoundToClaim` of component-helpers).
    pub(crate) fn belongs_to(&self, claim: &Claim) -> bool {
        let is_it = |(key, uid): &(ObjectKey, Uid)| *key == claim.key && (uid.0.is_empty() || *uid == claim.uid);
        self.claim.as_ref().is_some_and(is_it)
    }
}

impl Storage {
    /// Adds a claim.
    pub fn add_claim(&mut self, claim: &v1::PersistentVolumeClaim) {
        let claim = Claim::from(claim);
        self.claims.insert(claim.key.clone(), claim);
    }

    /// Adds a volume.
    pub fn add_volume(&mut self, volume: &v1::PersistentVolume) {
        let volume = Volume::from(volume);
        self.volumes.insert(volume.name.clone(), volume);
    }

    /// Adds a class.
    pub fn add_storage_class(&mut self, class: &storage_v1::StorageClass) {
        let waits_for_consumer = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        let topologies = class.allowed_topologies.clone().unwrap_or_default();
        let class_read = Class { provisioner: class.provisioner.clone(), waits_for_consumer, topologies };
        self.classes.insert(class.metadata.name.clone().unwrap_or_default(), class_read);
    }

    /// Adds a driver.
    pub fn add_csi_driver(&mut self, driver: &storage_v1::CSIDriver) {
        let read = Driver {
            has_capacity: driver.spec.storage_capacity.unwrap_or(false),
            is_needed_on_node: driver.spec.prevent_pod_scheduling_if_missing.unwrap_or(false),
        };
        self.drivers.insert(driver.metadata.name.clone().unwrap_or_default(), read);
    }

    /// Adds what a node's drivers can do.
    pub fn add_csi_node(&mut self, node: &storage_v1::CSINode) {
        let limit = |driver: &storage_v1::CSINodeDriver| {
            (driver.name.clone(), driver.allocatable.as_ref().and_then(|limit| limit.count).map(i64::from))
        };
        let annotations = node.metadata.annotations.as_ref();
        let read = NodeDrivers {
            limits: node.spec.drivers.iter().map(limit).collect(),
            taken_over: annotations
                .and_then(|all| all.get(MIGRATED_ANNOTATION))
                .map(|all| all.split(',').map(ToOwned::to_owned).collect())
                .unwrap_or_default(),
        };
        self.nodes.insert(NodeName(node.metadata.name.clone().unwrap_or_default()), read);
    }

    /// Adds how much room a driver has.
    pub fn add_storage_capacity(&mut self, capacity: &storage_v1::CSIStorageCapacity) {
        let limit = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
        self.capacities.push(Capacity {
            class: capacity.storage_class_name.clone(),
            nodes: Selector::from_label_selector(capacity.node_topology.as_ref()),
            limit: limit.and_then(nanos).map(units),
        });
    }

    /// Adds a volume at a node.
    pub fn add_attachment(&mut self, attachment: &storage_v1::VolumeAttachment) {
        let spec = &attachment.spec;
        let read = Attached { attacher: spec.attacher.clone(), volume: spec.source.persistent_volume_name.clone() };
        self.attached.entry(NodeName(spec.node_name.clone())).or_default().push(read);
    }

    pub(crate) fn claim(&self, namespace: &str, name: &str) -> Option<&Claim> {
        self.claims.get(&ObjectKey::new(namespace, name))
    }

    /// The names of the claims that only one pod may use at a time.
    pub(crate) fn is_exclusive(claim: &Claim) -> bool {
        claim.access_modes.iter().any(|mode| mode == "ReadWriteOncePod")
    }

    /// The unbound volumes of a class, by name.
    pub(crate) fn volumes_of<'a>(&'a self, class: &str) -> impl Iterator<Item = &'a Volume> {
        self.volumes.values().filter(move |volume| volume.class == class)
    }
}
