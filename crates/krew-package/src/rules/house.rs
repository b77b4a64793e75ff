//! What this project asks of its manifests beyond krew's rules: the habits that reviewers of krew's index ask for, and
//! what keeps manifest, source and release together.

use crate::manifest::{Manifest, Platform};
use crate::platform::{KNOWN, PUBLISHED, Target};
use crate::rules::{Findings, Release, Rule, Sums, UNKNOWN_SUM, platform_field};

/// `krew search` cuts what is longer.
const SHORT_DESCRIPTION: usize = 50;
/// `krew info` does not wrap.
const DESCRIPTION_WIDTH: usize = 80;

pub(super) fn check(manifest: &Manifest, release: Release<'_>, findings: &mut Findings) {
    let name = &manifest.metadata.name;
    if !is_kebab(name) {
        let problem = format!("{name:?} is not in kebab case");
        findings.add("metadata.name", Rule::OurName, problem, "use lower-case words, joined by single `-`");
    }
    check_words(manifest, findings);
    let ours = format!("v{}", release.version);
    if manifest.spec.version != ours {
        let problem = format!("is {:?}, and the source is {ours}", manifest.spec.version);
        findings.add(
            "spec.version",
            Rule::OurVersion,
            problem,
            "write the version of Cargo.toml, here and in the URIs",
        );
    }
    for (number, platform) in manifest.spec.platforms.iter().enumerate() {
        check_platform(number, platform, name, release, findings);
    }
    let chosen = |target| {
        let mut selectors = manifest.spec.platforms.iter().filter_map(|platform| platform.selector.as_ref());
        selectors.any(|selector| selector.chooses(target))
    };
    let missing = PUBLISHED.into_iter().filter(|target| !chosen(*target)).map(|target| format!("{target} is missing"));
    let more = KNOWN.into_iter().filter(|target| chosen(*target) && !PUBLISHED.contains(target));
    for problem in missing.chain(more.map(|target| format!("{target} is not published"))) {
        let remedy = format!("list {}", PUBLISHED.map(|target| target.to_string()).join(", "));
        findings.add("spec.platforms", Rule::OurTargets, problem, remedy);
    }
}

fn check_words(manifest: &Manifest, findings: &mut Findings) {
    let spec = &manifest.spec;
    let short_description = &spec.short_description;
    let length = short_description.chars().count();
    if length > SHORT_DESCRIPTION {
        let problem = format!("has {length} characters");
        let remedy = format!("use at most {SHORT_DESCRIPTION}; `krew search` cuts the rest");
        findings.add("spec.shortDescription", Rule::OurShortDescription, problem, remedy);
    }
    for word in ["plugin", "kubectl", "kubernetes"] {
        if short_description.to_lowercase().contains(word) {
            let problem = format!("says {word:?}, as everything in the index could");
            findings.add("spec.shortDescription", Rule::OurShortDescription, problem, "say only what is particular");
        }
    }
    if spec.description.trim().is_empty() {
        let remedy = "tell in some sentences what the plugin does";
        findings.add("spec.description", Rule::OurDescription, "is empty", remedy);
    }
    for line in spec.description.lines() {
        if line.chars().count() > DESCRIPTION_WIDTH {
            let problem = format!("has a line of {} characters: {line:?}", line.chars().count());
            let remedy = format!("wrap it at {DESCRIPTION_WIDTH}");
            findings.add("spec.description", Rule::OurDescription, problem, remedy);
        }
        let words = line.trim_start().to_lowercase();
        if ["kubectl ", "$ ", "usage", "--"].iter().any(|start| words.starts_with(start)) {
            let problem = format!("tells how the plugin is called: {line:?}");
            findings.add("spec.description", Rule::OurDescription, problem, "leave that to --help");
        }
    }
    if !spec.homepage.starts_with("https://") {
        let problem = format!("{:?} is no https URL", spec.homepage);
        findings.add("spec.homepage", Rule::OurHomepage, problem, "write where a user reads more");
    }
}

fn check_platform(number: usize, platform: &Platform, name: &str, release: Release<'_>, findings: &mut Findings) {
    let field = |field: &str| platform_field(number, field);
    if platform.files.is_some() {
        let remedy = "leave it out, and put into the archive what is to be installed";
        findings.add(field("files"), Rule::OurFiles, "picks from the archive", remedy);
    }
    if release.sums == Sums::AreKnown && platform.sha256 == UNKNOWN_SUM {
        let remedy = "build and publish this archive, then `krew-package fill` writes its sum";
        findings.add(field("sha256"), Rule::OurSum, "is not known", remedy);
    }
    let Some(selector) = &platform.selector else { return };
    let mut targets = PUBLISHED.into_iter().filter(|target| selector.chooses(*target));
    // What chooses nothing that we publish is told where the targets are counted.
    let (Some(target), others) = (targets.next(), targets.count()) else { return };
    if others > 0 {
        let remedy = "give each system and processor an archive and an entry of its own";
        let problem = format!("chooses {target} and {others} more");
        findings.add(field("selector"), Rule::OurTargets, problem, remedy);
        return;
    }
    let uri = published_at(name, target, release);
    if platform.uri != uri {
        let problem = format!("is {:?}", platform.uri);
        findings.add(field("uri"), Rule::OurUri, problem, format!("write {uri}"));
    }
    let program = target.binary_name(name);
    if platform.bin != program {
        findings.add(field("bin"), Rule::OurBin, format!("is {:?}", platform.bin), format!("write {program}"));
    }
}

/// Returns where a release's archive is published.
fn published_at(name: &str, target: Target, release: Release<'_>) -> String {
    let Release { version, repository, .. } = release;
    format!("{repository}/releases/download/v{version}/{}", target.archive_name(name, version))
}

fn is_kebab(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(is_word)
}
