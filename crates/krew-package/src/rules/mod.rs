//! What a manifest must keep. Each broken rule is a [`Finding`] that names the file, the field, the rule and what to do.

mod house;
mod index;
mod krew;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::manifest::Manifest;

/// The sum that stands for one that is not known yet.
pub const UNKNOWN_SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the manifests are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// The version without a leading `v`, as in `Cargo.toml`.
    pub version: &'a str,
    /// Where the source lives and releases are published.
    pub repository: &'a str,
    /// Whether every archive's sum must be known.
    pub sums: Sums,
}

impl Release<'static> {
    /// Returns the release of this workspace as it is.
    pub fn of_this_workspace(sums: Sums) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), repository: env!("CARGO_PKG_REPOSITORY"), sums }
    }
}

/// Whether [`UNKNOWN_SUM`] is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// It is: the manifest is one of the source tree, or of a build of some platforms.
    MayBeUnknown,
    /// It is not: the manifest is about to be published.
    AreKnown,
}

/// A rule, and with it whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The text is a manifest.
    Readable,
    /// `apiVersion` is the one that there is.
    ApiVersion,
    /// `kind` is `Plugin`.
    Kind,
    /// The name has only letters, digits, `_` and `-`, and is none that Windows keeps for itself.
    Name,
    /// The file is called like the plugin.
    FileName,
    /// There is a short description, on one line.
    ShortDescription,
    /// There is a platform.
    Platforms,
    /// The version is a semantic one with a leading `v`.
    Version,
    /// A platform has a URI.
    Uri,
    /// A platform has a sum, of 64 lower-case hexadecimal digits.
    Sha256,
    /// A platform has a program.
    Bin,
    /// `files` is absent, or each of its entries has a source and a target.
    Files,
    /// A platform has a selector, of `os` and `arch`.
    Selector,
    /// The file is a regular one that ends in `.yaml`.
    Extension,
    /// A platform is for a system and a processor that krew knows.
    Target,
    /// No system and processor has two platforms.
    Overlap,
    /// Paths stay inside the archive and the installation, and `to` is a clean one.
    Path,
    /// A program for Windows ends in `.exe`.
    WindowsProgram,
    /// The name is in lower-case kebab case.
    OurName,
    /// The short description has at most 50 characters and no word that goes without saying.
    OurShortDescription,
    /// There is a description, wrapped at 80 characters, without usage lines.
    OurDescription,
    /// The homepage is a https URL.
    OurHomepage,
    /// The version is that of the source.
    OurVersion,
    /// The URI is where the release is published, and names version, system and processor.
    OurUri,
    /// The program is called as the plugin's packages call it.
    OurBin,
    /// `files` is absent: the archive holds what is to be installed.
    OurFiles,
    /// Each target that we publish for has a platform, and nothing else has.
    OurTargets,
    /// The sum is known.
    OurSum,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 28] = [
        Self::Readable,
        Self::ApiVersion,
        Self::Kind,
        Self::Name,
        Self::FileName,
        Self::ShortDescription,
        Self::Platforms,
        Self::Version,
        Self::Uri,
        Self::Sha256,
        Self::Bin,
        Self::Files,
        Self::Selector,
        Self::Extension,
        Self::Target,
        Self::Overlap,
        Self::Path,
        Self::WindowsProgram,
        Self::OurName,
        Self::OurShortDescription,
        Self::OurDescription,
        Self::OurHomepage,
        Self::OurVersion,
        Self::OurUri,
        Self::OurBin,
        Self::OurFiles,
        Self::OurTargets,
        Self::OurSum,
    ];

    /// Returns who asks for it: krew when it installs, its index when a plugin is submitted, or this project.
    pub fn asked_by(self) -> &'static str {
        match self {
            Self::Readable
            | Self::ApiVersion
            | Self::Kind
            | Self::Name
            | Self::ShortDescription
            | Self::Platforms
            | Self::Version
            | Self::Uri
            | Self::Sha256
            | Self::Bin
            | Self::Files
            | Self::Selector
            | Self::Path
            | Self::WindowsProgram => "krew",
            Self::FileName | Self::Extension | Self::Target | Self::Overlap => "krew-index",
            Self::OurName
            | Self::OurShortDescription
            | Self::OurDescription
            | Self::OurHomepage
            | Self::OurVersion
            | Self::OurUri
            | Self::OurBin
            | Self::OurFiles
            | Self::OurTargets
            | Self::OurSum => "this project",
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The manifest's path.
    pub file: String,
    /// The field, such as `spec.platforms[0].uri`; empty for the file itself.
    pub field: String,
    /// The rule.
    pub rule: Rule,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, field, rule, problem, remedy } = self;
        let place = if field.is_empty() { file.clone() } else { format!("{file}: {field}") };
        write!(f, "{place}: {problem} ({} asks for {rule:?})\n  hint: {remedy}", rule.asked_by())
    }
}

/// Checks a file. The findings are in the order of the rules of krew, of its index and of this project.
pub fn check_file(path: &Path, release: Release<'_>) -> Vec<Finding> {
    let mut findings = Findings { file: path.display().to_string(), found: Vec::new() };
    // krew's index skips symbolic links.
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => findings.add("", Rule::Extension, "is no regular file", "put the manifest itself there"),
        Err(error) => {
            findings.add("", Rule::Readable, format!("cannot be read: {error}"), "give the path of a manifest");
            return findings.found;
        }
    }
    match fs::read_to_string(path) {
        Ok(text) => findings.found.extend(check(path, &text, release)),
        Err(error) => {
            findings.add("", Rule::Readable, format!("cannot be read: {error}"), "make it a text file in UTF-8");
        }
    }
    findings.found
}

/// Checks the text of a manifest that is called `path`.
pub fn check(path: &Path, text: &str, release: Release<'_>) -> Vec<Finding> {
    let mut findings = Findings { file: path.display().to_string(), found: Vec::new() };
    match Manifest::parse(text) {
        Ok(manifest) => {
            krew::check(&manifest, &mut findings);
            index::check(&manifest, path, &mut findings);
            house::check(&manifest, release, &mut findings);
        }
        Err(error) => findings.add("", Rule::Readable, error.to_string(), "make it a YAML file with krew's fields"),
    }
    findings.found
}

/// Returns what keeps krew itself from installing by this manifest: the rules that it applies on the user's machine.
pub fn check_as_krew_does(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Findings { file: manifest.metadata.name.clone(), found: Vec::new() };
    krew::check(manifest, &mut findings);
    findings.found
}

/// Where the rules put what they find.
struct Findings {
    file: String,
    found: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, field: impl Into<String>, rule: Rule, problem: impl Into<String>, remedy: impl Into<String>) {
        self.found.push(Finding {
            file: self.file.clone(),
            field: field.into(),
            rule,
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }
}

/// Returns the name of a platform's field.
fn platform_field(number: usize, field: &str) -> String {
    format!("spec.platforms[{number}].{field}")
}

#[cfg(test)]
mod tests;
