//! Disks in the words of plugins that were once part of Kubernetes: CSI drivers have taken their work over, and the
//! scheduler counts and places such disks as the driver's (`k8s.io/csi-translation-lib/plugins`).

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::selector::Labels;

/// A plugin whose work a driver does by now.
#[derive(Debug, PartialEq, Eq)]
pub struct InTreePlugin {
    /// Its name, as provisioners and CSINodes have it.
    pub name: &'static str,
    /// The driver.
    pub driver: &'static str,
    /// The driver's own label of zones, for which the plugin's disks have Kubernetes' labels.
    zone_key: Option<&'static str>,
}

/// The plugins that have been taken over for good. Others have drivers too, but the scheduler leaves their disks alone.
const PLUGINS: [InTreePlugin; 5] = [AWS, AZURE, CINDER, GCE, PORTWORX];

const AWS: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/aws-ebs",
    driver: "ebs.csi.aws.com",
    zone_key: Some("topology.ebs.csi.aws.com/zone"),
};
const AZURE: InTreePlugin =
    InTreePlugin { name: "kubernetes.io/azure-disk", driver: "disk.csi.azure.com", zone_key: None };
const CINDER: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/cinder",
    driver: "cinder.csi.openstack.org",
    zone_key: Some("topology.cinder.csi.openstack.org/zone"),
};
const GCE: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/gce-pd",
    driver: "pd.csi.storage.gke.io",
    zone_key: Some("topology.gke.io/zone"),
};
const PORTWORX: InTreePlugin =
    InTreePlugin { name: "kubernetes.io/portworx-volume", driver: "pxd.portworx.com", zone_key: None };

/// Plugins that have drivers too, of whose disks none is ever counted.
const UNCOUNTED: [&str; 2] = ["kubernetes.io/azure-file", "kubernetes.io/vsphere-volume"];

/// What a driver's volumes are told apart by: its name and the volume's handle.
pub type Attachable = (String, String);

/// A disk of such a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTreeDisk {
    /// The plugin.
    pub plugin: &'static InTreePlugin,
    /// What it is to the driver; `None`: the driver cannot take it over.
    pub csi: Option<Attachable>,
}

/// Whose the volumes of a provisioner are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioner<'a> {
    /// This driver's.
    Driver(&'a str),
    /// This driver's, on nodes that have drivers at all.
    TakenOver(&'static str),
    /// Nobody's that is counted.
    Uncounted,
}

impl<'a> Provisioner<'a> {
    /// Reads the provisioner of a class.
    pub fn of(name: &'a str) -> Self {
        match PLUGINS.iter().find(|plugin| plugin.name == name) {
            Some(plugin) => Self::TakenOver(plugin.driver),
            None if UNCOUNTED.contains(&name) => Self::Uncounted,
            None => Self::Driver(name),
        }
    }
}

/// How the API writes a disk of each plugin.
#[derive(Clone, Copy, Default)]
struct Sources<'a> {
    aws: Option<&'a v1::AwsElasticBlockStore>,
    azure: Option<&'a v1::AzureDisk>,
    cinder: Option<&'a v1::IdentifiedVolume>,
    gce: Option<&'a v1::GcePersistentDisk>,
    portworx: Option<&'a v1::IdentifiedVolume>,
}

impl Sources<'_> {
    /// Reads the disk; only Google's is also called by the zone that its labels tell.
    fn disk(self, labels: &Labels) -> Option<InTreeDisk> {
        let (plugin, handle) = if let Some(aws) = self.aws {
            (&AWS, aws_handle(&aws.volume_id))
        } else if let Some(azure) = self.azure {
            let is_managed = azure.kind.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case("Managed"));
            (&AZURE, is_managed.then(|| azure.disk_uri.clone()))
        } else if let Some(cinder) = self.cinder {
            (&CINDER, Some(cinder.volume_id.clone()))
        } else if let Some(gce) = self.gce {
            (&GCE, gce_handle(&gce.pd_name, labels))
        } else {
            (&PORTWORX, Some(self.portworx?.volume_id.clone()))
        };
        Some(InTreeDisk { plugin, csi: handle.map(|handle| (plugin.driver.to_owned(), handle)) })
    }
}

impl InTreeDisk {
    /// Reads a disk that is written in a pod.
    pub fn of_pod(volume: &v1::Volume) -> Option<Self> {
        let sources = Sources {
            aws: volume.aws_elastic_block_store.as_ref(),
            azure: volume.azure_disk.as_ref(),
            cinder: volume.cinder.as_ref(),
            gce: volume.gce_persistent_disk.as_ref(),
            portworx: volume.portworx_volume.as_ref(),
        };
        sources.disk(&Labels::new())
    }

    /// Reads the disk of a PersistentVolume with these labels.
    pub fn of_volume(spec: &v1::PersistentVolumeSpec, labels: &Labels) -> Option<Self> {
        let sources = Sources {
            aws: spec.aws_elastic_block_store.as_ref(),
            azure: spec.azure_disk.as_ref(),
            cinder: spec.cinder.as_ref(),
            gce: spec.gce_persistent_disk.as_ref(),
            portworx: spec.portworx_volume.as_ref(),
        };
        sources.disk(labels)
    }
}

/// What Amazon calls a volume: without the zone that may be written before it.
fn aws_handle(id: &str) -> Option<String> {
    let Some(rest) = id.strip_prefix("aws://") else { return Some(id.to_owned()) };
    let (_, path) = rest.split_once('/')?;
    let id = path.trim_matches('/');
    (id.starts_with("vol-") && !id.contains('/')).then(|| id.to_owned())
}

/// What Google calls a disk, by the zones in which its labels say that it is; `None` where those make no region.
fn gce_handle(disk: &str, labels: &Labels) -> Option<String> {
    let [zone, _] = &LABELS_OF_OLD;
    let label = labels.get(*zone).filter(|label| !label.is_empty()).or_else(|| labels.get(LABELS[0]));
    let zones: Vec<&str> = label.map(|label| label.split("__").collect()).unwrap_or_default();
    let place = match zones.as_slice() {
        [] | [""] => "zones/UNSPECIFIED".to_owned(),
        [zone] => format!("zones/{zone}"),
        zones => {
            let region = |zone: &&str| {
                let (region, _) = zone.rsplit_once('-').filter(|(region, _)| region.matches('-').count() == 1)?;
                Some(region.to_owned())
            };
            let regions: BTreeSet<String> = zones.iter().map(region).collect::<Option<_>>()?;
            format!("regions/{}", regions.first().filter(|_| regions.len() == 1)?)
        }
    };
    Some(format!("projects/UNSPECIFIED/{place}/disks/{disk}"))
}

/// Kubernetes' labels of zone and region.
const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];
/// The same of before Kubernetes 1.17.
const LABELS_OF_OLD: [&str; 2] = ["failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"];

impl InTreePlugin {
    /// From where the driver reaches a volume with this affinity and these labels: what is said of zones is said by the
    /// driver's label, and labels of zones become affinity (`translateTopologyFromInTreeToCSI`).
    pub fn reach(&self, affinity: Option<&v1::VolumeNodeAffinity>, labels: &Labels) -> Option<v1::VolumeNodeAffinity> {
        let Some(driver_key) = self.zone_key else { return affinity.cloned() };
        let [zone_key, region_key] = labels_in_use(affinity, labels);
        let mut affinity = affinity.cloned();
        if has_values(affinity.as_ref(), zone_key) {
            rename(affinity.as_mut(), zone_key, driver_key);
        } else if let Some(label) = labels.get(zone_key) {
            let zones: BTreeSet<&str> = label.split("__").map(str::trim).filter(|zone| !zone.is_empty()).collect();
            if !zones.is_empty() {
                add(affinity.get_or_insert_default(), driver_key, &zones);
            }
        }
        if region_key == LABELS_OF_OLD[1] && has_values(affinity.as_ref(), region_key) {
            rename(affinity.as_mut(), region_key, LABELS[1]);
        }
        affinity
    }
}

/// By which labels a volume speaks of zones: those of old only where the others are not found, the affinity before labels.
fn labels_in_use(affinity: Option<&v1::VolumeNodeAffinity>, labels: &Labels) -> [&'static str; 2] {
    let in_affinity = |key: &str| expressions(affinity).any(|one| one.key == key);
    let both = || [LABELS, LABELS_OF_OLD].into_iter();
    both()
        .find(|[zone, _]| in_affinity(zone))
        .or_else(|| both().find(|[zone, _]| labels.contains_key(*zone)))
        .unwrap_or(LABELS)
}

fn terms(affinity: Option<&v1::VolumeNodeAffinity>) -> impl Iterator<Item = &v1::NodeSelectorTerm> {
    affinity.and_then(|affinity| affinity.required.as_ref()).into_iter().flat_map(|one| &one.node_selector_terms)
}

fn expressions(affinity: Option<&v1::VolumeNodeAffinity>) -> impl Iterator<Item = &v1::NodeSelectorRequirement> {
    terms(affinity).flat_map(|term| term.match_expressions.iter().flatten())
}

fn has_values(affinity: Option<&v1::VolumeNodeAffinity>, key: &str) -> bool {
    expressions(affinity).any(|one| one.key == key && one.values.as_ref().is_some_and(|values| !values.is_empty()))
}

fn rename(affinity: Option<&mut v1::VolumeNodeAffinity>, old: &str, new: &str) {
    let terms = affinity.and_then(|one| one.required.as_mut()).into_iter().flat_map(|one| &mut one.node_selector_terms);
    for one in terms.flat_map(|term| term.match_expressions.iter_mut().flatten()) {
        if one.key == old {
            new.clone_into(&mut one.key);
        }
    }
}

fn add(affinity: &mut v1::VolumeNodeAffinity, key: &str, zones: &BTreeSet<&str>) {
    let terms = &mut affinity.required.get_or_insert_default().node_selector_terms;
    if terms.is_empty() {
        terms.push(v1::NodeSelectorTerm::default());
    }
    for term in terms {
        term.match_expressions.get_or_insert_default().push(v1::NodeSelectorRequirement {
            key: key.to_owned(),
            operator: "In".to_owned(),
            values: Some(zones.iter().map(ToString::to_string).collect()),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_disk_is_what_its_driver_calls_it() {
        let zone = "topology.kubernetes.io/zone";
        let gce = || json!({"gcePersistentDisk": {"pdName": "d"}});
        let table = [
            (json!({"awsElasticBlockStore": {"volumeID": "vol-1"}}), labels(&[]), Some("vol-1")),
            (json!({"awsElasticBlockStore": {"volumeID": "aws://eu-west-1a/vol-1"}}), labels(&[]), Some("vol-1")),
            (json!({"awsElasticBlockStore": {"volumeID": "aws:///vol-1"}}), labels(&[]), Some("vol-1")),
            (json!({"awsElasticBlockStore": {"volumeID": "aws://eu-west-1a/disk"}}), labels(&[]), None),
            (json!({"azureDisk": {"diskURI": "/disk", "kind": "Managed"}}), labels(&[]), Some("/disk")),
            (json!({"azureDisk": {"diskURI": "/disk", "kind": "Shared"}}), labels(&[]), None),
            (json!({"cinder": {"volumeID": "c"}}), labels(&[]), Some("c")),
            (json!({"portworxVolume": {"volumeID": "p"}}), labels(&[]), Some("p")),
            (gce(), labels(&[]), Some("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")),
            (gce(), labels(&[(zone, "eu-north1-a")]), Some("projects/UNSPECIFIED/zones/eu-north1-a/disks/d")),
            (gce(), labels(&[(zone, "eu-x-a__eu-x-b")]), Some("projects/UNSPECIFIED/regions/eu-x/disks/d")),
            (gce(), labels(&[(zone, "eu-x-a__eu-y-a")]), None),
            (gce(), labels(&[(zone, "a__b")]), None),
        ];
        for (spec, labels, expected) in table {
            let read: v1::PersistentVolumeSpec = serde_json::from_value(spec.clone()).unwrap();
            let disk = InTreeDisk::of_volume(&read, &labels).unwrap();
            assert_eq!(disk.csi.map(|(_, handle)| handle).as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn a_driver_reaches_a_disk_by_its_own_label() {
        let on = |expressions: Value| json!({"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}});
        let is_in = |key: &str, zone: &str| json!({"key": key, "operator": "In", "values": [zone]});
        let (zone, old, own) =
            ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone", "topology.gke.io/zone");
        let table = [
            (Value::Null, labels(&[]), Value::Null),
            (Value::Null, labels(&[(zone, "a")]), on(json!([is_in(own, "a")]))),
            (on(json!([is_in(zone, "a")])), labels(&[(zone, "b")]), on(json!([is_in(own, "a")]))),
            (on(json!([is_in("rack", "1")])), labels(&[(old, "b")]), on(json!([is_in("rack", "1"), is_in(own, "b")]))),
            (
                on(json!([is_in(old, "a"), is_in("failure-domain.beta.kubernetes.io/region", "r")])),
                labels(&[]),
                on(json!([is_in(own, "a"), is_in("topology.kubernetes.io/region", "r")])),
            ),
        ];
        for (affinity, labels, expected) in table {
            let read: Option<v1::VolumeNodeAffinity> = serde_json::from_value(affinity.clone()).unwrap();
            let reach = GCE.reach(read.as_ref(), &labels);
            assert_eq!(serde_json::to_value(&reach).unwrap(), expected, "{affinity} {labels:?}");
            assert_eq!(AZURE.reach(read.as_ref(), &labels), read, "{affinity}");
        }
    }
}
