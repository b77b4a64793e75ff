use super::*;
use crate::fixtures::kubevirt::kubevirt;

/// Reference 3.2: 5 in the cluster, 2 outbound a node, each by itself.
#[test]
fn limits_default_one_by_one() {
    let plain = KubeVirt::from(&kubevirt("v1.9.0").build());
    assert_eq!(plain.limits, MigrationLimits { per_cluster: 5, outbound_per_node: 2 });
    assert_eq!(plain.version(), Some(Version { major: 1, minor: 9 }));
    assert_eq!(plain.drain_taint, "kubevirt.io/drain");
    let set = kubevirt("v1.9.0")
        .set("/spec/configuration/migrations/parallelOutboundMigrationsPerNode", 4)
        .set("/spec/configuration/migrations/nodeDrainTaintKey", "example.com/drain");
    let set = KubeVirt::from(&set.build());
    assert_eq!(set.limits, MigrationLimits { per_cluster: 5, outbound_per_node: 4 });
    assert_eq!(set.drain_taint, "example.com/drain");
}
