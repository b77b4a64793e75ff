//! Names of nodes as they are typed: which can be one, which exist, and which was probably meant.

use cluster_model::identity::NodeName;
use cluster_model::node::Node;

use crate::failure::CommandError;

/// How many typing errors a suggestion forgives.
const FORGIVEN: usize = 2;
/// How many suggestions are made.
const SUGGESTED: usize = 3;
/// The longest name that an object may have.
const LONGEST: usize = 253;

/// Reads one argument: `NAME`, `node/NAME`, or with kubectl's other words for a node.
pub(crate) fn parse(argument: &str) -> Result<NodeName, CommandError> {
    let not_a_node = || CommandError::NotANode { argument: argument.to_owned(), meant: meant(argument) };
    let name = match argument.split_once('/') {
        None => argument,
        Some(("node" | "nodes" | "no", name)) => name,
        Some(_) => return Err(not_a_node()),
    };
    if is_name(name) { Ok(NodeName::from(name)) } else { Err(not_a_node()) }
}

/// Finds the first name that no node has, and the names that are most like it.
pub(crate) fn all_exist(names: &[NodeName], nodes: &[Node]) -> Result<(), CommandError> {
    let Some(unknown) = names.iter().find(|name| !nodes.iter().any(|node| node.name == **name)) else {
        return Ok(());
    };
    let mut similar: Vec<_> = nodes
        .iter()
        .map(|node| (strsim::damerau_levenshtein(&unknown.0, &node.name.0), node.name.to_string()))
        .filter(|(distance, _)| *distance <= FORGIVEN)
        .collect();
    similar.sort();
    let similar = similar.into_iter().take(SUGGESTED).map(|(_, name)| name).collect();
    Err(CommandError::UnknownNode { name: unknown.to_string(), similar })
}

/// Whether a node can have this name: a DNS subdomain (`k8s.io/apimachinery/pkg/util/validation`, `IsDNS1123Subdomain`).
fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_plain) && label.ends_with(is_plain) && label.chars().all(|c| is_plain(c) || c == '-')
    };
    text.len() <= LONGEST && text.split('.').all(is_label)
}

/// The name that somebody meant who typed capitals, spaces or a slash too many.
fn meant(argument: &str) -> Option<String> {
    let plain = argument.trim().to_lowercase();
    let name = plain.strip_prefix("node/").unwrap_or(&plain).trim_end_matches('/');
    is_name(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_the_api_server_would_take() {
        let long = "n".repeat(LONGEST);
        for good in ["n1", "node/n1", "no/n1", "ip-10-0-0-1.eu-west-1.compute.internal", &long] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let table = [
            ("", None),
            ("n1/", Some("n1")),
            ("node/", None),
            ("node/N1", Some("n1")),
            (" n1", Some("n1")),
            ("pod/n1", None),
            ("node/n1/", Some("n1")),
            ("n_1", None),
            ("-n1", None),
            ("n1,n2", None),
            ("n1..x", None),
        ];
        for (bad, expected) in table {
            let Err(CommandError::NotANode { argument, meant }) = parse(bad) else { panic!("{bad:?} is no name") };
            assert_eq!((argument.as_str(), meant.as_deref()), (bad, expected));
        }
    }

    #[test]
    fn the_likeliest_names_are_suggested_first() {
        let nodes: Vec<_> = ["web-1", "web-2", "db-1", "wbe-1x"]
            .into_iter()
            .map(|name| {
                let mut object = cluster_model::api::core::Node::default();
                object.metadata.name = Some(name.to_owned());
                Node::from(&object)
            })
            .collect();
        let names = |name: &str| match all_exist(&[NodeName::from("db-1"), NodeName::from(name)], &nodes) {
            Err(CommandError::UnknownNode { similar, .. }) => similar,
            other => panic!("{other:?}"),
        };
        assert_eq!(names("wbe-1"), ["wbe-1x", "web-1", "db-1"]);
        assert_eq!(names("nonsense"), Vec::<String>::new());
        assert!(all_exist(&[NodeName::from("web-1")], &nodes).is_ok());
    }
}
