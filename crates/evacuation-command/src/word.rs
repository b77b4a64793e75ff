//! When the words that need no cluster are meant. A node that is called like one is reached as `node/NAME`.

use kubectl_common::word::Word;

use crate::flags::CommandLine;

/// Finds the word; beside `--status` and `--undo` it is a node.
pub(crate) fn of(args: &impl CommandLine) -> Option<Word<'_>> {
    if args.run().status || args.run().undo {
        return None;
    }
    Word::of(&args.nodes().nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    #[test]
    fn words_are_told_from_nodes() {
        assert_eq!(of(&parse("man")), Some(Word::Man));
        assert_eq!(of(&parse("completion bash")), Some(Word::Completion("bash")));
        for line in ["", "n1", "node/man", "man --undo", "man --status", "completion", "n1 man"] {
            assert_eq!(of(&parse(line)), None, "{line}");
        }
    }
}
