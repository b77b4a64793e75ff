//! A sketched world on the control plane: the forecast is made of what the API shows, as the product makes it, and then the
//! replacement really comes.

use std::collections::BTreeSet;
use std::fmt;

use api_access::{ApiAccess, Patience};
use cluster_model::api::{apps, core as v1};
use cluster_model::identity::{NodeName, Uid};
use cluster_model::owners::HeldBack;
use e2e::workload::is_pod_ready;
use e2e::{Kubectl, Namespace};
use evacuation_runner::{observe, scheduler_view};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use scheduler_forecast::{Candidate, Fits, Move, Question, outlook};
use serde_json::{Value, json};

use super::sketch::{Kind, Neighbour, OLD, Sketch, Way, merge};

/// What the forecast says of the replacement.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// The nodes that take it.
    pub(super) nodes: BTreeSet<String>,
    /// Whether it finds a place.
    pub(super) fits: Fits,
    /// The filters that reject it on the nodes of its world.
    pub(super) filters: BTreeSet<String>,
    /// The same in words.
    pub(super) reasons: Vec<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?} ({})", self.fits, self.nodes, self.reasons.join(", "))
    }
}

/// What the scheduler did with it.
#[derive(Clone, Debug)]
pub(super) enum Done {
    /// It is on this node.
    Bound(String),
    /// It is on none, and why.
    Nowhere(String),
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(node) => write!(f, "on {node}"),
            Self::Nowhere(why) => write!(f, "nowhere ({why})"),
        }
    }
}

/// A world that is there.
pub(super) struct World<'a> {
    ns: &'a Namespace,
    sketch: &'a Sketch,
    /// The pod that is to be replaced.
    running: Pod,
}

impl<'a> World<'a> {
    /// Makes it, up to the moment at which the replacement is to come.
    pub(super) async fn make(ns: &'a Namespace, sketch: &'a Sketch) -> Self {
        for object in &sketch.first {
            ns.create(object.clone()).await;
        }
        node(ns, sketch, OLD).await;
        ns.create(sketch.owner()).await;
        let mut world = Self { ns, sketch, running: Pod::default() };
        if !sketch.at_birth.is_empty() {
            world.running = world.one_pod("there", |_| true).await;
            world.patch_running(&sketch.at_birth).await;
        }
        world.running = world.one_pod("ready", is_pod_ready).await;
        join_all(sketch.new_nodes().into_iter().map(|name| node(ns, sketch, name))).await;
        join_all(sketch.neighbours.iter().enumerate().map(|(number, one)| neighbour(ns, number, one))).await;
        world.patch_running(&sketch.in_life).await;
        if let Some(later) = &sketch.later {
            world.patch_owner(later).await;
        }
        let cordon = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
        let old = ns.node_name(OLD);
        ns.nodes().patch(&old, &PatchParams::default(), &cordon).await.unwrap();
        world.running = ns.api::<Pod>().get(&world.running.name_any()).await.unwrap();
        world
    }

    /// Makes the forecast, of what the product looks at.
    pub(super) async fn forecast(&self) -> Said {
        let access = ApiAccess {
            client: self.ns.client(),
            request_timeout: None,
            field_manager: "handover-test".to_owned(),
            chunk_size: 500,
            patience: Patience::new(|_| ()),
        };
        let old = NodeName(self.ns.node_name(OLD));
        let leaving = BTreeSet::from([old.clone()]);
        let (_, fleet) = observe::fleet(&access).await.unwrap();
        let mut view = scheduler_view::look(&access, fleet, &leaving).await.unwrap();
        let uid = Uid(self.running.uid().unwrap());
        let running = view.leaving.get(&uid).expect("the pod is on the node that is emptied");
        let template = self.template(running).await;
        let candidate = Candidate::replacement(running, template.as_ref());
        view.look_behind(&access, &[&candidate]).await.unwrap();
        assert!(view.unseen.is_empty(), "an administrator sees everything");
        let moves = [Move { pod: uid, from: old, candidate, stays: self.sketch.way == Way::Beside }];
        let question = Question { moves: &moves, leaving: &leaving, onto: None };
        let mut found = outlook(&mut view.cluster, &question);
        let prospect = found.pods.remove(0);
        let own: BTreeSet<_> = self.sketch.new_nodes().into_iter().map(|name| self.sketch.node_name(name)).collect();
        let verdicts = view.cluster.judge(&moves[0].candidate);
        let rejections = verdicts.into_iter().filter(|one| own.contains(&one.node.0)).filter_map(|one| one.rejection);
        let filters = rejections.map(|rejection| format!("{:?}", rejection.plugin)).collect();
        let reasons = prospect.reasons.iter().map(|(why, count)| format!("{count} {}", why.reason)).collect();
        let nodes = prospect.nodes.into_iter().map(|node| node.0).collect();
        Said { nodes, fits: prospect.fits, filters, reasons }
    }

    /// What the pod's controller makes pods of, as the product reads it.
    async fn template(&self, running: &v1::Pod) -> Option<v1::PodTemplateSpec> {
        let name = running.metadata.owner_references.iter().flatten().next().map(|owner| owner.name.clone())?;
        if self.sketch.kind == Kind::StatefulSet {
            let set = self.ns.api::<apps::StatefulSet>().get(&name).await.unwrap();
            let is_held_back =
                HeldBack::read(&set).is_some_and(|held_back| held_back.includes(&self.running.name_any()));
            return set.spec.and_then(|spec| spec.template).filter(|_| !is_held_back);
        }
        self.ns.api::<apps::ReplicaSet>().get(&name).await.unwrap().spec.and_then(|spec| spec.template)
    }

    /// Lets the replacement come, and waits for the scheduler's word on it. Where it `is_expected` to be bound, a word to the
    /// contrary is not the last one.
    pub(super) async fn replace(&self, is_expected: bool) -> Done {
        match (self.sketch.kind, self.sketch.way) {
            (Kind::StatefulSet, _) => {
                let pods = self.ns.api::<Pod>();
                pods.delete(&self.running.name_any(), &DeleteParams::default()).await.unwrap();
            }
            (_, Way::After) => {
                // So the replacement is judged in a world from which the first pod has gone.
                self.patch_owner(&json!({ "spec": { "replicas": 0 } })).await;
                self.ns.pod_gone(&self.running).await;
                self.patch_owner(&json!({ "spec": { "replicas": 1 } })).await;
            }
            (_, Way::Beside) => self.patch_owner(&json!({ "spec": { "replicas": 2 } })).await,
        }
        let description = format!("the scheduler's word ({})", if is_expected { "bound" } else { "any" });
        let is_new = |pod: &Pod| pod.uid() != self.running.uid();
        let judged = |pod: &Pod| is_new(pod) && word(pod).is_some_and(|word| !is_expected || is_bound(&word));
        word(&self.one_pod(&description, judged).await).expect("it was waited for")
    }

    /// Removes what is not the namespace's.
    pub(super) async fn clear(&self) {
        for object in &self.sketch.first {
            let kind = object["kind"].as_str().unwrap();
            if matches!(kind, "PersistentVolumeClaim" | "LimitRange") {
                continue;
            }
            let name = object["metadata"]["name"].as_str().unwrap();
            Kubectl::run(self.ns, ["delete", kind, name, "--wait=false"]).await.expect_code(0);
        }
    }

    /// Waits for a pod of the owner's of which this holds.
    async fn one_pod(&self, description: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let wanted = |pod: &&Pod| !pod.owner_references().is_empty() && holds(pod);
        let pods = self.ns.until("", description, |pods: &[Pod]| pods.iter().any(|pod| wanted(&pod))).await;
        pods.iter().find(wanted).cloned().expect("it was waited for")
    }

    async fn patch_running(&self, operations: &[Value]) {
        if !operations.is_empty() {
            let patch = Value::from(operations).to_string();
            let name = self.running.name_any();
            Kubectl::run(self.ns, ["patch", "pod", &name, "--type=json", "-p", &patch]).await.expect_code(0);
        }
    }

    async fn patch_owner(&self, patch: &Value) {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match self.sketch.kind {
            Kind::Deployment => drop(self.ns.api::<Deployment>().patch("web", &params, &patch).await.unwrap()),
            Kind::ReplicaSet => drop(self.ns.api::<ReplicaSet>().patch("web", &params, &patch).await.unwrap()),
            Kind::StatefulSet => drop(self.ns.api::<StatefulSet>().patch("web", &params, &patch).await.unwrap()),
        }
    }
}

/// The scheduler's word on a pod; `None`: there is none yet.
pub(super) fn word(pod: &Pod) -> Option<Done> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let condition = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled")?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match condition.status.as_str() {
        "True" => Some(Done::Bound(pod.spec.as_ref()?.node_name.clone()?)),
        _ => Some(Done::Nowhere(format!("{}: {}", text(&condition.reason), text(&condition.message)))),
    }
}

fn is_bound(word: &Done) -> bool {
    matches!(word, Done::Bound(_))
}

async fn node(ns: &Namespace, sketch: &Sketch, name: &'static str) {
    let change = &sketch.nodes[name];
    ns.node(name).edit(|node| merge(node, change)).create().await;
}

async fn neighbour(ns: &Namespace, number: usize, one: &Neighbour) {
    let pod = ns.pod(&format!("other-{number}")).on_node(&ns.node_name(one.node)).edit_pod(|pod| {
        pod["metadata"]["labels"] = one.labels.clone();
        merge(&mut pod["spec"], &one.spec);
    });
    let pod = if one.is_ending { pod.exit_after("never") } else { pod };
    let made = pod.ready().await;
    if one.is_ending {
        ns.api::<Pod>().delete(made["metadata"]["name"].as_str().unwrap(), &DeleteParams::default()).await.unwrap();
    }
}
