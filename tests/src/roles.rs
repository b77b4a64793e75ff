//! The roles in docs/rbac, bound to a user whole or with one right less.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::control_plane::User;
use crate::namespace::{Namespace, from_json};
use crate::wait::{DEADLINE, eventually};

/// The roles of one file.
#[derive(Clone, Debug)]
pub struct Roles {
    documents: Vec<Value>,
}

/// One verb on one resource that one role grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role's name in the file.
    pub role: String,
    /// Where it is granted; `None`: in the whole cluster.
    pub namespace: Option<String>,
    /// The API group.
    pub group: String,
    /// The resource, with its subresource.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)
    }
}

impl Roles {
    /// Returns the file's path: `Roles::path("safedrain")` is docs/rbac/safedrain.yaml.
    pub fn path(name: &str) -> String {
        format!("{}/../docs/rbac/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
    }

    /// Reads a file.
    pub fn read(name: &str) -> Self {
        let path = Self::path(name);
        let text = fs::read_to_string(Path::new(&path)).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let document = |text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("read {path}: {error}"));
        Self { documents: text.split("\n---\n").map(document).collect() }
    }

    /// Keeps only the role with this name.
    #[must_use]
    pub fn only(mut self, role: &str) -> Self {
        self.documents.retain(|document| name_of(document) == role);
        self
    }

    /// Returns everything that is granted, one verb on one resource at a time.
    pub fn grants(&self) -> Vec<Grant> {
        let mut grants = Vec::new();
        for document in &self.documents {
            for rule in list(document, "rules") {
                for (group, resource, verb) in triples(rule) {
                    grants.push(Grant {
                        role: name_of(document).to_owned(),
                        namespace: document.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned),
                        group,
                        resource,
                        verb,
                    });
                }
            }
        }
        grants
    }

    /// Returns the same roles without one right.
    #[must_use]
    pub fn without(&self, removed: &Grant) -> Self {
        let mut documents = self.documents.clone();
        for document in documents.iter_mut().filter(|document| name_of(document) == removed.role) {
            let rules: Vec<Value> = list(document, "rules")
                .iter()
                .flat_map(triples)
                .filter(|(group, resource, verb)| {
                    (group, resource, verb) != (&removed.group, &removed.resource, &removed.verb)
                })
                .map(
                    |(group, resource, verb)| json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb] }),
                )
                .collect();
            if let Some(object) = document.as_object_mut() {
                object.insert(String::from("rules"), Value::Array(rules));
            }
        }
        Self { documents }
    }

    /// Creates copies of the roles, binds them to `user`, and waits until the server knows.
    pub async fn bind(&self, ns: &Namespace, user: &User) {
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        for document in &self.documents {
            let name = format!("{}-{}-{}", ns.name(), name_of(document), COPIES.fetch_add(1, Ordering::Relaxed));
            let mut copy = document.clone();
            if let Some(metadata) = copy.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.insert(String::from("name"), json!(name));
            }
            let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
            let namespace = document.pointer("/metadata/namespace");
            ns.create(copy).await;
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": format!("{kind}Binding"),
                "metadata": { "name": name, "namespace": namespace },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name }],
            });
            ns.create(binding).await;
        }
        self.until_granted(ns, user).await;
    }

    /// Waits until the server knows that `user` has all these rights.
    pub async fn until_granted(&self, ns: &Namespace, user: &User) {
        let reviews = Api::<SelfSubjectAccessReview>::all(ns.control_plane().client_as(&user.name).await);
        for grant in self.grants() {
            let (resource, subresource) = grant.resource.split_once('/').unwrap_or((&grant.resource, ""));
            let review: SelfSubjectAccessReview = from_json(json!({ "spec": { "resourceAttributes": {
                "verb": grant.verb, "group": grant.group, "resource": resource, "subresource": subresource,
                "namespace": grant.namespace.clone().unwrap_or_default(),
            } } }));
            eventually(&format!("{} may {grant}", user.name), DEADLINE, || {
                let (reviews, review) = (reviews.clone(), review.clone());
                async move {
                    let answer = reviews.create(&PostParams::default(), &review).await;
                    answer.is_ok_and(|answer| answer.status.is_some_and(|status| status.allowed))
                }
            })
            .await;
        }
    }
}

fn name_of(document: &Value) -> &str {
    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn triples(rule: &Value) -> Vec<(String, String, String)> {
    let words = |key| list(rule, key).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let mut triples = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            for verb in words("verbs") {
                triples.push((group.clone(), resource.clone(), verb));
            }
        }
    }
    triples
}
