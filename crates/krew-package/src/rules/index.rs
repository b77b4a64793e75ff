//! What krew's index checks beyond that when a plugin is submitted (krew `cmd/validate-krew-manifest/main.go`), except
//! the installation itself: see [`crate::install`].

use std::path::Path;

use crate::manifest::Manifest;
use crate::platform::KNOWN;
use crate::rules::{Findings, Rule, platform_field};

pub(super) fn check(manifest: &Manifest, path: &Path, findings: &mut Findings) {
    let name = &manifest.metadata.name;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    match file.strip_suffix(".yaml") {
        Some(stem) if stem == name => {}
        Some(_) => {
            let problem = format!("{name:?} is not the name of the file");
            findings.add("metadata.name", Rule::FileName, problem, format!("call the file {name}.yaml"));
        }
        None => {
            findings.add("", Rule::Extension, "does not end in .yaml", format!("call the file {name}.yaml"));
        }
    }
    for (number, platform) in manifest.spec.platforms.iter().enumerate() {
        if let Some(selector) = &platform.selector
            && !KNOWN.into_iter().any(|target| selector.chooses(target))
        {
            let known = KNOWN.map(|target| target.to_string()).join(", ");
            let remedy = format!("choose some of {known}");
            let problem = "chooses no system and processor that krew knows";
            findings.add(platform_field(number, "selector"), Rule::Target, problem, remedy);
        }
    }
    for target in KNOWN {
        let selectors = manifest.spec.platforms.iter().map(|platform| platform.selector.as_ref());
        let chosen = selectors.enumerate().filter(|(_, selector)| selector.is_some_and(|found| found.chooses(target)));
        let mut numbers = chosen.map(|(number, _)| number);
        if let (Some(first), Some(second)) = (numbers.next(), numbers.next()) {
            let problem = format!("chooses {target}, and so does spec.platforms[{first}]");
            let remedy = "let each system and processor have one platform";
            findings.add(platform_field(second, "selector"), Rule::Overlap, problem, remedy);
        }
    }
}
