//! What happens, as lines: kubectl's own on stdout, the talk on stderr.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::PodId;
use evacuation::event::{Event, Stop, Wait};
use evacuation::request::Removal;
use jiff::{SignedDuration, Timestamp};
use kubectl_common::report::Output;

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
    waits: BTreeMap<PodId, Waiting>,
    asked: BTreeSet<PodId>,
}

struct Waiting {
    wait: Wait,
    since: Timestamp,
    told: bool,
}

impl<'a> Narrator<'a> {
    pub(crate) fn new(output: &'a Output, voice: Voice, removal: Removal) -> Self {
        Self { output, voice, removal, waits: BTreeMap::new(), asked: BTreeSet::new() }
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
            Event::NodeDrained { node } => self.result(&format!("node/{node} drained")),
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
            Event::EvictionDeferred { pod, reply } => self.note(&format!("pod {pod}: {}", deferral(reply))),
            Event::EvictionAccepted { .. } => {}
            Event::PodGone { pod, .. } => {
                self.waits.remove(pod);
                let verb = if self.removal == Removal::Delete { "deleted" } else { "evicted" };
                if self.asked.contains(pod) {
                    self.result(&format!("pod/{} {verb}", pod.name));
                } else {
                    self.note(&format!("pod {pod} is gone"));
                }
            }
            Event::PodReattached { pod } => {
                self.waits.remove(pod);
                self.note(&format!("pod {pod} is attached to its ReplicaSet again and serves on"));
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
            Event::Stopping { why } => self.note(stop_words(why)),
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
        let waiting = longest.map(|(pod, waiting)| format!("; {pod} waits for {}", waiting.wait)).unwrap_or_default();
        self.output.status(&format!("{done}/{all} pods done{waiting}"));
        for (pod, waiting) in &mut self.waits {
            if !waiting.told && now.duration_since(waiting.since) >= WORTH_TELLING {
                waiting.told = true;
                self.output.note(&format!("pod {pod} waits for {}", waiting.wait));
            }
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

fn stop_words(why: &Stop) -> &'static str {
    match why {
        Stop::Interrupted => {
            "interrupted: nothing new begins, pods whose replacement serves are finished, the others attached again \
             (interrupt once more to leave at once)"
        }
        Stop::Timeout { .. } => "the timeout of this node ran out: nothing new begins",
        Stop::Failed { .. } => "a pod of this node could not be moved: nothing new begins",
        Stop::Undo => "giving back what was changed",
    }
}
