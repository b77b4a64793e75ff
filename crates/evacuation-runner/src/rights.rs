//! The rights that an evacuation needs, each with what it is needed for.

use api_access::rights::Right;

/// To detach a pod and attach it again.
pub const PATCH_PODS: Right = Right::new("patch", "", "pods");
/// To cordon a node and mark it.
pub const PATCH_NODES: Right = Right::new("patch", "", "nodes");
/// To evict.
pub const EVICT_PODS: Right = Right::on_subresource("create", "", "pods", "eviction");
/// To delete, with `--disable-eviction`.
pub const DELETE_PODS: Right = Right::new("delete", "", "pods");
/// To look at a pod whose detach was not answered.
pub const GET_PODS: Right = Right::new("get", "", "pods");
/// To see what becomes of the nodes.
pub const WATCH_NODES: Right = Right::new("watch", "", "nodes");
/// To see what becomes of the pods.
pub const WATCH_PODS: Right = Right::new("watch", "", "pods");
/// To see that a workload is as strong as before.
pub const WATCH_REPLICA_SETS: Right = Right::new("watch", "apps", "replicasets");
/// The same for a workload that is a ReplicationController.
pub const WATCH_REPLICATION_CONTROLLERS: Right = Right::new("watch", "", "replicationcontrollers");
/// To see that a Service has its endpoint.
pub const WATCH_ENDPOINT_SLICES: Right = Right::new("watch", "discovery.k8s.io", "endpointslices");
/// To lock a node.
pub const CREATE_LEASES: Right = Right::new("create", "coordination.k8s.io", "leases");
/// To see whether somebody has locked it.
pub const GET_LEASES: Right = Right::new("get", "coordination.k8s.io", "leases");
/// To keep it locked.
pub const UPDATE_LEASES: Right = Right::new("update", "coordination.k8s.io", "leases");
/// To unlock it.
pub const DELETE_LEASES: Right = Right::new("delete", "coordination.k8s.io", "leases");
/// To see what becomes of virtual machines.
pub const WATCH_INSTANCES: Right = Right::new("watch", "kubevirt.io", "virtualmachineinstances");
/// To see how migrations go.
pub const WATCH_MIGRATIONS: Right = Right::new("watch", "kubevirt.io", "virtualmachineinstancemigrations");
/// To see who starts a guest again.
pub const WATCH_MACHINES: Right = Right::new("watch", "kubevirt.io", "virtualmachines");
/// To migrate a virtual machine that an eviction would shut down.
pub const CREATE_MIGRATIONS: Right = Right::new("create", "kubevirt.io", "virtualmachineinstancemigrations");
/// To abort a migration.
pub const DELETE_MIGRATIONS: Right = Right::new("delete", "kubevirt.io", "virtualmachineinstancemigrations");
/// To end a virtual machine whose eviction is refused for ever.
pub const DELETE_INSTANCES: Right = Right::new("delete", "kubevirt.io", "virtualmachineinstances");
/// To give a virtual machine its run strategy back.
pub const PATCH_MACHINES: Right = Right::new("patch", "kubevirt.io", "virtualmachines");
/// To call an evacuation off: the API server asks for this one.
pub const EVACUATE: Right =
    Right::on_subresource("update", "subresources.kubevirt.io", "virtualmachineinstances", "evacuate");
/// To call an evacuation off: virt-api asks for this one (OBSERVED, corrections 4).
pub const CANCEL_EVACUATION: Right =
    Right::on_subresource("update", "subresources.kubevirt.io", "virtualmachineinstances", "evacuate/cancel");
/// To restart a virtual machine.
pub const RESTART_MACHINES: Right =
    Right::on_subresource("update", "subresources.kubevirt.io", "virtualmachines", "restart");
/// To stop a virtual machine.
pub const STOP_MACHINES: Right = Right::on_subresource("update", "subresources.kubevirt.io", "virtualmachines", "stop");
/// To see when volumes are detached.
pub const WATCH_ATTACHMENTS: Right = Right::new("watch", "storage.k8s.io", "volumeattachments");
/// To see when a budget has room.
pub const WATCH_BUDGETS: Right = Right::new("watch", "policy", "poddisruptionbudgets");
