//! Durations as kubectl's flags take and print them.
//!
//! The grammar is that of Go's `time.ParseDuration`: <https://pkg.go.dev/time#ParseDuration>.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use thiserror::Error;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A span of time in Go's words: `1m30s`, `250ms`, `0`. Negative spans are refused: no flag gives them a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// There is nothing to read.
    #[error("is empty; write for example 30s, 2m or 0")]
    Empty,
    /// It is below zero.
    #[error("must not be negative")]
    Negative,
    /// A number has no unit; kubectl guesses none either.
    #[error("has no unit after {number:?}; write for example {number}s or {number}m")]
    MissingUnit {
        /// The number that lacks it.
        number: String,
    },
    /// A unit is none of Go's.
    #[error("has the unknown unit {unit:?}; the units are ns, us, ms, s, m and h")]
    UnknownUnit {
        /// The unit as it was written.
        unit: String,
    },
    /// A number was expected.
    #[error("is not a duration; write for example 30s, 2m or 1m30s")]
    NotANumber,
    /// It does not fit in Go's 64 bits of nanoseconds.
    #[error("is longer than 292 years")]
    TooLong,
}

impl GoDuration {
    /// Makes a duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns the span.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Returns the span as a limit: `None` for zero, which for kubectl's flags means "no limit".
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl From<Duration> for GoDuration {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

impl From<GoDuration> for Duration {
    fn from(span: GoDuration) -> Self {
        span.0
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        match unsigned {
            "0" => return Ok(Self::default()),
            "" if text.is_empty() => return Err(DurationError::Empty),
            "" => return Err(DurationError::NotANumber),
            _ => {}
        }
        let mut rest = unsigned;
        let mut nanos: u128 = 0;
        while !rest.is_empty() {
            let (part, after) = leading_part(rest)?;
            nanos = nanos.checked_add(part).ok_or(DurationError::TooLong)?;
            rest = after;
        }
        let nanos = i64::try_from(nanos).map_err(|_| DurationError::TooLong)?;
        if text.starts_with('-') && nanos > 0 {
            return Err(DurationError::Negative);
        }
        Ok(Self(Duration::from_nanos(nanos.unsigned_abs())))
    }
}

/// Reads one number with its unit; returns its nanoseconds and what follows.
fn leading_part(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = leading_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => leading_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NotANumber);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        "" => return Err(DurationError::MissingUnit { number: text.trim_end_matches(after).to_owned() }),
        other => return Err(DurationError::UnknownUnit { unit: other.to_owned() }),
    };
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLong)? };
    let nanos = whole.checked_mul(scale).ok_or(DurationError::TooLong)?;
    Ok((nanos.saturating_add(fraction_of(fraction, scale)), after))
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Returns the nanoseconds of `0.DIGITS` units. Eighteen digits are more than a nanosecond of an hour needs.
fn fraction_of(digits: &str, scale: u128) -> u128 {
    let (numerator, denominator) = digits
        .chars()
        .take(18)
        .filter_map(|c| c.to_digit(10))
        .fold((0_u128, 1_u128), |(value, tens), digit| (value * 10 + u128::from(digit), tens * 10));
    numerator * scale / denominator
}

impl fmt::Display for GoDuration {
    /// Writes it as Go's `Duration.String` does: `1m30s`, `1.5s`, `250ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => write!(f, "0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..NANOS_PER_SECOND => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / (60 * NANOS_PER_SECOND);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes >= 1 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND, "s")
            }
        }
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u128, scale: u128, unit: &str) -> fmt::Result {
    write!(f, "{}", nanos / scale)?;
    let rest = nanos % scale;
    if rest > 0 {
        let width = scale.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    write!(f, "{unit}")
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The value of `--request-timeout`: a duration, or a bare number of seconds; zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestTimeout(Option<Duration>);

impl RequestTimeout {
    /// Returns the limit of one call; `None` is no limit.
    pub const fn limit(self) -> Option<Duration> {
        self.0
    }
}

impl FromStr for RequestTimeout {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = match text.parse::<u32>() {
            Ok(seconds) => GoDuration::from_secs(u64::from(seconds)),
            Err(_) => text.parse()?,
        };
        Ok(Self(span.limit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_what_go_reads_and_prints() {
        let table = [
            ("0", "0s", 0),
            ("-0", "0s", 0),
            ("+0", "0s", 0),
            ("0s", "0s", 0),
            ("-0s", "0s", 0),
            ("5s", "5s", 5_000_000_000),
            ("+5s", "5s", 5_000_000_000),
            ("90s", "1m30s", 90_000_000_000),
            ("1m30s", "1m30s", 90_000_000_000),
            ("10m", "10m0s", 600_000_000_000),
            ("1h", "1h0m0s", 3_600_000_000_000),
            ("1.5h", "1h30m0s", 5_400_000_000_000),
            (".5s", "500ms", 500_000_000),
            ("1.s", "1s", 1_000_000_000),
            ("1.5s", "1.5s", 1_500_000_000),
            ("100ms", "100ms", 100_000_000),
            ("1.000000001s", "1.000000001s", 1_000_000_001),
            ("0.3333333333333333333h", "20m0s", 1_200_000_000_000),
            ("1500us", "1.5ms", 1_500_000),
            ("2µs", "2µs", 2_000),
            ("2μs", "2µs", 2_000),
            ("7ns", "7ns", 7),
            ("1h2m3s4ms", "1h2m3.004s", 3_723_004_000_000),
            ("9223372036854775807ns", "2562047h47m16.854775807s", i64::MAX.unsigned_abs()),
        ];
        for (text, printed, nanos) in table {
            let span: GoDuration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let parsed = u64::try_from(span.get().as_nanos()).unwrap();
            assert!(nanos.abs_diff(parsed) <= 1, "{text}: {parsed}");
            if nanos == parsed {
                assert_eq!(span.to_string(), printed, "{text}");
            }
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        let missing = |number: &str| DurationError::MissingUnit { number: number.into() };
        let unknown = |unit: &str| DurationError::UnknownUnit { unit: unit.into() };
        let table = [
            ("", DurationError::Empty),
            ("90", missing("90")),
            ("1m30", missing("30")),
            ("5 s", unknown(" s")),
            ("5S", unknown("S")),
            ("1d", unknown("d")),
            ("-1s", DurationError::Negative),
            ("-", DurationError::NotANumber),
            ("+", DurationError::NotANumber),
            ("s", DurationError::NotANumber),
            (".s", DurationError::NotANumber),
            ("soon", DurationError::NotANumber),
            ("9223372036854775808ns", DurationError::TooLong),
            ("3000000h", DurationError::TooLong),
            ("99999999999999999999999999999999999999999999h", DurationError::TooLong),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<GoDuration>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_request_timeout_may_be_a_bare_number_of_seconds() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (text, limit) in [("0", None), ("5", seconds(5)), ("2m", seconds(120)), ("0s", None)] {
            assert_eq!(text.parse::<RequestTimeout>().unwrap().limit(), limit, "{text}");
        }
        assert!("-5".parse::<RequestTimeout>().is_err());
        assert!("1.5".parse::<RequestTimeout>().is_err());
    }
}
