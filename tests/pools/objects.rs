//! Objects as a user reads and writes them, with kubectl.

use std::time::Duration;

use e2e::{Kubectl, Namespace, Run, eventually};
use serde_json::{Value, json};

/// How long an object may take to be accepted.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Applies an object.
pub(crate) async fn apply(ns: &Namespace, object: &Value) {
    // Where the last object's kind is new to the webhooks' caches, they refuse for a moment.
    let text = object.to_string();
    eventually(&format!("{} is taken", object["kind"]), DEADLINE, || async {
        let run = Kubectl::command(ns, ["apply", "-f", "-"]).stdin(&text).run().await;
        run.code() == 0
    })
    .await;
}

/// Reads an object, if there is one.
pub(crate) async fn get(ns: &Namespace, resource: &str, name: &str) -> Option<Value> {
    let run = Kubectl::run(ns, ["get", resource, name, "-o", "json", "--ignore-not-found"]).await;
    serde_json::from_str(&run.expect_code(0).stdout).ok()
}

/// Reads the objects with a label; with an empty one: all.
pub(crate) async fn list(ns: &Namespace, resource: &str, label: &str) -> Vec<Value> {
    let run = Kubectl::run(ns, ["get", resource, "-o", "json", "-l", label]).await.expect_code(0);
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// Reads the names of the objects with a label; with an empty one: all.
pub(crate) async fn names(ns: &Namespace, resource: &str, label: &str) -> Vec<String> {
    let found = list(ns, resource, label).await;
    found.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Copies an object as somebody would who does not know better: everything as it is, under another name.
pub(crate) async fn naive_copy(ns: &Namespace, resource: &str, name: &str, copy: &str) {
    let mut object = get(ns, resource, name).await.unwrap();
    let metadata = json!({ "name": copy, "labels": object["metadata"]["labels"] });
    object["metadata"] = metadata;
    object.as_object_mut().unwrap().remove("status");
    let text = object.to_string();
    Kubectl::command(ns, ["create", "-f", "-"]).stdin(&text).run().await.expect_code(0);
}

/// What a person wrote of an object.
pub(crate) fn written(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!([object["spec"], metadata["labels"], metadata["annotations"], metadata["generation"]])
}

/// Runs all commands that a refusal names, in their order.
pub(crate) async fn follow_all_advice(ns: &Namespace, run: &Run) {
    for line in run.stderr.lines().filter_map(|line| line.split("`kubectl ").nth(1)) {
        let words: Vec<_> = line.trim_end_matches('`').split(" --context").next().unwrap().split_whitespace().collect();
        let (verb, arguments) = words.split_first().unwrap();
        let command = match *verb {
            "safedrain" => e2e::Plugin::safedrain(ns).args(["--settle=0s"]).args(arguments),
            "poolcopy" => e2e::Plugin::poolcopy(ns).args(arguments),
            _ => Kubectl::command(ns, words.iter()),
        };
        command.run().await.expect_code(0);
    }
}

/// Runs the drain that a copy or a refusal names.
pub(crate) async fn follow_advice(ns: &Namespace, run: &Run) -> Run {
    let line = run.stderr.lines().find(|line| line.contains("kubectl safedrain ")).unwrap();
    let words = line.split("kubectl safedrain ").nth(1).unwrap();
    let arguments = words.split(" --context").next().unwrap().trim_end_matches('`').split_whitespace();
    e2e::Plugin::safedrain(ns).args(["--settle=0s"]).args(arguments).run().await.expect_code(0)
}
