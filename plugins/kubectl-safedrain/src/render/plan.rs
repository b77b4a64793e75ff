//! The plan as a table: what moves first, then what stays, then what stands in the way, then one line of verdict.

use evacuation::plan::{Action, DrainPlan, Method, PodPlan, Verdict};
use kubectl_common::connect::ClusterIdentity;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Cell, Table, Tone};

use crate::failure::count;

/// Draws a plan. `width` is the terminal's; `None` does not wrap.
pub(crate) fn plan_text(
    plan: &DrainPlan,
    cluster: &ClusterIdentity,
    format: OutputFormat,
    width: Option<u16>,
) -> String {
    let mut text = format!("{cluster}\n");
    let mut table = Table::new(["NODE", "POD", "OWNER", "ACTION", "GAP", "WHY"]);
    let wide = format == OutputFormat::Wide;
    let mut left = Vec::new();
    let mut rows: Vec<_> = plan.pods().collect();
    rows.sort_by_key(|(_, pod)| urgency(pod));
    for (node, pod) in rows {
        if pod.action == Action::Leave && !wide {
            left.push(pod);
            continue;
        }
        let owner =
            pod.owner.as_ref().map_or_else(|| "<none>".to_owned(), |owner| format!("{}/{}", owner.kind, owner.name));
        table.row([
            Cell::from(node.to_string()),
            Cell::from(pod.pod.to_string()),
            Cell::from(owner),
            action_cell(pod),
            Cell::from(gap(pod)),
            Cell::from(why(pod)),
        ]);
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.render(width));
        text.push('\n');
    }
    if !left.is_empty() {
        let names: Vec<_> = left.iter().map(|pod| pod.pod.to_string()).collect();
        text.push_str(&format!("\n{} where they are: {}\n", stay(left.len()), names.join(", ")));
    }
    if !plan.services.is_empty() {
        let mut table = Table::new(["SERVICE", "READY NOW", "FEWEST"]);
        for service in &plan.services {
            let tone = if service.ready_worst == 0 {
                Tone::Bad
            } else if service.ready_worst < service.ready_now {
                Tone::Warning
            } else {
                Tone::Good
            };
            table.row([
                Cell::from(format!("{}/{}", service.namespace, service.name)),
                Cell::from(service.ready_now.to_string()),
                Cell::new(service.ready_worst.to_string(), tone),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render(width));
        text.push('\n');
    }
    for refusal in &plan.refusals {
        text.push_str(&format!("\nrefused: pod {} {} (pass {})", refusal.pod, refusal.message, refusal.remedy));
    }
    if !plan.refusals.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("\n{}", verdict_line(plan)));
    text
}

fn stay(number: usize) -> String {
    if number == 1 { "1 pod stays".to_owned() } else { format!("{number} pods stay") }
}

fn urgency(pod: &PodPlan) -> u8 {
    match pod.action {
        Action::Refuse => 0,
        Action::Evict => 1,
        Action::Wait => 2,
        Action::Handover => 3,
        Action::Leave => 4,
    }
}

fn action_cell(pod: &PodPlan) -> Cell {
    match (pod.action, pod.method) {
        (Action::Handover, _) => Cell::new("handover", Tone::Good),
        (Action::Evict, Method::Delete) => Cell::new("delete", Tone::Bad),
        (Action::Evict, _) => Cell::new("evict", Tone::Warning),
        (Action::Wait, _) => Cell::new("wait", Tone::Plain),
        (Action::Leave, _) => Cell::new("leave", Tone::Quiet),
        (Action::Refuse, _) => Cell::new("refused", Tone::Bad),
    }
}

fn gap(pod: &PodPlan) -> String {
    match (pod.action, pod.expected_gap_seconds) {
        (Action::Handover, _) => "none".to_owned(),
        (Action::Evict, Some(0)) => "none".to_owned(),
        (Action::Evict, Some(seconds)) => format!("~{seconds}s"),
        (Action::Evict, None) => "unknown".to_owned(),
        (Action::Wait | Action::Leave | Action::Refuse, _) => "-".to_owned(),
    }
}

fn why(pod: &PodPlan) -> String {
    let reasons = pod.reason.iter().chain(&pod.warnings).cloned().collect::<Vec<_>>();
    if reasons.is_empty() { "-".to_owned() } else { reasons.join("; ") }
}

fn verdict_line(plan: &DrainPlan) -> String {
    let number = |action| plan.pods().filter(|(_, pod)| pod.action == action).count();
    let (handed, evicted) = (number(Action::Handover), number(Action::Evict));
    let nodes = count(plan.nodes.len(), "node");
    match plan.verdict() {
        Verdict::Refused => {
            format!("Refused: {} in the way of draining {nodes}.", count(plan.refusals.len(), "pod"))
        }
        Verdict::Ready if handed + evicted == 0 => format!("Ready: {nodes}, no pod has to move."),
        Verdict::Ready => {
            format!(
                "Ready: {nodes}, {} handed over, {evicted} evicted, no Service loses a ready endpoint.",
                count(handed, "pod")
            )
        }
        Verdict::ReadyWithGaps => {
            format!(
                "Ready, with gaps: {nodes}, {} handed over, {evicted} evicted before a replacement is there.",
                count(handed, "pod")
            )
        }
    }
}
