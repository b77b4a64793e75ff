//! A control plane on loopback: started once for a test process, or privately for a test that stops and restarts parts
//! of it. The program that it runs is tests/control-plane; scripts/control-plane builds it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig, NamedContext};
use kube::{Client, Config};
use serde::Deserialize;

/// The users that `control-plane run` makes; see tests/control-plane/credentials.go.
const OPERATORS: usize = 500;
const LIMITED: usize = 100;

/// How long the control plane may take to end once its input is closed.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// A running control plane. A clone is another handle on the same one.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kubeconfig: Kubeconfig,
    server: String,
    audit_log: Option<PathBuf>,
    webhooks: Option<String>,
    /// Where control-plane, kwok and kubectl are.
    programs: PathBuf,
    /// Files of this test run; inside the control plane's own folder, which it removes when it ends.
    folder: PathBuf,
    operators: AtomicUsize,
    limited: AtomicUsize,
    namespaces: AtomicUsize,
    process: Option<Mutex<Process>>,
}

/// The program `control-plane run`. It ends when its input does, so it ends with this process however this one ends.
#[derive(Debug)]
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pids: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    server: String,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    #[serde(default)]
    webhooks: Option<String>,
    pids: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    pids: BTreeMap<String, u32>,
}

/// Someone who sends requests: a name in the audit log and a kubeconfig file for kubectl.
#[derive(Clone, Debug)]
pub struct User {
    /// The name the server knows.
    pub name: String,
    /// A kubeconfig whose only context is this user's.
    pub kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Returns the control plane of this test process, started on first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(|| match env::var_os("HANDOVER_TEST_KUBECONFIG") {
            Some(kubeconfig) => Self::existing(Path::new(&kubeconfig)),
            None => Self::start(),
        })
    }

    /// Starts a control plane of its own for one test; it ends when the last handle is dropped.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more flags of `control-plane run`, for example `--kcm-qps=0`.
    pub fn start_with(flags: &[&str]) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .prefix("handover-e2e-")
            .tempdir()
            .expect("a temporary folder can be made")
            // `run --remove` removes it, also when this process is killed.
            .keep();
        let mut child = Command::new(programs.join("control-plane"))
            .args(["run", "--remove", "--dir"])
            .arg(&folder)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start the control plane in {}: {error}", programs.display()));
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("the output is a pipe"));
        let line = read_line(&mut output);
        let announcement: Announcement = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the control plane did not start (see above): {error} in {line:?}"));
        Self::new(
            &announcement.kubeconfig,
            announcement.server,
            Some(announcement.audit_log),
            announcement.webhooks,
            programs,
            folder,
            Some(Mutex::new(Process { child, input, output, pids: announcement.pids })),
        )
    }

    /// Uses a cluster that exists already, with the current context of a kubeconfig. It has no audit log to read.
    pub fn existing(kubeconfig: &Path) -> Self {
        let folder =
            tempfile::Builder::new().prefix("handover-e2e-").tempdir().expect("a temporary folder can be made").keep();
        Self::new(kubeconfig, String::from("the existing cluster"), None, None, programs(), folder, None)
    }

    fn new(
        kubeconfig: &Path,
        server: String,
        audit_log: Option<PathBuf>,
        webhooks: Option<String>,
        programs: PathBuf,
        folder: PathBuf,
        process: Option<Mutex<Process>>,
    ) -> Self {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)
            .unwrap_or_else(|error| panic!("read the kubeconfig {}: {error}", kubeconfig.display()));
        for name in ["users", "home", "path"] {
            fs::create_dir_all(folder.join(name)).expect("the run's folder can be written");
        }
        Self {
            inner: Arc::new(Inner {
                kubeconfig,
                server,
                audit_log,
                webhooks,
                programs,
                folder,
                operators: AtomicUsize::new(0),
                limited: AtomicUsize::new(0),
                namespaces: AtomicUsize::new(0),
                process,
            }),
        }
    }

    /// Returns the URL of the API server.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// Returns the audit log's path; an existing cluster has none.
    pub fn audit_log(&self) -> Option<&Path> {
        self.inner.audit_log.as_deref()
    }

    /// Returns where the core manager of Cluster API answers webhooks; `None` without `--cluster-api`.
    pub(crate) fn webhooks(&self) -> Option<&str> {
        self.inner.webhooks.as_deref()
    }

    /// Returns the certificate of the authority that signed the API server's, in PEM as base64.
    pub(crate) fn authority(&self) -> String {
        let mut clusters = self.inner.kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
        let data = clusters.find_map(|cluster| cluster.certificate_authority_data.clone());
        data.expect("the kubeconfig of our own control plane holds the certificate")
    }

    /// Returns the kubeconfig of an administrator, as text.
    pub fn administrator(&self) -> String {
        fs::read_to_string(self.user("admin", "default").kubeconfig).expect("the harness wrote this kubeconfig")
    }

    /// Returns the folder of files that live as long as the control plane.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Returns the folder that holds kubectl.
    pub fn programs(&self) -> &Path {
        &self.inner.programs
    }

    /// Returns a client of the administrator for the calling test's runtime. A client must not outlive its runtime,
    /// so each test makes its own.
    pub async fn client(&self) -> Client {
        self.client_as("admin").await
    }

    /// Returns a client of a user by name, for example one that [`ControlPlane::limited`] gave.
    pub async fn client_as(&self, user: &str) -> Client {
        let options = KubeConfigOptions { context: self.context_of(user), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(self.inner.kubeconfig.clone(), &options)
            .await
            .unwrap_or_else(|error| panic!("make a client of {user}: {error}"));
        Client::try_from(config).unwrap_or_else(|error| panic!("make a client of {user}: {error}"))
    }

    /// Returns a client of the administrator that acts as another user, for example one that no kubeconfig has.
    pub(crate) async fn client_acting_as(&self, user: &str, group: &str) -> Client {
        let options = KubeConfigOptions { context: self.context_of("admin"), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(self.inner.kubeconfig.clone(), &options)
            .await
            .unwrap_or_else(|error| panic!("make a client of {user}: {error}"));
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec![group.to_owned()]);
        Client::try_from(config).unwrap_or_else(|error| panic!("make a client of {user}: {error}"))
    }

    /// Returns a client that sends requests of others on as they are: it adds the user's token and tries nothing twice.
    pub async fn forwarding_client(&self, user: &User) -> Client {
        let kubeconfig = Kubeconfig::read_from(&user.kubeconfig).expect("the harness wrote this kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap_or_else(|error| panic!("make a client of {}: {error}", user.name));
        config.default_retry = false;
        Client::try_from(config).unwrap_or_else(|error| panic!("make a client of {}: {error}", user.name))
    }

    /// Returns the same user, whose kubeconfig leads to another address.
    pub(crate) fn user_through(&self, user: &User, server: &str, authority: &str) -> User {
        let mut config = Kubeconfig::read_from(&user.kubeconfig).expect("the harness wrote this kubeconfig");
        let port = server.rsplit(':').next().unwrap_or_default();
        let name = format!("{}-through-{port}", user.name);
        let certificate = self.inner.folder.join("users").join(format!("{name}.crt"));
        fs::write(&certificate, authority).expect("the run's folder can be written");
        for cluster in config.clusters.iter_mut().filter_map(|cluster| cluster.cluster.as_mut()) {
            cluster.server = Some(server.to_owned());
            cluster.certificate_authority_data = None;
            cluster.certificate_authority = Some(certificate.to_string_lossy().into_owned());
        }
        let kubeconfig = self.write_kubeconfig(&name, &config);
        User { name: user.name.clone(), kubeconfig }
    }

    /// Returns the same user, whose kubeconfig has one context more, called `name`: another cluster's, as its user.
    pub fn user_with_context(&self, user: &User, name: &str, other: &User) -> User {
        let read = |user: &User| Kubeconfig::read_from(&user.kubeconfig).expect("the harness wrote this kubeconfig");
        let (mut config, mut more) = (read(user), read(other));
        for cluster in &mut more.clusters {
            name.clone_into(&mut cluster.name);
        }
        for info in &mut more.auth_infos {
            name.clone_into(&mut info.name);
        }
        for context in &mut more.contexts {
            name.clone_into(&mut context.name);
            let inner = context.context.as_mut().expect("the harness wrote this context");
            name.clone_into(&mut inner.cluster);
            inner.user = Some(name.to_owned());
        }
        config.clusters.extend(more.clusters);
        config.auth_infos.extend(more.auth_infos);
        config.contexts.extend(more.contexts);
        let kubeconfig = self.write_kubeconfig(&format!("{}-and-{name}", user.name), &config);
        User { name: user.name.clone(), kubeconfig }
    }

    fn write_kubeconfig(&self, name: &str, config: &Kubeconfig) -> PathBuf {
        let path = self.inner.folder.join("users").join(format!("{name}.kubeconfig"));
        // JSON is YAML, so kubectl reads it as well.
        let text = serde_json::to_string_pretty(config).expect("a kubeconfig can be written as JSON");
        fs::write(&path, text).expect("the run's folder can be written");
        path
    }

    /// Returns a user with every right whom no other test uses, with a kubeconfig whose namespace is `namespace`.
    pub fn operator(&self, namespace: &str) -> User {
        let number = self.inner.operators.fetch_add(1, Ordering::Relaxed);
        assert!(number < OPERATORS, "all {OPERATORS} operators are in use: make more in credentials.go");
        self.user(&format!("operator-{number:03}"), namespace)
    }

    /// Returns a user without any right whom no other test uses, with a kubeconfig whose namespace is `namespace`.
    pub fn limited(&self, namespace: &str) -> User {
        assert!(self.inner.process.is_some(), "an existing cluster has no users without rights");
        let number = self.inner.limited.fetch_add(1, Ordering::Relaxed);
        assert!(number < LIMITED, "all {LIMITED} limited users are in use: make more in credentials.go");
        self.user(&format!("limited-{number:03}"), namespace)
    }

    /// Returns a number that is unique among the namespaces of this control plane.
    pub(crate) fn next_namespace(&self) -> usize {
        self.inner.namespaces.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns whether the cluster outlives the tests, so that they must clean up.
    pub(crate) fn outlives_tests(&self) -> bool {
        self.inner.process.is_none()
    }

    /// Returns the process ids of the control plane by name: `run` and each program.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        self.process().lock().expect("no holder of this lock panics").pids.clone()
    }

    /// Stops a program and starts it again on the same port; returns when the API server is ready.
    /// Programs: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok.
    pub async fn restart(&self, program: &str) {
        self.tell(format!("restart {program}")).await;
    }

    /// Stops a program politely.
    pub async fn stop(&self, program: &str) {
        self.tell(format!("stop {program}")).await;
    }

    /// Ends a program as a crash would.
    pub async fn kill(&self, program: &str) {
        self.tell(format!("kill {program}")).await;
    }

    /// Starts a program that was stopped or killed; returns when the API server is ready.
    pub async fn resume(&self, program: &str) {
        self.tell(format!("start {program}")).await;
    }

    /// Closes the input of `control-plane run`, as the end of this process would.
    pub fn close_input(&self) {
        drop(self.process().lock().expect("no holder of this lock panics").input.take());
    }

    async fn tell(&self, command: String) {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut process = this.process().lock().expect("no holder of this lock panics");
            let input = process.input.as_mut().expect("the input is still open");
            writeln!(input, "{command}").unwrap_or_else(|error| panic!("{command}: {error}"));
            let line = read_line(&mut process.output);
            let reply: Reply =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {error} in {line:?}"));
            assert_eq!(reply.error, None, "{command}");
            process.pids = reply.pids;
        })
        .await
        .expect("the command was carried out");
    }

    fn process(&self) -> &Mutex<Process> {
        self.inner.process.as_ref().expect("an existing cluster is not ours to stop or restart")
    }

    /// An existing cluster has one user: the current one.
    fn context_of(&self, user: &str) -> Option<String> {
        self.inner.process.as_ref().map(|_| user.to_owned())
    }

    /// Writes the kubeconfig of one user. Its context has the same name in every run, so that output can be compared.
    fn user(&self, name: &str, namespace: &str) -> User {
        let mut config = self.inner.kubeconfig.clone();
        let wanted = self.context_of(name).or_else(|| config.current_context.take()).unwrap_or_default();
        let mut context = config
            .contexts
            .iter()
            .find(|context| context.name == wanted)
            .and_then(|context| context.context.clone())
            .unwrap_or_else(|| panic!("the kubeconfig has a context {wanted}"));
        context.namespace = Some(namespace.to_owned());
        config.clusters.retain(|cluster| cluster.name == context.cluster);
        config.auth_infos.retain(|info| Some(&info.name) == context.user.as_ref());
        config.contexts =
            vec![NamedContext { name: String::from("handover-test"), context: Some(context), other: BTreeMap::new() }];
        config.current_context = Some(String::from("handover-test"));
        User { name: name.to_owned(), kubeconfig: self.write_kubeconfig(name, &config) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process
            && let Ok(process) = process.get_mut()
        {
            process.end();
        }
    }
}

impl Process {
    /// Asks the program to end and waits for it; a program that does not is killed, and its children with it.
    fn end(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + END_DEADLINE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the folder with the built programs; builds them, once, where none is given.
pub(crate) fn programs() -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let given = || env::var_os("HANDOVER_CONTROL_PLANE").map(PathBuf::from);
    PROGRAMS.get_or_init(|| given().unwrap_or_else(build)).clone()
}

fn build() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/control-plane");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
    assert!(output.status.success(), "{} failed (see above)", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn read_line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("the control plane's output can be read");
    line
}
