//! What krew does with a manifest and an archive, step by step (krew `internal/download`, `internal/installation`), so
//! that a package can be proven to install where krew is not at hand.
//!
//! Not done here: the download, zip archives, `files` (this project publishes neither) and the receipt. Where krew takes
//! something that is not done here, the error says so.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use thiserror::Error;

use crate::archive::sha256;
use crate::manifest::{Manifest, Platform};
use crate::platform::Target;
use crate::rules::{Finding, check_as_krew_does};

/// What an installation left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// `KREW_ROOT/store/NAME/VERSION`.
    pub store: PathBuf,
    /// `KREW_ROOT/bin/kubectl-NAME`, with `-` of the name as `_`.
    pub link: PathBuf,
}

/// Why krew would not install.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The manifest breaks a rule of krew.
    #[error("the manifest is not valid: {0}")]
    Manifest(Finding),
    /// No platform is for this system.
    #[error("the plugin does not offer installation for {0}")]
    NoPlatform(Target),
    /// The archive is not the one that the manifest means.
    #[error("the archive's sum is {found}, and the manifest says {expected}")]
    Sum {
        /// The archive's.
        found: String,
        /// The manifest's.
        expected: String,
    },
    /// The content is of no type that krew unpacks.
    #[error("the archive is neither gzip nor zip")]
    Type,
    /// Krew would go on.
    #[error("krew would go on, but {0} is not emulated here")]
    NotEmulated(&'static str),
    /// An entry may not be there.
    #[error("the archive's entry {path:?} {problem}")]
    Entry {
        /// The entry's path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The archive cannot be unpacked.
    #[error("the archive cannot be unpacked")]
    Unpack(#[source] io::Error),
    /// The program is not in the archive.
    #[error("the program {0} is not in the archive")]
    NoProgram(String),
    /// The same version is there.
    #[error("version {0} is installed already")]
    Installed(String),
    /// A folder or file of the installation cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Installs an archive into `krew_root`, as `kubectl krew install --manifest … --archive …` does on `target`.
pub fn install(
    manifest: &Manifest,
    archive: &[u8],
    target: Target,
    krew_root: &Path,
) -> Result<Installed, InstallError> {
    if let Some(finding) = check_as_krew_does(manifest).into_iter().next() {
        return Err(InstallError::Manifest(finding));
    }
    let mut platforms = manifest.spec.platforms.iter();
    let is_chosen = |platform: &&Platform| platform.selector.as_ref().is_some_and(|selector| selector.chooses(target));
    let platform = platforms.find(is_chosen).ok_or(InstallError::NoPlatform(target))?;
    let found = sha256(archive);
    if found != platform.sha256 {
        return Err(InstallError::Sum { found, expected: platform.sha256.clone() });
    }
    if platform.files.is_some() {
        return Err(InstallError::NotEmulated("`files`"));
    }
    let Manifest { metadata, spec, .. } = manifest;
    let store = krew_root.join("store").join(&metadata.name).join(&spec.version);
    if store.exists() {
        return Err(InstallError::Installed(spec.version.clone()));
    }
    let parent = krew_root.join("store").join(&metadata.name);
    writing(&parent, fs::create_dir_all(&parent))?;
    // Unpacked and moved apart, so that a failed installation leaves no version behind.
    let unpacked = writing(&parent, tempfile::tempdir_in(&parent))?;
    unpack(archive, unpacked.path())?;
    let chosen = writing(&parent, tempfile::tempdir_in(&parent))?;
    move_top_level(unpacked.path(), chosen.path())?;
    if !chosen.path().join(&platform.bin).is_file() {
        return Err(InstallError::NoProgram(platform.bin.clone()));
    }
    let chosen = chosen.keep();
    writing(&store, fs::rename(&chosen, &store))?;
    let link = link(&store.join(&platform.bin), &metadata.name, target, krew_root)?;
    Ok(Installed { store, link })
}

/// Unpacks by what the content is, not by what the name says.
fn unpack(archive: &[u8], into: &Path) -> Result<(), InstallError> {
    if archive.starts_with(b"PK\x03\x04") {
        return Err(InstallError::NotEmulated("a zip archive"));
    }
    if !archive.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Err(InstallError::Type);
    }
    let mut archive = Archive::new(GzDecoder::new(Cursor::new(archive)));
    for entry in archive.entries().map_err(InstallError::Unpack)? {
        let mut entry = entry.map_err(InstallError::Unpack)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |problem| InstallError::Entry { path: path.clone(), problem };
        // Krew refuses the characters, wherever they stand: `a..b` too.
        if path.contains("..") {
            return Err(refuse("contains \"..\""));
        }
        if path.starts_with(['/', '\\']) {
            return Err(refuse("is an absolute path"));
        }
        let place = into.join(&path);
        match entry.header().entry_type() {
            EntryType::Directory => writing(&place, fs::create_dir_all(&place))?,
            EntryType::Regular => {
                let folder = place.parent().unwrap_or(into);
                writing(folder, fs::create_dir_all(folder))?;
                let mode = entry.header().mode().map_err(InstallError::Unpack)?;
                let mut content = Vec::new();
                io::copy(&mut entry, &mut content).map_err(InstallError::Unpack)?;
                writing(&place, write_file(&place, &content, mode))?;
            }
            _ => return Err(refuse("is neither a regular file nor a directory")),
        }
    }
    Ok(())
}

fn write_file(place: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(place)?.write_all(content)
}

/// The rule that krew follows where a manifest has no `files`: `from: "*"`, `to: "."`.
fn move_top_level(from: &Path, to: &Path) -> Result<(), InstallError> {
    for entry in writing(from, fs::read_dir(from))? {
        let entry = writing(from, entry)?;
        let place = to.join(entry.file_name());
        writing(&place, fs::rename(entry.path(), &place))?;
    }
    Ok(())
}

/// Links the program into the folder that a user has on the PATH.
fn link(program: &Path, name: &str, target: Target, krew_root: &Path) -> Result<PathBuf, InstallError> {
    let folder = krew_root.join("bin");
    writing(&folder, fs::create_dir_all(&folder))?;
    let link = folder.join(target.binary_name(&name.replace('-', "_")));
    // An earlier version's link is replaced; a file of somebody else is not.
    if fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()) {
        writing(&link, fs::remove_file(&link))?;
    }
    writing(&link, symlink(program, &link))?;
    Ok(link)
}

#[cfg(unix)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(windows)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(original, link)
}

fn writing<T>(path: &Path, done: io::Result<T>) -> Result<T, InstallError> {
    done.map_err(|source| InstallError::Write { path: path.to_owned(), source })
}

/// The names under which krew's index looks for a licence, in lower case, anywhere in an installation
/// (krew `cmd/validate-krew-manifest`). Two files `LICENSE-MIT` and `LICENSE-APACHE` would not do.
const LICENSE_NAMES: [&str; 8] =
    ["license", "license.txt", "license.md", "licenses", "licenses.txt", "licenses.md", "copying", "copying.txt"];

/// Returns whether krew's index would find a licence file in a folder.
pub fn has_license(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() && is_license_name(&entry.file_name()) || kind.is_dir() && has_license(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_license_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| LICENSE_NAMES.contains(&name.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests;
