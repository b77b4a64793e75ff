//! Makes a case small that shows a difference: whatever can go without the difference going, goes.

use e2e::scheduling::Case;
use serde_json::Value;

/// What a case consists of.
const PARTS: [fn(&mut Case) -> &mut Vec<Value>; 2] = [|case| &mut case.pods, |case| &mut case.objects];

/// Returns a case of which nothing more can be left out while it `shows` what it is kept for.
pub(crate) fn reduce(case: &Case, mut shows: impl FnMut(&Case) -> bool) -> Case {
    let mut case = case.clone();
    loop {
        let before = case.clone();
        leave_out_elements(&mut case, &mut shows);
        leave_out_fields(&mut case, &mut shows);
        if case == before {
            return case;
        }
    }
}

/// Whole objects and pods, halves of them first.
fn leave_out_elements(case: &mut Case, shows: &mut impl FnMut(&Case) -> bool) {
    for part in PARTS {
        let mut size = part(case).len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < part(case).len() {
                let mut smaller = case.clone();
                let elements = part(&mut smaller);
                elements.drain(start..(start + size).min(elements.len()));
                if shows(&smaller) {
                    *case = smaller;
                } else {
                    start += size;
                }
            }
            size /= 2;
        }
    }
}

/// Fields and elements of lists, outer ones first.
fn leave_out_fields(case: &mut Case, shows: &mut impl FnMut(&Case) -> bool) {
    for part in PARTS {
        for at in 0..part(case).len() {
            let mut tried: Vec<String> = vec![];
            while let Some(path) = paths(&part(case)[at]).into_iter().find(|path| !tried.contains(path)) {
                let mut smaller = case.clone();
                leave_out(&mut part(&mut smaller)[at], &path);
                if shows(&smaller) {
                    *case = smaller;
                } else {
                    tried.push(path);
                }
            }
        }
    }
}

/// All places in a value as JSON pointers, each before what is in it.
fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, child)| (key.replace('~', "~0").replace('/', "~1"), child)).collect()
        }
        Value::Array(elements) => elements.iter().enumerate().map(|(at, child)| (at.to_string(), child)).collect(),
        _ => vec![],
    };
    let mut all = vec![];
    for (step, child) in children {
        all.push(format!("/{step}"));
        all.extend(paths(child).into_iter().map(|path| format!("/{step}{path}")));
    }
    all
}

fn leave_out(value: &mut Value, path: &str) {
    let (parent, step) = path.rsplit_once('/').expect("a path has a step");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&step.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(elements)) => drop(elements.remove(step.parse().expect("lists are counted"))),
        _ => {}
    }
}

#[test]
fn what_a_case_is_not_kept_for_goes() {
    use serde_json::json;

    let case = Case {
        objects: vec![json!({"a": 1}), json!({"b": {"c": [1, 2, 3], "d/e": true}}), json!({"f": 0})],
        pods: vec![json!({"g": 1}), json!({"h": 2})],
    };
    let reduced = reduce(&case, |case| {
        let has = |path: &str| case.objects.iter().any(|object| object.pointer(path) == Some(&json!(2)));
        has("/b/c/0") || has("/b/c/1")
    });
    assert_eq!(reduced, Case { objects: vec![json!({"b": {"c": [2]}})], pods: vec![] });
}
