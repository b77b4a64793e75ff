//! Remarks below a table: each is said once, for all that share it.

/// How many names a remark gives before it only counts them.
const NAMED: usize = 3;

/// The remarks, in the order in which they were first made.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<(String, Vec<String>)>);

impl Notes {
    /// Adds a remark about something.
    pub(super) fn add(&mut self, name: &str, remark: &str) {
        match self.0.iter_mut().find(|(known, _)| known == remark) {
            Some((_, names)) => names.push(name.to_owned()),
            None => self.0.push((remark.to_owned(), vec![name.to_owned()])),
        }
    }

    /// The lines, each `NAMES: REMARK`.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(remark, names)| format!("  {}: {remark}", listed(names)))
    }
}

/// The first few names, and how many there are besides.
pub(super) fn listed(names: &[String]) -> String {
    at_most(NAMED, names)
}

/// The first `limit` names, and how many there are besides.
pub(super) fn at_most(limit: usize, names: &[String]) -> String {
    let first = names.iter().take(limit).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(limit) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_made_once_for_all_that_share_it() {
        let mut notes = Notes::default();
        for (name, remark) in [("a", "is late"), ("b", "is lost"), ("c", "is late"), ("d", "is late"), ("e", "is late")]
        {
            notes.add(name, remark);
        }
        assert_eq!(notes.lines().collect::<Vec<_>>(), ["  a, c, d and 1 more: is late", "  b: is lost"]);
    }
}
