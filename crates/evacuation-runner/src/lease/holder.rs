//! Who holds a lease, told so that a person knows whom to ask and the same host knows whether the process still lives.

use std::fmt;

use cluster_model::legible::Legible;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use super::object::HOLDER;

/// The run behind a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The user, as the kubeconfig names them.
    pub user: String,
    /// The host that the run is started on.
    pub host: String,
    /// Which boot of which machine, and which of its process namespaces: only there the process number means
    /// anything. `None` where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The process there.
    pub pid: u32,
    /// Since when, by the operator's clock.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, user, host, machine: _, pid, since } = self;
        let (run, user, host) = (Legible(run), Legible(user), Legible(host));
        write!(f, "{user}@{host} (process {pid}, run {run}, since {since:.0})")
    }
}

impl Holder {
    /// Describes this process.
    pub fn this_process(run: &str, user: &str, since: Timestamp) -> Self {
        Self {
            run: run.to_owned(),
            user: user.to_owned(),
            host: host_name(),
            machine: machine(),
            pid: std::process::id(),
            since,
        }
    }

    /// Reads the holder of a lease. One that this program cannot read, of a newer version say, is known by its
    /// `holderIdentity` alone.
    pub(super) fn of(lease: &Lease) -> Self {
        let annotation = lease.metadata.annotations.as_ref().and_then(|all| all.get(HOLDER));
        let spec = lease.spec.as_ref();
        annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| {
            let unknown = Self::unknown();
            Self {
                user: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or(unknown.user),
                since: spec.and_then(|spec| spec.acquire_time.as_ref()).map_or(unknown.since, |time| time.0),
                ..unknown
            }
        })
    }

    /// Somebody of whom nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            run: "unknown".to_owned(),
            user: "somebody".to_owned(),
            host: "an unknown host".to_owned(),
            machine: None,
            pid: 0,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    pub(super) fn to_text(&self) -> String {
        // A plain struct of strings and numbers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it ran on the same boot of the same machine as `me`, among the same processes, and is gone. Host names
    /// say nothing here: two containers, or two laptops called localhost, may share one.
    pub(super) fn is_dead_here(&self, me: &Self) -> bool {
        self.machine.is_some() && self.machine == me.machine && self.pid != me.pid && !is_alive(self.pid)
    }
}

/// The boot's id and the process namespace; only Linux tells both.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // Another user's process may not be signalled, but it is there.
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "Windows tells the name of the host in the environment")]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_process_of_the_same_machine_is_dead() {
        let me = Holder::this_process("r1", "alice", Timestamp::UNIX_EPOCH);
        let dead = Holder { pid: 0x7fff_fff0, ..me.clone() };
        assert_eq!(dead.is_dead_here(&me), cfg!(target_os = "linux"));
        assert!(!me.is_dead_here(&me));
        assert!(!Holder { machine: Some("another boot".into()), ..dead.clone() }.is_dead_here(&me));
        assert!(!Holder { machine: None, ..dead }.is_dead_here(&Holder { machine: None, ..me }));
    }
}
