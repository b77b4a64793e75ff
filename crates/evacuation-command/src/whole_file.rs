//! Files that are whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file that is nobody else's to read: what is known of pods may hold secrets.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop::<File>(file);
    fs::rename(&unfinished, path)
}

/// Finds out whether a file can be written, before there is anything to write.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let unfinished = unfinished(path);
    drop::<File>(open(&unfinished)?);
    fs::remove_file(&unfinished)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
