//! A command that is announced and not built yet: it answers for itself (help, version, completion, manual) and says
//! plainly, whatever else is asked, that it does nothing, and what does the job meanwhile.

use std::io;
use std::str::FromStr;

use clap::{Args, Parser};
use clap_complete::Shell;
use thiserror::Error;

use crate::entry::{self, Launch};
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};
use crate::flags::ColorChoice;

/// What such a command takes: anything, so that the line somebody meant to run is answered and not its first flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AnyWords {
    /// `completion SHELL` or `man`; everything else is not built yet
    #[arg(value_name = "WORD", allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// A command line whose words are all that it has.
pub trait Unbuilt: Parser {
    /// What does the job in this version instead, the first step first.
    const MEANWHILE: &'static [Meanwhile];

    /// Returns the words of the command line.
    fn words(&self) -> &[String];
}

/// A step that a person takes instead; a constant, unlike [`Remedy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// A command to run, as it is typed.
    Run(&'static str),
    /// A whole sentence.
    Know(&'static str),
}

#[derive(Debug, Error)]
enum UnbuiltError {
    #[error("`{invocation}` is not built yet in v{version}; nothing was read or changed")]
    NotBuilt { invocation: String, version: &'static str, meanwhile: &'static [Meanwhile] },
    #[error("unknown shell {0:?}")]
    UnknownShell(String),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

impl Remedies for UnbuiltError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::NotBuilt { meanwhile, .. } => meanwhile.iter().copied().map(Remedy::from).collect(),
            Self::UnknownShell(_) => {
                vec![Remedy::Explain("the shells are bash, elvish, fish, powershell and zsh".to_owned())]
            }
            Self::Output(_) => Vec::new(),
        }
    }
}

impl From<Meanwhile> for Remedy {
    fn from(step: Meanwhile) -> Self {
        match step {
            Meanwhile::Run(command) => Self::Command(command.to_owned()),
            Meanwhile::Know(sentence) => Self::Explain(sentence.to_owned()),
        }
    }
}

impl From<UnbuiltError> for Failure {
    fn from(error: UnbuiltError) -> Self {
        let status = match error {
            UnbuiltError::NotBuilt { .. } | UnbuiltError::Output(_) => ExitStatus::Unexpected,
            UnbuiltError::UnknownShell(_) => ExitStatus::Usage,
        };
        Self::new(status, &error)
    }
}

/// Runs the plugin on the command line of this process. It never connects to a cluster.
pub fn run<A: Unbuilt>(launch: &Launch) -> Result<ExitStatus, Failure> {
    let args: A = launch.parse()?;
    let text = answer(launch, &args)?;
    launch.open(0, ColorChoice::Auto).1.result_line(text.trim_end());
    Ok(ExitStatus::Done)
}

/// Returns what is printed for the words that are understood.
fn answer<A: Unbuilt>(launch: &Launch, args: &A) -> Result<String, UnbuiltError> {
    let mut text = Vec::new();
    match args.words().iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["man"] => entry::man_page(launch.command::<A>(), &mut text).map_err(UnbuiltError::Output)?,
        ["completion", shell] => {
            let shell = Shell::from_str(shell).map_err(|_| UnbuiltError::UnknownShell((*shell).to_owned()))?;
            entry::completion(launch.command::<A>(), shell, &mut text).map_err(UnbuiltError::Output)?;
        }
        // clap takes a flag for a word when it follows one.
        words if words.contains(&"--help") || words.contains(&"-h") => {
            return Ok(launch.command::<A>().render_long_help().ansi().to_string());
        }
        _ => {
            return Err(UnbuiltError::NotBuilt {
                invocation: launch.identity.invocation(),
                version: launch.identity.version,
                meanwhile: A::MEANWHILE,
            });
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::SAFEDRAIN;

    /// Does a thing one day
    #[derive(Debug, Parser)]
    struct Someday {
        #[command(flatten)]
        any: AnyWords,
    }

    impl Unbuilt for Someday {
        const MEANWHILE: &'static [Meanwhile] = &[Meanwhile::Know("wait"), Meanwhile::Run("sleep 1")];

        fn words(&self) -> &[String] {
            &self.any.words
        }
    }

    fn told(line: &str) -> Result<String, Failure> {
        let words = std::iter::once("kubectl-safedrain").chain(line.split_whitespace());
        let launch = Launch::with_arguments(&SAFEDRAIN, words);
        let args: Someday = launch.parse()?;
        Ok(answer(&launch, &args)?)
    }

    #[test]
    fn whatever_is_asked_is_not_built_yet() {
        for line in
            ["", "node-1", "--pool blue -n shop", "p --set /a=-1 --dry-run=client", "-l a=b", "man page", "completion"]
        {
            let failure = told(line).unwrap_err();
            assert_eq!(failure.status().code(), 1, "{line}");
            assert_eq!(
                failure.to_string(),
                "error: `kubectl safedrain` is not built yet in v0.1.0; nothing was read or changed\n  \
                 hint: wait\n  try: `sleep 1`",
                "{line}"
            );
        }
    }

    #[test]
    fn help_and_version_are_answered_wherever_they_stand() {
        for line in ["--help", "-h"] {
            let failure = told(line).unwrap_err();
            assert_eq!(failure.status(), ExitStatus::Done, "{line}: {failure}");
            assert!(failure.message().contains("Does a thing one day"), "{line}: {failure}");
        }
        for line in ["node-1 --help", "node-1 --force -h"] {
            assert!(told(line).unwrap().contains("Does a thing one day"), "{line}");
        }
        assert_eq!(told("--version").unwrap_err().message(), "kubectl-safedrain v0.1.0");
    }

    #[test]
    fn completion_and_manual_are_answered() {
        assert!(told("completion bash").unwrap().contains("complete -F"));
        assert!(told("man").unwrap().contains(".TH"));
        let failure = told("completion tcsh").unwrap_err();
        assert_eq!(failure.status(), ExitStatus::Usage);
        assert!(failure.message().contains("\"tcsh\""), "{failure}");
    }
}
