//! What the cluster itself is told of a run, in Events: one for each workload that was moved, one for each node.

use std::collections::BTreeMap;

use cluster_model::identity::{NodeName, PodId};
use cluster_model::snapshot::ClusterSnapshot;
use evacuation::engine::{Engine, GuestEnd, RunIdentity, StepEnd};
use evacuation::plan::{Action, DrainPlan};
use evacuation_runner::cluster_events::{self, About, ClusterEvent};
use evacuation_runner::lease::LeaseGuard;
use kubectl_common::report::Output;

use crate::failure::count;
use crate::session::{Session, now};

/// The longest message that the API server takes in an event (`pkg/apis/core/validation/events.go`).
const LONGEST: usize = 1024;

/// Whom the pods of a plan belong to, which cannot be looked up any more when they are gone.
pub(crate) type Homes = BTreeMap<PodId, About>;

/// Looks up the homes of a plan's pods. One that nobody owns has none: there is nobody left to be told.
pub(crate) fn homes(plan: &DrainPlan, cluster: &ClusterSnapshot) -> Homes {
    let home = |id: &PodId| {
        let pod = cluster.pod(id)?;
        Some(About::owner(cluster.home_ref(pod)?, &id.namespace))
    };
    plan.pods().filter_map(|(_, pod)| Some((pod.pod.clone(), home(&pod.pod)?))).collect()
}

/// What became of the pods of one workload.
#[derive(Debug, Default)]
struct Tally<'a> {
    handed_over: usize,
    gone: usize,
    kept: Vec<&'a str>,
    guests: usize,
    guests_kept: usize,
    nodes: Vec<&'a NodeName>,
}

impl<'a> Tally<'a> {
    fn take_in(&mut self, node: &'a NodeName, end: &'a StepEnd, is_handed_over: bool) {
        match end {
            StepEnd::Gone | StepEnd::Left | StepEnd::Terminating if is_handed_over => self.handed_over += 1,
            StepEnd::Gone | StepEnd::Left | StepEnd::Terminating => self.gone += 1,
            StepEnd::Reattached(why) | StepEnd::GivenUp(why) => self.kept.push(why),
            StepEnd::NotStarted => return,
        }
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn take_in_guest(&mut self, node: &'a NodeName, end: &GuestEnd) {
        match end {
            GuestEnd::GivenUp { .. }
            | GuestEnd::CalledOff
            | GuestEnd::NotStarted
            | GuestEnd::UnderWay
            | GuestEnd::StillCopying { .. }
            | GuestEnd::Left => self.guests_kept += 1,
            GuestEnd::Migrated { .. }
            | GuestEnd::Restarted { .. }
            | GuestEnd::Replaced { .. }
            | GuestEnd::Stopped
            | GuestEnd::Lost
            | GuestEnd::EndedMeanwhile => self.guests += 1,
        }
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
    }

    fn words(&self) -> String {
        let names: Vec<_> = self.nodes.iter().map(|node| node.0.as_str()).collect();
        let mut parts = Vec::new();
        if self.handed_over > 0 {
            parts.push(format!("{} handed over", count(self.handed_over, "pod")));
        }
        if self.gone > 0 {
            parts.push(format!("{} evicted", count(self.gone, "pod")));
        }
        if self.guests > 0 {
            parts.push(format!("{} evacuated", count(self.guests, "virtual machine")));
        }
        if self.guests_kept > 0 {
            parts.push(format!("{} kept", count(self.guests_kept, "virtual machine")));
        }
        if let Some(why) = self.kept.first() {
            parts.push(format!("{} kept: {why}", count(self.kept.len(), "pod")));
        }
        format!("{} from node {}", parts.join(", "), names.join(", "))
    }
}

/// What there is to tell after a drain.
pub(crate) fn of_drain(
    plan: &DrainPlan,
    engine: &Engine,
    homes: &Homes,
    who: &RunIdentity,
    drained: &[NodeName],
) -> Vec<ClusterEvent> {
    let mut workloads: BTreeMap<&About, Tally<'_>> = BTreeMap::new();
    let mut nodes: BTreeMap<&NodeName, Tally<'_>> =
        plan.nodes.iter().map(|node| (&node.name, Tally::default())).collect();
    for (pod, node, end, replacement) in engine.ends() {
        let Some(end) = end else { continue };
        let is_handed_over =
            replacement.is_some() && plan.pod(&pod.uid).is_some_and(|plan| plan.action == Action::Handover);
        if let Some(home) = homes.get(pod) {
            workloads.entry(home).or_default().take_in(node, end, is_handed_over);
        }
        if let Some(tally) = nodes.get_mut(node) {
            tally.take_in(node, end, is_handed_over);
        }
    }
    for (_, node, end) in engine.guest_ends() {
        if let (Some(end), Some(tally)) = (end, nodes.get_mut(node)) {
            tally.take_in_guest(node, end);
        }
    }
    let moved = workloads.into_iter().filter(|(_, tally)| !tally.nodes.is_empty());
    let moved = moved.map(|(about, tally)| {
        let is_warning = !tally.kept.is_empty();
        let reason = if is_warning { "DrainIncomplete" } else { "Drained" };
        ClusterEvent { about: about.clone(), reason, is_warning, message: signed(&tally.words(), who) }
    });
    let nodes = nodes.into_iter().map(|(node, tally)| {
        let is_drained = drained.contains(node);
        let what = if tally.nodes.is_empty() { format!("no pod had to leave node {node}") } else { tally.words() };
        let reason = if is_drained { "NodeDrained" } else { "NodeDrainStopped" };
        ClusterEvent { about: About::node(node), reason, is_warning: !is_drained, message: signed(&what, who) }
    });
    moved.chain(nodes).collect()
}

/// Says who did it, and why.
fn signed(what: &str, who: &RunIdentity) -> String {
    let reason = who.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let text = format!("{what}; by {} with kubectl {}{reason}", who.user, who.version);
    text.chars().take(LONGEST).collect()
}

/// What there is to tell after nodes were given back.
pub(crate) fn of_undo(released: &[NodeName], who: &RunIdentity) -> Vec<ClusterEvent> {
    let told = |node| ClusterEvent {
        about: About::node(node),
        reason: "NodeDrainUndone",
        is_warning: false,
        message: signed(&format!("what runs had changed on node {node} was given back"), who),
    };
    released.iter().map(told).collect()
}

/// Sends what there is to tell. A right that is missing is a note: the run itself is done.
pub(crate) async fn send(session: &Session, output: &Output, guard: &LeaseGuard, events: Vec<ClusterEvent>) {
    let sent = cluster_events::send(&session.access, guard, session.plugin.name, events, now()).await;
    match sent {
        Ok(()) => {}
        Err(error)
            if error.status().is_some_and(|status| status.code == 403 && status.message.contains("cannot create")) =>
        {
            output.note("no Event tells of it: you may not create events");
        }
        Err(error) => output.note(&format!("not every Event that tells of it was written: {}", error.in_short())),
    }
}
