use std::fs;

use super::*;
use crate::identity::tests::SAFEDRAIN;

const KUBECONFIG: &str = "
current-context: staging
contexts:
- {name: staging, context: {cluster: west, user: jane, namespace: shop}}
clusters:
- {name: west, cluster: {server: 'https://west:6443', insecure-skip-tls-verify: true}}
users:
- {name: jane, user: {token: j}}
";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn connect_with(flags: &KubeFlags, environment: &Environment) -> Result<Connection, ConnectError> {
    runtime().block_on(connect(flags, &SAFEDRAIN, environment))
}

fn home(kubeconfig: Option<&str>) -> (tempfile::TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = kubeconfig {
        fs::create_dir(folder.path().join(".kube")).unwrap();
        fs::write(folder.path().join(".kube/config"), text).unwrap();
    }
    let environment = Environment { home: Some(folder.path().to_owned()), ..Environment::default() };
    (folder, environment)
}

/// Makes `environment` that of a pod.
fn in_pod(folder: &tempfile::TempDir, environment: Environment) -> Environment {
    fs::write(folder.path().join("token"), "t").unwrap();
    Environment {
        service_host: Some("10.0.0.1".into()),
        service_port: Some("443".into()),
        service_account: folder.path().to_owned(),
        ..environment
    }
}

#[test]
fn a_connection_says_which_cluster_it_is() {
    let (_folder, environment) = home(Some(KUBECONFIG));
    let flags = KubeFlags { request_timeout: "5".parse().unwrap(), ..KubeFlags::default() };
    let connection = connect_with(&flags, &environment).unwrap();
    assert_eq!(connection.cluster.to_string(), "context staging, server https://west:6443, user jane");
    assert_eq!(connection.namespace, "shop");
    assert_eq!(connection.request_timeout, Some(Duration::from_secs(5)));
}

#[test]
fn the_user_is_who_the_server_will_see() {
    let (_folder, environment) = home(Some(KUBECONFIG));
    let user = |flags: KubeFlags| connect_with(&flags, &environment).unwrap().cluster.user;
    let token = KubeFlags { token: Some("t".into()), ..KubeFlags::default() };
    assert_eq!(user(token.clone()), "the bearer of --token");
    assert_eq!(user(KubeFlags { as_user: Some("root".into()), ..token }), "root");
    let basic = KubeFlags { username: Some("u".into()), password: Some("p".into()), ..KubeFlags::default() };
    assert_eq!(user(basic), "u");
}

#[test]
fn a_server_without_any_kubeconfig_is_enough() {
    let (_folder, environment) = home(None);
    let flags =
        KubeFlags { server: Some("https://other".into()), insecure_skip_tls_verify: true, ..KubeFlags::default() };
    let connection = connect_with(&flags, &environment).unwrap();
    assert_eq!(connection.cluster.to_string(), "server https://other, user system:anonymous");
    assert_eq!(connection.namespace, "default");
}

#[test]
fn the_service_account_is_used_only_when_nothing_else_is_meant() {
    let (folder, environment) = home(None);
    let environment = in_pod(&folder, environment);
    let target = resolve(&KubeFlags::default(), &environment).unwrap();
    assert_eq!(target.cluster.server.as_deref(), Some("https://10.0.0.1:443"));
    assert_eq!(target.context.as_deref(), Some("in-cluster"));

    let namespace = KubeFlags { namespace: Some("ops".into()), ..KubeFlags::default() };
    assert_eq!(resolve(&namespace, &environment).unwrap().namespace.as_deref(), Some("ops"));
    let named = KubeFlags { context: Some("staging".into()), ..KubeFlags::default() };
    assert!(matches!(
        connect_with(&named, &environment),
        Err(ConnectError::Target(TargetError::NothingConfigured { .. }))
    ));
    let token = KubeFlags { token: Some("t".into()), ..KubeFlags::default() };
    assert!(matches!(
        connect_with(&token, &environment),
        Err(ConnectError::Target(TargetError::NothingConfigured { .. }))
    ));
}

#[test]
fn a_kubeconfig_that_does_not_load_never_means_the_service_account() {
    for text in ["", "current-context: gone", "contexts: [", &KUBECONFIG.replace("staging, context", "x, context")] {
        let (folder, environment) = home(Some(text));
        let environment = in_pod(&folder, environment);
        let error = connect_with(&KubeFlags::default(), &environment).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Refused, "{text}: {error}");
    }
}

#[test]
fn a_credential_plugin_that_is_missing_is_told() {
    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /nowhere/plugin}}";
    let (_folder, environment) = home(Some(&KUBECONFIG.replace("{token: j}", exec)));
    let failure = Failure::from(connect_with(&KubeFlags::default(), &environment).unwrap_err());
    assert_eq!(failure.status(), ExitStatus::Refused);
    let words = "cannot log in as jane: the credential plugin of the kubeconfig cannot be started: ";
    assert!(failure.message().starts_with(words), "{}", failure.message());
}

#[cfg(unix)]
#[test]
fn a_credential_plugin_that_gives_a_token_runs_once() {
    use std::os::unix::fs::PermissionsExt;

    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never}}";
    let (folder, environment) = home(Some(&KUBECONFIG.replace("{token: j}", exec)));
    let script = "#!/bin/sh\necho run >> \"$0.log\"\n\
                  echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t\"}}'\n";
    let plugin = folder.path().join(".kube/plugin");
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    connect_with(&KubeFlags::default(), &environment).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join(".kube/plugin.log")).unwrap(), "run\n");
}

#[test]
fn a_call_is_given_up_after_the_request_timeout() {
    let (_folder, environment) = home(Some(KUBECONFIG));
    let flags = KubeFlags { request_timeout: "1ms".parse().unwrap(), ..KubeFlags::default() };
    let told = runtime().block_on(async {
        let connection = connect(&flags, &SAFEDRAIN, &environment).await.unwrap();
        let error = connection.call(std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        connection.explain(&error, "list pods").to_string()
    });
    assert_eq!(told, "cannot list pods: https://west:6443 did not answer in time");
}
