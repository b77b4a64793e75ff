//! Picks the context, cluster and user that flags and kubeconfig mean; a name that leads nowhere is an error.

use std::path::PathBuf;

use kube::config::{AuthInfo, Cluster, Context, Kubeconfig};
use thiserror::Error;

use super::kubeconfig::LoadedKubeconfig;
use crate::exit::ExitStatus;
use crate::failure::{Remedies, Remedy};
use crate::flags::KubeFlags;

/// Why it is not clear which cluster is meant, or as whom.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// There is nothing to choose from.
    #[error("{}", nothing_configured(files))]
    NothingConfigured {
        /// The kubeconfig files that were read; none exists when it is empty.
        files: Vec<PathBuf>,
    },
    /// No context is current and no flag names one.
    #[error("the kubeconfig has no current context")]
    NoCurrentContext {
        /// The contexts that exist.
        known: Vec<String>,
    },
    /// The context does not exist.
    #[error("{} {name:?} does not exist", if *.by_flag { "context" } else { "current context" })]
    UnknownContext {
        /// The name that leads nowhere.
        name: String,
        /// Whether `--context` named it, rather than the kubeconfig.
        by_flag: bool,
        /// The contexts that exist.
        known: Vec<String>,
    },
    /// The cluster does not exist.
    #[error("cluster {name:?}{} does not exist", named_by(context.as_deref()))]
    UnknownCluster {
        /// The name that leads nowhere.
        name: String,
        /// The context that names it; `None` when `--cluster` does.
        context: Option<String>,
        /// The clusters that exist.
        known: Vec<String>,
    },
    /// The user does not exist.
    #[error("user {name:?}{} does not exist", named_by(context.as_deref()))]
    UnknownUser {
        /// The name that leads nowhere.
        name: String,
        /// The context that names it; `None` when `--user` does.
        context: Option<String>,
        /// The users that exist.
        known: Vec<String>,
    },
    /// The context names no cluster.
    #[error("context {context:?} names no cluster")]
    NoCluster {
        /// The context.
        context: String,
    },
    /// The cluster has no address.
    #[error("cluster {cluster:?} has no server address")]
    NoServer {
        /// The cluster.
        cluster: String,
    },
}

fn nothing_configured(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "there is no kubeconfig, and no flag names a server".to_owned();
    }
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!("no cluster is configured in {}", files.join(", "))
}

fn named_by(context: Option<&str>) -> String {
    context.map(|context| format!(" of context {context:?}")).unwrap_or_default()
}

impl TargetError {
    /// Returns how the process exits: a wrong flag is a usage error, a wrong file is refused.
    pub const fn status(&self) -> ExitStatus {
        match self {
            Self::UnknownContext { by_flag: true, .. }
            | Self::UnknownCluster { context: None, .. }
            | Self::UnknownUser { context: None, .. } => ExitStatus::Usage,
            Self::NothingConfigured { .. }
            | Self::NoCurrentContext { .. }
            | Self::UnknownContext { .. }
            | Self::UnknownCluster { .. }
            | Self::UnknownUser { .. }
            | Self::NoCluster { .. }
            | Self::NoServer { .. } => ExitStatus::Refused,
        }
    }
}

impl Remedies for TargetError {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::NothingConfigured { .. } => vec![
                Remedy::Flag("--kubeconfig FILE".into()),
                Remedy::Explain("KUBECONFIG may name the file as well.".into()),
            ],
            Self::NoCurrentContext { known } => {
                vec![Remedy::Flag("--context NAME".into()), available("contexts", "", known)]
            }
            Self::UnknownContext { name, known, .. } => {
                vec![available("contexts", name, known), Remedy::Command("kubectl config get-contexts".into())]
            }
            Self::UnknownCluster { name, known, .. } => {
                vec![available("clusters", name, known), Remedy::Command("kubectl config get-clusters".into())]
            }
            Self::UnknownUser { name, known, .. } => {
                vec![available("users", name, known), Remedy::Command("kubectl config get-users".into())]
            }
            Self::NoCluster { .. } => vec![Remedy::Flag("--cluster NAME".into())],
            Self::NoServer { .. } => vec![Remedy::Flag("--server URL".into())],
        }
    }
}

/// How many names a hint lists.
const LISTED: usize = 8;

/// Tells the names most like `name`, or all when none is like it.
fn available(what: &str, name: &str, known: &[String]) -> Remedy {
    let mut ranked: Vec<_> = known.iter().map(|other| (strsim::jaro_winkler(name, other), other.as_str())).collect();
    ranked.sort_by(|(a, a_name), (b, b_name)| b.total_cmp(a).then(a_name.cmp(b_name)));
    let similar: Vec<_> =
        ranked.iter().filter(|(likeness, _)| *likeness > 0.8).take(3).map(|(_, name)| *name).collect();
    if !similar.is_empty() {
        return Remedy::Explain(format!("did you mean {}?", similar.join(" or ")));
    }
    let mut names: Vec<_> = known.iter().map(String::as_str).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    Remedy::Explain(match (names.as_slice(), more) {
        ([], _) => format!("the kubeconfig has no {what}."),
        (names, 0) => format!("the {what} are {}.", names.join(", ")),
        (names, more) => format!("the {what} are {} and {more} more.", names.join(", ")),
    })
}

/// What the kubeconfig says about the cluster that is meant, before flags override it.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// `None` when `--server` or `--cluster` is used without any context.
    pub(crate) context: Option<String>,
    /// `None` when `--server` stands alone.
    pub(crate) cluster_name: Option<String>,
    pub(crate) cluster: Cluster,
    /// `None` when the context names none.
    pub(crate) user: Option<String>,
    pub(crate) auth_info: AuthInfo,
    pub(crate) namespace: Option<String>,
}

/// Finds what `flags` mean in the kubeconfig.
pub(crate) fn choose(loaded: LoadedKubeconfig, flags: &KubeFlags) -> Result<Target, TargetError> {
    let LoadedKubeconfig { kubeconfig, files } = loaded;
    let (context_name, context) = match choose_context(&kubeconfig, files, flags)? {
        Some((name, context)) => (Some(name), context),
        None => (None, Context::default()),
    };
    let (cluster_name, cluster) = choose_cluster(&kubeconfig, context_name.as_deref(), &context, flags)?;
    let (user, auth_info) = choose_user(&kubeconfig, context_name.as_deref(), &context, flags)?;
    let namespace = context.namespace.filter(|namespace| !namespace.is_empty());
    Ok(Target { context: context_name, cluster_name, cluster, user, auth_info, namespace })
}

fn choose_context(
    kubeconfig: &Kubeconfig,
    files: Vec<PathBuf>,
    flags: &KubeFlags,
) -> Result<Option<(String, Context)>, TargetError> {
    let known = || kubeconfig.contexts.iter().map(|named| named.name.clone()).collect::<Vec<_>>();
    let Some(name) = flags.context.as_ref().or(kubeconfig.current_context.as_ref()) else {
        if flags.server.is_some() || flags.cluster.is_some() {
            return Ok(None);
        }
        if kubeconfig.contexts.is_empty() {
            return Err(TargetError::NothingConfigured { files });
        }
        return Err(TargetError::NoCurrentContext { known: known() });
    };
    let found = kubeconfig.contexts.iter().find(|named| named.name == *name);
    match found {
        Some(named) => Ok(Some((name.clone(), named.context.clone().unwrap_or_default()))),
        None if files.is_empty() => Err(TargetError::NothingConfigured { files }),
        None => {
            Err(TargetError::UnknownContext { name: name.clone(), by_flag: flags.context.is_some(), known: known() })
        }
    }
}

fn choose_cluster(
    kubeconfig: &Kubeconfig,
    context_name: Option<&str>,
    context: &Context,
    flags: &KubeFlags,
) -> Result<(Option<String>, Cluster), TargetError> {
    let named = flags.cluster.as_ref().or(Some(&context.cluster)).filter(|name| !name.is_empty());
    let Some(name) = named else {
        return match (context_name, &flags.server) {
            (Some(context), None) => Err(TargetError::NoCluster { context: context.to_owned() }),
            (None, _) | (_, Some(_)) => Ok((None, Cluster::default())),
        };
    };
    let found = kubeconfig.clusters.iter().find(|named| named.name == *name);
    let cluster = found.and_then(|named| named.cluster.clone()).ok_or_else(|| TargetError::UnknownCluster {
        name: name.clone(),
        context: context_name.filter(|_| flags.cluster.is_none()).map(str::to_owned),
        known: kubeconfig.clusters.iter().map(|named| named.name.clone()).collect(),
    })?;
    if cluster.server.is_none() && flags.server.is_none() {
        return Err(TargetError::NoServer { cluster: name.clone() });
    }
    Ok((Some(name.clone()), cluster))
}

fn choose_user(
    kubeconfig: &Kubeconfig,
    context_name: Option<&str>,
    context: &Context,
    flags: &KubeFlags,
) -> Result<(Option<String>, AuthInfo), TargetError> {
    let named = flags.user.as_ref().or(context.user.as_ref()).filter(|name| !name.is_empty());
    let Some(name) = named else { return Ok((None, AuthInfo::default())) };
    match kubeconfig.auth_infos.iter().find(|named| named.name == *name) {
        Some(named) => Ok((Some(name.clone()), named.auth_info.clone().unwrap_or_default())),
        None if flags.user.is_none() && flags.brings_credentials() => Ok((None, AuthInfo::default())),
        None => Err(TargetError::UnknownUser {
            name: name.clone(),
            context: context_name.filter(|_| flags.user.is_none()).map(str::to_owned),
            known: kubeconfig.auth_infos.iter().map(|named| named.name.clone()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
