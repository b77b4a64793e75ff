//! Systems and processors by Go's names, and which of them a selector chooses.

use std::fmt;

use crate::manifest::{Expression, Selector};

/// A system and a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// `linux`, `darwin` or `windows`.
    pub os: &'static str,
    /// `amd64`, `arm64` …
    pub arch: &'static str,
}

/// Every target that krew knows (krew `cmd/validate-krew-manifest`, `allPlatforms`).
pub const KNOWN: [Target; 11] = [
    Target { os: "windows", arch: "386" },
    Target { os: "windows", arch: "amd64" },
    Target { os: "windows", arch: "arm64" },
    Target { os: "linux", arch: "386" },
    Target { os: "linux", arch: "amd64" },
    Target { os: "linux", arch: "arm" },
    Target { os: "linux", arch: "arm64" },
    Target { os: "linux", arch: "ppc64le" },
    Target { os: "darwin", arch: "386" },
    Target { os: "darwin", arch: "amd64" },
    Target { os: "darwin", arch: "arm64" },
];

/// The targets that this project publishes for.
pub const PUBLISHED: [Target; 6] = [
    Target { os: "linux", arch: "amd64" },
    Target { os: "linux", arch: "arm64" },
    Target { os: "darwin", arch: "amd64" },
    Target { os: "darwin", arch: "arm64" },
    Target { os: "windows", arch: "amd64" },
    Target { os: "windows", arch: "arm64" },
];

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

impl Target {
    /// Returns the published target that a Rust target triple builds for.
    pub fn of_triple(triple: &str) -> Option<Self> {
        let arch = match triple.split('-').next()? {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return None,
        };
        let os = ["linux", "darwin", "windows"].into_iter().find(|os| triple.contains(os))?;
        PUBLISHED.into_iter().find(|target| target.os == os && target.arch == arch)
    }

    /// Returns the name of a plugin's archive, which users see: `kubectl-safedrain_v0.1.0_linux_amd64.tar.gz`.
    /// It is the same kind of archive everywhere: krew unpacks it on Windows too, and so does Windows itself.
    pub fn archive_name(self, plugin: &str, version: &str) -> String {
        format!("kubectl-{plugin}_v{version}_{}_{}.tar.gz", self.os, self.arch)
    }

    /// Returns the name of a plugin's program file.
    pub fn binary_name(self, plugin: &str) -> String {
        format!("kubectl-{plugin}{}", if self.os == "windows" { ".exe" } else { "" })
    }

    fn label(self, key: &str) -> Option<&'static str> {
        match key {
            "os" => Some(self.os),
            "arch" => Some(self.arch),
            _ => None,
        }
    }
}

impl Selector {
    /// Returns whether the target is chosen. A selector that cannot be read chooses nothing.
    pub fn chooses(&self, target: Target) -> bool {
        let labels = self.match_labels.iter().flatten();
        let expressions = self.match_expressions.iter().flatten();
        labels.into_iter().all(|(key, value)| target.label(key) == Some(value.as_str()))
            && expressions.into_iter().all(|expression| expression.holds(target))
    }
}

impl Expression {
    /// As `k8s.io/apimachinery/pkg/labels` judges a requirement.
    fn holds(&self, target: Target) -> bool {
        let label = target.label(&self.key);
        let is_listed = label.is_some_and(|label| self.values.iter().any(|value| value == label));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(selector: &str) -> Vec<String> {
        let selector: Selector = serde_saphyr::from_str(selector).unwrap();
        KNOWN.into_iter().filter(|target| selector.chooses(*target)).map(|target| target.to_string()).collect()
    }

    #[test]
    fn selectors_choose_as_label_selectors_do() {
        let table: [(&str, &[&str]); 7] = [
            ("matchLabels: {os: linux, arch: arm64}", &["linux/arm64"]),
            ("matchLabels: {arch: arm64}", &["windows/arm64", "linux/arm64", "darwin/arm64"]),
            ("matchLabels: {os: plan9}", &[]),
            (
                "matchExpressions: [{key: os, operator: In, values: [darwin, plan9]}]",
                &["darwin/386", "darwin/amd64", "darwin/arm64"],
            ),
            (
                "{matchLabels: {os: windows}, matchExpressions: [{key: arch, operator: NotIn, values: ['386']}]}",
                &["windows/amd64", "windows/arm64"],
            ),
            ("matchExpressions: [{key: os, operator: DoesNotExist}]", &[]),
            ("matchExpressions: [{key: os, operator: Likes}]", &[]),
        ];
        for (selector, targets) in table {
            assert_eq!(chosen(selector), targets, "{selector}");
        }
        assert_eq!(chosen("matchExpressions: [{key: os, operator: Exists}]").len(), KNOWN.len());
    }

    #[test]
    fn triples_have_go_names() {
        let table = [
            ("x86_64-unknown-linux-gnu", Some("linux/amd64")),
            ("aarch64-unknown-linux-musl", Some("linux/arm64")),
            ("aarch64-apple-darwin", Some("darwin/arm64")),
            ("x86_64-pc-windows-msvc", Some("windows/amd64")),
            ("riscv64gc-unknown-linux-gnu", None),
            ("x86_64-unknown-freebsd", None),
        ];
        for (triple, target) in table {
            assert_eq!(Target::of_triple(triple).map(|target| target.to_string()).as_deref(), target, "{triple}");
        }
    }
}
