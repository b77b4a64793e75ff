//! A pod that is to be placed.

use cluster_model::api::core as v1;
use cluster_model::demand::Demand;
use cluster_model::identity::NodeName;
use cluster_model::resources::Resources;
use cluster_model::selector::{Labels, Requirement, Selector, Test};

use crate::affinity::{self, AffinityTerm};
use crate::resident::Resident;

/// The scheduler that is asked where nobody names another one.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// A pod that is to be placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it is to others once it is on a node.
    pub resident: Resident,
    /// What it asks of the node itself.
    pub demand: Demand,
    /// What its containers may use at the most, where they say so.
    pub limits: Resources,
    /// The only node that it may be put on: `spec.nodeName`.
    pub node: Option<NodeName>,
    /// Near which pods it has to be.
    pub affinity: Vec<AffinityTerm>,
    /// How it has to be spread; only what would keep it from being placed.
    pub spread: Vec<SpreadConstraint>,
    /// Who does not want it scheduled yet: `spec.schedulingGates`.
    pub gates: Vec<String>,
    /// What the node's kubelet has to know: names of declared features.
    pub features: Vec<&'static str>,
    /// Whether it may drive pods of lower priority out.
    pub may_preempt: bool,
    /// What about it no rule here knows, in words; where there is any, that it fits is not said.
    pub unknown: Vec<String>,
}

/// One `DoNotSchedule` constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpreadConstraint {
    /// By how much domains may differ.
    pub max_skew: i32,
    /// The label that makes domains.
    pub topology_key: String,
    /// The pods that are counted.
    pub selector: Selector,
    /// With fewer domains than this the fewest pods of any count as none.
    pub min_domains: i32,
    /// Whether only nodes that the pod's own affinity allows make domains.
    pub honors_affinity: bool,
    /// Whether only nodes whose taints it tolerates do.
    pub honors_taints: bool,
}

impl SpreadConstraint {
    /// Reads a constraint of a pod with these labels; the keys that it names are matched by the pod's own values.
    fn of(constraint: &v1::TopologySpreadConstraint, labels: &Labels) -> Self {
        let mut selector = Selector::from_label_selector(constraint.label_selector.as_ref());
        if let Selector::All(requirements) = &mut selector {
            let keys = constraint.match_label_keys.iter().flatten();
            let own = keys.filter_map(|key| Some((key, labels.get(key)?)));
            requirements.extend(
                own.map(|(key, value)| Requirement { key: key.clone(), test: Test::In([value.clone()].into()) }),
            );
        }
        Self {
            max_skew: constraint.max_skew,
            topology_key: constraint.topology_key.clone(),
            selector,
            min_domains: constraint.min_domains.unwrap_or(1),
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

impl From<&v1::Pod> for Candidate {
    /// Reads a pod as the API server would keep it; [`Candidate::replacement`] makes one of an owner's template.
    fn from(pod: &v1::Pod) -> Self {
        let nothing = v1::PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let mut resident = Resident::from(pod);
        // Nothing is granted to a pod that is on no node.
        resident.requests = Resources::of_pod(spec);
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
        let constraints = spec.topology_spread_constraints.iter().flatten();
        Self {
            demand: Demand::from(spec),
            limits: Resources::limits_of(spec),
            node: spec.node_name.clone().filter(|name| !name.is_empty()).map(NodeName),
            affinity: affinity::required(affinity, &resident.namespace),
            spread: constraints
                .filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule")
                .map(|constraint| SpreadConstraint::of(constraint, &resident.labels))
                .collect(),
            gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
            features: features(spec),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            unknown: unknown(spec),
            resident,
        }
    }
}

/// What a kubelet has to declare before such a pod is given to it (`nodedeclaredfeatures/features` of component-helpers).
fn features(spec: &v1::PodSpec) -> Vec<&'static str> {
    let mut all = Vec::new();
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let restarts_all = |rule: &v1::ContainerRestartRule| rule.action == "RestartAllContainers";
    if containers().flat_map(|one| one.restart_policy_rules.iter().flatten()).any(restarts_all) {
        all.push("RestartAllContainersOnContainerExits");
    }
    if spec.host_network == Some(true) && spec.host_users == Some(false) {
        all.push("UserNamespacesHostNetworkSupport");
    }
    all
}

fn unknown(spec: &v1::PodSpec) -> Vec<String> {
    let mut why = Vec::new();
    let name = spec.scheduler_name.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| *name != DEFAULT_SCHEDULER) {
        why.push(format!("it is placed by {name}, whose rules are its own"));
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        why.push("it asks for devices by ResourceClaims, which are allocated when it is placed".to_owned());
    }
    why
}
