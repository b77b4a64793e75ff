//! Work that somebody depends on: pods behind a Service, with a budget that spares none, watched all the time.

use e2e::workload::WorkloadBuilder;
use e2e::{EndpointRecorder, Namespace};

/// The Deployment `web`, its Service and its budget, recorded from the moment when all of its pods are ready.
pub(crate) struct Shop {
    replicas: u32,
    recorder: EndpointRecorder,
}

impl Shop {
    pub(crate) async fn open(ns: &Namespace, replicas: u32) -> Self {
        Self::of(ns, replicas, |web| web).await
    }

    /// With pods that are not quite like others.
    pub(crate) async fn of(
        ns: &Namespace,
        replicas: u32,
        change: impl FnOnce(WorkloadBuilder<'_>) -> WorkloadBuilder<'_>,
    ) -> Self {
        ns.service("web").create().await;
        let web = ns.deployment("web").replicas(replicas).ready_after("500ms").exit_after("200ms");
        change(web).ready().await;
        ns.budget("web").min_available(replicas).ready().await;
        ns.ready_endpoints("web", replicas as usize).await;
        Self::watch(ns, replicas).await
    }

    /// Watches a shop that is open already.
    pub(crate) async fn watch(ns: &Namespace, replicas: u32) -> Self {
        Self { replicas, recorder: EndpointRecorder::start(ns).await }
    }

    /// At no time were there fewer ready endpoints than replicas; one counts only while its node exists.
    pub(crate) async fn never_had_less(mut self) {
        self.recorder.stop().await;
        let fewest = self.recorder.fewest_ready("web");
        assert!(fewest >= self.replicas as usize, "{:?}", self.recorder.history("web"));
    }

    /// Waits until something was lost, whatever the budget says.
    pub(crate) async fn has_lost(mut self) {
        let wanted = self.replicas as usize;
        self.recorder.until("web", "endpoints are lost", |sample| sample.ready.len() < wanted).await;
        self.recorder.stop().await;
    }
}
