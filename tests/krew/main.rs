//! The packages that `scripts/package` has built: what they hold, that they install as krew installs, and that what is
//! installed runs through the real kubectl. Only this platform's can be built and run here.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this is tests; clippy exempts only functions that are marked as such, not those they call"
)]

mod archives;
mod installed;

use std::env::consts;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::packages_folder;
use krew_package::install::{Installed, install};
use krew_package::manifest::Manifest;
use krew_package::platform::Target;

const PLUGINS: [&str; 3] = ["safedrain", "poolcopy", "vmievict"];

/// A built package of this platform.
struct Package {
    manifest: Manifest,
    archive: Vec<u8>,
    name: String,
}

impl Package {
    fn of(plugin: &str) -> Self {
        let folder = packages_folder();
        let manifest = Manifest::parse(&read_text(&folder.join(format!("{plugin}.yaml")))).unwrap();
        let name = here().archive_name(plugin, env!("CARGO_PKG_VERSION"));
        Self { manifest, archive: fs::read(folder.join(&name)).unwrap(), name }
    }

    fn install(&self, krew_root: &Path) -> Installed {
        install(&self.manifest, &self.archive, here(), krew_root).unwrap()
    }
}

/// The platform of the packages that were built here.
fn here() -> Target {
    Target::of_triple(&format!("{}-{}", consts::ARCH, consts::OS)).expect("packages are published for this platform")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

fn read_text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is a text file of a package")
}
