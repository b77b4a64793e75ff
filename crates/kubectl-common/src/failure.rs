//! How a run that did not end well is told: one `error:` line, then what can be done about it.
//!
//! Every error that a user can cause or fix implements [`Remedies`] beside its message; [`Failure`] joins both with an
//! exit status and is rendered once, by `entry`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::exit::ExitStatus;

/// Something that the user can do about an error or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Remedy {
    /// A flag to add, as it is typed: `--force`.
    Flag(String),
    /// A command to run, as it is typed: `kubectl config get-contexts`.
    Command(String),
    /// A whole sentence.
    Explain(String),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "hint: pass `{flag}`"),
            Self::Command(command) => write!(f, "try: `{command}`"),
            Self::Explain(sentence) => write!(f, "hint: {sentence}"),
        }
    }
}

/// Quotes `word` for a POSIX shell if it needs it, so that a command in a [`Remedy`] can be pasted.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// An error that knows what can be done about it.
pub trait Remedies {
    /// Returns the remedies, the most promising first; empty when none is known.
    fn remedies(&self) -> Vec<Remedy>;
}

/// An error in its final form: what is printed, and how the process exits.
#[derive(Debug)]
pub struct Failure {
    status: ExitStatus,
    message: String,
    remedies: Vec<Remedy>,
    /// What clap wants to say itself: a usage error, the help or the version.
    command_line: Option<Box<clap::Error>>,
}

impl Failure {
    /// Takes the words of `error` and of its sources, each once, and its remedies.
    pub fn new(status: ExitStatus, error: &(impl Error + Remedies)) -> Self {
        Self { status, message: joined_chain(error), remedies: error.remedies(), command_line: None }
    }

    /// Adds what only the caller knows to help.
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// Returns how the process exits.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Returns the message with its causes, without the leading `error: `.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what the user can do about it.
    pub fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }

    pub(crate) fn command_line(&self) -> Option<&clap::Error> {
        self.command_line.as_deref()
    }
}

impl From<clap::Error> for Failure {
    /// Keeps clap's own message; asking for help or the version is [`ExitStatus::Done`].
    fn from(error: clap::Error) -> Self {
        let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Done };
        let message = error.to_string();
        let message = message.strip_prefix("error: ").unwrap_or(&message).trim_end().to_owned();
        Self { status, message, remedies: Vec::new(), command_line: Some(Box::new(error)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for remedy in &self.remedies {
            write!(f, "\n  {remedy}")?;
        }
        Ok(())
    }
}

/// Joins the messages of `error` and its sources by `: `. A source that the text already tells (many errors print their
/// source and return it too) is not told again.
pub(crate) fn joined_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    enum Broken {
        #[error("cannot read plan")]
        Plan(#[source] io::Error),
        #[error("cannot read plan: {0}")]
        RepeatsItself(#[source] io::Error),
    }

    impl Remedies for Broken {
        fn remedies(&self) -> Vec<Remedy> {
            vec![
                Remedy::Flag("--plan FILE".into()),
                Remedy::Command("kubectl safedrain node-1".into()),
                Remedy::Explain("look at the file.".into()),
            ]
        }
    }

    #[test]
    fn tells_each_cause_once_and_then_the_remedies() {
        let expected = "error: cannot read plan: disk on fire\n  hint: pass `--plan FILE`\n  \
                        try: `kubectl safedrain node-1`\n  hint: look at the file.";
        for error in
            [Broken::Plan(io::Error::other("disk on fire")), Broken::RepeatsItself(io::Error::other("disk on fire"))]
        {
            assert_eq!(Failure::new(ExitStatus::Refused, &error).to_string(), expected);
        }
    }

    #[test]
    fn asking_for_help_is_no_failure() {
        let command = clap::Command::new("x").version("1");
        let help = command.clone().try_get_matches_from(["x", "--help"]).unwrap_err();
        assert_eq!(Failure::from(help).status(), ExitStatus::Done);
        let usage = command.try_get_matches_from(["x", "--nonsense"]).unwrap_err();
        let failure = Failure::from(usage);
        assert_eq!(failure.status(), ExitStatus::Usage);
        assert!(failure.message().starts_with("unexpected argument '--nonsense'"), "{}", failure.message());
    }

    #[test]
    fn a_word_that_a_shell_would_split_is_quoted() {
        let table = [
            ("node-1", "node-1"),
            ("arn:aws:eks:eu-west-1:1:cluster/x", "arn:aws:eks:eu-west-1:1:cluster/x"),
            ("kind my", "'kind my'"),
            ("a$b", "'a$b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ];
        for (word, quoted) in table {
            assert_eq!(shell_word(word), quoted);
        }
    }

    #[test]
    fn remedies_are_tagged_in_json() {
        let json = serde_json::to_string(&Remedy::Flag("--force".into())).unwrap();
        assert_eq!(json, r#"{"flag":"--force"}"#);
    }
}
