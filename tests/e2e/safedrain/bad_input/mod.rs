//! Bad input: what a person at the terminal is told, word for word, and that nothing in the cluster was changed.
//!
//! Each file is one kind of input; its snapshots are transcripts, to be read as one reads a terminal. A run that ends
//! with 2 or 3 has changed nothing: [`Transcript::end`] has the audit log prove it.

mod command_line;
mod kubeconfig;
mod marks;
mod rights;
mod server;
mod streams;
mod vanished;

use e2e::plugin::{Invocation, Run};
use e2e::{ControlPlane, Namespace};

/// What runs said, one after another, with what differs between test runs replaced.
struct Transcript<'a> {
    ns: &'a Namespace,
    text: String,
    replacements: Vec<(String, String)>,
    /// The runs that ended otherwise than expected.
    surprises: Vec<String>,
}

impl<'a> Transcript<'a> {
    fn of(ns: &'a Namespace) -> Self {
        let control_plane = ns.control_plane();
        let mut transcript = Self { ns, text: String::new(), replacements: Vec::new(), surprises: Vec::new() };
        transcript.replace(&ns.user().kubeconfig.to_string_lossy(), "KUBECONFIG");
        transcript.replace(&control_plane.folder().to_string_lossy(), "FOLDER");
        transcript.replace(control_plane.server().trim_start_matches("https://"), "SERVER");
        transcript.replace(&format!("{}-", ns.name()), "");
        transcript.replace(ns.name(), "NAMESPACE");
        transcript.replace(&ns.user().name, "USER");
        transcript
    }

    /// Shows `word` for `text` from now on; what is told first goes first.
    fn replace(&mut self, text: &str, word: &str) {
        self.replacements.push((text.to_owned(), word.to_owned()));
    }

    /// Runs it, expects an exit status and writes down what it said.
    async fn run(&mut self, case: &str, invocation: Invocation, code: i32) -> Run {
        let run = invocation.run().await;
        if run.code() != code {
            self.surprises.push(format!("{case}: expected exit status {code}, got {}", run.code()));
        }
        self.write(case, &run);
        run
    }

    fn write(&mut self, case: &str, run: &Run) {
        let mut text = format!("# {case}\n$ {}\n", run.command_line);
        for (name, output) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            for line in without_strangers(self.ns, output).lines() {
                let line = format!("{name}: {}", without_padding(line));
                text += line.trim_end();
                text += "\n";
            }
        }
        for (from, to) in &self.replacements {
            text = text.replace(from, to);
        }
        self.text += &text;
        self.text += "exit status ";
        self.text += &run.code().to_string();
        self.text += "\n\n";
    }

    /// Compares with the snapshot of that name, and expects that no run has changed anything.
    async fn end(self, name: &str) {
        let audit = self.ns.audit().await;
        let changes: Vec<_> = audit.changes().into_iter().map(e2e::AuditEvent::summary).collect();
        assert!(changes.is_empty(), "{changes:#?}\n{}", self.text);
        self.compare(name);
    }

    /// Compares with the snapshot of that name.
    fn compare(self, name: &str) {
        let settings = {
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings
        };
        assert_eq!(self.surprises, Vec::<String>::new(), "{}", self.text);
        settings.bind(|| insta::assert_snapshot!(name, self.text.trim_end()));
    }
}

/// Leaves out the warnings of runs that other tests have under way on the same cluster, and what is said of a server that takes
/// its time, which is not what is looked at here.
fn without_strangers(ns: &Namespace, text: &str) -> String {
    let ours = format!("node {}-", ns.name());
    let waits = format!("waiting for {} to answer", ns.control_plane().server());
    // Of what is asked again only what a busy server, or a broken connection to it, explains.
    let passes = [
        "has not answered within",
        "the connection to the API server broke",
        "answers 429",
        "answers 503",
        "answers 504",
    ];
    let is_ours = |line: &&str| {
        let is_strangers = line.contains("carries the mark of a run") && !line.contains(&ours);
        let is_busy = line.contains("; asking again in ") && passes.iter().any(|why| line.contains(why));
        !is_strangers && !line.starts_with(&waits) && !is_busy
    };
    text.lines().filter(is_ours).collect::<Vec<_>>().join("\n")
}

/// A table is as wide as the names in it, which differ between test runs.
fn without_padding(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let mut words: Vec<_> = line[indent..].split("   ").map(str::trim).collect();
    words.retain(|word| !word.is_empty());
    format!("{}{}", &line[..indent], words.join("   "))
}

/// A namespace with a node, for input that is refused before anything is looked at closely.
async fn place(purpose: &str) -> (Namespace, String) {
    let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
    let node = ns.node("old").create().await;
    (ns, node)
}
