//! The words that stand where a node would, and that need no cluster: `completion SHELL` and `man`.

use std::str::FromStr;

use kubectl_common::entry::{self, Launch, Shell};

use crate::failure::CommandError;
use crate::flags::CommandLine;

/// A word that is not a node. A node that is called like one is reached as `node/NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// Print a completion script for this shell.
    Completion(&'a str),
    /// Print the manual page.
    Man,
}

impl<'a> Word<'a> {
    /// Finds the word; beside `--status` and `--undo` it is a node.
    pub(crate) fn of(args: &'a impl CommandLine) -> Option<Self> {
        if args.run().status || args.run().undo {
            return None;
        }
        match args.nodes().nodes.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["man"] => Some(Self::Man),
            ["completion", shell] => Some(Self::Completion(shell)),
            _ => None,
        }
    }

    /// Returns what is printed for it.
    pub(crate) fn answer<A: CommandLine>(self, launch: &Launch) -> Result<String, CommandError> {
        let mut text = Vec::new();
        match self {
            Self::Completion(shell) => {
                let shell = Shell::from_str(shell).map_err(|_| CommandError::UnknownShell(shell.to_owned()))?;
                entry::completion(launch.command::<A>(), shell, &mut text).map_err(CommandError::Output)?;
            }
            Self::Man => entry::man_page(launch.command::<A>(), &mut text).map_err(CommandError::Output)?,
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    #[test]
    fn words_are_told_from_nodes() {
        assert_eq!(Word::of(&parse("man")), Some(Word::Man));
        assert_eq!(Word::of(&parse("completion bash")), Some(Word::Completion("bash")));
        for line in ["", "n1", "node/man", "man --undo", "man --status", "completion", "n1 man"] {
            assert_eq!(Word::of(&parse(line)), None, "{line}");
        }
    }
}
