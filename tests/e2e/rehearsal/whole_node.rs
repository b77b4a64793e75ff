//! The forecast for whole nodes against what the run then does: where `yes` was said all pods move, where `no` was said at
//! least one finds no place, and what was said of single pods holds as well.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::sample::{say, seed};
use e2e::scheduling::dice::Dice;
use e2e::workload::is_pod_ready;
use e2e::{ControlPlane, Namespace, Plugin, Run};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::task::LocalSet;

use super::town::{Room, Town};
use super::world::{Done, word};

const TOWNS: u64 = 60;
/// How long one of them may take, however slow the machine: longer than the run waits for a replacement.
const PATIENCE: Duration = Duration::from_secs(360);
/// How many there are at the same time.
const AT_ONCE: usize = 15;
/// The rooms that are drawn, in turn.
const ROOMS: [Room; 8] =
    [Room::Ample, Room::Short, Room::Tight, Room::Ample, Room::Short, Room::Tight, Room::Tight, Room::Short];

/// A pod of the node, as the plan has it.
#[derive(Clone, Debug)]
struct Planned {
    uid: String,
    workload: String,
    kind: String,
    action: String,
    fits: String,
}

impl Planned {
    fn read(pod: &Value) -> Self {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            uid: text("/uid"),
            workload: text("/owner/name"),
            kind: text("/owner/kind"),
            action: text("/action"),
            fits: text("/forecast/fits"),
        }
    }

    /// The consent to its going nowhere.
    fn consent(&self, ns: &Namespace) -> Option<String> {
        let is_refused = self.action == "evict" && self.fits == "no";
        let kind = self.kind.to_lowercase();
        is_refused.then(|| format!("--allow-downtime={}/{kind}/{}", ns.name(), self.workload))
    }
}

/// What came of one cluster.
struct Outcome {
    /// What was said of all pods together.
    fits: String,
    wrong: Vec<String>,
    /// How long the rehearsal and the run took.
    took: [Duration; 2],
}

async fn rehearse_and_run(number: u64, room: Room) -> Outcome {
    let ns = Namespace::fresh(ControlPlane::shared(), "town").await;
    let town = Town::draw(&mut Dice::new(seed() * 1000 + number), room);
    let old = town.build(&ns).await;
    let dry =
        Plugin::safedrain(&ns).args([old.as_str(), "--dry-run=client", "-o", "json"]).deadline(PATIENCE).run().await;
    let plan = dry.json();
    let fits = plan["capacity"]["fits"].as_str().expect("a word on room").to_owned();
    let pods: Vec<_> = plan["nodes"][0]["pods"].as_array().unwrap().iter().map(Planned::read).collect();
    assert_eq!(pods.len(), town.workloads.iter().map(|one| one.replicas as usize).sum::<usize>(), "{dry}");

    let mut consents: Vec<_> = pods.iter().filter_map(|pod| pod.consent(&ns)).collect();
    consents.dedup();
    // Where a pod finds no place the run waits in vain, and otherwise for as long as a slow machine takes.
    let patience = if fits == "yes" { "--replacement-timeout=5m" } else { "--replacement-timeout=30s" };
    let run = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s", patience]).args(consents);
    let run = run.deadline(PATIENCE).run().await;
    let ended = Ended { ns: &ns, old: &old, town: &town, pods: &pods, run: &run };
    let wrong = ended.differences(&fits).await;
    let wrong = wrong.into_iter().map(|what| format!("{what}\n{town:#?}\n{dry}\n{run}")).collect();
    Outcome { fits, wrong, took: [dry.elapsed, run.elapsed] }
}

/// A run that has ended, beside what was said of it.
struct Ended<'a> {
    ns: &'a Namespace,
    old: &'a str,
    town: &'a Town,
    pods: &'a [Planned],
    run: &'a Run,
}

impl Ended<'_> {
    /// What was said and is not so.
    async fn differences(&self, fits: &str) -> Vec<String> {
        let there = self.at_rest().await;
        let mut wrong = vec![];
        let code = self.run.code();
        if code != 0 && code != 4 {
            wrong.push(format!("the run ended with {code}"));
        }
        let all: usize = self.town.workloads.iter().map(|one| one.replicas as usize).sum();
        let moved = there.iter().filter(|pod| self.is_elsewhere(pod)).count();
        match fits {
            "yes" if code != 0 || moved < all => {
                wrong.push(format!("yes was said, and {moved} of {all} moved ({code})"));
            }
            "no" if moved == all => wrong.push("no was said, and all moved".to_owned()),
            _ => {}
        }
        for workload in &self.town.workloads {
            let own = there.iter().filter(|pod| pod.labels().get("app") == Some(&workload.name));
            let moved = own.filter(|pod| self.is_elsewhere(pod)).count();
            let said = |word: &str| self.said(&workload.name, word);
            if moved < said("yes") || workload.replicas as usize - moved < said("no") {
                wrong.push(format!("of {}'s pods {moved} moved, not as was said", workload.name));
            }
        }
        for pod in self.pods {
            let is_there = there.iter().any(|other| other.uid().as_deref() == Some(&pod.uid));
            let serves_on = pod.action == "handover" && pod.fits == "no";
            if is_there && pod.fits == "yes" || !is_there && serves_on {
                wrong.push(format!("of {}'s pod {} {} was said", pod.workload, pod.uid, pod.fits));
            }
        }
        wrong
    }

    /// Of how many pods of a workload this was said.
    fn said(&self, workload: &str, fits: &str) -> usize {
        self.pods.iter().filter(|pod| pod.workload == workload && pod.fits == fits).count()
    }

    /// The pods when each is ready, or the scheduler has found no place for it. Those that were said to fit are waited for:
    /// a word to the contrary is not the last one.
    async fn at_rest(&self) -> Vec<Pod> {
        let is_at_rest = |pods: &[Pod]| {
            let lives = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
            let has_place = |pod: &&Pod| is_pod_ready(pod) || matches!(word(pod), Some(Done::Nowhere(_)));
            self.town.workloads.iter().all(|workload| {
                let own = pods.iter().filter(|pod| pod.labels().get("app") == Some(&workload.name));
                let living: Vec<_> = own.clone().filter(lives).collect();
                let moved = living.iter().filter(|pod| self.is_elsewhere(pod)).count();
                own.count() == workload.replicas as usize
                    && living.iter().all(has_place)
                    && moved >= self.said(&workload.name, "yes")
            })
        };
        let description = format!("all is at rest after {}", self.run);
        e2e::wait::until(self.ns.api(), watcher::Config::default(), &description, PATIENCE, is_at_rest).await
    }

    /// Whether a pod is on another node.
    fn is_elsewhere(&self, pod: &Pod) -> bool {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        node.is_some_and(|node| node != self.old)
    }
}

#[tokio::test]
async fn what_is_said_of_a_whole_node_is_what_its_run_comes_to() {
    let local = LocalSet::new();
    let towns = (0..TOWNS).zip(ROOMS.iter().copied().cycle());
    let run = |(number, room): (u64, Room)| {
        let running = local.spawn_local(rehearse_and_run(number, room));
        async move { (number, room, running.await) }
    };
    let outcomes: Vec<_> = local.run_until(stream::iter(towns).map(run).buffer_unordered(AT_ONCE).collect()).await;

    let (mut classes, mut wrong) = (BTreeMap::<String, u64>::new(), vec![]);
    let mut slowest = [Duration::ZERO; 2];
    for (number, room, outcome) in outcomes {
        match outcome {
            Ok(outcome) => {
                slowest.iter_mut().zip(outcome.took).for_each(|(slowest, took)| *slowest = took.max(*slowest));
                *classes.entry(outcome.fits).or_default() += 1;
                wrong.extend(outcome.wrong.iter().map(|what| format!("cluster {number} ({room:?}): {what}")));
            }
            Err(error) => wrong.push(format!("cluster {number} ({room:?}) came to no end: {error}")),
        }
    }
    say(&format!(
        "{TOWNS} whole nodes, said to fit: {classes:?}; {} differences; one rehearsal and run {slowest:.1?} at the most",
        wrong.len(),
    ));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
    let share = |class: &str| classes.get(class).copied().unwrap_or_default() * 100 / TOWNS;
    assert!(["yes", "no", "depends"].iter().all(|class| share(class) >= 20), "{classes:?}");
    assert!(share("depends") <= 30, "{classes:?}");
}
