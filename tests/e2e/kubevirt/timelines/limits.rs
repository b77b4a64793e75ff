//! How many migrations run at the same time (OBSERVED (i), corrections 15; reference 3.2).

use e2e::kubevirt::{Setup, machine};
use e2e::{ControlPlane, KubeVirt, Namespace};
use serde_json::Value;

use super::record::{MIGRATION, Record, VMI};
use super::{evict_launcher, two_nodes};

/// How long each guest is copied, in seconds.
const COPY: f64 = 5.0;

async fn make(ns: &Namespace, names: &[&str], node: &str) {
    for name in names {
        let vm = machine::virtual_machine(ns, name).eviction_strategy("LiveMigrate").on(node);
        vm.migration_time("5s").create().await;
    }
    machine::until(ns, VMI, "they run", |vmis| {
        vmis.iter().filter(|vmi| vmi["status"]["phase"] == "Running").count() == names.len()
    })
    .await;
}

fn is_over(all: &[Value]) -> bool {
    all.iter().all(|own| own["status"]["phase"] == "Succeeded")
}

/// Returns from when until when a migration had a target pod.
fn span(record: &Record, migration: &str) -> (f64, f64) {
    let when = |phase: &str| record.when(MIGRATION, migration, |own| own["status"]["phase"] == phase);
    (when("Scheduling"), when("Succeeded"))
}

#[tokio::test]
async fn two_migrations_leave_a_node_at_the_same_time() {
    let (ns, a, b) = two_nodes("kt-i").await;
    let names = ["vm-i1", "vm-i2", "vm-i3", "vm-i4"];
    make(&ns, &names, &a).await;
    let record = Record::of(&ns).await;
    for name in names {
        assert_eq!(evict_launcher(&ns, name).await.1, 429);
    }
    // All four are there, two of them without a word why they wait.
    let all = machine::until(&ns, MIGRATION, "two are copied", |all| {
        let count = |phase: &str| all.iter().filter(|own| own["status"]["phase"] == phase).count();
        (count("Running"), count("Pending")) == (2, 2)
    })
    .await;
    for own in all.iter().filter(|own| own["status"]["phase"] == "Pending") {
        assert!(own["status"]["conditions"].is_null(), "{own}");
        assert_eq!(super::events(&ns, own).await, [""; 0]);
    }
    machine::until(&ns, MIGRATION, "all move", |all| all.len() == 4 && is_over(all)).await;

    record.catch_up().await;
    let mut spans: Vec<_> = record.names(MIGRATION).iter().map(|name| span(&record, name)).collect();
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    let [one, two, three, four] = spans[..] else { unreachable!("four migrations") };
    // OBSERVED: two waves of two. How long a wave takes beyond the copy is this machine's matter.
    assert!(two.0 < one.1 && four.0 < three.1, "two at the same time: {spans:?}");
    assert!(one.1.min(two.1) <= three.0, "but not three: {spans:?}");
    assert!(one.1.max(two.1) <= four.0 || three.1 <= four.0, "at no time: {spans:?}");
    assert!(four.1 - one.0 >= 2.0 * COPY, "{spans:?}");
    for name in names {
        assert_eq!(record.last(VMI, name)["status"]["nodeName"], b);
    }
}

/// Reference 3.2: targets that find no node hold the places of others.
#[tokio::test]
async fn unschedulable_targets_hold_both_places_of_the_node() {
    let (ns, a, b) = two_nodes("kt-starve").await;
    let small = ns.node_name("small");
    let names = ["big1", "big2", "small1"];
    for name in names {
        let vm = machine::virtual_machine(&ns, name).eviction_strategy("LiveMigrate").on(&a);
        let vm = if name == "small1" { vm } else { vm.size(1, "64Gi") };
        vm.running().await;
    }
    super::cordon(&ns, &b, true).await;
    machine::node(&ns, "small").capacity("32", "8Gi", 100).create().await;
    let record = Record::of(&ns).await;
    for name in names {
        assert_eq!(evict_launcher(&ns, name).await.1, 429);
    }
    machine::until(&ns, MIGRATION, "the small one waits for the others to time out", |all| {
        all.len() == 3
            && all.iter().all(|own| {
                let phase = if own["spec"]["vmiName"] == "small1" { "Pending" } else { "Scheduling" };
                own["status"]["phase"] == phase
            })
    })
    .await;
    machine::until(&ns, VMI, "the small one moves", |vmis| {
        vmis.iter().any(|vmi| vmi["metadata"]["name"] == "small1" && vmi["status"]["nodeName"] == small.as_str())
    })
    .await;
    record.catch_up().await;
    assert_eq!(record.sequence(VMI, "big1", "/status/nodeName"), [a]);
}

#[tokio::test]
async fn cluster_has_a_limit_of_its_own_and_outlives_its_server() {
    let setup = Setup { parallel_migrations_per_cluster: 1, ..Setup::default() };
    let kubevirt = KubeVirt::install(&ControlPlane::start(), setup).await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "kt-cluster").await;
    let a = machine::node(&ns, "a").create().await;
    machine::node(&ns, "b").create().await;
    let names = ["vm-1", "vm-2"];
    make(&ns, &names, &a).await;
    let record = Record::of(&ns).await;
    for name in names {
        assert_eq!(evict_launcher(&ns, name).await.1, 429);
    }
    machine::until(&ns, MIGRATION, "both move", |all| all.len() == 2 && is_over(all)).await;
    record.catch_up().await;
    let mut spans: Vec<_> = record.names(MIGRATION).iter().map(|name| span(&record, name)).collect();
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(spans[0].1 <= spans[1].0, "{spans:?}");

    // It goes on where it was when the API server comes back.
    super::cordon(&ns, &a, false).await;
    kubevirt.control_plane().restart("kube-apiserver").await;
    let b = ns.node_name("b");
    assert_eq!(evict_launcher(&ns, "vm-1").await.1, 429);
    machine::until(&ns, VMI, "it moves back", |vmis| {
        vmis.iter().any(|vmi| vmi["metadata"]["name"] == "vm-1" && vmi["status"]["nodeName"] == a.as_str())
    })
    .await;
    record.catch_up().await;
    assert_eq!(record.last(VMI, "vm-2")["status"]["nodeName"], b);
}
