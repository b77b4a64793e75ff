//! What is compared with `kubectl drain` on ordinary pods: a node full of them, ten replicas under a budget, and one replica
//! that its budget never lets go.

use std::time::Duration;

use e2e::{ControlPlane, EndpointRecorder, Invocation, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};

use crate::figures::{Figures, head, row};
use crate::memory::Peak;

/// A way to empty the node.
#[derive(Debug, Clone, Copy)]
struct Tool {
    name: &'static str,
    is_kubectls: bool,
    flags: &'static [&'static str],
}

/// What is on the node.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// So many pods without a controller, which nobody replaces: what is measured is how fast they leave.
    Bare(usize),
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
    requests: usize,
    fewest: Option<usize>,
    memory: Option<u64>,
}

const fn kubectl(flags: &'static [&'static str]) -> Tool {
    Tool { name: "kubectl drain", is_kubectls: true, flags }
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        title: "250 pods without a controller, each ends within 1 s; no handover",
        load: Load::Bare(250),
        tools: &[
            kubectl(&["--force"]),
            Tool { name: "safedrain --strategy=evict", is_kubectls: false, flags: &["--force", "--strategy=evict"] },
        ],
    },
    Scenario {
        title: "10 replicas, budget maxUnavailable 1, Ready after 3 s, each ends within 1 s",
        load: Load::Deployment { replicas: 10, min_available: None, max_unavailable: Some(1) },
        tools: &[
            kubectl(&[]),
            Tool { name: "safedrain, all at once", is_kubectls: false, flags: &["--max-surge=100%", "--settle=0s"] },
            Tool { name: "safedrain", is_kubectls: false, flags: &[] },
        ],
    },
    Scenario {
        title: "1 replica, budget minAvailable 1, Ready after 3 s, ends within 1 s (kubectl drain never does)",
        load: Load::Deployment { replicas: 1, min_available: Some(1), max_unavailable: None },
        tools: &[Tool { name: "safedrain --settle=0s", is_kubectls: false, flags: &["--settle=0s"] }],
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
        print(&runs);
    }
    Ok(())
}

fn print(runs: &[Vec<Taken>]) {
    let line = |name: &str, decimals: usize, figures: &dyn Fn(&[Taken]) -> Figures| {
        println!("{}", row(name, decimals, &runs.iter().map(|runs| figures(runs)).collect::<Vec<_>>()));
    };
    line("seconds", 2, &|runs| Figures::seconds(runs.iter().map(|run| run.elapsed)));
    if runs.iter().flatten().any(|run| run.fewest.is_some()) {
        line("fewest ready endpoints", 0, &|runs| Figures::counts(runs.iter().filter_map(|run| run.fewest)));
    }
    line("requests, all", 0, &|runs| Figures::counts(runs.iter().map(|run| run.requests)));
    line("peak memory, MB", 1, &|runs| Figures::megabytes(runs.iter().map(|run| run.memory)));
    let median = |runs: &Vec<Taken>| Figures::seconds(runs.iter().map(|run| run.elapsed)).median();
    if let Some((first, others)) = runs.split_first() {
        for other in others {
            println!("  ratio to kubectl drain: {:.3}", median(other) / median(first));
        }
    }
}

async fn measure(control_plane: &ControlPlane, tool: Tool, load: Load) -> Result<Taken, String> {
    let namespace = Namespace::fresh(control_plane, "bench-pods").await;
    let old = fill(&namespace, load).await;
    drop(namespace.node("new").create().await);
    let mut recorder = match load {
        Load::Bare(_) => None,
        Load::Deployment { .. } => Some(EndpointRecorder::start(&namespace).await),
    };
    let already = namespace.audit().await.events.len();
    let mut peak = Peak::of(if tool.is_kubectls { "kubectl" } else { "kubectl-safedrain" });
    let running = command(&namespace, tool, &old).spawn();
    let pid = running.pid();
    let run = tokio::select! {
        run = running.wait() => run,
        never = peak.follow(pid) => match never {},
    };
    if run.code() != 0 {
        return Err(run.to_string());
    }
    let requests = namespace.audit().await.events.len().saturating_sub(already);
    if let Some(recorder) = &mut recorder {
        recorder.stop().await;
    }
    let pods = namespace.api::<Pod>();
    let deleted = namespace.api::<k8s_openapi::api::apps::v1::Deployment>();
    drop(deleted.delete_collection(&DeleteParams::default(), &ListParams::default()).await);
    drop(pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await);
    namespace.until::<Pod>("", "all pods are gone", <[Pod]>::is_empty).await;
    let fewest = recorder.map(|recorder| recorder.fewest_ready("web"));
    Ok(Taken { elapsed: run.elapsed, requests, fewest, memory: peak.bytes() })
}

fn command(namespace: &Namespace, tool: Tool, node: &str) -> Invocation {
    let command = if tool.is_kubectls {
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
        Load::Bare(count) => {
            for number in 0..count {
                drop(namespace.pod(&format!("pod-{number}")).on_node(&old).exit_after("1s").create().await);
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
