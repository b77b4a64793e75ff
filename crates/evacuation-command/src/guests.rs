//! The look at virtual machines: whether there is a KubeVirt to ask, what it holds, what keeps a run from beginning, and
//! what the server itself says beforehand.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::{NodeName, ObjectKey};
use cluster_model::kubevirt::{
    self, Action, Decision, Outcome, PodSeen, Prospect, VirtualMachineInstance, Virtualization,
    predicted_webhook_answer,
};
use cluster_model::resources::Resources;
use cluster_model::snapshot::ClusterSnapshot;
use evacuation::plan::DrainPlan;
use evacuation_runner::observe::{ListError, Observation};
use evacuation_runner::virtual_machines::{self, Installation, VirtApi};
use jiff::Timestamp;
use kubectl_common::failure::Failure;
use kubectl_common::report::Output;

use crate::failure::{CommandError, list_failed};
use crate::job::Job;
use crate::session::{Session, now};

/// The taint by which node-maintenance-operator holds a node.
const MAINTENANCE_TAINT: &str = "medik8s.io/drain";

/// Looks for virtual machines where there may be some, and takes what is found into the observation. A plugin that is
/// there for virtual machines only is wrong in a cluster without KubeVirt; the other one asks nothing where no guest's
/// pod is on the nodes.
pub(crate) async fn look(
    job: &Job,
    session: &Session,
    targets: &[NodeName],
    observation: &mut Observation,
) -> Result<Option<Installation>, Failure> {
    if !job.is_for_guests && !virtual_machines::are_on(targets, &observation.cluster) {
        return Ok(None);
    }
    let failed = |error: ListError| list_failed(session, &error);
    let Some(installation) = virtual_machines::find(&session.access).await.map_err(failed)? else {
        return if job.is_for_guests { Err(CommandError::NoKubeVirt.into()) } else { Ok(None) };
    };
    let namespaces = virtual_machines::observe(&session.access, &installation, targets, &mut observation.cluster).await;
    observation.guest_namespaces = Some(namespaces.map_err(failed)?);
    Ok(Some(installation))
}

/// What keeps a run from beginning although a plan can be made.
pub(crate) fn obstacle(
    installation: &Installation,
    targets: &[NodeName],
    cluster: &ClusterSnapshot,
) -> Option<CommandError> {
    if installation.is_too_old() {
        let version = installation.kubevirt.as_ref().and_then(|kubevirt| kubevirt.version_text.clone());
        return Some(CommandError::OldKubeVirt { version });
    }
    if let VirtApi::Silent(words) = &installation.virt_api {
        let namespace = installation.kubevirt.as_ref().map(|kubevirt| kubevirt.metadata.key.namespace.clone());
        return Some(CommandError::VirtApiSilent { words: words.clone(), namespace });
    }
    let virtualization = cluster.virtualization();
    let own = virtualization.kubevirt().map(|kubevirt| kubevirt.drain_taint.clone());
    targets.iter().find_map(|node| {
        let host = virtualization.host(node)?;
        if host.has_taint(MAINTENANCE_TAINT) {
            return Some(CommandError::HeldByMaintenance { node: node.clone() });
        }
        let key = own.clone().filter(|key| host.has_taint(key))?;
        Some(CommandError::DrainTaint { node: node.clone(), key })
    })
}

/// Warns of what the plan cannot show: a source that will not send, limits that are only assumed.
pub(crate) fn warn(
    installation: &Installation,
    targets: &[NodeName],
    cluster: &ClusterSnapshot,
    now: Timestamp,
    output: &Output,
) {
    if installation.kubevirt.is_none() {
        output.warning(
            "the KubeVirt object was not found or may not be read: its own defaults for strategy and limits are assumed",
        );
    }
    let virtualization = cluster.virtualization();
    if !has_target(targets, cluster, now) {
        output.warning(
            "no other node takes virtual machines now (KubeVirt may put some there, virt-handler was heard of within \
             5 minutes, not cordoned): what is to move waits for one",
        );
    }
    for node in targets {
        let Some(host) = virtualization.host(node) else { continue };
        if !host.is_responsive(now)
            && let Some(heartbeat) = host.heartbeat
        {
            output.warning(&format!(
                "virt-handler of node {node} has not been heard of since {heartbeat:.0}: migrations off it will hang"
            ));
        }
    }
}

/// Whether any guest could be put on any other node, as far as the nodes say.
fn has_target(targets: &[NodeName], cluster: &ClusterSnapshot, now: Timestamp) -> bool {
    let mut others = cluster.virtualization().hosts().filter(|host| !targets.contains(&host.name));
    others.any(|host| kubevirt::closed(host, cluster, now).is_none())
}

/// Whether any virtual machine of the plan has to find room on another node, and there are nodes for it at all.
pub(crate) fn need_room(plan: &DrainPlan, targets: &BTreeSet<NodeName>, cluster: &ClusterSnapshot) -> bool {
    let targets: Vec<_> = targets.iter().cloned().collect();
    plan.vms.iter().any(needs_node) && has_target(&targets, cluster, now())
}

fn needs_node(vm: &Decision) -> bool {
    matches!(vm.outcome, Outcome::Migrates | Outcome::RestartsElsewhere) && vm.action != Action::Refuse
}

/// Notes in the plan which of its virtual machines find no room on another node now, beside what is `taken` of each. That
/// hinders no run: the scheduler decides, and what is missing may come.
pub(crate) fn foresee(
    targets: &BTreeSet<NodeName>,
    cluster: &ClusterSnapshot,
    taken: &BTreeMap<NodeName, Resources>,
    plan: &mut DrainPlan,
) {
    let key_of = |vm: &Decision| ObjectKey::new(&vm.namespace, &vm.name);
    let keys: Vec<_> = plan.vms.iter().filter(|vm| needs_node(vm)).map(key_of).collect();
    let prospects = kubevirt::prospects(&keys, targets, cluster, taken, now());
    for vm in &mut plan.vms {
        match prospects.get(&key_of(vm)) {
            Some(Prospect::Nowhere(obstacles)) => {
                let told: Vec<_> = obstacles.iter().map(|(why, count)| format!("{count} {why}")).collect();
                vm.warnings.push(format!("no other node can take it now ({})", told.join(", ")));
            }
            Some(Prospect::Competes) => vm.warnings.push(
                "the other nodes have room for it, but not for all that are to leave: it may have to wait".to_owned(),
            ),
            Some(Prospect::Fits(_)) | None => {}
        }
    }
}

/// The virtual machines whose evacuation of one of these nodes is under way, each with that node.
pub(crate) fn evacuating<'a>(
    targets: &'a [NodeName],
    virtualization: &'a Virtualization,
) -> impl Iterator<Item = (&'a ObjectKey, &'a NodeName)> {
    let node_of = |vm: &VirtualMachineInstance| {
        let migration = virtualization.migration_in_flight(&vm.metadata.key);
        targets.iter().find(|node| {
            vm.evacuation_node.as_ref() == Some(node) || migration.is_some_and(|migration| migration.empties(node))
        })
    };
    virtualization.instances().filter_map(move |vm| Some((&vm.metadata.key, node_of(vm)?)))
}

/// Asks the server, as a dry run, what it will say to the eviction of each guest's pod, and notes in the plan where that
/// is not what was expected.
pub(crate) async fn rehearse(
    session: &Session,
    installation: &Installation,
    cluster: &ClusterSnapshot,
    plan: &mut DrainPlan,
    output: &Output,
) {
    // Before that an eviction that only rehearses really evacuates.
    if !installation.features().dry_run_is_harmless {
        output.note("this KubeVirt is too old for a rehearsal of evictions: none was sent");
        return;
    }
    let virtualization = cluster.virtualization();
    let mut agreed = 0;
    for vm in &mut plan.vms {
        let key = ObjectKey::new(&vm.namespace, &vm.name);
        let instance = virtualization.instance(&key);
        let Some(launcher) = instance.and_then(|instance| virtualization.active_launcher(instance)) else { continue };
        let predicted = predicted_webhook_answer(PodSeen::Launcher(launcher), virtualization);
        match virtual_machines::rehearse_eviction(&session.access, &launcher.pod.id).await {
            Ok(reply) if predicted.agrees_with(reply.as_ref()) => agreed += 1,
            Ok(None) => vm.warnings.push("the server would grant its eviction, which shuts it down".to_owned()),
            Ok(Some(reply)) => vm.warnings.push(format!("the server answers its eviction differently: {reply}")),
            Err(error) => vm.warnings.push(format!("its eviction could not be rehearsed: {error}")),
        }
    }
    let all = plan.vms.len();
    output.note(&format!("the server's own answers agree for {agreed} of {all} virtual machines"));
}
