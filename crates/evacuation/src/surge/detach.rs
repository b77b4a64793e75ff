//! Detach: the old pod leaves its ReplicaSet, the ReplicaSet makes a replacement at once, and the old pod goes on serving
//! until that is Available. No spec changes.
//!
//! A Deployment's pod leaves by a change of its `pod-template-hash`, by which no Service knows it. A ReplicaSet of its own,
//! one of another owner's, and a ReplicationController know their pods by the very labels that Services ask for: their pods
//! keep all labels and are given to their namespace instead, since a controller takes in no pod that has another one. Not to
//! their node: Karpenter takes what a node owns for a static pod, and turns the machine off under it
//! (`pkg/utils/pod/scheduling.go`, `IsOwnedByNode`). A budget that counts by scale cannot be computed while such a pod is there.
//!
//! What happens on the server, and why each rule is here: `pkg/controller/replicaset/replica_set.go` (`ClaimPods`,
//! `ReleasePod`), `pkg/controller/disruption/disruption.go` (a pod without controller still counts as healthy).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cluster_model::identity::{NodeName, ObjectKey, Uid};
use cluster_model::marks::DETACHED_HASH;
use cluster_model::owners::{Deployment, OwnerKind, ReplicaSet, Strategy, owner_kind, resolve_surge};
use cluster_model::pod::{Pod, TEMPLATE_HASH};
use cluster_model::selector::Labels;
use cluster_model::snapshot::ClusterSnapshot;

use super::family::Family;

/// What is known beside the objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Circumstances {
    /// The nodes that are to be emptied: nothing new can land there.
    pub leaving: BTreeSet<NodeName>,
    /// Namespaces in which the user may not patch pods.
    pub may_not_patch: BTreeSet<String>,
    /// ReplicaSets for which the server refused the patch in a dry run, with its words.
    pub patch_denied: BTreeMap<Uid, String>,
}

/// A pod that can be detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detachable {
    /// Its ReplicaSet.
    pub replica_set: Uid,
    /// The hash that it will get back when it is attached again; `None`: it has none.
    pub hash: Option<String>,
    /// Where a label does not part it from its ReplicaSet: the namespace's uid, to which it is given.
    pub given_to: Option<Uid>,
    /// How many extra pods its Deployment allows.
    pub max_surge: i32,
}

/// Why a pod cannot be detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Not managed by a ReplicaSet.
    Owner(OwnerKind),
    /// Its ReplicaSet or Deployment is not known, or is being deleted.
    OwnerMissing,
    /// The selector of its Deployment's ReplicaSet has no private key: a relabelled pod would still be its.
    NoPrivateKey,
    /// Its owner is of a kind that may forbid two generations side by side, and nobody here knows.
    Unfamiliar(String),
    /// Its namespace cannot be seen, to which it would be given.
    NoNamespace,
    /// A budget that could not be computed with a pod that is its namespace's.
    CountsByScale(ObjectKey),
    /// Its owner, which is no Deployment, keeps pods of several generations: how they are replaced is the owner's to say.
    Generations,
    /// `strategy: Recreate`.
    Recreate,
    /// `maxSurge: 0`.
    NoSurge,
    /// An object would choose the pod differently under its new label.
    Chooser(&'static str, ObjectKey),
    /// Another controller would adopt the pod.
    Adopter(&'static str, ObjectKey),
    /// A volume that only one node may mount.
    ExclusiveVolume(ObjectKey),
    /// A DoNotSchedule spread by template hash: the old pod would leave an empty domain behind.
    SpreadByHash,
    /// Required anti-affinity, and no domain is free of its kind.
    NoFreeDomain(String),
    /// The user may not patch pods.
    MayNotPatch,
    /// The server refused the patch in a dry run.
    PatchDenied(String),
    /// It is not Ready: there is nothing to keep.
    NotReady,
    /// A rollout moves its workload's pods; it ends by itself.
    Rollout,
}

impl Obstacle {
    /// Whether waiting helps.
    pub fn is_passing(&self) -> bool {
        *self == Self::Rollout
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(OwnerKind::Nobody) => f.write_str("no controller would replace it"),
            Self::Owner(OwnerKind::StatefulSet) => {
                f.write_str("a StatefulSet makes the next pod only when this one is gone")
            }
            Self::Owner(OwnerKind::Job) => f.write_str("a Job's pod is not served by a second one"),
            Self::Owner(_) => f.write_str("its owner has no private label to detach it by"),
            Self::OwnerMissing => f.write_str("its ReplicaSet or Deployment is not there any more"),
            Self::NoPrivateKey => f.write_str("its ReplicaSet's selector does not hold pod-template-hash"),
            Self::Unfamiliar(kind) => {
                write!(f, "its ReplicaSet is a {kind}'s, which may not want two generations at once")
            }
            Self::NoNamespace => f.write_str("you may not list namespaces, to which it would be given meanwhile"),
            Self::CountsByScale(key) => {
                write!(
                    f,
                    "PodDisruptionBudget {key} counts its owner's replicas, which a pod without owner would spoil"
                )
            }
            Self::Generations => f.write_str("its owner keeps pods of several generations"),
            Self::Recreate => f.write_str("strategy Recreate: its owner says that no two may run at once"),
            Self::NoSurge => f.write_str("maxSurge is 0: its owner allows no extra pod"),
            Self::Chooser(kind, key) => write!(f, "{kind} {key} selects it by pod-template-hash"),
            Self::Adopter(kind, key) => write!(f, "{kind} {key} would adopt it"),
            Self::ExclusiveVolume(key) => write!(f, "claim {key} can be mounted by one node at a time"),
            Self::SpreadByHash => f.write_str("its topology spread counts pods by pod-template-hash"),
            Self::NoFreeDomain(topology) => {
                write!(f, "required anti-affinity leaves no free {topology} for a second pod")
            }
            Self::MayNotPatch => f.write_str("you may not patch pods in its namespace"),
            Self::PatchDenied(message) => write!(f, "the server refuses to relabel it: {message}"),
            Self::NotReady => f.write_str("it is not Ready, so there is nothing to keep"),
            Self::Rollout => f.write_str("a rollout of its Deployment is in progress"),
        }
    }
}

/// Judges whether a pod can be detached. The clauses, in order, are those of [`Obstacle`].
pub fn judge(pod: &Pod, cluster: &ClusterSnapshot, circumstances: &Circumstances) -> Result<Detachable, Obstacle> {
    let owner = owner_kind(pod);
    let is_sets = matches!(owner, OwnerKind::ReplicaSet | OwnerKind::ReplicationController);
    let Some(controller) = pod.controller.as_ref().filter(|_| is_sets) else {
        return Err(Obstacle::Owner(owner));
    };
    let family = Family::of(&controller.uid, cluster).ok_or(Obstacle::OwnerMissing)?;
    let set = family.own;
    if set.is_terminating {
        return Err(Obstacle::OwnerMissing);
    }
    let is_given_away = !set.has_private_key();
    if is_given_away && family.is_deployments() {
        return Err(Obstacle::NoPrivateKey);
    }
    // A DeploymentConfig may say Recreate, and other kinds what they will.
    let stranger =
        set.controller.as_ref().filter(|above| !SURGING_OWNERS.iter().any(|(group, kind)| above.is(group, kind)));
    if let Some(stranger) = stranger {
        return Err(Obstacle::Unfamiliar(stranger.kind.clone()));
    }
    let max_surge = match own_surge(set, cluster).ok_or(Obstacle::OwnerMissing)? {
        OwnSurge::Recreate => return Err(Obstacle::Recreate),
        OwnSurge::Pods(0) => return Err(Obstacle::NoSurge),
        OwnSurge::Pods(max_surge) => max_surge,
    };
    let relabelled = relabelled(&pod.labels);
    choice(pod, &relabelled, cluster)?;
    if is_given_away {
        let by_scale = cluster.budgets_of(pod).find(|budget| budget.counts_by_scale);
        if let Some(budget) = by_scale {
            return Err(Obstacle::CountsByScale(budget.key.clone()));
        }
    } else {
        adoption(pod, &relabelled, cluster)?;
    }
    if let Some(claim) = exclusive_claim(pod, cluster) {
        return Err(Obstacle::ExclusiveVolume(claim));
    }
    if set.template.spreads_by_template_hash {
        return Err(Obstacle::SpreadByHash);
    }
    if let Some(topology) = crowded_topology(pod, &relabelled, set, cluster, circumstances) {
        return Err(Obstacle::NoFreeDomain(topology));
    }
    if circumstances.may_not_patch.contains(&pod.id.namespace) {
        return Err(Obstacle::MayNotPatch);
    }
    if let Some(message) = circumstances.patch_denied.get(&set.uid) {
        return Err(Obstacle::PatchDenied(message.clone()));
    }
    if !pod.is_ready() {
        return Err(Obstacle::NotReady);
    }
    if family.is_rolling() {
        return Err(if family.is_deployments() { Obstacle::Rollout } else { Obstacle::Generations });
    }
    if !is_given_away {
        let hash = set.template_hash.clone();
        return Ok(Detachable { replica_set: set.uid.clone(), hash, given_to: None, max_surge });
    }
    let namespace = cluster.namespace(&pod.id.namespace).ok_or(Obstacle::NoNamespace)?;
    let hash = pod.labels.get(TEMPLATE_HASH).cloned();
    Ok(Detachable { replica_set: set.uid.clone(), hash, given_to: Some(namespace.uid.clone()), max_surge })
}

/// The owners of ReplicaSets that let pods of two generations run side by side unless they say otherwise.
const SURGING_OWNERS: [(&str, &str); 2] = [("apps", "Deployment"), ("argoproj.io", "Rollout")];

/// How many extra pods a workload allows by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSurge {
    /// None, ever: its owner says that no two generations may run at once.
    Recreate,
    /// So many.
    Pods(i32),
}

/// How many extra pods a ReplicaSet's owner allows; `None`: its Deployment is not known. A ReplicaSet of its own says
/// nothing, and is treated like a Deployment that says nothing.
pub(crate) fn own_surge(set: &ReplicaSet, cluster: &ClusterSnapshot) -> Option<OwnSurge> {
    let Some(above) = set.controller.as_ref().filter(|above| above.is("apps", "Deployment")) else {
        // Scaled to 0, its pods are about to go, and that is no obstacle.
        return Some(OwnSurge::Pods(resolve_surge(&Deployment::default_surge(), set.replicas).max(1)));
    };
    Some(match cluster.deployment(&above.uid)?.strategy {
        Strategy::Recreate => OwnSurge::Recreate,
        Strategy::RollingUpdate { max_surge } => OwnSurge::Pods(max_surge),
    })
}

/// The labels that a pod has once it is detached.
pub fn relabelled(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.insert(TEMPLATE_HASH.to_owned(), DETACHED_HASH.to_owned());
    labels
}

/// Finds a selector in the namespace that would change its mind about the pod.
fn choice(pod: &Pod, relabelled: &Labels, cluster: &ClusterSnapshot) -> Result<(), Obstacle> {
    let here = |key: &ObjectKey| key.namespace == pod.id.namespace;
    for chooser in cluster.choosers().filter(|chooser| here(&chooser.key)) {
        if chooser.selectors.iter().any(|selector| selector.matches(&pod.labels) != selector.matches(relabelled)) {
            return Err(Obstacle::Chooser(chooser.kind, chooser.key.clone()));
        }
    }
    for budget in cluster.budgets().filter(|budget| here(&budget.key)) {
        if budget.selector.matches(&pod.labels) != budget.selector.matches(relabelled) {
            return Err(Obstacle::Chooser("PodDisruptionBudget", budget.key.clone()));
        }
    }
    Ok(())
}

/// Finds a controller that would adopt the pod if nobody owned it.
fn adoption(pod: &Pod, relabelled: &Labels, cluster: &ClusterSnapshot) -> Result<(), Obstacle> {
    let here = |key: &ObjectKey| key.namespace == pod.id.namespace;
    for set in cluster.replica_sets().filter(|set| here(&set.key)) {
        if set.selector.matches(relabelled) {
            return Err(Obstacle::Adopter(set.kind.name(), set.key.clone()));
        }
    }
    for controller in cluster.controllers().filter(|controller| here(&controller.key)) {
        if controller.selector.matches(relabelled) {
            return Err(Obstacle::Adopter(controller.kind, controller.key.clone()));
        }
    }
    Ok(())
}

/// Whether a pod's successor cannot start before it has ended: both need the same volume, or the same place.
pub(crate) fn needs_its_place(pod: &Pod, cluster: &ClusterSnapshot, circumstances: &Circumstances) -> bool {
    let set = pod.controller.as_ref().and_then(|controller| cluster.replica_set(&controller.uid));
    exclusive_claim(pod, cluster).is_some()
        || set.is_some_and(|set| crowded_topology(pod, &pod.labels, set, cluster, circumstances).is_some())
}

/// Finds a claim that only one node may mount. A claim that is not known counts as one.
fn exclusive_claim(pod: &Pod, cluster: &ClusterSnapshot) -> Option<ObjectKey> {
    pod.claims
        .iter()
        .map(|name| ObjectKey::new(&pod.id.namespace, name))
        .find(|key| !cluster.claim(key).is_some_and(cluster_model::claim::Claim::is_shareable))
}

/// Finds a required anti-affinity of the template under which no domain is left for the replacement while the old pod
/// stays: every domain that a new pod can reach already holds a pod that the term keeps away from.
fn crowded_topology(
    pod: &Pod,
    labels: &Labels,
    set: &ReplicaSet,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
) -> Option<String> {
    let in_the_way = set.template.anti_affinity.iter().filter(|term| term.selector.matches(labels));
    for term in in_the_way {
        let domain = |name: &NodeName| cluster.node(name).and_then(|node| node.labels.get(&term.topology_key));
        let taken: BTreeSet<_> = cluster
            .pods_of(&pod.id.namespace)
            .filter(|other| !other.is_terminal() && term.selector.matches(&other.labels))
            .filter_map(|other| domain(other.node.as_ref()?))
            .collect();
        let is_free = cluster
            .nodes()
            .filter(|node| node.ready && !node.unschedulable && !circumstances.leaving.contains(&node.name))
            .filter_map(|node| node.labels.get(&term.topology_key))
            .any(|value| !taken.contains(value));
        if !is_free {
            return Some(term.topology_key.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use cluster_model::claim::Claim;
    use cluster_model::fixtures;
    use cluster_model::identity::ControllerRef;
    use cluster_model::owners::{AntiAffinity, Controller, Deployment, TemplateRules};
    use cluster_model::selector::Selector;
    use cluster_model::service::PodChooser;
    use cluster_model::snapshot::Change;

    use super::*;

    /// One replica of `web` on `old`, a free node `new`, and whatever a case changes.
    struct Case {
        set: ReplicaSet,
        deployment: Deployment,
        pod: fixtures::PodBuilder,
        more: Vec<Change>,
        circumstances: Circumstances,
    }

    /// What a case changes in the movable one.
    type Twist = Box<dyn Fn(&mut Case)>;

    impl Case {
        fn movable() -> Self {
            let set = fixtures::replica_set("shop", "web", 1);
            let pod = fixtures::pod("shop", "web-a").of(&set).on("old").ready();
            let circumstances =
                Circumstances { leaving: BTreeSet::from([NodeName::from("old")]), ..Circumstances::default() };
            let deployment = fixtures::deployment("shop", "web", 1);
            Self { set, deployment, pod, more: Vec::new(), circumstances }
        }

        fn judge(self) -> Result<Detachable, Obstacle> {
            let pod = self.pod.build();
            let mut cluster = ClusterSnapshot::default();
            let nodes = ["old", "new"].map(|name| Change::Node(Box::new(fixtures::node(name))));
            let own = [
                Change::ReplicaSet(Box::new(self.set)),
                Change::Deployment(self.deployment),
                Change::Pod(Box::new(pod.clone())),
            ];
            for change in nodes.into_iter().chain(own).chain(self.more) {
                cluster.apply(change);
            }
            judge(&pod, &cluster, &self.circumstances)
        }
    }

    fn keep_apart(topology_key: &str) -> TemplateRules {
        let set = fixtures::replica_set("shop", "web", 1);
        let selector = fixtures::selector(&[("app", "web")]);
        TemplateRules {
            anti_affinity: vec![AntiAffinity { topology_key: topology_key.into(), selector }],
            ..set.template
        }
    }

    fn chooser(kind: &'static str, pairs: &[(&str, &str)]) -> Change {
        let selectors = vec![fixtures::selector(pairs)];
        Change::Chooser(PodChooser { kind, key: ObjectKey::new("shop", "x"), selectors, has_load_balancer: false })
    }

    #[test]
    fn a_plain_deployment_is_detached_with_its_own_surge() {
        let expected =
            Detachable { replica_set: Uid::from("uid-web-1"), hash: Some("h1".into()), given_to: None, max_surge: 1 };
        assert_eq!(Case::movable().judge(), Ok(expected));
    }

    #[test]
    fn what_changes_nothing_for_the_pod_is_no_obstacle() {
        let cases: Vec<(&str, Twist)> = vec![
            ("a Service by its app", Box::new(|case| case.more.push(chooser("Service", &[("app", "web")])))),
            ("a Service of others", Box::new(|case| case.more.push(chooser("Service", &[("app", "db")])))),
            (
                "a shared volume",
                Box::new(|case| {
                    case.pod = case.pod.claim("data");
                    let key = ObjectKey::new("shop", "data");
                    case.more.push(Change::Claim(Claim {
                        key,
                        access_modes: vec!["ReadWriteMany".into()],
                        volume: None,
                    }));
                }),
            ),
            (
                "kept apart by host, with a free host",
                Box::new(|case| case.set.template = keep_apart("kubernetes.io/hostname")),
            ),
            (
                "an older ReplicaSet without pods",
                Box::new(|case| {
                    let uid = Uid::from("older");
                    let older = ReplicaSet { uid, replicas: 0, current_replicas: 0, revision: 0, ..case.set.clone() };
                    case.more.push(Change::ReplicaSet(Box::new(older)));
                }),
            ),
        ];
        for (name, change) in cases {
            let mut case = Case::movable();
            change(&mut case);
            assert!(case.judge().is_ok(), "{name}");
        }
    }

    #[test]
    fn each_obstacle_is_found_by_the_one_fact_that_makes_it() {
        let key = |name| ObjectKey::new("shop", name);
        let hash = [(TEMPLATE_HASH, "h1")];
        let cases: Vec<(Obstacle, Twist)> = vec![
            (
                Obstacle::Owner(OwnerKind::StatefulSet),
                Box::new(|case| case.pod = case.pod.managed_by("apps/v1", "StatefulSet", "web-1")),
            ),
            (Obstacle::OwnerMissing, Box::new(|case| case.set.uid = Uid::from("another"))),
            (Obstacle::OwnerMissing, Box::new(|case| case.set.is_terminating = true)),
            (Obstacle::OwnerMissing, Box::new(|case| case.deployment.uid = Uid::from("another"))),
            (Obstacle::NoPrivateKey, Box::new(|case| case.set.selector = fixtures::selector(&[("app", "web")]))),
            (Obstacle::Recreate, Box::new(|case| case.deployment.strategy = Strategy::Recreate)),
            (Obstacle::NoSurge, Box::new(|case| case.deployment.strategy = Strategy::RollingUpdate { max_surge: 0 })),
            (Obstacle::Chooser("Service", key("x")), Box::new(move |case| case.more.push(chooser("Service", &hash)))),
            (
                Obstacle::Chooser("NetworkPolicy", key("x")),
                Box::new(move |case| case.more.push(chooser("NetworkPolicy", &hash))),
            ),
            (
                Obstacle::Chooser("PodDisruptionBudget", key("web")),
                Box::new(move |case| {
                    let budget = fixtures::budget("shop", "web", 0);
                    case.more.push(Change::Budget(cluster_model::budget::Budget {
                        selector: fixtures::selector(&hash),
                        ..budget
                    }));
                }),
            ),
            (
                Obstacle::Adopter("ReplicaSet", key("loner")),
                Box::new(move |case| {
                    let selector = fixtures::selector(&[("app", "web")]);
                    let (uid, key, controller) = (Uid::from("loner"), ObjectKey::new("shop", "loner"), None);
                    let loner =
                        ReplicaSet { uid, key, controller, selector, ..fixtures::replica_set("shop", "web", 1) };
                    case.more.push(Change::ReplicaSet(Box::new(loner)));
                }),
            ),
            (
                Obstacle::Adopter("StatefulSet", key("x")),
                Box::new(|case| {
                    let (uid, selector) = (Uid::from("x"), Selector::All(Vec::new()));
                    let controller = Controller {
                        kind: "StatefulSet",
                        key: ObjectKey::new("shop", "x"),
                        uid,
                        selector,
                        replicas: None,
                    };
                    case.more.push(Change::Controller(controller));
                }),
            ),
            (Obstacle::ExclusiveVolume(key("data")), Box::new(|case| case.pod = case.pod.claim("data"))),
            (Obstacle::SpreadByHash, Box::new(|case| case.set.template.spreads_by_template_hash = true)),
            (Obstacle::NoFreeDomain("zone".into()), Box::new(|case| case.set.template = keep_apart("zone"))),
            (
                Obstacle::NoFreeDomain("kubernetes.io/hostname".into()),
                Box::new(|case| {
                    case.set.template = keep_apart("kubernetes.io/hostname");
                    case.circumstances.leaving.insert(NodeName::from("new"));
                }),
            ),
            (
                Obstacle::MayNotPatch,
                Box::new(|case| case.circumstances.may_not_patch = BTreeSet::from(["shop".to_owned()])),
            ),
            (
                Obstacle::PatchDenied("policy".into()),
                Box::new(|case| {
                    case.circumstances.patch_denied.insert(Uid::from("uid-web-1"), "policy".into());
                }),
            ),
            (Obstacle::NotReady, Box::new(|case| case.pod = fixtures::pod("shop", "web-a").of(&case.set).on("old"))),
            (Obstacle::Rollout, Box::new(|case| case.set.desired_replicas = Some(2))),
            (
                Obstacle::Rollout,
                Box::new(|case| {
                    let newer = ReplicaSet { uid: Uid::from("newer"), revision: 2, ..case.set.clone() };
                    case.more.push(Change::ReplicaSet(Box::new(newer)));
                }),
            ),
        ];
        for (obstacle, change) in cases {
            let mut case = Case::movable();
            change(&mut case);
            assert_eq!(case.judge(), Err(obstacle));
        }
    }

    /// The same with a ReplicaSet that knows its pods by their app alone, owned by somebody who is no Deployment, or nobody.
    fn bare(owner: Option<ControllerRef>) -> Case {
        let mut case = Case::movable();
        let labels = [("app", "web")];
        case.set.controller = owner;
        case.set.selector = fixtures::selector(&labels);
        case.set.template.labels = fixtures::labels(&labels);
        (case.set.template_hash, case.set.revision, case.set.desired_replicas) = (None, 0, None);
        case.pod = fixtures::pod("shop", "web-a").of(&case.set).on("old").ready();
        case.more.push(Change::Namespace(fixtures::namespace("shop")));
        case
    }

    fn rollout() -> ControllerRef {
        ControllerRef {
            api_version: "argoproj.io/v1alpha1".into(),
            kind: "Rollout".into(),
            name: "web".into(),
            uid: Uid::from("rollout"),
        }
    }

    #[test]
    fn the_pod_of_a_set_that_is_no_deployments_is_given_to_its_namespace() {
        for owner in [None, Some(rollout())] {
            let expected = Detachable {
                replica_set: Uid::from("uid-web-1"),
                hash: None,
                given_to: Some(Uid::from("uid-shop")),
                max_surge: 1,
            };
            assert_eq!(bare(owner).judge(), Ok(expected));
        }
    }

    #[test]
    fn a_set_that_a_deployment_left_behind_still_has_its_private_key() {
        let mut case = Case::movable();
        case.set.controller = None;
        let judged = case.judge().unwrap();
        assert_eq!((judged.hash.as_deref(), judged.given_to), (Some("h1"), None));
    }

    #[test]
    fn what_keeps_a_pod_from_being_given_to_its_namespace() {
        let config =
            ControllerRef { api_version: "apps.openshift.io/v1".into(), kind: "DeploymentConfig".into(), ..rollout() };
        assert_eq!(bare(Some(config)).judge(), Err(Obstacle::Unfamiliar("DeploymentConfig".into())));
        let mut unseen = bare(None);
        unseen.more.clear();
        assert_eq!(unseen.judge(), Err(Obstacle::NoNamespace));
        let mut by_scale = bare(None);
        by_scale.more.push(Change::Budget(cluster_model::budget::Budget {
            counts_by_scale: true,
            ..fixtures::budget("shop", "web", 1)
        }));
        assert_eq!(by_scale.judge(), Err(Obstacle::CountsByScale(ObjectKey::new("shop", "web"))));
        let mut generations = bare(Some(rollout()));
        let other = ReplicaSet { uid: Uid::from("canary"), ..generations.set.clone() };
        generations.more.push(Change::ReplicaSet(Box::new(other)));
        assert_eq!(generations.judge(), Err(Obstacle::Generations));
    }
}
