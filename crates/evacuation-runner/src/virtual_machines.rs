//! The look at virtual machines: whether there is a KubeVirt, what it can do, and what it holds.
//!
//! Guests, migrations and launcher pods are read of the whole cluster: a guest on the node may be of any namespace, the
//! slots of a migration are the cluster's, and "no virtual machine is left" is a statement about all of them.

use std::collections::BTreeSet;

use cluster_model::api::core;
use cluster_model::identity::NodeName;
use cluster_model::identity::PodId;
use cluster_model::kubevirt::{
    Features, Host, HotplugPod, KubeVirt, LauncherPod, Migration, Version, VirtualChange, VirtualMachine,
    VirtualMachineInstance, VirtualMachineReply,
};
use cluster_model::snapshot::{Change, ClusterSnapshot};
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use crate::dynamic::{each_dynamic, each_of};
use crate::eviction_request::evict_request;
use crate::guest_actions::launcher_answer;
use crate::kubevirt_api::Kind;
use crate::observe::{ListError, each_page};
use api_access::{ApiAccess, CallError};

/// The group and version that virt-api serves by itself, behind the API server.
const SUBRESOURCES: &str = "subresources.kubevirt.io/v1";
/// The subresource that tells whether an evacuation can be cancelled.
const CANCEL: &str = "virtualmachineinstances/evacuate/cancel";
/// KubeVirt's pods that live and die with guests.
pub(crate) const GUESTS_PODS: &str = "kubevirt.io in (virt-launcher,hotplug-disk)";

/// Which KubeVirt there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Installation {
    /// The KubeVirt object; `None`: there is none, or it may not be read.
    pub kubevirt: Option<KubeVirt>,
    /// What virt-api was found to serve.
    pub virt_api: VirtApi,
}

/// What was heard from virt-api.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtApi {
    /// It serves, and can cancel an evacuation or cannot.
    Serves {
        /// Whether `evacuate/cancel` is among what it serves.
        can_cancel: bool,
    },
    /// It does not answer, so no guest can be moved: in these words.
    Silent(String),
}

/// The oldest KubeVirt that this program runs against. An eviction that only rehearses really evacuates before 1.4, and
/// until 1.5 budgets of KubeVirt's own answer evictions in its stead.
pub const OLDEST: Version = Version { major: 1, minor: 6 };

impl Installation {
    /// What this KubeVirt can do: what virt-api serves beats the version number.
    pub fn features(&self) -> Features {
        let by_version = self.kubevirt.as_ref().map_or_else(|| Features::of(None), KubeVirt::features);
        match self.virt_api {
            // Only 1.7 and later serve it, whatever a build of one's own calls itself.
            VirtApi::Serves { can_cancel: true } => {
                let since = Features::of(Some(Version { major: 1, minor: 7 }));
                Features { evacuation_ends_backups: by_version.evacuation_ends_backups, ..since }
            }
            VirtApi::Serves { can_cancel: false } => Features { can_cancel_evacuation: false, ..by_version },
            VirtApi::Silent(_) => by_version,
        }
    }

    /// Whether it is too old to run against; an unknown version is judged by what virt-api serves.
    pub fn is_too_old(&self) -> bool {
        match self.kubevirt.as_ref().and_then(KubeVirt::version) {
            Some(version) => version < OLDEST,
            None => self.virt_api == VirtApi::Serves { can_cancel: false },
        }
    }
}

/// Looks whether the cluster has KubeVirt. One question where it has none.
pub async fn find(access: &ApiAccess) -> Result<Option<Installation>, ListError> {
    let failed = |source: CallError| ListError {
        resource: "API groups".to_owned(),
        api_version: "v1".to_owned(),
        namespace: None,
        source,
    };
    let groups = access.ask(|| access.client.list_api_groups()).await.map_err(failed)?;
    let is_there = groups.groups.iter().any(|group| group.name == cluster_model::kubevirt::GROUP);
    if !is_there {
        return Ok(None);
    }
    let mut found = Vec::new();
    let kubevirts = Kind::Installation.resource();
    let read = each_of(access, &kubevirts, |object| found.push(KubeVirt::from(object)));
    match read.await {
        // Its object tells how it is set up; without it KubeVirt's defaults are assumed, and the plan says so.
        Err(error) if error.source.status().is_some_and(|status| status.code == 403) => {}
        other => other?,
    }
    let virt_api = match access.ask(|| access.client.list_api_group_resources(SUBRESOURCES)).await {
        Ok(list) => VirtApi::Serves { can_cancel: list.resources.iter().any(|resource| resource.name == CANCEL) },
        Err(error) => VirtApi::Silent(error.to_string()),
    };
    Ok(Some(Installation { kubevirt: found.into_iter().next(), virt_api }))
}

/// Whether a pod of a guest is among the pods of the nodes: only then is there anything to ask KubeVirt about.
pub fn are_on(nodes: &[NodeName], cluster: &ClusterSnapshot) -> bool {
    nodes.iter().any(|node| cluster.pods_on(node).any(evacuation::guests::is_guests_pod))
}

/// Reads everything about virtual machines into the snapshot. The virtual machines themselves are read of the
/// namespaces of the guests on `targets`, which are returned.
pub async fn observe(
    access: &ApiAccess,
    installation: &Installation,
    targets: &[NodeName],
    cluster: &mut ClusterSnapshot,
) -> Result<BTreeSet<String>, ListError> {
    let mut take_in = |change: VirtualChange| cluster.apply(Change::Virtual(Box::new(change)));
    if let Some(kubevirt) = &installation.kubevirt {
        take_in(VirtualChange::KubeVirt(Box::new(kubevirt.clone())));
    }
    take_in(VirtualChange::Features(installation.features()));
    let nodes = Api::<core::Node>::all(access.client.clone());
    each_page(access, &nodes, None, &ListParams::default(), |node| take_in(VirtualChange::Host(Host::from(&node))))
        .await?;
    each_of(access, &Kind::Instance.resource(), |object| take_in(instance_change(object))).await?;
    each_of(access, &Kind::Migration.resource(), |object| take_in(migration_change(object))).await?;
    let pods = Api::<core::Pod>::all(access.client.clone());
    let params = ListParams::default().labels(GUESTS_PODS);
    each_page(access, &pods, None, &params, |pod| pod_change(&pod).into_iter().for_each(&mut take_in)).await?;
    let virtualization = cluster.virtualization();
    let on_targets = targets.iter().flat_map(|node| {
        let incoming = evacuation::guests::incoming(node, virtualization);
        virtualization.instances_on(node).chain(incoming)
    });
    let namespaces: BTreeSet<_> = on_targets.map(|instance| instance.metadata.key.namespace.clone()).collect();
    for namespace in &namespaces {
        let machines = Kind::Machine.api(access, namespace);
        let mut found = Vec::new();
        each_dynamic(access, &machines, &Kind::Machine.resource(), |object| {
            found.push(machine_change(object));
        })
        .await
        .map_err(|error| ListError { namespace: Some(namespace.clone()), ..error })?;
        for change in found {
            cluster.apply(Change::Virtual(Box::new(change)));
        }
    }
    Ok(namespaces)
}

/// What the server itself says to the eviction of a launcher pod, asked as a dry run. `None`: it would be granted.
///
/// Never asked of a KubeVirt older than 1.4, which would really evacuate.
pub async fn rehearse_eviction(access: &ApiAccess, pod: &PodId) -> Result<Option<VirtualMachineReply>, CallError> {
    match evict_request(access, pod, None, true).await {
        Ok(()) => Ok(None),
        Err(error) => match error.status().and_then(launcher_answer) {
            Some(reply) => Ok(Some(reply)),
            None => Err(error),
        },
    }
}

pub(crate) fn instance_change(object: &Value) -> VirtualChange {
    VirtualChange::Instance(Box::new(VirtualMachineInstance::from(object)))
}

pub(crate) fn migration_change(object: &Value) -> VirtualChange {
    VirtualChange::Migration(Box::new(Migration::from(object)))
}

pub(crate) fn machine_change(object: &Value) -> VirtualChange {
    VirtualChange::Machine(Box::new(VirtualMachine::from(object)))
}

pub(crate) fn pod_change(pod: &core::Pod) -> Option<VirtualChange> {
    let launcher = LauncherPod::of(pod).map(|launcher| VirtualChange::Launcher(Box::new(launcher)));
    launcher.or_else(|| HotplugPod::of(pod).map(|hotplug| VirtualChange::Hotplug(Box::new(hotplug))))
}
