//! `krew-package`: checks the manifests, packs the built plugins and fills in their sums. `scripts/package` calls it.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use krew_package::archive::sha256;
use krew_package::install::{self, InstallError};
use krew_package::manifest::{Manifest, ManifestError};
use krew_package::pack::{PackError, Parts};
use krew_package::rules::{self, Release, Sums as SumsAre};
use krew_package::sums::{self, FillError, Sums};
use thiserror::Error;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Make krew packages of the plugins
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check manifests by the rules of krew, of its index and of this project
    Check {
        /// Refuse sums that are not known yet
        #[arg(long)]
        published: bool,
        /// The manifests
        #[arg(required = true, value_name = "FILE")]
        manifests: Vec<PathBuf>,
    },
    /// Pack the built plugins, prove that the archives install, and write sums and manifests beside them
    Pack {
        /// The folder of the workspace
        #[arg(long, value_name = "DIR")]
        workspace: PathBuf,
        /// The folder of the built programs
        #[arg(long, value_name = "DIR")]
        programs: PathBuf,
        /// What they were built for
        #[arg(long, value_name = "TRIPLE")]
        target: String,
        /// The time of the files in the archives, in seconds since 1970
        #[arg(long, value_name = "SECONDS")]
        modified: u64,
        /// A folder of this machine whose name no program may hold
        #[arg(long, value_name = "DIR")]
        build_path: Vec<String>,
        /// An empty or new folder for the result
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write the sums of archives into copies of the manifests
    Fill {
        /// The folder of the workspace
        #[arg(long, value_name = "DIR")]
        workspace: PathBuf,
        /// The folder of the archives; sums and manifests are written there
        #[arg(long, value_name = "DIR")]
        archives: PathBuf,
    },
}

#[derive(Debug, Error)]
enum TaskError {
    #[error("{0} broken rules")]
    Rules(usize),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("{path} cannot be filled in")]
    Fill {
        path: PathBuf,
        #[source]
        source: FillError,
    },
    #[error("{path} is no manifest")]
    Manifest {
        path: PathBuf,
        #[source]
        source: ManifestError,
    },
    #[error("{archive} would not install")]
    Install {
        archive: String,
        #[source]
        source: Box<InstallError>,
    },
    #[error("{0} holds no licence file that krew's index would find")]
    NoLicense(String),
    #[error("{path} is not empty")]
    NotEmpty { path: PathBuf },
    #[error("cannot read or write {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Check { published, manifests } => check(published, &manifests),
        Task::Pack { workspace, programs, target, modified, build_path, out } => {
            let version = VERSION.to_owned();
            pack(&Parts { workspace, programs, triple: target, version, modified, build_paths: build_path }, &out)
        }
        Task::Fill { workspace, archives } => fill(&workspace, &archives).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = iter::successors(error.source(), |&cause| cause.source());
            let words = iter::once(format!("error: {error}")).chain(causes.map(ToString::to_string));
            say(&mut io::stderr(), &words.collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn check(published: bool, manifests: &[PathBuf]) -> Result<(), TaskError> {
    let sums = if published { SumsAre::AreKnown } else { SumsAre::MayBeUnknown };
    let release = Release::of_this_workspace(sums);
    let findings: Vec<_> = manifests.iter().flat_map(|path| rules::check_file(path, release)).collect();
    for finding in &findings {
        say(&mut io::stderr(), &finding.to_string());
    }
    if !findings.is_empty() {
        return Err(TaskError::Rules(findings.len()));
    }
    say(&mut io::stdout(), &format!("manifests: {}, and no rule is broken", manifests.len()));
    Ok(())
}

/// Packs every plugin that has a manifest; the archives count only when all of them install.
fn pack(parts: &Parts, out: &Path) -> Result<(), TaskError> {
    file(out, fs::create_dir_all(out))?;
    if file(out, fs::read_dir(out))?.next().is_some() {
        return Err(TaskError::NotEmpty { path: out.to_owned() });
    }
    let target = parts.target()?;
    let mut archives = Vec::new();
    for path in manifests(&parts.workspace)? {
        let plugin = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (name, archive) = parts.archive(&plugin)?;
        let place = out.join(&name);
        file(&place, fs::write(&place, &archive))?;
        archives.push((name, archive));
    }
    for (path, text) in fill(&parts.workspace, out)? {
        let manifest = Manifest::parse(&text).map_err(|source| TaskError::Manifest { path, source })?;
        let wanted = target.archive_name(&manifest.metadata.name, &parts.version);
        let Some((name, archive)) = archives.iter().find(|(name, _)| *name == wanted) else { continue };
        let root = file(out, tempfile::tempdir())?;
        let installed = install::install(&manifest, archive, target, root.path())
            .map_err(|source| TaskError::Install { archive: name.clone(), source: Box::new(source) })?;
        if !file(&installed.store, install::has_license(&installed.store))? {
            return Err(TaskError::NoLicense(name.clone()));
        }
        say(&mut io::stdout(), &format!("{}  {name}  {} bytes", sha256(archive), archive.len()));
    }
    Ok(())
}

/// Writes sums and manifests beside the archives in a folder; returns path and text of each manifest.
fn fill(workspace: &Path, folder: &Path) -> Result<Vec<(PathBuf, String)>, TaskError> {
    let mut sums = Sums::new();
    for entry in file(folder, fs::read_dir(folder))? {
        let path = file(folder, entry)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".tar.gz") {
            sums.insert(name, sha256(&file(&path, fs::read(&path))?));
        }
    }
    let list: Vec<String> = sums.iter().map(|(name, sum)| format!("{sum}  {name}")).collect();
    let place = folder.join("SHA256SUMS");
    file(&place, fs::write(&place, list.join("\n") + "\n"))?;
    let mut filled = Vec::new();
    for path in manifests(workspace)? {
        let text = file(&path, fs::read_to_string(&path))?;
        let text = sums::fill(&text, &sums).map_err(|source| TaskError::Fill { path: path.clone(), source })?;
        let place = folder.join(path.file_name().unwrap_or_default());
        file(&place, fs::write(&place, &text))?;
        filled.push((place, text));
    }
    Ok(filled)
}

/// Returns the paths of our manifests, sorted.
fn manifests(workspace: &Path) -> Result<Vec<PathBuf>, TaskError> {
    let folder = workspace.join("krew-manifests");
    let entries: io::Result<Vec<PathBuf>> =
        file(&folder, fs::read_dir(&folder))?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = file(&folder, entries)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort_unstable();
    Ok(paths)
}

fn file<T>(path: &Path, done: io::Result<T>) -> Result<T, TaskError> {
    done.map_err(|source| TaskError::File { path: path.to_owned(), source })
}

fn say(to: &mut impl Write, words: &str) {
    // Nobody reads it any more.
    drop(writeln!(to, "{words}"));
}
