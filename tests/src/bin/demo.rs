//! The demonstration behind `scripts/demo`: the same node of the same shop, drained by `kubectl drain` and by
//! `kubectl safedrain`, on a control plane of its own, with the Service's ready endpoints recorded throughout.

#![expect(clippy::print_stdout, reason = "a demonstration is there to be read")]

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin, Run};

/// How long `kubectl drain` may try: for ever would be the truth, but nobody wants to watch that.
const PATIENCE: &str = "--timeout=15s";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    title("A control plane starts: etcd, kube-apiserver, controllers, scheduler, kwok as the kubelets");
    let ns = Namespace::fresh(&ControlPlane::start(), "demo").await;
    let old = ns.node("old").create().await;
    ns.service("shop").create().await;
    ns.deployment("shop").ready_after("3s").exit_after("1s").ready().await;
    ns.budget("shop").min_available(1).ready().await;
    ns.ready_endpoints("shop", 1).await;
    let new = ns.node("new").create().await;
    println!("Deployment shop: 1 replica on node {old}, start 3 s, exit 1 s; node {new} is empty.");
    println!("PodDisruptionBudget shop: minAvailable 1.");

    title(&format!("kubectl drain {old} {PATIENCE}"));
    let mut recorder = EndpointRecorder::start(&ns).await;
    let drain = Kubectl::run(&ns, ["drain", &old, "--ignore-daemonsets", PATIENCE]).await;
    recorder.stop().await;
    show(&drain);
    let drained_by_kubectl = Figures::of(&drain, &recorder);
    let uncordon = Kubectl::run(&ns, ["uncordon", &old]).await.expect_code(0);
    show(&uncordon);

    title(&format!("kubectl safedrain {old} --dry-run=client"));
    show(&Plugin::safedrain(&ns).args([&old, "--dry-run=client"]).run().await.expect_code(0));

    title(&format!("kubectl safedrain {old}"));
    let mut recorder = EndpointRecorder::start(&ns).await;
    let safedrain = Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);
    recorder.stop().await;
    show(&safedrain);
    let drained_by_us = Figures::of(&safedrain, &recorder);

    title("Side by side");
    println!("                    seconds   exit   ready endpoints of Service shop   fewest");
    drained_by_kubectl.print("kubectl drain");
    drained_by_us.print("kubectl safedrain");
    println!("\n(kubectl drain was stopped after 15 s; without a timeout it tries for ever.)");
}

/// What is compared.
struct Figures {
    seconds: f64,
    code: i32,
    counts: Vec<usize>,
    fewest: usize,
}

impl Figures {
    fn of(run: &Run, recorder: &EndpointRecorder) -> Self {
        Self {
            seconds: run.elapsed.as_secs_f64(),
            code: run.code(),
            counts: recorder.counts("shop"),
            fewest: recorder.fewest_ready("shop"),
        }
    }

    fn print(&self, name: &str) {
        let counts = self.counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ");
        println!("{name:<18} {:>8.1} {:>6}   {counts:<31} {:>8}", self.seconds, self.code, self.fewest);
    }
}

fn title(text: &str) {
    println!("\n── {text}\n");
}

fn show(run: &Run) {
    print!("{}{}", run.stderr, run.stdout);
}
