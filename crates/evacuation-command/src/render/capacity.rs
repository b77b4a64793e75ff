//! Whether there is room for all of a plan's pods, in a line or two.

use evacuation::plan::{Capacity, Fits, Missing, MoreNodes};

use crate::failure::count;

/// Says it; `None`: no pod seeks a place.
pub(super) fn capacity_line(capacity: &Capacity) -> Option<String> {
    let all = count(capacity.pods, "pod");
    let line = match capacity.fits {
        _ if capacity.pods == 0 => return None,
        Fits::Yes => match &capacity.onto {
            Some(_) => format!("for {all}, in whatever order they come."),
            None => format!("the other nodes have room for {all}, in whatever order they come."),
        },
        Fits::No => format!("there is none for {}", missing(capacity)),
        Fits::NeedsScaleUp => format!("not without new nodes for {}", missing(capacity)),
        Fits::Depends if capacity.missing.is_empty() => {
            format!("for {all} in most orders, not in every one: some may have to wait.")
        }
        Fits::Depends => {
            format!("it depends on where the pods go; in the best order tried there was none for {}", missing(capacity))
        }
        Fits::Preempting => "only if pods of lower priority go.".to_owned(),
        Fits::Unknown => format!("not known for all of {all}."),
    };
    let place = capacity.onto.as_ref().map(|pool| format!(" on {pool}")).unwrap_or_default();
    Some(format!("Room{place}: {line}"))
}

/// What is missing, and what would help: `2 pods: short of 3 cpu, 4 GiB in zone b; 1 more node like n1 would hold all.`
fn missing(capacity: &Capacity) -> String {
    let pods: usize = capacity.missing.iter().map(|one| one.pods).sum();
    let asks = |missing: &&Missing| missing.cpu > 0 || missing.memory > 0;
    let sums: Vec<_> = capacity.missing.iter().filter(asks).map(sum).collect();
    let help = match &capacity.nodes {
        Some(MoreNodes { count: number, like }) => format!("; {} like {like} would hold all", count_more(*number)),
        None => "; more nodes like theirs would not help".to_owned(),
    };
    let takes = if pods == 1 { "it takes" } else { "they take" };
    let pods = if pods == 0 { "all of them".to_owned() } else { count(pods, "pod") };
    let sums = if sums.is_empty() { String::new() } else { format!(": {takes} {}", sums.join(" and ")) };
    format!("{pods}{sums}{help}.")
}

fn count_more(number: usize) -> String {
    if number == 1 { "1 more node".to_owned() } else { format!("{number} more nodes") }
}

fn sum(missing: &Missing) -> String {
    let zone = missing.zone.as_ref().map(|zone| format!(" in zone {zone}")).unwrap_or_default();
    format!("{} cpu, {}{zone}", cores(missing.cpu), bytes(missing.memory))
}

/// Thousandths of a core: `2`, `1.5`, `0.25`.
fn cores(thousandths: i64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes, to a tenth of the largest unit that fits.
fn bytes(amount: i64) -> String {
    const UNITS: [(&str, i64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fitting = UNITS.iter().find(|(_, size)| amount >= *size);
    let Some((unit, size)) = fitting else { return format!("{amount} B") };
    let tenths = (amount + size / 20) / (size / 10);
    let text = format!("{}.{}", tenths / 10, tenths % 10);
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use cluster_model::identity::NodeName;

    use super::*;

    #[test]
    fn room_is_told_in_a_line() {
        let missing =
            |zone: Option<&str>| Missing { zone: zone.map(str::to_owned), pods: 2, cpu: 1500, memory: 3 << 30 };
        let capacity = |fits, missing: Vec<Missing>, nodes: Option<usize>| Capacity {
            fits,
            onto: None,
            pods: 5,
            missing,
            nodes: nodes.map(|count| MoreNodes { count, like: NodeName::from("n1") }),
        };
        let onto = |capacity| Capacity { onto: Some("pool=new".to_owned()), ..capacity };
        let table = [
            (onto(capacity(Fits::Yes, vec![], None)), "Room on pool=new: for 5 pods, in whatever order they come."),
            (
                onto(capacity(Fits::No, vec![missing(None)], Some(2))),
                "Room on pool=new: there is none for 2 pods: they take 1.5 cpu, 3 GiB; 2 more nodes like n1 would hold all.",
            ),
            (
                capacity(Fits::Yes, vec![], None),
                "Room: the other nodes have room for 5 pods, in whatever order they come.",
            ),
            (
                capacity(Fits::No, vec![missing(Some("b"))], Some(1)),
                "Room: there is none for 2 pods: they take 1.5 cpu, 3 GiB in zone b; 1 more node like n1 would hold all.",
            ),
            (
                capacity(Fits::No, vec![missing(None)], None),
                "Room: there is none for 2 pods: they take 1.5 cpu, 3 GiB; more nodes like theirs would not help.",
            ),
            (
                capacity(Fits::Depends, vec![], None),
                "Room: for 5 pods in most orders, not in every one: some may have to wait.",
            ),
        ];
        for (capacity, expected) in table {
            assert_eq!(capacity_line(&capacity).unwrap(), expected);
        }
        assert_eq!([cores(2000), cores(50), bytes(100), bytes(1536 << 10)], ["2", "0.05", "100 B", "1.5 MiB"]);
    }
}
