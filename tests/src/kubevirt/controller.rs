//! The stand-in for virt-controller and virt-handler, and the end of a launcher that kubelet would see.
//!
//! It is not KubeVirt. It does with the objects what the genuine programs were seen to do; each rule names its source:
//! `OBSERVED (x)` or `OBSERVED, corrections n` is what a run of KubeVirt showed, `reference n` what its source says.
//!
//! | module | plays |
//! |---|---|
//! | `machine` | virt-controller: VirtualMachine to VMI, by its run strategy |
//! | `replica_set` | virt-controller: VMIs of a VirtualMachineInstanceReplicaSet |
//! | `instance` | virt-controller: VMI to launcher pod, phases, conditions, finalizers |
//! | `launcher` | virt-controller: what a launcher pod looks like |
//! | `evacuation` | virt-controller: mark to migration |
//! | `migration` | virt-controller: target pods, limits, backoff, phases, cancelling, collecting the old ones |
//! | `guest` | virt-handler: the guest boots, moves, and shuts down |
//! | `hotplug` | virt-controller: the pods of hotplugged volumes |
//! | `heartbeat` | virt-handler: the node's heartbeat and labels; virt-controller: what follows if they stop |
//! | `kubelet` | kubelet: a launcher whose guest is gone ends Succeeded |
//!
//! kwok starts the launchers and removes them once they have ended, as it does with every pod; but when a launcher ends
//! is told by its guest, which kwok knows nothing of. So launchers carry `handover.test/exit-after: never`, which makes
//! kwok leave their end alone, and `kubelet` writes it. The scheduler is the real one.
//!
//! One loop does it all: whenever a watch tells something, it looks at the guests concerned, and it sleeps until the next
//! thing is due. It holds little that the objects do not say: since when something has been so (times in the API are
//! whole seconds, too coarse for a scaled clock), and how many migrations it made to fail.

pub(crate) mod behaviour;
mod cluster;
mod evacuation;
mod guest;
mod heartbeat;
mod hotplug;
mod instance;
mod kubelet;
mod launcher;
mod machine;
mod migration;
mod object;
mod replica_set;
mod settings;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::stream::{SelectAll, select_all};
use futures::{FutureExt, Stream, StreamExt};
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{self, Instant};
use tokio::{runtime, select};

use super::Account;
use crate::control_plane::ControlPlane;
use cluster::{Cluster, Complaints, Kind, Phases, Turn};
use object::Object;
use writes::{Actor, Written};

/// The pause before a watch that broke is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// How the stand-in runs.
#[derive(Clone, Copy, Debug)]
pub struct ControllerSetup {
    /// By how much KubeVirt's own waits are shorter than they are: the backoff (20 s to 320 s), the timeouts of target
    /// pods (5 and 15 min), the age of a dead heartbeat (5 min). 1 is the real time. What annotations say (of guests in
    /// `stand-in/…`, of migrations in `kubevirt.io/…TimeoutSeconds`) is never scaled.
    pub time_divisor: u32,
}

impl Default for ControllerSetup {
    fn default() -> Self {
        Self { time_divisor: 1 }
    }
}

/// The running stand-in for virt-controller and virt-handler; it ends when it is dropped.
#[derive(Debug)]
pub struct Controller {
    complaints: Complaints,
    phases: Phases,
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Controller {
    /// Starts it on a thread of its own, so that it goes on while a test's runtime is busy or blocked. KubeVirt's custom
    /// resources must be established.
    pub fn start(control_plane: &ControlPlane, setup: ControllerSetup) -> Self {
        let complaints: Complaints = Arc::new(Mutex::new(Vec::new()));
        let (ending, ended) = oneshot::channel();
        let phases = Phases::default();
        let (control_plane, noted, written) = (control_plane.clone(), complaints.clone(), phases.clone());
        let thread = thread::Builder::new()
            .name("kubevirt-stand-in".to_owned())
            .spawn(move || {
                let runtime =
                    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
                runtime.block_on(async move {
                    let mut clients = BTreeMap::from([(Actor::Kubelet, control_plane.client().await)]);
                    // virt-api knows KubeVirt by its accounts (reference 3.4); kubelet is the administrator here.
                    for (actor, account) in
                        [(Actor::Controller, Account::Controller), (Actor::Handler, Account::Handler)]
                    {
                        clients.insert(actor, account.client(&control_plane).await);
                    }
                    let watching = clients.get(&Actor::Kubelet).cloned().expect("it was put in above");
                    let reconciler = Reconciler {
                        cluster: Cluster::new(clients, noted, written),
                        time_divisor: setup.time_divisor.max(1),
                        failures: HashMap::new(),
                    };
                    select! {
                        () = reconciler.run(watching) => {}
                        _ = ended => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self { complaints, phases, ending: Some(ending), thread: Some(thread) }
    }

    /// Returns the refusals that nobody expects, for the message of a test that waited in vain.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().map(|complaints| complaints.clone()).unwrap_or_default()
    }

    /// Returns when it first wrote that a migration (by its uid) is in a phase, "" for the one in which it is made.
    pub fn entered(&self, migration: &str, phase: &str) -> Option<Instant> {
        let phases = self.phases.lock().ok()?;
        phases.iter().find(|(uid, own, _)| uid == migration && own == phase).map(|(_, _, at)| *at)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            ending.send(()).unwrap_or_default();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The loop and what it holds.
struct Reconciler {
    cluster: Cluster,
    time_divisor: u32,
    /// How many migrations of a VMI were made to fail, by its uid.
    failures: HashMap<String, u32>,
}

/// What a watch told.
enum News {
    Listed(Kind, Vec<Object>),
    Saw(Kind, Object),
    Lost(Kind, Object),
}

type Watches = SelectAll<std::pin::Pin<Box<dyn Stream<Item = News> + Send>>>;

impl Reconciler {
    async fn run(mut self, client: Client) {
        let mut watches: Watches = select_all(Kind::ALL.map(|kind| watch(client.clone(), kind)));
        let mut unlisted = Kind::ALL.len();
        while unlisted > 0 {
            let Some(news) = watches.next().await else { return };
            if matches!(news, News::Listed(..)) {
                unlisted -= 1;
            }
            self.take(news);
        }
        loop {
            let turn = self.cluster.take_turn();
            self.reconcile_all(&turn).await;
            if !self.cluster.has_written {
                let sleeping = async {
                    match self.cluster.wake_at() {
                        Some(due) => time::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                let news = select! {
                    news = watches.next() => news,
                    () = pin!(sleeping) => None,
                };
                if let Some(news) = news {
                    self.take(news);
                }
            }
            while let Some(Some(news)) = watches.next().now_or_never() {
                self.take(news);
            }
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Listed(kind, objects) => self.cluster.listed(kind, objects),
            News::Saw(kind, object) => self.cluster.saw(kind, object),
            News::Lost(kind, object) => self.cluster.lost(kind, &object),
        }
    }

    async fn reconcile_all(&mut self, turn: &Turn) {
        for kind in [Kind::Node, Kind::Machine, Kind::ReplicaSet, Kind::Instance, Kind::Migration, Kind::Pod] {
            for object in self.in_order(kind) {
                // What came before may have changed it.
                let Some(object) = self.cluster.newest(kind, &object) else { continue };
                if !turn.is_for(kind, &object) {
                    continue;
                }
                self.cluster.begin(kind, &object);
                if let Err(refused) = self.reconcile(kind, &object).await {
                    self.cluster.note(&format!("{kind:?} {}", object.key()), &refused);
                }
            }
        }
    }

    fn in_order(&self, kind: Kind) -> Vec<Arc<Object>> {
        if kind == Kind::Migration { self.queue() } else { self.cluster.all(kind) }
    }

    async fn reconcile(&mut self, kind: Kind, object: &Object) -> Written<()> {
        match kind {
            Kind::Node => self.node(object).await,
            Kind::Machine => self.machine(object).await,
            Kind::ReplicaSet => self.replica_set(object).await,
            Kind::Instance => {
                self.instance(object).await?;
                let Some(object) = self.cluster.newest(kind, object) else { return Ok(()) };
                self.evacuate(&object).await?;
                let Some(object) = self.cluster.newest(kind, &object) else { return Ok(()) };
                self.guest(&object).await
            }
            Kind::Migration => self.migration(object).await,
            Kind::Pod if hotplug::is_hotplug_pod(object) => self.hotplug_pod(object).await,
            Kind::Pod => self.launcher(object).await,
            Kind::KubeVirt => Ok(()),
        }
    }

    /// Returns one of KubeVirt's own waits, scaled.
    fn scaled(&self, real: Duration) -> Duration {
        real / self.time_divisor
    }
}

fn watch(client: Client, kind: Kind) -> std::pin::Pin<Box<dyn Stream<Item = News> + Send>> {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
    let config = match kind {
        Kind::Pod => watcher::Config::default().labels("kubevirt.io in (virt-launcher,hotplug-disk)"),
        Kind::KubeVirt | Kind::Node | Kind::Machine | Kind::ReplicaSet | Kind::Instance | Kind::Migration => {
            watcher::Config::default()
        }
    };
    let resource = kind.resource();
    let read = move |object: DynamicObject| {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        object::merge(&mut value, &json!({ "apiVersion": resource.api_version, "kind": resource.kind }));
        Object(value)
    };
    let events = watcher(api, config);
    Box::pin(
        events
            .scan((Vec::new(), read), move |(listing, read), event| {
                let news = match event {
                    Ok(Event::Init) => {
                        listing.clear();
                        None
                    }
                    Ok(Event::InitApply(object)) => {
                        listing.push(read(object));
                        None
                    }
                    Ok(Event::InitDone) => Some(News::Listed(kind, std::mem::take(listing))),
                    Ok(Event::Apply(object)) => Some(News::Saw(kind, read(object))),
                    Ok(Event::Delete(object)) => Some(News::Lost(kind, read(object))),
                    Err(_) => {
                        return async {
                            time::sleep(REOPEN_PAUSE).await;
                            Some(None)
                        }
                        .boxed();
                    }
                };
                async move { Some(news) }.boxed()
            })
            .filter_map(|news| async move { news }),
    )
}

/// Reads a number that a setting or an annotation tells, as text or as a number.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
