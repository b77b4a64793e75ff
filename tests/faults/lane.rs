//! Workloads on two nodes, drained from one to the other and back: each case begins where the one before it ended.

use std::fmt::Write as _;
use std::time::Duration;

use e2e::{ControlPlane, EndpointRecorder, Invocation, Namespace, Plugin, User};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::kill_matrix::{Scene, expect};

/// How long one run may take: a dead run of another host is watched for 15 s, a stalled watch is noticed after 75 s.
const RUN_DEADLINE: Duration = Duration::from_secs(300);

/// The annotations and the label by which a run marks things.
const MARKS: [&str; 2] = ["handover/detached", "controller.kubernetes.io/pod-deletion-cost"];

/// A namespace whose workloads live on one of two nodes.
pub(crate) struct Lane {
    pub(crate) ns: Namespace,
    /// Another user with the same rights.
    pub(crate) other: User,
    pub(crate) old: String,
    pub(crate) new: String,
    services: Vec<String>,
    replicas: usize,
}

/// Makes the lease of a dead run on a node look as it does to an operator on another machine.
pub(crate) async fn move_lease_to_another_host(ns: &Namespace, node: &str) {
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    let name = format!("handover-{node}");
    let Some(lease) = leases.get_opt(&name).await.unwrap() else { return };
    let text = &lease.annotations()["handover/holder"];
    let mut holder: Value = serde_json::from_str(text).unwrap();
    holder["host"] = json!("another-host");
    holder["machine"] = json!("another-boot/pid:[1]");
    let patch = json!({ "metadata": { "annotations": { "handover/holder": holder.to_string() } } });
    leases.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// No run holds a node any more.
pub(crate) async fn judge_lock(ns: &Namespace, node: &str, what: &mut String) {
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    if leases.get_opt(&format!("handover-{node}")).await.unwrap().is_some() {
        let _ = writeln!(what, "the lease of {node} is left");
    }
    if ns.nodes().get(node).await.unwrap().annotations().contains_key("handover/lock") {
        let _ = writeln!(what, "the lock of {node} is left");
    }
}

/// The node is as it was before any run.
pub(crate) async fn judge_given_back(ns: &Namespace, node: &str, what: &mut String) {
    let found = ns.nodes().get(node).await.unwrap();
    if is_cordoned(&found) || found.annotations().contains_key("handover/run") {
        let _ = writeln!(what, "node {node} was not given back");
    }
}

/// What a lane's case ended with, for the judge.
pub(crate) struct Case {
    recorder: EndpointRecorder,
}

impl Lane {
    /// Makes so many Deployments, each with a Service and a budget that lets no pod go, on one node.
    pub(crate) async fn start(control_plane: &ControlPlane, workloads: usize, replicas: usize) -> Self {
        let ns = Namespace::fresh(control_plane, "faults").await;
        let old = ns.node("left").create().await;
        let services: Vec<_> = (0..workloads).map(|number| format!("app-{number}")).collect();
        join_all(services.iter().map(|name| async {
            ns.service(name).create().await;
            let count = u32::try_from(replicas).unwrap();
            ns.deployment(name)
                .replicas(count)
                .max_surge(1)
                .max_unavailable(0)
                .ready_after("300ms")
                .exit_after("300ms")
                .ready()
                .await;
            ns.budget(name).min_available(count).ready().await;
            ns.ready_endpoints(name, replicas).await;
        }))
        .await;
        let new = ns.node("right").create().await;
        let other = control_plane.operator(ns.name());
        Self { ns, other, old, new, services, replicas }
    }

    /// Nothing but the node's own mark may be left of any run.
    async fn judge_marks(&self, what: &mut String) {
        judge_lock(&self.ns, &self.old, what).await;
        self.judge_workloads(what).await;
    }

    /// No pod is marked, none is outside its ReplicaSet, and no Deployment was changed.
    async fn judge_workloads(&self, what: &mut String) {
        let pods = self.pods().await;
        let wanted = self.services.len() * self.replicas;
        if pods.len() != wanted {
            let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
            let _ = writeln!(what, "{} pods instead of {wanted}: {names:?}", pods.len());
        }
        for pod in &pods {
            let marks: Vec<_> = MARKS.iter().filter(|mark| pod.annotations().contains_key(**mark)).collect();
            let is_detached = pod.labels().get("pod-template-hash").is_some_and(|hash| hash == "handover");
            if !marks.is_empty() || is_detached || pod.owner_references().is_empty() {
                let _ = writeln!(what, "pod {} is still marked: {marks:?}, detached {is_detached}", pod.name_any());
            }
        }
        for deployment in self.ns.api::<Deployment>().list(&ListParams::default()).await.unwrap() {
            if deployment.metadata.generation != Some(1) {
                let _ = writeln!(what, "deployment {} was changed", deployment.name_any());
            }
        }
    }

    /// Returns the pods that are not leaving.
    async fn pods(&self) -> Vec<Pod> {
        self.ns.pods("").await.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }
}

impl Scene for Lane {
    type Case = Case;

    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn other(&self) -> &User {
        &self.other
    }

    fn old(&self) -> &str {
        &self.old
    }

    fn command(&self) -> Invocation {
        Plugin::safedrain(&self.ns).args([&self.old, "--settle=0s", "--yes"]).deadline(RUN_DEADLINE)
    }

    fn undo(&self) -> Invocation {
        Plugin::safedrain(&self.ns).args([&self.old, "--undo"]).deadline(RUN_DEADLINE)
    }

    async fn begin(&self) -> Case {
        Case { recorder: EndpointRecorder::start(&self.ns).await }
    }

    async fn judge_stopped(&self, _: &Case, wrong: &mut String) {
        self.judge_marks(wrong).await;
    }

    // A run that died before it marked anything leaves nothing to undo; its lease stays for the next one to take over.
    async fn judge_undone(&self, _: &Case, wrong: &mut String) {
        self.judge_workloads(wrong).await;
        judge_given_back(&self.ns, &self.old, wrong).await;
    }

    async fn judge(&self, mut case: Case, what: &mut String) {
        case.recorder.stop().await;
        for service in &self.services {
            if case.recorder.fewest_ready(service) != self.replicas {
                let _ = writeln!(what, "Service {service} had {:?} ready endpoints", case.recorder.counts(service));
            }
        }
        let node = self.ns.nodes().get(&self.old).await.unwrap();
        let mark: Value = node
            .annotations()
            .get("handover/run")
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())));
        if mark["phase"] != "drained" || !is_cordoned(&node) {
            let _ = writeln!(what, "node {} is not marked as drained: {mark}", self.old);
        }
        self.judge_marks(what).await;
        for pod in self.pods().await {
            let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            if place != Some(&self.new) || !e2e::workload::is_pod_ready(&pod) {
                let _ = writeln!(
                    what,
                    "pod {} is on {place:?}, ready {}",
                    pod.name_any(),
                    e2e::workload::is_pod_ready(&pod)
                );
            }
        }
    }

    async fn turn_round(&mut self, what: &mut String) {
        expect(&self.undo().run().await, &[0], what);
        judge_given_back(&self.ns, &self.old, what).await;
        std::mem::swap(&mut self.old, &mut self.new);
    }
}

pub(crate) fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}
