//! Boolean flags the way kubectl's flag library has them: `--flag`, `--flag=true`, `--flag=f`.

use thiserror::Error;

/// A text that is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is neither true nor false")]
pub struct BooleanError;

/// Reads what Go's `strconv.ParseBool` reads: <https://pkg.go.dev/strconv#ParseBool>.
///
/// A flag that uses it also needs `num_args = 0..=1, require_equals = true, default_missing_value = "true"` and
/// `action = ArgAction::Set`; see the flags of [`KubeFlags`](super::KubeFlags).
pub fn parse_boolean(text: &str) -> Result<bool, BooleanError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(BooleanError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_words_that_go_reads() {
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse_boolean(word), Ok(true));
        }
        for word in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse_boolean(word), Ok(false));
        }
        for word in ["", "yes", "no", "tRUE", "2", " true"] {
            assert_eq!(parse_boolean(word), Err(BooleanError), "{word}");
        }
    }
}
