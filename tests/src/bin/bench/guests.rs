//! A node full of virtual machines, and an empty one beside it.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON object has not is null")]

use e2e::kubevirt::machine;
use e2e::{ControlPlane, Kubectl, Namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::Value;

const VM: &str = "VirtualMachine";
const VMI: &str = "VirtualMachineInstance";

/// Virtual machines with LiveMigrate on one node, and the other node to which they can go.
pub(crate) struct Guests {
    namespace: Namespace,
    count: usize,
    from: String,
    to: String,
}

impl Guests {
    /// Makes both nodes and the machines, each of which is copied for `copied`, for example "5s"; returns once all of
    /// them run on the first node and the second one takes pods.
    pub(crate) async fn start(control_plane: &ControlPlane, count: usize, copied: &str) -> Self {
        let namespace = Namespace::fresh(control_plane, "bench").await;
        let from = machine::node(&namespace, "from").create().await;
        let to = machine::node(&namespace, "to").cordoned().create().await;
        for number in 0..count {
            machine::virtual_machine(&namespace, &format!("vm-{number}"))
                .eviction_strategy("LiveMigrate")
                .migration_time(copied)
                .create()
                .await;
        }
        machine::until(&namespace, VMI, "all machines run", |all| {
            all.iter().filter(|vmi| can_migrate(vmi)).count() == count
        })
        .await;
        drop(Kubectl::run(&namespace, ["uncordon", &to]).await.expect_code(0));
        Self { namespace, count, from, to }
    }

    /// Returns their namespace.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns the node that is to be emptied.
    pub(crate) fn node(&self) -> &str {
        &self.from
    }

    /// Says which machines are not on the other node, if any.
    pub(crate) async fn expect_moved(&self) -> Result<(), String> {
        let is_moved = |vmi: &Value| vmi["status"]["nodeName"] == *self.to && vmi["status"]["phase"] == "Running";
        let all = machine::api(&self.namespace, VMI).list(&ListParams::default()).await;
        let all = all.map_err(|error| format!("list the machines: {error}"))?.items;
        let all: Vec<Value> = all.iter().filter_map(|vmi| serde_json::to_value(vmi).ok()).collect();
        let moved = all.iter().filter(|vmi| is_moved(vmi)).count();
        let (count, to) = (self.count, &self.to);
        if moved == count { Ok(()) } else { Err(format!("only {moved} of {count} machines run on {to}")) }
    }

    /// Removes them and waits until nothing is left that could disturb what is measured next.
    pub(crate) async fn remove(self) -> Result<(), String> {
        machine::api(&self.namespace, VM)
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .map_err(|error| format!("delete the machines: {error}"))?;
        machine::until(&self.namespace, VMI, "all machines are gone", <[Value]>::is_empty).await;
        self.namespace.until::<Pod>("", "all launchers are gone", <[Pod]>::is_empty).await;
        Ok(())
    }
}

fn can_migrate(vmi: &Value) -> bool {
    let mut conditions = vmi["status"]["conditions"].as_array().into_iter().flatten();
    vmi["status"]["phase"] == "Running"
        && conditions.any(|condition| condition["type"] == "LiveMigratable" && condition["status"] == "True")
}
