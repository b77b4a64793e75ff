//! KubeVirt's kinds, as the client addresses them.

use kube::Api;
use kube::api::{ApiResource, DynamicObject};

use crate::dynamic;
use api_access::ApiAccess;

/// One of KubeVirt's kinds that a run reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Installation,
    Instance,
    Machine,
    Migration,
}

impl Kind {
    /// Group, version, kind and plural.
    pub(crate) fn resource(self) -> ApiResource {
        let (kind, plural) = match self {
            Self::Installation => ("KubeVirt", "kubevirts"),
            Self::Instance => ("VirtualMachineInstance", "virtualmachineinstances"),
            Self::Machine => ("VirtualMachine", "virtualmachines"),
            Self::Migration => ("VirtualMachineInstanceMigration", "virtualmachineinstancemigrations"),
        };
        dynamic::resource(cluster_model::kubevirt::GROUP, kind, plural)
    }

    /// The objects of one namespace.
    pub(crate) fn api(self, access: &ApiAccess, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(access.client.clone(), namespace, &self.resource())
    }

    /// The objects of the whole cluster.
    pub(crate) fn all(self, access: &ApiAccess) -> Api<DynamicObject> {
        Api::all_with(access.client.clone(), &self.resource())
    }
}
