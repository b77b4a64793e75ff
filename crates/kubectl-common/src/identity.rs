//! Who the plugin is: the names under which the user, the API server and the file system know it.

use std::env::consts;

/// The names of one plugin; a constant of its binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginIdentity {
    /// The word after `kubectl`, such as `safedrain`.
    pub name: &'static str,
    /// The version without a leading `v`, as in `Cargo.toml`.
    pub version: &'static str,
    /// Where the source lives; a bug is reported at its `/issues`.
    pub repository: &'static str,
}

impl PluginIdentity {
    /// Returns the name of the executable file, which is also the field manager.
    pub fn binary(&self) -> String {
        format!("kubectl-{}", self.name)
    }

    /// Returns what the user types.
    pub fn invocation(&self) -> String {
        format!("kubectl {}", self.name)
    }

    /// Returns the `User-Agent` in kubectl's form, with Go's names for system and processor.
    pub fn user_agent(&self) -> String {
        format!("{}/v{} ({}/{})", self.binary(), self.version, go_system(consts::OS), go_processor(consts::ARCH))
    }
}

fn go_system(rust_name: &str) -> &str {
    if rust_name == "macos" { "darwin" } else { rust_name }
}

fn go_processor(rust_name: &str) -> &str {
    match rust_name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SAFEDRAIN: PluginIdentity =
        PluginIdentity { name: "safedrain", version: "0.1.0", repository: "https://example.test/handover" };

    #[test]
    fn speaks_of_itself_in_kubectl_words() {
        assert_eq!(SAFEDRAIN.binary(), "kubectl-safedrain");
        assert_eq!(SAFEDRAIN.invocation(), "kubectl safedrain");
        assert!(SAFEDRAIN.user_agent().starts_with("kubectl-safedrain/v0.1.0 ("));
    }

    #[test]
    fn names_systems_and_processors_as_go_does() {
        let table = [("x86_64", "amd64"), ("aarch64", "arm64"), ("x86", "386"), ("arm", "arm"), ("s390x", "s390x")];
        for (rust_name, go_name) in table {
            assert_eq!(go_processor(rust_name), go_name);
        }
        assert_eq!(go_system("macos"), "darwin");
        assert_eq!(go_system("linux"), "linux");
    }
}
