//! How many migrations run at the same time (OBSERVED (i), corrections 15; reference 3.2).

use std::time::Duration;

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
        all.len() == 4 && all.iter().filter(|own| own["status"]["phase"] == "Running").count() == 2
    })
    .await;
    let waiting: Vec<_> = all.iter().filter(|own| own["status"]["phase"] == "Pending").collect();
    assert_eq!(waiting.len(), 2);
    for own in waiting {
        assert!(own["status"]["conditions"].is_null(), "{own}");
        assert_eq!(super::events(&ns, own).await, [""; 0]);
    }
    machine::until(&ns, MIGRATION, "all move", |all| all.len() == 4 && is_over(all)).await;

    let first = record
        .names(MIGRATION)
        .iter()
        .map(|name| record.when(MIGRATION, name, |own| !own.is_null()))
        .fold(f64::MAX, f64::min);
    let last = record
        .names(MIGRATION)
        .iter()
        .map(|name| record.when(MIGRATION, name, |own| own["status"]["phase"] == "Succeeded"))
        .fold(0.0, f64::max);
    let waves = (last - first) / COPY;
    assert!((2.0..3.0).contains(&waves), "{waves} waves");
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
    assert_eq!(record.sequence(VMI, "big1", "/status/nodeName"), [a]);
}

#[tokio::test]
async fn cluster_has_a_limit_of_its_own() {
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
    let ended = record
        .names(MIGRATION)
        .iter()
        .map(|name| record.when(MIGRATION, name, |own| own["status"]["phase"] == "Succeeded"))
        .collect::<Vec<_>>();
    let apart = (ended[0] - ended[1]).abs();
    assert!(Duration::from_secs_f64(apart) >= Duration::from_secs_f64(COPY), "{apart} s apart");
}
