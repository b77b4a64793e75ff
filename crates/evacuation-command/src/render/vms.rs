//! The virtual machines of a node in the plan: a table, below it why each moves or stays, and what else of KubeVirt's
//! is on the node or on its way to it.

use cluster_model::identity::{NodeName, PodId};
use cluster_model::kubevirt::{
    Action, Cause, Decision, Means, MigrationLimits, Outcome, StrategySource, Virtualization,
};
use evacuation::plan::DrainPlan;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Cell, Table, Tone};

use super::notes::Notes;
use crate::failure::count;

/// The space between two columns.
const GUTTER: usize = 3;

/// Draws the virtual machines of one node; `None` where nothing of KubeVirt's is on it.
pub(super) fn section(
    node: &NodeName,
    plan: &DrainPlan,
    cluster: &Virtualization,
    format: OutputFormat,
    width: Option<u16>,
) -> Option<String> {
    let mut vms: Vec<_> = plan.vms.iter().filter(|vm| home(vm, plan, cluster) == Some(node)).collect();
    vms.sort_by_key(|vm| urgency(vm));
    let mut lines = Vec::new();
    if !vms.is_empty() {
        let mut notes = Notes::default();
        lines.push(table(&vms, format, width, &mut notes));
        lines.extend(slots_line(&vms, cluster.limits()));
        lines.extend(notes.lines());
        lines.extend(staying_line(&vms));
    }
    // One that is in the way is told in full at the end.
    let is_refused = |pod: &PodId| plan.refusals.iter().any(|refusal| refusal.pod == *pod);
    let strays = plan.stray_launchers.iter().filter(|stray| stray.node == *node && !is_refused(&stray.pod));
    lines.extend(strays.map(|stray| format!("  pod {} {}", stray.pod, stray.role)));
    for guest in plan.incoming.iter().filter(|guest| guest.node == *node) {
        let from = guest.from.as_ref().map(|from| format!(" from node {from}")).unwrap_or_default();
        lines.push(format!(
            "  virtual machine {} is just migrating to this node{from}: it is waited for, and moved on",
            guest.vm
        ));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The node of the plan under which a virtual machine is shown: its own, or the one to which its first pod is bound while
/// it names none.
fn home<'a>(vm: &Decision, plan: &'a DrainPlan, cluster: &Virtualization) -> Option<&'a NodeName> {
    let names = || plan.nodes.iter().map(|node| &node.name);
    let own = names().find(|name| vm.node.as_ref() == Some(*name));
    let bound = || names().find(|name| cluster.instances_on(name).any(|instance| *instance.uid() == vm.uid));
    own.or_else(bound).or_else(|| names().next())
}

fn urgency(vm: &Decision) -> u8 {
    match (vm.action, vm.outcome) {
        (Action::Refuse, _) => 0,
        (Action::Stop, Outcome::Lost) => 1,
        (Action::Stop, _) => 2,
        (Action::Restart, _) => 3,
        (Action::Migrate, _) => 4,
        (Action::Leave, _) => 5,
    }
}

/// The table. On a terminal that is too narrow for it the interruptions go into the notes, which say them once for all
/// that share one, and an owner of the same name is told by its kind.
fn table(vms: &[&Decision], format: OutputFormat, width: Option<u16>, notes: &mut Notes) -> String {
    let mut headers = vec!["ACTION", "VM", "OWNER", "STRATEGY"];
    if format == OutputFormat::Wide {
        headers.extend(["LIVE-MIGRATABLE", "POOL", "MEANS"]);
    }
    headers.push("INTERRUPTION");
    let mut rows: Vec<_> = vms.iter().map(|vm| row(vm, format, Shape::Full)).collect();
    let room = width.map_or(usize::MAX, usize::from);
    let is_narrow = columns_width(&headers, &rows) > room;
    if is_narrow {
        headers.pop();
        rows = vms.iter().map(|vm| row(vm, format, Shape::Narrow)).collect();
    }
    let mut table = Table::new(headers);
    for (vm, row) in vms.iter().zip(rows) {
        let name = vm.key().to_string();
        if is_narrow && is_interrupted(vm) {
            notes.add(&name, &format!("interruption: {}", vm.interruption));
        }
        table.row(row.into_iter().enumerate().map(|(column, text)| match column {
            0 => Cell::new(text, tone(vm.action)),
            _ => Cell::from(text),
        }));
        // A refusal is told in full at the end.
        if vm.action != Action::Refuse {
            notes.add(&name, &vm.reason.to_string());
        }
        vm.warnings.iter().for_each(|warning| notes.add(&name, warning));
    }
    table.render(width)
}

/// How much of a row there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Full,
    Narrow,
}

fn row(vm: &Decision, format: OutputFormat, shape: Shape) -> Vec<String> {
    let owner = vm.owner.as_ref().map(|owner| {
        let strategy = owner.run_strategy.as_ref().map(|strategy| format!(" ({})", strategy.as_str()));
        let is_told = shape == Shape::Full || owner.name != vm.name;
        let name = if is_told { format!("/{}", owner.name) } else { String::new() };
        format!("{}{name}{}", owner.kind, strategy.unwrap_or_default())
    });
    let source = match vm.strategy_source {
        StrategySource::Vmi => "",
        StrategySource::Cluster => " (cluster default)",
        StrategySource::Default => " (built-in default)",
    };
    let strategy = format!("{}{source}", vm.eviction_strategy);
    let mut row = vec![action_word(vm.action).to_owned(), vm.key().to_string(), owner.unwrap_or_default(), strategy];
    if format == OutputFormat::Wide {
        let migratable = match vm.live_migratable {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        row.extend([migratable.to_owned(), vm.pool.clone().unwrap_or_default(), means_words(vm.means).to_owned()]);
    }
    if shape == Shape::Full {
        row.push(vm.interruption.clone());
    }
    row
}

/// How wide the table is if nothing is wrapped; an empty cell is drawn as `<none>`.
fn columns_width(headers: &[&str], rows: &[Vec<String>]) -> usize {
    let widest = |(column, header): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count().max("<none>".len()));
        cells.chain([header.len()]).max().unwrap_or_default()
    };
    let columns: usize = headers.iter().enumerate().map(widest).sum();
    columns + GUTTER * headers.len().saturating_sub(1)
}

fn action_word(action: Action) -> &'static str {
    match action {
        Action::Migrate => "migrate",
        Action::Restart => "restart",
        Action::Stop => "stop",
        Action::Leave => "leave",
        Action::Refuse => "refused",
    }
}

fn tone(action: Action) -> Tone {
    match action {
        Action::Migrate => Tone::Good,
        Action::Restart => Tone::Warning,
        Action::Stop | Action::Refuse => Tone::Bad,
        Action::Leave => Tone::Quiet,
    }
}

/// What is sent.
fn means_words(means: Means) -> &'static str {
    match means {
        Means::Evacuate => "eviction, migrates",
        Means::CreateMigration => "migration object",
        Means::Follow => "nothing, followed",
        Means::Mark => "eviction, marks",
        Means::Evict => "eviction, shuts down",
        Means::RestartMachine => "restart request",
        Means::StopMachine => "stop request",
        Means::DeleteInstance => "deletion",
        Means::None => "nothing",
    }
}

/// Whether the guest is away for a while, by this run or by somebody else.
fn is_interrupted(vm: &Decision) -> bool {
    match vm.action {
        Action::Migrate | Action::Restart | Action::Stop => true,
        Action::Leave => is_ending(vm),
        Action::Refuse => false,
    }
}

fn is_ending(vm: &Decision) -> bool {
    matches!(vm.reason.cause, Cause::Ended | Cause::Ending)
}

/// Whether it stays on its node, by the person's word.
fn is_staying(vm: &Decision) -> bool {
    vm.action == Action::Leave && !is_ending(vm)
}

/// How many migrate at a time, where they cannot all at once.
fn slots_line(vms: &[&Decision], limits: MigrationLimits) -> Option<String> {
    let migrating = vms.iter().filter(|vm| vm.action == Action::Migrate).count();
    let MigrationLimits { per_cluster, outbound_per_node } = limits;
    let slots = per_cluster.min(outbound_per_node);
    (migrating > slots).then(|| {
        format!(
            "  {slots} of {migrating} migrate at a time (KubeVirt's limits: {outbound_per_node} out of a node, \
             {per_cluster} in the cluster)"
        )
    })
}

/// Names those that keep the node from being emptied.
fn staying_line(vms: &[&Decision]) -> Option<String> {
    let names: Vec<_> = vms.iter().filter(|vm| is_staying(vm)).map(|vm| vm.key().to_string()).collect();
    let verb = if names.len() == 1 { "stays" } else { "stay" };
    (!names.is_empty()).then(|| {
        let machines = count(names.len(), "virtual machine");
        format!(
            "  {machines} {verb}, so the node is not emptied and the run ends with exit status 4: {}",
            names.join(", ")
        )
    })
}

/// What becomes of the virtual machines, for the verdict: `3 virtual machines migrate`, `1 restarts elsewhere`.
pub(super) fn outcomes(plan: &DrainPlan) -> Vec<String> {
    // (which, the verb for one, the verb for several)
    type Row = (fn(&Decision) -> bool, &'static str, &'static str);
    const ROWS: [Row; 7] = [
        (|vm| vm.action == Action::Migrate, "migrates", "migrate"),
        (|vm| vm.ends_guest() && vm.outcome == Outcome::RestartsElsewhere, "restarts elsewhere", "restart elsewhere"),
        (|vm| vm.ends_guest() && vm.outcome == Outcome::StaysOff, "stays off", "stay off"),
        (|vm| vm.ends_guest() && vm.outcome == Outcome::Lost, "is lost", "are lost"),
        (|vm| vm.ends_guest() && vm.outcome == Outcome::NeedsOther, "waits for its manager", "wait for their managers"),
        (|vm| vm.action == Action::Leave && is_ending(vm), "is shutting down already", "are shutting down already"),
        (is_staying, "stays on its node", "stay on their nodes"),
    ];
    let mut clauses: Vec<String> = Vec::new();
    for (is_meant, one, several) in ROWS {
        let noun = |number| if clauses.is_empty() { count(number, "virtual machine") } else { number.to_string() };
        match plan.vms.iter().filter(|vm| is_meant(vm)).count() {
            0 => {}
            1 => clauses.push(format!("{} {one}", noun(1))),
            number => clauses.push(format!("{} {several}", noun(number))),
        }
    }
    clauses
}

/// The pods that stay while only virtual machines leave.
pub(super) fn others_line(number: usize, named: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("  1 other pod stays on the node: {named}")),
        more => Some(format!("  {} stay on the node: {named}", count(more, "other pod"))),
    }
}

#[cfg(test)]
mod tests;
