use super::*;
use crate::identity::tests::SAFEDRAIN;

/// Drain nodes
#[derive(Debug, Parser)]
struct Cli {
    /// The nodes
    nodes: Vec<String>,
    #[command(flatten)]
    kube: crate::flags::KubeFlags,
}

fn launch(arguments: &[&str]) -> Launch {
    Launch::with_arguments(&SAFEDRAIN, arguments)
}

#[test]
fn help_speaks_of_kubectl_when_kubectl_can_have_started_it() {
    let table = [
        ("/krew/bin/kubectl-safedrain", "Usage: kubectl safedrain "),
        ("kubectl-safedrain.exe", "Usage: kubectl safedrain "),
        ("/usr/bin/safedrain", "Usage: safedrain "),
        ("", "Usage: kubectl safedrain "),
    ];
    for (program, usage) in table {
        let failure = launch(&[program, "--help"]).parse::<Cli>().unwrap_err();
        assert_eq!(failure.status(), ExitStatus::Done);
        assert!(failure.message().contains(usage), "{program}: {}", failure.message());
    }
}

#[test]
fn version_names_the_binary() {
    let failure = launch(&["kubectl-safedrain", "--version"]).parse::<Cli>().unwrap_err();
    assert_eq!((failure.status(), failure.message()), (ExitStatus::Done, "kubectl-safedrain v0.1.0"));
}

#[test]
fn a_usage_error_is_told_in_claps_words() {
    let failure = launch(&["kubectl-safedrain", "--nonsense"]).parse::<Cli>().unwrap_err();
    assert_eq!(failure.status(), ExitStatus::Usage);
    let told = told_by(&failure);
    assert!(told.starts_with("error: unexpected argument '--nonsense' found\n"), "{told}");
    assert!(told.contains("Usage: kubectl safedrain "), "{told}");
}

#[test]
fn other_failures_are_told_with_their_remedies() {
    let failure = Failure::new(ExitStatus::Unexpected, &EntryError::Runtime(io::Error::other("no threads")));
    assert_eq!(told_by(&failure), "error: cannot start the runtime: no threads\n  try: `ulimit -a`\n");
}

fn told_by(failure: &Failure) -> String {
    let place = tempfile::NamedTempFile::new().unwrap();
    let output = Output::to_writers(io::sink(), place.reopen().unwrap(), &Terminal::piped());
    tell(failure, &output);
    std::fs::read_to_string(place.path()).unwrap()
}

#[test]
fn completion_and_manual_are_those_of_the_binary() {
    let launch = launch(&["kubectl-safedrain"]);
    let mut script = Vec::new();
    completion(launch.command::<Cli>(), Shell::Bash, &mut script).unwrap();
    assert!(String::from_utf8(script).unwrap().contains("kubectl-safedrain"));
    let mut page = Vec::new();
    man_page(launch.command::<Cli>(), &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("Drain nodes") && page.contains("v0.1.0"), "{page}");
}
