//! The only writer to stdout and stderr: whole lines, never through the status line, and never a panic.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstream::AutoStream;
use serde::Serialize;
use thiserror::Error;

use super::fit;
use super::progress::Progress;
use super::table::Tone;
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};
use crate::terminal::Terminal;

/// A result that did not arrive whole.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Stdout does not take it: a full disk, for example. A closed pipe is no error.
    #[error("cannot write to stdout")]
    Write(#[source] io::Error),
    /// It has no JSON form.
    #[error("cannot write the result as JSON")]
    Json(#[source] serde_json::Error),
    /// It has no YAML form.
    #[error("cannot write the result as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
}

impl Remedies for OutputError {
    fn remedies(&self) -> Vec<Remedy> {
        vec![Remedy::Explain("what has been done in the cluster stays done; only its report is incomplete.".into())]
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::new(ExitStatus::Unexpected, &error)
    }
}

/// Where a run tells what it does. Clones write to the same place.
///
/// No method fails: a run must not stop half-way because nobody reads its lines any more. What could not be written is
/// told by [`Output::finish`]; a pipe that was closed on purpose (`| head`) is not told at all.
#[derive(Clone)]
pub struct Output {
    sinks: Arc<Mutex<Sinks>>,
}

struct Sinks {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    stdout_has_colors: bool,
    stderr_has_colors: bool,
    progress: Progress,
    /// Nobody reads stdout any more.
    is_closed: bool,
    lost: Option<OutputError>,
}

impl Output {
    /// Writes to the streams of this process; with a status line if `terminal` can show one.
    pub fn to_streams(terminal: &Terminal) -> Self {
        Self::to_streams_with(terminal, Progress::new(terminal.can_animate()))
    }

    /// Writes to the streams of this process without a status line, which log lines would run through.
    pub fn to_logged_streams(terminal: &Terminal) -> Self {
        Self::to_streams_with(terminal, Progress::new(false))
    }

    fn to_streams_with(terminal: &Terminal, progress: Progress) -> Self {
        // What has no place on a stream is taken out before; the adapter translates colours for older Windows consoles.
        let stdout = Box::new(AutoStream::always(io::stdout()));
        let stderr = Box::new(AutoStream::always(io::stderr()));
        Self::new(stdout, stderr, terminal, progress)
    }

    /// Writes to the given places, without a status line.
    pub fn to_writers(
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
        terminal: &Terminal,
    ) -> Self {
        Self::new(Box::new(stdout), Box::new(stderr), terminal, Progress::new(false))
    }

    fn new(
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        terminal: &Terminal,
        progress: Progress,
    ) -> Self {
        let sinks = Sinks {
            stdout,
            stderr,
            stdout_has_colors: terminal.stdout_has_colors(),
            stderr_has_colors: terminal.stderr_has_colors(),
            progress,
            is_closed: false,
            lost: None,
        };
        Self { sinks: Arc::new(Mutex::new(sinks)) }
    }

    /// Writes a result, of one or more lines, to stdout.
    pub fn result_line(&self, text: &str) {
        self.sinks().write_result(text);
    }

    /// Writes talk, of one or more lines, to stderr.
    pub fn note(&self, text: &str) {
        self.sinks().write_talk(text);
    }

    /// Writes `Warning: TEXT` to stderr, as kubectl does.
    pub fn warning(&self, text: &str) {
        self.sinks().write_talk(&format!("{} {}", Tone::Warning.paint("Warning:"), fit::lines(text, false)));
    }

    /// Writes `error: TEXT` to stderr.
    pub fn error(&self, text: &str) {
        self.sinks().write_talk(&format!("{} {}", Tone::Bad.paint("error:"), fit::lines(text, false)));
    }

    /// Writes one JSON document to stdout.
    pub fn json(&self, document: &impl Serialize) {
        let written = serde_json::to_string_pretty(document).map(|text| fit::json(&text)).map_err(OutputError::Json);
        self.sinks().write_document(written);
    }

    /// Writes one event to stdout: JSON on a single line.
    pub fn json_line(&self, event: &impl Serialize) {
        let written = serde_json::to_string(event).map(|text| fit::json(&text)).map_err(OutputError::Json);
        self.sinks().write_document(written);
    }

    /// Writes one YAML document to stdout, its keys sorted as kubectl sorts them.
    pub fn yaml(&self, document: &impl Serialize) {
        // By way of JSON, as kubectl does: one writer of YAML instead of one for each type.
        let json = serde_json::to_string(document).and_then(|text| serde_json::from_str::<serde_json::Value>(&text));
        let written = json.map_err(OutputError::Json);
        let written = written.and_then(|json| serde_saphyr::to_string(&json).map_err(OutputError::Yaml));
        self.sinks().write_document(written);
    }

    /// Shows what the run waits for, until it is replaced or cleared; off a terminal nothing.
    pub fn status(&self, text: &str) {
        self.sinks().progress.show(&fit::line(text));
    }

    /// Takes the status line away; needed before a question is asked.
    pub fn clear_status(&self) {
        self.sinks().progress.clear();
    }

    /// Returns whether stdout was closed by its reader.
    pub fn is_closed(&self) -> bool {
        self.sinks().is_closed
    }

    /// Ends the output; returns the first result that was lost. The entry of the plugin calls it.
    pub fn finish(&self) -> Result<(), OutputError> {
        let mut sinks = self.sinks();
        sinks.progress.clear();
        let flushed = sinks.stdout.flush();
        sinks.remember(flushed);
        sinks.lost.take().map_or(Ok(()), Err)
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        // A writer that panicked has at worst left half a line.
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Sinks {
    fn write_result(&mut self, text: &str) {
        if self.is_closed {
            return;
        }
        let line = as_lines(text, self.stdout_has_colors);
        let stdout = &mut self.stdout;
        let written = self.progress.suspend(|| stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()));
        self.remember(written);
    }

    fn write_document(&mut self, document: Result<String, OutputError>) {
        match document {
            Ok(text) => self.write_result(&text),
            Err(error) => {
                self.lost.get_or_insert(error);
            }
        }
    }

    fn write_talk(&mut self, text: &str) {
        let line = as_lines(text, self.stderr_has_colors);
        let stderr = &mut self.stderr;
        // There is no other place to say that stderr is gone.
        drop(self.progress.suspend(|| stderr.write_all(line.as_bytes()).and_then(|()| stderr.flush())));
    }

    fn remember(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_closed = true,
            Err(error) => {
                self.lost.get_or_insert(OutputError::Write(error));
            }
        }
    }
}

fn as_lines(text: &str, has_colors: bool) -> String {
    let mut lines = fit::lines(text, has_colors);
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests;
