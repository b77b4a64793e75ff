//! The words that stand where a plugin's object would, and that need no cluster: `completion SHELL` and `man`.

use std::io;
use std::str::FromStr;

use clap::Parser;
use clap_complete::Shell;
use thiserror::Error;

use crate::entry::{self, Launch};
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};

/// A word that every plugin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Print a completion script for this shell.
    Completion(&'a str),
    /// Print the manual page.
    Man,
}

/// Why a word is not answered.
#[derive(Debug, Error)]
enum WordError {
    #[error("unknown shell {0:?}")]
    UnknownShell(String),
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

impl Remedies for WordError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::UnknownShell(_) => {
                vec![Remedy::Explain("the shells are bash, elvish, fish, powershell and zsh".to_owned())]
            }
            Self::Output(_) => Vec::new(),
        }
    }
}

impl From<WordError> for Failure {
    fn from(error: WordError) -> Self {
        let status = match error {
            WordError::UnknownShell(_) => ExitStatus::Usage,
            WordError::Output(_) => ExitStatus::Unexpected,
        };
        Self::new(status, &error)
    }
}

impl<'a> Word<'a> {
    /// Finds the word in the arguments that are no flags.
    pub fn of(arguments: &'a [String]) -> Option<Self> {
        match arguments {
            [word] if word == "man" => Some(Self::Man),
            [word, shell] if word == "completion" => Some(Self::Completion(shell)),
            _ => None,
        }
    }

    /// Returns what is printed for it, for the plugin whose command line is `A`.
    pub fn answer<A: Parser>(self, launch: &Launch) -> Result<String, Failure> {
        let mut text = Vec::new();
        match self {
            Self::Completion(shell) => {
                let shell = Shell::from_str(shell).map_err(|_| WordError::UnknownShell(shell.to_owned()))?;
                entry::completion(launch.command::<A>(), shell, &mut text).map_err(WordError::Output)?;
            }
            Self::Man => entry::man_page(launch.command::<A>(), &mut text).map_err(WordError::Output)?,
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::SAFEDRAIN;

    /// Does a thing
    #[derive(Debug, Parser)]
    struct Someday {
        words: Vec<String>,
    }

    fn told(line: &str) -> Option<Result<String, Failure>> {
        let words = std::iter::once("kubectl-safedrain").chain(line.split_whitespace());
        let launch = Launch::with_arguments(&SAFEDRAIN, words);
        let args: Someday = launch.parse().unwrap();
        Word::of(&args.words).map(|word| word.answer::<Someday>(&launch))
    }

    #[test]
    fn completion_and_manual_are_answered() {
        assert!(told("completion bash").unwrap().unwrap().contains("complete -F"));
        assert!(told("man").unwrap().unwrap().contains(".TH"));
        let failure = told("completion tcsh").unwrap().unwrap_err();
        assert_eq!(failure.status(), ExitStatus::Usage);
        assert!(failure.message().contains("\"tcsh\""), "{failure}");
        for line in ["", "n1", "completion", "man n1", "n1 man"] {
            assert!(told(line).is_none(), "{line}");
        }
    }
}
