//! The plan as a table: what moves first, then what stays, then what stands in the way, then one line of verdict.

use cluster_model::identity::NodeName;
use evacuation::plan::{Action, DrainPlan, Method, PodPlan, RefusedPod, Verdict};
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
    let mut sections = vec![cluster.to_string()];
    let mut rows: Vec<_> = plan.pods().collect();
    rows.sort_by_key(|(_, pod)| urgency(pod));
    let is_shown = |pod: &PodPlan| pod.action != Action::Leave || format == OutputFormat::Wide;
    sections.extend(pod_table(rows.iter().filter(|(_, pod)| is_shown(pod)), width));
    let left: Vec<_> = rows.iter().filter(|(_, pod)| !is_shown(pod)).map(|(_, pod)| pod.pod.to_string()).collect();
    if !left.is_empty() {
        sections.push(format!("{} where they are: {}", stay(left.len()), left.join(", ")));
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

fn pod_table<'a>(rows: impl Iterator<Item = &'a (&'a NodeName, &'a PodPlan)>, width: Option<u16>) -> Option<String> {
    let mut table = Table::new(["NODE", "POD", "OWNER", "ACTION", "GAP", "WHY"]);
    for (node, pod) in rows {
        let owner = pod.owner.as_ref().map(|owner| format!("{}/{}", owner.kind, owner.name));
        table.row([
            Cell::from(node.to_string()),
            Cell::from(pod.pod.to_string()),
            Cell::from(owner.unwrap_or_else(|| "<none>".to_owned())),
            action_cell(pod),
            Cell::from(gap(pod)),
            Cell::from(why(pod)),
        ]);
    }
    (!table.is_empty()).then(|| table.render(width))
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
