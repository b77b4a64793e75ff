//! kubectl's global flags. kubectl refuses them before a plugin's name, so a plugin must take every one itself.

use std::fmt;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};

use super::boolean::parse_boolean;
use crate::duration::RequestTimeout;

/// How to reach the cluster, and as whom.
///
/// An empty value (`--context "$UNSET"`) is a usage error and never means "the current one".
#[derive(Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a flag of kubectl")]
#[command(next_help_heading = "Connection")]
pub struct KubeFlags {
    /// Read this kubeconfig file and no other
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub context: Option<String>,

    /// Use this cluster of the kubeconfig
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub cluster: Option<String>,

    /// Use this user of the kubeconfig
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,

    /// Work in this namespace
    #[arg(short, long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,

    /// Act as this user, whom the server checks instead of you
    #[arg(long = "as", value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    pub as_user: Option<String>,

    /// Act as a member of this group (can be repeated)
    #[arg(long = "as-group", value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub as_groups: Vec<String>,

    /// Act as the user with this UID
    #[arg(long, value_name = "UID", hide_short_help = true, value_parser = NonEmptyStringValueParser::new())]
    pub as_uid: Option<String>,

    /// Act with this extra attribute (can be repeated)
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", hide_short_help = true, value_parser = parse_extra)]
    pub as_user_extra: Vec<(String, String)>,

    /// Talk to the API server at this address
    #[arg(short, long, value_name = "URL", hide_short_help = true, value_parser = NonEmptyStringValueParser::new())]
    pub server: Option<String>,

    /// Give up a single request after this time, such as 5s or 2m (0: after 60s)
    #[arg(long, value_name = "DURATION", default_value = "0", hide_short_help = true)]
    pub request_timeout: RequestTimeout,

    /// Authenticate with this bearer token
    #[arg(long, value_name = "TOKEN", hide_short_help = true, value_parser = NonEmptyStringValueParser::new())]
    pub token: Option<String>,

    /// Authenticate with this user name
    #[arg(long, value_name = "NAME", hide_short_help = true, conflicts_with = "token", requires = "password",
          value_parser = NonEmptyStringValueParser::new())]
    pub username: Option<String>,

    /// Authenticate with this password
    #[arg(long, value_name = "PASSWORD", hide_short_help = true, requires = "username")]
    pub password: Option<String>,

    /// Authenticate with this client certificate (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,

    /// The private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,

    /// Trust the certificate authorities of this file (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,

    /// Do not check the server's certificate: anybody may then read and change the traffic
    #[arg(long, value_name = "BOOL", hide_short_help = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true,
          value_parser = parse_boolean, action = ArgAction::Set)]
    pub insecure_skip_tls_verify: bool,

    /// Expect this name in the server's certificate
    #[arg(long, value_name = "NAME", hide_short_help = true, value_parser = NonEmptyStringValueParser::new())]
    pub tls_server_name: Option<String>,

    /// Do not ask the server to compress its answers
    #[arg(long, value_name = "BOOL", hide_short_help = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true,
          value_parser = parse_boolean, action = ArgAction::Set)]
    pub disable_compression: bool,

    /// Accepted for kubectl's sake; has no effect: nothing is cached on disk
    #[arg(long, value_name = "DIR", hide = true)]
    pub cache_dir: Option<PathBuf>,

    /// Accepted for kubectl's sake; has no effect
    #[arg(long, value_name = "BOOL", hide = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", value_parser = parse_boolean,
          action = ArgAction::Set)]
    pub match_server_version: bool,

    /// Accepted for kubectl's sake; has no effect
    #[arg(long, value_name = "BOOL", hide = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", value_parser = parse_boolean,
          action = ArgAction::Set)]
    pub warnings_as_errors: bool,

    /// Log to stderr: 0 warnings, 4 what happens, 6 requests, 8 everything
    #[arg(short, long = "v", value_name = "N", default_value_t = 0, global = true, hide_short_help = true)]
    pub verbosity: u8,
}

impl KubeFlags {
    /// Returns the flags that reach another cluster by one of the kubeconfig's contexts. What says where the first one is,
    /// or how to log in there, says nothing of the other.
    #[must_use]
    pub fn of_context(&self, context: &str) -> Self {
        Self {
            context: Some(context.to_owned()),
            cluster: None,
            user: None,
            server: None,
            token: None,
            username: None,
            password: None,
            client_certificate: None,
            client_key: None,
            certificate_authority: None,
            insecure_skip_tls_verify: false,
            tls_server_name: None,
            ..self.clone()
        }
    }

    /// Returns whether a flag says which cluster to use or how to log in to it.
    pub(crate) fn names_a_cluster(&self) -> bool {
        self.kubeconfig.is_some()
            || self.context.is_some()
            || self.cluster.is_some()
            || self.user.is_some()
            || self.server.is_some()
            || self.tls_server_name.is_some()
            || self.certificate_authority.is_some()
            || self.insecure_skip_tls_verify
            || self.brings_credentials()
    }

    /// Returns whether a flag says how to log in, which then replaces what the kubeconfig says about it.
    pub(crate) fn brings_credentials(&self) -> bool {
        self.token.is_some()
            || self.username.is_some()
            || self.client_certificate.is_some()
            || self.client_key.is_some()
    }
}

impl fmt::Debug for KubeFlags {
    /// Leaves out everything that is secret or may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeFlags")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("cluster", &self.cluster)
            .field("user", &self.user)
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .field("as_user", &self.as_user)
            .finish_non_exhaustive()
    }
}

fn parse_extra(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        nodes: Vec<String>,
        #[command(flatten)]
        kube: KubeFlags,
    }

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["x"], arguments].concat())
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn takes_every_global_flag_of_kubectl() {
        let cli = parse(&[
            "--as=jane",
            "--as-group=a",
            "--as-group=b",
            "--as-uid=7",
            "--as-user-extra=team=x=y",
            "--cache-dir=/c",
            "--certificate-authority=ca.crt",
            "--client-certificate=c.crt",
            "--client-key=c.key",
            "--cluster=k",
            "--context=c",
            "--disable-compression",
            "--insecure-skip-tls-verify=false",
            "--kubeconfig=f",
            "--match-server-version",
            "-n=ns",
            "--password=p",
            "--request-timeout=5",
            "-s=https://h",
            "--tls-server-name=n",
            "--user=u",
            "--username=jane",
            "-v=6",
            "--warnings-as-errors=true",
            "node-1",
        ])
        .unwrap();
        assert_eq!(cli.nodes, ["node-1"]);
        assert_eq!(cli.kube.as_groups, ["a", "b"]);
        assert_eq!(cli.kube.as_user_extra, [("team".to_owned(), "x=y".to_owned())]);
        assert!(cli.kube.disable_compression);
        assert!(!cli.kube.insecure_skip_tls_verify);
        assert_eq!(cli.kube.request_timeout.limit(), Some(Duration::from_secs(5)));
        assert_eq!(cli.kube.verbosity, 6);
        assert_eq!(cli.kube.namespace.as_deref(), Some("ns"));
    }

    #[test]
    fn a_boolean_flag_does_not_swallow_the_node() {
        let cli = parse(&["--insecure-skip-tls-verify", "node-1"]).unwrap();
        assert!(cli.kube.insecure_skip_tls_verify);
        assert_eq!(cli.nodes, ["node-1"]);
    }

    #[test]
    fn verbosity_has_kubectls_spellings() {
        for arguments in [&["-v", "4"][..], &["-v4"], &["-v=4"], &["--v=4"], &["--v", "4"]] {
            assert_eq!(parse(arguments).unwrap().kube.verbosity, 4, "{arguments:?}");
        }
    }

    #[test]
    fn another_context_is_not_reached_by_the_flags_of_the_first() {
        let cli = parse(&["--server=https://h", "--token=t", "--cluster=k", "--user=u", "--as=jane", "--kubeconfig=f"]);
        let other = cli.unwrap().kube.of_context("management");
        assert!(
            !other.brings_credentials() && other.server.is_none() && other.cluster.is_none() && other.user.is_none()
        );
        assert_eq!(other.context.as_deref(), Some("management"));
        assert_eq!(other.kubeconfig, Some("f".into()));
        assert_eq!(other.as_user.as_deref(), Some("jane"));
    }

    #[test]
    fn an_empty_name_never_means_the_current_one() {
        for flag in ["--context=", "--cluster=", "--user=", "--server=", "--token="] {
            assert!(parse(&[flag]).is_err(), "{flag}");
        }
    }

    #[test]
    fn one_way_to_log_in_only() {
        assert!(parse(&["--token=t", "--username=u", "--password=p"]).is_err());
        assert!(parse(&["--username=u"]).is_err());
    }

    #[test]
    fn secrets_are_not_shown_by_debug() {
        let cli = parse(&["--token=s3cret"]).unwrap();
        assert!(!format!("{cli:?}").contains("s3cret"));
    }
}
