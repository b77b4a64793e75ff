//! Since when each pod has been Ready, as far as can be told without trusting two clocks to agree.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_model::identity::Uid;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::input::Moment;

/// How far the operator's clock and the cluster's may be apart before a server's time stamp is misjudged.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// When each pod was first seen Ready by this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness {
    seen: BTreeMap<Uid, Duration>,
}

impl Readiness {
    /// Takes note of the pods that are Ready now, and forgets the others.
    pub(super) fn observe(&mut self, cluster: &ClusterSnapshot, now: Moment) {
        let before = std::mem::take(&mut self.seen);
        let ready = cluster.pods().filter(|pod| pod.is_ready());
        self.seen =
            ready.map(|pod| (pod.id.uid.clone(), before.get(&pod.id.uid).copied().unwrap_or(now.elapsed))).collect();
    }

    /// Since when this run has seen the pod Ready; `None`: it is not.
    pub(super) fn first_seen(&self, pod: &Pod) -> Option<Duration> {
        self.seen.get(&pod.id.uid).copied()
    }

    /// Whether the pod has been Ready for `minReadySeconds`: by what this run saw itself, or by the server's time
    /// stamp if no difference between the clocks could explain it.
    pub(super) fn is_available(&self, pod: &Pod, min_ready_seconds: i32, now: Moment) -> bool {
        let needed = Duration::from_secs(u64::try_from(min_ready_seconds).unwrap_or(0));
        let Some(since) = pod.ready_since.filter(|_| pod.is_ready()) else { return false };
        let seen = self.seen.get(&pod.id.uid).map_or(Duration::ZERO, |first| now.elapsed.saturating_sub(*first));
        let stamped = Duration::try_from(now.wall.duration_since(since)).unwrap_or_default();
        seen >= needed || stamped >= needed + CLOCK_SKEW
    }
}

#[cfg(test)]
mod tests {
    use cluster_model::fixtures;
    use cluster_model::snapshot::Change;

    use super::*;

    #[test]
    fn a_fast_clock_makes_no_pod_available_early() {
        let pod = fixtures::pod("shop", "web").on("n1").ready().build();
        let mut cluster = ClusterSnapshot::default();
        cluster.apply(Change::Pod(Box::new(pod.clone())));
        let mut readiness = Readiness::default();
        // The operator's clock is four minutes ahead, so the pod seems to have been Ready for long.
        let moment = |elapsed: u32| Moment {
            wall: fixtures::at(240 + i64::from(elapsed)),
            elapsed: Duration::from_secs(elapsed.into()),
        };
        readiness.observe(&cluster, moment(1));
        readiness.observe(&cluster, moment(5));
        assert!(readiness.is_available(&pod, 0, moment(5)));
        assert!(!readiness.is_available(&pod, 10, moment(5)), "seen for 4 s only");
        assert!(readiness.is_available(&pod, 10, moment(11)));
        let long_ago = Moment { wall: fixtures::at(400), elapsed: Duration::from_secs(5) };
        assert!(readiness.is_available(&pod, 10, long_ago), "no clock is five minutes off");
    }
}
