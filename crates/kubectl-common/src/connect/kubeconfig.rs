//! Finds, reads and merges kubeconfig files by kubectl's rules; decides nothing about contexts.
//!
//! The rules: <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files>.

use std::collections::BTreeSet;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::{env, fs, io};

use kube::config::{AuthInfo, Cluster, Kubeconfig};
use serde_json::Value;
use thiserror::Error;

use crate::environment::Environment;
use crate::exit::ExitStatus;
use crate::failure::{Remedies, Remedy, shell_word};

/// Why the kubeconfig cannot be used.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// `--kubeconfig` names a file that is not there.
    #[error("kubeconfig file {} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// `KUBECONFIG` is set and no file of its list exists.
    #[error("KUBECONFIG lists no file that exists: {listed}")]
    NoneListed {
        /// The value as it was set.
        listed: String,
    },
    /// A file is there and cannot be read.
    #[error("cannot read kubeconfig file {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than text.
    #[error("kubeconfig file {} is not a text file", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
    },
    /// A file is text and no kubeconfig.
    #[error("{} is not a kubeconfig file: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What the parser said, without the text of the file, which may be secret.
        reason: String,
    },
    /// A file has two entries of one name, of which kubectl would take neither.
    #[error("kubeconfig file {} has two entries named {name:?} in {list}", file.display())]
    Duplicate {
        /// The file.
        file: PathBuf,
        /// `clusters`, `contexts` or `users`.
        list: &'static str,
        /// The repeated name.
        name: String,
    },
    /// Files of different kinds are listed together.
    #[error("kubeconfig file {} does not go with the files before it: {reason}", file.display())]
    Unmergeable {
        /// The file that does not fit.
        file: PathBuf,
        /// What differs.
        reason: String,
    },
}

impl KubeconfigError {
    /// Returns how the process exits: a wrong flag is a usage error, a wrong file is refused.
    pub const fn status(&self) -> ExitStatus {
        match self {
            Self::Missing { .. } => ExitStatus::Usage,
            Self::NoneListed { .. }
            | Self::Read { .. }
            | Self::NotText { .. }
            | Self::Malformed { .. }
            | Self::Duplicate { .. }
            | Self::Unmergeable { .. } => ExitStatus::Refused,
        }
    }
}

impl Remedies for KubeconfigError {
    fn remedies(&self) -> Vec<Remedy> {
        let remedy = match self {
            Self::Missing { .. } => "check the path after `--kubeconfig`.".to_owned(),
            Self::NoneListed { .. } => {
                "correct KUBECONFIG, or unset it to use the file .kube/config of the home folder.".to_owned()
            }
            Self::Read { file, .. } => {
                return vec![Remedy::Command(format!("ls -l {}", shell_word(&file.to_string_lossy())))];
            }
            Self::NotText { file } | Self::Malformed { file, .. } => {
                return vec![Remedy::Command(format!(
                    "kubectl config view --kubeconfig {}",
                    shell_word(&file.to_string_lossy())
                ))];
            }
            Self::Duplicate { name, .. } => format!("rename or remove one of the entries {name:?}."),
            Self::Unmergeable { .. } => "name only one of the files, with `--kubeconfig`.".to_owned(),
        };
        vec![Remedy::Explain(remedy)]
    }
}

/// The merged kubeconfig and the files that it came from.
#[derive(Debug, Default)]
pub(crate) struct LoadedKubeconfig {
    pub(crate) kubeconfig: Kubeconfig,
    pub(crate) files: Vec<PathBuf>,
}

/// Reads the file after `--kubeconfig`, else the list in KUBECONFIG, else the file in the home folder. Returns `None`
/// when neither is named and the last does not exist.
pub(crate) fn load(
    explicit: Option<&Path>,
    environment: &Environment,
) -> Result<Option<LoadedKubeconfig>, KubeconfigError> {
    if let Some(file) = explicit {
        let missing = || KubeconfigError::Missing { file: file.to_owned() };
        return merge_existing([file.to_owned()])?.ok_or_else(missing).map(Some);
    }
    if let Some(list) = &environment.kubeconfig {
        let none_listed = || KubeconfigError::NoneListed { listed: list.to_string_lossy().into_owned() };
        let files = env::split_paths(list).filter(|file| !file.as_os_str().is_empty());
        return merge_existing(files)?.ok_or_else(none_listed).map(Some);
    }
    merge_existing(environment.home.iter().map(|home| home.join(".kube").join("config")))
}

fn merge_existing(files: impl IntoIterator<Item = PathBuf>) -> Result<Option<LoadedKubeconfig>, KubeconfigError> {
    let mut merged: Option<LoadedKubeconfig> = None;
    for file in files {
        let Some(next) = read(&file)? else { continue };
        let LoadedKubeconfig { kubeconfig, mut files } = merged.take().unwrap_or_default();
        if files.contains(&file) {
            merged = Some(LoadedKubeconfig { kubeconfig, files });
            continue;
        }
        let kubeconfig = kubeconfig
            .merge(next)
            .map_err(|error| KubeconfigError::Unmergeable { file: file.clone(), reason: error.to_string() })?;
        files.push(file);
        merged = Some(LoadedKubeconfig { kubeconfig, files });
    }
    Ok(merged)
}

/// Reads one file with its relative paths made absolute; `None` when it does not exist.
fn read(file: &Path) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KubeconfigError::Read { file: file.to_owned(), source }),
    };
    let text = decode(bytes).ok_or_else(|| KubeconfigError::NotText { file: file.to_owned() })?;
    let mut kubeconfig = parse(&text).map_err(|reason| KubeconfigError::Malformed { file: file.to_owned(), reason })?;
    refuse_duplicates(file, &kubeconfig)?;
    kubeconfig.current_context = kubeconfig.current_context.filter(|name| !name.is_empty());
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        tidy_cluster(cluster, folder);
    }
    for auth_info in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        tidy_auth_info(auth_info, folder);
    }
    Ok(Some(kubeconfig))
}

/// Decodes UTF-8 and, by their byte order marks, the UTF-16 files that Windows tools write; `None` for anything else.
fn decode(bytes: Vec<u8>) -> Option<String> {
    let wide = |unit: fn([u8; 2]) -> u16, rest: &[u8]| {
        let (pairs, []) = rest.as_chunks::<2>() else { return None };
        String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>()).ok()
    };
    let text = match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xFE, 0xFF, rest @ ..] => wide(u16::from_be_bytes, rest),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    };
    text.filter(|text| !text.contains('\0'))
}

/// Reads the documents of a file as kubectl does: YAML becomes JSON, and JSON the kubeconfig. Not `Kubeconfig::from_yaml`:
/// a YAML parser made for each of its types would be a thirtieth of the program. The reason of a failure holds nothing
/// of the file, which may be secret.
fn parse(text: &str) -> Result<Kubeconfig, String> {
    let documents = serde_saphyr::from_multiple::<Value>(text).map_err(|error| error.without_snippet().to_string())?;
    documents.into_iter().try_fold(Kubeconfig::default(), |merged, mut document| {
        if document.is_null() {
            return Ok(merged);
        }
        if !document.is_object() {
            return Err("it holds no mapping".to_owned());
        }
        write_out_scalars(&mut document, "");
        let next = serde_json::from_value(document)
            .map_err(|_| "its fields do not have the types of a kubeconfig's".to_owned())?;
        merged.merge(next).map_err(|error| error.to_string())
    })
}

/// Turns numbers and booleans into text where a kubeconfig has text: people write passwords like 1234 without quotes.
fn write_out_scalars(value: &mut Value, key: &str) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Bool(flag) if !FLAGS.contains(&key) => *value = Value::String(flag.to_string()),
        Value::Array(items) => items.iter_mut().for_each(|item| write_out_scalars(item, key)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut().filter(|(key, _)| *key != "extensions" && *key != "preferences") {
                write_out_scalars(value, key);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The fields of a kubeconfig that are booleans.
const FLAGS: [&str; 3] = ["insecure-skip-tls-verify", "disable-compression", "provideClusterInfo"];

fn refuse_duplicates(file: &Path, kubeconfig: &Kubeconfig) -> Result<(), KubeconfigError> {
    let clusters = kubeconfig.clusters.iter().map(|named| ("clusters", &named.name));
    let contexts = kubeconfig.contexts.iter().map(|named| ("contexts", &named.name));
    let users = kubeconfig.auth_infos.iter().map(|named| ("users", &named.name));
    let mut seen = BTreeSet::new();
    for (list, name) in clusters.chain(contexts).chain(users) {
        if !seen.insert((list, name)) {
            return Err(KubeconfigError::Duplicate { file: file.to_owned(), list, name: name.clone() });
        }
    }
    Ok(())
}

/// Drops empty values, which for kubectl are unset, and resolves paths against the folder of the file.
fn tidy_cluster(cluster: &mut Cluster, folder: &Path) {
    let values = [
        &mut cluster.server,
        &mut cluster.certificate_authority,
        &mut cluster.certificate_authority_data,
        &mut cluster.proxy_url,
        &mut cluster.tls_server_name,
    ];
    values.into_iter().for_each(drop_empty);
    resolve(&mut cluster.certificate_authority, folder);
}

fn tidy_auth_info(auth_info: &mut AuthInfo, folder: &Path) {
    use secrecy::ExposeSecret;

    let values = [
        &mut auth_info.username,
        &mut auth_info.token_file,
        &mut auth_info.client_certificate,
        &mut auth_info.client_certificate_data,
        &mut auth_info.client_key,
        &mut auth_info.impersonate,
    ];
    values.into_iter().for_each(drop_empty);
    for secret in [&mut auth_info.token, &mut auth_info.client_key_data] {
        if secret.as_ref().is_some_and(|value| value.expose_secret().is_empty()) {
            *secret = None;
        }
    }
    if auth_info.username.is_none() {
        auth_info.password = None;
    } else if auth_info.password.is_none() {
        auth_info.password = Some(String::new().into());
    }
    for path in [&mut auth_info.token_file, &mut auth_info.client_certificate, &mut auth_info.client_key] {
        resolve(path, folder);
    }
    if let Some(exec) = &mut auth_info.exec {
        // A bare name such as `aws` is looked up in PATH.
        if exec.command.as_ref().is_some_and(|command| command.contains(MAIN_SEPARATOR)) {
            resolve(&mut exec.command, folder);
        }
    }
}

fn drop_empty(value: &mut Option<String>) {
    if value.as_ref().is_some_and(String::is_empty) {
        *value = None;
    }
}

fn resolve(path: &mut Option<String>, folder: &Path) {
    if let Some(path) = path.as_mut().filter(|path| Path::new(path.as_str()).is_relative()) {
        *path = folder.join(path.as_str()).to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests;
