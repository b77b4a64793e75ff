//! `kubectl vmievict` against the stand-in for KubeVirt.

mod broken_kubevirt;
mod calling_off;
mod decisions;
mod evacuation;
mod forecast;
mod interference;
mod many;
mod rbac;
mod refusals;
mod workflow_d;

use e2e::kubevirt::machine;
use e2e::{KubeVirt, Namespace};

/// A namespace with two nodes for guests, `old` and `new`; guests are asked onto the first.
async fn two_nodes(name: &str) -> (Namespace, String, String) {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), name).await;
    let old = machine::node(&ns, "old").create().await;
    let new = machine::node(&ns, "new").create().await;
    (ns, old, new)
}
