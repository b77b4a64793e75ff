//! What this user may do: asked of the server before the first change.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use crate::access::{ApiAccess, CallError};

/// How many questions are asked at a time.
const QUESTIONS_IN_FLIGHT: usize = 8;

/// A right that a run needs: a verb on a resource, in every one of the namespaces it touches or on the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core's.
    pub group: Cow<'static, str>,
    /// The resource.
    pub resource: Cow<'static, str>,
    /// The subresource; empty for none.
    pub subresource: &'static str,
}

impl Right {
    /// A verb on a resource of a group; the core's is empty.
    pub const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group: Cow::Borrowed(group), resource: Cow::Borrowed(resource), subresource: "" }
    }

    /// A verb on a resource whose names are known only at run time.
    pub fn of(verb: &'static str, group: &str, resource: &str) -> Self {
        Self { verb, group: Cow::Owned(group.to_owned()), resource: Cow::Owned(resource.to_owned()), subresource: "" }
    }

    /// A verb on a subresource.
    pub const fn on_subresource(
        verb: &'static str,
        group: &'static str,
        resource: &'static str,
        subresource: &'static str,
    ) -> Self {
        Self { verb, group: Cow::Borrowed(group), resource: Cow::Borrowed(resource), subresource }
    }
}

/// A right and where a run needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    right: Right,
    /// `None`: in the whole cluster.
    namespaces: Option<BTreeSet<String>>,
}

impl Need {
    /// Needed in the whole cluster.
    pub fn everywhere(right: Right) -> Self {
        Self { right, namespaces: None }
    }

    /// Whether it is about objects of the core group: nodes, pods.
    pub fn is_of_the_core(&self) -> bool {
        self.right.group.is_empty()
    }

    /// Needed in each of these namespaces.
    pub fn within(right: Right, namespaces: BTreeSet<String>) -> Self {
        Self { right, namespaces: Some(namespaces) }
    }
}

/// A right that the user does not have where it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// The right.
    pub right: Right,
    /// Where; `None`: in the whole cluster.
    pub namespaces: Option<BTreeSet<String>>,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.right)?;
        match &self.namespaces {
            None if self.right.resource == "nodes" => Ok(()),
            None => f.write_str(" in the whole cluster"),
            Some(namespaces) => {
                let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
                write!(f, " in {}", names.join(", "))
            }
        }
    }
}

impl MissingRight {
    /// The arguments by which kubectl asks for it: `auth can-i create pods --subresource=eviction -n shop`.
    pub fn question(&self) -> String {
        let Right { verb, group, resource, subresource } = &self.right;
        let mut words = vec!["auth", "can-i", verb];
        let full = if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") };
        words.push(&full);
        let subresource = format!("--subresource={subresource}");
        if !self.right.subresource.is_empty() {
            words.push(&subresource);
        }
        match self.namespaces.as_ref().and_then(BTreeSet::first) {
            Some(namespace) => words.extend(["-n", namespace]),
            None if resource == "nodes" => {}
            None => words.push("-A"),
        }
        words.join(" ")
    }
}

/// Asks which of these needs the user's rights do not meet; the answer is in their order.
pub async fn missing(access: &ApiAccess, needs: &[Need]) -> Result<Vec<MissingRight>, CallError> {
    let answers: Vec<_> = stream::iter(needs)
        .map(|need| async move {
            let right = &need.right;
            match &need.namespaces {
                None => Ok((!has(access, right, None).await?)
                    .then_some(MissingRight { right: right.clone(), namespaces: None })),
                Some(namespaces) => {
                    let lacking = lacking(access, right, namespaces).await?;
                    Ok((!lacking.is_empty())
                        .then_some(MissingRight { right: right.clone(), namespaces: Some(lacking) }))
                }
            }
        })
        .buffered(QUESTIONS_IN_FLIGHT)
        .collect()
        .await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.subresource.is_empty() { Ok(()) } else { write!(f, "/{}", self.subresource) }
    }
}

/// Asks in which of these namespaces the user lacks a right. Of several, the right to all of the cluster is asked for
/// first.
pub async fn lacking(
    access: &ApiAccess,
    right: &Right,
    namespaces: &BTreeSet<String>,
) -> Result<BTreeSet<String>, CallError> {
    if namespaces.is_empty() || (namespaces.len() > 1 && has(access, right, None).await?) {
        return Ok(BTreeSet::new());
    }
    let answers: Vec<_> = stream::iter(namespaces)
        .map(|namespace| async move { (namespace, has(access, right, Some(namespace)).await) })
        .buffer_unordered(QUESTIONS_IN_FLIGHT)
        .collect()
        .await;
    let mut denied = BTreeSet::new();
    for (namespace, answer) in answers {
        if !answer? {
            denied.insert(namespace.clone());
        }
    }
    Ok(denied)
}

/// Asks whether the user has a right in a namespace, or with `None` everywhere.
pub async fn has(access: &ApiAccess, right: &Right, namespace: Option<&str>) -> Result<bool, CallError> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: text(right.verb),
                group: text(&right.group),
                resource: text(&right.resource),
                subresource: text(right.subresource),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(access.client.clone());
    let params = PostParams::default();
    let answer = access.ask(|| reviews.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
