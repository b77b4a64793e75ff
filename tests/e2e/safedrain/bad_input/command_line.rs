//! What is wrong with the command line itself.

use e2e::Plugin;

use super::{Transcript, place};

#[tokio::test]
async fn nodes_are_named_so_that_only_what_was_meant_is_drained() {
    let (ns, node) = place("bad-nodes").await;
    let mut transcript = Transcript::of(&ns);
    let typo = format!("{node}x");
    let slash = format!("{node}/");
    let pod = format!("pod/{node}");
    let upper = node.to_uppercase();
    transcript.replace(&upper, "OLD");
    let spaced = format!("{node} ");
    let cases: [(&str, &[&str], i32); 13] = [
        ("an unknown node beside a good one", &[&node, &typo], 3),
        ("an unknown node, nothing like it", &["nonsense"], 3),
        ("no node", &[], 2),
        ("a node and a selector", &[&node, "-l", "pool=blue"], 2),
        ("an empty selector", &["--selector="], 2),
        ("a selector that is none", &["-l", "pool in blue"], 2),
        ("a slash after the name", &[&slash], 2),
        ("another kind", &[&pod], 2),
        ("an empty name", &[""], 2),
        ("an empty variable beside a good one", &[&node, ""], 2),
        ("upper case", &[&upper], 2),
        ("a space", &[&spaced], 2),
        ("the status of an unknown node", &["--status", &typo], 3),
    ];
    for (case, arguments, code) in cases {
        transcript.run(case, Plugin::safedrain(&ns).args(arguments), code).await;
    }
    transcript.run("undo on an unknown node", Plugin::safedrain(&ns).args(["--undo", &typo]), 3).await;
    transcript.end("nodes").await;
}

#[tokio::test]
async fn flags_say_what_they_take() {
    let (ns, node) = place("bad-flags").await;
    let mut transcript = Transcript::of(&ns);
    let cases: [(&str, &[&str]); 24] = [
        ("an unknown flag", &["--ignore-daemonset"]),
        ("a flag of another command", &["--all-namespaces"]),
        ("a duration without a unit", &["--timeout=30"]),
        ("a duration that is none", &["--settle=soon"]),
        ("an empty duration", &["--settle="]),
        ("a negative timeout", &["--timeout=-1s"]),
        ("a negative timeout, apart", &["--timeout", "-1s"]),
        ("a duration longer than time", &["--replacement-timeout=9999999999h"]),
        ("a request timeout that is none", &["--request-timeout=abc"]),
        ("a grace period that is none", &["--grace-period=30s"]),
        ("a grace period that is too long", &["--grace-period=99999999999"]),
        ("a surge that is none", &["--max-surge=lots"]),
        ("a negative surge", &["--max-surge=-1"]),
        ("a surge of a fraction", &["--max-surge=12.5%"]),
        ("an unknown format", &["-o", "jsn"]),
        ("an unknown dry run", &["--dry-run=sometimes"]),
        ("an unknown strategy", &["--strategy=fast"]),
        ("a boolean that is none", &["--force=maybe"]),
        ("an unknown colour", &["--color=pink"]),
        ("a pod selector that is none", &["--pod-selector=app in web"]),
        ("a page that is none", &["--chunk-size=-5"]),
        ("a field manager that is too long", &[LONG]),
        ("status and undo", &["--status", "--undo"]),
        ("a rehearsal of undo", &["--undo", "--dry-run=server"]),
    ];
    for (case, arguments) in cases {
        transcript.run(case, Plugin::safedrain(&ns).args([&node]).args(arguments), 2).await;
    }
    let shell = Plugin::safedrain(&ns).args(["completion", "tcsh"]);
    transcript.run("completion for an unknown shell", shell, 2).await;
    transcript.end("flags").await;
}

/// One character more than a field manager may have.
const LONG: &str = concat!(
    "--field-manager=",
    "0123456789012345678901234567890123456789012345678901234567890123",
    "0123456789012345678901234567890123456789012345678901234567890123x"
);
