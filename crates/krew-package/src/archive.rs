//! Archives that are the same bytes whenever and wherever they are made from the same contents.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A regular file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, with `/`.
    pub path: String,
    /// Whether it is a program.
    pub kind: EntryKind,
    /// What it holds.
    pub content: Vec<u8>,
}

/// What a file is for; krew takes the rights of files from the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// 0755.
    Program,
    /// 0644.
    Document,
}

/// Packs the entries: sorted by path, owned by root, with one time, and nothing else of the machine that packs.
///
/// `modified` is in seconds since 1970. Two entries of one path are an error.
pub fn tar_gz(mut entries: Vec<Entry>, modified: u64) -> io::Result<Vec<u8>> {
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    let mut tar = Builder::new(Vec::new());
    let mut previous = None;
    for entry in &entries {
        if previous.replace(&entry.path) == Some(&entry.path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there twice", entry.path)));
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(match entry.kind {
            EntryKind::Program => 0o755,
            EntryKind::Document => 0o644,
        });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(modified);
        header.set_size(entry.content.len() as u64);
        tar.append_data(&mut header, &entry.path, entry.content.as_slice())?;
    }
    let packed = tar.into_inner()?;
    // Neither name nor time, and "unknown" for the system.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(&packed)?;
    gzip.finish()
}

/// Returns the SHA-256 sum in lower-case hexadecimal digits, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut sum, byte| {
        // Writing to a String does not fail.
        let _ = write!(sum, "{byte:02x}");
        sum
    })
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { path: path.into(), kind, content: path.repeat(1000).into_bytes() }
    }

    #[test]
    fn archive_is_the_same_bytes_in_whatever_order_its_files_come() {
        let [program, document] = [entry("b", EntryKind::Program), entry("a", EntryKind::Document)];
        let once = tar_gz(vec![program.clone(), document.clone()], 1_700_000_000).unwrap();
        assert_eq!(once, tar_gz(vec![document, program], 1_700_000_000).unwrap());
        // Magic and method; no flags, so no name; no time.
        assert_eq!(once[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn entries_are_sorted_and_owned_by_root() {
        let packed = tar_gz(vec![entry("b", EntryKind::Program), entry("a", EntryKind::Document)], 1_700_000_000);
        let packed = packed.unwrap();
        let mut archive = Archive::new(GzDecoder::new(packed.as_slice()));
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let header = entry.unwrap().header().clone();
                let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
                (header.path().unwrap().display().to_string(), header.mode().unwrap(), owner)
            })
            .collect();
        let owner = (0, 0, 1_700_000_000);
        assert_eq!(found, [("a".to_owned(), 0o644, owner), ("b".to_owned(), 0o755, owner)]);
    }

    #[test]
    fn two_files_of_one_path_are_refused() {
        let error = tar_gz(vec![entry("a", EntryKind::Program), entry("a", EntryKind::Document)], 0).unwrap_err();
        assert_eq!(error.to_string(), "a is there twice");
    }

    #[test]
    fn sum_is_what_sha256sum_prints() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
