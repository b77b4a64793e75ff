//! What is compared: evacuations whose migrations wait for the two slots that KubeVirt gives a node.

use std::time::Duration;

use e2e::ControlPlane;

use crate::evacuation::{Evacuation, SLOTS, Tool};
use crate::figures::{Figures, head, row};

/// A node of virtual machines.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    machines: usize,
    /// How long the copy of each takes, in milliseconds.
    copied: u64,
    /// Why this one is measured.
    why: &'static str,
    tools: &'static [Tool],
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        machines: 4,
        copied: 5000,
        why: "the size at which KubeVirt itself was watched: `kubectl drain` took 15.3 s",
        tools: &[Tool::Drain, Tool::Vmievict],
    },
    Scenario {
        machines: 4,
        copied: 6200,
        why: "copied so long that both waves end when KubeVirt's own did, at +6.7 s and +13.5 s",
        tools: &[Tool::Drain, Tool::Vmievict],
    },
    Scenario {
        machines: 20,
        copied: 3000,
        why: "a long queue: the limits allow no less than 30 s",
        tools: &[Tool::Vmievict],
    },
];

/// Runs every scenario `repeat` times with each of its tools, which take turns, and prints the figures.
pub(crate) async fn measure_all(control_plane: &ControlPlane, repeat: u32) -> Result<(), String> {
    for scenario in SCENARIOS {
        scenario.measure(control_plane, repeat).await?;
    }
    Ok(())
}

impl Scenario {
    async fn measure(self, control_plane: &ControlPlane, repeat: u32) -> Result<(), String> {
        let Self { machines, copied, why, tools } = self;
        let duration = Duration::from_millis(copied);
        println!("\n{machines} virtual machines, each copied for {duration:?}, {SLOTS} at a time: {why}");
        let mut runs: Vec<Vec<Evacuation>> = tools.iter().map(|_| Vec::new()).collect();
        for _ in 0..repeat {
            for (tool, runs) in tools.iter().zip(&mut runs) {
                runs.push(Evacuation::measure(control_plane, *tool, machines, &format!("{copied}ms")).await?);
            }
        }
        println!("{}", head(&tools.iter().map(|tool| tool.name()).collect::<Vec<_>>()));
        self.print(&runs);
        Ok(())
    }

    fn print(self, runs: &[Vec<Evacuation>]) {
        let line = |name: &str, decimals: usize, figures: &dyn Fn(&[Evacuation]) -> Figures| {
            let figures: Vec<Figures> = runs.iter().map(|runs| figures(runs)).collect();
            println!("{}", row(name, decimals, &figures));
        };
        let seconds = |name: &str, of: fn(&Evacuation) -> Duration| {
            line(name, 2, &|runs| Figures::seconds(runs.iter().map(of)));
        };
        seconds("seconds", |run| run.elapsed);
        seconds("  until the first migration is there", |run| run.before);
        seconds("  from there to the end of the last migration", |run| run.slots.makespan);
        seconds("  after that", |run| run.after);
        seconds("the migrations' time, spread over the slots", |run| run.slots.bound);
        seconds("slot free, a machine not yet asked: seconds", |run| run.slots.unasked);
        seconds("slot free, a migration waits (KubeVirt's): seconds", |run| run.slots.untaken);
        line("evictions asked for", 0, &|runs| Figures::counts(runs.iter().map(|run| run.evictions)));
        line("requests, all", 0, &|runs| Figures::counts(runs.iter().map(|run| run.requests)));
        line("peak memory, MB", 1, &|runs| Figures::megabytes(runs.iter().map(|run| run.memory)));
        self.print_ratios(runs);
    }

    fn print_ratios(self, runs: &[Vec<Evacuation>]) {
        let median = |tool: Tool, of: fn(&Evacuation) -> Duration| {
            let runs = self.tools.iter().zip(runs).find(|(own, _)| **own == tool).map(|(_, runs)| runs);
            runs.map(|runs| Figures::seconds(runs.iter().map(of)).median())
        };
        let Some(ours) = median(Tool::Vmievict, |run| run.elapsed) else { return };
        if let Some(kubectl) = median(Tool::Drain, |run| run.elapsed) {
            println!("  ratio of {ours:.2} s to kubectl drain: {:.2}", ours / kubectl);
        }
        let copies = u32::try_from(self.machines).unwrap_or(u32::MAX).div_ceil(SLOTS);
        let copies = (Duration::from_millis(self.copied) * copies).as_secs_f64();
        println!("  ratio to the copies alone, {copies:.1} s: {:.3}", ours / copies);
        if let Some(bound) = median(Tool::Vmievict, |run| run.slots.bound) {
            println!("  ratio to the migrations' time in {SLOTS} slots, {bound:.2} s: {:.3}", ours / bound);
        }
        if let Some(makespan) = median(Tool::Vmievict, |run| run.slots.makespan) {
            println!(
                "  ratio to the first migration's begin to the last one's end, {makespan:.2} s: {:.3}",
                ours / makespan
            );
        }
    }
}
