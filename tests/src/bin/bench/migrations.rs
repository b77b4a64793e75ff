//! When each migration of a namespace was made, took its slot and gave it back.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON object has not is null")]
#![expect(clippy::disallowed_methods, reason = "a record says when something was seen")]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::Namespace;
use e2e::kubevirt::machine;
use e2e::wait::DEADLINE;
use futures::{StreamExt, pin_mut};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

const MIGRATION: &str = "VirtualMachineInstanceMigration";

/// One migration: moments since the record began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// It is there, Pending.
    pub(crate) made: Duration,
    /// It is Scheduling: it has a target pod, and with that a slot.
    pub(crate) began: Option<Duration>,
    /// It is Succeeded or Failed: the slot is free.
    pub(crate) ended: Option<Duration>,
}

/// The record of a namespace's migrations, as a watch shows them: the times in the objects are whole seconds. It ends
/// when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    spans: watch::Receiver<BTreeMap<String, Span>>,
    began: Instant,
    _watching: JoinSet<()>,
}

impl Record {
    /// Begins to record.
    pub(crate) fn of(namespace: &Namespace) -> Self {
        let began = Instant::now();
        let (sender, spans) = watch::channel(BTreeMap::<String, Span>::new());
        let api = machine::api(namespace, MIGRATION);
        let mut watching = JoinSet::new();
        watching.spawn(async move {
            let objects = watcher(api, Config::default()).default_backoff().applied_objects();
            pin_mut!(objects);
            while let Some(object) = objects.next().await {
                let Ok(object) = object else { continue };
                let now = began.elapsed();
                let name = object.metadata.name.unwrap_or_default();
                let phase = object.data["status"]["phase"].as_str().unwrap_or_default().to_owned();
                sender.send_modify(|spans| {
                    let span = spans.entry(name).or_insert_with(|| Span { made: now, ..Span::default() });
                    span.is_in(&phase, now);
                });
            }
        });
        Self { spans, began, _watching: watching }
    }

    /// Returns how long it has been recorded.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until so many migrations have ended; returns all of them.
    pub(crate) async fn ended(mut self, count: usize) -> Result<Vec<Span>, String> {
        let is_over =
            |spans: &BTreeMap<String, Span>| spans.values().filter(|span| span.ended.is_some()).count() >= count;
        let found = time::timeout(DEADLINE, self.spans.wait_for(is_over)).await;
        match found {
            Ok(Ok(spans)) => Ok(spans.values().copied().collect()),
            Ok(Err(_)) | Err(_) => Err(format!("fewer than {count} migrations have ended")),
        }
    }
}

impl Span {
    fn is_in(&mut self, phase: &str, now: Duration) {
        if !matches!(phase, "" | "Pending") {
            self.began.get_or_insert(now);
        }
        if matches!(phase, "Succeeded" | "Failed") {
            self.ended.get_or_insert(now);
        }
    }
}

/// How the slots of one node were used, from the first migration that was made to the last one that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// From then to then: what KubeVirt itself needed for the queue as it was.
    pub(crate) makespan: Duration,
    /// How long all migrations together held a slot, spread over the slots: no queue can be shorter.
    pub(crate) bound: Duration,
    /// How long a slot was free and a machine had not been asked to migrate: what the asking program wasted.
    pub(crate) unasked: Duration,
    /// How long a slot was free and a migration waited for it: what KubeVirt itself wasted.
    pub(crate) untaken: Duration,
    /// When the first migration was made, since the record began.
    pub(crate) first_made: Duration,
    /// When the last one ended.
    pub(crate) last_ended: Duration,
}

impl Usage {
    /// Looks at the migrations of `machines` machines that leave a node with `slots` slots.
    pub(crate) fn of(spans: &[Span], machines: usize, slots: u32) -> Self {
        let first_made = spans.iter().map(|span| span.made).min().unwrap_or_default();
        let last_ended = spans.iter().filter_map(|span| span.ended).max().unwrap_or_default();
        let mut moments: Vec<Duration> =
            spans.iter().flat_map(|span| [Some(span.made), span.began, span.ended]).flatten().collect();
        moments.sort_unstable();
        let (mut unasked, mut untaken) = (Duration::ZERO, Duration::ZERO);
        for (from, to) in moments.iter().zip(moments.iter().skip(1)) {
            let is_past = |moment: Option<Duration>| moment.is_some_and(|moment| moment <= *from);
            let made = spans.iter().filter(|span| is_past(Some(span.made))).count();
            let waiting = spans.iter().filter(|span| is_past(Some(span.made)) && !is_past(span.began)).count();
            let running = spans.iter().filter(|span| is_past(span.began) && !is_past(span.ended)).count();
            if running >= slots as usize {
                continue;
            }
            if waiting > 0 {
                untaken += to.saturating_sub(*from);
            } else if made < machines {
                unasked += to.saturating_sub(*from);
            }
        }
        let held = spans.iter().filter_map(|span| span.ended.zip(span.began));
        let held: Duration = held.map(|(ended, began)| ended.saturating_sub(began)).sum();
        let bound = held.div_f64(f64::from(slots));
        let makespan = last_ended.saturating_sub(first_made);
        Self { makespan, bound, unasked, untaken, first_made, last_ended }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(made: u64, began: u64, ended: u64) -> Span {
        let at = Duration::from_secs;
        Span { made: at(made), began: Some(at(began)), ended: Some(at(ended)) }
    }

    #[test]
    fn full_slots_waste_nothing() {
        let spans = [span(1, 1, 6), span(1, 1, 6), span(1, 6, 11), span(1, 6, 11)];
        let usage = Usage::of(&spans, 4, 2);
        assert_eq!(usage.bound, Duration::from_secs(10));
        assert_eq!(
            (usage.makespan, usage.unasked, usage.untaken),
            (Duration::from_secs(10), Duration::ZERO, Duration::ZERO)
        );
        assert_eq!((usage.first_made, usage.last_ended), (Duration::from_secs(1), Duration::from_secs(11)));
    }

    #[test]
    fn slot_that_nobody_was_asked_to_take_is_the_asking_programs_waste() {
        let usage = Usage::of(&[span(0, 0, 5), span(0, 0, 5), span(8, 8, 13)], 3, 2);
        assert_eq!((usage.unasked, usage.untaken), (Duration::from_secs(3), Duration::ZERO));
    }

    #[test]
    fn slot_that_a_waiting_migration_did_not_take_is_kubevirts_waste() {
        let usage = Usage::of(&[span(0, 0, 5), span(0, 0, 5), span(0, 9, 13)], 3, 2);
        assert_eq!((usage.unasked, usage.untaken), (Duration::ZERO, Duration::from_secs(4)));
    }

    #[test]
    fn last_machines_alone_leave_a_slot_free_and_waste_nothing() {
        let usage = Usage::of(&[span(0, 0, 5), span(0, 0, 9)], 2, 2);
        assert_eq!((usage.unasked, usage.untaken), (Duration::ZERO, Duration::ZERO));
    }
}
