//! For how long a workload is one ready pod short when a pod goes before its replacement is there.
//!
//! What is promised is an upper bound of what is to be expected, by what is known before anything happens: how long the
//! slowest of its pods took to come up, whether the next one is made before this one has ended, and what the controllers
//! need. A cluster that has no room, or an image that is not there any more, makes it longer: that is the forecast's.

use cluster_model::owners::{self, OwnerKind};
use cluster_model::pod::{Phase, Pod};
use cluster_model::snapshot::ClusterSnapshot;

use super::PodPlan;
use crate::request::DrainRequest;
use crate::surge::detach::{self, Circumstances};

/// What the server's time stamps may hide: they are whole seconds.
const ROUNDING: u64 = 1;

/// What endpoints, the pod's owner and the scheduler take together, at the most, where they are not overloaded.
const CONTROLLERS: u64 = 2;

/// A start-up that took longer than so many times the usual one, and than a minute, was none: that pod was Ready before,
/// lost it and came back.
const FLAPPING: u64 = 4;

/// After how many seconds a Job makes a pod for one that failed, doubled for each further one, up to
/// (`pkg/controller/job/job_controller.go`, `DefaultJobPodFailureBackOff`, `MaxJobPodFailureBackOff`).
const JOB_BACK_OFF: (u64, u64) = (10, 600);

/// How long the pods of the same controller took to become Ready, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Startup {
    /// The median.
    pub(super) usual: u64,
    /// The slowest, those left out that only came back.
    pub(super) slowest: u64,
}

impl Startup {
    /// By the pods that are Ready now; `None`: none is, or nobody manages the pod.
    pub(super) fn of(pod: &Pod, cluster: &ClusterSnapshot) -> Option<Self> {
        let mut seconds: Vec<_> = siblings(pod, cluster)
            .filter_map(|other| other.ready_since.map(|ready| ready.duration_since(other.created_at).as_secs()))
            .filter_map(|seconds| u64::try_from(seconds).ok())
            .collect();
        seconds.sort_unstable();
        let usual = *seconds.get(seconds.len() / 2)?;
        let plausible = usual.saturating_mul(FLAPPING).max(60);
        let slowest = seconds.into_iter().filter(|took| *took <= plausible).max().unwrap_or(usual);
        Some(Self { usual, slowest: slowest.max(usual) })
    }

    /// Within how many seconds a new pod is Ready and an endpoint, once somebody means to make it.
    pub(super) fn at_most(self) -> u64 {
        self.slowest + ROUNDING + CONTROLLERS
    }
}

/// The expected gap of a pod that goes first and is replaced then. `grace` are the seconds it may take to end. `None`: nobody
/// makes it again, or none of its like is Ready. Clauses:
///
/// 1. what does not serve leaves no gap;
/// 2. a Job makes the next pod after a pause, which grows with the pods that go together;
/// 3. the next pod cannot start before this one has ended where its owner waits for that, or may, and where it needs the
///    same volume or place;
/// 4. those of a StatefulSet that go all at once come back one after another.
pub(super) fn expected(
    plan: &PodPlan,
    pod: &Pod,
    grace: u64,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
) -> Option<u64> {
    if !pod.is_ready() {
        return Some(0);
    }
    let owner = owners::owner_kind(pod);
    if plan.is_lost || is_abandoned(pod, owner, cluster) {
        return None;
    }
    let replaced = Startup::of(pod, cluster)?.at_most();
    Some(match owner {
        OwnerKind::Job => {
            let (first, longest) = JOB_BACK_OFF;
            let failed = siblings(pod, cluster).filter(|other| other.phase == Phase::Failed).count();
            let doublings = failed + together(pod, cluster, circumstances).saturating_sub(1);
            let factor = u32::try_from(doublings).ok().and_then(|doublings| 1_u64.checked_shl(doublings));
            let pause = factor.map_or(longest, |factor| first.saturating_mul(factor).min(longest));
            pause + grace + replaced
        }
        OwnerKind::StatefulSet if !request.takes_turns(pod, plan.bypasses_budget) => {
            let pods = u64::try_from(together(pod, cluster, circumstances)).unwrap_or(u64::MAX);
            grace.saturating_add(replaced.saturating_mul(pods.max(1)))
        }
        OwnerKind::StatefulSet | OwnerKind::Custom => grace + replaced,
        OwnerKind::ReplicaSet
        | OwnerKind::ReplicationController
        | OwnerKind::DaemonSet
        | OwnerKind::Node
        | OwnerKind::Nobody => {
            let needs_its_place = detach::needs_its_place(pod, cluster, circumstances);
            if needs_its_place { grace + replaced } else { replaced }
        }
    })
}

/// Whether the ReplicaSet or ReplicationController of a pod is gone, or about to go.
fn is_abandoned(pod: &Pod, owner: OwnerKind, cluster: &ClusterSnapshot) -> bool {
    let set = pod.controller.as_ref().and_then(|controller| cluster.replica_set(&controller.uid));
    match set {
        Some(set) => set.is_terminating,
        // ReplicationControllers are not always listed.
        None => owner == OwnerKind::ReplicaSet,
    }
}

/// How many pods of its controller are on the nodes that are to be emptied.
fn together(pod: &Pod, cluster: &ClusterSnapshot, circumstances: &Circumstances) -> usize {
    let leaves = |other: &&Pod| other.node.as_ref().is_some_and(|node| circumstances.leaving.contains(node));
    siblings(pod, cluster).filter(leaves).filter(|other| !other.is_terminal()).count()
}

/// The pods of the same controller, itself included, as far as the view shows them.
fn siblings<'a>(pod: &'a Pod, cluster: &'a ClusterSnapshot) -> impl Iterator<Item = &'a Pod> {
    let owner = pod.controller.as_ref().map(|owner| &owner.uid);
    let is_sibling = move |other: &&Pod| owner.is_some_and(|owner| other.is_managed_by(owner));
    cluster.pods_of(&pod.id.namespace).filter(is_sibling)
}

#[cfg(test)]
mod tests {
    use cluster_model::disposition::DrainPolicy;
    use cluster_model::fixtures::{self, PodBuilder};
    use cluster_model::identity::{NodeName, Uid};
    use cluster_model::owners::Strategy as RolloutStrategy;
    use cluster_model::snapshot::Change;
    use jiff::Timestamp;

    use super::super::build;
    use super::*;
    use crate::request::Strategy;

    /// Ready so many seconds after it was made.
    fn took(pod: &PodBuilder, seconds: i64) -> Pod {
        Pod { ready_since: Some(fixtures::at(seconds)), grace_seconds: 20, ..pod.build() }
    }

    fn of_kind(kind: &str, name: &str) -> PodBuilder {
        let api_version = match kind {
            "Job" => "batch/v1",
            "Widget" => "example.test/v1",
            _ => "apps/v1",
        };
        fixtures::pod("shop", name).managed_by(api_version, kind, "web").on("old")
    }

    /// The gaps of these pods, by the plan.
    fn gaps(pods: Vec<Pod>, more: Vec<Change>, request: &DrainRequest) -> Vec<Option<u64>> {
        let mut cluster = ClusterSnapshot::default();
        for node in ["old", "new"] {
            cluster.apply(Change::Node(Box::new(fixtures::node(node))));
        }
        let pods = pods.into_iter().map(|pod| Change::Pod(Box::new(pod)));
        for change in pods.chain(more) {
            cluster.apply(change);
        }
        let nodes = [NodeName::from("old")];
        let circumstances = Circumstances { leaving: nodes.iter().cloned().collect(), ..Circumstances::default() };
        let plan = build(&nodes, request, &cluster, &circumstances, None, Timestamp::UNIX_EPOCH);
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        plan.pods().map(|(_, pod)| pod.expected_gap_seconds).collect()
    }

    fn request() -> DrainRequest {
        DrainRequest { policy: DrainPolicy { force: true, ..DrainPolicy::default() }, ..DrainRequest::default() }
    }

    #[test]
    fn what_the_gap_of_each_kind_of_owner_is_made_of() {
        let gap = |kind| gaps(vec![took(&of_kind(kind, "web-0"), 7)], vec![], &request())[0];
        assert_eq!(gap("StatefulSet"), Some(20 + 7 + 3), "the next one is made when this one has ended");
        assert_eq!(gap("Widget"), Some(20 + 7 + 3), "who knows when a stranger makes the next one");
        assert_eq!(gap("Job"), Some(10 + 20 + 7 + 3), "a Job pauses after a pod that failed");
        let bare = took(&fixtures::pod("shop", "bare").on("old"), 7);
        assert_eq!(gaps(vec![bare], vec![], &request()), [None], "nobody makes it again");
        let sick = of_kind("StatefulSet", "web-0").build();
        assert_eq!(gaps(vec![sick], vec![], &request()), [Some(0)], "it serves nobody");
    }

    /// A ReplicaSet of two under a Deployment that allows no surge, its pods and whatever else there is.
    fn recreated(change: impl Fn(&mut Pod, &mut cluster_model::owners::ReplicaSet)) -> Option<u64> {
        let mut set = fixtures::replica_set("shop", "web", 1);
        let mut pod = took(&fixtures::pod("shop", "web-a").of(&set).on("old"), 7);
        change(&mut pod, &mut set);
        let deployment = cluster_model::owners::Deployment {
            strategy: RolloutStrategy::Recreate,
            ..fixtures::deployment("shop", "web", 1)
        };
        gaps(vec![pod], vec![Change::ReplicaSet(Box::new(set)), Change::Deployment(deployment)], &request())[0]
    }

    #[test]
    fn a_replica_set_makes_the_next_one_at_once_unless_it_is_going_and_it_waits_only_for_what_both_need() {
        assert_eq!(recreated(|_, _| {}), Some(7 + 3));
        assert_eq!(recreated(|pod, _| pod.claims.push("disk".to_owned())), Some(20 + 7 + 3));
        assert_eq!(recreated(|_, set| set.is_terminating = true), None);
        assert_eq!(recreated(|_, set| set.uid = Uid::from("another")), None);
        let apart = |_: &mut Pod, set: &mut cluster_model::owners::ReplicaSet| {
            set.template.anti_affinity.push(cluster_model::owners::AntiAffinity {
                topology_key: "example.test/rack".to_owned(),
                selector: fixtures::selector(&[("app", "web")]),
            });
        };
        assert_eq!(recreated(apart), Some(20 + 7 + 3), "no node is in another rack");
    }

    #[test]
    fn those_that_go_all_at_once_come_back_one_after_another() {
        let all = |kind: &'static str| -> Vec<Pod> {
            ["web-0", "web-1", "web-2"].map(|name| took(&of_kind(kind, name), 7)).into()
        };
        assert_eq!(gaps(all("StatefulSet"), vec![], &request()), [Some(30); 3], "they take turns");
        let at_once = DrainRequest { strategy: Strategy::Evict, ..request() };
        assert_eq!(gaps(all("StatefulSet"), vec![], &at_once), [Some(20 + 3 * 10); 3]);
        assert_eq!(gaps(all("Job"), vec![], &request()), [Some(40 + 20 + 10); 3]);
    }

    #[test]
    fn the_slowest_of_its_like_counts_and_none_that_only_came_back() {
        let start = |seconds: &[i64]| {
            let mut cluster = ClusterSnapshot::default();
            let made =
                |(number, seconds): (u8, &i64)| took(&of_kind("StatefulSet", &format!("web-{number}")), *seconds);
            let pods: Vec<_> = (0..).zip(seconds).map(made).collect();
            for pod in &pods {
                cluster.apply(Change::Pod(Box::new(pod.clone())));
            }
            Startup::of(&pods[0], &cluster).unwrap()
        };
        assert_eq!(start(&[5]), Startup { usual: 5, slowest: 5 });
        assert_eq!(start(&[5, 9, 30]), Startup { usual: 9, slowest: 30 });
        assert_eq!(start(&[5, 9, 86_400]), Startup { usual: 9, slowest: 9 });
        assert_eq!(start(&[100, 350, 90]), Startup { usual: 100, slowest: 350 });
    }
}
