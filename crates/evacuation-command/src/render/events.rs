//! What happens, as lines: kubectl's own on stdout, the talk on stderr.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{NodeName, ObjectKey, PodId};
use cluster_model::kubevirt::{Means, MigrationPhase};
use evacuation::engine::GuestEnd;
use evacuation::event::{Event, Stop};
use evacuation::guests::Moves;
use evacuation::request::{DrainRequest, Removal};
use evacuation::wait::{GuestWait, Wait};
use jiff::{SignedDuration, Timestamp};
use kubectl_common::report::Output;

use super::notes::listed;
use super::pace::Pace;

/// A wait that lasts longer is told even where nobody looks at a spinner.
const WORTH_TELLING: SignedDuration = SignedDuration::from_secs(5);

/// How lines are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Result lines on stdout, talk on stderr.
    Lines,
    /// stdout belongs to a document: talk on stderr only.
    Talk,
}

/// Turns events into lines.
pub(crate) struct Narrator<'a> {
    output: &'a Output,
    voice: Voice,
    removal: Removal,
    moves: Moves,
    waits: BTreeMap<PodId, Waiting>,
    vm_waits: BTreeMap<ObjectKey, Waiting<GuestWait>>,
    asked: BTreeSet<PodId>,
    /// Those of them that were deleted past the eviction API.
    deleted: BTreeSet<PodId>,
    /// The nodes that were said to hold virtual machines still.
    holding: BTreeSet<NodeName>,
    /// How long the run was said to take, and when it began.
    pace: Pace,
}

struct Waiting<W = Wait> {
    wait: W,
    since: Timestamp,
    told: bool,
}

impl<'a> Narrator<'a> {
    pub(crate) fn new(output: &'a Output, voice: Voice, request: &DrainRequest, pace: Pace) -> Self {
        let (removal, moves) = (request.removal, request.moves);
        Self {
            pace,
            output,
            voice,
            removal,
            moves,
            waits: BTreeMap::new(),
            vm_waits: BTreeMap::new(),
            asked: BTreeSet::new(),
            deleted: BTreeSet::new(),
            holding: BTreeSet::new(),
        }
    }

    /// Tells one event.
    pub(crate) fn tell(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::NodeCordoned { node, already: false } => self.result(&format!("node/{node} cordoned")),
            Event::NodeCordoned { node, already: true } => self.result(&format!("node/{node} already cordoned")),
            Event::NodeReleased { node, uncordoned: true, .. } => self.result(&format!("node/{node} uncordoned")),
            Event::NodeReleased { node, stays_cordoned: true, .. } => {
                self.result(&format!("node/{node} released, and left cordoned as it was before"));
            }
            Event::NodeReleased { node, .. } => {
                self.result(&format!("node/{node} released; somebody had uncordoned it"));
            }
            Event::NodeStarted { .. } => {}
            Event::NodeDrained { node } => match self.moves {
                Moves::Everything => self.result(&format!("node/{node} drained")),
                Moves::GuestsOnly if self.holding.contains(node) => {
                    self.result(&format!("node/{node} left by the virtual machines that were chosen"));
                }
                Moves::GuestsOnly => self.result(&format!("node/{node} emptied of virtual machines")),
            },
            Event::VolumesAttached { node, volumes } => {
                self.note(&format!("node {node}: waiting until volumes are detached: {}", listed(volumes)));
            }
            Event::NodeFailed { node, message } => self.output.warning(&format!("node {node}: {message}")),
            Event::PodAppeared { pod } => self.note(&format!("pod {pod} was bound after the plan was made")),
            Event::PodDetached { pod, resumed: false } => {
                self.note(&format!("pod {pod} serves on while its ReplicaSet makes a replacement"));
            }
            Event::PodDetached { pod, resumed: true } => {
                self.note(&format!("pod {pod} was detached by an earlier run, which goes on"));
            }
            Event::ReplacementSeen { .. } => {}
            Event::ReplacementServes { pod, replacement: Some(replacement), node } => {
                let place = node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
                self.note(&format!("pod {pod} is replaced by {}{place}, which serves", replacement.name));
            }
            Event::ReplacementServes { pod, replacement: None, .. } => {
                self.note(&format!("pod {pod} is not needed any more: its workload has all the pods it wants"));
            }
            Event::EvictionRequested { pod } => {
                self.asked.insert(pod.clone());
                let verb = if self.removal == Removal::Delete { "deleting" } else { "evicting" };
                self.result(&format!("{verb} pod {pod}"));
            }
            Event::DeletionRequested { pod, budgets, bypasses } => {
                self.asked.insert(pod.clone());
                self.deleted.insert(pod.clone());
                let names: Vec<_> = budgets.iter().map(|budget| budget.name.as_str()).collect();
                let names = names.join(" and ");
                if *bypasses {
                    self.output.warning(&format!("budget bypassed: pod {pod} is deleted past {names}"));
                } else {
                    self.note(&format!(
                        "pod {pod} is deleted: {names} each have a pod to spare, and the eviction API takes one budget"
                    ));
                }
                self.result(&format!("deleting pod {pod}"));
            }
            Event::EvictionDeferred { pod, reply } => self.note(&format!("pod {pod}: {}", deferral(reply))),
            Event::EvictionAccepted { .. } => {}
            Event::PodGone { pod, .. } => {
                self.waits.remove(pod);
                let is_deleted = self.removal == Removal::Delete || self.deleted.contains(pod);
                let verb = if is_deleted { "deleted" } else { "evicted" };
                if self.asked.contains(pod) {
                    self.result(&format!("pod/{} {verb}", pod.name));
                } else {
                    self.note(&format!("pod {pod} is gone"));
                }
            }
            Event::PodReattached { pod, reason } => {
                self.waits.remove(pod);
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                self.note(&format!("pod {pod} is attached to its ReplicaSet again and serves on{reason}"));
            }
            Event::PodGivenUp { pod, reason } => {
                self.waits.remove(pod);
                self.output.warning(&format!("pod {pod} stays: {reason}"));
            }
            Event::Waiting { pod, wait } => {
                self.waits.insert(pod.clone(), Waiting { wait: wait.clone(), since: now, told: false });
            }
            Event::RequestRetried { object, message } => {
                self.note(&format!("{object}: no usable answer, asking again ({message})"));
            }
            Event::RequestFailed { object, message } => self.output.warning(&format!("{object}: {message}")),
            Event::Stopping { why } => self.note(stop_words(why, self.moves)),
            Event::VmAppeared { .. }
            | Event::VmRequested { .. }
            | Event::VmEvacuating { .. }
            | Event::VmMigrating { .. }
            | Event::VmMigrationFailed { .. }
            | Event::VmShutDown { .. }
            | Event::VmCancelled { .. }
            | Event::VmMigrationDeleted { .. }
            | Event::VmRestored { .. }
            | Event::VmEnded { .. }
            | Event::VmWaiting { .. }
            | Event::TaintRemoved { .. }
            | Event::NodeHolds { .. }
            | Event::NodeHoldsNoVm { .. } => self.tell_vm(event, now),
        }
    }

    /// Shows how far the run is, and tells the waits that have become long.
    pub(crate) fn progress(&mut self, done: usize, all: usize, now: Timestamp) {
        let mut longest: Option<(&PodId, &Waiting)> = None;
        for (pod, waiting) in &self.waits {
            if longest.is_none_or(|(_, other)| waiting.since < other.since) {
                longest = Some((pod, waiting));
            }
        }
        let waiting = longest.map(|(pod, waiting)| format!("; {pod} waits for {}", waiting.wait));
        let waiting = waiting.or_else(|| {
            let longest = self.vm_waits.iter().min_by_key(|(_, waiting)| waiting.since);
            longest.map(|(vm, waiting)| format!("; virtual machine {vm} waits for {}", waiting.wait))
        });
        let left = self.pace.left(done, all, now).unwrap_or_default();
        self.output.status(&format!("{done}/{all} done{left}{}", waiting.unwrap_or_default()));
        for (pod, waiting) in &mut self.waits {
            if !waiting.told && now.duration_since(waiting.since) >= WORTH_TELLING {
                waiting.told = true;
                self.output.note(&format!("pod {pod} waits for {}", waiting.wait));
            }
        }
        for (vm, waiting) in &mut self.vm_waits {
            if !waiting.told && now.duration_since(waiting.since) >= WORTH_TELLING {
                waiting.told = true;
                self.output.note(&format!("virtual machine {vm} waits for {}", waiting.wait));
            }
        }
    }

    /// Tells one event about a virtual machine, or about all of a node's.
    fn tell_vm(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::VmAppeared { vm, node } => {
                self.note(&format!("virtual machine {vm} was found on node {node} after the plan was made"));
            }
            Event::VmRequested { vm, means } => self.result(&requested(vm, *means)),
            // Its earlier phases take moments; where one lasts, the wait tells of it.
            Event::VmMigrating { vm, migration, phase: MigrationPhase::Running, target: Some(node) } => {
                self.note(&format!("virtual machine {vm}: migration {migration} copies it to node {node}"));
            }
            Event::VmMigrating { .. } | Event::VmEvacuating { .. } => {}
            Event::VmMigrationFailed { vm, migration, failures, reason } => {
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let nth = match failures {
                    1 => "the first".to_owned(),
                    _ => format!("number {failures}"),
                };
                self.output
                    .warning(&format!("virtual machine {vm}: migration {migration} failed, {nth} in this run{reason}"));
            }
            Event::VmShutDown { vm } => self.output.warning(&format!(
                "virtual machine {vm} is being shut down: it could not migrate any more when KubeVirt looked, and its \
                 strategy says to shut it down then"
            )),
            Event::VmCancelled { vm } => self.note(&format!("virtual machine {vm}: its evacuation is called off")),
            Event::VmMigrationDeleted { vm, migration } => {
                self.note(&format!("virtual machine {vm}: migration {migration} is aborted"));
            }
            Event::VmRestored { machine } => {
                self.result(&format!("virtualmachine.kubevirt.io/{} given its run strategy back", machine.name));
            }
            Event::VmWaiting { vm, wait } => {
                self.vm_waits.insert(vm.clone(), Waiting { wait: wait.clone(), since: now, told: false });
            }
            Event::VmEnded { vm, end } => {
                self.vm_waits.remove(vm);
                self.tell_vm_end(vm, end);
            }
            Event::TaintRemoved { node, key } => self.result(&format!("node/{node} untainted: {key}")),
            Event::NodeHolds { node, remnants } => {
                let left: Vec<_> = remnants.iter().map(ToString::to_string).collect();
                self.output.warning(&format!("node {node} still holds virtual machines: {}", left.join("; ")));
                self.holding.insert(node.clone());
            }
            // Said at the end of the run, with what else is on the node.
            Event::NodeHoldsNoVm { .. } => {}
            _ => {}
        }
    }

    fn tell_vm_end(&self, vm: &ObjectKey, end: &GuestEnd) {
        let name = format!("virtualmachineinstance.kubevirt.io/{}", vm.name);
        let node = |node: &Option<NodeName>| node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
        match end {
            GuestEnd::Migrated { to: Some(to) } => self.result(&format!("{name} migrated to node {to}")),
            GuestEnd::Migrated { to: None } => self.result(&format!("{name} migrated")),
            GuestEnd::Restarted { on } => self.result(&format!("{name} restarted{}", node(on))),
            GuestEnd::Replaced { by: Some(by) } => self.result(&format!("{name} replaced by {}", by.name)),
            GuestEnd::Replaced { by: None } => {
                self.result(&format!("{name} shut down"));
                self.output.warning(&format!("virtual machine {vm}: no replacement of it was seen to run yet"));
            }
            GuestEnd::Stopped => self.result(&format!("{name} stopped")),
            GuestEnd::Lost => self.result(&format!("{name} shut down for good")),
            GuestEnd::EndedMeanwhile => {
                self.note(&format!("virtual machine {vm} is off the node: its guest ended by itself or by somebody else"));
            }
            GuestEnd::Left => self.note(&format!("virtual machine {vm} stays")),
            GuestEnd::NotStarted => {}
            GuestEnd::UnderWay => {
                self.note(&format!("virtual machine {vm} is being shut down, which goes on without this run"));
            }
            GuestEnd::StillCopying { migration } => self.note(&format!(
                "virtual machine {vm}: migration {migration} is copying and goes on; whether it ends well or not, no other follows"
            )),
            GuestEnd::CalledOff => self.note(&format!("virtual machine {vm} runs on where it was")),
            GuestEnd::GivenUp { reason } => self.output.warning(&format!("virtual machine {vm}: {reason}")),
        }
    }

    fn result(&self, line: &str) {
        match self.voice {
            Voice::Lines => self.output.result_line(line),
            Voice::Talk => self.output.note(line),
        }
    }

    fn note(&self, line: &str) {
        self.output.note(line);
    }
}

fn requested(vm: &ObjectKey, means: Means) -> String {
    match means {
        Means::Evacuate | Means::CreateMigration => format!("migrating virtual machine {vm}"),
        Means::Follow => format!("following the migration of virtual machine {vm}"),
        Means::Mark => format!("marking virtual machine {vm} for whoever manages it"),
        Means::RestartMachine => format!("restarting virtual machine {vm}"),
        Means::Evict | Means::StopMachine | Means::DeleteInstance => format!("shutting down virtual machine {vm}"),
        Means::None => format!("waiting for virtual machine {vm}, which is shutting down"),
    }
}

fn deferral(reply: &EvictionReply) -> String {
    match reply {
        EvictionReply::BudgetBlocked { message } => format!("not yet: {message}"),
        EvictionReply::BudgetProcessing { retry_after } => {
            format!("its budget is being computed, asking again in {retry_after} s")
        }
        EvictionReply::Throttled { retry_after } => {
            format!("the API server is busy, asking again in {retry_after} s")
        }
        EvictionReply::WebhookDenied { message } => {
            format!("a webhook holds it back, often because an operator is moving it: {message}")
        }
        EvictionReply::NamespaceTerminating => "its namespace is being deleted, and the pod with it".to_owned(),
        EvictionReply::Gone | EvictionReply::AnotherPod => "it is gone".to_owned(),
        EvictionReply::ManyBudgets => "several PodDisruptionBudgets select it".to_owned(),
        EvictionReply::Forbidden { message } | EvictionReply::Unexpected { message, .. } => message.clone(),
    }
}

fn stop_words(why: &Stop, moves: Moves) -> &'static str {
    match why {
        Stop::Interrupted if moves == Moves::GuestsOnly => {
            "interrupted: nothing new begins, evacuations are called off, what copies already is left to end (interrupt \
             once more to leave at once)"
        }
        Stop::Interrupted => {
            "interrupted: nothing new begins, pods whose replacement serves are finished, the others attached again \
             (interrupt once more to leave at once)"
        }
        Stop::Timeout { .. } => "the timeout of this node ran out: nothing new begins",
        Stop::Failed { .. } if moves == Moves::GuestsOnly => {
            "a virtual machine of this node could not be moved: nothing new begins"
        }
        Stop::Failed { .. } => "a pod of this node could not be moved: nothing new begins",
        Stop::Undo => "giving back what was changed",
    }
}
