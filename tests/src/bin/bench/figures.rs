//! Figures of several runs, and the table in which they stand beside each other.

use std::time::Duration;

/// One figure of each run of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// Collects seconds.
    pub(crate) fn seconds(durations: impl IntoIterator<Item = Duration>) -> Self {
        Self(durations.into_iter().map(|duration| duration.as_secs_f64()).collect())
    }

    /// Collects counts.
    pub(crate) fn counts(counts: impl IntoIterator<Item = usize>) -> Self {
        Self(counts.into_iter().filter_map(|count| u32::try_from(count).ok()).map(f64::from).collect())
    }

    /// Collects bytes as megabytes of 1,000,000 bytes; a run without a figure has none here.
    pub(crate) fn megabytes(bytes: impl IntoIterator<Item = Option<u64>>) -> Self {
        let kilobytes = |bytes: u64| u32::try_from(bytes / 1000).ok();
        Self(bytes.into_iter().flatten().filter_map(kilobytes).map(|count| f64::from(count) / 1000.0).collect())
    }

    /// Returns the median; of an even number, the mean of the two in the middle. Without any figure it is NaN.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (lower, upper) = (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2));
        lower.zip(upper).map_or(f64::NAN, |(lower, upper)| f64::midpoint(*lower, *upper))
    }

    /// Returns the figures of the runs, in the order of the runs.
    fn all(&self, decimals: usize) -> String {
        self.0.iter().map(|figure| format!("{figure:.decimals$}")).collect::<Vec<_>>().join(" ")
    }
}

/// Returns one line of a table: a name, and the median of each tool with its runs in brackets.
pub(crate) fn row(name: &str, decimals: usize, tools: &[Figures]) -> String {
    let cell = |figures: &Figures| format!("{:.decimals$}  ({})", figures.median(), figures.all(decimals));
    line(name, &tools.iter().map(cell).collect::<Vec<_>>())
}

/// Returns the line of a table that names the tools.
pub(crate) fn head(tools: &[&str]) -> String {
    line("median (each run)", tools)
}

fn line<Cell: AsRef<str>>(name: &str, cells: &[Cell]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{:<30}", cell.as_ref())).collect();
    format!("  {name:<52}{}", cells.concat()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(Figures(vec![3.0, 1.0, 2.0]).median().to_string(), "2");
        assert_eq!(Figures(vec![4.0, 1.0, 2.0, 3.0]).median().to_string(), "2.5");
        assert!(Figures(Vec::new()).median().is_nan());
    }

    #[test]
    fn row_has_the_median_and_every_run() {
        let (one, other) = (Figures(vec![15.31, 15.2, 15.4]), Figures(vec![10.0]));
        let row = row("seconds", 1, &[one, other]);
        assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), "seconds 15.3 (15.3 15.2 15.4) 10.0 (10.0)");
    }
}
