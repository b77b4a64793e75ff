//! What is compared with `kubectl drain` on ordinary pods: nodes full of them, ten replicas under a budget, and one replica
//! that its budget never lets go. How fast a full node could be emptied at all is told by a bare loop of evictions.

use std::time::{Duration, Instant};

use e2e::{ControlPlane, EndpointRecorder, Invocation, Kubectl, Namespace, Plugin};
use futures::{TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::Value;

use crate::figures::{Figures, head, row};
use crate::memory::Peak;

/// A way to empty the node.
#[derive(Debug, Clone, Copy)]
struct Tool {
    name: &'static str,
    means: Means,
    flags: &'static [&'static str],
}

/// By what a node is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Kubectl,
    Plugin,
    /// See [`bare_loop`].
    Loop,
}

/// What is on the node.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// So many pods without a controller, which nobody replaces: what is measured is how fast they leave. Each is so many bytes
    /// larger than it need be.
    Bare { count: usize, padding: usize },
    /// One Deployment behind a Service, under a budget.
    Deployment { replicas: usize, min_available: Option<usize>, max_unavailable: Option<usize> },
}

/// One comparison.
struct Scenario {
    title: &'static str,
    load: Load,
    tools: &'static [Tool],
}

/// What one run took.
struct Taken {
    elapsed: Duration,
    /// Of the loop they are not counted: they are what it is made of.
    requests: Option<usize>,
    fewest: Option<usize>,
    memory: Option<u64>,
}

/// How many evictions of the loop are unanswered at a time, as many as the plugin's.
const IN_FLIGHT: usize = 64;

const fn kubectl(flags: &'static [&'static str]) -> Tool {
    Tool { name: "kubectl drain", means: Means::Kubectl, flags }
}

const fn safedrain(name: &'static str, flags: &'static [&'static str]) -> Tool {
    Tool { name, means: Means::Plugin, flags }
}

/// All that empty a node of pods that nobody replaces.
const EVICTORS: &[Tool] = &[
    kubectl(&["--force"]),
    safedrain("safedrain --strategy=evict", &["--force", "--strategy=evict"]),
    Tool { name: "64 evictions at a time", means: Means::Loop, flags: &[] },
];

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        title: "250 pods without a controller, each ends within 1 s; no handover",
        load: Load::Bare { count: 250, padding: 0 },
        tools: EVICTORS,
    },
    Scenario {
        title: "500 pods without a controller of 8 KB each, each ends within 1 s; no handover",
        load: Load::Bare { count: 500, padding: 7000 },
        tools: EVICTORS,
    },
    Scenario {
        title: "10 replicas, budget maxUnavailable 1, Ready after 3 s, each ends within 1 s",
        load: Load::Deployment { replicas: 10, min_available: None, max_unavailable: Some(1) },
        tools: &[
            kubectl(&[]),
            safedrain("safedrain, all at once", &["--max-surge=100%", "--settle=0s"]),
            safedrain("safedrain", &[]),
        ],
    },
    Scenario {
        title: "1 replica, budget minAvailable 1, Ready after 3 s, ends within 1 s (kubectl drain never does)",
        load: Load::Deployment { replicas: 1, min_available: Some(1), max_unavailable: None },
        tools: &[safedrain("safedrain --settle=0s", &["--settle=0s"])],
    },
];

/// Runs every scenario `repeat` times with each of its tools, which take turns, and prints the figures.
pub(crate) async fn measure_all(control_plane: &ControlPlane, repeat: u32) -> Result<(), String> {
    for scenario in SCENARIOS {
        println!("\n{}", scenario.title);
        let mut runs: Vec<Vec<Taken>> = scenario.tools.iter().map(|_| Vec::new()).collect();
        for _ in 0..repeat {
            for (tool, runs) in scenario.tools.iter().zip(&mut runs) {
                runs.push(measure(control_plane, *tool, scenario.load).await?);
            }
        }
        println!("{}", head(&scenario.tools.iter().map(|tool| tool.name).collect::<Vec<_>>()));
        print(scenario.tools, &runs);
    }
    Ok(())
}

fn print(tools: &[Tool], runs: &[Vec<Taken>]) {
    let line = |name: &str, decimals: usize, figures: &dyn Fn(&[Taken]) -> Figures| {
        println!("{}", row(name, decimals, &runs.iter().map(|runs| figures(runs)).collect::<Vec<_>>()));
    };
    line("seconds", 2, &|runs| Figures::seconds(runs.iter().map(|run| run.elapsed)));
    if runs.iter().flatten().any(|run| run.fewest.is_some()) {
        line("fewest ready endpoints", 0, &|runs| Figures::counts(runs.iter().filter_map(|run| run.fewest)));
    }
    line("requests, all", 0, &|runs| Figures::counts(runs.iter().filter_map(|run| run.requests)));
    line("peak memory, MB", 1, &|runs| Figures::megabytes(runs.iter().map(|run| run.memory)));
    let median = |runs: &[Taken]| Figures::seconds(runs.iter().map(|run| run.elapsed)).median();
    let of = |means| tools.iter().zip(runs).filter(move |(tool, _)| tool.means == means);
    for (tool, runs) in of(Means::Plugin) {
        for (other, others) in of(Means::Kubectl).chain(of(Means::Loop)) {
            println!("  {}: {:.3} of the time of {}", tool.name, median(runs) / median(others), other.name);
        }
    }
}

async fn measure(control_plane: &ControlPlane, tool: Tool, load: Load) -> Result<Taken, String> {
    let namespace = Namespace::fresh(control_plane, "bench-pods").await;
    let old = fill(&namespace, load).await;
    drop(namespace.node("new").create().await);
    let mut recorder = match load {
        Load::Bare { .. } => None,
        Load::Deployment { .. } => Some(EndpointRecorder::start(&namespace).await),
    };
    let already = namespace.audit().await.events.len();
    let (elapsed, memory) = match tool.means {
        Means::Loop => (bare_loop(&namespace, &old).await?, None),
        Means::Kubectl | Means::Plugin => {
            let mut peak = Peak::of(if tool.means == Means::Kubectl { "kubectl" } else { "kubectl-safedrain" });
            let running = command(&namespace, tool, &old).spawn();
            let pid = running.pid();
            let run = tokio::select! {
                run = running.wait() => run,
                never = peak.follow(pid) => match never {},
            };
            if run.code() != 0 {
                return Err(run.to_string());
            }
            (run.elapsed, peak.bytes())
        }
    };
    let requests = namespace.audit().await.events.len().saturating_sub(already);
    let requests = (tool.means != Means::Loop).then_some(requests);
    if let Some(recorder) = &mut recorder {
        recorder.stop().await;
    }
    let pods = namespace.api::<Pod>();
    let deleted = namespace.api::<k8s_openapi::api::apps::v1::Deployment>();
    drop(deleted.delete_collection(&DeleteParams::default(), &ListParams::default()).await);
    drop(pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await);
    namespace.until::<Pod>("", "all pods are gone", <[Pod]>::is_empty).await;
    let fewest = recorder.map(|recorder| recorder.fewest_ready("web"));
    Ok(Taken { elapsed, requests, fewest, memory })
}

/// The least that empties a node: its pods are listed, evicted as fast as the server answers, and waited for.
#[expect(clippy::disallowed_methods, reason = "what it takes is the figure")]
async fn bare_loop(namespace: &Namespace, node: &str) -> Result<Duration, String> {
    let begin = Instant::now();
    let pods = namespace.api::<Pod>();
    let listed = pods.list(&ListParams::default().fields(&format!("spec.nodeName={node}"))).await;
    let names = listed.map_err(|error| error.to_string())?.into_iter().map(|pod| pod.name_any());
    let evicted = stream::iter(names.map(Ok)).try_for_each_concurrent(IN_FLIGHT, async |name| {
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let eviction = Eviction { metadata, delete_options: None };
        let params = PostParams::default();
        pods.create_subresource::<_, Value>("eviction", &name, &params, &eviction).await.map(drop)
    });
    evicted.await.map_err(|error| error.to_string())?;
    drop(namespace.until::<Pod>("", "all pods are gone", <[Pod]>::is_empty).await);
    Ok(begin.elapsed())
}

fn command(namespace: &Namespace, tool: Tool, node: &str) -> Invocation {
    let command = if tool.means == Means::Kubectl {
        Kubectl::command(namespace, ["drain", node, "--ignore-daemonsets"])
    } else {
        Plugin::safedrain(namespace).args([node])
    };
    command.args(tool.flags).deadline(Duration::from_secs(300))
}

/// Fills a node, whose name it returns.
async fn fill(namespace: &Namespace, load: Load) -> String {
    let old = namespace.node("old").create().await;
    match load {
        Load::Bare { count, padding } => {
            let padding = "x".repeat(padding);
            for number in 0..count {
                let pod = namespace.pod(&format!("pod-{number}")).on_node(&old).exit_after("1s");
                drop(pod.pod_annotation("handover.test/padding", &padding).create().await);
            }
            let are_up = |pods: &[Pod]| pods.len() == count && pods.iter().all(e2e::workload::is_pod_ready);
            drop(namespace.until("", "all pods are Ready", are_up).await);
        }
        Load::Deployment { replicas, min_available, max_unavailable } => {
            drop(namespace.service("web").create().await);
            let count = u32::try_from(replicas).unwrap_or(u32::MAX);
            let web = namespace.deployment("web").replicas(count).ready_after("3s").exit_after("1s");
            drop(web.ready().await);
            let budget = namespace.budget("web");
            let budget = match (min_available, max_unavailable) {
                (Some(count), _) => budget.min_available(count),
                (None, Some(count)) => budget.max_unavailable(count),
                (None, None) => budget,
            };
            drop(budget.ready().await);
            namespace.ready_endpoints("web", replicas).await;
        }
    }
    old
}
