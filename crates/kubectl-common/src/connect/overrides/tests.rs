use secrecy::ExposeSecret;

use super::*;

fn target() -> Target {
    let cluster = Cluster {
        server: Some("https://old:6443".into()),
        certificate_authority_data: Some("data".into()),
        tls_server_name: Some("old".into()),
        ..Cluster::default()
    };
    let auth_info = AuthInfo {
        token: Some("old".to_owned().into()),
        token_file: Some("old".into()),
        client_certificate_data: Some("old".into()),
        client_key_data: Some("old".to_owned().into()),
        username: Some("old".into()),
        password: Some("old".to_owned().into()),
        exec: Some(kube::config::ExecConfig::default()),
        auth_provider: Some(kube::config::AuthProviderConfig::default()),
        impersonate: Some("old".into()),
        ..AuthInfo::default()
    };
    Target { cluster, auth_info, namespace: Some("old".into()), ..Target::default() }
}

fn overridden(flags: &KubeFlags) -> Target {
    let mut target = target();
    apply(&mut target, flags).unwrap();
    target
}

/// Lists the ways to log in that are left, by name.
fn credentials(auth_info: &AuthInfo) -> Vec<&'static str> {
    let ways = [
        ("token", auth_info.token.is_some()),
        ("token file", auth_info.token_file.is_some()),
        ("certificate", auth_info.client_certificate.is_some()),
        ("certificate data", auth_info.client_certificate_data.is_some()),
        ("key", auth_info.client_key.is_some()),
        ("key data", auth_info.client_key_data.is_some()),
        ("basic", auth_info.username.is_some() && auth_info.password.is_some()),
        ("exec", auth_info.exec.is_some()),
        ("provider", auth_info.auth_provider.is_some()),
    ];
    ways.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

#[test]
fn no_flags_change_nothing() {
    let (before, after) = (target(), overridden(&KubeFlags::default()));
    assert_eq!(credentials(&after.auth_info), credentials(&before.auth_info));
    assert_eq!(after.cluster.server, before.cluster.server);
    assert_eq!(after.cluster.tls_server_name, before.cluster.tls_server_name);
    assert_eq!(after.namespace, before.namespace);
}

#[test]
fn another_server_has_another_tls_name() {
    let server = KubeFlags { server: Some("https://new".into()), ..KubeFlags::default() };
    let cluster = overridden(&server).cluster;
    assert_eq!((cluster.server.as_deref(), cluster.tls_server_name), (Some("https://new"), None));
    assert!(cluster.certificate_authority_data.is_some(), "client-go keeps the authority");

    let both = KubeFlags { tls_server_name: Some("new".into()), ..server };
    assert_eq!(overridden(&both).cluster.tls_server_name.as_deref(), Some("new"));
    let name = KubeFlags { tls_server_name: Some("new".into()), ..KubeFlags::default() };
    let cluster = overridden(&name).cluster;
    assert_eq!(cluster.server.as_deref(), Some("https://old:6443"));
    assert_eq!(cluster.tls_server_name.as_deref(), Some("new"));
}

#[test]
fn an_authority_and_no_check_at_all_exclude_each_other() {
    let insecure = KubeFlags { insecure_skip_tls_verify: true, ..KubeFlags::default() };
    let cluster = overridden(&insecure).cluster;
    assert_eq!((cluster.insecure_skip_tls_verify, cluster.certificate_authority_data), (Some(true), None));

    let authority = KubeFlags { certificate_authority: Some("ca.crt".into()), ..KubeFlags::default() };
    let mut unchecked = target();
    unchecked.cluster.certificate_authority_data = None;
    unchecked.cluster.insecure_skip_tls_verify = Some(true);
    apply(&mut unchecked, &authority).unwrap();
    assert_eq!(unchecked.cluster.insecure_skip_tls_verify, Some(false));
    assert_eq!(unchecked.cluster.certificate_authority.as_deref(), Some("ca.crt"));
    assert_eq!(overridden(&authority).cluster.certificate_authority_data, None);

    let both = KubeFlags { insecure_skip_tls_verify: true, ..authority };
    assert_eq!(apply(&mut target(), &both), Err(OverrideError::InsecureWithAuthority));
    let mut contradicts_itself = target();
    contradicts_itself.cluster.insecure_skip_tls_verify = Some(true);
    assert_eq!(apply(&mut contradicts_itself, &KubeFlags::default()), Err(OverrideError::InsecureWithAuthority));
}

#[test]
fn credentials_of_a_flag_replace_all_others() {
    let token = KubeFlags { token: Some("new".into()), ..KubeFlags::default() };
    let auth_info = overridden(&token).auth_info;
    assert_eq!(credentials(&auth_info), ["token"]);
    assert_eq!(auth_info.token.unwrap().expose_secret(), "new");
    assert_eq!(auth_info.impersonate.as_deref(), Some("old"), "whom to act as is no credential");

    let basic = KubeFlags { username: Some("u".into()), password: Some("p".into()), ..KubeFlags::default() };
    assert_eq!(credentials(&overridden(&basic).auth_info), ["basic"]);

    let pair = KubeFlags { client_certificate: Some("c".into()), client_key: Some("k".into()), ..KubeFlags::default() };
    assert_eq!(credentials(&overridden(&pair).auth_info), ["certificate", "key"]);
    let half = KubeFlags { client_certificate: Some("c".into()), ..KubeFlags::default() };
    assert_eq!(credentials(&overridden(&half).auth_info), ["certificate", "key data"]);
}

#[test]
fn impersonation_is_laid_over_and_needs_a_user() {
    let flags = KubeFlags {
        as_user: Some("jane".into()),
        as_groups: vec!["a".into(), "b".into()],
        as_uid: Some("7".into()),
        as_user_extra: vec![("team".into(), "x".into()), ("team".into(), "y".into())],
        ..KubeFlags::default()
    };
    let auth_info = overridden(&flags).auth_info;
    assert_eq!(auth_info.impersonate.as_deref(), Some("jane"));
    assert_eq!(auth_info.impersonate_groups.unwrap(), ["a", "b"]);
    assert_eq!(auth_info.impersonate_uid.as_deref(), Some("7"));
    assert_eq!(auth_info.impersonate_user_extra.unwrap()["team"], ["x", "y"]);
    assert!(!credentials(&overridden(&flags).auth_info).is_empty());

    let groups_only = KubeFlags { as_groups: vec!["a".into()], ..KubeFlags::default() };
    assert!(apply(&mut target(), &groups_only).is_ok(), "the kubeconfig names the user");
    assert_eq!(apply(&mut Target::default(), &groups_only), Err(OverrideError::ImpersonationWithoutUser));
}

#[test]
fn the_namespace_of_the_flag_wins() {
    let flags = KubeFlags { namespace: Some("new".into()), ..KubeFlags::default() };
    assert_eq!(overridden(&flags).namespace.as_deref(), Some("new"));
}
