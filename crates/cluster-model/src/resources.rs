//! Amounts of resources, as containers request them and nodes offer them: whole numbers, as the scheduler counts.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::core as v1;
use crate::quantity::{nanos, thousandths, units};

/// Amounts by resource. Names that the scheduler does not count are left out (`schedutil.IsScalarResourceName`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of the node's own disk.
    pub ephemeral_storage: i64,
    /// Pods.
    pub pods: i64,
    /// Extended resources, huge pages and the like, in their own units.
    pub others: BTreeMap<String, i64>,
}

/// Exact amounts by resource, in billionths: rounded only when all is summed up.
type Exact<'a> = BTreeMap<&'a str, i128>;

impl From<&BTreeMap<String, Quantity>> for Resources {
    /// What is no quantity is left out.
    fn from(amounts: &BTreeMap<String, Quantity>) -> Self {
        Self::rounded(&exact(amounts))
    }
}

impl Resources {
    fn rounded(amounts: &Exact<'_>) -> Self {
        let mut all = Self::default();
        for (name, amount) in amounts {
            match *name {
                "cpu" => all.cpu = thousandths(*amount),
                "memory" => all.memory = units(*amount),
                "ephemeral-storage" => all.ephemeral_storage = units(*amount),
                "pods" => all.pods = units(*amount),
                name if is_scalar(name) => {
                    all.others.insert(name.to_owned(), units(*amount));
                }
                _ => {}
            }
        }
        all
    }
}

/// Whether the scheduler counts a resource of this name: an extended one, huge pages, and whatever else is called
/// `…kubernetes.io/…` (`pkg/apis/core/v1/helper/helpers.go`).
fn is_scalar(name: &str) -> bool {
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    let is_extended = !is_native && !name.starts_with("requests.");
    is_extended
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

fn exact(amounts: &BTreeMap<String, Quantity>) -> Exact<'_> {
    amounts.iter().filter_map(|(name, quantity)| Some((name.as_str(), nanos(quantity)?))).collect()
}

fn add_to<'a>(sum: &mut Exact<'a>, more: &Exact<'a>) {
    for (name, amount) in more {
        *sum.entry(name).or_default() += amount;
    }
}

fn raise_to<'a>(least: &mut Exact<'a>, other: &Exact<'a>) {
    for (name, amount) in other {
        let own = least.entry(name).or_insert(*amount);
        *own = (*own).max(*amount);
    }
}

/// The requests of a container, as somebody says them.
type Says<'a> = dyn Fn(&'a v1::Container) -> Option<&'a BTreeMap<String, Quantity>> + 'a;

/// What the containers and sidecars ask for together, or what an init container needs beside the sidecars before it if
/// that is more.
fn of_containers<'a>(spec: &'a v1::PodSpec, says: &Says<'a>) -> Exact<'a> {
    let requests = |container: &'a v1::Container| says(container).map(exact).unwrap_or_default();
    let mut all = Exact::new();
    spec.containers.iter().map(requests).for_each(|needed| add_to(&mut all, &needed));
    let (mut sidecars, mut starting) = (Exact::new(), Exact::new());
    for container in spec.init_containers.iter().flatten() {
        let mut needed = requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add_to(&mut all, &needed);
            add_to(&mut sidecars, &needed);
            raise_to(&mut starting, &sidecars);
        } else {
            add_to(&mut needed, &sidecars);
            raise_to(&mut starting, &needed);
        }
    }
    raise_to(&mut all, &starting);
    all
}

fn written(container: &v1::Container) -> Option<&BTreeMap<String, Quantity>> {
    container.resources.as_ref()?.requests.as_ref()
}

/// Lets what is asked for the pod as a whole stand for the sum of its containers; only of these resources can that be said.
fn apply_to_whole<'a>(all: &mut Exact<'a>, whole: &Exact<'a>) {
    let speaks = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    all.extend(whole.iter().filter(|(name, _)| speaks(name)));
}

impl Resources {
    /// What a pod takes of its node, itself (resource `pods`) included, by its specification alone: of a pod that is not
    /// there yet. Follows `PodRequests` of `k8s.io/component-helpers/resource`.
    pub fn of_pod(spec: &v1::PodSpec) -> Self {
        let mut all = of_containers(spec, &written);
        let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        apply_to_whole(&mut all, &whole.map(exact).unwrap_or_default());
        Self::with_overhead(all, spec)
    }

    /// What a pod takes of the node where it is: for each resource the most of what is written, what the node has set
    /// aside and what it has put into force, so that a pod whose size is being changed is counted at its larger one.
    /// What is written does not count where the node can never grant it. Follows the same function, as the scheduler's
    /// cache calls it.
    pub fn held_by(pod: &v1::Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self { pods: 1, ..Self::default() } };
        let nothing = v1::PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&nothing);
        let is_infeasible = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodResizePending")
            .is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"));
        let of_containers_now = || {
            let mut statuses =
                status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
            statuses.any(|one| one.allocated_resources.is_some() || one.resources.is_some())
        };
        let whole_now = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let mut all = Exact::new();
        if !is_infeasible {
            raise_to(&mut all, &of_containers(spec, &written));
        }
        if let (Some(allocated), Some(actuated)) = (&status.allocated_resources, whole_now) {
            raise_to(&mut all, &exact(allocated));
            raise_to(&mut all, &exact(actuated));
        } else if is_infeasible || of_containers_now() {
            raise_to(&mut all, &of_containers(spec, &|one| allocated(one, status, is_infeasible)));
            raise_to(&mut all, &of_containers(spec, &|one| actuated(one, status, is_infeasible)));
        }
        // That anything is asked for the pod as a whole is decided by the specification.
        let speaks = |name: &String| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
        if let Some(whole) = whole.filter(|whole| whole.keys().any(speaks)) {
            let mut most = exact(whole);
            if status.resources.is_some() {
                if is_infeasible {
                    most.clear();
                }
                raise_to(&mut most, &whole_now.map(exact).unwrap_or_default());
                raise_to(&mut most, &status.allocated_resources.as_ref().map(exact).unwrap_or_default());
            }
            apply_to_whole(&mut all, &most);
        }
        Self::with_overhead(all, spec)
    }

    fn with_overhead<'a>(mut all: Exact<'a>, spec: &'a v1::PodSpec) -> Self {
        add_to(&mut all, &spec.overhead.as_ref().map(exact).unwrap_or_default());
        Self { pods: 1, ..Self::rounded(&all) }
    }

    /// Adds an amount to each.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes an amount from each.
    pub fn remove(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    fn combine(&mut self, other: &Self, by: impl Fn(i64, i64) -> i64) {
        self.cpu = by(self.cpu, other.cpu);
        self.memory = by(self.memory, other.memory);
        self.ephemeral_storage = by(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = by(self.pods, other.pods);
        for (name, amount) in &other.others {
            let own = self.others.entry(name.clone()).or_default();
            *own = by(*own, *amount);
        }
    }

    /// Each amount by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        let own = [
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("ephemeral-storage", self.ephemeral_storage),
            ("pods", self.pods),
        ];
        own.into_iter().chain(self.others.iter().map(|(name, amount)| (name.as_str(), *amount)))
    }

    /// The amount of one resource, of cpu in thousandths; zero where it is not named.
    pub fn of(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            "pods" => self.pods,
            other => self.others.get(other).copied().unwrap_or_default(),
        }
    }

    /// What both have: the lesser amount of each resource.
    #[must_use]
    pub fn least(&self, other: &Self) -> Self {
        let mut least = self.clone();
        least.others.retain(|name, _| other.others.contains_key(name));
        let own = Self { others: BTreeMap::new(), ..other.clone() };
        least.combine(&own, i64::min);
        for (name, amount) in &mut least.others {
            *amount = (*amount).min(other.of(name));
        }
        least
    }

    /// What is left of it beside what is taken; less than nothing counts as nothing.
    #[must_use]
    pub fn beside(&self, taken: &Self) -> Self {
        let mut left = self.clone();
        left.combine(&Self { others: BTreeMap::new(), ..taken.clone() }, |own, taken| own.saturating_sub(taken).max(0));
        for (name, amount) in &mut left.others {
            *amount = amount.saturating_sub(taken.of(name)).max(0);
        }
        left
    }

    /// Hundredths of each amount, rounded down.
    #[must_use]
    pub fn percent(&self, percent: i64) -> Self {
        let part = |amount: i64| amount / 100 * percent + amount % 100 * percent / 100;
        Self {
            cpu: part(self.cpu),
            memory: part(self.memory),
            ephemeral_storage: part(self.ephemeral_storage),
            pods: part(self.pods),
            others: self.others.iter().map(|(name, amount)| (name.clone(), part(*amount))).collect(),
        }
    }

    /// The names of the resources of which there is not as much as is wanted.
    pub fn lacking(&self, wanted: &Self) -> BTreeSet<String> {
        let is_short = |(name, amount): &(&str, i64)| *amount > 0 && self.of(name) < *amount;
        wanted.iter().filter(is_short).map(|(name, _)| name.to_owned()).collect()
    }
}

fn status_of<'a>(container: &v1::Container, status: &'a v1::PodStatus) -> Option<&'a v1::ContainerStatus> {
    let mut all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.find(|one| one.name == container.name)
}

fn allocated<'a>(
    container: &'a v1::Container,
    status: &'a v1::PodStatus,
    is_infeasible: bool,
) -> Option<&'a BTreeMap<String, Quantity>> {
    let own = status_of(container, status).and_then(|status| status.allocated_resources.as_ref());
    own.or_else(|| written(container).filter(|_| !is_infeasible))
}

fn actuated<'a>(
    container: &'a v1::Container,
    status: &'a v1::PodStatus,
    is_infeasible: bool,
) -> Option<&'a BTreeMap<String, Quantity>> {
    let own = status_of(container, status).and_then(|status| status.resources.as_ref()?.requests.as_ref());
    own.or_else(|| allocated(container, status, is_infeasible))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value) -> Resources {
        Resources::of_pod(&serde_json::from_value(spec).unwrap())
    }

    fn wants(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn of(amounts: Value) -> Resources {
        Resources::from(&serde_json::from_value::<BTreeMap<String, Quantity>>(amounts).unwrap())
    }

    #[test]
    fn a_pod_takes_what_its_containers_request_at_their_most() {
        let plain = pod(json!({"containers": [wants("100m", "1Gi"), wants("2", "512Mi")]}));
        assert_eq!((plain.cpu, plain.memory, plain.pods), (2100, 1_610_612_736, 1));
        let mut sidecar = wants("1", "1Ki");
        sidecar["restartPolicy"] = json!("Always");
        let all = pod(json!({
            "initContainers": [sidecar, wants("4", "1Ki")], "containers": [wants("500m", "2Ki")],
            "overhead": {"cpu": "250m"},
        }));
        assert_eq!(all.cpu, 5250, "the init container beside the sidecar, and the overhead");
        assert_eq!(all.memory, 3072, "the sidecar beside the containers");
        let whole = pod(json!({
            "resources": {"requests": {"cpu": "3", "nvidia.com/gpu": "9"}},
            "containers": [wants("5", "2Ki")], "overhead": {"cpu": "250m"},
        }));
        assert_eq!(whole, Resources { cpu: 3250, memory: 2048, pods: 1, ..Resources::default() });
    }

    #[test]
    fn fractions_are_rounded_when_all_are_summed_up() {
        let odd = || json!({"name": "c", "resources": {"requests": {"cpu": "400u", "memory": "500m"}}});
        let both = pod(json!({"containers": [odd(), odd()]}));
        assert_eq!((both.cpu, both.memory), (1, 1));
    }

    #[test]
    fn a_pod_that_is_resized_holds_the_most_of_what_is_said() {
        let table = [
            (json!({}), 2000),
            (json!({"allocatedResources": {"cpu": "3"}}), 3000),
            (json!({"allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "4"}}}), 4000),
            (json!({"allocatedResources": {"cpu": "1"}}), 2000),
        ];
        let read = |conditions: Value, status: &Value| {
            let mut status = status.clone();
            status["name"] = json!("c");
            let pod: v1::Pod = serde_json::from_value(json!({
                "spec": {"containers": [wants("2", "1Ki")]},
                "status": {"conditions": conditions, "containerStatuses": [status]},
            }))
            .unwrap();
            Resources::held_by(&pod).cpu
        };
        for (status, expected) in table {
            assert_eq!(read(json!([]), &status), expected, "{status}");
        }
        let infeasible = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        assert_eq!(read(infeasible.clone(), &json!({"allocatedResources": {"cpu": "1"}})), 1000);
        assert_eq!(read(infeasible, &json!({})), 0);
    }

    #[test]
    fn the_least_is_what_both_have() {
        let small = of(json!({"cpu": "4", "memory": "16Gi", "x.test/y": "1"}));
        let large = of(json!({"cpu": "8", "memory": "8Gi"}));
        assert_eq!(small.least(&large), of(json!({"cpu": "4", "memory": "8Gi"})));
        assert_eq!(of(json!({"cpu": "4", "pods": "110"})).percent(99), of(json!({"cpu": "3960m", "pods": "108"})));
    }

    #[test]
    fn what_is_short_is_named() {
        let offered = of(json!({"cpu": "4", "memory": "8Gi", "pods": "110"}));
        let left = offered.beside(&of(json!({"cpu": "3500m", "memory": "9Gi"})));
        let wanted = of(json!({
            "cpu": "500m", "memory": "1", "pods": "1", "devices.kubevirt.io/kvm": "1", "hugepages-2Mi": "0", "odd": "3",
        }));
        let lacking: Vec<_> = left.lacking(&wanted).into_iter().collect();
        assert_eq!(lacking, ["devices.kubevirt.io/kvm", "memory"]);
    }
}
