//! The harness itself: what the other tests take for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as CoreNamespace, Pod};
use kube::api::ApiResource;
use kube::{Api, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long the processes of a control plane may take to end.
const END_DEADLINE: Duration = Duration::from_secs(15);

#[test]
fn every_file_of_tests_is_listed() {
    let mut folders: Vec<_> = ["e2e", "faults", "krew", "pools"]
        .map(|folder| (Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "main"))
        .into();
    while let Some((folder, root)) = folders.pop() {
        let text = fs::read_to_string(folder.join(root).with_extension("rs")).unwrap();
        let names = text.lines().filter_map(|line| {
            line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
        });
        let listed: BTreeSet<String> = names.chain([root]).map(str::to_owned).collect();
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // Snapshots are insta's.
            if path.ends_with("snapshots") {
                continue;
            }
            present.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
            if path.is_dir() {
                folders.push((path, "mod"));
            }
        }
        assert_eq!(present, listed, "{}", folder.display());
    }
}

/// What nobody ends any more would be looked at by the controller of namespaces for as long as the control plane lives.
#[tokio::test]
async fn nothing_is_left_of_a_namespace_soon_after_its_test() {
    let (client, name) = {
        let ns = Namespace::fresh(ControlPlane::shared(), "left").await;
        ns.node("old").create().await;
        ns.pod("stays").exit_after("never").ready().await;
        ns.create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "held", "finalizers": ["handover.test/hold"] } }))
            .await;
        ns.frees(ApiResource::erase::<ConfigMap>(&()));
        (ns.client(), ns.name().to_owned())
    };
    // The collector of pods whose node is gone would take more than half a minute for the pod.
    eventually("the namespace is gone", Duration::from_secs(25), || async {
        Api::<CoreNamespace>::all(client.clone()).get_opt(&name).await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn control_plane_ends_when_its_input_ends() {
    let control_plane = ControlPlane::start();
    let pids = control_plane.pids();
    assert_eq!(pids.len(), 6, "{pids:?}");
    control_plane.close_input();
    eventually("every process has ended", END_DEADLINE, || async { running(&pids).is_empty() }).await;
    assert!(!control_plane.folder().exists(), "its folder is removed");
}

#[tokio::test]
async fn control_plane_ends_when_it_is_killed() {
    let control_plane = ControlPlane::start();
    let pids = control_plane.pids();
    kill_process(pid(pids["run"]), Signal::KILL).unwrap();
    eventually("every process has ended", END_DEADLINE, || async { running(&pids).is_empty() }).await;
    fs::remove_dir_all(control_plane.folder()).unwrap();
}

#[tokio::test]
async fn control_plane_that_loses_a_child_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let programs = ControlPlane::shared().programs();
    let mut run = Command::new(programs.join("control-plane"))
        .args(["run", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let pids: BTreeMap<String, u32> =
        serde_json::from_value(serde_json::from_str::<Value>(&line).unwrap()["pids"].take()).unwrap();

    // So that its last words are known.
    let log = folder.path().join("kwok.log");
    let watches = || async { fs::read_to_string(&log).unwrap_or_default().contains("Watch nodes") };
    eventually("kwok watches nodes", Duration::from_secs(60), watches).await;

    // Its input stays open: it would end without an error when that ends.
    let input = run.stdin.take();
    kill_process(pid(pids["kwok"]), Signal::KILL).unwrap();

    let output = run.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("kwok ended (signal: killed)") && stderr.contains("Watch nodes"), "{stderr}");
    assert!(running(&pids).is_empty());
    drop(input);
}

#[tokio::test]
async fn cluster_and_record_survive_a_restart_of_the_api_server() {
    let control_plane = ControlPlane::start();
    let namespace = Namespace::fresh(&control_plane, "restart").await;
    namespace.node("a").create().await;
    namespace.service("web").create().await;
    namespace.deployment("web").ready().await;
    namespace.ready_endpoints("web", 1).await;
    let mut recorder = EndpointRecorder::start(&namespace).await;

    let before = control_plane.pids();
    control_plane.restart("kube-apiserver").await;
    let after = control_plane.pids();
    assert_ne!(before["kube-apiserver"], after["kube-apiserver"]);
    assert_eq!(before["etcd"], after["etcd"]);

    Kubectl::run(&namespace, ["scale", "deployment", "web", "--replicas=2"]).await.expect_code(0);
    recorder.until("web", "two ready endpoints", |sample| sample.ready.len() == 2).await;
    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2]);
}

#[tokio::test]
async fn drain_moves_pods_and_leaves_its_traces() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "drain").await;
    let old = namespace.node("old").create().await;
    namespace.service("web").create().await;
    // Long enough for the slice to be without an endpoint.
    namespace.deployment("web").ready_after("3s").ready().await;
    namespace.ready_endpoints("web", 1).await;
    let new = namespace.node("new").create().await;
    let moved = namespace.pods("app=web").await.remove(0);

    let mut recorder = EndpointRecorder::start(&namespace).await;
    Kubectl::run(&namespace, ["drain", &old]).await.expect_code(0);
    namespace.pod_gone(&moved).await;
    namespace.deployment_available("web").await;
    namespace.ready_endpoints("web", 1).await;
    recorder.stop().await;

    // What kubectl cannot do: the old pod goes first.
    assert_eq!(recorder.counts("web"), [1, 0, 1]);
    assert_eq!(recorder.fewest_ready("web"), 0);
    assert!(recorder.time_below("web", 1) >= Duration::from_millis(500));
    let last = recorder.history("web").pop().unwrap();
    assert_eq!(last.nodes, BTreeSet::from([new.clone()]));
    let pods: Vec<Pod> = namespace.pods("app=web").await;
    assert_eq!(pods[0].spec.as_ref().and_then(|spec| spec.node_name.as_ref()), Some(&new));

    if control_plane_has_audit_log() {
        let audit = namespace.audit().await;
        let evictions: Vec<String> = audit.evictions().iter().map(|event| event.summary()).collect();
        let expected = format!("create pods/eviction {}/{} -> 201", namespace.name(), moved.name_any());
        assert_eq!(evictions, [expected]);
        assert!(audit.mutating().iter().any(|event| event.verb == "patch" && event.name == old), "the cordon");
    }
}

#[tokio::test]
async fn drain_of_a_single_replica_is_refused_by_its_budget() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "budget").await;
    let node = namespace.node("a").create().await;
    namespace.node("b").create().await;
    namespace
        .deployment("web")
        .edit_pod(|pod| pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] = node.clone().into())
        .ready()
        .await;
    namespace.budget("web").min_available(1).ready().await;

    let run = Kubectl::run(&namespace, ["drain", &node, "--timeout=8s"]).await.expect_code(1);

    assert!(run.stderr.contains("Cannot evict pod as it would violate the pod's disruption budget."), "{run}");
    if control_plane_has_audit_log() {
        let audit = namespace.audit().await;
        let codes: BTreeSet<u16> = audit.evictions().iter().map(|event| event.code).collect();
        assert_eq!(codes, BTreeSet::from([429]));
    }
}

fn control_plane_has_audit_log() -> bool {
    ControlPlane::shared().audit_log().is_some()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a process id is not 0")
}

/// Returns the processes that still run. One that nobody has waited for yet (a zombie) has ended.
fn running(pids: &BTreeMap<String, u32>) -> Vec<&str> {
    let runs = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            // The state follows the name, which is in parentheses and may hold anything.
            .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with('Z')))
            .unwrap_or(false)
    };
    pids.iter().filter(|(_, pid)| runs(**pid)).map(|(name, _)| name.as_str()).collect()
}
