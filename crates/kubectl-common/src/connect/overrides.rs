//! Lays the connection flags over what the kubeconfig says, by client-go's rules.
//!
//! See `getCluster` and `getAuthInfo` in
//! <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/client-go/tools/clientcmd/client_config.go>.
//! One rule is stricter: a way to log in that is given as a flag replaces every other one, a client certificate of the
//! kubeconfig included, which the server would otherwise prefer to the token that was asked for.

use std::path::Path;

use kube::config::{AuthInfo, Cluster};
use thiserror::Error;

use super::target::Target;
use crate::exit::ExitStatus;
use crate::failure::{Remedies, Remedy};
use crate::flags::KubeFlags;

/// Flags and kubeconfig that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// The server's certificate would be both checked and not checked.
    #[error("a certificate authority and insecure-skip-tls-verify exclude each other")]
    InsecureWithAuthority,
    /// Groups, UID or extra attributes are impersonated and no user is.
    #[error("--as-group, --as-uid and --as-user-extra need a user to act as")]
    ImpersonationWithoutUser,
}

impl OverrideError {
    /// Returns how the process exits.
    pub const fn status(self) -> ExitStatus {
        match self {
            Self::InsecureWithAuthority | Self::ImpersonationWithoutUser => ExitStatus::Usage,
        }
    }
}

impl Remedies for OverrideError {
    fn remedies(&self) -> Vec<Remedy> {
        vec![match self {
            Self::InsecureWithAuthority => Remedy::Explain("leave one of the two out.".into()),
            Self::ImpersonationWithoutUser => Remedy::Flag("--as USER".into()),
        }]
    }
}

/// Lays `flags` over `target`.
pub(crate) fn apply(target: &mut Target, flags: &KubeFlags) -> Result<(), OverrideError> {
    override_cluster(&mut target.cluster, flags)?;
    override_credentials(&mut target.auth_info, flags);
    override_impersonation(&mut target.auth_info, flags)?;
    if let Some(namespace) = &flags.namespace {
        target.namespace = Some(namespace.clone());
    }
    Ok(())
}

fn override_cluster(cluster: &mut Cluster, flags: &KubeFlags) -> Result<(), OverrideError> {
    if flags.server.is_some() || flags.tls_server_name.is_some() {
        // The name that the kubeconfig expects belongs to the server that the kubeconfig names.
        cluster.tls_server_name.clone_from(&flags.tls_server_name);
    }
    if let Some(server) = &flags.server {
        cluster.server = Some(server.clone());
    }
    if flags.insecure_skip_tls_verify || flags.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(flags.insecure_skip_tls_verify);
        cluster.certificate_authority = flags.certificate_authority.as_deref().map(as_text);
        cluster.certificate_authority_data = None;
    }
    let has_authority = cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some();
    if has_authority && cluster.insecure_skip_tls_verify == Some(true) {
        return Err(OverrideError::InsecureWithAuthority);
    }
    if flags.disable_compression {
        cluster.disable_compression = Some(true);
    }
    Ok(())
}

fn override_credentials(auth_info: &mut AuthInfo, flags: &KubeFlags) {
    if !flags.brings_credentials() {
        return;
    }
    let configured = std::mem::take(auth_info);
    auth_info.impersonate = configured.impersonate;
    auth_info.impersonate_groups = configured.impersonate_groups;
    auth_info.impersonate_uid = configured.impersonate_uid;
    auth_info.impersonate_user_extra = configured.impersonate_user_extra;
    auth_info.token = flags.token.clone().map(Into::into);
    auth_info.username.clone_from(&flags.username);
    auth_info.password = flags.password.clone().map(Into::into);
    if flags.client_certificate.is_none() && flags.client_key.is_none() {
        return;
    }
    // One half of a key pair may come from the kubeconfig.
    if let Some(file) = &flags.client_certificate {
        auth_info.client_certificate = Some(as_text(file));
    } else {
        auth_info.client_certificate = configured.client_certificate;
        auth_info.client_certificate_data = configured.client_certificate_data;
    }
    if let Some(file) = &flags.client_key {
        auth_info.client_key = Some(as_text(file));
    } else {
        auth_info.client_key = configured.client_key;
        auth_info.client_key_data = configured.client_key_data;
    }
}

fn override_impersonation(auth_info: &mut AuthInfo, flags: &KubeFlags) -> Result<(), OverrideError> {
    if let Some(user) = &flags.as_user {
        auth_info.impersonate = Some(user.clone());
    }
    if !flags.as_groups.is_empty() {
        auth_info.impersonate_groups = Some(flags.as_groups.clone());
    }
    if let Some(uid) = &flags.as_uid {
        auth_info.impersonate_uid = Some(uid.clone());
    }
    for (key, value) in &flags.as_user_extra {
        let extra = auth_info.impersonate_user_extra.get_or_insert_default();
        extra.entry(key.clone()).or_default().push(value.clone());
    }
    let has_attributes = auth_info.impersonate_groups.as_ref().is_some_and(|groups| !groups.is_empty())
        || auth_info.impersonate_uid.is_some()
        || auth_info.impersonate_user_extra.as_ref().is_some_and(|extra| !extra.is_empty());
    if has_attributes && auth_info.impersonate.is_none() {
        return Err(OverrideError::ImpersonationWithoutUser);
    }
    Ok(())
}

fn as_text(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
