//! How the plan that was shown and the one that is made under the lease differ, line by line.

use cluster_model::kubevirt;
use evacuation::plan::{Action, Drift};

/// Tells one difference.
pub(crate) fn drift_line(drift: &Drift) -> String {
    match drift {
        Drift::Appeared(pod, action) => format!("  pod {pod} is new here: {}", action_words(*action)),
        Drift::Changed(pod, before, after) => {
            format!("  pod {pod}: {} instead of {}", action_words(*after), action_words(*before))
        }
        Drift::Bypasses(pod) => format!("  pod {pod}: deleted past its budget instead of evicted under it"),
        Drift::VmAppeared(vm, action) => format!("  virtual machine {vm} is new here: {}", vm_words(*action)),
        Drift::VmChanged(vm, before, after) => {
            format!("  virtual machine {vm}: {} instead of {}", vm_words(*after), vm_words(*before))
        }
    }
}

fn action_words(action: Action) -> &'static str {
    match action {
        Action::Handover => "handed over",
        Action::Evict => "evicted",
        Action::Wait => "waited for",
        Action::Leave => "left",
        Action::Refuse => "refused",
    }
}

fn vm_words(action: kubevirt::Action) -> &'static str {
    match action {
        kubevirt::Action::Migrate => "migrated",
        kubevirt::Action::Restart => "restarted",
        kubevirt::Action::Stop => "stopped",
        kubevirt::Action::Leave => "left",
        kubevirt::Action::Refuse => "refused",
    }
}
