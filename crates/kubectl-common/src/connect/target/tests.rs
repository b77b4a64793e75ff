use super::*;

const KUBECONFIG: &str = "
current-context: staging
contexts:
- {name: staging, context: {cluster: west, user: jane, namespace: shop}}
- {name: production, context: {cluster: east, user: root}}
- {name: orphan, context: {cluster: gone, user: jane}}
- {name: stranger, context: {cluster: west, user: gone}}
- {name: anonymous, context: {cluster: west}}
- {name: hollow, context: {cluster: '', user: jane, namespace: ''}}
- {name: mute, context: {cluster: nowhere, user: jane}}
clusters:
- {name: west, cluster: {server: 'https://west:6443'}}
- {name: east, cluster: {server: 'https://east:6443'}}
- {name: nowhere, cluster: {}}
users:
- {name: jane, user: {token: j}}
- {name: root, user: {token: r}}
";

/// Names of flags with their values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn loaded(text: &str) -> LoadedKubeconfig {
    let kubeconfig = Kubeconfig::from_yaml(text).unwrap();
    LoadedKubeconfig { kubeconfig, files: vec!["/home/jane/.kube/config".into()] }
}

fn choose_in(text: &str, flags: &KubeFlags) -> Result<Target, TargetError> {
    choose(loaded(text), flags)
}

fn flags(pairs: Pairs<'_>) -> KubeFlags {
    let mut flags = KubeFlags::default();
    for (name, value) in pairs {
        let place = match *name {
            "context" => &mut flags.context,
            "cluster" => &mut flags.cluster,
            "user" => &mut flags.user,
            "server" => &mut flags.server,
            "token" => &mut flags.token,
            other => panic!("{other}"),
        };
        *place = Some((*value).to_owned());
    }
    flags
}

#[test]
fn finds_what_is_meant() {
    // flags, context, server, user
    let table: [(Pairs<'_>, &str, &str, &str); 9] = [
        (&[], "staging", "https://west:6443", "jane"),
        (&[("context", "production")], "production", "https://east:6443", "root"),
        (&[("cluster", "east")], "staging", "https://east:6443", "jane"),
        (&[("user", "root")], "staging", "https://west:6443", "root"),
        (&[("context", "orphan"), ("cluster", "east")], "orphan", "https://east:6443", "jane"),
        (&[("context", "stranger"), ("user", "root")], "stranger", "https://west:6443", "root"),
        (&[("context", "stranger"), ("token", "t")], "stranger", "https://west:6443", ""),
        (&[("context", "anonymous")], "anonymous", "https://west:6443", ""),
        (&[("context", "hollow"), ("server", "https://x")], "hollow", "", "jane"),
    ];
    for (pairs, context, server, user) in table {
        let target = choose_in(KUBECONFIG, &flags(pairs)).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        assert_eq!(target.context.as_deref(), Some(context), "{pairs:?}");
        assert_eq!(target.cluster.server.unwrap_or_default(), server, "{pairs:?}");
        assert_eq!(target.user.unwrap_or_default(), user, "{pairs:?}");
    }
}

#[test]
fn the_namespace_is_that_of_the_context() {
    assert_eq!(choose_in(KUBECONFIG, &flags(&[])).unwrap().namespace.as_deref(), Some("shop"));
    let hollow = flags(&[("context", "hollow"), ("cluster", "west")]);
    assert_eq!(choose_in(KUBECONFIG, &hollow).unwrap().namespace, None);
}

#[test]
fn a_name_that_leads_nowhere_is_an_error() {
    // flags, message, status
    let table: [(Pairs<'_>, &str, ExitStatus); 7] = [
        (&[("context", "prodution")], "context \"prodution\" does not exist", ExitStatus::Usage),
        (&[("context", "orphan")], "cluster \"gone\" of context \"orphan\" does not exist", ExitStatus::Refused),
        (&[("context", "stranger")], "user \"gone\" of context \"stranger\" does not exist", ExitStatus::Refused),
        (&[("cluster", "x")], "cluster \"x\" does not exist", ExitStatus::Usage),
        (&[("user", "x"), ("token", "t")], "user \"x\" does not exist", ExitStatus::Usage),
        (&[("context", "hollow")], "context \"hollow\" names no cluster", ExitStatus::Refused),
        (&[("context", "mute")], "cluster \"nowhere\" has no server address", ExitStatus::Refused),
    ];
    for (pairs, message, status) in table {
        let error = choose_in(KUBECONFIG, &flags(pairs)).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.status()), (message, status));
        assert!(!error.remedies().is_empty());
    }
}

#[test]
fn a_current_context_that_is_gone_or_unset_is_an_error() {
    let gone = KUBECONFIG.replace("current-context: staging", "current-context: gone");
    let error = choose_in(&gone, &flags(&[])).unwrap_err();
    assert_eq!(error.to_string(), "current context \"gone\" does not exist");
    assert_eq!(error.status(), ExitStatus::Refused);
    let unset = KUBECONFIG.replace("current-context: staging", "");
    let error = choose_in(&unset, &flags(&[])).unwrap_err();
    assert_eq!(error.to_string(), "the kubeconfig has no current context");
    assert_eq!(error.remedies()[0], Remedy::Flag("--context NAME".into()));
}

#[test]
fn without_a_context_a_server_or_a_cluster_is_enough() {
    let unset = KUBECONFIG.replace("current-context: staging", "");
    let target = choose_in(&unset, &flags(&[("cluster", "east"), ("user", "root")])).unwrap();
    assert_eq!((target.context, target.user.as_deref()), (None, Some("root")));
    let target = choose(LoadedKubeconfig::default(), &flags(&[("server", "https://x")])).unwrap();
    assert_eq!((target.context, target.cluster_name, target.user), (None, None, None));
}

#[test]
fn nothing_to_choose_from_is_told_with_the_files_that_were_read() {
    let error = choose_in("", &flags(&[])).unwrap_err();
    assert_eq!(error.to_string(), "no cluster is configured in /home/jane/.kube/config");
    for pairs in [&[][..], &[("context", "x")], &[("token", "t")]] {
        let error = choose(LoadedKubeconfig::default(), &flags(pairs)).unwrap_err();
        assert_eq!(error.to_string(), "there is no kubeconfig, and no flag names a server", "{pairs:?}");
        assert_eq!(error.remedies()[0], Remedy::Flag("--kubeconfig FILE".into()));
    }
}

#[test]
fn the_remedy_knows_similar_names_or_lists_all() {
    let hint = |name: &str, known: &[&str]| {
        let known: Vec<_> = known.iter().map(|name| (*name).to_owned()).collect();
        let error = TargetError::UnknownContext { name: name.into(), by_flag: true, known };
        error.remedies()[0].to_string()
    };
    assert_eq!(hint("prodution", &["staging", "production"]), "hint: did you mean production?");
    assert_eq!(hint("x", &["staging", "production"]), "hint: the contexts are production, staging.");
    assert_eq!(hint("x", &[]), "hint: the kubeconfig has no contexts.");
    let many = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1"];
    assert_eq!(hint("x", &many), "hint: the contexts are a1, a2, a3, a4, a5, a6, a7, a8 and 2 more.");
}
