//! Lists: what a plan needs to know, in pages, decoded and reduced page by page.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use cluster_model::api::apps;
use cluster_model::api::batch;
use cluster_model::api::core;
use cluster_model::api::discovery;
use cluster_model::api::networking;
use cluster_model::api::policy;
use cluster_model::budget::Budget;
use cluster_model::claim::Claim;
use cluster_model::endpoint_slice::EndpointSlice;
use cluster_model::identity::{NodeName, Uid};
use cluster_model::marks::{DETACHED_HASH, DetachRecord};
use cluster_model::node::Node;
use cluster_model::owners::{
    Controller, Deployment, HeldBack, OwnerKind, ReplicaSet, SetKind, owner_kind, takes_turns,
};
use cluster_model::pod::{Pod, TEMPLATE_HASH};
use cluster_model::service::PodChooser;
use cluster_model::snapshot::{Change, ClusterSnapshot};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Resource};
use scheduler_forecast::Cluster;
use serde::de::DeserializeOwned;

use crate::attachments;
use api_access::{ApiAccess, CallError};

/// How many lists are asked for at a time.
const LISTS_IN_FLIGHT: usize = 8;

/// A list that did not come.
#[derive(Debug, thiserror::Error)]
#[error("cannot list {resource}{}", .namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default())]
pub struct ListError {
    /// The resource's plural.
    pub resource: String,
    /// Its group and version: `policy/v1`, `v1`.
    pub api_version: String,
    /// Where; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// What happened.
    #[source]
    pub source: CallError,
}

/// What a plan is made of.
#[derive(Debug)]
pub struct Observation {
    /// The cluster, as far as it was looked at.
    pub cluster: ClusterSnapshot,
    /// The namespaces in which pods may be handed over, and so are watched whole.
    pub handover_namespaces: BTreeSet<String>,
    /// Those with pods that are evicted one after another: their pods are watched as well.
    pub succession_namespaces: BTreeSet<String>,
    /// The other namespaces with pods that have to go.
    pub eviction_namespaces: BTreeSet<String>,
    /// Whether the volumes of pods that leave are waited for, and so watched.
    pub watches_attachments: bool,
    /// The pods on the nodes that `--pod-selector` lets through; `None`: all.
    pub selected: Option<BTreeSet<Uid>>,
    /// Where the virtual machines on the nodes live; `None`: nobody looked for any.
    pub guest_namespaces: Option<BTreeSet<String>>,
    /// What the controllers of pods on the nodes make pods of, by the controllers' uids.
    pub templates: BTreeMap<Uid, core::PodTemplateSpec>,
    /// The StatefulSets with pods that are made of an earlier template than that.
    pub held_back: BTreeMap<Uid, HeldBack>,
}

impl Observation {
    /// Whether the pod of this name is made of its controller's template when it is made again.
    pub fn is_made_of_template(&self, controller: &Uid, pod: &str) -> bool {
        !self.held_back.get(controller).is_some_and(|held_back| held_back.includes(pod))
    }

    /// The namespaces with handovers in which there are ReplicationControllers, which few clusters have: only there are
    /// they watched.
    pub fn controller_namespaces(&self) -> BTreeSet<String> {
        let controllers = self.cluster.replica_sets().filter(|set| set.kind == SetKind::ReplicationController);
        let namespaces = controllers.map(|set| &set.key.namespace);
        namespaces.filter(|namespace| self.handover_namespaces.contains(*namespace)).cloned().collect()
    }

    /// Whether pods of this namespace have to go.
    pub fn touches(&self, namespace: &str) -> bool {
        [&self.handover_namespaces, &self.succession_namespaces, &self.eviction_namespaces]
            .iter()
            .any(|namespaces| namespaces.contains(namespace))
    }
}

/// Lists all nodes of the cluster.
pub async fn nodes(access: &ApiAccess) -> Result<Vec<Node>, ListError> {
    Ok(fleet(access).await?.0)
}

/// Lists all nodes of the cluster, also as the scheduler sees them: without any pod yet.
pub async fn fleet(access: &ApiAccess) -> Result<(Vec<Node>, Cluster), ListError> {
    let (mut nodes, mut cluster) = (Vec::new(), Cluster::default());
    each_page(access, &Api::<core::Node>::all(access.client.clone()), None, &ListParams::default(), |node| {
        nodes.push(Node::from(&node));
        cluster.add_node(&node);
    })
    .await?;
    Ok((nodes, cluster))
}

/// Lists the names of the nodes that a label selector chooses.
pub async fn node_names(access: &ApiAccess, selector: &str) -> Result<Vec<NodeName>, ListError> {
    let mut names = Vec::new();
    let params = ListParams::default().labels(selector);
    each_page(access, &Api::<core::Node>::all(access.client.clone()), None, &params, |node| {
        names.push(Node::from(&node).name);
    })
    .await?;
    names.sort();
    Ok(names)
}

/// Finds all detached pods of the cluster by one list.
pub async fn detached_pods(access: &ApiAccess) -> Result<Vec<Pod>, ListError> {
    let mut pods = Vec::new();
    let params = ListParams::default().labels(&format!("{TEMPLATE_HASH}={DETACHED_HASH}"));
    each_page(access, &Api::<core::Pod>::all(access.client.clone()), None, &params, |pod| pods.push(Pod::from(&pod)))
        .await?;
    Ok(pods)
}

/// Lists what the records of these detached pods name: ReplicaSets, and ReplicationControllers where one is named.
pub async fn homes_of(access: &ApiAccess, pods: &[Pod]) -> Result<ClusterSnapshot, ListError> {
    let mut lists = BTreeSet::new();
    for pod in pods {
        let kind = pod.detached.as_deref().and_then(|text| DetachRecord::parse(text).ok()).map(|record| record.kind);
        let list = match kind {
            Some(SetKind::ReplicationController) => Listed::ReplicationControllers,
            Some(SetKind::ReplicaSet) | None => Listed::ReplicaSets,
        };
        lists.insert((&pod.id.namespace, list));
    }
    let mut cluster = ClusterSnapshot::default();
    for (namespace, list) in lists {
        list.list(access, namespace, &Keeping::default()).await?.into_iter().for_each(|change| cluster.apply(change));
    }
    Ok(cluster)
}

/// For what the nodes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All pods are to leave.
    Pods {
        /// Whether some may be handed over; without, fewer kinds are listed.
        with_handovers: bool,
        /// Whether some may be evicted one after another: then the others of their workloads are looked at as well.
        with_turns: bool,
        /// Whether their volumes are to be detached as well.
        with_volumes: bool,
    },
    /// Only virtual machines are to leave: of what is around them only the budgets matter.
    GuestsOnly,
}

/// Looks at everything that the drain of `targets` depends on.
pub async fn for_drain(
    access: &ApiAccess,
    all_nodes: Vec<Node>,
    targets: &[NodeName],
    pod_selector: Option<&str>,
    scope: Scope,
) -> Result<Observation, ListError> {
    let mut cluster = ClusterSnapshot::default();
    for node in all_nodes {
        cluster.apply(Change::Node(Box::new(node)));
    }
    let pods = Api::<core::Pod>::all(access.client.clone());
    let mut selected = pod_selector.map(|_| BTreeSet::new());
    for target in targets {
        let params = ListParams::default().fields(&format!("spec.nodeName={target}"));
        if let (Some(selector), Some(selected)) = (pod_selector, selected.as_mut()) {
            let params = params.clone().labels(selector);
            each_page(access, &pods, None, &params, |pod| {
                let pod = Pod::from(&pod);
                selected.insert(pod.id.uid.clone());
                cluster.apply(Change::Pod(Box::new(pod)));
            })
            .await?;
        } else {
            each_page(access, &pods, None, &params, |pod| cluster.apply(Change::Pod(Box::new(Pod::from(&pod)))))
                .await?;
        }
    }
    let scopes = needs(&cluster, scope);
    let (mut handover_namespaces, mut succession_namespaces) = (BTreeSet::new(), BTreeSet::new());
    let mut eviction_namespaces = BTreeSet::new();
    for (namespace, scope) in &scopes {
        let into = match (scope.handover, scope.succession) {
            (true, _) => &mut handover_namespaces,
            (false, true) => &mut succession_namespaces,
            (false, false) => &mut eviction_namespaces,
        };
        into.insert(namespace.clone());
    }
    let lists: Vec<_> = scopes
        .into_iter()
        .flat_map(|(namespace, scope)| scope.kinds().into_iter().map(move |kind| (namespace.clone(), kind)))
        .collect();
    let keeping = Keeping::for_pods(&cluster);
    let changes: Vec<Vec<Change>> = stream::iter(lists)
        .map(|(namespace, kind)| {
            let keeping = &keeping;
            async move { kind.list(access, &namespace, keeping).await }
        })
        .buffer_unordered(LISTS_IN_FLIGHT)
        .try_collect()
        .await?;
    changes.into_iter().flatten().for_each(|change| cluster.apply(change));
    let with_volumes = matches!(scope, Scope::Pods { with_volumes: true, .. });
    let watches_attachments = with_volumes && cluster.pods().any(|pod| is_on(pod, targets) && !pod.claims.is_empty());
    if watches_attachments {
        for attachment in attachments::list(access).await? {
            cluster.apply(Change::Attachment(attachment));
        }
    }
    Ok(Observation {
        cluster,
        watches_attachments,
        handover_namespaces,
        succession_namespaces,
        eviction_namespaces,
        selected,
        guest_namespaces: None,
        templates: keeping.templates.into_inner(),
        held_back: keeping.held_back.into_inner(),
    })
}

/// The templates that are kept of what is listed.
#[derive(Debug, Default)]
struct Keeping {
    wanted: BTreeSet<Uid>,
    templates: RefCell<BTreeMap<Uid, core::PodTemplateSpec>>,
    held_back: RefCell<BTreeMap<Uid, HeldBack>>,
}

impl Keeping {
    /// Those of the controllers of these pods.
    fn for_pods(cluster: &ClusterSnapshot) -> Self {
        let makers = cluster.pods().filter_map(Pod::maker).map(|maker| maker.uid);
        Self { wanted: makers.collect(), ..Self::default() }
    }

    fn keep(&self, metadata: &ObjectMeta, template: Option<core::PodTemplateSpec>) {
        let uid = Uid(metadata.uid.clone().unwrap_or_default());
        if let Some(template) = template.filter(|_| self.wanted.contains(&uid)) {
            self.templates.borrow_mut().insert(uid, template);
        }
    }
}

/// Lists the Deployments of those of these namespaces in which a pod of the nodes belongs to one that is not known: it was
/// made since they were listed. They are not watched, since for what is known of them only their ReplicaSets matter.
pub async fn newer_deployments(
    access: &ApiAccess,
    namespaces: &BTreeSet<String>,
    targets: &[NodeName],
    cluster: &ClusterSnapshot,
) -> Result<Vec<Change>, ListError> {
    let is_unknown = |pod: &&Pod| {
        let set = pod.controller.as_ref().and_then(|controller| cluster.replica_set(&controller.uid));
        let above = set.and_then(|set| set.controller.as_ref()).filter(|above| above.is("apps", "Deployment"));
        above.is_some_and(|above| cluster.deployment(&above.uid).is_none())
    };
    let here = cluster.pods().filter(|pod| is_on(pod, targets) && namespaces.contains(&pod.id.namespace));
    let unknown: BTreeSet<_> = here.filter(is_unknown).map(|pod| &pod.id.namespace).collect();
    let mut changes = Vec::new();
    for namespace in unknown {
        changes.extend(Listed::Deployments.list(access, namespace, &Keeping::default()).await?);
    }
    Ok(changes)
}

fn is_on(pod: &Pod, nodes: &[NodeName]) -> bool {
    pod.node.as_ref().is_some_and(|node| nodes.contains(node))
}

/// What a namespace has to be looked at for.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one namespace")]
struct Needs {
    only_budgets: bool,
    handover: bool,
    succession: bool,
    claims: bool,
    daemon_sets: bool,
}

/// The kinds that are listed in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Listed {
    Pods,
    ReplicaSets,
    Deployments,
    StatefulSets,
    DaemonSets,
    Jobs,
    ReplicationControllers,
    Services,
    NetworkPolicies,
    Budgets,
    Slices,
    Claims,
}

fn needs(cluster: &ClusterSnapshot, scope: Scope) -> BTreeMap<String, Needs> {
    let (with_handovers, with_turns, with_volumes) = match scope {
        Scope::Pods { with_handovers, with_turns, with_volumes } => (with_handovers, with_turns, with_volumes),
        Scope::GuestsOnly => {
            let guests = cluster.pods().filter(|pod| evacuation::guests::is_guests_pod(pod));
            let budgets = Needs { only_budgets: true, ..Needs::default() };
            return guests.map(|pod| (pod.id.namespace.clone(), budgets)).collect();
        }
    };
    let mut scopes: BTreeMap<String, Needs> = BTreeMap::new();
    for pod in cluster.pods().filter(|pod| !pod.is_mirror) {
        let owner = owner_kind(pod);
        let scope = scopes.entry(pod.id.namespace.clone()).or_default();
        scope.daemon_sets |= owner == OwnerKind::DaemonSet;
        scope.claims |= with_volumes && !pod.claims.is_empty();
        scope.succession |= with_turns && takes_turns(pod);
        // A pod that an earlier run detached is watched like one that this run will, whatever the strategy.
        let is_sets = matches!(owner, OwnerKind::ReplicaSet | OwnerKind::ReplicationController);
        if (with_handovers && is_sets) || pod.detached.is_some() {
            scope.handover = true;
            scope.claims |= !pod.claims.is_empty();
        }
    }
    scopes
}

impl Needs {
    fn kinds(self) -> Vec<Listed> {
        if self.only_budgets {
            return vec![Listed::Budgets];
        }
        let mut kinds = vec![Listed::ReplicaSets, Listed::Budgets, Listed::Slices];
        if self.handover {
            kinds.extend([Listed::Deployments, Listed::Jobs, Listed::NetworkPolicies]);
        }
        if self.handover || self.succession {
            kinds.extend([Listed::Pods, Listed::StatefulSets, Listed::ReplicationControllers, Listed::Services]);
        }
        if self.handover || self.daemon_sets {
            kinds.push(Listed::DaemonSets);
        }
        if self.claims {
            kinds.push(Listed::Claims);
        }
        kinds
    }
}

impl Listed {
    async fn list(self, access: &ApiAccess, namespace: &str, keeping: &Keeping) -> Result<Vec<Change>, ListError> {
        match self {
            Self::Pods => collect(access, namespace, |pod: core::Pod| Change::Pod(Box::new(Pod::from(&pod)))).await,
            Self::ReplicaSets => {
                let change = |mut set: apps::ReplicaSet| {
                    let change = Change::ReplicaSet(Box::new(ReplicaSet::from(&set)));
                    keeping.keep(&set.metadata, set.spec.as_mut().and_then(|spec| spec.template.take()));
                    change
                };
                collect(access, namespace, change).await
            }
            Self::Deployments => {
                collect(access, namespace, |item: apps::Deployment| Change::Deployment(Deployment::from(&item))).await
            }
            Self::StatefulSets => {
                let change = |mut set: apps::StatefulSet| {
                    let change = Change::Controller(Controller::from(&set));
                    if let Some(held_back) = HeldBack::read(&set) {
                        let uid = Uid(set.metadata.uid.clone().unwrap_or_default());
                        keeping.held_back.borrow_mut().insert(uid, held_back);
                    }
                    keeping.keep(&set.metadata, set.spec.as_mut().and_then(|spec| spec.template.take()));
                    change
                };
                collect(access, namespace, change).await
            }
            Self::DaemonSets => {
                collect(access, namespace, |item: apps::DaemonSet| Change::Controller(Controller::from(&item))).await
            }
            Self::Jobs => {
                collect(access, namespace, |item: batch::Job| Change::Controller(Controller::from(&item))).await
            }
            Self::ReplicationControllers => {
                let change = |mut item: core::ReplicationController| {
                    let change = Change::ReplicaSet(Box::new(ReplicaSet::from(&item)));
                    keeping.keep(&item.metadata, item.spec.as_mut().and_then(|spec| spec.template.take()));
                    change
                };
                collect(access, namespace, change).await
            }
            Self::Services => {
                collect(access, namespace, |item: core::Service| Change::Chooser(PodChooser::from(&item))).await
            }
            Self::NetworkPolicies => {
                let change = |item: networking::NetworkPolicy| Change::Chooser(PodChooser::from(&item));
                collect(access, namespace, change).await
            }
            Self::Budgets => {
                collect(access, namespace, |item: policy::PodDisruptionBudget| Change::Budget(Budget::from(&item)))
                    .await
            }
            Self::Slices => {
                collect(access, namespace, |item: discovery::EndpointSlice| Change::Slice(EndpointSlice::from(&item)))
                    .await
            }
            Self::Claims => {
                collect(access, namespace, |item: core::PersistentVolumeClaim| Change::Claim(Claim::from(&item))).await
            }
        }
    }
}

async fn collect<K>(access: &ApiAccess, namespace: &str, change: impl Fn(K) -> Change) -> Result<Vec<Change>, ListError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut changes = Vec::new();
    let api = Api::<K>::namespaced(access.client.clone(), namespace);
    each_page(access, &api, Some(namespace), &ListParams::default(), |item| changes.push(change(item))).await?;
    Ok(changes)
}

pub(crate) async fn each_page<K>(
    access: &ApiAccess,
    api: &Api<K>,
    namespace: Option<&str>,
    params: &ListParams,
    mut each: impl FnMut(K),
) -> Result<(), ListError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut params = params.clone();
    if access.chunk_size > 0 {
        params = params.limit(access.chunk_size);
    }
    loop {
        let page = access.ask(|| api.list(&params)).await.map_err(|source| ListError {
            resource: K::plural(&()).into_owned(),
            api_version: K::api_version(&()).into_owned(),
            namespace: namespace.map(str::to_owned),
            source,
        })?;
        page.items.into_iter().for_each(&mut each);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}
