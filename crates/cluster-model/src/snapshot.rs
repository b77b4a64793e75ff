//! The objects of the cluster that a run looks at, and the questions asked of them.
//!
//! One type serves both the plan (filled from lists) and the run (kept current by watches), so both decide alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::attachment::Attachment;
use crate::budget::{self, Budget, Room};
use crate::claim::Claim;
use crate::endpoint_slice::EndpointSlice;
use crate::identity::{ControllerRef, NodeName, ObjectKey, PodId, Uid, WorkloadRef};
use crate::kubevirt::{VirtualChange, Virtualization};
use crate::marks::{DetachRecord, Disbelief};
use crate::namespace::Namespace;
use crate::node::Node;
use crate::owners::{Controller, Deployment, ReplicaSet, top_owner};
use crate::pod::Pod;
use crate::service::PodChooser;

/// What is known of the cluster. Sorted throughout, so everything derived from it has a stable order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSnapshot {
    nodes: BTreeMap<NodeName, Node>,
    pods: BTreeMap<PodId, Pod>,
    replica_sets: BTreeMap<Uid, ReplicaSet>,
    deployments: BTreeMap<Uid, Deployment>,
    controllers: BTreeMap<Uid, Controller>,
    choosers: Vec<PodChooser>,
    budgets: BTreeMap<ObjectKey, Budget>,
    slices: BTreeMap<ObjectKey, EndpointSlice>,
    claims: BTreeMap<ObjectKey, Claim>,
    attachments: BTreeMap<String, Attachment>,
    namespaces: BTreeMap<String, Namespace>,
    gatekeepers: BTreeSet<ObjectKey>,
    virtualization: Virtualization,
}

/// One object that appeared, changed or went.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A node as it is now.
    Node(Box<Node>),
    /// A node that is gone.
    NodeGone(NodeName),
    /// A pod as it is now.
    Pod(Box<Pod>),
    /// A pod that is gone.
    PodGone(PodId),
    /// A ReplicaSet or ReplicationController as it is now.
    ReplicaSet(Box<ReplicaSet>),
    /// One of them that is gone.
    ReplicaSetGone(Uid),
    /// A Deployment as it is now.
    Deployment(Deployment),
    /// Another controller as it is now.
    Controller(Controller),
    /// A Service or NetworkPolicy.
    Chooser(PodChooser),
    /// A budget as it is now.
    Budget(Budget),
    /// A budget that is gone.
    BudgetGone(ObjectKey),
    /// An EndpointSlice as it is now.
    Slice(EndpointSlice),
    /// An EndpointSlice that is gone.
    SliceGone(ObjectKey),
    /// A PersistentVolumeClaim.
    Claim(Claim),
    /// A VolumeAttachment as it is now.
    Attachment(Attachment),
    /// A VolumeAttachment that is gone, by its name.
    AttachmentGone(String),
    /// A namespace.
    Namespace(Namespace),
    /// The Services of webhooks that are asked about pods or nodes, and without whose answer nothing is let through.
    Gatekeepers(BTreeSet<ObjectKey>),
    /// An object of KubeVirt's, or one of its pods.
    Virtual(Box<VirtualChange>),
}

/// A Service by address type: a dual-stack Service has to be kept whole in both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traffic {
    /// The Service.
    pub service: ObjectKey,
    /// The slices' address type.
    pub address_type: String,
}

impl ClusterSnapshot {
    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Node(node) => drop(self.nodes.insert(node.name.clone(), *node)),
            Change::NodeGone(name) => drop(self.nodes.remove(&name)),
            Change::Pod(pod) => drop(self.pods.insert(pod.id.clone(), *pod)),
            Change::PodGone(id) => drop(self.pods.remove(&id)),
            Change::ReplicaSet(set) => drop(self.replica_sets.insert(set.uid.clone(), *set)),
            Change::ReplicaSetGone(uid) => drop(self.replica_sets.remove(&uid)),
            Change::Deployment(deployment) => drop(self.deployments.insert(deployment.uid.clone(), deployment)),
            Change::Controller(controller) => drop(self.controllers.insert(controller.uid.clone(), controller)),
            Change::Chooser(chooser) => self.choosers.push(chooser),
            Change::Budget(budget) => drop(self.budgets.insert(budget.key.clone(), budget)),
            Change::BudgetGone(key) => drop(self.budgets.remove(&key)),
            Change::Slice(slice) => drop(self.slices.insert(slice.key.clone(), slice)),
            Change::SliceGone(key) => drop(self.slices.remove(&key)),
            Change::Claim(claim) => drop(self.claims.insert(claim.key.clone(), claim)),
            Change::Attachment(attachment) => drop(self.attachments.insert(attachment.name.clone(), attachment)),
            Change::AttachmentGone(name) => drop(self.attachments.remove(&name)),
            Change::Namespace(namespace) => drop(self.namespaces.insert(namespace.name.clone(), namespace)),
            Change::Gatekeepers(services) => self.gatekeepers = services,
            Change::Virtual(change) => self.virtualization.apply(*change),
        }
    }

    /// The virtual machines; empty where nobody looked for them.
    pub fn virtualization(&self) -> &Virtualization {
        &self.virtualization
    }

    /// One node by name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All known nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// One pod, if it is still there under the same uid.
    pub fn pod(&self, id: &PodId) -> Option<&Pod> {
        self.pods.get(id)
    }

    /// All known pods.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// The pods of one namespace.
    pub fn pods_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        let from = PodId { namespace: namespace.to_owned(), name: String::new(), uid: Uid::default() };
        self.pods.range(from..).map(|(_, pod)| pod).take_while(move |pod| pod.id.namespace == namespace)
    }

    /// The pods bound to a node.
    pub fn pods_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| pod.node.as_ref() == Some(node))
    }

    /// One ReplicaSet by uid.
    pub fn replica_set(&self, uid: &Uid) -> Option<&ReplicaSet> {
        self.replica_sets.get(uid)
    }

    /// All known ReplicaSets.
    pub fn replica_sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.replica_sets.values()
    }

    /// One Deployment by uid.
    pub fn deployment(&self, uid: &Uid) -> Option<&Deployment> {
        self.deployments.get(uid)
    }

    /// StatefulSets, DaemonSets and Jobs, as far as they were listed.
    pub fn controllers(&self) -> impl Iterator<Item = &Controller> {
        self.controllers.values()
    }

    /// How many pods a controller is to have, as far as it was read: a ReplicaSet by the view, the others by the plan.
    pub fn replicas_of(&self, controller: &Uid) -> Option<i32> {
        let set = self.replica_sets.get(controller).map(|set| set.replicas);
        set.or_else(|| self.controllers.get(controller)?.replicas)
    }

    /// One namespace, if it may be seen.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The number by which a pod is put before or after others: its own, else its namespace's.
    pub fn order_of(&self, pod: &Pod) -> i32 {
        pod.wishes.order.or_else(|| self.namespace(&pod.id.namespace)?.order).unwrap_or(0)
    }

    /// The Services by which a webhook asks this pod.
    pub fn gates_of(&self, pod: &Uid) -> impl Iterator<Item = &ObjectKey> {
        self.gatekeepers.iter().filter(move |service| self.ready_endpoints(service).contains(pod))
    }

    /// Services and NetworkPolicies, as far as they were listed.
    pub fn choosers(&self) -> impl Iterator<Item = &PodChooser> {
        self.choosers.iter()
    }

    /// One budget.
    pub fn budget(&self, key: &ObjectKey) -> Option<&Budget> {
        self.budgets.get(key)
    }

    /// All known budgets.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values()
    }

    /// The budgets that select a pod.
    pub fn budgets_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Budget> {
        self.budgets.values().filter(move |budget| budget::selects(budget, pod))
    }

    /// Whether the budgets let a pod go; see [`budget::room`].
    pub fn room_for(&self, pod: &Pod) -> Room {
        budget::room(pod, self.budgets.values())
    }

    /// All known EndpointSlices.
    pub fn slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.slices.values()
    }

    /// One claim.
    pub fn claim(&self, key: &ObjectKey) -> Option<&Claim> {
        self.claims.get(key)
    }

    /// All known VolumeAttachments.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.values()
    }

    /// The volumes that are attached to a node, and that none of these pods mounts.
    pub fn volumes_left<'a>(&'a self, node: &'a NodeName, staying: impl Iterator<Item = &'a Pod>) -> Vec<&'a str> {
        let claims = staying.flat_map(|pod| pod.claims.iter().map(|name| ObjectKey::new(&pod.id.namespace, name)));
        let kept: BTreeSet<_> = claims.filter_map(|key| self.claim(&key)?.volume.clone()).collect();
        let here = self.attachments.values().filter(|attachment| attachment.node == *node);
        // A volume that is written in a pod itself has no name of its own: whose it is cannot be told.
        here.filter_map(|attachment| attachment.volume.as_deref()).filter(|volume| !kept.contains(*volume)).collect()
    }

    /// Where a pod receives traffic now: each Service and address type in which it is a ready endpoint.
    pub fn traffic_of(&self, namespace: &str, pod: &Uid) -> BTreeSet<Traffic> {
        self.slices
            .values()
            .filter(|slice| slice.key.namespace == namespace)
            .filter(|slice| slice.endpoints.iter().any(|endpoint| endpoint.ready && endpoint.pod == *pod))
            .filter_map(|slice| {
                let service = ObjectKey::new(namespace, slice.service.clone()?);
                Some(Traffic { service, address_type: slice.address_type.clone() })
            })
            .collect()
    }

    /// The pods that a Service sends traffic to now.
    pub fn ready_endpoints(&self, service: &ObjectKey) -> BTreeSet<&Uid> {
        self.slices
            .values()
            .filter(|slice| slice.key.namespace == service.namespace && slice.service.as_ref() == Some(&service.name))
            .flat_map(|slice| slice.endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| &endpoint.pod))
            .collect()
    }

    /// The record of a detached pod, if it has one that the server's facts support. `None`: no annotation at all.
    pub fn detach_record(&self, pod: &Pod) -> Option<Result<DetachRecord, Disbelief>> {
        let record = match DetachRecord::parse(pod.detached.as_deref()?) {
            Ok(record) => record,
            Err(disbelief) => return Some(Err(disbelief)),
        };
        let replica_set = self.replica_set(&record.replica_set_uid);
        Some(record.believe(pod, replica_set).map(|()| record))
    }

    /// The workload that a pod belongs to: its top owner, or for a detached pod the one that its record names.
    pub fn home_of(&self, pod: &Pod) -> Option<WorkloadRef> {
        let ControllerRef { kind, name, .. } = self.home_ref(pod)?;
        Some(WorkloadRef { kind, namespace: pod.id.namespace.clone(), name })
    }

    /// The same as a reference.
    pub fn home_ref(&self, pod: &Pod) -> Option<ControllerRef> {
        if let Some(owner) = top_owner(pod, self) {
            return Some(owner.clone());
        }
        let record = self.detach_record(pod)?.ok()?;
        let set = self.replica_set(&record.replica_set_uid)?;
        Some(set.controller.clone().unwrap_or_else(|| ControllerRef {
            api_version: set.kind.api_version().to_owned(),
            kind: set.kind.name().to_owned(),
            name: set.key.name.clone(),
            uid: set.uid.clone(),
        }))
    }
}
