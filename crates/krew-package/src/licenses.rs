//! The licences of everything that a plugin contains, as one text file that goes into its archive.
//!
//! The texts are those that the packages themselves carry, in the sources that cargo has fetched; a package that carries
//! none gets the standard texts of the licences that it names. Nothing is asked of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use spdx::{Expression, LicenseId};
use thiserror::Error;

/// Why the file cannot be written.
#[derive(Debug, Error)]
pub enum LicenseError {
    /// Cargo does not tell what the plugin contains.
    #[error("cargo does not tell the dependencies")]
    Cargo(#[from] cargo_metadata::Error),
    /// There is no such plugin.
    #[error("there is no package {0} in the workspace")]
    NoPackage(String),
    /// A package's folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A package has neither a text nor a licence that has a standard one.
    #[error("package {package} carries no licence text, and its licence {license:?} has no standard one")]
    NoText {
        /// Name and version.
        package: String,
        /// What it says of itself.
        license: String,
    },
}

/// Something that a program contains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Component {
    /// Name and version.
    name: String,
    /// An SPDX expression.
    license: String,
    /// Where its source is.
    source: String,
    /// Its licences.
    texts: BTreeSet<String>,
}

/// Returns the file for the program of a workspace's package: what cargo links into it on a target, Rust's standard
/// library, and, for a static program on Linux, the C library.
pub fn third_party(workspace: &Path, package: &str, triple: &str) -> Result<String, LicenseError> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.join("Cargo.toml"))
        .features(CargoOpt::SomeFeatures(Vec::new()))
        .other_options(["--locked", "--offline", "--filter-platform", triple].map(str::to_owned))
        .exec()?;
    let mut components = BTreeSet::new();
    for linked in linked_into(&metadata, package)? {
        components.insert(component(linked)?);
    }
    components.extend(toolchain(triple)?);
    Ok(render(package, &components))
}

/// Returns the packages of others that are linked into a program: its normal dependencies, and theirs.
fn linked_into<'m>(metadata: &'m Metadata, package: &str) -> Result<Vec<&'m Package>, LicenseError> {
    let root = metadata.workspace_packages().into_iter().find(|member| member.name.as_str() == package);
    let root = root.ok_or_else(|| LicenseError::NoPackage(package.to_owned()))?;
    let nodes: BTreeMap<&PackageId, _> =
        metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (&node.id, node)).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![&root.id];
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        let is_linked =
            |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|info| info.kind == DependencyKind::Normal);
        open.extend(dependencies.filter(|dependency| is_linked(&dependency.dep_kinds)).map(|found| &found.pkg));
    }
    Ok(metadata.packages.iter().filter(|package| package.source.is_some() && found.contains(&package.id)).collect())
}

fn component(package: &Package) -> Result<Component, LicenseError> {
    let name = format!("{} {}", package.name, package.version);
    let license = package.license.clone().unwrap_or_default();
    let folder = package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned()).unwrap_or_default();
    let mut texts = BTreeSet::new();
    collect_texts(&folder, &mut texts)?;
    if let Some(file) = package.license_file()
        && let Ok(text) = fs::read_to_string(file)
    {
        texts.insert(tidy(&text));
    }
    if texts.is_empty() {
        texts = standard_texts(&license)
            .ok_or_else(|| LicenseError::NoText { package: name.clone(), license: license.clone() })?;
    }
    let source = package.repository.clone().unwrap_or_else(|| format!("https://crates.io/crates/{}", package.name));
    Ok(Component { name, license, source, texts })
}

/// Collects the licence files of a package, also those of what it has taken over into folders of its own.
fn collect_texts(folder: &Path, texts: &mut BTreeSet<String>) -> Result<(), LicenseError> {
    let reading = |source| LicenseError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let kind = entry.file_type().map_err(reading)?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if kind.is_dir() {
            collect_texts(&entry.path(), texts)?;
        } else if kind.is_file() && is_license_file(&name) {
            let text = fs::read(entry.path()).map_err(reading)?;
            texts.insert(tidy(&String::from_utf8_lossy(&text)));
        }
    }
    Ok(())
}

/// `name` is in upper case. Source files (`license.rs`) are about licences and are none.
fn is_license_file(name: &str) -> bool {
    let is_named = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
        .iter()
        .any(|start| name.starts_with(start));
    let is_source = [".RS", ".C", ".H", ".PL", ".S", ".TOML", ".JSON"].iter().any(|end| name.ends_with(end));
    is_named && !is_source
}

/// Returns the standard texts of all licences that an SPDX expression names; `None` where one has none.
fn standard_texts(license: &str) -> Option<BTreeSet<String>> {
    let expression = Expression::parse(license).ok()?;
    let ids: Option<Vec<LicenseId>> = expression.requirements().map(|one| one.req.license.id()).collect();
    ids.map(|ids| ids.into_iter().map(|id| tidy(id.text())).collect())
}

/// What the compiler itself adds.
fn toolchain(triple: &str) -> Result<Vec<Component>, LicenseError> {
    let component = |name: &str, license: &str, source: &str| {
        let texts = standard_texts(license)
            .ok_or_else(|| LicenseError::NoText { package: name.to_owned(), license: license.to_owned() })?;
        Ok::<_, LicenseError>(Component {
            name: name.to_owned(),
            license: license.to_owned(),
            source: source.to_owned(),
            texts,
        })
    };
    let mut components =
        vec![component("Rust's standard library", "MIT OR Apache-2.0", "https://github.com/rust-lang/rust")?];
    if triple.ends_with("-linux-gnu") {
        let source = "https://sourceware.org/glibc; linked statically: whoever wants another version of it in this \
                      program builds the program's source with scripts/package";
        components.push(component("GNU C Library", "LGPL-2.1-or-later", source)?);
    }
    if triple.ends_with("-linux-musl") {
        components.push(component("musl", "MIT", "https://musl.libc.org")?);
    }
    Ok(components)
}

/// Makes texts equal that differ only in what a reader does not see.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn render(package: &str, components: &BTreeSet<Component>) -> String {
    let mut file = format!(
        "{package} contains software of others, under these licences. Each text stands once, below, with the names of \
         what it is for.\n\n"
    );
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Component { name, license, source, texts: own } in components {
        // Writing to a String does not fail.
        let _ = writeln!(file, "* {name}: {license} ({source})");
        for text in own {
            texts.entry(text).or_default().push(name);
        }
    }
    let mut texts: Vec<(Vec<&str>, &str)> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort_unstable();
    for (names, text) in texts {
        let _ = write!(file, "\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", "));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "x86_64-unknown-linux-gnu";

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_package_of_a_plugin_is_named_with_a_text() {
        let file = third_party(&workspace(), "kubectl-safedrain", LINUX).unwrap();
        for part in ["* kube 5.", "* ring 0.", "* Rust's standard library: ", "* GNU C Library: LGPL-2.1-or-later"] {
            assert!(file.contains(part), "{part:?} is missing");
        }
        assert!(file.contains("Apache License\n") && file.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
        // Neither what is ours, nor what only tests or build scripts use, nor what only other systems use.
        for part in ["* kubectl-common ", "* proptest ", "* cc ", "* windows-sys "] {
            assert!(!file.contains(part), "{part:?} is there");
        }
    }

    #[test]
    fn file_is_the_same_each_time() {
        let once = third_party(&workspace(), "kubectl-poolcopy", LINUX).unwrap();
        assert_eq!(once, third_party(&workspace(), "kubectl-poolcopy", LINUX).unwrap());
        let folder = workspace().canonicalize().unwrap().display().to_string();
        assert!(!once.contains(&folder), "it names the build folder");
    }

    #[test]
    fn unknown_plugin_is_an_error() {
        let error = third_party(&workspace(), "kubectl-nothing", LINUX).unwrap_err();
        assert_eq!(error.to_string(), "there is no package kubectl-nothing in the workspace");
    }

    #[test]
    fn standard_texts_are_those_of_every_licence_named() {
        assert_eq!(standard_texts("MIT OR Apache-2.0").unwrap().len(), 2);
        assert_eq!(standard_texts("Apache-2.0").unwrap().len(), 1);
        assert_eq!(standard_texts("LicenseRef-ours"), None);
        assert_eq!(standard_texts(""), None);
    }

    #[test]
    fn licence_files_are_told_from_sources() {
        for name in ["LICENSE", "LICENSE-MIT", "LICENSE.TXT", "COPYING", "NOTICE.MD", "UNLICENSE"] {
            assert!(is_license_file(name), "{name}");
        }
        for name in ["LICENSE.RS", "README.MD", "LICENSES.TOML"] {
            assert!(!is_license_file(name), "{name}");
        }
    }

    #[test]
    fn equal_texts_stand_once() {
        let component = |name: &str, text: &str| Component {
            name: name.into(),
            license: "MIT".into(),
            source: "https://example.test".into(),
            texts: BTreeSet::from([tidy(text)]),
        };
        let file = render(
            "kubectl-x",
            &BTreeSet::from([component("b 1", "MIT \r\nLicense\n"), component("a 1", "\nMIT\nLicense")]),
        );
        assert_eq!(file.matches("MIT\nLicense").count(), 1, "{file}");
        assert!(file.contains("\na 1, b 1\n\nMIT\nLicense\n"), "{file}");
    }
}
