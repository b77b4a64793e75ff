//! Kubeconfigs that lead nowhere, and the two that only look bad.

use std::fs;
use std::os::unix::fs::symlink;

use e2e::Plugin;
use serde_json::{Value, json};

use super::{Transcript, place, without_strangers};

#[tokio::test]
async fn a_kubeconfig_that_leads_nowhere_is_named() {
    let (ns, node) = place("bad-kubeconfig").await;
    let mut transcript = Transcript::of(&ns);
    let folder = tempfile::tempdir().unwrap();
    transcript.replace(&folder.path().to_string_lossy(), "TMP");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let good: Value = serde_json::from_slice(&fs::read(&ns.user().kubeconfig).unwrap()).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut config = good.clone();
        change(&mut config);
        file(name, config.to_string().as_bytes())
    };
    let missing = folder.path().join("missing").to_string_lossy().into_owned();
    let circle = folder.path().join("circle");
    symlink(&circle, &circle).unwrap();
    let circle = circle.to_string_lossy().into_owned();
    let empty = file("empty", b"");
    let through_a_file = format!("{empty}/config");
    let no_current = changed("no-current", &|config| drop(config["current-context"].take()));
    let lost = changed("lost", &|config| config["current-context"] = json!("staging"));
    let no_cluster = changed("no-cluster", &|config| config["clusters"] = json!([]));
    let no_user = changed("no-user", &|config| config["users"] = json!([]));
    let no_server = changed("no-server", &|config| drop(config["clusters"][0]["cluster"]["server"].take()));
    let bad_server = changed("bad-server", &|config| config["clusters"][0]["cluster"]["server"] = json!("https://a b"));
    let binary = file("binary", &[0x7f, b'E', b'L', b'F', 0, 0xff, 0xfe, 0x00]);
    let prose = file("prose", b"dear cluster,\n\tplease be nice: thanks\n");
    let sequence = file("list", b"[1, 2]");
    let here = folder.path().to_string_lossy().into_owned();

    let cases: [(&str, &str, i32); 14] = [
        ("missing", &missing, 2),
        ("empty", &empty, 3),
        ("binary", &binary, 3),
        ("a folder", &here, 3),
        ("a link to itself", &circle, 3),
        ("a path through a file", &through_a_file, 3),
        ("prose", &prose, 3),
        ("a list", &sequence, 3),
        ("without a current context", &no_current, 3),
        ("with a current context that does not exist", &lost, 3),
        ("without its cluster", &no_cluster, 3),
        ("without its user", &no_user, 3),
        ("without a server", &no_server, 3),
        ("with a server that is no address", &bad_server, 3),
    ];
    for (case, path, code) in cases {
        transcript.run(case, Plugin::safedrain(&ns).args([&node, "--kubeconfig", path]), code).await;
    }
    let safedrain = || Plugin::safedrain(&ns).args([&node]);
    let cases = [
        ("a context that does not exist", safedrain().args(["--context=nope"]), 2),
        ("a context that nearly exists", safedrain().args(["--context=handover-tset"]), 2),
        ("a user that does not exist", safedrain().args(["--user=nobody"]), 2),
        ("a cluster that does not exist", safedrain().args(["--cluster=nowhere"]), 2),
        ("KUBECONFIG lists nothing that exists", safedrain().env("KUBECONFIG", &missing), 3),
        ("KUBECONFIG lists a folder", safedrain().env("KUBECONFIG", &here), 3),
        ("no KUBECONFIG, and nothing at home", safedrain().env("KUBECONFIG", ""), 3),
        ("no KUBECONFIG, and no home", safedrain().env("KUBECONFIG", "").homeless(), 3),
    ];
    for (case, invocation, code) in cases {
        transcript.run(case, invocation, code).await;
    }
    transcript.end("kubeconfig").await;
}

#[tokio::test]
async fn a_list_with_a_missing_file_and_no_home_are_enough() {
    let (ns, node) = place("odd-kubeconfig").await;
    let list = format!("/nowhere/config:{}:/nowhere/either", ns.user().kubeconfig.display());
    let dry = || Plugin::safedrain(&ns).args([&node, "--dry-run=client"]);
    let listed = dry().env("KUBECONFIG", &list).run().await.expect_code(0);
    let homeless = dry().homeless().run().await.expect_code(0);
    for run in [listed, homeless] {
        assert_eq!(without_strangers(&ns, &run.stderr), "", "{run}");
        assert!(run.stdout.ends_with("Ready: 1 node, no pod has to move.\n"), "{run}");
    }
}
