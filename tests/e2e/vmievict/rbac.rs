//! The roles in docs/rbac/vmievict.yaml are enough, and none of their rights is for nothing.

use std::fs;

use e2e::kubevirt::machine;
use e2e::{AuditEvent, AuditLog, Grant, Namespace, Plugin, Roles, Run, User};

use super::two_nodes;

/// The arguments by which every guest of [`every_kind`] leaves.
const CONSENTS: &str = "--non-migratable=restart";

/// A node with a guest for each way off it.
async fn every_kind(purpose: &str) -> (Namespace, String) {
    let (ns, old, _) = two_nodes(purpose).await;
    let (reason, words) = ("DisksNotLiveMigratable", "its disk is not shared");
    let live = |name| machine::virtual_machine(&ns, name).eviction_strategy("LiveMigrate").on(&old);
    live("moves").running().await;
    live("restarts").not_migratable(reason, words).running().await;
    live("stops").run_strategy("Once").not_migratable(reason, words).running().await;
    let none = |name| machine::virtual_machine(&ns, name).eviction_strategy("None").on(&old);
    none("unprotected").running().await;
    let alone = machine::instance(&ns, "alone").eviction_strategy("LiveMigrate").on(&old);
    alone.not_migratable(reason, words).running().await;
    ns.budget("moves").min_available(1).ready().await;
    (ns, old)
}

async fn run(ns: &Namespace, old: &str, user: &User, arguments: &[&str]) -> Run {
    let consents = [CONSENTS.to_owned(), format!("--allow-loss={0}/stops,{0}/alone", ns.name())];
    Plugin::vmievict(ns).args([old]).args(consents).args(arguments).user(user).run().await
}

async fn changes(ns: &Namespace, user: &User) -> Vec<String> {
    let audit = AuditLog::of_user(ns.control_plane(), &user.name).await;
    audit.changes().into_iter().map(AuditEvent::summary).collect()
}

#[tokio::test]
async fn the_roles_of_the_file_are_enough_for_a_whole_evacuation_its_undo_and_the_status() {
    let (ns, old) = every_kind("ve-roles").await;
    let user = ns.limited_user();
    Roles::read("vmievict").bind(&ns, &user).await;
    let whole = run(&ns, &old, &user, &[]).await.expect_code(0);
    run(&ns, &old, &user, &["--status"]).await.expect_code(0);
    let undo = run(&ns, &old, &user, &["--undo"]).await.expect_code(0);
    assert!(!whole.stderr.contains("annotation"), "the lock is a lease: {whole}");
    assert!(undo.stdout.contains("uncordoned"), "{undo}");
    let audit = AuditLog::of_user(ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(AuditEvent::summary).collect();
    assert!(denied.is_empty(), "{denied:?}");
}

/// One row of the table in docs/rbac-vmievict.md.
#[derive(Debug)]
struct Row {
    right: String,
    arguments: Vec<String>,
    code: i32,
    says: String,
}

fn rows() -> Vec<Row> {
    let path = format!("{}/../docs/rbac-vmievict.md", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        let mut cell = || cells.next().expect("a row has four cells");
        Row {
            right: cell(),
            arguments: cell().split_whitespace().skip(1).map(str::to_owned).collect(),
            code: cell().parse().unwrap(),
            says: cell(),
        }
    })
    .collect()
}

#[tokio::test]
async fn without_one_right_the_run_does_what_the_table_says() {
    let roles = Roles::read("vmievict");
    let rows = rows();
    let known: Vec<_> = roles.grants().iter().map(Grant::to_string).collect();
    for row in &rows {
        assert!(known.contains(&row.right), "the table has a row for a right that is not in the file: {row:?}");
    }
    // What is refused changes nothing, so all of it may be tried on one node.
    let (refused, old) = every_kind("ve-less").await;
    for grant in roles.grants() {
        let found: Vec<_> = rows.iter().filter(|row| row.right == grant.to_string()).collect();
        let [row] = found.as_slice() else { panic!("the table needs one row for `{grant}`, and has {}", found.len()) };
        let arguments: Vec<_> = row.arguments.iter().map(String::as_str).collect();
        if row.code == 3 {
            let user = refused.limited_user();
            roles.without(&grant).bind(&refused, &user).await;
            let run = run(&refused, &old, &user, &arguments).await.expect_code(3);
            assert!(run.stderr.contains(&row.says), "without {grant}: {run}");
            assert!(run.stderr.contains("kubectl auth can-i"), "without {grant}: {run}");
            assert!(run.stderr.contains("docs/rbac/vmievict.yaml"), "without {grant}: {run}");
            assert_eq!(changes(&refused, &user).await, Vec::<String>::new(), "without {grant}: {run}");
        } else {
            let (ns, old, new) = two_nodes("ve-degraded").await;
            machine::virtual_machine(&ns, "vm").eviction_strategy("LiveMigrate").on(&old).running().await;
            let user = ns.limited_user();
            roles.without(&grant).bind(&ns, &user).await;
            let run = run(&ns, &old, &user, &arguments).await.expect_code(row.code);
            assert!(run.stderr.contains(&row.says), "without {grant}: {run}");
            assert_eq!(machine::until_phase(&ns, "vm", "Running").await["status"]["nodeName"], new, "{run}");
        }
    }
}
