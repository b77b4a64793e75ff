use std::path::PathBuf;

use super::*;

fn cluster() -> ClusterIdentity {
    ClusterIdentity { context: "staging".into(), server: "https://api:6443".into(), user: "jane".into() }
}

fn explained(error: &kube::Error) -> ApiError {
    explain(error, "list pods", &cluster(), &ServerTrust::File(PathBuf::from("/etc/ca.crt")))
}

fn status(code: u16, reason: &str, message: &str) -> kube::Error {
    kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
}

fn service(error: impl Into<Box<dyn StdError + Send + Sync>>) -> kube::Error {
    kube::Error::Service(error.into())
}

/// An error as hyper's client wraps it.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Wrapped {
    words: &'static str,
    #[source]
    source: io::Error,
}

#[test]
fn a_missing_right_is_told_with_its_verb_resource_and_place() {
    // message, words, question
    let table = [
        (
            r#"pods is forbidden: User "jane@x" cannot list resource "pods" in API group "" at the cluster scope"#,
            r#"cannot list pods: user "jane@x" may not list pods in the whole cluster"#,
            "kubectl auth can-i list pods -A --context staging",
        ),
        (
            r#"pods "web-1" is forbidden: User "jane" cannot create resource "pods/eviction" in API group "" in the namespace "shop""#,
            r#"cannot list pods: user "jane" may not create pods/eviction in namespace shop"#,
            "kubectl auth can-i create pods --subresource=eviction -n shop --context staging",
        ),
        (
            r#"leases.coordination.k8s.io is forbidden: User "j" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "kube-node-lease": RBAC: role not found"#,
            r#"cannot list pods: user "j" may not create leases of coordination.k8s.io in namespace kube-node-lease"#,
            "kubectl auth can-i create leases.coordination.k8s.io -n kube-node-lease --context staging",
        ),
    ];
    for (message, words, question) in table {
        let error = explained(&status(403, "Forbidden", message));
        assert_eq!(error.to_string(), words);
        assert_eq!(error.remedies()[0], Remedy::Command(question.into()));
        assert_eq!(error.status(), ExitStatus::Refused);
    }
}

#[test]
fn another_403_keeps_the_servers_words() {
    let message = "pods \"a\" is forbidden: exceeded quota: compute";
    let error = explained(&status(403, "Forbidden", message));
    assert_eq!(*error.problem(), ApiProblem::Denied(message.into()));
    assert_eq!(error.to_string(), format!("cannot list pods: {message}"));
}

#[test]
fn replies_are_sorted_by_what_can_be_done_about_them() {
    let trouble = |code| ApiProblem::ServerTrouble { code, message: "words".into() };
    let table = [
        (401, ApiProblem::Unauthorized, ExitStatus::Refused),
        (404, ApiProblem::NotFound("words".into()), ExitStatus::Refused),
        (409, ApiProblem::Rejected { code: 409, message: "words".into() }, ExitStatus::Unexpected),
        (422, ApiProblem::Rejected { code: 422, message: "words".into() }, ExitStatus::Unexpected),
        (429, trouble(429), ExitStatus::Refused),
        (500, trouble(500), ExitStatus::Refused),
        (503, trouble(503), ExitStatus::Refused),
        (504, ApiProblem::TimedOut { limit: None }, ExitStatus::Refused),
    ];
    for (code, problem, exit) in table {
        let error = explained(&status(code, "", "words"));
        assert_eq!((error.problem(), error.status()), (&problem, exit), "{code}");
    }
}

#[test]
fn an_expired_login_says_whose() {
    let error = explained(&status(401, "Unauthorized", "Unauthorized"));
    assert_eq!(error.to_string(), "cannot list pods: https://api:6443 does not accept the credentials of jane");
    assert!(error.remedies().contains(&Remedy::Command("kubectl auth whoami --context staging".into())));
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    let connect = |words, source: io::Error| service(Wrapped { words, source });
    let refused = connect("tcp connect error", io::Error::from_raw_os_error(111));
    let error = explained(&refused);
    assert!(matches!(error.problem(), ApiProblem::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("https://api:6443 cannot be reached: "), "{error}");

    let unknown = connect("dns error", io::Error::other("failed to lookup address information"));
    assert_eq!(
        explained(&unknown).to_string(),
        "cannot list pods: the name of https://api:6443 cannot be resolved: failed to lookup address information"
    );

    let late = service(io::Error::new(io::ErrorKind::TimedOut, "deadline has elapsed"));
    assert_eq!(*explained(&late).problem(), ApiProblem::TimedOut { limit: None });
}

#[test]
fn a_certificate_that_is_not_believed_names_who_should_vouch_for_it() {
    let wrapped = |error: rustls::Error| service(io::Error::new(io::ErrorKind::InvalidData, error));
    let error = explained(&wrapped(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
    assert_eq!(
        error.to_string(),
        "cannot list pods: the certificate of https://api:6443 is signed by an authority that is not trusted \
         (checked against the certificate authority file /etc/ca.crt)"
    );
    assert_eq!(error.status(), ExitStatus::Refused);
    let expired = explained(&wrapped(rustls::Error::InvalidCertificate(CertificateError::Expired)));
    assert!(expired.to_string().contains("has expired"), "{expired}");
    let plain = explained(&wrapped(rustls::Error::DecryptError));
    assert!(matches!(plain.problem(), ApiProblem::Tls(_)));
}

#[test]
fn what_a_credential_plugin_printed_stays_secret() {
    let output = std::process::Output {
        status: std::process::ExitStatus::default(),
        stdout: b"s3cret".to_vec(),
        stderr: b"\nsession expired, run aws sso login\nmore".to_vec(),
    };
    let failed = kube::Error::Auth(AuthError::AuthExecRun { cmd: "aws --key s3cret".into(), out: Box::new(output) });
    let error = explained(&failed);
    assert!(!format!("{error:?}").contains("s3cret"));
    assert!(error.to_string().ends_with(": session expired, run aws sso login"), "{error}");
    let later = service(AuthError::UnrefreshableTokenResponse);
    assert!(matches!(explained(&later).problem(), ApiProblem::Credentials(_)));
}
