//! Workloads of every kind on one node, with what a drain owes to each.

use e2e::workload::WorkloadBuilder;
use e2e::{Kubectl, Namespace};
use futures::future::join_all;
use serde_json::{Value, json};

use super::super::flock::Flock;
use super::patch_deployment;

/// The label of the pods that a stranger's drain of the same node chooses as well.
pub(super) const DRAINED_TWICE: &str = "handover.test/drained-twice";

/// One workload behind a Service of its name.
struct Workload<'a> {
    object: WorkloadBuilder<'a>,
    budgets: Vec<WorkloadBuilder<'a>>,
    /// How many endpoints it begins with.
    endpoints: usize,
    promise: Promise,
}

/// What a drain owes to the workload of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub(super) name: &'static str,
    /// Below how many ready endpoints its Service never is.
    pub(super) least: usize,
    /// With how many it ends; `None`: that is for others to say.
    pub(super) at_last: Option<usize>,
}

impl<'a> Workload<'a> {
    /// One that ends with as many endpoints as it had, and never has fewer.
    fn new(name: &'static str, object: WorkloadBuilder<'a>, pods: u32) -> Self {
        let endpoints = usize::try_from(pods).unwrap();
        let promise = Promise { name, least: endpoints, at_last: Some(endpoints) };
        Self { object: object.exit_after("200ms"), budgets: Vec::new(), endpoints, promise }
    }

    fn set_to(mut self, change: impl FnOnce(WorkloadBuilder<'a>) -> WorkloadBuilder<'a>) -> Self {
        self.object = change(self.object);
        self
    }

    fn under(mut self, budget: WorkloadBuilder<'a>) -> Self {
        self.budgets.push(budget);
        self
    }

    fn never_below(mut self, least: usize) -> Self {
        self.promise.least = least;
        self
    }

    fn one_fewer(self) -> Self {
        let least = self.endpoints - 1;
        self.never_below(least)
    }

    fn at_last(mut self, endpoints: usize) -> Self {
        self.promise.at_last = Some(endpoints);
        self
    }

    /// One of which nobody says how many pods serve, while it moves or afterwards.
    fn promised_nothing(mut self) -> Self {
        self.promise = Promise { least: 0, at_last: None, ..self.promise };
        self
    }

    /// Lets its pods run only where there is room for it, as [`open_room`] says.
    fn where_there_is_room(self) -> Self {
        let name = self.promise.name;
        self.set_to(|object| object.edit_pod(|pod| pod["spec"]["nodeSelector"][room(name)] = json!("yes")))
    }

    fn drained_twice(self) -> Self {
        self.set_to(|object| object.label(DRAINED_TWICE, "yes"))
    }

    async fn made(self, ns: &Namespace) -> Promise {
        let Self { object, budgets, endpoints, promise } = self;
        ns.service(promise.name).create().await;
        object.create().await;
        ns.ready_endpoints(promise.name, endpoints).await;
        for budget in budgets {
            budget.ready().await;
        }
        promise
    }
}

/// The label of a node that has room for a workload.
pub(super) fn room(name: &str) -> String {
    format!("handover.test/room-for-{name}")
}

/// Makes room for a workload on a node.
pub(super) async fn open_room(ns: &Namespace, node: &str, name: &str) {
    Kubectl::run(ns, ["label", "node", node, &format!("{}=yes", room(name))]).await.expect_code(0);
}

/// Makes them all and waits until each of them serves.
pub(super) async fn make(ns: &Namespace, flock: &Flock) -> Vec<Promise> {
    let all = [handed_over(ns), in_turns(ns), on_their_own(ns), disturbed(ns)].into_iter().flatten();
    let mut promises = join_all(all.map(|workload| workload.made(ns))).await;
    // One that is paused from its beginning never gets a pod.
    patch_deployment(ns, "paused", &json!({ "spec": { "paused": true } })).await;
    promises.push(nightly(ns).await);
    ns.service("flock").create().await;
    for _ in 0..Flock::SIZE {
        flock.add(ns).await;
    }
    ns.ready_endpoints("flock", Flock::SIZE).await;
    promises.push(Promise { name: "flock", least: Flock::SIZE - 1, at_last: Some(Flock::SIZE) });
    promises
}

/// Each pod's replacement serves before it goes.
fn handed_over(ns: &Namespace) -> Vec<Workload<'_>> {
    let deployment = |name, replicas| Workload::new(name, ns.deployment(name).replicas(replicas), replicas);
    vec![
        deployment("free", 1),
        deployment("one-min", 1).under(ns.budget("one-min").min_available(1)),
        deployment("one-percent", 1).under(ns.budget("one-percent").min_available("100%")),
        deployment("one-none", 1).under(ns.budget("one-none").max_unavailable(0)),
        deployment("three", 3)
            .set_to(|object| object.max_surge(1).max_unavailable(0))
            .under(ns.budget("three").max_unavailable(1)),
        deployment("five", 5)
            .set_to(|object| object.max_surge(2).max_unavailable(0))
            .under(ns.budget("five").min_available("80%")),
        deployment("paused", 2).under(ns.budget("paused").max_unavailable(0)),
        deployment("two-budgets", 1)
            .under(ns.budget("two-budgets").min_available(1))
            .under(ns.budget("two-budgets-more").selecting(json!({ "app": "two-budgets" })).max_unavailable(0)),
        deployment("scratch", 2).set_to(WorkloadBuilder::empty_dir),
        deployment("patient", 1).set_to(|object| object.edit(|object| object["spec"]["minReadySeconds"] = json!(1))),
        deployment("slow", 2).set_to(|object| object.ready_after("2s")).under(ns.budget("slow").max_unavailable(1)),
        deployment("apart", 1)
            .set_to(|object| object.anti_affinity("kubernetes.io/hostname"))
            .under(ns.budget("apart").min_available(1)),
    ]
}

/// The next pod goes when the last one's successor serves.
fn in_turns(ns: &Namespace) -> Vec<Workload<'_>> {
    let set = |name, replicas| Workload::new(name, ns.stateful_set(name).replicas(replicas), replicas).one_fewer();
    let deployment = |name, replicas| Workload::new(name, ns.deployment(name).replicas(replicas), replicas).one_fewer();
    vec![
        deployment("no-surge", 3)
            .set_to(|object| object.max_surge(0).max_unavailable(1))
            .under(ns.budget("no-surge").max_unavailable(1)),
        deployment("recreate", 2).set_to(WorkloadBuilder::recreate),
        deployment("alone", 2).set_to(|object| object.edit(|object| object["kind"] = json!("ReplicaSet"))),
        deployment("older", 2).set_to(|object| {
            object.edit(|object| {
                object["apiVersion"] = json!("v1");
                object["kind"] = json!("ReplicationController");
                object["spec"]["selector"] = json!({ "app": "older" });
            })
        }),
        set("ordered", 3),
        set("parallel", 3)
            .set_to(|object| object.edit(|object| object["spec"]["podManagementPolicy"] = json!("Parallel"))),
        // The disruption controller keeps the pods that are evicted by their names. If it does not look before the next pod
        // of that name is there, it takes that for one that is being evicted, and closes the budget for two minutes.
        set("guarded", 2).set_to(|object| object.exit_after("3s")).under(ns.budget("guarded").max_unavailable(1)),
    ]
}

/// Nobody promises these an endpoint while they move.
fn on_their_own(ns: &Namespace) -> Vec<Workload<'_>> {
    vec![
        // One on each node; that of the drained node stays.
        Workload::new("agent", ns.daemon_set("agent"), 1).at_last(2),
        // A container that is told to end ends well here, and with it the work of its Job, unless that has made another
        // pod by then.
        Workload::new("batch", ns.job("batch").replicas(2), 2).promised_nothing(),
        Workload::new("done", ns.job("done").complete_after("0s"), 0),
        // Nobody makes it again.
        Workload::new("tool", ns.pod("tool"), 1).never_below(0).at_last(0),
    ]
}

/// Those that others lay hands on meanwhile.
fn disturbed(ns: &Namespace) -> Vec<Workload<'_>> {
    let deployment = |name, replicas| {
        Workload::new(name, ns.deployment(name).replicas(replicas).max_unavailable(0), replicas).where_there_is_room()
    };
    vec![
        deployment("rolled", 3).under(ns.budget("rolled").max_unavailable(0)),
        deployment("shrunk", 3).under(ns.budget("shrunk").max_unavailable(0)).never_below(1).at_last(1),
        deployment("grown", 1)
            .set_to(|object| object.requests("100m", "64Mi"))
            .under(ns.budget("grown").max_unavailable(0))
            .at_last(3),
        deployment("dropped", 3).never_below(0).at_last(0),
        deployment("shared", 1).under(ns.budget("shared").min_available(1)).drained_twice(),
        Workload::new("shared-three", ns.deployment("shared-three").replicas(3), 3)
            .under(ns.budget("shared-three").max_unavailable(1))
            .never_below(2)
            .drained_twice(),
    ]
}

/// Makes a CronJob and the Job of its that somebody starts at once, as `kubectl create job --from` does.
async fn nightly(ns: &Namespace) -> Promise {
    let spec = json!({
        "restartPolicy": "Never",
        "nodeSelector": { e2e::NAMESPACE_LABEL: ns.name() },
        "containers": [{ "name": "main", "image": "app:1" }],
    });
    let template = json!({ "metadata": { "labels": { "app": "nightly" } }, "spec": spec });
    let cron_job: Value = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "nightly" },
        "spec": { "schedule": "0 3 * * *", "suspend": true, "jobTemplate": { "spec": { "template": template } } },
    });
    ns.service("nightly").create().await;
    ns.create(cron_job).await;
    Kubectl::run(ns, ["create", "job", "nightly-now", "--from=cronjob/nightly"]).await.expect_code(0);
    ns.ready_endpoints("nightly", 1).await;
    Promise { name: "nightly", least: 0, at_last: None }
}
