//! The plan as tables: what moves first, then what stays, then what stands in the way, then one line of verdict.

use cluster_model::snapshot::ClusterSnapshot;
use evacuation::guests::{Moves, is_guests_pod};
use evacuation::plan::{Action, DrainPlan, Fits, Method, NodePlan, PodPlan, RefusalKind, RefusedPod, Verdict};
use kubectl_common::connect::ClusterIdentity;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Cell, Table, Tone};

use super::bystanders::Bystanders;
use super::capacity::capacity_line;
use super::notes::{Notes, at_most, listed};
use super::pace;
use super::vms;
use crate::failure::count;

/// What the words of a plan depend on besides the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    /// Which cluster it is.
    pub(crate) identity: &'a ClusterIdentity,
    /// What the plan was made from.
    pub(crate) cluster: &'a ClusterSnapshot,
    /// What leaves the nodes.
    pub(crate) moves: Moves,
    /// A table, narrow or wide.
    pub(crate) format: OutputFormat,
    /// The terminal's width; `None` does not wrap.
    pub(crate) width: Option<u16>,
}

/// Draws a plan.
pub(crate) fn plan_text(plan: &DrainPlan, page: &Page<'_>) -> String {
    let mut sections = vec![page.identity.to_string()];
    sections.extend(service_table(plan, page.width));
    for node in &plan.nodes {
        sections.extend(node_sections(node, plan, page));
    }
    sections.extend(budget_table(plan, page));
    sections.extend(plan.capacity.as_ref().and_then(capacity_line));
    if !plan.refusals.is_empty() {
        sections.push(plan.refusals.iter().map(refusal_line).collect::<Vec<_>>().join("\n"));
    }
    sections.push(verdict_line(plan, page.moves));
    sections.join("\n\n")
}

/// What stands in the way, and what helps: a flag is passed, any other remedy is run.
pub(crate) fn refusal_line(refusal: &RefusedPod) -> String {
    let RefusedPod { pod, message, remedy, .. } = refusal;
    // The reason of a virtual machine is a sentence of its own.
    let subject = match refusal.kind {
        RefusalKind::VirtualMachine => format!("virtual machine {}/{}:", pod.namespace, pod.name),
        RefusalKind::StrayLauncher
        | RefusalKind::FitsNowhere
        | RefusalKind::CannotSurge
        | RefusalKind::ManyBudgets
        | RefusalKind::BudgetNeverAllows
        | RefusalKind::Kubectl(_) => format!("pod {pod}"),
    };
    let verb = if remedy.starts_with("--") { "pass" } else { "run" };
    format!("refused: {subject} {message} ({verb} {remedy})")
}

/// A node: its virtual machines, which go first, then its pods.
fn node_sections(node: &NodePlan, plan: &DrainPlan, page: &Page<'_>) -> Vec<String> {
    let state = if node.cordoned { "cordoned already" } else { "to be cordoned" };
    let title = format!("node {}, {state}", node.name);
    let guests = vms::section(&node.name, plan, page.cluster.virtualization(), page.format, page.width);
    let rest = match page.moves {
        Moves::Everything => pod_lines(node, page),
        Moves::GuestsOnly => {
            let others = Bystanders::on(&node.name, page.cluster);
            let guestless = guests.is_none().then(|| "  no virtual machine is on it".to_owned());
            guestless.into_iter().chain(vms::others_line(others.count(), &others.named())).collect()
        }
    };
    match guests {
        None => vec![std::iter::once(title).chain(rest).collect::<Vec<_>>().join("\n")],
        Some(guests) => {
            let rest = (!rest.is_empty()).then(|| rest.join("\n"));
            std::iter::once(format!("{title}\n{guests}")).chain(rest).collect()
        }
    }
}

/// A node's pods, worst first, and below them why they move as they do: said once for all pods that share a reason.
fn pod_lines(node: &NodePlan, page: &Page<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pods: Vec<_> = node.pods.iter().collect();
    pods.sort_by_key(|pod| urgency(pod));
    let (shown, left): (Vec<&PodPlan>, Vec<&PodPlan>) =
        pods.into_iter().partition(|pod| pod.action != Action::Leave || page.format == OutputFormat::Wide);
    let mut table = Table::new(["ACTION", "GAP", "FITS", "POD", "OWNER"]);
    let mut notes = Notes::default();
    for alike in folded(&shown, page.format) {
        let Some(pod) = alike.first() else { continue };
        let owner = pod.owner.as_ref().map(|owner| format!("{}/{}", owner.kind, owner.name));
        let names: Vec<_> = alike.iter().map(|pod| pod.pod.to_string()).collect();
        table.row([
            action_cell(pod),
            Cell::from(gap(pod)),
            fits_cell(pod),
            Cell::from(at_most(1, &names)),
            Cell::from(owner.unwrap_or_else(|| "<none>".to_owned())),
        ]);
        // A refusal is told in full at the end.
        let reasons = || pod.reason.iter().filter(|_| pod.action != Action::Refuse).chain(&pod.warnings);
        for name in &names {
            reasons().for_each(|reason| notes.add(name, reason));
        }
    }
    if !table.is_empty() {
        lines.push(table.render(page.width));
    }
    lines.extend(notes.lines());
    let left: Vec<_> = left.into_iter().filter(|pod| !goes_with_its_guest(pod, page.cluster)).collect();
    let mut remarks = Notes::default();
    for pod in &left {
        pod.warnings.iter().for_each(|warning| remarks.add(&pod.pod.to_string(), warning));
    }
    if !left.is_empty() {
        let stay = if left.len() == 1 { "stays where it is" } else { "stay where they are" };
        let names: Vec<_> = left.iter().map(|pod| pod.pod.to_string()).collect();
        lines.push(format!("  {} {stay}: {}", count(left.len(), "pod"), listed(&names)));
    }
    lines.extend(remarks.lines());
    lines
}

/// Whether a pod is left to KubeVirt, since it lives and dies with a virtual machine.
fn goes_with_its_guest(pod: &PodPlan, cluster: &ClusterSnapshot) -> bool {
    let is_guests = cluster.pod(&pod.pod).is_some_and(|pod| is_guests_pod(pod) && !pod.is_terminal());
    is_guests && cluster.virtualization().is_known()
}

/// Pods of one workload that are told alike, together; with `-o wide` each by itself.
fn folded<'a>(pods: &[&'a PodPlan], format: OutputFormat) -> Vec<Vec<&'a PodPlan>> {
    let is_alike = |one: &PodPlan, other: &PodPlan| {
        one.owner.is_some()
            && (&one.owner, &one.pod.namespace) == (&other.owner, &other.pod.namespace)
            && (one.action, one.method, one.expected_gap_seconds)
                == (other.action, other.method, other.expected_gap_seconds)
            && one.forecast.fits == other.forecast.fits
            && (&one.reason, &one.warnings) == (&other.reason, &other.warnings)
    };
    let mut groups: Vec<Vec<&PodPlan>> = Vec::new();
    for pod in pods {
        let known = groups.iter_mut().find(|group| group.first().is_some_and(|first| is_alike(first, pod)));
        match known.filter(|_| format != OutputFormat::Wide) {
            Some(group) => group.push(pod),
            None => groups.push(vec![pod]),
        }
    }
    groups
}

fn service_table(plan: &DrainPlan, width: Option<u16>) -> Option<String> {
    let has_routes = plan.services.iter().any(|service| !service.routes.is_empty());
    let headings = ["SERVICE", "READY NOW", "FEWEST", "REACHED BY"];
    let mut table = Table::new(headings.into_iter().take(if has_routes { 4 } else { 3 }));

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
            Cell::from(at_most(3, &service.routes)),
        ]);
    }
    (!table.is_empty()).then(|| table.render(width))
}

/// The budgets that make pods wait for each other; with `-o wide` all of them.
fn budget_table(plan: &DrainPlan, page: &Page<'_>) -> Option<String> {
    let mut table = Table::new(["BUDGET", "PODS", "AT A TIME", "TURNS"]);
    let is_wide = page.format == OutputFormat::Wide;
    for budget in plan.budgets.iter().filter(|budget| is_wide || budget.turns.is_none_or(|turns| turns > 1)) {
        let turns = match budget.turns {
            Some(0) => Cell::from("handed over"),
            Some(turns) => Cell::from(turns.to_string()),
            None => Cell::new("none now", Tone::Warning),
        };
        table.row([
            Cell::from(format!("{}/{}", budget.namespace, budget.name)),
            Cell::from(budget.pods.to_string()),
            Cell::from(budget.allowed_now.to_string()),
            turns,
        ]);
    }
    (!table.is_empty()).then(|| table.render(page.width))
}

fn urgency(pod: &PodPlan) -> (u8, bool) {
    let rank = match pod.action {
        Action::Refuse => 0,
        Action::Evict => 1,
        Action::Wait => 2,
        Action::Handover => 3,
        Action::Leave => 4,
    };
    (rank, matches!(pod.forecast.fits, Fits::Yes))
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

fn fits_cell(pod: &PodPlan) -> Cell {
    match (pod.action, pod.forecast.fits) {
        (Action::Wait | Action::Leave, _) => Cell::from("-"),
        (_, Fits::Yes) => Cell::new("yes", Tone::Good),
        (_, Fits::Depends) => Cell::new("depends", Tone::Warning),
        (_, Fits::Preempting) => Cell::new("preempting", Tone::Warning),
        (_, Fits::NeedsScaleUp) => Cell::new("scale-up", Tone::Warning),
        (_, Fits::No) => Cell::new("no", Tone::Bad),
        (_, Fits::Unknown) if pod.is_lost || pod.action == Action::Refuse => Cell::from("-"),
        (_, Fits::Unknown) => Cell::new("unknown", Tone::Quiet),
    }
}

fn gap(pod: &PodPlan) -> String {
    match (pod.action, pod.expected_gap_seconds) {
        (Action::Handover, _) => "none".to_owned(),
        (Action::Evict, Some(0)) => "none".to_owned(),
        (Action::Evict, Some(seconds)) => format!("<{seconds}s"),
        (Action::Evict, None) => "unknown".to_owned(),
        (Action::Wait | Action::Leave | Action::Refuse, _) => "-".to_owned(),
    }
}

fn verdict_line(plan: &DrainPlan, moves: Moves) -> String {
    let nodes = count(plan.nodes.len(), "node");
    match plan.verdict() {
        Verdict::Refused => format!("Refused: {} in the way of draining {nodes}.", obstacles(plan)),
        Verdict::Ready => {
            let moving = moving(plan, moves, "evicted, no Service loses a ready endpoint");
            format!("Ready: {nodes}, {moving}.{}", duration(plan, moves))
        }
        Verdict::ReadyWithGaps => {
            let moving = moving(plan, moves, "evicted before a replacement is there");
            format!("Ready, with gaps: {nodes}, {moving}.{}", duration(plan, moves))
        }
    }
}

/// How long it may take, by how long pods of the same workloads took.
fn duration(plan: &DrainPlan, moves: Moves) -> String {
    let is_for_pods = moves == Moves::Everything && plan.vms.is_empty();
    let estimate = plan.estimate.filter(|estimate| is_for_pods && estimate.high > 0);
    estimate.map(|estimate| format!(" It may take {}.", pace::range(estimate))).unwrap_or_default()
}

/// What stands in the way: `2 virtual machines and 1 pod`.
fn obstacles(plan: &DrainPlan) -> String {
    let is_guest = |refusal: &&RefusedPod| refusal.kind == RefusalKind::VirtualMachine;
    let guests = plan.refusals.iter().filter(is_guest).count();
    let pods = plan.refusals.len() - guests;
    let counted = [(guests, "virtual machine"), (pods, "pod")].into_iter().filter(|(number, _)| *number > 0);
    counted.map(|(number, noun)| count(number, noun)).collect::<Vec<_>>().join(" and ")
}

/// What moves, in clauses; `evicted_words` are said of the pods that are not handed over.
fn moving(plan: &DrainPlan, moves: Moves, evicted_words: &str) -> String {
    let number = |action| plan.pods().filter(|(_, pod)| pod.action == action).count();
    let (handed, evicted) = (number(Action::Handover), number(Action::Evict));
    let mut clauses = vms::outcomes(plan);
    match moves {
        Moves::GuestsOnly if clauses.is_empty() => clauses.push("no virtual machine has to move".to_owned()),
        Moves::GuestsOnly => {}
        Moves::Everything if handed + evicted == 0 => clauses.push("no pod has to move".to_owned()),
        Moves::Everything => {
            clauses.push(format!("{} handed over, {evicted} {evicted_words}", count(handed, "pod")));
        }
    }
    clauses.join(", ")
}
