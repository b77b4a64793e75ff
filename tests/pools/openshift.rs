//! MachineSets by OpenShift's own custom resources; its controllers are played by a stand-in.

use std::time::Duration;

use e2e::{Kubectl, Namespace, OpenShift, Plugin, Roles, eventually};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::objects::{apply, follow_advice, get, naive_copy, names, written};
use crate::shop::Shop;

const SETS: &str = "machinesets.machine.openshift.io";
const MACHINES: &str = "machines.machine.openshift.io";
const NAME: &str = "machine.openshift.io/cluster-api-machineset";
const DEADLINE: Duration = Duration::from_secs(60);

/// A test's MachineSets.
pub(crate) struct MachineSets {
    ns: Namespace,
}

impl MachineSets {
    pub(crate) async fn open(purpose: &str) -> Self {
        Self { ns: Namespace::fresh(OpenShift::shared().await.control_plane(), purpose).await }
    }

    pub(crate) async fn set(&self, name: &str, replicas: u32) {
        let labels = json!({ NAME: name, "machine.openshift.io/cluster-api-cluster": "infra" });
        let value = json!({ "apiVersion": "foo/v1", "kind": "FooMachineProviderSpec", "cpu": 8, "memory": "16Gi",
            "anything": [{ "deep": true }] });
        let spec = json!({
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "metadata": { "labels": { "team": "blue" } }, "providerSpec": { "value": value } },
            },
        });
        let object = json!({ "apiVersion": "machine.openshift.io/v1beta1", "kind": "MachineSet",
            "metadata": { "name": name }, "spec": spec });
        apply(&self.ns, &object).await;
        self.until_available(name, replicas).await;
    }

    async fn until_available(&self, name: &str, replicas: u32) {
        eventually(&format!("{name} has {replicas} available nodes"), DEADLINE, || async {
            get(&self.ns, SETS, name).await.unwrap()["status"]["availableReplicas"] == replicas
        })
        .await;
    }

    async fn machines(&self, label: &str) -> Vec<String> {
        names(&self.ns, MACHINES, &format!("{NAME}={label}")).await
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Plugin::poolcopy(&self.ns).args(["-n", self.ns.name()]).args(arguments)
    }
}

impl Ground for MachineSets {
    fn ns(&self) -> &Namespace {
        &self.ns
    }

    fn poolcopy(&self, arguments: &[&str]) -> e2e::Invocation {
        Self::poolcopy(self, arguments)
    }

    async fn pools(&self) -> Vec<String> {
        names(&self.ns, SETS, "").await
    }

    async fn pool(&self, name: &str) -> Value {
        get(&self.ns, SETS, name).await.unwrap()
    }

    async fn nodes(&self, pool: &str) -> Vec<String> {
        // The stand-in calls a node like its machine.
        self.machines(pool).await
    }

    async fn objects(&self) -> Vec<String> {
        let mut all = names(&self.ns, SETS, "").await;
        all.extend(names(&self.ns, MACHINES, "").await);
        all.extend(names(&self.ns, "nodes", &format!("handover.test/namespace={}", self.ns.name())).await);
        all
    }
}

#[tokio::test]
async fn a_machine_set_is_copied_its_work_handed_over_and_then_it_is_retired() {
    let fleet = MachineSets::open("os-copied").await;
    fleet.set("blue", 2).await;
    let ns = &fleet.ns;
    let shop = Shop::open(ns, 2).await;
    let before = get(ns, SETS, "blue").await.unwrap();
    let user = ns.limited_user();
    Roles::read("poolcopy").bind(ns, &user).await;

    let copied = fleet.poolcopy(&["blue"]).user(&user).run().await.expect_code(0);
    assert!(copied.stderr.contains("blue-2 has 2 ready nodes, and is identical to its source"), "{copied}");
    assert_eq!(written(&get(ns, SETS, "blue").await.unwrap()), written(&before), "the source is as it was");
    let copy = get(ns, SETS, "blue-2").await.unwrap();
    assert_eq!(copy["spec"]["template"]["spec"], before["spec"]["template"]["spec"]);
    assert_eq!((fleet.machines("blue").await.len(), fleet.machines("blue-2").await.len()), (2, 2));
    let again = fleet.poolcopy(&["blue"]).user(&user).run().await.expect_code(0);
    assert!(again.stderr.contains("The copy has been made already"), "{again}");

    let refused = fleet.poolcopy(&["blue", "--retire"]).user(&user).run().await.expect_code(3);
    assert!(refused.stderr.contains("blue is not empty"), "{refused}");
    follow_advice(ns, &copied).await;
    let retired = fleet.poolcopy(&["blue", "--retire"]).user(&user).run().await.expect_code(0);

    shop.never_had_less().await;
    assert!(get(ns, SETS, "blue").await.is_none() && fleet.machines("blue").await.is_empty(), "{retired}");
    let copy = get(ns, SETS, "blue-2").await.unwrap();
    assert_eq!(copy["metadata"]["annotations"]["handover/copy"], Value::Null, "a pool like any other");
    let audit = e2e::AuditLog::of_user(ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(e2e::AuditEvent::summary).collect();
    assert!(denied.is_empty(), "the roles of the file are enough: {denied:#?}");
}

#[tokio::test]
async fn an_undone_copy_leaves_nothing_and_a_pool_shrinks_by_its_empty_nodes() {
    let fleet = MachineSets::open("os-undone").await;
    fleet.set("blue", 2).await;
    let before = get(&fleet.ns, SETS, "blue").await.unwrap();
    fleet.poolcopy(&["blue", "--name=green", "--nodes=1"]).run().await.expect_code(0);
    fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert!(get(&fleet.ns, SETS, "green").await.is_none() && fleet.machines("green").await.is_empty());
    assert_eq!(written(&get(&fleet.ns, SETS, "blue").await.unwrap()), written(&before));

    let machines = fleet.machines("blue").await;
    fleet.poolcopy(&["blue", "--resize=-1"]).run().await.expect_code(3);
    Kubectl::run(&fleet.ns, ["cordon", &machines[1]]).await.expect_code(0);
    fleet.poolcopy(&["blue", "--resize=-1"]).run().await.expect_code(0);
    eventually("the cordoned node went", DEADLINE, || async { fleet.machines("blue").await == machines[..1] }).await;
}

/// The autoscaler is an object of its own, in a version that its group does not prefer.
#[tokio::test]
async fn a_scaled_set_grows_no_further_once_its_copy_is_ready() {
    let fleet = MachineSets::open("os-scaled").await;
    fleet.set("blue", 1).await;
    let spec = json!({
        "minReplicas": 1, "maxReplicas": 6,
        "scaleTargetRef": { "apiVersion": "machine.openshift.io/v1beta1", "kind": "MachineSet", "name": "blue" },
    });
    let scaler = json!({ "apiVersion": "autoscaling.openshift.io/v1beta1", "kind": "MachineAutoscaler",
        "metadata": { "name": "blue-scaler" }, "spec": spec });
    apply(&fleet.ns, &scaler).await;
    let most = async || {
        get(&fleet.ns, "machineautoscalers.autoscaling.openshift.io", "blue-scaler").await.unwrap()["spec"]["maxReplicas"]
            .as_u64()
    };
    let listed = fleet.poolcopy(&["--list", "-o", "wide"]).run().await.expect_code(0);
    assert!(listed.stdout.contains("MachineAutoscaler blue-scaler, 1 to 6"), "{listed}");
    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert_eq!(most().await, Some(1), "{copied}");
    assert!(copied.stderr.contains("scaleTargetRef.name is blue-2"), "{copied}");
    fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert_eq!(most().await, Some(6));
    // Whoever stopped it themselves finds it so after a copy and its undo.
    fleet.poolcopy(&["blue", "--freeze"]).run().await.expect_code(0);
    fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert_eq!(most().await, Some(1));
    fleet.poolcopy(&["blue", "--thaw"]).run().await.expect_code(0);
    assert_eq!(most().await, Some(6));
}

/// The label of the machines: a copy that keeps the source's takes the source's machines over once they have no owner,
/// and deletes what is too much.
#[tokio::test]
async fn a_copy_with_the_sources_label_deletes_the_sources_machines_and_ours_does_not() {
    let fleet = MachineSets::open("os-label").await;
    fleet.set("blue", 1).await;
    let orphan = ["delete", SETS, "blue", "--cascade=orphan"];
    fleet.poolcopy(&["blue", "--name=ours"]).run().await.expect_code(0);
    let (old, new) = (fleet.machines("blue").await, fleet.machines("ours").await);
    assert_eq!((old.len(), new.len()), (1, 1));
    // Whoever removes the set and keeps its machines, keeps them.
    Kubectl::run(&fleet.ns, orphan).await.expect_code(0);
    fleet.until_available("ours", 1).await;
    assert_eq!((fleet.machines("blue").await, fleet.machines("ours").await), (old.clone(), new));
    fleet.set("blue", 1).await;
    assert_eq!(fleet.machines("blue").await, old, "made anew, it takes its machine back");

    naive_copy(&fleet.ns, SETS, "blue", "naive").await;
    fleet.until_available("naive", 1).await;
    assert_eq!(fleet.machines("blue").await.len(), 2, "nobody can tell whose is whose");
    let listed = fleet.poolcopy(&["--list"]).run().await.expect_code(0);
    assert!(listed.stdout.contains("another set's name"), "{listed}");
    fleet.poolcopy(&["naive"]).run().await.expect_code(3);
    Kubectl::run(&fleet.ns, orphan).await.expect_code(0);
    eventually("one of both is deleted", DEADLINE, || async { fleet.machines("blue").await.len() == 1 }).await;
}
