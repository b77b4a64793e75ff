//! The service account of the pod that the plugin runs in; used only when nothing names another cluster.

use std::path::{Path, PathBuf};
use std::{fs, io};

use kube::config::{AuthInfo, Cluster};
use thiserror::Error;

use super::target::Target;
use crate::environment::Environment;
use crate::failure::{Remedies, Remedy};

/// A service account that is there and cannot be used.
#[derive(Debug, Error)]
pub enum InClusterError {
    /// One of its files cannot be read.
    #[error("cannot read {} of the pod's service account", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Remedies for InClusterError {
    fn remedies(&self) -> Vec<Remedy> {
        vec![Remedy::Flag("--kubeconfig FILE".into())]
    }
}

/// The context that reports name for a run with the pod's service account.
const CONTEXT: &str = "in-cluster";

/// Returns the cluster that this process runs in; `None` outside a pod or in a pod without a service account.
pub(crate) fn target(environment: &Environment) -> Result<Option<Target>, InClusterError> {
    let (Some(host), Some(port)) = (&environment.service_host, &environment.service_port) else { return Ok(None) };
    let token = environment.service_account.join("token");
    if !token.exists() {
        return Ok(None);
    }
    let namespace_file = environment.service_account.join("namespace");
    let namespace = match fs::read_to_string(&namespace_file) {
        Ok(namespace) => Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(InClusterError::Read { file: namespace_file, source }),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = environment.service_account.join("ca.crt");
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: authority.exists().then(|| as_text(&authority)),
        ..Cluster::default()
    };
    let auth_info = AuthInfo { token_file: Some(as_text(&token)), ..AuthInfo::default() };
    Ok(Some(Target {
        context: Some(CONTEXT.to_owned()),
        cluster_name: Some(CONTEXT.to_owned()),
        cluster,
        user: Some("the pod's service account".to_owned()),
        auth_info,
        namespace,
    }))
}

fn as_text(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(folder: &Path) -> Environment {
        Environment {
            service_host: Some("10.0.0.1".into()),
            service_port: Some("443".into()),
            service_account: folder.to_owned(),
            ..Environment::default()
        }
    }

    #[test]
    fn takes_address_token_and_namespace_of_the_pod() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("token", "t"), ("ca.crt", "c"), ("namespace", "tools\n")] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let found = target(&pod(folder.path())).unwrap().unwrap();
        assert_eq!(found.cluster.server.as_deref(), Some("https://10.0.0.1:443"));
        assert_eq!(found.namespace.as_deref(), Some("tools"));
        assert!(found.auth_info.token_file.unwrap().ends_with("token"));
        assert!(found.cluster.certificate_authority.unwrap().ends_with("ca.crt"));

        let six = Environment { service_host: Some("fd00::1".into()), ..pod(folder.path()) };
        assert_eq!(target(&six).unwrap().unwrap().cluster.server.as_deref(), Some("https://[fd00::1]:443"));
    }

    #[test]
    fn is_nowhere_without_a_service_account() {
        let folder = tempfile::tempdir().unwrap();
        assert!(target(&pod(folder.path())).unwrap().is_none());
        fs::write(folder.path().join("token"), "t").unwrap();
        let outside = Environment { service_host: None, ..pod(folder.path()) };
        assert!(target(&outside).unwrap().is_none());
    }
}
