//! The installed packages, run as their users run them: `kubectl NAME …`, with krew's folder on the PATH.

use e2e::{ControlPlane, Invocation, Kubectl, Namespace};
use tempfile::TempDir;

use crate::{PLUGINS, Package};

/// A krew folder with all three plugins.
fn krew_root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for plugin in PLUGINS {
        Package::of(plugin).install(root.path());
    }
    root
}

fn kubectl(namespace: &Namespace, root: &TempDir, line: &str) -> Invocation {
    Kubectl::command(namespace, line.split_whitespace()).path_first(&root.path().join("bin"))
}

#[tokio::test]
async fn kubectl_finds_each_plugin_and_it_knows_its_name_and_version() {
    let (namespace, root) = (Namespace::fresh(ControlPlane::shared(), "krew").await, krew_root());
    let listed = kubectl(&namespace, &root, "plugin list --name-only").run().await.expect_code(0);
    for plugin in PLUGINS {
        assert!(listed.stdout.lines().any(|line| line == format!("kubectl-{plugin}")), "{listed}");
        let version = kubectl(&namespace, &root, &format!("{plugin} --version")).run().await.expect_code(0);
        assert_eq!(version.stdout, format!("kubectl-{plugin} v{}\n", env!("CARGO_PKG_VERSION")));
        let help = kubectl(&namespace, &root, &format!("{plugin} --help")).run().await.expect_code(0);
        assert!(help.stdout.contains(&format!("Usage: kubectl {plugin} ")), "{help}");
        let completion = kubectl(&namespace, &root, &format!("{plugin} completion bash")).run().await.expect_code(0);
        assert!(completion.stdout.contains(&format!("kubectl-{plugin}")), "{completion}");
    }
    assert_eq!(listed.stderr, "");
}

#[tokio::test]
async fn installed_safedrain_reaches_the_api_server() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "krew-plan").await;
    let node = namespace.node("a").create().await;
    namespace.deployment("web").ready().await;
    namespace.node("b").create().await;
    let root = krew_root();
    let plan = kubectl(&namespace, &root, &format!("safedrain {node} --dry-run=client -o json")).run().await;
    assert_eq!(plan.expect_code(0).json()["kind"], "DrainPlan");
}

#[tokio::test]
async fn vmievict_is_found_by_kubectl_and_says_that_there_is_no_kubevirt() {
    let (namespace, root) = (Namespace::fresh(ControlPlane::shared(), "krew-vm").await, krew_root());
    let node = namespace.node("a").create().await;
    let run = kubectl(&namespace, &root, &format!("vmievict {node}")).run().await.expect_code(3);
    assert!(run.stderr.contains("this cluster has no KubeVirt"), "{run}");
    assert_eq!(namespace.audit().await.mutating().len(), 0);
}

#[tokio::test]
async fn poolcopy_is_found_by_kubectl_and_says_that_there_are_no_pools() {
    let (namespace, root) = (Namespace::fresh(ControlPlane::shared(), "krew-pool").await, krew_root());
    let run = kubectl(&namespace, &root, "poolcopy blue").run().await.expect_code(3);
    assert!(run.stderr.contains("this cluster has no pools that this program knows"), "{run}");
    assert_eq!(namespace.audit().await.mutating().len(), 0);
}
