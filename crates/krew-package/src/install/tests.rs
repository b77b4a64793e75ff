use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;
use crate::archive::{Entry, EntryKind, tar_gz};
use crate::manifest::{API_VERSION, KIND};

const LINUX: Target = Target { os: "linux", arch: "amd64" };
const WINDOWS: Target = Target { os: "windows", arch: "arm64" };

/// A manifest of a plugin `get-all` for `target` whose archive is `archive`.
fn manifest(archive: &[u8], target: Target) -> Manifest {
    let Target { os, arch } = target;
    Manifest::parse(&format!(
        "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: get-all}}\nspec:\n  version: v1.2.3\n  \
         shortDescription: Get all\n  platforms:\n  - uri: https://example.test/a\n    sha256: \"{}\"\n    bin: {}\n    \
         selector: {{matchLabels: {{os: {os}, arch: {arch}}}}}\n",
        sha256(archive),
        target.binary_name("get-all"),
    ))
    .unwrap()
}

fn good(program: &str) -> Vec<u8> {
    let file = |path: &str, kind| Entry { path: path.into(), kind, content: b"#!/bin/sh\n".to_vec() };
    tar_gz(vec![file(program, EntryKind::Program), file("docs/LICENSE", EntryKind::Document)], 0).unwrap()
}

/// An archive of one entry that a well-meaning tool would refuse to write.
fn one_entry(path: &str, kind: EntryType) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append(&header, io::empty()).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn attempt(manifest: &Manifest, archive: &[u8]) -> String {
    let root = tempfile::tempdir().unwrap();
    let error = install(manifest, archive, LINUX, root.path()).unwrap_err();
    assert!(!root.path().join("store/get-all/v1.2.3").exists(), "{error} left a version behind");
    error.to_string()
}

#[test]
fn program_is_stored_by_version_and_linked_with_underscores() {
    let root = tempfile::tempdir().unwrap();
    let archive = good("kubectl-get-all");
    let installed = install(&manifest(&archive, LINUX), &archive, LINUX, root.path()).unwrap();
    assert_eq!(installed.store, root.path().join("store/get-all/v1.2.3"));
    assert_eq!(installed.link, root.path().join("bin/kubectl-get_all"));
    assert_eq!(fs::read_link(&installed.link).unwrap(), installed.store.join("kubectl-get-all"));
    assert_eq!(fs::metadata(&installed.link).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(has_license(&installed.store).unwrap());
}

#[test]
fn link_on_windows_ends_in_exe() {
    let root = tempfile::tempdir().unwrap();
    let archive = good("kubectl-get-all.exe");
    let installed = install(&manifest(&archive, WINDOWS), &archive, WINDOWS, root.path()).unwrap();
    assert_eq!(installed.link, root.path().join("bin/kubectl-get_all.exe"));
}

#[test]
fn same_version_is_not_installed_twice() {
    let root = tempfile::tempdir().unwrap();
    let archive = good("kubectl-get-all");
    let manifest = manifest(&archive, LINUX);
    install(&manifest, &archive, LINUX, root.path()).unwrap();
    let error = install(&manifest, &archive, LINUX, root.path()).unwrap_err();
    assert_eq!(error.to_string(), "version v1.2.3 is installed already");
}

#[test]
fn bad_archives_are_refused() {
    let table = [
        (one_entry("../kubectl-get-all", EntryType::Regular), "\"../kubectl-get-all\" contains \"..\""),
        (one_entry("a..b", EntryType::Regular), "\"a..b\" contains \"..\""),
        (one_entry("/kubectl-get-all", EntryType::Regular), "is an absolute path"),
        (one_entry("\\kubectl-get-all", EntryType::Regular), "is an absolute path"),
        (one_entry("kubectl-get-all", EntryType::Symlink), "neither a regular file nor a directory"),
        (one_entry("kubectl-get-all", EntryType::Link), "neither a regular file nor a directory"),
        (one_entry("other", EntryType::Regular), "the program kubectl-get-all is not in the archive"),
        (one_entry("kubectl-get-all", EntryType::Directory), "the program kubectl-get-all is not in the archive"),
        (good("bin/kubectl-get-all"), "the program kubectl-get-all is not in the archive"),
        (b"\x7fELF".to_vec(), "neither gzip nor zip"),
        (b"BZh9".to_vec(), "neither gzip nor zip"),
        (b"PK\x03\x04".to_vec(), "a zip archive is not emulated here"),
        (good("kubectl-get-all")[..40].to_vec(), "the archive cannot be unpacked"),
    ];
    for (archive, problem) in table {
        let told = attempt(&manifest(&archive, LINUX), &archive);
        assert!(told.contains(problem), "{told:?} does not say {problem:?}");
    }
}

#[test]
fn manifest_that_does_not_fit_the_archive_is_refused() {
    let archive = good("kubectl-get-all");
    let told = attempt(&manifest(b"another", LINUX), &archive);
    assert!(told.starts_with("the archive's sum is "), "{told}");
    let told = attempt(&manifest(&archive, WINDOWS), &archive);
    assert_eq!(told, "the plugin does not offer installation for linux/amd64");
    let told = attempt(&Manifest { kind: "Thing".into(), ..manifest(&archive, LINUX) }, &archive);
    assert!(told.starts_with("the manifest is not valid: "), "{told}");
}

#[test]
fn two_licence_files_are_none_for_the_index() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("LICENSE-MIT"), "").unwrap();
    fs::write(folder.path().join("LICENSE-APACHE"), "").unwrap();
    assert!(!has_license(folder.path()).unwrap());
    fs::write(folder.path().join("License.TXT"), "").unwrap();
    assert!(has_license(folder.path()).unwrap());
}
