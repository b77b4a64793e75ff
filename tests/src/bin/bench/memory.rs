//! The peak memory of a program that runs.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time;

/// How often it is looked at. The kernel keeps the peak; only what comes in the last moment can be missed.
const INTERVAL: Duration = Duration::from_millis(20);

/// The peak of this program itself, in bytes.
pub(crate) fn own_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak_in(&status, "bench")
}

/// The peak of a process since it became the program that it is.
///
/// It is read from /proc and not asked of `wait4`, whose peak is that of the process: kubectl becomes the plugin, and
/// kubectl's own 40 MB would hide what the plugin takes.
#[derive(Debug)]
pub(crate) struct Peak {
    program: &'static str,
    bytes: Option<u64>,
}

impl Peak {
    /// Starts to look for the peak of a program, by the name of its file.
    pub(crate) fn of(program: &'static str) -> Self {
        Self { program, bytes: None }
    }

    /// Looks at a process again and again, for ever.
    pub(crate) async fn follow(&mut self, pid: Pid) -> Infallible {
        let path = format!("/proc/{}/status", pid.as_raw_nonzero());
        let mut ticks = time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let status = fs::read_to_string(&path).unwrap_or_default();
            self.bytes = peak_in(&status, self.program).or(self.bytes);
        }
    }

    /// Returns the highest resident size, in bytes, if it was seen.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// Reads the peak in the text of /proc/PID/status, if the process is `program`; see proc_pid_status(5).
fn peak_in(status: &str, program: &str) -> Option<u64> {
    /// The kernel keeps no more of a name.
    const NAME_LENGTH: usize = 15;
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let name = program.get(..NAME_LENGTH).unwrap_or(program);
    if value("Name") != Some(name) {
        return None;
    }
    let kilobytes: u64 = value("VmHWM")?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::peak_in;

    #[test]
    fn peak_is_that_of_the_program_and_not_of_kubectl_before_it() {
        let status = |name: &str| format!("Name:\t{name}\nUmask:\t0022\nVmHWM:\t   12345 kB\nVmRSS:\t   1 kB\n");
        assert_eq!(peak_in(&status("kubectl-vmievic"), "kubectl-vmievict"), Some(12345 * 1024));
        assert_eq!(peak_in(&status("kubectl"), "kubectl"), Some(12345 * 1024));
        assert_eq!(peak_in(&status("kubectl"), "kubectl-vmievict"), None);
    }

    #[test]
    fn process_that_has_ended_has_no_peak() {
        assert_eq!(peak_in("", "kubectl"), None);
        assert_eq!(peak_in("Name:\tkubectl\nState:\tZ (zombie)\n", "kubectl"), None);
    }
}
