//! The part of the cluster that one test owns: a namespace, the nodes labelled with its name, and a user.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{runtime, time};

use crate::audit::AuditLog;
use crate::control_plane::{ControlPlane, User};
use crate::node::NodeBuilder;
use crate::wait::{self, DEADLINE};
use crate::workload::{Kind, WorkloadBuilder};

/// The label that ties a node to the test that owns it; the pods of the workload builders select it.
pub const NAMESPACE_LABEL: &str = "handover.test/namespace";

/// How long the clean-up at the end of a test may take; the control plane may be gone by then.
const CLEAN_UP_DEADLINE: Duration = Duration::from_secs(5);

/// A namespace of one test, with its nodes and its user.
#[derive(Debug)]
pub struct Namespace {
    control_plane: ControlPlane,
    client: ClientOf,
    name: String,
    user: User,
    /// See [`Namespace::frees`].
    freed: Mutex<Vec<ApiResource>>,
}

/// A client that can be shown in a debug print.
#[derive(Clone)]
struct ClientOf(Client);

impl Debug for ClientOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}

impl Namespace {
    /// Makes a namespace that no other test uses. `purpose` is the start of its name: at most 20 letters and dashes.
    pub async fn fresh(control_plane: &ControlPlane, purpose: &str) -> Self {
        let number = control_plane.next_namespace();
        // Only a cluster that outlives the tests can hold names of an earlier run.
        let name = if control_plane.outlives_tests() {
            format!("{purpose}-{number}-{:05x}", RandomState::new().hash_one(number) & 0xf_ffff)
        } else {
            format!("{purpose}-{number}")
        };
        let client = control_plane.client().await;
        let object: CoreNamespace = from_json(json!({ "metadata": { "name": name } }));
        Api::<CoreNamespace>::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("create namespace {name}: {error}"));
        let user = control_plane.operator(&name);
        Self { control_plane: control_plane.clone(), client: ClientOf(client), name, user, freed: Mutex::default() }
    }

    /// Says that objects of this kind have finalizers that nobody takes off here: at the end of the test they are taken off.
    pub fn frees(&self, resource: ApiResource) {
        self.freed.lock().expect("no holder of this lock panics").push(resource);
    }

    /// Returns the namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the control plane it is on.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Returns the user as whom plugins and kubectl act here; no other test acts as it.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Returns a user without any right, for a test that binds roles to it.
    pub fn limited_user(&self) -> User {
        self.control_plane.limited(&self.name)
    }

    /// Returns the administrator's client, whose requests are not in [`Namespace::audit`].
    pub fn client(&self) -> Client {
        self.client.0.clone()
    }

    /// Returns the API of a namespaced kind here.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Returns the API of all nodes of the cluster.
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client())
    }

    /// Starts to describe a node; its name in the cluster is `NAMESPACE-name`.
    pub fn node(&self, name: &str) -> NodeBuilder<'_> {
        NodeBuilder::new(self, name)
    }

    /// Returns the name in the cluster of a node called `name` here.
    pub fn node_name(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Starts to describe a Deployment of one replica whose pods are labelled `app: NAME`.
    pub fn deployment(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Deployment, name)
    }

    /// Starts to describe a StatefulSet of one replica whose pods are labelled `app: NAME`.
    pub fn stateful_set(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::StatefulSet, name)
    }

    /// Starts to describe a DaemonSet on this test's nodes whose pods are labelled `app: NAME`.
    pub fn daemon_set(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::DaemonSet, name)
    }

    /// Starts to describe a Job of one pod, which runs for ever unless [`WorkloadBuilder::complete_after`] is said.
    pub fn job(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Job, name)
    }

    /// Starts to describe a pod without a controller, labelled `app: NAME`.
    pub fn pod(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Pod, name)
    }

    /// Starts to describe a Service that selects `app: NAME`.
    pub fn service(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Service, name)
    }

    /// Starts to describe a PodDisruptionBudget that selects `app: NAME`.
    pub fn budget(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Budget, name)
    }

    /// Starts to describe a HorizontalPodAutoscaler of the Deployment of that name, which keeps its pods at the processor
    /// time that they ask for and follows at once in either direction; [`WorkloadBuilder::between`] limits it. Its numbers
    /// come from [`Metrics`](crate::Metrics).
    pub fn autoscaler(&self, name: &str) -> WorkloadBuilder<'_> {
        WorkloadBuilder::new(self, Kind::Autoscaler, name)
    }

    /// Creates any object, in this namespace where its kind is namespaced and it names no other; returns the server's
    /// answer.
    pub async fn create(&self, object: Value) -> Value {
        let mut object: DynamicObject = from_json(object);
        let types = object.types.clone().unwrap_or_default();
        let what = format!("create {} {}", types.kind, object.name_any());
        let gvk = GroupVersionKind::try_from(&types).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (resource, capabilities) =
            discovery::pinned_kind(&self.client(), &gvk).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client(), &resource),
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.get_or_insert_with(|| self.name.clone());
                Api::namespaced_with(self.client(), namespace, &resource)
            }
        };
        let created =
            api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        serde_json::to_value(created).expect("an object can be written as JSON")
    }

    /// Creates a ValidatingAdmissionPolicy of this name and specification, and its binding; both are of the cluster. It takes a
    /// while until it is in force.
    pub async fn create_policy(&self, name: &str, spec: Value) {
        let api_version = "admissionregistration.k8s.io/v1";
        let metadata = json!({ "name": name });
        let policy = ("ValidatingAdmissionPolicy", spec);
        let binding =
            ("ValidatingAdmissionPolicyBinding", json!({ "policyName": name, "validationActions": ["Deny"] }));
        for (kind, spec) in [policy, binding] {
            self.create(json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec })).await;
        }
    }

    /// Lists the pods here that `selector` selects, in the order of their names; "" selects all.
    pub async fn pods(&self, selector: &str) -> Vec<Pod> {
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default().labels(selector))
            .await
            .unwrap_or_else(|error| panic!("list the pods {selector}: {error}"));
        let mut pods = pods.items;
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// Watches the objects of a kind here that `selector` selects until `condition` holds for all of them.
    pub async fn until<K>(&self, selector: &str, description: &str, condition: impl FnMut(&[K]) -> bool) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let config = watcher::Config::default().labels(selector);
        wait::until(self.api::<K>(), config, description, DEADLINE, condition).await
    }

    /// Waits until all replicas of a Deployment are of its newest version, available, and the only ones.
    pub async fn deployment_available(&self, name: &str) -> Deployment {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let description = format!("deployment {name} fully available");
        let mut found =
            wait::until(self.api::<Deployment>(), config, &description, DEADLINE, |deployments: &[Deployment]| {
                deployments.first().is_some_and(is_available)
            })
            .await;
        found.remove(0)
    }

    /// Waits until a Service has exactly `count` ready endpoints.
    pub async fn ready_endpoints(&self, service: &str, count: usize) {
        let selector = format!("kubernetes.io/service-name={service}");
        let description = format!("service {service} with {count} ready endpoints");
        self.until::<EndpointSlice>(&selector, &description, |slices| {
            let ready = slices.iter().flat_map(|slice| &slice.endpoints).filter(|endpoint| {
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
            });
            ready.count() == count
        })
        .await;
    }

    /// Waits until this very pod is gone; one of the same name with another uid is another pod.
    pub async fn pod_gone(&self, pod: &Pod) {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", pod.name_any()));
        let description = format!("pod {} gone", pod.name_any());
        wait::until(self.api::<Pod>(), config, &description, DEADLINE, |pods: &[Pod]| {
            pods.iter().all(|other| other.metadata.uid != pod.metadata.uid)
        })
        .await;
    }

    /// Returns every request that this namespace's user has sent so far.
    pub async fn audit(&self) -> AuditLog {
        AuditLog::of_user(&self.control_plane, &self.user.name).await
    }
}

impl Drop for Namespace {
    /// Removes the namespace and its nodes as far as that can be asked for quickly. What would be left of it is looked at again
    /// and again by the controller of namespaces, at the cost of all tests that come after: pods that wait for a kubelet
    /// which is gone with their node, and objects with a finalizer that nobody takes off.
    fn drop(&mut self) {
        let (control_plane, name) = (self.control_plane.clone(), self.name.clone());
        let freed = std::mem::take(self.freed.get_mut().expect("no holder of this lock panics"));
        // The test's runtime may be ending, and its client with it: the clean-up gets its own.
        let cleaning = thread::spawn(move || {
            let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async move {
                let client = control_plane.client().await;
                let parameters = DeleteParams::default();
                let selection = ListParams::default().labels(&format!("{NAMESPACE_LABEL}={name}"));
                let cleaning = async {
                    drop(Api::<CoreNamespace>::all(client.clone()).delete(&name, &parameters).await);
                    let at_once = DeleteParams::default().grace_period(0);
                    let pods = Api::<Pod>::namespaced(client.clone(), &name);
                    drop(pods.delete_collection(&at_once, &ListParams::default()).await);
                    for resource in freed {
                        free(&Api::namespaced_with(client.clone(), &name, &resource)).await;
                    }
                    drop(Api::<Node>::all(client).delete_collection(&parameters, &selection).await);
                };
                drop(time::timeout(CLEAN_UP_DEADLINE, cleaning).await);
            });
        });
        drop(cleaning.join());
    }
}

/// Takes the finalizers off all these objects, as far as the server lets it.
async fn free(objects: &Api<DynamicObject>) {
    let Ok(found) = objects.list(&ListParams::default()).await else { return };
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    for object in found {
        drop(objects.patch(&object.name_any(), &PatchParams::default(), &none).await);
    }
}

/// Mirrors `kubectl rollout status`.
fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.replicas.unwrap_or(0) == wanted
            && status.updated_replicas.unwrap_or(0) == wanted
            && status.available_replicas.unwrap_or(0) == wanted
    })
}

/// Reads an object written with `json!`.
pub(crate) fn from_json<K: DeserializeOwned>(value: Value) -> K {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("not an object of that kind: {error}: {text}"))
}
