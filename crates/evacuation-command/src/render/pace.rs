//! How long a run still takes: first by the plan's estimate, then more and more by how fast it has been.

use evacuation::plan::Estimate;
use jiff::Timestamp;

/// The pace of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    began: Timestamp,
    estimate: Option<Estimate>,
}

impl Pace {
    /// Of a run that begins now.
    pub(crate) fn new(began: Timestamp, estimate: Option<Estimate>) -> Self {
        Self { began, estimate }
    }

    /// What is left, as a clause: `, about 2 min left`. `None`: nothing to judge by, or nothing is left.
    pub(super) fn left(&self, done: usize, all: usize, now: Timestamp) -> Option<String> {
        let elapsed = u64::try_from(now.duration_since(self.began).as_secs()).unwrap_or(0);
        let (done, all) = (u64::try_from(done).ok()?, u64::try_from(all).ok()?);
        if done >= all {
            return None;
        }
        let planned = self.estimate.map(|estimate| estimate.high.saturating_sub(elapsed));
        let seen = (elapsed * (all - done)).checked_div(done);
        let seconds = match (planned, seen) {
            // The more is done, the more what was seen counts.
            (Some(planned), Some(seen)) => (planned * (all - done) + seen * done) / all,
            (planned, seen) => planned.or(seen)?,
        };
        (seconds > 0).then(|| format!(", about {} left", words(seconds)))
    }
}

/// Seconds, as a person says them: `40 s`, `2 min`, `1 h 5 min`.
pub(super) fn words(seconds: u64) -> String {
    let minutes = (seconds + 30) / 60;
    match () {
        () if seconds < 100 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// A range: `5 s to 2 min`.
pub(super) fn range(estimate: Estimate) -> String {
    let Estimate { low, high } = estimate;
    if low == high { words(high) } else { format!("{} to {}", words(low), words(high)) }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn what_was_seen_counts_more_and_more() {
        let pace = |high: Option<u64>| Pace::new(Timestamp::UNIX_EPOCH, high.map(|high| Estimate { low: 1, high }));
        let at = |seconds: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let table = [
            (pace(Some(60)), 0, 4, 10, ", about 50 s left"),
            (pace(Some(60)), 2, 4, 30, ", about 30 s left"),
            (pace(Some(10)), 2, 4, 600, ", about 5 min left"),
            (pace(None), 0, 4, 10, ""),
            (pace(None), 1, 4, 10, ", about 30 s left"),
            (pace(Some(60)), 4, 4, 10, ""),
        ];
        for (pace, done, all, seconds, expected) in table {
            assert_eq!(pace.left(done, all, at(seconds)).unwrap_or_default(), expected, "{done}/{all} after {seconds}");
        }
        assert_eq!([words(5), words(120), words(3900)], ["5 s", "2 min", "1 h 5 min"]);
    }
}
