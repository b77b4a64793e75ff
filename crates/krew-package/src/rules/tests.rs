use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use super::*;
use crate::platform::PUBLISHED;

const RELEASE: Release<'_> =
    Release { version: "0.1.0", repository: "https://example.test/handover", sums: Sums::MayBeUnknown };

/// A manifest that keeps every rule.
fn good() -> String {
    let head = "apiVersion: krew.googlecontainertools.github.com/v1alpha2\nkind: Plugin\nmetadata: {name: safedrain}\n\
                spec:\n  version: v0.1.0\n  homepage: https://example.test\n  shortDescription: Drain nodes\n  \
                description: Empties nodes.\n  platforms:\n";
    let platforms = PUBLISHED.map(|target| {
        let uri = format!(
            "{}/releases/download/v0.1.0/{}",
            RELEASE.repository,
            target.archive_name("safedrain", RELEASE.version)
        );
        format!(
            "  - uri: {uri}\n    sha256: \"{UNKNOWN_SUM}\"\n    bin: {}\n    \
             selector: {{matchLabels: {{os: {}, arch: {}}}}}\n",
            target.binary_name("safedrain"),
            target.os,
            target.arch,
        )
    });
    head.to_owned() + &platforms.concat()
}

/// Returns the rules that are broken when `from` is replaced by `to`, once, and the fields where.
fn broken(from: &str, to: &str) -> BTreeSet<(Rule, String)> {
    let good = good();
    assert!(good.contains(from), "{from:?} is not in the good manifest");
    let findings = check(Path::new("krew-manifests/safedrain.yaml"), &good.replacen(from, to, 1), RELEASE);
    findings.into_iter().map(|finding| (finding.rule, finding.field)).collect()
}

const FIRST: &str = "    selector: {matchLabels: {os: linux, arch: amd64}}";
const LAST: &str = "    selector: {matchLabels: {os: windows, arch: arm64}}";

/// One way to break each rule, or more: what is replaced, by what, the rule and the field.
const BAD: &[(&str, &str, Rule, &str)] = &[
    ("kind:", "]", Rule::Readable, ""),
    ("metadata: {name: safedrain}", "metadata: [safedrain]", Rule::Readable, ""),
    ("v1alpha2", "v1", Rule::ApiVersion, "apiVersion"),
    ("apiVersion:", "api:", Rule::ApiVersion, "apiVersion"),
    ("kind: Plugin", "kind: plugin", Rule::Kind, "kind"),
    ("name: safedrain", "name: safe.drain", Rule::Name, "metadata.name"),
    ("name: safedrain", "name: ''", Rule::Name, "metadata.name"),
    ("name: safedrain", "name: aux", Rule::Name, "metadata.name"),
    ("name: safedrain", "name: safe-drain", Rule::FileName, "metadata.name"),
    ("shortDescription:", "short:", Rule::ShortDescription, "spec.shortDescription"),
    ("Drain nodes", "\"Drain\\nnodes\"", Rule::ShortDescription, "spec.shortDescription"),
    ("Drain nodes", "\"Drain\\rnodes\"", Rule::ShortDescription, "spec.shortDescription"),
    ("platforms:", "others:", Rule::Platforms, "spec.platforms"),
    ("version: v0.1.0", "version: ~", Rule::Version, "spec.version"),
    ("version: v0.1.0", "version: 0.1.0", Rule::Version, "spec.version"),
    ("version: v0.1.0", "version: v0.1", Rule::Version, "spec.version"),
    ("version: v0.1.0", "version: v0.01.0", Rule::Version, "spec.version"),
    ("  - uri:", "  - url:", Rule::Uri, "spec.platforms[0].uri"),
    ("sha256: \"0", "sha256: \"A", Rule::Sha256, "spec.platforms[0].sha256"),
    ("sha256: \"0", "sha256: \"", Rule::Sha256, "spec.platforms[0].sha256"),
    ("    sha256:", "    sha512:", Rule::Sha256, "spec.platforms[0].sha256"),
    ("    bin:", "    binary:", Rule::Bin, "spec.platforms[0].bin"),
    ("    bin:", "    files: []\n    bin:", Rule::Files, "spec.platforms[0].files"),
    ("    bin:", "    files: [{from: a}]\n    bin:", Rule::Files, "spec.platforms[0].files[0].to"),
    ("    bin:", "    files: [{to: a}]\n    bin:", Rule::Files, "spec.platforms[0].files[0].from"),
    (FIRST, "", Rule::Selector, "spec.platforms[0].selector"),
    (FIRST, "    selector: {}", Rule::Selector, "spec.platforms[0].selector"),
    (FIRST, "    selector: {matchLabels: {}}", Rule::Selector, "spec.platforms[0].selector.matchLabels"),
    ("arch: amd64}", "arch: amd64, libc: musl}", Rule::Selector, "spec.platforms[0].selector.matchLabels.libc"),
    (
        "arch: amd64}",
        "arch: amd64}, matchExpressions: []",
        Rule::Selector,
        "spec.platforms[0].selector.matchExpressions",
    ),
    (
        "arch: amd64}",
        "arch: amd64}, matchExpressions: [{key: libc, operator: Exists}]",
        Rule::Selector,
        "spec.platforms[0].selector.matchExpressions[0].key",
    ),
    (
        "arch: amd64}",
        "arch: amd64}, matchExpressions: [{key: os, operator: Is, values: [linux]}]",
        Rule::Selector,
        "spec.platforms[0].selector.matchExpressions[0].operator",
    ),
    (
        "arch: amd64}",
        "arch: amd64}, matchExpressions: [{key: os, operator: In}]",
        Rule::Selector,
        "spec.platforms[0].selector.matchExpressions[0].values",
    ),
    (
        "arch: amd64}",
        "arch: amd64}, matchExpressions: [{key: os, operator: Exists, values: [linux]}]",
        Rule::Selector,
        "spec.platforms[0].selector.matchExpressions[0].values",
    ),
    ("os: linux, arch: amd64", "os: linux, arch: s390x", Rule::Target, "spec.platforms[0].selector"),
    (LAST, "    selector: {matchLabels: {os: windows}}", Rule::Overlap, "spec.platforms[5].selector"),
    ("    bin:", "    files: [{from: a, to: ./b}]\n    bin:", Rule::Path, "spec.platforms[0].files[0].to"),
    ("    bin:", "    files: [{from: a, to: b/}]\n    bin:", Rule::Path, "spec.platforms[0].files[0].to"),
    ("    bin:", "    files: [{from: a, to: ../b}]\n    bin:", Rule::Path, "spec.platforms[0].files[0].to"),
    ("    bin:", "    files: [{from: /a, to: .}]\n    bin:", Rule::Path, "spec.platforms[0].files[0].from"),
    ("bin: kubectl-safedrain", "bin: ../kubectl-safedrain", Rule::Path, "spec.platforms[0].bin"),
    ("kubectl-safedrain.exe", "kubectl-safedrain", Rule::WindowsProgram, "spec.platforms[4].bin"),
    ("name: safedrain", "name: SafeDrain", Rule::OurName, "metadata.name"),
    ("name: safedrain", "name: safe--drain", Rule::OurName, "metadata.name"),
    (
        "Drain nodes",
        "Drain nodes one after the other, and everything on them",
        Rule::OurShortDescription,
        "spec.shortDescription",
    ),
    ("Drain nodes", "A Plugin that drains", Rule::OurShortDescription, "spec.shortDescription"),
    ("Drain nodes", "Drain Kubernetes nodes", Rule::OurShortDescription, "spec.shortDescription"),
    ("Drain nodes", "Like kubectl drain", Rule::OurShortDescription, "spec.shortDescription"),
    ("description:", "prescription:", Rule::OurDescription, "spec.description"),
    (
        "Empties nodes.",
        "Empties nodes, and then goes on to tell more than a line of a terminal can hold at once.",
        Rule::OurDescription,
        "spec.description",
    ),
    ("Empties nodes.", "\"Empties nodes:\\n  kubectl safedrain NODE\"", Rule::OurDescription, "spec.description"),
    ("Empties nodes.", "\"Usage: safedrain NODE\"", Rule::OurDescription, "spec.description"),
    ("homepage: https:", "homepage: http:", Rule::OurHomepage, "spec.homepage"),
    ("homepage:", "home:", Rule::OurHomepage, "spec.homepage"),
    ("version: v0.1.0", "version: v0.2.0", Rule::OurVersion, "spec.version"),
    (
        "https://example.test/handover/releases",
        "https://example.org/handover/releases",
        Rule::OurUri,
        "spec.platforms[0].uri",
    ),
    ("safedrain_v0.1.0_linux", "safedrain_v0.0.9_linux", Rule::OurUri, "spec.platforms[0].uri"),
    ("safedrain_v0.1.0_linux_amd64", "safedrain_v0.1.0_linux_arm64", Rule::OurUri, "spec.platforms[0].uri"),
    ("bin: kubectl-safedrain", "bin: safedrain", Rule::OurBin, "spec.platforms[0].bin"),
    ("    bin:", "    files: [{from: '*', to: .}]\n    bin:", Rule::OurFiles, "spec.platforms[0].files"),
    (LAST, "    selector: {matchLabels: {os: windows, arch: '386'}}", Rule::OurTargets, "spec.platforms"),
    (
        LAST,
        "    selector: {matchExpressions: [{key: arch, operator: In, values: [arm64]}]}",
        Rule::OurTargets,
        "spec.platforms[5].selector",
    ),
];

#[test]
fn good_manifest_has_no_findings() {
    assert_eq!(check(Path::new("safedrain.yaml"), &good(), RELEASE), []);
}

#[test]
fn each_bad_manifest_breaks_its_rule_in_its_field() {
    for (from, to, rule, field) in BAD {
        let broken = broken(from, to);
        assert!(
            broken.contains(&(*rule, (*field).to_owned())),
            "{from:?} -> {to:?}: {rule:?} at {field:?} in {broken:?}"
        );
    }
}

#[test]
fn every_rule_has_a_bad_manifest() {
    let apart = [Rule::Extension, Rule::OurSum];
    let tested: BTreeSet<Rule> = BAD.iter().map(|(_, _, rule, _)| *rule).chain(apart).collect();
    assert_eq!(tested, Rule::ALL.into_iter().collect());
}

#[test]
fn file_must_be_a_regular_one_that_ends_in_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let [yml, other, link] = ["safedrain.yml", "other.yaml", "safedrain.yaml"].map(|name| folder.path().join(name));
    fs::write(&yml, good()).unwrap();
    fs::write(&other, good()).unwrap();
    symlink(&other, &link).unwrap();
    let rules = |path: &Path| check_file(path, RELEASE).into_iter().map(|finding| finding.rule).collect::<Vec<_>>();
    assert_eq!(rules(&yml), [Rule::Extension]);
    assert_eq!(rules(&other), [Rule::FileName]);
    assert_eq!(rules(&link), [Rule::Extension]);
    assert_eq!(rules(&folder.path().join("missing.yaml")), [Rule::Readable]);
}

#[test]
fn unknown_sum_is_not_published() {
    let published = Release { sums: Sums::AreKnown, ..RELEASE };
    let findings = check(Path::new("safedrain.yaml"), &good(), published);
    assert_eq!(findings.iter().filter(|finding| finding.rule == Rule::OurSum).count(), PUBLISHED.len());
    assert_eq!(findings.len(), PUBLISHED.len());
    let known = good().replace(UNKNOWN_SUM, &"a".repeat(64));
    assert_eq!(check(Path::new("safedrain.yaml"), &known, published), []);
}

#[test]
fn finding_tells_file_field_rule_and_remedy() {
    let text = good().replace("kind: Plugin", "kind: Thing");
    let [finding] = <[Finding; 1]>::try_from(check(Path::new("m/safedrain.yaml"), &text, RELEASE)).unwrap();
    assert_eq!(finding.to_string(), "m/safedrain.yaml: kind: is \"Thing\" (krew asks for Kind)\n  hint: write Plugin");
}

#[test]
fn our_manifests_keep_every_rule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../krew-manifests");
    let release = Release::of_this_workspace(Sums::MayBeUnknown);
    for plugin in ["safedrain", "poolcopy", "vmievict"] {
        let findings = check_file(&folder.join(format!("{plugin}.yaml")), release);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{}", told.join("\n"));
    }
}
