//! The way into a plugin and out of it: runtime, command line, log, last words, exit status.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use clap::{Command, Parser};
pub use clap_complete::Shell;
use thiserror::Error;

use crate::environment::Environment;
use crate::exit::ExitStatus;
use crate::failure::{Failure, Remedies, Remedy};
use crate::flags::ColorChoice;
use crate::identity::PluginIdentity;
use crate::log;
use crate::report::Output;
use crate::terminal::Terminal;

/// What a plugin starts from.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Who the plugin is.
    pub identity: &'static PluginIdentity,
    /// The environment of the process.
    pub environment: Environment,
    arguments: Vec<OsString>,
    console: Rc<OnceCell<(Terminal, Output)>>,
}

/// Why a plugin could not even begin.
#[derive(Debug, Error)]
enum EntryError {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl Remedies for EntryError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::Runtime(_) => vec![Remedy::Command("ulimit -a".into())],
        }
    }
}

/// Runs a plugin and turns its end into last words and an exit status. The `main` of a plugin is this call.
pub fn run_plugin<F, R>(identity: &'static PluginIdentity, run: F) -> ExitCode
where
    F: FnOnce(Launch) -> R,
    R: Future<Output = Result<ExitStatus, Failure>>,
{
    panic::set_hook(Box::new(|panic| report_bug(identity, panic)));
    let launch = Launch {
        identity,
        environment: Environment::from_process(),
        arguments: std::env::args_os().collect(),
        console: Rc::default(),
    };
    let ended = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(launch.clone()));
            // A question that was left unanswered still waits on a thread of its own; nobody waits for it.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::new(ExitStatus::Unexpected, &EntryError::Runtime(error))),
    };
    let (_, output) = launch.open(0, ColorChoice::Auto);
    let whole = output.finish();
    match ended.and_then(|status| whole.map(|()| status).map_err(Failure::from)) {
        Ok(status) => status.into(),
        Err(failure) => {
            tell(&failure, &output);
            failure.status().into()
        }
    }
}

impl Launch {
    /// Makes the launch of a command line in an empty environment, for tests.
    #[cfg(test)]
    pub(crate) fn with_arguments(
        identity: &'static PluginIdentity,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            identity,
            environment: Environment::default(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            console: Rc::default(),
        }
    }

    /// Parses the command line. Help, version and usage errors are a [`Failure`] too: `?` ends the run properly.
    pub fn parse<A: Parser>(&self) -> Result<A, Failure> {
        let matches = self.command::<A>().try_get_matches_from(&self.arguments)?;
        Ok(A::from_arg_matches(&matches)?)
    }

    /// Returns the command of `A` with the names and the version of the plugin, for completion and manual pages.
    pub fn command<A: Parser>(&self) -> Command {
        let usage = match self.arguments.first().map(file_stem) {
            Some(name) if !name.starts_with("kubectl-") && !name.is_empty() => name,
            Some(_) | None => self.identity.invocation(),
        };
        A::command()
            .name(self.identity.binary())
            .display_name(self.identity.binary())
            .bin_name(usage)
            .version(format!("v{}", self.identity.version))
    }

    /// Opens log and output as the flags say. Only the first call counts.
    pub fn open(&self, verbosity: u8, color: ColorChoice) -> (Terminal, Output) {
        self.console.get_or_init(|| open_console(verbosity, color, &self.environment)).clone()
    }
}

fn open_console(verbosity: u8, color: ColorChoice, environment: &Environment) -> (Terminal, Output) {
    let terminal = Terminal::capture(color, environment);
    log::start(verbosity, &terminal);
    let output = if verbosity == 0 { Output::to_streams(&terminal) } else { Output::to_logged_streams(&terminal) };
    (terminal, output)
}

/// The part after the last separator, without `.exe`.
fn file_stem(path: &OsString) -> String {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
}

/// Writes why the run ended.
fn tell(failure: &Failure, output: &Output) {
    match failure.command_line() {
        Some(error) if error.use_stderr() => output.note(&error.render().ansi().to_string()),
        Some(help) => output.result_line(&help.render().ansi().to_string()),
        None => {
            let text = failure.to_string();
            output.error(text.strip_prefix("error: ").unwrap_or(&text));
        }
    }
}

fn report_bug(identity: &PluginIdentity, panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let what = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let what = what.unwrap_or("no message");
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    let words = format!(
        "error: this is a bug in {} v{}: {what}{place}\n  hint: what has been done in the cluster stays done, and the \
         same command goes on.\n  hint: please report it at {}/issues\n",
        identity.binary(),
        identity.version,
        identity.repository,
    );
    // Nothing more can be done if stderr is gone.
    drop(io::stderr().write_all(words.as_bytes()));
    end_process(ExitStatus::Unexpected);
}

/// Ends the process from inside a panic, where a release build would end with SIGABRT and no documented status.
#[expect(clippy::disallowed_methods, clippy::exit, reason = "the one place that ends the process")]
fn end_process(status: ExitStatus) {
    std::process::exit(i32::from(status.code()));
}

/// Writes the completion script of `command` for `shell`.
pub fn completion(mut command: Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let binary = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, binary, &mut script);
    out.write_all(&script)
}

/// Writes the manual page of `command`.
pub fn man_page(command: Command, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    out.write_all(&page)
}

#[cfg(test)]
mod tests;
