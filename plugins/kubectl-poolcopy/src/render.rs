//! What is shown: the plan, the list, the proof.

use jiff::Timestamp;
use kubectl_common::connect::ClusterIdentity;
use kubectl_common::flags::OutputFormat;
use kubectl_common::report::{Cell, Output, Table, Tone};
use node_pools::copy_plan::{CopyPlan, Fidelity};
use node_pools::finding::{Finding, Told};
use node_pools::pool::Pool;
use node_pools::step::Step;
use serde_json::Value;

use crate::document::{self, PlanDocument, PoolRow};
use crate::session::now;

/// Where our own mark is, in a document.
const MARK: &str = "/metadata/annotations/handover~1copy";
/// The most characters of a value on a line.
const LONGEST_VALUE: usize = 40;

/// The plan of a copy.
pub(crate) fn copy_plan(cluster: &ClusterIdentity, pool: &Pool, plan: &CopyPlan) -> String {
    let size = match plan.size {
        Some(1) => ", with 1 node".to_owned(),
        Some(size) => format!(", with {size} nodes"),
        None => String::new(),
    };
    let mut lines = vec![cluster.to_string()];
    lines.push(format!("{} ({}) is copied as {}{size}.", pool.title(), pool.description, plan.target));
    if plan.steps.is_empty() {
        let told = if plan.documents.is_empty() {
            "The nodes that are there have been given everything; others are waited for."
        } else {
            "The copy has been made already; its nodes are waited for and it is compared."
        };
        lines.push(told.to_owned());
    } else {
        lines.push(String::new());
        lines.extend(plan.steps.iter().map(|step| format!("  {step}")));
    }
    if !plan.afterwards.is_empty() {
        lines.push("and when its nodes are ready:".to_owned());
        lines.extend(plan.afterwards.iter().map(|step| format!("  {step}")));
    }
    if !plan.documents.is_empty() {
        lines.push(String::new());
        lines.push("Everything is copied as it is, but for:".to_owned());
        lines.extend(changes(plan));
    }
    lines.join("\n")
}

/// A line for each change, under the document that it is made to.
fn changes(plan: &CopyPlan) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = "";
    for change in plan.changes() {
        if change.document != last {
            lines.push(format!("  {}", change.document));
            last = &change.document;
        }
        let what = match (&change.from, &change.to) {
            (Value::Null, _) if change.path == MARK => "added".to_owned(),
            (Value::Null, to) => format!("added: {}", value(to)),
            (from, Value::Null) => format!("left out: {}", value(from)),
            (from, to) => format!("{} → {}", value(from), value(to)),
        };
        lines.push(format!("    {}  {} ({})", change.path, what, change.why));
    }
    lines
}

fn value(value: &Value) -> String {
    // As JSON, in which a text cannot break the line.
    let text = value.to_string();
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    let start: String = text.chars().take(LONGEST_VALUE - 1).collect();
    format!("{start}…")
}

/// What was found: warnings, and what one should only know.
pub(crate) fn findings(output: &Output, findings: &[Finding]) {
    for finding in findings {
        match &finding.remedy {
            Some(remedy) => output.warning(&format!("{} ({remedy})", finding.message)),
            None => output.note(&format!("Note: {}", finding.message)),
        }
    }
}

/// A plan that is only steps, as a dry run shows it.
pub(crate) fn steps(
    output: &Output,
    format: OutputFormat,
    cluster: &ClusterIdentity,
    pool: &Pool,
    steps: &[Step],
    document: &PlanDocument<'_>,
) {
    if format.is_machine_readable() {
        document::print(output, format, "planReady", now(), document);
        return;
    }
    let mut lines = vec![cluster.to_string(), format!("{} ({})", pool.title(), pool.description)];
    if steps.is_empty() {
        lines.push("  nothing to do".to_owned());
    }
    lines.extend(steps.iter().map(|step| format!("  {step}")));
    output.result_line(&lines.join("\n"));
}

/// What a comparison came to, for a person.
pub(crate) fn proof(plan: &CopyPlan, fidelity: &Fidelity, nodes: usize) -> String {
    let declared = plan.changes().count();
    let has = match plan.size {
        Some(_) => format!("has {nodes} ready nodes"),
        None => "makes nodes when pods ask for them".to_owned(),
    };
    if plan.documents.is_empty() {
        return format!(
            "{} {has}, each as large as the old ones, with the labels and taints that all of them have.",
            plan.target
        );
    }
    let mut lines =
        vec![format!("{} {has}, and is identical to its source but for the {declared} declared changes.", plan.target)];
    lines.extend(
        fidelity
            .differences
            .iter()
            .map(|one| format!("  the server added to {}: {}", one.document, Told(&one.difference))),
    );
    lines.join("\n")
}

/// What is lost or changed, on one line.
pub(crate) fn infidelities(fidelity: &Fidelity) -> String {
    let lost = fidelity.differences.iter().filter(|one| one.is_loss);
    lost.map(|one| format!("{} {}", one.document, Told(&one.difference))).collect::<Vec<_>>().join("; ")
}

/// The table of `--list`.
pub(crate) fn pools(rows: &[PoolRow], wide: bool, now: Timestamp, width: Option<u16>) -> String {
    if rows.is_empty() {
        return "no pools were found".to_owned();
    }
    let mut headers = vec!["Name", "namespace", "provider", "nodes", "ready", "version", "zones", "age"];
    if wide {
        headers.extend(["each node", "taints", "scaled by", "copy of"]);
    }
    headers.push("state");
    let mut table = Table::new(headers);
    for row in rows {
        let nodes = row.size.map_or_else(|| row.nodes.to_string(), |size| format!("{}/{size}", row.nodes));
        let tone = if row.ready < row.nodes { Tone::Warning } else { Tone::Plain };
        let mut cells: Vec<Cell> = vec![
            row.name.clone().into(),
            row.namespace.clone().unwrap_or_default().into(),
            row.provider.clone().into(),
            nodes.into(),
            Cell::new(row.ready.to_string(), tone),
            row.versions.join(",").into(),
            row.zones.join(",").into(),
            row.oldest.map(|oldest| age(oldest, now)).unwrap_or_default().into(),
        ];
        if wide {
            cells.extend([
                row.capacity.clone().into(),
                row.taints.join(",").into(),
                row.scaled_by.join(",").into(),
                row.copy_of.clone().unwrap_or_default().into(),
            ]);
        }
        cells.push(state(row));
        table.row(cells);
    }
    table.render(width)
}

fn state(row: &PoolRow) -> Cell {
    if let Some(trouble) = row.troubles.first() {
        return Cell::new(trouble.message.clone(), if trouble.is_about_size { Tone::Warning } else { Tone::Bad });
    }
    if row.frozen {
        return Cell::new("frozen", Tone::Warning);
    }
    match &row.copy_of {
        Some(source) => Cell::new(format!("copy of {source}"), Tone::Plain),
        None => Cell::new("ok", Tone::Good),
    }
}

/// As kubectl prints ages, roughly: the largest unit.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_by_its_largest_unit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, expected) in [(-5, "0s"), (90, "90s"), (120, "2m"), (7300, "2h"), (200_000, "2d")] {
            assert_eq!(age(at(0), at(seconds)), expected);
        }
    }

    #[test]
    fn a_value_is_cut_where_a_table_would_burst() {
        assert_eq!(value(&Value::from("a\nb")), "\"a\\nb\"");
        assert_eq!(value(&Value::from("x".repeat(50))).chars().count(), LONGEST_VALUE);
        assert_eq!(value(&serde_json::json!({ "a": 1 })), "{\"a\":1}");
    }
}
