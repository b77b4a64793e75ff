//! Label selectors, with the difference between "absent" and "empty" kept.
//!
//! Rules: `k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go`, `LabelSelectorAsSelector`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What a selector asks of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// An absent selector: no object.
    Nothing,
    /// All requirements hold; none at all selects everything.
    All(Vec<Requirement>),
}

/// One condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What its value must be.
    pub test: Test,
}

/// What the value of a label must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The label is there with one of these values.
    In(BTreeSet<String>),
    /// The label is absent or has none of these values.
    NotIn(BTreeSet<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// An operator that this version does not know: it matches nothing, so that nothing is claimed about it.
    Unknown,
}

impl Selector {
    /// Reads an optional `LabelSelector`; `None` is [`Selector::Nothing`].
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self::Nothing };
        let equal = selector.match_labels.iter().flatten().map(|(key, value)| Requirement::equals(key, value));
        let expressions = selector.match_expressions.iter().flatten().map(|expression| {
            let values = || expression.values.iter().flatten().cloned().collect();
            let test = match expression.operator.as_str() {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::DoesNotExist,
                _ => Test::Unknown,
            };
            Requirement { key: expression.key.clone(), test }
        });
        Self::All(equal.chain(expressions).collect())
    }

    /// Reads the plain map of a Service or ReplicationController, where absent and empty both select nothing
    /// (`pkg/controller/endpointslice`: a Service without selector has no endpoints of its own).
    pub fn from_map(map: Option<&BTreeMap<String, String>>) -> Self {
        match map {
            Some(map) if !map.is_empty() => {
                Self::All(map.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
            }
            _ => Self::Nothing,
        }
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().all(|requirement| requirement.holds(labels)),
        }
    }

    /// Whether any requirement speaks of this key.
    pub fn mentions(&self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().any(|requirement| requirement.key == key),
        }
    }
}

/// A selector in kubectl's notation that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is not a label requirement: use KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A,B) or KEY notin (A,B)")]
pub struct SelectorError {
    part: String,
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// Reads kubectl's notation (`k8s.io/apimachinery/pkg/labels/selector.go`), without its comparisons of numbers.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        requirements(text).map(str::trim).map(Requirement::parse).collect::<Result<_, _>>().map(Self::All)
    }
}

/// Splits at the commas outside parentheses.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
}

impl Requirement {
    fn parse(part: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError { part: part.to_owned() };
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
        };
        let is_value = |word: &str| word.is_empty() || is_word(word);
        let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
        let (key, test) = if let Some((key, value)) = part.split_once("!=") {
            (key, Test::NotIn(one(value)))
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (key, Test::In(one(value)))
        } else if let Some((head, list)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
            let values = list.split(',').map(|value| value.trim().to_owned()).collect();
            let (key, word) = head.trim().rsplit_once(char::is_whitespace).ok_or_else(error)?;
            match word {
                "in" => (key, Test::In(values)),
                "notin" => (key, Test::NotIn(values)),
                _ => return Err(error()),
            }
        } else if let Some(key) = part.strip_prefix('!') {
            (key, Test::DoesNotExist)
        } else {
            (part, Test::Exists)
        };
        let key = key.trim();
        let values_are_words = match &test {
            Test::In(values) | Test::NotIn(values) => values.iter().all(|value| is_value(value)),
            Test::Exists | Test::DoesNotExist | Test::Unknown => true,
        };
        if is_word(key) && values_are_words { Ok(Self { key: key.to_owned(), test }) } else { Err(error()) }
    }

    fn equals(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), test: Test::In(BTreeSet::from([value.to_owned()])) }
    }

    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_absent_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!Selector::from_label_selector(None).matches(&labels(&[("app", "web")])));
        assert!(Selector::from_label_selector(Some(&LabelSelector::default())).matches(&labels(&[])));
        assert!(!Selector::from_map(Some(&BTreeMap::new())).matches(&labels(&[("app", "web")])));
    }

    #[test]
    fn operators_judge_as_the_api_server_does() {
        let web = labels(&[("app", "web")]);
        let cases = [
            ("In", vec!["web", "api"], true),
            ("In", vec!["api"], false),
            ("NotIn", vec!["api"], true),
            ("NotIn", vec!["web"], false),
            ("Exists", vec![], true),
            ("DoesNotExist", vec![], false),
            ("Gt", vec!["1"], false),
        ];
        for (operator, values, expected) in cases {
            let expression = LabelSelectorRequirement {
                key: "app".into(),
                operator: operator.into(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            };
            let selector = LabelSelector { match_expressions: Some(vec![expression]), match_labels: None };
            let selector = Selector::from_label_selector(Some(&selector));
            assert_eq!(selector.matches(&web), expected, "{operator} {values:?}");
            assert!(selector.mentions("app") && !selector.mentions("tier"));
        }
        let absent =
            LabelSelectorRequirement { key: "tier".into(), operator: "NotIn".into(), values: Some(vec!["x".into()]) };
        let selector = LabelSelector { match_expressions: Some(vec![absent]), match_labels: None };
        assert!(Selector::from_label_selector(Some(&selector)).matches(&web), "NotIn holds for an absent label");
    }

    #[test]
    fn kubectls_notation_is_read() {
        let web = labels(&[("app", "web"), ("kubevirt.io", "virt-launcher")]);
        let cases = [
            ("app=web", true),
            ("app==web,tier!=db", true),
            ("kubevirt.io=virt-launcher", true),
            ("app in (api, web), !tier", true),
            ("app notin (api,web)", false),
            ("tier", false),
            ("app", true),
            ("app=", false),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Selector>().map(|selector| selector.matches(&web)), Ok(expected), "{text}");
        }
        for bad in ["", "app=web,", "=web", "app in web", "app is (web)", "a b", "app=we b", "x>1"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad:?}");
        }
    }
}
