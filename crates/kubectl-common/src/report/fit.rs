//! What a terminal may be sent: text, line breaks and colours. Names, messages of webhooks and annotations come from
//! others, and a terminal obeys more than colours: it can be cleared, renamed and painted over.

/// Returns lines that are fit for a terminal: of what it obeys, only line breaks, tabs and, where they are wanted,
/// colours remain; everything else appears as its number.
pub(super) fn lines(text: &str, has_colors: bool) -> String {
    let mut fit = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = color_length(rest) {
            let (color, after) = rest.split_at(length);
            if has_colors {
                fit.push_str(color);
            }
            rest = after;
            continue;
        }
        push(&mut fit, character, matches!(character, '\n' | '\t'));
        rest = rest.split_at(character.len_utf8()).1;
    }
    fit
}

/// Returns one line that is fit for a terminal, without colours of its own.
pub(super) fn line(text: &str) -> String {
    let mut fit = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut fit, character, false);
    }
    fit
}

fn push(fit: &mut String, character: char, is_wanted: bool) {
    if character.is_control() && !is_wanted {
        fit.extend(character.escape_default());
    } else {
        fit.push(character);
    }
}

/// The bytes of the colour sequence that `text` begins with (Select Graphic Rendition, `ESC [ digits ; … m`).
fn color_length(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    codes.split_at(end).1.starts_with('m').then_some("\u{1b}[".len() + end + "m".len())
}

/// Returns a JSON document in which the control characters that JSON allows in strings (0x7f to 0x9f) are escaped too.
pub(super) fn json(document: &str) -> String {
    let mut fit = String::with_capacity(document.len());
    for character in document.chars() {
        if matches!(character, '\u{7f}'..='\u{9f}') {
            fit.push_str("\\u00");
            fit.extend(char::from_digit(u32::from(character) >> 4, 16));
            fit.extend(char::from_digit(u32::from(character) & 0xf, 16));
        } else {
            fit.push(character);
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: &str = "\u{1b}[31mred\u{1b}[0m";

    #[test]
    fn colours_pass_and_nothing_else_that_a_terminal_obeys() {
        assert_eq!(lines(&format!("{RED}\n\tnext\n"), true), format!("{RED}\n\tnext\n"));
        assert_eq!(lines(&format!("{RED}\n\tnext\n"), false), "red\n\tnext\n");
        let table = [
            ("\u{1b}[2Jx", r"\u{1b}[2Jx"),
            ("\u{1b}]0;owned\u{7}", r"\u{1b}]0;owned\u{7}"),
            ("over\rwritten", r"over\rwritten"),
            ("\u{1b}[31", r"\u{1b}[31"),
            ("\u{1b}", r"\u{1b}"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("größer 🙂", "größer 🙂"),
        ];
        for (text, expected) in table {
            assert_eq!(lines(text, true), expected);
            assert_eq!(lines(text, false), expected);
        }
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line("a\nb\u{1b}[31mc"), r"a\nb\u{1b}[31mc");
    }

    #[test]
    fn a_document_says_the_same_in_other_words() {
        let text = "\u{9b}31m \u{7f} ü";
        let document = serde_json::to_string(text).unwrap();
        let fit = json(&document);
        assert!(!fit.chars().any(char::is_control), "{fit}");
        assert_eq!(serde_json::from_str::<String>(&fit).unwrap(), text);
    }

    #[test]
    fn yaml_escapes_by_itself() {
        let document = serde_saphyr::to_string(&["a\u{1b}[2J\u{9b}31m\u{7}"]).unwrap();
        assert!(document.chars().all(|character| character == '\n' || !character.is_control()), "{document:?}");
    }
}
