//! A plugin manifest as krew reads it (krew `pkg/index/types.go`): unknown fields are ignored, and what is absent is
//! told from what is empty wherever krew does.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The `apiVersion` of every manifest.
pub const API_VERSION: &str = "krew.googlecontainertools.github.com/v1alpha2";
/// The `kind` of every manifest.
pub const KIND: &str = "Plugin";

/// A plugin manifest. A text field that is absent is empty, as in krew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Manifest {
    /// [`API_VERSION`].
    #[serde(deserialize_with = "null_is_empty")]
    pub api_version: String,
    /// [`KIND`].
    #[serde(deserialize_with = "null_is_empty")]
    pub kind: String,
    /// The name.
    #[serde(deserialize_with = "null_is_empty")]
    pub metadata: Metadata,
    /// Everything else.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: Spec,
}

/// `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The word after `kubectl krew install`.
    #[serde(deserialize_with = "null_is_empty")]
    pub name: String,
}

/// `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// With a leading `v`.
    #[serde(deserialize_with = "null_is_empty")]
    pub version: String,
    /// The line of `kubectl krew search`.
    #[serde(deserialize_with = "null_is_empty")]
    pub short_description: String,
    /// The text of `kubectl krew info`.
    #[serde(deserialize_with = "null_is_empty")]
    pub description: String,
    /// What is shown after the installation.
    #[serde(deserialize_with = "null_is_empty")]
    pub caveats: String,
    /// Where a user reads more.
    #[serde(deserialize_with = "null_is_empty")]
    pub homepage: String,
    /// One entry an archive.
    #[serde(deserialize_with = "null_is_empty")]
    pub platforms: Vec<Platform>,
}

/// The archive for some systems and processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// Where the archive is downloaded from.
    #[serde(deserialize_with = "null_is_empty")]
    pub uri: String,
    /// Its SHA-256 sum in lower-case hexadecimal digits.
    #[serde(deserialize_with = "null_is_empty")]
    pub sha256: String,
    /// Which systems and processors it is for.
    pub selector: Option<Selector>,
    /// What is taken out of it; absent: everything at its top level.
    pub files: Option<Vec<FileOperation>>,
    /// The program among what was taken out.
    #[serde(deserialize_with = "null_is_empty")]
    pub bin: String,
}

/// One entry of `files`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FileOperation {
    /// A path or a pattern in the archive.
    #[serde(deserialize_with = "null_is_empty")]
    pub from: String,
    /// A folder in the installation.
    #[serde(deserialize_with = "null_is_empty")]
    pub to: String,
}

/// A Kubernetes label selector; the labels are `os` and `arch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    /// Each must be equal.
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Each must hold.
    pub match_expressions: Option<Vec<Expression>>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// `os` or `arch`.
    #[serde(deserialize_with = "null_is_empty")]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[serde(deserialize_with = "null_is_empty")]
    pub operator: String,
    /// What `In` and `NotIn` compare with.
    #[serde(deserialize_with = "null_is_empty")]
    pub values: Vec<String>,
}

/// A text that is no manifest.
#[derive(Debug, Error)]
#[error("cannot be read as a manifest: {}", .0.lines().next().unwrap_or_default())]
pub struct ManifestError(String);

impl Manifest {
    /// Reads a manifest from YAML. What the fields hold is judged by [`crate::rules`].
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        serde_saphyr::from_str(text).map_err(|error| ManifestError(error.to_string()))
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_unknown_fields_are_read_as_krew_reads_them() {
        let manifest = Manifest::parse("kind: Plugin\nmetadata:\nspec:\n  version: ~\n  color: blue\n").unwrap();
        assert_eq!(manifest, Manifest { kind: KIND.into(), ..Manifest::default() });
    }

    #[test]
    fn absent_is_told_from_empty() {
        let text = "spec: {platforms: [{files: [], selector: {matchLabels: {}}}, {selector: {}}]}";
        let [first, second] = <[Platform; 2]>::try_from(Manifest::parse(text).unwrap().spec.platforms).unwrap();
        assert_eq!((first.files, second.files), (Some(vec![]), None));
        assert_eq!(first.selector.unwrap().match_labels, Some(BTreeMap::new()));
        assert_eq!(second.selector, Some(Selector::default()));
    }

    #[test]
    fn what_is_no_manifest_is_told_in_one_line() {
        let error = Manifest::parse("spec: [").unwrap_err().to_string();
        assert!(error.starts_with("cannot be read as a manifest: ") && !error.contains('\n'), "{error}");
        assert!(Manifest::parse("spec: {platforms: 5}").is_err());
    }
}
