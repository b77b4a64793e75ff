//! The archive of one plugin for one platform: its program, once it has proven fit, and the papers that go with it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, str};

use thiserror::Error;

use crate::archive::{Entry, EntryKind, tar_gz};
use crate::binary::{self, BinaryError};
use crate::licenses::{self, LicenseError};
use crate::platform::Target;

/// The licences of others, in every archive.
pub const THIRD_PARTY: &str = "THIRD-PARTY-LICENSES.txt";

/// Where the parts of archives come from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The folder of the workspace.
    pub workspace: PathBuf,
    /// The folder of the built programs.
    pub programs: PathBuf,
    /// What they were built for.
    pub triple: String,
    /// The version without a leading `v`.
    pub version: String,
    /// The time of all files, in seconds since 1970.
    pub modified: u64,
    /// Folders of this machine whose names no program may hold.
    pub build_paths: Vec<String>,
}

/// Why a plugin cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// We publish nothing for this target.
    #[error("nothing is published for the target {0}")]
    Target(String),
    /// A part cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program is not fit to be published.
    #[error("{path} is not fit to be published")]
    Program {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: BinaryError,
    },
    /// The program does not do what every one of our plugins does.
    #[error("`{command}` {problem}")]
    Run {
        /// What was run.
        command: String,
        /// How that ended.
        problem: String,
    },
    /// The licences cannot be told.
    #[error("cannot tell the licences of {plugin}")]
    Licenses {
        /// Whose.
        plugin: String,
        /// Why.
        #[source]
        source: LicenseError,
    },
    /// The archive cannot be made.
    #[error("cannot pack {plugin}")]
    Archive {
        /// Which.
        plugin: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Parts {
    /// Returns the target that the programs were built for.
    pub fn target(&self) -> Result<Target, PackError> {
        Target::of_triple(&self.triple).ok_or_else(|| PackError::Target(self.triple.clone()))
    }

    /// Returns name and content of a plugin's archive. The program is run, for its version and its manual page.
    pub fn archive(&self, plugin: &str) -> Result<(String, Vec<u8>), PackError> {
        let target = self.target()?;
        let name = target.binary_name(plugin);
        let program = self.programs.join(&name);
        let content = read(&program)?;
        binary::check(&content, target, &self.build_paths)
            .map_err(|source| PackError::Program { path: program.clone(), source })?;
        let version = answer(&program, "--version")?;
        let expected = format!("kubectl-{plugin} v{}\n", self.version);
        if version != expected.as_bytes() {
            let told = String::from_utf8_lossy(&version).trim_end().to_owned();
            let problem = format!("says {told:?} and not {:?}", expected.trim_end());
            return Err(PackError::Run { command: format!("{} --version", program.display()), problem });
        }
        let package = format!("kubectl-{plugin}");
        let third_party = licenses::third_party(&self.workspace, &package, &self.triple)
            .map_err(|source| PackError::Licenses { plugin: plugin.to_owned(), source })?;
        let document =
            |path: &str, content: Vec<u8>| Entry { path: path.to_owned(), kind: EntryKind::Document, content };
        let entries = vec![
            Entry { path: name, kind: EntryKind::Program, content },
            document("LICENSE", read(&self.workspace.join("LICENSE"))?),
            document(THIRD_PARTY, third_party.into_bytes()),
            document(&format!("{package}.1"), answer(&program, "man")?),
        ];
        let archive = tar_gz(entries, self.modified)
            .map_err(|source| PackError::Archive { plugin: plugin.to_owned(), source })?;
        Ok((target.archive_name(plugin, &self.version), archive))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PackError> {
    fs::read(path).map_err(|source| PackError::Read { path: path.to_owned(), source })
}

/// Returns what a program writes when it is run with one argument and an empty environment.
fn answer(program: &Path, argument: &str) -> Result<Vec<u8>, PackError> {
    let failed = |problem| PackError::Run { command: format!("{} {argument}", program.display()), problem };
    let run = Command::new(program).arg(argument).env_clear().output();
    let output = run.map_err(|error| failed(format!("cannot be run: {error}")))?;
    if output.status.success() && !output.stdout.is_empty() {
        return Ok(output.stdout);
    }
    let told = str::from_utf8(&output.stderr).unwrap_or_default().trim_end();
    Err(failed(format!("ended with {} and wrote {} bytes: {told}", output.status, output.stdout.len())))
}
