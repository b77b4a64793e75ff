//! Servers that are not there, do not answer, are not who they say, or are too old.

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use e2e::{ControlPlane, Namespace, Plugin};
use serde_json::{Value, json};

use super::{Transcript, place};

/// Accepts connections for the rest of the test and never says a word.
fn silent_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    address
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_answer_is_named_and_not_waited_for_for_ever() {
    let (ns, node) = place("bad-server").await;
    let mut transcript = Transcript::of(&ns);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = silent_server();
    transcript.replace(&closed, "127.0.0.1:CLOSED");
    transcript.replace(&silent, "127.0.0.1:SILENT");
    let real = ns.control_plane().server().to_owned();
    let safedrain = || Plugin::safedrain(&ns).args([&node]);
    let cases = [
        ("nobody listens", safedrain().args(["--server", &format!("https://{closed}")]), 3),
        ("the name is unknown", safedrain().args(["--server=https://api.invalid:6443"]), 3),
        (
            "nobody answers, with a limit",
            safedrain().args(["--server", &format!("https://{silent}"), "--request-timeout=1s"]),
            3,
        ),
        (
            "nobody answers, to --status",
            {
                let arguments = ["--status", "--server", &format!("https://{silent}"), "--request-timeout=1s"];
                Plugin::safedrain(&ns).args(arguments)
            },
            3,
        ),
        (
            "nobody answers, to --undo",
            {
                let arguments = ["--undo", "--server", &format!("https://{silent}"), "--request-timeout=1s"];
                Plugin::safedrain(&ns).args(arguments)
            },
            3,
        ),
        ("the server speaks TLS", safedrain().args(["--server", &real.replace("https:", "http:")]), 3),
        ("the token is wrong", safedrain().args(["--token=wrong"]), 3),
        ("the certificate is for another name", safedrain().args(["--tls-server-name=elsewhere.example"]), 3),
        ("the authority is not there", safedrain().args(["--certificate-authority=/nowhere/ca.crt"]), 3),
    ];
    for (case, invocation, code) in cases {
        let run = transcript.run(case, invocation, code).await;
        assert!(run.elapsed < Duration::from_secs(12), "{run}");
    }
    transcript.end("server").await;
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_told_of_while_it_is_waited_for() {
    let (ns, node) = place("silent").await;
    let mut transcript = Transcript::of(&ns);
    let silent = silent_server();
    transcript.replace(&silent, "127.0.0.1:SILENT");
    let arguments = [node.as_str(), "--request-timeout=8s", "--server", &format!("http://{silent}")];
    let running = Plugin::safedrain(&ns).args(arguments).spawn();
    running.stderr_contains("waiting for").await;
    let run = running.wait().await.expect_code(3);
    transcript.write("nobody answers, for longer", &run);
    transcript.end("silent").await;
}

#[tokio::test]
async fn a_server_without_policy_v1_and_one_of_another_authority_are_told() {
    let old = ControlPlane::start_with(&["--apiserver-flag=--runtime-config=policy/v1=false"]);
    let ns = Namespace::fresh(&old, "old-server").await;
    let node = ns.node("old").create().await;
    ns.pod("bare").on_node(&node).create().await;
    let mut transcript = Transcript::of(&ns);
    transcript.run("no policy/v1", Plugin::safedrain(&ns).args([&node, "--force"]), 3).await;

    let kubeconfig =
        |ns: &Namespace| -> Value { serde_json::from_slice(&fs::read(&ns.user().kubeconfig).unwrap()).unwrap() };
    let (other, _) = place("authority").await;
    let mut stranger = kubeconfig(&ns);
    stranger["clusters"][0]["cluster"]["certificate-authority-data"] =
        kubeconfig(&other)["clusters"][0]["cluster"]["certificate-authority-data"].clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, json!(stranger).to_string()).unwrap();
    transcript.replace(&path.to_string_lossy(), "TMP/config");
    let path = path.to_string_lossy().into_owned();
    transcript.run("another authority", Plugin::safedrain(&ns).args([&node, "--kubeconfig", &path]), 3).await;
    transcript.end("old-server").await;
}
