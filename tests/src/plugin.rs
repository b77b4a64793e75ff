//! A plugin's run, through the real kubectl, as its users start it: `kubectl safedrain …`.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

use crate::control_plane::{ControlPlane, User};
use crate::namespace::Namespace;

/// How long a run may take unless a test says otherwise.
const RUN_DEADLINE: Duration = Duration::from_secs(120);

/// The plugins under test, by the name of their command.
#[derive(Debug)]
pub struct Plugin;

impl Plugin {
    /// Starts to describe a run of `kubectl safedrain`.
    pub fn safedrain(namespace: &Namespace) -> Invocation {
        Self::named(namespace, "safedrain")
    }

    /// Starts to describe a run of `kubectl vmievict`.
    pub fn vmievict(namespace: &Namespace) -> Invocation {
        Self::named(namespace, "vmievict")
    }

    /// Starts to describe a run of `kubectl poolcopy`.
    pub fn poolcopy(namespace: &Namespace) -> Invocation {
        Self::named(namespace, "poolcopy")
    }

    fn named(namespace: &Namespace, name: &str) -> Invocation {
        let folder = path_folder(namespace.control_plane());
        let program = format!("kubectl-{name}");
        let built = target_folder().join(&program);
        assert!(built.is_file(), "{} is missing: run `cargo build --workspace` first", built.display());
        link(&built, &folder.join(&program));
        Invocation::new(namespace, &folder).args([name])
    }
}

/// The plain kubectl, to compare with and to prepare things as a user would.
#[derive(Debug)]
pub struct Kubectl;

impl Kubectl {
    /// Starts to describe a run of kubectl.
    pub fn command<A: AsRef<str>>(namespace: &Namespace, arguments: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(namespace, &path_folder(namespace.control_plane())).args(arguments)
    }

    /// Runs kubectl to its end.
    #[must_use = "look at the exit status, for example with `expect_code`"]
    pub async fn run<A: AsRef<str>>(namespace: &Namespace, arguments: impl IntoIterator<Item = A>) -> Run {
        Self::command(namespace, arguments).run().await
    }
}

/// The description of a run; nothing of this process's environment reaches it.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `.run().await` or `.spawn()`"]
pub struct Invocation {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    kubectl: PathBuf,
    search_path: OsString,
    home: Option<PathBuf>,
    kubeconfig: PathBuf,
    stdin: Option<String>,
    redirection: Option<String>,
    is_unread: bool,
    deadline: Duration,
    is_shown: bool,
}

impl Invocation {
    fn new(namespace: &Namespace, path: &Path) -> Self {
        let control_plane = namespace.control_plane();
        let mut search_path = path.as_os_str().to_owned();
        if control_plane.outlives_tests() {
            // The kubeconfig of an existing cluster may name a program that logs in.
            search_path.push(":");
            search_path.push(env::var_os("PATH").unwrap_or_default());
        }
        Self {
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            kubectl: path.join("kubectl"),
            search_path,
            home: Some(control_plane.folder().join("home")),
            kubeconfig: namespace.user().kubeconfig.clone(),
            stdin: None,
            redirection: None,
            is_unread: false,
            deadline: RUN_DEADLINE,
            is_shown: false,
        }
    }

    /// Adds arguments.
    pub fn args<A: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment, which is otherwise HOME, KUBECONFIG and PATH.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Looks for plugins in `folder` before anywhere else.
    pub fn path_first(mut self, folder: &Path) -> Self {
        let mut path = folder.as_os_str().to_owned();
        path.push(":");
        path.push(&self.search_path);
        self.search_path = path;
        self
    }

    /// Runs as another user than the namespace's.
    pub fn user(mut self, user: &User) -> Self {
        self.kubeconfig.clone_from(&user.kubeconfig);
        self
    }

    /// Takes HOME away.
    pub fn homeless(mut self) -> Self {
        self.home = None;
        self
    }

    /// Starts it by a shell with this redirection, for example `>&-` for a closed standard output.
    pub fn redirected(mut self, redirection: &str) -> Self {
        self.redirection = Some(redirection.to_owned());
        self
    }

    /// Closes the reading end of its standard output before it can write, as `| true` may.
    pub fn unread(mut self) -> Self {
        self.is_unread = true;
        self
    }

    /// Writes text to the standard input, which is otherwise empty.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Lets it write to this process's own terminal; what it writes is then not in the [`Run`].
    pub fn shown(mut self) -> Self {
        self.is_shown = true;
        self
    }

    /// Says how long it may take (default 120 s).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    #[must_use = "look at the exit status, for example with `expect_code`"]
    pub async fn run(self) -> Run {
        self.spawn().wait().await
    }

    /// Starts it; it is killed when the returned value is dropped.
    pub fn spawn(self) -> Running {
        let mut command = match &self.redirection {
            None => Command::new(&self.kubectl),
            Some(redirection) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {redirection}")).arg(&self.kubectl);
                shell
            }
        };
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.home.iter().map(|home| ("HOME", home)))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", &self.search_path)
            .envs(&self.environment)
            .stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(if self.is_shown { Stdio::inherit() } else { Stdio::piped() })
            .stderr(if self.is_shown { Stdio::inherit() } else { Stdio::piped() })
            .kill_on_drop(true);
        let command_line = format!("kubectl {}", self.arguments.join(" "));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command_line}: {error}"));
        let mut pipes = JoinSet::new();
        if let (Some(mut input), Some(text)) = (child.stdin.take(), self.stdin) {
            pipes.spawn(async move {
                // A program that does not read its input is no failure.
                drop(input.write_all(text.as_bytes()).await);
            });
        }
        let output = Output::new();
        if let Some(pipe) = child.stdout.take().filter(|_| !self.is_unread) {
            pipes.spawn(output.clone().read(pipe, Pipe::Stdout));
        }
        if let Some(pipe) = child.stderr.take() {
            pipes.spawn(output.clone().read(pipe, Pipe::Stderr));
        }
        Running { child, command_line, output, pipes, started: Instant::now(), deadline: self.deadline }
    }
}

/// A run that has not ended.
#[derive(Debug)]
#[must_use = "a run that is dropped is killed"]
pub struct Running {
    child: Child,
    command_line: String,
    output: Output,
    pipes: JoinSet<()>,
    started: Instant,
    deadline: Duration,
}

impl Running {
    /// Returns the process id, which is the plugin's own: kubectl becomes the plugin.
    pub fn pid(&self) -> Pid {
        let pid = self.child.id().unwrap_or_else(|| panic!("{} has ended already", self.command_line));
        Pid::from_raw(pid.cast_signed()).expect("a process id is not 0")
    }

    /// Sends a signal, as Ctrl-C would with [`Signal::INT`].
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal)
            .unwrap_or_else(|error| panic!("send {signal:?} to {}: {error}", self.command_line));
    }

    /// Ends it at once and without a chance to clean up (kill -9); waits until it is gone.
    pub async fn kill(self) -> Run {
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Returns what it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        self.output.text(Pipe::Stdout)
    }

    /// Returns what it has written to its standard error so far.
    pub fn stderr(&self) -> String {
        self.output.text(Pipe::Stderr)
    }

    /// Waits until its standard error contains `text`.
    pub async fn stderr_contains(&self, text: &str) {
        self.contains(Pipe::Stderr, text).await;
    }

    /// Waits until its standard output contains `text`.
    pub async fn stdout_contains(&self, text: &str) {
        self.contains(Pipe::Stdout, text).await;
    }

    async fn contains(&self, pipe: Pipe, text: &str) {
        let output = self.output.clone();
        let mut grown = output.grown.subscribe();
        let looking = async {
            while !output.text(pipe).contains(text) {
                if grown.changed().await.is_err() || output.has_ended(pipe) {
                    return output.text(pipe).contains(text);
                }
            }
            true
        };
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let Ok(found) = time::timeout(left, looking).await else {
            panic!("{}: no {text:?} in time{}", self.command_line, self.output.both());
        };
        assert!(found, "{} ended without {text:?}{}", self.command_line, self.output.both());
    }

    /// Waits until it has ended; panics with its output where that takes too long.
    #[must_use = "look at the exit status, for example with `expect_code`"]
    pub async fn wait(mut self) -> Run {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let Ok(waited) = time::timeout(left, self.child.wait()).await else {
            panic!("{} has not ended within {:?}{}", self.command_line, self.deadline, self.output.both());
        };
        let elapsed = self.started.elapsed();
        let status = waited.unwrap_or_else(|error| panic!("wait for {}: {error}", self.command_line));
        while self.pipes.join_next().await.is_some() {}
        Run {
            command_line: self.command_line,
            status,
            stdout: self.output.text(Pipe::Stdout),
            stderr: self.output.text(Pipe::Stderr),
            elapsed,
        }
    }
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was run.
    pub command_line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to its standard output.
    pub stdout: String,
    /// All it wrote to its standard error.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Run {
    /// Returns the exit status as a shell shows it: 128 and the signal's number for one that was killed.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// Panics with all output unless it ended with `code`; returns itself.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code() == code, "expected exit status {code}, got {self}");
        self
    }

    /// Returns the JSON document on its standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON document: {error}: {self}"))
    }

    /// Returns the JSON documents on its standard output, one a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON line: {error}: {self}"));
        self.stdout.lines().map(parse).collect()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command_line, elapsed, stdout, stderr, .. } = self;
        write!(
            formatter,
            "exit status {} of `{command_line}` after {elapsed:.1?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---",
            self.code()
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pipe {
    Stdout,
    Stderr,
}

/// What a run has written, while it writes.
#[derive(Debug, Clone)]
struct Output {
    pipes: Arc<Mutex<BTreeMap<Pipe, PipeText>>>,
    grown: Arc<watch::Sender<()>>,
}

#[derive(Debug, Default)]
struct PipeText {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn new() -> Self {
        Self { pipes: Arc::default(), grown: Arc::new(watch::Sender::new(())) }
    }

    async fn read(self, mut from: impl AsyncRead + Unpin, pipe: Pipe) {
        let mut buffer = [0; 8192];
        loop {
            let count = from.read(&mut buffer).await.unwrap_or(0);
            {
                let mut pipes = self.pipes.lock().expect("no holder of this lock panics");
                let text = pipes.entry(pipe).or_default();
                text.bytes.extend(buffer.iter().take(count));
                text.ended = count == 0;
            }
            self.grown.send_replace(());
            if count == 0 {
                return;
            }
        }
    }

    fn text(&self, pipe: Pipe) -> String {
        let pipes = self.pipes.lock().expect("no holder of this lock panics");
        pipes.get(&pipe).map_or_else(String::new, |text| String::from_utf8_lossy(&text.bytes).into_owned())
    }

    fn has_ended(&self, pipe: Pipe) -> bool {
        self.pipes.lock().expect("no holder of this lock panics").get(&pipe).is_some_and(|text| text.ended)
    }

    fn both(&self) -> String {
        format!("\n--- stdout\n{}\n--- stderr\n{}\n---", self.text(Pipe::Stdout), self.text(Pipe::Stderr))
    }
}

/// Returns the folder that is the PATH of every run: links to kubectl and to the plugins under test, nothing else.
fn path_folder(control_plane: &ControlPlane) -> PathBuf {
    let folder = control_plane.folder().join("path");
    link(&control_plane.programs().join("kubectl"), &folder.join("kubectl"));
    folder
}

fn link(to: &Path, at: &Path) {
    match symlink(to, at) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("link {}: {error}", at.display()),
        Ok(()) | Err(_) => {}
    }
    assert!(fs::metadata(at).is_ok_and(|file| file.is_file()), "{} is missing", to.display());
}

/// Returns the folder into which `scripts/package` puts archives, sums and manifests.
pub fn packages_folder() -> PathBuf {
    let folder = target_folder().parent().expect("target has a folder for each profile").join("package");
    assert!(folder.is_dir(), "{} is missing: run `scripts/package` first", folder.display());
    folder
}

/// Returns the folder into which cargo puts the plugins: the one above the test program's.
fn target_folder() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let mut folder = test.parent();
    if folder.and_then(Path::file_name) == Some(OsStr::new("deps")) {
        folder = folder.and_then(Path::parent);
    }
    folder.expect("the test program is in a folder of target").to_owned()
}
