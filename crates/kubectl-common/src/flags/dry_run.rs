//! `--dry-run` with kubectl's three values and the two older forms that kubectl still reads.

use std::str::FromStr;

use clap::Args;
use thiserror::Error;

use super::boolean::parse_boolean;

/// What `--dry-run` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// Act.
    #[default]
    None,
    /// Only plan; the server is asked nothing that changes anything.
    Client,
    /// Send the changes for the server to check, not to keep.
    Server,
}

impl DryRun {
    /// Returns what kubectl appends to its result lines.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// The flag `--dry-run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct DryRunFlags {
    /// Show what would be done without doing it: none, client or server
    #[arg(
        long,
        value_name = "MODE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = BARE,
        hide_default_value = true,
    )]
    dry_run: DryRunWord,
}

/// Stands for a `--dry-run` without a value, as in kubectl.
const BARE: &str = "unchanged";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum DryRunWord {
    Current(DryRun),
    Boolean(bool),
    #[default]
    Unset,
    Bare,
}

#[derive(Debug, PartialEq, Eq, Error)]
#[error("must be none, client or server")]
struct DryRunError;

impl FromStr for DryRunWord {
    type Err = DryRunError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "none" => Ok(Self::Current(DryRun::None)),
            "client" => Ok(Self::Current(DryRun::Client)),
            "server" => Ok(Self::Current(DryRun::Server)),
            BARE => Ok(Self::Bare),
            other => parse_boolean(other).map(Self::Boolean).map_err(|_| DryRunError),
        }
    }
}

impl DryRunFlags {
    /// Returns what is asked for; the older forms mean [`DryRun::Client`], and `false` means [`DryRun::None`].
    pub const fn mode(&self) -> DryRun {
        match self.dry_run {
            DryRunWord::Current(mode) => mode,
            DryRunWord::Boolean(true) | DryRunWord::Bare => DryRun::Client,
            DryRunWord::Boolean(false) | DryRunWord::Unset => DryRun::None,
        }
    }

    /// Returns the warning that an older form deserves.
    pub const fn deprecation(&self) -> Option<&'static str> {
        match self.dry_run {
            DryRunWord::Current(_) | DryRunWord::Unset => None,
            DryRunWord::Bare => Some("--dry-run is deprecated and can be replaced with --dry-run=client."),
            DryRunWord::Boolean(true) => {
                Some("--dry-run=true is deprecated (boolean value) and can be replaced with --dry-run=client.")
            }
            DryRunWord::Boolean(false) => {
                Some("--dry-run=false is deprecated (boolean value) and can be replaced with --dry-run=none.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        nodes: Vec<String>,
        #[command(flatten)]
        dry_run: DryRunFlags,
    }

    fn parse(arguments: &[&str]) -> Result<(DryRun, bool, usize), clap::Error> {
        let cli = Cli::try_parse_from([&["x"], arguments].concat())?;
        Ok((cli.dry_run.mode(), cli.dry_run.deprecation().is_some(), cli.nodes.len()))
    }

    #[test]
    fn reads_the_three_values_and_the_older_forms() {
        let table: [(&[&str], DryRun, bool, usize); 9] = [
            (&[], DryRun::None, false, 0),
            (&["--dry-run=none"], DryRun::None, false, 0),
            (&["--dry-run=client"], DryRun::Client, false, 0),
            (&["--dry-run=server"], DryRun::Server, false, 0),
            (&["--dry-run"], DryRun::Client, true, 0),
            (&["--dry-run", "node-1"], DryRun::Client, true, 1),
            (&["--dry-run", "server"], DryRun::Client, true, 1),
            (&["--dry-run=true"], DryRun::Client, true, 0),
            (&["--dry-run=false"], DryRun::None, true, 0),
        ];
        for (arguments, mode, deprecated, nodes) in table {
            assert_eq!(parse(arguments).unwrap(), (mode, deprecated, nodes), "{arguments:?}");
        }
    }

    #[test]
    fn refuses_other_words() {
        let error = parse(&["--dry-run=sever"]).unwrap_err().to_string();
        assert!(error.contains("must be none, client or server"), "{error}");
    }

    #[test]
    fn unset_is_no_dry_run() {
        assert_eq!(DryRunFlags::default().mode(), DryRun::None);
    }
}
