//! The judgement about one pod: for each node, whether it takes it, and what is in the way first.

use std::collections::BTreeSet;

use cluster_model::identity::NodeName;

use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::filters::{FILTERS, Judge, Prepared};
use crate::node::Node;
use crate::rejection::{Plugin, Rejection};

/// What one node says about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The node.
    pub node: NodeName,
    /// What is in the way; `None`: it takes the pod.
    pub rejection: Option<Rejection>,
}

/// All filters with what they know of one pod, ready to look at nodes. Holds for the cluster as it was when it was made.
pub struct Judgement<'a> {
    judges: Vec<(Plugin, Box<dyn Judge + 'a>)>,
    /// The nodes to which filters narrow it, with what they say of all others.
    only: Vec<(Rejection, BTreeSet<NodeName>)>,
    /// What is in the way everywhere.
    everywhere: Option<Rejection>,
    /// What ends the attempt on some node, so that no other one gets the pod.
    failure: Option<Rejection>,
}

impl<'a> Judgement<'a> {
    /// Lets every filter look at the pod.
    pub fn prepare(pod: &'a Candidate, cluster: &'a Cluster) -> Self {
        let mut all = Self { judges: Vec::new(), only: Vec::new(), everywhere: None, failure: None };
        for (plugin, prepare) in FILTERS {
            match prepare(pod, cluster) {
                Prepared::Skip => {}
                Prepared::Judge(judge) => all.judges.push((plugin, judge)),
                Prepared::Only(nodes, reason, judge) => {
                    all.only.push((Rejection { plugin, reason }, nodes));
                    all.judges.push((plugin, judge));
                    // Where they leave no node between them, nobody else is asked.
                    if !all.leaves_any() {
                        break;
                    }
                }
                Prepared::Rejected(reason) => {
                    all.everywhere = Some(Rejection { plugin, reason });
                    break;
                }
            }
        }
        if all.judges.iter().any(|(_, judge)| judge.may_fail()) {
            let mut rejections = cluster.nodes().filter_map(|node| all.rejection(node));
            all.failure = rejections.find(|rejection| rejection.reason.ends_attempt());
        }
        all
    }

    /// Whether the filters that narrow leave a node between them, of which not all need to exist.
    fn leaves_any(&self) -> bool {
        let mut sets = self.only.iter().map(|(_, nodes)| nodes);
        let first = sets.next();
        first.is_none_or(|first| first.iter().any(|name| sets.clone().all(|other| other.contains(name))))
    }

    /// What is in the way on this node; `None`: it takes the pod.
    pub fn rejection(&self, node: &Node) -> Option<Rejection> {
        if self.everywhere.is_some() {
            return self.everywhere.clone();
        }
        if let Some((rejection, _)) = self.only.iter().find(|(_, nodes)| !nodes.contains(&node.name)) {
            return Some(rejection.clone());
        }
        let own = self.judges.iter().find_map(|(plugin, judge)| {
            let reason = judge.judge(node)?;
            Some(Rejection { plugin: *plugin, reason })
        });
        own.or_else(|| self.failure.clone())
    }
}

impl Cluster {
    /// Judges a pod on every node, by name.
    pub fn judge(&self, pod: &Candidate) -> Vec<Verdict> {
        let judgement = Judgement::prepare(pod, self);
        let verdict = |node: &Node| Verdict { node: node.name.clone(), rejection: judgement.rejection(node) };
        self.nodes().map(verdict).collect()
    }

    /// What about a pod cannot be known from the objects, in words. Where there is anything, that a node takes it is not said;
    /// that none does may be.
    pub fn unknown(&self, pod: &Candidate) -> Vec<String> {
        let mut why = pod.unknown.clone();
        let mut requested = pod.resident.requests.iter().filter(|(_, amount)| *amount > 0);
        if let Some((name, _)) = requested.find(|(name, _)| self.claimed_devices.contains(*name)) {
            why.push(format!("it asks for {name}, which device drivers hand out"));
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use cluster_model::api::core as v1;
    use serde_json::{Value, json};

    use super::*;
    use crate::rejection::Reason;

    fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).unwrap()
    }

    fn cluster(pods: &[Value]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, zone) in [("a1", "a"), ("b1", "b")] {
            let labels = json!({"kubernetes.io/hostname": name, "zone": zone});
            let node = json!({"metadata": {"name": name, "labels": labels}, "status": {"allocatable": {"cpu": "2", "pods": "9"}}});
            cluster.add_node(&read::<v1::Node>(node));
        }
        for pod in pods {
            cluster.add_pod(&read::<v1::Pod>(pod.clone()));
        }
        cluster
    }

    fn pod(app: &str, spec: &Value) -> Value {
        let mut whole = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"metadata": {"name": app, "namespace": "ns", "labels": {"app": app}}, "spec": whole})
    }

    /// What is in the way on the two nodes.
    fn told(cluster: &Cluster, spec: &Value) -> [String; 2] {
        let candidate = Candidate::from(&read::<v1::Pod>(pod("web", spec)));
        let verdicts = cluster.judge(&candidate).into_iter();
        let told: Vec<_> =
            verdicts.map(|one| one.rejection.map(|why| why.reason.to_string()).unwrap_or_default()).collect();
        told.try_into().unwrap()
    }

    #[test]
    fn the_first_filter_that_rejects_is_told_for_each_node() {
        let on = |node: &str, app: &str, mut spec: Value| {
            spec["nodeName"] = json!(node);
            pod(app, &spec)
        };
        let term = |app: &str, key: &str| json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key});
        let required = |kind: &str, term: Value| json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        let spread = |skew: u32| {
            json!({"topologySpreadConstraints": [{
                "maxSkew": skew, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}},
            }]})
        };
        let port = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
        let full = || on("a1", "full", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}));
        let web = || on("a1", "web", json!({}));
        let shy = || on("b1", "shy", required("podAntiAffinity", term("web", "zone")));
        let table = [
            (vec![], json!({}), ["", ""]),
            (vec![full()], json!({}), ["has no room (cpu)", ""]),
            (vec![], json!({"nodeSelector": {"zone": "b"}}), ["lacks label zone=b", ""]),
            (vec![], json!({"schedulingGates": [{"name": "wait"}]}), ["is kept from it by scheduling gate wait"; 2]),
            (vec![on("b1", "x", port.clone())], port, ["", "has no port 80/TCP left"]),
            (
                vec![web()],
                required("podAffinity", term("web", "zone")),
                ["", "has no pod in its zone that it must be near to"],
            ),
            (vec![], required("podAffinity", term("web", "zone")), ["", ""]),
            (
                vec![],
                required("podAffinity", term("db", "zone")),
                ["has no pod in its zone that it must be near to"; 2],
            ),
            (
                vec![web()],
                required("podAntiAffinity", term("web", "zone")),
                ["has a pod in its zone from which it keeps away", ""],
            ),
            (vec![shy()], json!({}), ["", "has a pod in its zone that keeps away from it"]),
            (vec![web()], spread(1), ["would get too many of the pods that are spread by zone", ""]),
            (vec![web()], spread(2), ["", ""]),
        ];
        for (pods, spec, expected) in table {
            assert_eq!(told(&cluster(&pods), &spec), expected, "{spec}");
        }
    }

    #[test]
    fn what_the_objects_do_not_tell_is_unknown() {
        let claims = json!({"schedulerName": "volcano", "resourceClaims": [{"name": "gpu"}]});
        let candidate = Candidate::from(&read::<v1::Pod>(pod("web", &claims)));
        assert_eq!(cluster(&[]).unknown(&candidate).len(), 2);
    }

    #[test]
    fn what_ends_the_attempt_on_one_node_keeps_the_pod_off_all() {
        let mut cluster = cluster(&[]);
        let drivers = json!({"metadata": {"name": "b1"}, "spec": {"drivers": []}});
        cluster.storage.add_csi_node(&serde_json::from_value(drivers).unwrap());
        let azure = |kind: &str| json!({"volumes": [{"name": "v", "azureDisk": {"diskURI": "d", "kind": kind}}]});
        let broken = "cannot have a disk that driver disk.csi.azure.com does not take over";
        assert_eq!(told(&cluster, &azure("Dedicated")), [broken; 2]);
        assert_eq!(told(&cluster, &azure("Managed")), [""; 2]);
    }

    #[test]
    fn a_pod_is_narrowed_before_any_filter_looks_at_a_node() {
        let named = |node: &str| {
            json!({"nodeName": node, "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a1"]}]},
            ]},
        }}, "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]})
        };
        let missing = "cannot have claim data, which does not exist";
        assert_eq!(told(&cluster(&[]), &named("a1")), [missing; 2]);
        // No node is left, so that nobody asks for the claim.
        let expected = ["is not node b1, which the pod names", "does not match the node affinity"];
        assert_eq!(told(&cluster(&[]), &named("b1")), expected);
    }

    #[test]
    fn a_filter_that_rejects_everywhere_is_the_only_one() {
        let spec = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
        let candidate = Candidate::from(&read::<v1::Pod>(pod("web", &spec)));
        let expected = Rejection { plugin: Plugin::VolumeRestrictions, reason: Reason::NoClaim("data".to_owned()) };
        let verdicts = cluster(&[]).judge(&candidate);
        assert_eq!(verdicts.len(), 2);
        assert!(verdicts.iter().all(|one| one.rejection.as_ref() == Some(&expected)), "{verdicts:?}");
    }
}
