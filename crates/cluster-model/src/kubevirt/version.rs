//! Which KubeVirt it is, and what that one can do.

use std::fmt;

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1 in 1.9.
    pub major: u32,
    /// 9 in 1.9.
    pub minor: u32,
}

impl Version {
    /// Reads `v1.9.0-beta.0-1264-gd923fdb8` and the like; `None` for a build without a number.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What differs between the versions, as far as a decision depends on it. A caller that has asked the server (discovery
/// of `subresources.kubevirt.io`) overrides what the version number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one program, each asked for by name")]
pub struct Features {
    /// The webhook answers every eviction of a protected virtual machine, so its answers can be predicted
    /// (since 1.5; before, a budget refused the later ones).
    pub webhook_answers_always: bool,
    /// `evacuate/cancel` exists (since 1.7). Without it a marked virtual machine is evacuated again and again until it
    /// succeeds, and nobody but KubeVirt can take the mark away.
    pub can_cancel_evacuation: bool,
    /// An evacuation ends a running backup (since 1.8).
    pub evacuation_ends_backups: bool,
    /// A dry run of an eviction is one, whichever way it is asked for (since 1.4).
    pub dry_run_is_harmless: bool,
}

impl Features {
    /// What this version can; an unknown one is trusted with nothing.
    pub fn of(version: Option<Version>) -> Self {
        let since = |minor| version.is_some_and(|version| version >= Version { major: 1, minor });
        Self {
            webhook_answers_always: since(5),
            can_cancel_evacuation: since(7),
            evacuation_ends_backups: since(8),
            dry_run_is_harmless: since(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_that_kubevirt_reports() {
        let version = |major, minor| Some(Version { major, minor });
        let cases = [
            ("v1.9.0", version(1, 9)),
            ("v1.9.0-beta.0-1264-gd923fdb8", version(1, 9)),
            ("1.10", version(1, 10)),
            ("v1.5-rc.1", version(1, 5)),
            ("{gitVersion}", None),
            ("devel", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    /// Reference 0, the table of break-points.
    #[test]
    fn features_come_with_their_versions() {
        let at = |minor| Features::of(Some(Version { major: 1, minor }));
        assert!(!at(3).dry_run_is_harmless && at(4).dry_run_is_harmless);
        assert!(!at(4).webhook_answers_always && at(5).webhook_answers_always);
        assert!(!at(6).can_cancel_evacuation && at(7).can_cancel_evacuation);
        assert!(!at(7).evacuation_ends_backups && at(8).evacuation_ends_backups);
        assert!(at(10).can_cancel_evacuation, "1.10 is newer than 1.7");
        assert_eq!(Features::of(None), at(0));
    }
}
