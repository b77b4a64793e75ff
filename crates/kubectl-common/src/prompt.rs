//! Yes-or-no questions on stderr. There is no default: without a person who can answer, a question is an error.

use std::io;

use dialoguer::Confirm;
use dialoguer::console::Term;
use thiserror::Error;

use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};
use crate::terminal::Terminal;

/// Something that only a person or a flag can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// One line, without the question's `[y/n]`: `Drain node-1?`
    pub text: String,
    /// The flag that answers yes: `--yes`.
    pub flag: String,
}

/// What the person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// Ctrl-C, or the terminal went away.
    Interrupted,
}

/// A question that nobody can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no terminal to ask {text:?}")]
pub struct NotATerminal {
    text: String,
    flag: String,
}

impl Remedies for NotATerminal {
    fn remedies(&self) -> Vec<Remedy> {
        vec![Remedy::Flag(self.flag.clone())]
    }
}

impl From<NotATerminal> for Failure {
    fn from(error: NotATerminal) -> Self {
        Self::new(ExitStatus::Refused, &error)
    }
}

/// Asks for y or n, ended by Enter. The status line must be cleared before.
///
/// The runtime goes on meanwhile: a lease is renewed, a signal is heard. Dropping the future leaves the terminal as it
/// was found.
pub async fn confirm(question: &Question, terminal: &Terminal) -> Result<Answer, NotATerminal> {
    if !terminal.can_ask() {
        return Err(NotATerminal { text: question.text.clone(), flag: question.flag.clone() });
    }
    // The question reads Ctrl-C as a key and raises SIGINT for it. While somebody listens, that does not end the
    // process in the middle of a question, with the cursor hidden.
    #[cfg(unix)]
    let _listening = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let text = question.text.clone();
    let _restored = TerminalModes::save();
    let asked = tokio::task::spawn_blocking(move || ask(text, &Term::stderr()));
    // A terminal that went away, or a runtime that ends, has interrupted the question.
    Ok(asked.await.unwrap_or(Answer::Interrupted))
}

fn ask(text: String, terminal: &Term) -> Answer {
    let confirm = Confirm::new().with_prompt(text).wait_for_newline(true);
    match confirm.interact_on(terminal) {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No,
        Err(_) => {
            // An interrupted question leaves its line open.
            drop(terminal.write_line(""));
            Answer::Interrupted
        }
    }
}

/// The modes of the terminal before the question; put back when dropped, since a question waits in raw mode.
struct TerminalModes {
    #[cfg(unix)]
    modes: Option<rustix::termios::Termios>,
}

impl TerminalModes {
    fn save() -> Self {
        Self {
            #[cfg(unix)]
            modes: rustix::termios::tcgetattr(io::stdin()).ok(),
        }
    }
}

impl Drop for TerminalModes {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(modes) = &self.modes {
            // A terminal that is gone needs no modes, and no cursor.
            drop(Term::stderr().show_cursor());
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, modes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_it_is_refused_and_names_the_flag() {
        let question = Question { text: "Drain node-1?".into(), flag: "--yes".into() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(confirm(&question, &Terminal::piped())).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.status(), ExitStatus::Refused);
        assert_eq!(failure.to_string(), "error: there is no terminal to ask \"Drain node-1?\"\n  hint: pass `--yes`");
    }
}
