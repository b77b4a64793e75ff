use secrecy::ExposeSecret;

use super::*;

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn environment(&self, list: &[&str]) -> Environment {
        let list = env::join_paths(list.iter().map(|name| match *name {
            "" => PathBuf::new(),
            name => self.path(name),
        }));
        let list = list.unwrap();
        Environment {
            kubeconfig: Some(list).filter(|list| !list.is_empty()),
            home: Some(self.folder.path().to_owned()),
            ..Environment::default()
        }
    }

    fn load(&self, list: &[&str]) -> Result<Option<LoadedKubeconfig>, KubeconfigError> {
        load(None, &self.environment(list))
    }
}

fn contexts(loaded: &LoadedKubeconfig) -> Vec<&str> {
    loaded.kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect()
}

fn with_context(name: &str, cluster: &str, current: &str) -> String {
    format!("current-context: '{current}'\ncontexts:\n- name: {name}\n  context: {{cluster: {cluster}}}\n")
}

#[test]
fn the_flag_beats_the_variable_beats_the_home_folder() {
    let home = Home::new();
    let flag = home.write("flag", with_context("by-flag", "c", ""));
    home.write("listed", with_context("by-variable", "c", ""));
    home.write(".kube/config", with_context("by-home", "c", ""));
    let found = load(Some(&flag), &home.environment(&["listed"])).unwrap().unwrap();
    assert_eq!(contexts(&found), ["by-flag"]);
    assert_eq!(contexts(&home.load(&["listed"]).unwrap().unwrap()), ["by-variable"]);
    assert_eq!(contexts(&home.load(&[]).unwrap().unwrap()), ["by-home"]);
}

#[test]
fn nothing_at_all_is_not_an_error_here() {
    assert!(Home::new().load(&[]).unwrap().is_none());
    assert!(load(None, &Environment::default()).unwrap().is_none());
}

#[test]
fn a_named_file_must_exist() {
    let home = Home::new();
    home.write(".kube/config", with_context("by-home", "c", ""));
    let error = load(Some(&home.path("typo")), &home.environment(&[])).unwrap_err();
    assert_eq!(error.to_string(), format!("kubeconfig file {} does not exist", home.path("typo").display()));
    assert_eq!(error.status(), ExitStatus::Usage);
}

#[test]
fn a_list_of_missing_files_never_means_the_home_folder() {
    let home = Home::new();
    home.write(".kube/config", with_context("by-home", "c", ""));
    for list in [&["typo"][..], &["typo", "other"], &["", ""]] {
        let error = home.load(list).unwrap_err();
        assert!(error.to_string().starts_with("KUBECONFIG lists no file that exists: "), "{error}");
        assert_eq!(error.status(), ExitStatus::Refused);
    }
}

#[test]
fn missing_and_empty_entries_are_skipped_and_the_first_to_say_something_wins() {
    let home = Home::new();
    home.write("a", with_context("one", "first", ""));
    home.write("b", with_context("one", "second", "one") + "- name: two\n  context: {cluster: c}\n");
    home.write("c", with_context("three", "third", "three"));
    home.write("empty", "");
    let found = home.load(&["", "missing", "a", "empty", "b", "b", "c"]).unwrap().unwrap();
    assert_eq!(contexts(&found), ["one", "two", "three"]);
    assert_eq!(found.kubeconfig.contexts[0].context.as_ref().unwrap().cluster, "first");
    assert_eq!(found.kubeconfig.current_context.as_deref(), Some("one"), "an empty current-context says nothing");
    assert_eq!(found.files, ["a", "empty", "b", "c"].map(|name| home.path(name)));
}

#[test]
fn relative_paths_belong_to_the_folder_of_their_file() {
    let home = Home::new();
    home.write(
        "sub/config",
        "clusters:\n- {name: c, cluster: {certificate-authority: ca.crt}}\n\
         - {name: d, cluster: {certificate-authority: /abs/ca.crt}}\n\
         - {name: e, cluster: {certificate-authority: '', proxy-url: ''}}\n\
         users:\n- {name: u, user: {client-certificate: c.crt, client-key: ../c.key, tokenFile: t, exec: {command: ./get}}}\n\
         - {name: v, user: {token: '', username: '', exec: {command: aws}}}\n",
    );
    let found = home.load(&["sub/config"]).unwrap().unwrap().kubeconfig;
    let path = |name: &str| Some(home.path("sub").join(name).to_str().unwrap().to_owned());
    let cluster = |index: usize| found.clusters[index].cluster.clone().unwrap();
    assert_eq!(cluster(0).certificate_authority, path("ca.crt"));
    assert_eq!(cluster(1).certificate_authority.as_deref(), Some("/abs/ca.crt"));
    assert_eq!((cluster(2).certificate_authority, cluster(2).proxy_url), (None, None));
    let user = found.auth_infos[0].auth_info.clone().unwrap();
    assert_eq!(user.client_certificate, path("c.crt"));
    assert_eq!(user.client_key, path("../c.key"));
    assert_eq!(user.token_file, path("t"));
    assert_eq!(user.exec.unwrap().command, path("./get"));
    let user = found.auth_infos[1].auth_info.clone().unwrap();
    assert!(user.token.is_none() && user.username.is_none());
    assert_eq!(user.exec.unwrap().command.as_deref(), Some("aws"));
}

#[test]
fn a_user_name_without_a_password_has_an_empty_one() {
    let home = Home::new();
    home.write("a", "users:\n- {name: u, user: {username: jane}}\n");
    let user = home.load(&["a"]).unwrap().unwrap().kubeconfig.auth_infos.remove(0).auth_info.unwrap();
    assert_eq!(user.password.unwrap().expose_secret(), "");
}

#[test]
fn unusable_files_are_named_with_the_reason() {
    let home = Home::new();
    home.write("binary", [0x7F, b'E', b'L', b'F', 0, 0xFF]);
    home.write("zeros", [0; 64]);
    home.write("list", "- a\n- b\n");
    home.write("word", "hello");
    home.write("broken", "contexts: [\n");
    home.write("twice", with_context("one", "c", "") + "- name: one\n");
    fs::create_dir(home.path("folder")).unwrap();
    let table = [
        ("binary", "is not a text file"),
        ("zeros", "is not a text file"),
        ("list", "is not a kubeconfig file"),
        ("word", "is not a kubeconfig file"),
        ("broken", "is not a kubeconfig file"),
        ("twice", "has two entries named \"one\" in contexts"),
        ("folder", "cannot read kubeconfig file"),
    ];
    for (name, words) in table {
        let error = home.load(&[name]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(home.path(name).to_str().unwrap()), "{name}: {text}");
        assert_eq!(error.status(), ExitStatus::Refused);
        assert!(!error.remedies().is_empty());
    }
}

#[test]
fn a_parse_error_shows_nothing_of_the_file() {
    let home = Home::new();
    home.write("broken", "users:\n- name: u\n  user:\n    token: s3cret\n   oops: [\n");
    let error = home.load(&["broken"]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn text_may_come_from_windows() {
    let text = with_context("one", "c", "one");
    let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let files = [
        [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat(),
        [&[0xFF, 0xFE], wide(u16::to_le_bytes).as_slice()].concat(),
        [&[0xFE, 0xFF], wide(u16::to_be_bytes).as_slice()].concat(),
        text.replace('\n', "\r\n").into_bytes(),
    ];
    for bytes in files {
        let home = Home::new();
        home.write("a", &bytes);
        assert_eq!(contexts(&home.load(&["a"]).unwrap().unwrap()), ["one"], "{bytes:?}");
    }
}

#[test]
fn files_of_different_kinds_are_not_mixed() {
    let home = Home::new();
    home.write("a", "kind: Config\n");
    home.write("b", "kind: Pod\n");
    let error = home.load(&["a", "b"]).unwrap_err();
    assert!(error.to_string().contains("does not go with the files before it"), "{error}");
}

#[test]
fn what_looks_like_a_number_is_text_where_text_is_wanted() {
    let home = Home::new();
    home.write("a", "users:\n- {name: u, user: {username: 7, password: 1234, token: true}}\n- {name: 42, user: {}}\n");
    let users = home.load(&["a"]).unwrap().unwrap().kubeconfig.auth_infos;
    let user = users[0].auth_info.as_ref().unwrap();
    assert_eq!(user.username.as_deref(), Some("7"));
    assert_eq!(user.password.as_ref().unwrap().expose_secret(), "1234");
    assert_eq!(user.token.as_ref().unwrap().expose_secret(), "true");
    assert_eq!(users[1].name, "42");
}

#[test]
fn a_field_of_the_wrong_type_is_told_without_its_value() {
    let home = Home::new();
    home.write("a", "clusters:\n- {name: c, cluster: {insecure-skip-tls-verify: true}}\n");
    let clusters = home.load(&["a"]).unwrap().unwrap().kubeconfig.clusters;
    assert_eq!(clusters[0].cluster.as_ref().unwrap().insecure_skip_tls_verify, Some(true));
    home.write("b", "users: s3cret\n");
    let error = home.load(&["b"]).unwrap_err();
    assert!(error.to_string().contains("do not have the types"), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}
