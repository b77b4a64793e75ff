//! The sums of built archives, written into copies of the manifests; whatever was not built keeps the sum it had.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::manifest::{Manifest, ManifestError};

/// Sums of archives, by their file names.
pub type Sums = BTreeMap<String, String>;

/// Why the sums cannot be written into a manifest.
#[derive(Debug, Error)]
pub enum FillError {
    /// It is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is laid out in a way that only a person can edit.
    #[error("the entry of {0} has no line `sha256:` of its own after its `uri:`")]
    Layout(String),
}

/// Returns the text of a manifest in which each platform whose archive has a sum says that sum. Everything else stays as
/// it is, comments too. Sums of archives that the manifest does not name are not used.
pub fn fill(text: &str, sums: &Sums) -> Result<String, FillError> {
    let before = Manifest::parse(text)?;
    let mut wanted = before.clone();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for platform in &mut wanted.spec.platforms {
        let name = archive_of(&platform.uri);
        let Some(sum) = sums.get(name) else { continue };
        platform.sha256.clone_from(sum);
        let line = sum_line(&mut lines, &platform.uri).ok_or_else(|| FillError::Layout(name.to_owned()))?;
        let start = line.find("sha256:").unwrap_or_default();
        line.replace_range(start.., &format!("sha256: \"{sum}\""));
    }
    let filled = lines.join("\n") + "\n";
    // The lines were found by their looks: what krew will read decides whether they were the right ones.
    if Manifest::parse(&filled)? == wanted { Ok(filled) } else { Err(FillError::Layout("a platform".to_owned())) }
}

/// Returns the last part of a URI.
pub fn archive_of(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}

/// Returns the line of the sum that belongs to a URI: the first one after it, before the next URI.
fn sum_line<'l>(lines: &'l mut [String], uri: &str) -> Option<&'l mut String> {
    let key = |line: &str, key: &str| line.trim_start().trim_start_matches("- ").starts_with(key);
    let mut after = lines.iter_mut().skip_while(|line| !(key(line, "uri:") && line.contains(uri))).skip(1);
    let next = after.find(|line| key(line, "sha256:") || key(line, "uri:"))?;
    key(next, "sha256:").then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::UNKNOWN_SUM;

    const TEXT: &str = "# kept\nspec:\n  platforms:\n  - uri: https://a.test/a_linux\n    sha256: \"0\" # unknown\n  \
                        - selector: {}\n    uri: https://a.test/a_darwin\n    sha256: \"0\"\n";

    fn sums(name: &str, sum: &str) -> Sums {
        Sums::from([(name.to_owned(), sum.to_owned())])
    }

    #[test]
    fn only_what_was_built_is_filled_in() {
        let filled = fill(TEXT, &sums("a_darwin", "abc")).unwrap();
        assert_eq!(filled, TEXT.replace("sha256: \"0\"\n", "sha256: \"abc\"\n"));
        assert_eq!(fill(TEXT, &sums("b_darwin", "abc")).unwrap(), TEXT);
        assert_eq!(fill(TEXT, &Sums::new()).unwrap(), TEXT);
        assert!(fill(TEXT, &sums("a_linux", "abc")).unwrap().contains("a_linux\n    sha256: \"abc\"\n"));
    }

    #[test]
    fn layouts_that_are_not_understood_are_refused() {
        let table = [
            "spec: {platforms: [{uri: a, sha256: '0'}]}",
            "spec:\n  platforms:\n  - sha256: '0'\n    uri: a\n  - uri: b\n    sha256: '0'\n",
            "spec:\n  platforms:\n  - uri: a\n  - uri: b\n    sha256: '0'\n",
        ];
        for text in table {
            let error = fill(text, &sums("a", "abc")).unwrap_err();
            assert!(matches!(error, FillError::Layout(_)), "{text}: {error}");
        }
    }

    #[test]
    fn our_manifests_can_be_filled() {
        let text = include_str!("../../../krew-manifests/safedrain.yaml");
        let names: Vec<String> = Manifest::parse(text)
            .unwrap()
            .spec
            .platforms
            .iter()
            .map(|platform| archive_of(&platform.uri).to_owned())
            .collect();
        let sum = "a".repeat(64);
        let filled = fill(text, &names.iter().map(|name| (name.clone(), sum.clone())).collect()).unwrap();
        assert_eq!(filled.matches(&sum).count(), names.len());
        assert!(!filled.contains(UNKNOWN_SUM));
    }
}
