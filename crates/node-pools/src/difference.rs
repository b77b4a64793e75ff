//! What differs between two documents, leaf by leaf.

use serde::Serialize;
use serde_json::Value;

/// One place in which two documents differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// A JSON pointer (RFC 6901).
    pub path: String,
    /// What the first document has there; `None`: nothing.
    pub from: Option<Value>,
    /// What the second has there; `None`: nothing.
    pub to: Option<Value>,
}

/// Compares two documents. Maps are compared key by key, and lists of the same length item by item; what is in one
/// document only is one difference, however large.
pub fn differences(first: &Value, second: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), first, second, &mut found);
    found
}

fn compare(path: String, first: &Value, second: &Value, found: &mut Vec<Difference>) {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => {
            for (key, value) in first {
                let path = format!("{path}/{}", escaped(key));
                match second.get(key) {
                    Some(other) => compare(path, value, other, found),
                    None => found.push(Difference { path, from: Some(value.clone()), to: None }),
                }
            }
            for (key, value) in second.iter().filter(|(key, _)| !first.contains_key(*key)) {
                let path = format!("{path}/{}", escaped(key));
                found.push(Difference { path, from: None, to: Some(value.clone()) });
            }
        }
        (Value::Array(first), Value::Array(second)) if first.len() == second.len() => {
            for (index, (value, other)) in first.iter().zip(second).enumerate() {
                compare(format!("{path}/{index}"), value, other, found);
            }
        }
        _ if first == second => {}
        _ => found.push(Difference { path, from: Some(first.clone()), to: Some(second.clone()) }),
    }
}

/// Returns a key as a JSON pointer holds it.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_leaf_is_told_once() {
        let first = json!({ "a": 1, "b": { "x/y": [1, 2], "gone": true }, "l": [1], "same": [{ "k": null }] });
        let second = json!({ "a": 2, "b": { "x/y": [1, 3], "new": "n" }, "l": [1, 2], "same": [{ "k": null }] });
        let told: Vec<_> = differences(&first, &second)
            .into_iter()
            .map(|difference| (difference.path, difference.from, difference.to))
            .collect();
        assert_eq!(
            told,
            [
                ("/a".to_owned(), Some(json!(1)), Some(json!(2))),
                ("/b/gone".to_owned(), Some(json!(true)), None),
                ("/b/x~1y/1".to_owned(), Some(json!(2)), Some(json!(3))),
                ("/b/new".to_owned(), None, Some(json!("n"))),
                ("/l".to_owned(), Some(json!([1])), Some(json!([1, 2]))),
            ]
        );
        assert!(differences(&first, &first).is_empty());
    }
}
