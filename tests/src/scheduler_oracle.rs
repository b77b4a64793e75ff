//! kube-scheduler's own default filters, asked case by case. The program is tests/control-plane/oracle.go; what it fills
//! in as an API server would is told there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::control_plane;
use crate::scheduling::Case;

/// A running oracle; it ends when it is dropped.
#[derive(Debug)]
pub struct SchedulerOracle {
    child: Child,
    questions: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
}

/// What the oracle knows about a case.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The objects of the case as an API server would show them.
    pub objects: Vec<Value>,
    /// The judged pods as an API server would keep them.
    pub pods: Vec<Value>,
    /// The judged pods as an API server would show them in the template of an owner.
    pub templates: Vec<Value>,
    /// For each judged pod: what stands against each node, by the node's name.
    pub verdicts: Vec<BTreeMap<String, Option<Rejection>>>,
}

/// Who does not let a pod run on a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rejection {
    /// The first plugin that rejects.
    pub plugin: String,
    /// Its reasons, in its own words.
    #[serde(default)]
    pub reasons: Option<Vec<String>>,
    /// The plugin could not tell, there or on another node, which ends the attempt to schedule the pod.
    #[serde(default)]
    pub failed: bool,
}

#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    #[serde(flatten)]
    answer: Answer,
}

impl SchedulerOracle {
    /// Starts one.
    pub fn start() -> Self {
        let mut child = Command::new(control_plane::programs().join("control-plane"))
            .arg("scheduler-oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the scheduler's oracle can be started");
        let questions = child.stdin.take().map(BufWriter::new);
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Self { child, questions, answers }
    }

    /// Asks about a case. An error says what is wrong with the case itself.
    #[expect(
        clippy::unwrap_in_result,
        reason = "what is wrong with the oracle ends the test; what is wrong with a case is told"
    )]
    pub fn ask(&mut self, case: &Case) -> Result<Answer, String> {
        let mut question = serde_json::to_string(case).expect("a case is JSON");
        question.push('\n');
        let questions = self.questions.as_mut().expect("it is there until the oracle is dropped");
        questions.write_all(question.as_bytes()).and_then(|()| questions.flush()).expect("the oracle takes a case");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the oracle answers");
        let line: Line = serde_json::from_str(&line).expect("the oracle answers in JSON");
        line.error.map_or(Ok(line.answer), Err)
    }
}

impl Drop for SchedulerOracle {
    fn drop(&mut self) {
        // It ends when its input does.
        self.questions = None;
        // Nothing can be done about one that cannot be waited for.
        drop(self.child.wait());
    }
}
