//! What the packages hold.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::packages_folder;
use flate2::read::GzDecoder;
use krew_package::archive::sha256;
use krew_package::binary;
use krew_package::install::{InstallError, has_license, install};
use krew_package::platform::PUBLISHED;
use krew_package::rules::{self, Release, Sums, UNKNOWN_SUM};
use tar::Archive;

use crate::{PLUGINS, Package, here, read_text, workspace};

#[test]
fn archive_holds_program_licences_and_manual() {
    for plugin in PLUGINS {
        let root = tempfile::tempdir().unwrap();
        let installed = Package::of(plugin).install(root.path());
        let mut names: Vec<String> = fs::read_dir(&installed.store)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let program = format!("kubectl-{plugin}");
        let page = format!("{program}.1");
        assert_eq!(names, ["LICENSE", "THIRD-PARTY-LICENSES.txt", &program, &page]);
        assert!(has_license(&installed.store).unwrap());
        assert!(read_text(&installed.store.join(&page)).contains(&format!(".TH {program} 1")));
        assert!(read_text(&installed.store.join("THIRD-PARTY-LICENSES.txt")).contains("* tokio "));
    }
}

#[test]
fn program_is_static_stripped_small_and_tells_no_build_path() {
    let workspace = workspace();
    let toolchain = workspace.join(env!("CARGO")).parent().and_then(|bin| bin.parent()).unwrap().to_owned();
    let build_paths = [workspace, toolchain].map(|path| path.display().to_string());
    for plugin in PLUGINS {
        let root = tempfile::tempdir().unwrap();
        let installed = Package::of(plugin).install(root.path());
        let program = fs::read(installed.link).unwrap();
        assert_eq!(binary::check(&program, here(), &build_paths), Ok(()), "{plugin}");
    }
}

#[test]
fn manifests_keep_every_rule_and_tell_the_sums_of_what_was_built_and_of_nothing_else() {
    let release = Release::of_this_workspace(Sums::MayBeUnknown);
    for plugin in PLUGINS {
        let package = Package::of(plugin);
        let findings = rules::check_file(&packages_folder().join(format!("{plugin}.yaml")), release);
        assert_eq!(findings, [], "{plugin}");
        let sum = sha256(&package.archive);
        assert!(read_text(&packages_folder().join("SHA256SUMS")).contains(&format!("{sum}  {}\n", package.name)));
        for platform in &package.manifest.spec.platforms {
            let expected = if platform.uri.ends_with(&package.name) { &sum } else { UNKNOWN_SUM };
            assert_eq!(platform.sha256, expected, "{}", platform.uri);
        }
    }
}

#[test]
fn nothing_installs_for_a_platform_that_was_not_built() {
    let package = Package::of("safedrain");
    for target in PUBLISHED.into_iter().filter(|target| *target != here()) {
        let root = tempfile::tempdir().unwrap();
        let error = install(&package.manifest, &package.archive, target, root.path()).unwrap_err();
        assert!(matches!(&error, InstallError::Sum { expected, .. } if expected == UNKNOWN_SUM), "{target}: {error}");
    }
}

#[test]
fn packing_again_gives_the_same_bytes() {
    let again = tempfile::tempdir().unwrap();
    let archive = Package::of("safedrain").archive;
    let mut archive = Archive::new(GzDecoder::new(archive.as_slice()));
    let modified = archive.entries().unwrap().next().unwrap().unwrap().header().mtime().unwrap();
    let mut packing = Command::new(workspace().join("scripts/package"));
    // What cargo tells a test of its package would make the plugins' build scripts run again, and everything with them.
    let of_cargo = env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("CARGO_"));
    for name in of_cargo.filter(|name| name != "CARGO_HOME" && name != "CARGO_TARGET_DIR") {
        packing.env_remove(name);
    }
    let run = packing
        .arg(again.path())
        .env("SOURCE_DATE_EPOCH", modified.to_string())
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let sums = |folder: &Path| -> BTreeMap<String, String> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), sha256(&fs::read(file.path()).unwrap()))).collect()
    };
    let once = sums(&packages_folder());
    assert_eq!(once.len(), 2 * PLUGINS.len() + 1, "{once:?}");
    assert_eq!(once, sums(again.path()));
}
