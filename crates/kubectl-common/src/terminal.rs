//! What the three streams are connected to, found out once where a run starts.

use std::io::{IsTerminal, stderr, stdin, stdout};

use dialoguer::console::Term;

use crate::environment::Environment;
use crate::flags::ColorChoice;

/// What one stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Screen {
    is_terminal: bool,
    has_colors: bool,
}

/// Where a run's input comes from and its output goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    can_type: bool,
    stdout: Screen,
    stderr: Screen,
    width: Option<u16>,
    is_dumb: bool,
}

impl Terminal {
    /// Looks at the streams of this process.
    pub fn capture(color: ColorChoice, environment: &Environment) -> Self {
        let width = Term::stdout().size_checked().map(|(_rows, columns)| columns);
        Self::decide([stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()], width, color, environment)
    }

    /// Returns what a pipe or a file is: no colours, no questions, lines of any length.
    pub fn piped() -> Self {
        Self::decide([false; 3], None, ColorChoice::Never, &Environment::default())
    }

    fn decide(
        [can_type, stdout, stderr]: [bool; 3],
        width: Option<u16>,
        color: ColorChoice,
        environment: &Environment,
    ) -> Self {
        let is_dumb = environment.term.as_deref() == Some("dumb");
        let is_colorless = environment.no_color.as_ref().is_some_and(|value| !value.is_empty());
        let screen = |is_terminal| Screen {
            is_terminal,
            has_colors: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => is_terminal && !is_dumb && !is_colorless,
            },
        };
        let told = environment.columns.as_ref().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        Self {
            can_type,
            stdout: screen(stdout),
            stderr: screen(stderr),
            width: told.or(width).filter(|_| stdout),
            is_dumb,
        }
    }

    /// Returns whether a person can be asked: somebody sees stderr and can type.
    pub const fn can_ask(&self) -> bool {
        self.can_type && self.stderr.is_terminal
    }

    /// Returns the columns that a table on stdout may fill; `None` off a terminal, where a table is never wrapped.
    pub const fn table_width(&self) -> Option<u16> {
        self.width
    }

    /// Returns whether stdout shows colours.
    pub const fn stdout_has_colors(&self) -> bool {
        self.stdout.has_colors
    }

    /// Returns whether stderr shows colours.
    pub const fn stderr_has_colors(&self) -> bool {
        self.stderr.has_colors
    }

    /// Returns whether a line on stderr can be drawn over.
    pub const fn can_animate(&self) -> bool {
        self.stderr.is_terminal && !self.is_dumb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: [bool; 3] = [true; 3];

    fn environment(no_color: Option<&str>, term: Option<&str>, columns: Option<&str>) -> Environment {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Environment { no_color: text(no_color), term: text(term), columns: text(columns), ..Environment::default() }
    }

    #[test]
    fn colours_follow_the_flag_then_the_environment_then_the_stream() {
        let plain = environment(None, Some("xterm"), None);
        let no_color = environment(Some("1"), Some("xterm"), None);
        let dumb = environment(None, Some("dumb"), None);
        let table = [
            (ColorChoice::Auto, TERMINAL, &plain, true),
            (ColorChoice::Auto, [true, false, true], &plain, false),
            (ColorChoice::Auto, TERMINAL, &no_color, false),
            (ColorChoice::Auto, TERMINAL, &dumb, false),
            (ColorChoice::Always, [false; 3], &no_color, true),
            (ColorChoice::Never, TERMINAL, &plain, false),
        ];
        for (choice, streams, environment, colored) in table {
            let terminal = Terminal::decide(streams, None, choice, environment);
            assert_eq!(terminal.stdout_has_colors(), colored, "{choice:?} {streams:?} {environment:?}");
        }
    }

    #[test]
    fn the_width_matters_only_on_a_terminal() {
        let width = |streams, columns| {
            let environment = environment(None, None, columns);
            Terminal::decide(streams, Some(120), ColorChoice::Auto, &environment).table_width()
        };
        assert_eq!(width(TERMINAL, None), Some(120));
        assert_eq!(width(TERMINAL, Some("80")), Some(80));
        assert_eq!(width(TERMINAL, Some("wide")), Some(120));
        assert_eq!(width([true, false, true], Some("80")), None);
    }

    #[test]
    fn a_person_must_see_and_type() {
        let can_ask = |streams| Terminal::decide(streams, None, ColorChoice::Auto, &Environment::default()).can_ask();
        assert!(can_ask(TERMINAL));
        assert!(can_ask([true, false, true]));
        assert!(!can_ask([false, true, true]));
        assert!(!can_ask([true, true, false]));
        assert!(!Terminal::piped().can_ask());
    }
}
