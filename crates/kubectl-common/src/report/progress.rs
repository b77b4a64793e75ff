//! The one line on stderr that is drawn over while a run waits; exists only on a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// The status line. Off a terminal it shows nothing: its text changes too often for a log.
#[derive(Debug)]
pub(super) struct Progress {
    lines: MultiProgress,
    status: Option<ProgressBar>,
    is_animated: bool,
}

impl Progress {
    pub(super) fn new(is_animated: bool) -> Self {
        let target = if is_animated { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { lines: MultiProgress::with_draw_target(target), status: None, is_animated }
    }

    /// Shows `text`, with a spinner before it, until it is cleared or replaced.
    pub(super) fn show(&mut self, text: &str) {
        if !self.is_animated {
            return;
        }
        let status = self.status.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            let spinner = self.lines.add(spinner);
            spinner.enable_steady_tick(TICK);
            spinner
        });
        status.set_message(text.to_owned());
    }

    pub(super) fn clear(&mut self) {
        if let Some(status) = self.status.take() {
            status.finish_and_clear();
            self.lines.remove(&status);
        }
    }

    /// Takes the line away while `write` writes to the terminal.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.is_animated { self.lines.suspend(write) } else { write() }
    }
}
