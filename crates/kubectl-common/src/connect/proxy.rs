//! Decides whether requests go through a proxy.
//!
//! The kubeconfig's `proxy-url` wins. Otherwise HTTPS_PROXY is used for an https server unless NO_PROXY names the API
//! server's host, by the rules of Go: <https://pkg.go.dev/golang.org/x/net/http/httpproxy>. HTTP_PROXY is not read:
//! plain http serves local proxies such as `kubectl proxy`.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

use crate::environment::Environment;
use crate::failure::{Remedies, Remedy};

/// A proxy that cannot be used.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// It is not an address.
    #[error("the proxy of {source_name} is not a valid address")]
    NotAnAddress {
        /// Where it is configured.
        source_name: &'static str,
    },
    /// It is spoken to in a way that is not known here.
    #[error("the proxy of {source_name} has the scheme {scheme:?}; http, https and socks5 are known")]
    UnknownScheme {
        /// Where it is configured.
        source_name: &'static str,
        /// The scheme it has.
        scheme: String,
    },
}

impl Remedies for ProxyError {
    fn remedies(&self) -> Vec<Remedy> {
        let (Self::NotAnAddress { source_name } | Self::UnknownScheme { source_name, .. }) = self;
        vec![Remedy::Explain(format!("correct {source_name}; an example is http://proxy.example.com:3128."))]
    }
}

const KUBECONFIG_SOURCE: &str = "proxy-url in the kubeconfig";
const ENVIRONMENT_SOURCE: &str = "HTTPS_PROXY";

/// Returns the proxy for requests to `server`; `None` is a direct connection.
pub(crate) fn decide(
    server: &Uri,
    configured: Option<&str>,
    environment: &Environment,
) -> Result<Option<Uri>, ProxyError> {
    if let Some(proxy) = configured {
        return parse(proxy, KUBECONFIG_SOURCE).map(Some);
    }
    let Some(proxy) = &environment.https_proxy else { return Ok(None) };
    if server.scheme() != Some(&Scheme::HTTPS) || goes_direct(server, environment.no_proxy.as_deref()) {
        return Ok(None);
    }
    if proxy.contains("://") {
        parse(proxy, ENVIRONMENT_SOURCE).map(Some)
    } else {
        parse(&format!("http://{proxy}"), ENVIRONMENT_SOURCE).map(Some)
    }
}

fn parse(text: &str, source_name: &'static str) -> Result<Uri, ProxyError> {
    let not_an_address = || ProxyError::NotAnAddress { source_name };
    // A name that the proxy resolves is what the client's socks5 does anyway.
    let text = text.replacen("socks5h://", "socks5://", 1);
    let uri: Uri = text.parse().map_err(|_| not_an_address())?;
    uri.host().filter(|host| !host.is_empty()).ok_or_else(not_an_address)?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") => Ok(uri),
        Some(other) => Err(ProxyError::UnknownScheme { source_name, scheme: other.to_owned() }),
        None => Err(not_an_address()),
    }
}

/// Returns whether Go would reach `server` without a proxy: it is this machine, or an entry of `no_proxy` matches.
fn goes_direct(server: &Uri, no_proxy: Option<&str>) -> bool {
    let host = server.host().unwrap_or_default().to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = server.port_u16().unwrap_or(443);
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback()) {
        return true;
    }
    no_proxy.unwrap_or_default().split(',').any(|entry| matches_entry(entry, host, address, port))
}

/// Returns whether one entry covers the host. An entry is `*`, a CIDR range, an address or a domain, the last two
/// with or without a port; `example.com` and `.example.com` cover sub-domains, the second does not cover itself.
/// A malformed entry covers nothing.
fn matches_entry(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    let entry = entry.trim().to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = entry.split_once('/') {
        return address.is_some_and(|address| contains(network, length, address));
    }
    let (name, entry_port) = split_port(&entry);
    if name.is_empty() || entry_port.is_some_and(|entry_port| entry_port != port.to_string()) {
        return false;
    }
    if let Ok(entry_address) = name.parse::<IpAddr>() {
        return address.is_some_and(|address| address.to_canonical() == entry_address.to_canonical());
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

/// Splits `host:port` and `[v6]:port`; a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => ("", None),
        };
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        Some(_) | None => (entry, None),
    }
}

fn contains(network: &str, length: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    let (network, address, width) = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (network.to_bits().into(), address.to_bits().into(), 32),
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let differing: u128 = network ^ address;
    // A shift by the whole width leaves nothing to compare: a length of zero covers every address.
    length <= width && differing.checked_shr(width - length).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https_proxy: &str, no_proxy: &str) -> Environment {
        let set = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        Environment { https_proxy: set(https_proxy), no_proxy: set(no_proxy), ..Environment::default() }
    }

    fn is_direct(server: &str, no_proxy: &str) -> bool {
        let environment = environment("http://proxy:3128", no_proxy);
        decide(&server.parse().unwrap(), None, &environment).unwrap().is_none()
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        let table = [
            // server, NO_PROXY, direct
            ("https://api.example.com:6443", "", false),
            ("https://api.example.com:6443", "*", true),
            ("https://api.example.com:6443", "other.com, *", true),
            ("https://api.example.com:6443", "example.com", true),
            ("https://example.com:6443", "example.com", true),
            ("https://api.example.com:6443", ".example.com", true),
            ("https://example.com:6443", ".example.com", false),
            ("https://api.example.com:6443", "*.example.com", true),
            ("https://example.com:6443", "*.example.com", false),
            ("https://notexample.com:6443", "example.com", false),
            ("https://API.Example.COM:6443", "example.com", true),
            ("https://api.example.com:6443", "EXAMPLE.com", true),
            ("https://api.example.com:6443", "example.com:6443", true),
            ("https://api.example.com:6443", "example.com:443", false),
            ("https://api.example.com", "example.com:443", true),
            ("https://api.example.com:6443", "other.com,,  example.com ,", true),
            ("https://api.example.com:6443", ",", false),
            ("https://api.example.com:6443", "api", false),
            ("https://api.example.com:6443", ":6443", false),
            ("https://api.example.com:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://11.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "0.0.0.0/0", true),
            ("https://10.1.2.3:6443", "10.1.2.3/32", true),
            ("https://10.1.2.3:6443", "10.0.0.0/33", false),
            ("https://10.1.2.3:6443", "10.0.0.0/x", false),
            ("https://10.1.2.3:6443", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://10.1.2.3:6443", "10.1.2.4", false),
            ("https://[fd00::1]:6443", "fd00::/8", true),
            ("https://[fd00::1]:6443", "fe00::/8", false),
            ("https://[fd00::1]:6443", "::/0", true),
            ("https://[fd00::1]:6443", "fd00::1", true),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", true),
            ("https://[fd00::1]:6443", "[fd00::1]:443", false),
            ("https://[fd00::1]:6443", "[fd00::1", false),
            ("https://[fd00::1]:6443", "10.0.0.0/8", false),
            ("https://localhost:6443", "", true),
            ("https://127.0.0.1:6443", "", true),
            ("https://127.9.9.9:6443", "", true),
            ("https://[::1]:6443", "", true),
            ("http://api.example.com:8080", "", true),
        ];
        for (server, no_proxy, direct) in table {
            assert_eq!(is_direct(server, no_proxy), direct, "{server} with NO_PROXY={no_proxy}");
        }
    }

    #[test]
    fn the_kubeconfig_wins_and_knows_no_exception() {
        let environment = environment("http://other:1", "*");
        let proxy = decide(&"https://localhost:1".parse().unwrap(), Some("socks5://proxy:1080"), &environment);
        assert_eq!(proxy.unwrap().unwrap().to_string(), "socks5://proxy:1080/");
    }

    #[test]
    fn without_any_setting_there_is_no_proxy() {
        assert_eq!(decide(&"https://api:1".parse().unwrap(), None, &Environment::default()), Ok(None));
    }

    #[test]
    fn a_proxy_of_the_environment_may_lack_a_scheme() {
        let server = "https://api.example.com".parse().unwrap();
        for (text, uri) in [("proxy:3128", "http://proxy:3128/"), ("socks5h://p:1", "socks5://p:1/")] {
            let proxy = decide(&server, None, &environment(text, "")).unwrap().unwrap();
            assert_eq!(proxy.to_string(), uri);
        }
    }

    #[test]
    fn a_bad_proxy_is_an_error_and_its_password_stays_secret() {
        let server = "https://api.example.com".parse().unwrap();
        let error = decide(&server, None, &environment("ftp://user:s3cret@proxy", "")).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
        assert!(error.to_string().contains("ftp"));
        for proxy in ["proxy:3128", "http://", "://", "http://[", ""] {
            assert!(decide(&server, Some(proxy), &Environment::default()).is_err(), "{proxy}");
        }
    }
}
