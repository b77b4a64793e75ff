//! What an owner will create: its template, as the API server completes it.
//!
//! The template counts, not the pod that runs: sizes that were changed in place and fields that somebody mutated do not
//! come again. What admission adds will: of that the running pod is the witness.

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::identity::Uid;
use cluster_model::selector::Labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

use crate::candidate::Candidate;
use crate::volume::PodVolume;

/// Taints of a node in trouble, which the API server lets every pod tolerate for a while.
const TOLERATED_FOR_A_WHILE: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

impl Candidate {
    /// The pod that will take the place of `pod`. Without a template, of an owner whose kind is not known, it is taken to be
    /// like the one that runs.
    pub fn replacement(pod: &v1::Pod, template: Option<&v1::PodTemplateSpec>) -> Self {
        let mut spec = template.and_then(|template| template.spec.clone()).unwrap_or_else(|| unplaced(pod));
        let running = pod.spec.clone().unwrap_or_default();
        if template.is_some() {
            complete(&mut spec, &running);
        }
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            default_requests(container);
        }
        default_requests_of_whole(&mut spec);
        let of_template = template.and_then(|template| template.metadata.as_ref()).and_then(|data| data.labels.clone());
        let labels = match of_template {
            Some(labels) if template.is_some() => with_own(labels, pod),
            _ => pod.metadata.labels.clone().unwrap_or_default(),
        };
        merge_label_keys(&mut spec, &labels);
        let makes_claims = spec.volumes.iter().flatten().any(|volume| volume.ephemeral.is_some());
        let mut candidate = Self::from(&v1::Pod {
            metadata: ObjectMeta {
                namespace: pod.metadata.namespace.clone(),
                name: pod.metadata.name.clone(),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
            status: None,
        });
        candidate.resident.uid = Uid::default();
        if makes_claims {
            candidate.resident.volumes.retain(|volume| !matches!(volume, PodVolume::Ephemeral(_)));
            candidate
                .unknown
                .push("it has volumes that are made with it, and where they can be made is not known".to_owned());
        }
        candidate
    }
}

/// The pod as it runs, without what tells where.
fn unplaced(pod: &v1::Pod) -> v1::PodSpec {
    v1::PodSpec { node_name: None, ..pod.spec.clone().unwrap_or_default() }
}

/// Labels that a controller gives each pod besides its template's: the hash of the template, the index of a StatefulSet's
/// pod. The hash of a detached pod was taken from it, and its ReplicaSet's template has the true one.
fn with_own(mut labels: Labels, pod: &v1::Pod) -> Labels {
    let own = pod.metadata.labels.iter().flatten();
    let is_controllers = |key: &str| {
        matches!(
            key,
            "controller-revision-hash"
                | "pod-template-hash"
                | "statefulset.kubernetes.io/pod-name"
                | "apps.kubernetes.io/pod-index"
                | "controller-uid"
                | "job-name"
                | "batch.kubernetes.io/controller-uid"
                | "batch.kubernetes.io/job-name"
        )
    };
    for (key, value) in own.filter(|(key, _)| is_controllers(key)) {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    labels
}

/// Adds what admission will add again.
fn complete(spec: &mut v1::PodSpec, running: &v1::PodSpec) {
    // Injected containers.
    let known: BTreeSet<String> = containers(spec).map(|container| container.name.clone()).collect();
    let is_new = |container: &&v1::Container| !known.contains(&container.name);
    spec.containers.extend(running.containers.iter().filter(is_new).cloned());
    let injected: Vec<_> = running.init_containers.iter().flatten().filter(is_new).cloned().collect();
    if !injected.is_empty() {
        let own = spec.init_containers.take().unwrap_or_default();
        spec.init_containers = Some(injected.into_iter().chain(own).collect());
    }
    // Requests that a LimitRange gives where the template says nothing.
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let Some(twin) = containers(running).find(|twin| twin.name == container.name) else { continue };
        let says_nothing =
            container.resources.as_ref().is_none_or(|own| own.requests.is_none() && own.limits.is_none());
        if says_nothing {
            container.resources.clone_from(&twin.resources);
        }
    }
    // What follows from the names of classes.
    if spec.priority_class_name.is_none() || spec.priority_class_name == running.priority_class_name {
        spec.priority = running.priority;
        spec.preemption_policy.clone_from(&running.preemption_policy);
    }
    if spec.runtime_class_name == running.runtime_class_name {
        spec.overhead.clone_from(&running.overhead);
        if spec.runtime_class_name.is_some() {
            add_nodes_of_class(spec, running);
        }
    }
    // A StatefulSet's own claims are in no template.
    let mounted: BTreeSet<String> = spec.volumes.iter().flatten().map(|volume| volume.name.clone()).collect();
    let is_claim = |volume: &&v1::Volume| volume.persistent_volume_claim.is_some() && !mounted.contains(&volume.name);
    let claims: Vec<_> = running.volumes.iter().flatten().filter(is_claim).cloned().collect();
    spec.volumes.get_or_insert_default().extend(claims);
    let tolerations = spec.tolerations.get_or_insert_default();
    for key in TOLERATED_FOR_A_WHILE {
        tolerations.push(v1::Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoExecute".to_owned()),
            ..v1::Toleration::default()
        });
    }
}

/// A RuntimeClass says on which nodes its runtime is and which taints are for it, and admission adds that to each pod.
fn add_nodes_of_class(spec: &mut v1::PodSpec, running: &v1::PodSpec) {
    let selector = spec.node_selector.get_or_insert_default();
    for (key, value) in running.node_selector.iter().flatten() {
        selector.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let own = spec.tolerations.get_or_insert_default();
    let added: Vec<_> = running.tolerations.iter().flatten().filter(|one| !own.contains(one)).cloned().collect();
    own.extend(added);
}

fn containers(spec: &v1::PodSpec) -> impl Iterator<Item = &v1::Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

/// Who has limits and says nothing of requests asks for its limits (`SetDefaults_Pod`).
fn default_requests(container: &mut v1::Container) {
    let Some(resources) = &mut container.resources else { return };
    let limits = resources.limits.clone().unwrap_or_default();
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// The same for a pod that has limits as a whole, where its containers say nothing; of huge pages they are never asked
/// (`DefaultPodLevelResources` of `pkg/api/pod`).
fn default_requests_of_whole(spec: &mut v1::PodSpec) {
    let says = |container: &v1::Container, name: &String| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.is_some_and(|requests| requests.contains_key(name))
    };
    let limits = spec.resources.as_ref().and_then(|resources| resources.limits.clone()).unwrap_or_default();
    let is_asked = |name: &String| match name.as_str() {
        "cpu" | "memory" => !containers(spec).any(|container| says(container, name)),
        name => name.starts_with("hugepages-"),
    };
    let asked: Vec<_> = limits.into_iter().filter(|(name, _)| is_asked(name)).collect();
    let Some(resources) = &mut spec.resources else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in asked {
        requests.entry(name).or_insert(limit);
    }
}

/// Writes the pod's own values of the keys that its terms name into their selectors, as the API server does when it makes a
/// pod (`pkg/registry/core/pod/strategy.go`).
fn merge_label_keys(spec: &mut v1::PodSpec, labels: &Labels) {
    let Some(affinity) = &mut spec.affinity else { return };
    let both = [&mut affinity.pod_affinity, &mut affinity.pod_anti_affinity];
    let lists = both.into_iter().flatten().flat_map(|one| &mut one.required_during_scheduling_ignored_during_execution);
    for term in lists.flatten() {
        let (keys, other_keys) = (term.match_label_keys.clone(), term.mismatch_label_keys.clone());
        let Some(selector) = &mut term.label_selector else { continue };
        merge(selector, keys.iter().flatten(), "In", labels);
        merge(selector, other_keys.iter().flatten(), "NotIn", labels);
    }
}

fn merge<'a>(selector: &mut LabelSelector, keys: impl Iterator<Item = &'a String>, operator: &str, labels: &Labels) {
    let own = keys.filter_map(|key| Some((key, labels.get(key)?)));
    let requirements = own.map(|(key, value)| LabelSelectorRequirement {
        key: key.clone(),
        operator: operator.to_owned(),
        values: Some(vec![value.clone()]),
    });
    selector.match_expressions.get_or_insert_default().extend(requirements);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn replacement(pod: Value, template: Value) -> Candidate {
        let pod: v1::Pod = serde_json::from_value(pod).unwrap();
        let template: v1::PodTemplateSpec = serde_json::from_value(template).unwrap();
        Candidate::replacement(&pod, Some(&template))
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn the_template_counts_and_what_admission_adds_comes_again() {
        let pod = json!({
            "metadata": {"namespace": "ns", "name": "web-1", "uid": "u", "labels": {"app": "old", "pod-template-hash": "h"}},
            "spec": {
                "nodeName": "n1", "priority": 7, "overhead": {"cpu": "10m"},
                "containers": [container("app", "4"), container("proxy", "100m"), container("quiet", "20m")],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}},
                    {"name": "token", "projected": {}},
                ],
            },
        });
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [container("app", "1"), {"name": "quiet"}, {"name": "max", "resources": {"limits": {"cpu": "2"}}}],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["pod-template-hash"]},
                ]}},
            },
        });
        let found = replacement(pod, template);
        assert_eq!(found.resident.requests.cpu, 1000 + 20 + 2000 + 100 + 10);
        assert_eq!((found.node, found.resident.priority), (None, 7));
        assert_eq!(found.resident.labels.get("app").unwrap(), "web");
        assert_eq!(found.resident.volumes, [PodVolume::Claim("data-web-1".to_owned())]);
        let term = found.resident.anti_affinity.first().unwrap();
        assert!(term.means("ns", None, &found.resident.labels));
        let other_generation =
            Labels::from([("app".to_owned(), "web".to_owned()), ("pod-template-hash".to_owned(), "x".to_owned())]);
        assert!(!term.means("ns", None, &other_generation));
    }

    #[test]
    fn limits_of_the_whole_are_requested_where_no_container_says_otherwise() {
        let wants = |containers: Value, whole: Value| {
            let pod = json!({"metadata": {"namespace": "ns", "name": "w"}, "spec": {"containers": containers}});
            let template = json!({"spec": {"containers": containers, "resources": whole}});
            replacement(pod, template).resident.requests.cpu
        };
        let limits = json!({"limits": {"cpu": "500m"}});
        assert_eq!(wants(json!([{"name": "c"}]), limits.clone()), 500);
        assert_eq!(wants(json!([container("c", "100m")]), limits.clone()), 100);
        assert_eq!(wants(json!([container("c", "0")]), limits), 0);
        assert_eq!(wants(json!([{"name": "c"}]), json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "200m"}})), 200);
    }

    #[test]
    fn what_a_runtime_class_adds_comes_again_and_what_else_the_pod_has_does_not() {
        let gpu = json!([{"key": "gpu", "operator": "Exists"}]);
        let pod = |class: Value| {
            json!({
                "metadata": {"namespace": "ns", "name": "web"},
                "spec": {
                    "runtimeClassName": class, "containers": [container("c", "1")],
                    "nodeSelector": {"pool": "blue", "sandbox": "yes"}, "tolerations": gpu,
                },
            })
        };
        let template = |class: Value| {
            json!({"spec": {
                "runtimeClassName": class, "containers": [container("c", "1")], "nodeSelector": {"pool": "blue"},
            }})
        };
        let tolerates =
            |found: &Candidate| found.demand.tolerations.iter().any(|one| one.key.as_deref() == Some("gpu"));
        let found = replacement(pod(json!("kata")), template(json!("kata")));
        assert_eq!((found.demand.selector.len(), tolerates(&found)), (2, true));
        for (of_pod, of_template) in [(Value::Null, Value::Null), (json!("kata"), json!("gvisor"))] {
            let found = replacement(pod(of_pod), template(of_template));
            assert_eq!((found.demand.selector.len(), tolerates(&found)), (1, false));
        }
    }

    #[test]
    fn volumes_that_are_made_with_the_pod_are_not_known_beforehand() {
        let volumes = json!([{"name": "scratch", "ephemeral": {}}]);
        let pod = json!({"metadata": {"namespace": "ns", "name": "w"}, "spec": {"containers": [container("c", "1")], "volumes": volumes}});
        let found = replacement(pod.clone(), json!({"spec": pod["spec"]}));
        assert_eq!((found.resident.volumes.len(), found.unknown.len()), (0, 1));
    }
}
