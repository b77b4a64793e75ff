//! The process environment, captured once where a run starts, so that everything below is a function of its arguments.

use std::ffi::OsString;
use std::path::PathBuf;

/// The variables and the place that decide how a run connects and prints.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `KUBECONFIG`: a list of files.
    pub kubeconfig: Option<OsString>,
    /// The home folder; none is known to some service users.
    pub home: Option<PathBuf>,
    /// `HTTPS_PROXY`, else `https_proxy`.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
    /// `KUBERNETES_SERVICE_HOST`, set in every pod.
    pub service_host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`, set in every pod.
    pub service_port: Option<String>,
    /// Where a pod finds its service account.
    pub service_account: PathBuf,
    /// `COLUMNS`: the width of the terminal.
    pub columns: Option<String>,
    /// `NO_COLOR`: not empty means no colours.
    pub no_color: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// `USER`, else `USERNAME`: who is logged in here, for marks in the cluster.
    pub login: Option<String>,
}

impl Environment {
    /// Reads the environment of this process. An empty variable counts as unset.
    pub fn from_process() -> Self {
        Self {
            kubeconfig: first_set(&["KUBECONFIG"]),
            home: first_set(if cfg!(windows) { &["HOME", "USERPROFILE"] } else { &["HOME"] }).map(PathBuf::from),
            https_proxy: first_text(&["HTTPS_PROXY", "https_proxy"]),
            no_proxy: first_text(&["NO_PROXY", "no_proxy"]),
            service_host: first_text(&["KUBERNETES_SERVICE_HOST"]),
            service_port: first_text(&["KUBERNETES_SERVICE_PORT"]),
            service_account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
            columns: first_text(&["COLUMNS"]),
            no_color: first_text(&["NO_COLOR"]),
            term: first_text(&["TERM"]),
            login: first_text(&["USER", "USERNAME"]),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where a run reads its environment")]
fn first_set(names: &[&str]) -> Option<OsString> {
    names.iter().filter_map(std::env::var_os).find(|value| !value.is_empty())
}

fn first_text(names: &[&str]) -> Option<String> {
    first_set(names).map(|value| value.to_string_lossy().into_owned())
}
