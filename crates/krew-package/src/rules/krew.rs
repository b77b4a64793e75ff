//! The rules that krew applies whenever it reads a manifest (krew `internal/index/validation/validate.go`) and whenever
//! it installs by one (`internal/installation/{move,install}.go`).

use semver::Version;

use crate::manifest::{API_VERSION, FileOperation, KIND, Manifest, Platform, Selector};
use crate::platform::KNOWN;
use crate::rules::{Findings, Rule, platform_field};

pub(super) fn check(manifest: &Manifest, findings: &mut Findings) {
    if manifest.api_version != API_VERSION {
        let problem = format!("is {:?}", manifest.api_version);
        findings.add("apiVersion", Rule::ApiVersion, problem, format!("write {API_VERSION}"));
    }
    if manifest.kind != KIND {
        findings.add("kind", Rule::Kind, format!("is {:?}", manifest.kind), format!("write {KIND}"));
    }
    check_name(&manifest.metadata.name, findings);
    let short_description = &manifest.spec.short_description;
    if short_description.is_empty() || short_description.contains(['\r', '\n']) {
        let problem = if short_description.is_empty() { "is empty" } else { "has more than one line" };
        findings.add("spec.shortDescription", Rule::ShortDescription, problem, "say on one line what the plugin does");
    }
    if manifest.spec.platforms.is_empty() {
        findings.add("spec.platforms", Rule::Platforms, "is empty", "list the archives, one entry a platform");
    }
    check_version(&manifest.spec.version, findings);
    for (number, platform) in manifest.spec.platforms.iter().enumerate() {
        check_platform(number, platform, findings);
    }
}

fn check_name(name: &str, findings: &mut Findings) {
    let is_safe = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !is_safe {
        let remedy = "use letters, digits, `-` and `_`";
        findings.add("metadata.name", Rule::Name, format!("{name:?} cannot be a name"), remedy);
    }
    if is_kept_by_windows(name) {
        let problem = format!("{name:?} is a device on Windows");
        findings.add("metadata.name", Rule::Name, problem, "choose another name");
    }
}

/// Windows has no files of these names, whatever their case.
fn is_kept_by_windows(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_numbered = |device: &str| {
        name.strip_prefix(device).is_some_and(|number| number.len() == 1 && ("1"..="9").contains(&number))
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&name.as_str()) || is_numbered("COM") || is_numbered("LPT")
}

fn check_version(version: &str, findings: &mut Findings) {
    let problem = match version.strip_prefix('v') {
        Some(number) => match Version::parse(number) {
            Ok(_) => return,
            Err(error) => format!("{version:?} is no semantic version: {error}"),
        },
        None => format!("{version:?} does not start with v"),
    };
    findings.add("spec.version", Rule::Version, problem, "write vMAJOR.MINOR.PATCH, such as v0.1.0");
}

fn check_platform(number: usize, platform: &Platform, findings: &mut Findings) {
    let field = |name: &str| platform_field(number, name);
    if platform.uri.is_empty() {
        findings.add(field("uri"), Rule::Uri, "is empty", "write where the archive is downloaded from");
    }
    let is_sum = platform.sha256.len() == 64 && platform.sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if !is_sum {
        let problem = format!("{:?} is no sum", platform.sha256);
        findings.add(field("sha256"), Rule::Sha256, problem, "write what `sha256sum ARCHIVE` prints, in lower case");
    }
    if platform.bin.is_empty() {
        findings.add(field("bin"), Rule::Bin, "is empty", "name the program in the archive");
    } else if !stays_inside(&platform.bin) {
        let problem = format!("{:?} leaves the installation", platform.bin);
        findings.add(field("bin"), Rule::Path, problem, "name a file inside the installation");
    }
    match &platform.files {
        Some(files) if files.is_empty() => {
            findings.add(field("files"), Rule::Files, "is there and empty", "leave it out: everything is installed");
        }
        Some(files) => files.iter().enumerate().for_each(|(entry, file)| {
            check_file_operation(&platform_field(number, &format!("files[{entry}]")), file, findings);
        }),
        None => {}
    }
    match &platform.selector {
        Some(selector) => check_selector(&field("selector"), selector, findings),
        None => findings.add(field("selector"), Rule::Selector, "is missing", "write matchLabels with os and arch"),
    }
    let is_for_windows = |selector: &Selector| KNOWN.into_iter().any(|to| to.os == "windows" && selector.chooses(to));
    let ends_in_exe = platform.bin.get(platform.bin.len().saturating_sub(4)..) == Some(".exe");
    if platform.selector.as_ref().is_some_and(is_for_windows) && !platform.bin.is_empty() && !ends_in_exe {
        let problem = format!("{:?} cannot be run on Windows", platform.bin);
        findings.add(field("bin"), Rule::WindowsProgram, problem, "let the program end in .exe");
    }
}

fn check_file_operation(field: &str, file: &FileOperation, findings: &mut Findings) {
    for (name, path) in [("from", &file.from), ("to", &file.to)] {
        if path.is_empty() {
            findings.add(format!("{field}.{name}"), Rule::Files, "is empty", "write a path, or leave `files` out");
        } else if !stays_inside(path) {
            let problem = format!("{path:?} leads outside");
            findings.add(format!("{field}.{name}"), Rule::Path, problem, "write a relative path without ..");
        }
    }
    let clean = clean(&file.to);
    if !file.to.is_empty() && stays_inside(&file.to) && clean != file.to {
        let problem = format!("{:?} is not clean", file.to);
        findings.add(format!("{field}.to"), Rule::Path, problem, format!("write {clean:?}"));
    }
}

fn check_selector(field: &str, selector: &Selector, findings: &mut Findings) {
    let remedy = "write matchLabels with os and arch";
    if selector.match_labels.is_none() && selector.match_expressions.is_none() {
        findings.add(field, Rule::Selector, "is empty", remedy);
    }
    if selector.match_labels.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
        findings.add(format!("{field}.matchLabels"), Rule::Selector, "is there and empty", remedy);
    }
    if selector.match_expressions.as_ref().is_some_and(Vec::is_empty) {
        findings.add(format!("{field}.matchExpressions"), Rule::Selector, "is there and empty", "leave it out");
    }
    for key in selector.match_labels.iter().flat_map(|labels| labels.keys()) {
        if !is_label(key) {
            findings.add(format!("{field}.matchLabels.{key}"), Rule::Selector, "is no label of a platform", remedy);
        }
    }
    for (number, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{number}]");
        if !is_label(&expression.key) {
            let problem = format!("{:?} is no label of a platform", expression.key);
            findings.add(format!("{field}.key"), Rule::Selector, problem, "write os or arch");
        }
        let needs_values = match expression.operator.as_str() {
            "In" | "NotIn" => true,
            "Exists" | "DoesNotExist" => false,
            other => {
                let problem = format!("{other:?} is no operator");
                let remedy = "write In, NotIn, Exists or DoesNotExist";
                findings.add(format!("{field}.operator"), Rule::Selector, problem, remedy);
                continue;
            }
        };
        if needs_values == expression.values.is_empty() {
            let problem = format!("do not fit the operator {}", expression.operator);
            let remedy = if needs_values { "list what is compared with" } else { "leave them out" };
            findings.add(format!("{field}.values"), Rule::Selector, problem, remedy);
        }
    }
}

fn is_label(key: &str) -> bool {
    key == "os" || key == "arch"
}

/// Returns whether a path stays below the folder that it starts from.
fn stays_inside(path: &str) -> bool {
    let clean = clean(path);
    !clean.starts_with('/') && clean != ".." && !clean.starts_with("../")
}

/// Returns the shortest path of the same meaning, as Go's `filepath.Clean` does.
fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            _ => parts.push(part),
        }
    }
    match (is_absolute, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        let table = [
            ("", "."),
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("../../a", "../../a"),
            ("/../a/", "/a"),
            ("/", "/"),
        ];
        for (path, cleaned) in table {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn names_of_devices_are_known_in_any_case() {
        for name in ["con", "NUL", "Com1", "lpt9"] {
            assert!(is_kept_by_windows(name), "{name}");
        }
        for name in ["console", "com0", "com10", "lpt", "safedrain"] {
            assert!(!is_kept_by_windows(name), "{name}");
        }
    }
}
