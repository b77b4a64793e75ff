//! The plan as a table: what moves first, then what stays, then what stands in the way, then one line of verdict.

use evacuation::plan::{Action, DrainPlan, Method, NodePlan, PodPlan, RefusedPod, Verdict};
use kubectl_common::connect::ClusterIdentity;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Cell, Table, Tone};

use crate::failure::count;

/// How many pods a note names before it only counts them.
const NAMED: usize = 3;

/// Draws a plan. `width` is the terminal's; `None` does not wrap.
pub(crate) fn plan_text(
    plan: &DrainPlan,
    cluster: &ClusterIdentity,
    format: OutputFormat,
    width: Option<u16>,
) -> String {
    let mut sections = vec![cluster.to_string()];
    for node in &plan.nodes {
        sections.push(node_section(node, format, width));
    }
    sections.extend(service_table(plan, width));
    let refused =
        |refusal: &RefusedPod| format!("refused: pod {} {} (pass {})", refusal.pod, refusal.message, refusal.remedy);
    if !plan.refusals.is_empty() {
        sections.push(plan.refusals.iter().map(refused).collect::<Vec<_>>().join("\n"));
    }
    sections.push(verdict_line(plan));
    sections.join("\n\n")
}

/// A node's pods, worst first, and below them why they move as they do: said once for all pods that share a reason.
fn node_section(node: &NodePlan, format: OutputFormat, width: Option<u16>) -> String {
    let state = if node.cordoned { "cordoned already" } else { "to be cordoned" };
    let mut lines = vec![format!("node {}, {state}", node.name)];
    let mut pods: Vec<_> = node.pods.iter().collect();
    pods.sort_by_key(|pod| urgency(pod));
    let (shown, left): (Vec<&PodPlan>, Vec<&PodPlan>) =
        pods.into_iter().partition(|pod| pod.action != Action::Leave || format == OutputFormat::Wide);
    let mut table = Table::new(["ACTION", "GAP", "POD", "OWNER"]);
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for pod in shown {
        let owner = pod.owner.as_ref().map(|owner| format!("{}/{}", owner.kind, owner.name));
        table.row([
            action_cell(pod),
            Cell::from(gap(pod)),
            Cell::from(pod.pod.to_string()),
            Cell::from(owner.unwrap_or_else(|| "<none>".to_owned())),
        ]);
        // A refusal is told in full at the end.
        let reasons = pod.reason.iter().filter(|_| pod.action != Action::Refuse).chain(&pod.warnings);
        for reason in reasons {
            match notes.iter_mut().find(|(known, _)| known == reason) {
                Some((_, names)) => names.push(pod.pod.to_string()),
                None => notes.push((reason.clone(), vec![pod.pod.to_string()])),
            }
        }
    }
    if !table.is_empty() {
        lines.push(table.render(width));
    }
    lines.extend(notes.iter().map(|(reason, names)| format!("  {}: {reason}", listed(names))));
    if !left.is_empty() {
        let stay = if left.len() == 1 { "stays where it is" } else { "stay where they are" };
        let names: Vec<_> = left.iter().map(|pod| pod.pod.to_string()).collect();
        lines.push(format!("  {} {stay}: {}", count(left.len(), "pod"), listed(&names)));
    }
    lines.join("\n")
}

fn listed(names: &[String]) -> String {
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn service_table(plan: &DrainPlan, width: Option<u16>) -> Option<String> {
    let mut table = Table::new(["SERVICE", "READY NOW", "FEWEST"]);
    for service in &plan.services {
        let tone = match service.ready_worst {
            0 => Tone::Bad,
            worst if worst < service.ready_now => Tone::Warning,
            _ => Tone::Good,
        };
        table.row([
            Cell::from(format!("{}/{}", service.namespace, service.name)),
            Cell::from(service.ready_now.to_string()),
            Cell::new(service.ready_worst.to_string(), tone),
        ]);
    }
    (!table.is_empty()).then(|| table.render(width))
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
