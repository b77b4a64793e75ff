//! Names of pools: the next one, whether one may be used, and which was probably meant.

/// How many typing errors a suggestion forgives.
const FORGIVEN: usize = 2;
/// How many suggestions are made.
const SUGGESTED: usize = 3;

/// Returns the name of a copy whose name nobody chose: the source's with the next number, so that the same command finds
/// the same copy again.
pub fn next(source: &str) -> String {
    let numbered = source.rsplit_once('-').and_then(|(stem, number)| {
        let is_plain = !stem.is_empty() && !number.is_empty() && (number == "0" || !number.starts_with('0'));
        is_plain.then(|| number.parse::<u32>().ok()).flatten().map(|number| (stem, number))
    });
    match numbered {
        Some((stem, number)) => format!("{stem}-{}", number.saturating_add(1)),
        None => format!("{source}-2"),
    }
}

/// Says what keeps a name from being that of an object which is also a label's value; `None`: it may be used.
/// (`k8s.io/apimachinery/pkg/util/validation`: `IsDNS1123Subdomain` and `IsValidLabelValue`.)
pub fn fault(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_plain) && label.ends_with(is_plain) && label.chars().all(|c| is_plain(c) || c == '-')
    };
    if name.len() > 63 {
        return Some("it is longer than 63 characters, and has to be a label's value");
    }
    (!name.split('.').all(is_label)).then_some("names have lower-case letters, digits, '-' and '.' only")
}

/// Returns the names that are most like the one that was typed, the likeliest first.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut similar: Vec<_> = names
        .map(|name| (strsim::damerau_levenshtein(typed, name), name.to_owned()))
        .filter(|(distance, name)| *distance <= FORGIVEN || (typed.len() > 2 && name.contains(typed)))
        .collect();
    similar.sort();
    similar.dedup();
    similar.into_iter().take(SUGGESTED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_numbered() {
        let table = [
            ("blue", "blue-2"),
            ("blue-2", "blue-3"),
            ("blue-9", "blue-10"),
            ("blue-007", "blue-007-2"),
            ("a-b", "a-b-2"),
            ("-1", "-1-2"),
            ("n-4294967295", "n-4294967295"),
            ("n-99999999999", "n-99999999999-2"),
        ];
        for (source, copy) in table {
            assert_eq!(next(source), copy);
        }
    }

    #[test]
    fn a_name_is_one_that_every_object_may_have() {
        for good in ["a", "blue-2", "a.b", &"x".repeat(63)] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", &"x".repeat(64)] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn the_likeliest_name_is_suggested_first() {
        let names = ["workers", "workers-gpu", "blue", "blau"];
        let near = |typed: &str| nearest(typed, names.iter().copied());
        assert_eq!(near("worker"), ["workers", "workers-gpu"]);
        assert_eq!(near("bleu"), ["blau", "blue"]);
        assert!(near("zzzzzz").is_empty());
    }
}
