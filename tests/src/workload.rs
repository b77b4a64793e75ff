//! Workloads of one test: templates in JSON, with setters for what tests say often and `edit` for everything else.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON template with a name adds what is not there")]

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use serde_json::{Value, json};

use crate::namespace::{NAMESPACE_LABEL, Namespace};

/// What a [`WorkloadBuilder`] describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// batch/v1 Job.
    Job,
    /// A pod without a controller.
    Pod,
    /// v1 Service.
    Service,
    /// policy/v1 PodDisruptionBudget.
    Budget,
    /// autoscaling/v2 HorizontalPodAutoscaler.
    Autoscaler,
}

/// The description of an object; [`WorkloadBuilder::create`] makes it, [`WorkloadBuilder::ready`] waits as well.
#[derive(Debug)]
#[must_use = "an object is made by `.create().await` or `.ready().await`"]
pub struct WorkloadBuilder<'a> {
    namespace: &'a Namespace,
    kind: Kind,
    name: String,
    object: Value,
}

impl<'a> WorkloadBuilder<'a> {
    pub(crate) fn new(namespace: &'a Namespace, kind: Kind, name: &str) -> Self {
        let labels = json!({ "app": name });
        let selector = json!({ "matchLabels": labels });
        let pod = json!({
            "metadata": { "labels": labels, "annotations": {} },
            "spec": {
                "nodeSelector": { NAMESPACE_LABEL: namespace.name() },
                "terminationGracePeriodSeconds": 30,
                "containers": [{ "name": "main", "image": "app:1" }],
            },
        });
        let mut object = match kind {
            Kind::Deployment => json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "spec": { "replicas": 1, "selector": selector, "template": pod },
            }),
            Kind::StatefulSet => json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "spec": { "replicas": 1, "serviceName": name, "selector": selector, "template": pod },
            }),
            Kind::DaemonSet => json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet",
                "spec": { "selector": selector, "template": pod },
            }),
            Kind::Job => json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": { "template": pod },
            }),
            Kind::Pod => pod,
            Kind::Service => json!({
                "apiVersion": "v1", "kind": "Service",
                "spec": { "selector": labels, "ports": [{ "port": 80 }] },
            }),
            Kind::Budget => json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "spec": { "selector": selector },
            }),
            Kind::Autoscaler => json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "spec": {
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
                    "metrics": [{ "type": "Resource", "resource": {
                        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 100 },
                    } }],
                    // It waits five minutes before it takes a pod away unless it is told not to.
                    "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 } },
                },
            }),
        };
        match kind {
            Kind::Pod => {
                object["apiVersion"] = json!("v1");
                object["kind"] = json!("Pod");
            }
            Kind::Job => object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
            Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Service
            | Kind::Budget
            | Kind::Autoscaler => {}
        }
        object["metadata"]["name"] = json!(name);
        Self { namespace, kind, name: name.to_owned(), object }
    }

    /// Returns the name of the namespace it is made in.
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Changes anything in the object.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.object);
        self
    }

    /// Changes anything in the pod it makes: an object with `metadata` and `spec`.
    pub fn edit_pod(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(self.pod_template());
        self
    }

    /// Adds a label to the object, and to its pods where it makes pods.
    pub fn label(self, key: &str, value: &str) -> Self {
        let labelled = self.edit(|object| object["metadata"]["labels"][key] = json!(value));
        match labelled.kind {
            Kind::Service | Kind::Budget | Kind::Autoscaler | Kind::Pod => labelled,
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
                labelled.edit_pod(|pod| pod["metadata"]["labels"][key] = json!(value))
            }
        }
    }

    /// Adds an annotation to its pods.
    pub fn pod_annotation(self, key: &str, value: &str) -> Self {
        self.edit_pod(|pod| pod["metadata"]["annotations"][key] = json!(value))
    }

    /// Says how long its pods take to become ready, for example "3s" or "500ms" (default 0s); "never".
    pub fn ready_after(self, duration: &str) -> Self {
        self.pod_annotation("handover.test/ready-after", duration)
    }

    /// Says how long its pods take to exit when they are deleted (default 0s); "never" is a dead kubelet.
    pub fn exit_after(self, duration: &str) -> Self {
        self.pod_annotation("handover.test/exit-after", duration)
    }

    /// Says that its pods do not come up on one node, and what their containers wait for there: `CrashLoopBackOff`,
    /// `ImagePullBackOff`.
    pub fn fails_on(self, node: &str, reason: &str) -> Self {
        self.pod_annotation("handover.test/fails-on", node).pod_annotation("handover.test/fails-with", reason)
    }

    /// Says after how long its pods end well by themselves (default: never).
    pub fn complete_after(self, duration: &str) -> Self {
        self.pod_annotation("handover.test/complete-after", duration)
    }

    /// Says how many pods; of a Job how many at the same time and in all.
    pub fn replicas(self, count: u32) -> Self {
        let kind = self.kind;
        self.edit(|object| match kind {
            Kind::Job => {
                object["spec"]["parallelism"] = json!(count);
                object["spec"]["completions"] = json!(count);
            }
            Kind::Deployment | Kind::StatefulSet => object["spec"]["replicas"] = json!(count),
            Kind::DaemonSet | Kind::Pod | Kind::Service | Kind::Budget | Kind::Autoscaler => {
                panic!("{kind:?} has no replicas")
            }
        })
    }

    /// Sets a Deployment's maxSurge: a number or a percentage.
    pub fn max_surge(self, value: impl Into<Value>) -> Self {
        self.rolling_update("maxSurge", value.into())
    }

    /// Sets maxUnavailable of a Deployment's rollout or of a budget: a number or a percentage.
    pub fn max_unavailable(self, value: impl Into<Value>) -> Self {
        match self.kind {
            Kind::Budget => self.edit(|object| object["spec"]["maxUnavailable"] = value.into()),
            Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Job
            | Kind::Pod
            | Kind::Service
            | Kind::Autoscaler => self.rolling_update("maxUnavailable", value.into()),
        }
    }

    /// Sets a budget's minAvailable: a number or a percentage.
    pub fn min_available(self, value: impl Into<Value>) -> Self {
        self.edit(|object| object["spec"]["minAvailable"] = value.into())
    }

    /// Says how many pods an autoscaler may ask for, at least and at most.
    pub fn between(self, least: u32, most: u32) -> Self {
        assert_eq!(self.kind, Kind::Autoscaler, "only an autoscaler has limits");
        self.edit(|object| {
            object["spec"]["minReplicas"] = json!(least);
            object["spec"]["maxReplicas"] = json!(most);
        })
    }

    /// Makes a Deployment stop all old pods before it starts new ones.
    pub fn recreate(self) -> Self {
        self.edit(|object| object["spec"]["strategy"] = json!({ "type": "Recreate" }))
    }

    /// Makes a Deployment ignore changes of its pod template.
    pub fn paused(self) -> Self {
        self.edit(|object| object["spec"]["paused"] = json!(true))
    }

    /// Says how long its pods may take to exit, in seconds (default 30).
    pub fn grace(self, seconds: u32) -> Self {
        self.edit_pod(|pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(seconds))
    }

    /// Says what each pod asks for.
    pub fn requests(self, cpu: &str, memory: &str) -> Self {
        self.edit_pod(|pod| {
            pod["spec"]["containers"][0]["resources"]["requests"] = json!({ "cpu": cpu, "memory": memory });
        })
    }

    /// Gives each pod local data that is lost with it.
    pub fn empty_dir(self) -> Self {
        self.edit_pod(|pod| {
            pod["spec"]["volumes"] = json!([{ "name": "scratch", "emptyDir": {} }]);
            pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "scratch", "mountPath": "/scratch" }]);
        })
    }

    /// Sets the affinity of its pods, as in a pod's spec.
    pub fn affinity(self, affinity: Value) -> Self {
        self.edit_pod(|pod| pod["spec"]["affinity"] = affinity)
    }

    /// Keeps its pods on different domains of `topology_key`, always.
    pub fn anti_affinity(self, topology_key: &str) -> Self {
        let labels = json!({ "app": self.name });
        self.affinity(json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": topology_key, "labelSelector": { "matchLabels": labels } },
        ] } }))
    }

    /// Lets its pods run on every node of the cluster, but on this one if they can.
    pub fn preferring(self, node: &str) -> Self {
        let term = json!({ "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
        ] });
        self.affinity(json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
            { "weight": 100, "preference": term },
        ] } }))
        .edit_pod(|pod| {
            pod["spec"].as_object_mut().expect("a pod's spec is an object").remove("nodeSelector");
        })
    }

    /// Binds its pods to one node by name, past the scheduler.
    pub fn on_node(self, node: &str) -> Self {
        self.edit_pod(|pod| pod["spec"]["nodeName"] = json!(node))
    }

    /// Selects other pods than `app: NAME` (a Service or a budget).
    pub fn selecting(self, labels: Value) -> Self {
        let kind = self.kind;
        self.edit(|object| match kind {
            Kind::Service => object["spec"]["selector"] = labels,
            Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Job
            | Kind::Pod
            | Kind::Budget
            | Kind::Autoscaler => {
                object["spec"]["selector"] = json!({ "matchLabels": labels });
            }
        })
    }

    /// Makes the object; returns the server's answer. It does not wait.
    pub async fn create(self) -> Value {
        self.namespace.create(self.object).await
    }

    /// Makes the object and waits until its controllers are done with it: all pods available, a budget counted. A
    /// Service is done at once, as its endpoints depend on other objects: see [`Namespace::ready_endpoints`].
    pub async fn ready(self) -> Value {
        let (namespace, kind, name) = (self.namespace, self.kind, self.name.clone());
        let created = self.create().await;
        let description = format!("{kind:?} {name} ready");
        match kind {
            Kind::Deployment => drop(namespace.deployment_available(&name).await),
            Kind::StatefulSet => {
                let is_ready = |set: &StatefulSet| {
                    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                    set.status.as_ref().is_some_and(|status| {
                        status.observed_generation == set.metadata.generation
                            && status.replicas == wanted
                            && status.available_replicas.unwrap_or(0) == wanted
                    })
                };
                until_one(namespace, &name, &description, is_ready).await;
            }
            Kind::DaemonSet => {
                let is_ready = |set: &DaemonSet| {
                    set.status.as_ref().is_some_and(|status| {
                        status.observed_generation == set.metadata.generation
                            && status.number_available.unwrap_or(0) == status.desired_number_scheduled
                    })
                };
                until_one(namespace, &name, &description, is_ready).await;
            }
            Kind::Job => {
                let is_ready = |job: &Job| {
                    let wanted = job.spec.as_ref().and_then(|spec| spec.parallelism).unwrap_or(1);
                    job.status
                        .as_ref()
                        .is_some_and(|status| status.ready.unwrap_or(0) + status.succeeded.unwrap_or(0) >= wanted)
                };
                until_one(namespace, &name, &description, is_ready).await;
            }
            Kind::Pod => until_one(namespace, &name, &description, is_pod_ready).await,
            Kind::Budget => {
                let is_counted = |budget: &PodDisruptionBudget| {
                    budget.status.as_ref().is_some_and(|status| {
                        status.observed_generation == budget.metadata.generation
                            && status.current_healthy == status.expected_pods
                    })
                };
                until_one(namespace, &name, &description, is_counted).await;
            }
            Kind::Service | Kind::Autoscaler => {}
        }
        created
    }

    fn rolling_update(self, field: &str, value: Value) -> Self {
        assert_eq!(self.kind, Kind::Deployment, "only a Deployment has {field}");
        self.edit(|object| {
            object["spec"]["strategy"]["type"] = json!("RollingUpdate");
            object["spec"]["strategy"]["rollingUpdate"][field] = value;
        })
    }

    fn pod_template(&mut self) -> &mut Value {
        match self.kind {
            Kind::Pod => &mut self.object,
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => &mut self.object["spec"]["template"],
            Kind::Service | Kind::Budget | Kind::Autoscaler => panic!("{:?} {} makes no pods", self.kind, self.name),
        }
    }
}

/// Returns whether a pod's condition Ready is true.
pub fn is_pod_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn until_one<K>(namespace: &Namespace, name: &str, description: &str, is_ready: impl Fn(&K) -> bool)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let config = kube::runtime::watcher::Config::default().fields(&format!("metadata.name={name}"));
    crate::wait::until(namespace.api::<K>(), config, description, crate::wait::DEADLINE, |found: &[K]| {
        found.first().is_some_and(&is_ready)
    })
    .await;
}
