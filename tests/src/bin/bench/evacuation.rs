//! One evacuation of a node, measured.

use std::time::Duration;

use e2e::{ControlPlane, Invocation, Kubectl, Plugin};

use crate::guests::Guests;
use crate::memory::Peak;
use crate::migrations::{Record, Usage};

/// How many migrations may leave a node at the same time: KubeVirt's own setting, which the stand-in is installed with.
pub(crate) const SLOTS: u32 = 2;

/// The arguments of `kubectl drain` that KubeVirt documents (docs/virtual-machines.md), with the newer name of
/// `--delete-local-data`: kubectl 1.37 refuses the old one as unknown.
const DOCUMENTED: [&str; 4] =
    ["--delete-emptydir-data", "--ignore-daemonsets=true", "--force", "--pod-selector=kubevirt.io=virt-launcher"];

/// A program that empties a node of its virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `kubectl drain`, as KubeVirt documents it.
    Drain,
    /// `kubectl vmievict`.
    Vmievict,
}

/// What one evacuation took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evacuation {
    /// From the start of the command to its end.
    pub(crate) elapsed: Duration,
    /// From its start to the first migration.
    pub(crate) before: Duration,
    /// What KubeVirt itself needed.
    pub(crate) slots: Usage,
    /// From the end of the last migration to the end of the command.
    pub(crate) after: Duration,
    /// How many evictions it asked for.
    pub(crate) evictions: usize,
    /// How many requests it sent, evictions and watches included.
    pub(crate) requests: usize,
    /// Its peak memory in bytes, if it was seen.
    pub(crate) memory: Option<u64>,
}

impl Tool {
    /// Returns its name, as it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "kubectl drain",
            Self::Vmievict => "kubectl vmievict",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Drain => "kubectl",
            Self::Vmievict => "kubectl-vmievict",
        }
    }

    fn command(self, guests: &Guests) -> Invocation {
        let (namespace, node) = (guests.namespace(), guests.node());
        match self {
            Self::Drain => Kubectl::command(namespace, ["drain", node]).args(DOCUMENTED),
            Self::Vmievict => Plugin::vmievict(namespace).args([node]),
        }
    }
}

impl Evacuation {
    /// Fills a node with `machines` machines, which are copied for `copied` each, and lets a tool empty it.
    pub(crate) async fn measure(
        control_plane: &ControlPlane,
        tool: Tool,
        machines: usize,
        copied: &str,
    ) -> Result<Self, String> {
        let guests = Guests::start(control_plane, machines, copied).await;
        let already = guests.namespace().audit().await.events.len();
        let record = Record::of(guests.namespace());
        let mut peak = Peak::of(tool.program());

        let started = record.elapsed();
        let running = tool.command(&guests).spawn();
        let pid = running.pid();
        let run = tokio::select! {
            run = running.wait() => run,
            never = peak.follow(pid) => match never {},
        };

        if run.code() != 0 {
            return Err(run.to_string());
        }
        guests.expect_moved().await.map_err(|why| format!("{why}: {run}"))?;
        let spans = record.ended(machines).await?;
        let slots = Usage::of(&spans, guests.count(), SLOTS);
        let audit = guests.namespace().audit().await;
        let requests = audit.events.len().saturating_sub(already);
        let evictions = audit.evictions().len();
        guests.remove().await?;
        Ok(Self {
            elapsed: run.elapsed,
            before: slots.first_made.saturating_sub(started),
            slots,
            after: (started + run.elapsed).saturating_sub(slots.last_ended),
            evictions,
            requests,
            memory: peak.bytes(),
        })
    }
}
