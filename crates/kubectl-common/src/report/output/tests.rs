use serde::Serialize;
use serde_json::json;

use super::*;
use crate::environment::Environment;
use crate::flags::ColorChoice;

/// A place that the test can read while the output writes to it.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Vec<u8>>>);

impl Place {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that takes nothing.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Something that has no JSON form.
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("unspeakable"))
    }
}

fn output(terminal: &Terminal) -> (Output, Place, Place) {
    let (stdout, stderr) = (Place::default(), Place::default());
    (Output::to_writers(stdout.clone(), stderr.clone(), terminal), stdout, stderr)
}

#[test]
fn results_go_to_stdout_and_talk_to_stderr_line_by_line() {
    let (output, stdout, stderr) = output(&Terminal::piped());
    output.result_line("node/a drained");
    output.result_line("two\nlines\n");
    output.note("waiting");
    output.warning("ignoring DaemonSet-managed Pods: kube-system/proxy");
    output.status("not shown off a terminal");
    output.finish().unwrap();
    assert_eq!(stdout.text(), "node/a drained\ntwo\nlines\n");
    assert_eq!(stderr.text(), "waiting\nWarning: ignoring DaemonSet-managed Pods: kube-system/proxy\n");
}

#[test]
fn documents_end_with_one_line_break() {
    let (output, stdout, _) = output(&Terminal::piped());
    let document = json!({"kind": "DrainPlan", "nodes": ["a"]});
    output.json_line(&document);
    output.json(&document);
    output.yaml(&document);
    let expected = "{\"kind\":\"DrainPlan\",\"nodes\":[\"a\"]}\n\
                    {\n  \"kind\": \"DrainPlan\",\n  \"nodes\": [\n    \"a\"\n  ]\n}\n\
                    kind: DrainPlan\nnodes:\n";
    assert!(stdout.text().starts_with(expected), "{}", stdout.text());
    assert!(stdout.text().ends_with("- a\n"), "{}", stdout.text());
}

#[test]
fn colours_appear_only_where_the_terminal_has_them() {
    let (plain, stdout, _) = output(&Terminal::piped());
    plain.result_line(&Tone::Good.paint("ok"));
    assert_eq!(stdout.text(), "ok\n");
    let (colored, stdout, _) = output(&Terminal::capture(ColorChoice::Always, &Environment::default()));
    colored.result_line(&Tone::Good.paint("ok"));
    assert_eq!(stdout.text(), "\u{1b}[32mok\u{1b}[0m\n");
}

#[test]
fn a_closed_pipe_is_a_quiet_stop() {
    let stderr = Place::default();
    let output = Output::to_writers(Broken(io::ErrorKind::BrokenPipe), stderr.clone(), &Terminal::piped());
    output.result_line("nobody reads this");
    assert!(output.is_closed());
    output.json(&"nor this");
    output.note("the talk goes on");
    output.finish().unwrap();
    assert_eq!(stderr.text(), "the talk goes on\n");
}

#[test]
fn a_full_disk_and_an_unspeakable_result_are_told_at_the_end() {
    let output = Output::to_writers(Broken(io::ErrorKind::StorageFull), io::sink(), &Terminal::piped());
    output.result_line("lost");
    assert!(!output.is_closed());
    let failure = Failure::from(output.finish().unwrap_err());
    assert_eq!(failure.status(), ExitStatus::Unexpected);
    assert!(failure.message().starts_with("cannot write to stdout: "), "{}", failure.message());

    let (output, stdout, _) = self::output(&Terminal::piped());
    output.json(&Unspeakable);
    assert!(matches!(output.finish(), Err(OutputError::Json(_))));
    assert_eq!(stdout.text(), "");
}

#[test]
fn stderr_may_be_gone_without_harm() {
    let stdout = Place::default();
    let output = Output::to_writers(stdout.clone(), Broken(io::ErrorKind::BrokenPipe), &Terminal::piped());
    output.note("lost");
    output.result_line("kept");
    output.finish().unwrap();
    assert_eq!(stdout.text(), "kept\n");
}
