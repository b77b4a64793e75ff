//! Text that somebody else has written into the cluster, made fit to be shown: one line, nothing that a terminal obeys,
//! and not too long. Documents (`-o json`) tell the text as it is.

use std::fmt;

/// The most characters that are shown.
const LONGEST: usize = 200;

/// Shows foreign text. What a terminal would obey, and what would make text look like other text, appears as its number:
/// control characters, line breaks, invisible characters, and those that turn the writing direction.
#[derive(Clone, Copy, Debug)]
pub struct Legible<'a>(pub &'a str);

impl fmt::Display for Legible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(LONGEST) {
            if is_deceptive(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        match characters.count() {
            0 => Ok(()),
            more => write!(f, "… ({more} more characters)"),
        }
    }
}

fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Arabic letter mark; zero width, joiners and direction marks; line and paragraph separators; embeddings
            // and overrides; invisible operators; isolates; the byte order mark.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let table = [
            ("kernel update", "kernel update"),
            ("größer, 大きい 🙂", "größer, 大きい 🙂"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("a\nnode/x drained\r", r"a\nnode/x drained\r"),
            ("\u{9b}31m\u{7}", r"\u{9b}31m\u{7}"),
            ("\u{202e}drow\u{200b}", r"\u{202e}drow\u{200b}"),
        ];
        for (text, shown) in table {
            assert_eq!(Legible(text).to_string(), shown);
        }
    }

    #[test]
    fn it_is_cut_where_nobody_would_read_on() {
        assert_eq!(Legible(&"x".repeat(200)).to_string(), "x".repeat(200));
        assert_eq!(Legible(&"ä".repeat(1_000)).to_string(), format!("{}… (800 more characters)", "ä".repeat(200)));
    }
}
