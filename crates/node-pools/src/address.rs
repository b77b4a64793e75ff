//! Where an object is: its resource as the server serves it, its namespace, its name.

use std::fmt;

use serde::Serialize;

/// A kind of objects, as one version of an API serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Resource {
    /// The API group; empty for the core's.
    pub group: String,
    /// The version that is read and written.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name in paths: `machinedeployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// Returns the resource of nodes.
    pub fn nodes() -> Self {
        Self {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Node".to_owned(),
            plural: "nodes".to_owned(),
            namespaced: false,
        }
    }

    /// Returns `GROUP/VERSION`, as an object says it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the path under which its objects are listed and created; without a namespace: of the whole cluster.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let place = namespace.filter(|_| self.namespaced).map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        format!("/{root}/{}/{place}{}", self.api_version(), self.plural)
    }

    /// Returns its name as kubectl takes it without doubt: `machinedeployments.cluster.x-k8s.io`.
    pub fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Returns the address of one of its objects.
    pub fn at(&self, namespace: Option<&str>, name: &str) -> Address {
        let namespace = namespace.filter(|_| self.namespaced).map(str::to_owned);
        Address { resource: self.clone(), namespace, name: name.to_owned() }
    }
}

/// One object's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// What it is.
    pub resource: Resource,
    /// Where it lives; `None` for an object of the cluster.
    pub namespace: Option<String>,
    /// What it is called.
    pub name: String,
}

impl Address {
    /// Returns the path of the object.
    pub fn path(&self) -> String {
        format!("{}/{}", self.resource.path(self.namespace.as_deref()), self.name)
    }

    /// Returns the path of its neighbours, under which one like it is created.
    pub fn collection_path(&self) -> String {
        self.resource.path(self.namespace.as_deref())
    }

    /// Returns the address of an object of the same kind in the same place.
    pub fn beside(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// Returns the words by which kubectl is told which object is meant: `machinedeployments.cluster.x-k8s.io/blue -n x`.
    pub fn for_kubectl(&self) -> String {
        let place = self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        format!("{}/{}{place}", self.resource.full_name(), self.name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.resource.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// An object that another one names: its kind without a version, which is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Where it lives.
    pub namespace: Option<String>,
    /// What it is called.
    pub name: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        let sets = Resource {
            group: "cluster.x-k8s.io".into(),
            version: "v1beta2".into(),
            kind: "MachineSet".into(),
            plural: "machinesets".into(),
            namespaced: true,
        };
        let nodes = Resource::nodes();
        assert_eq!(sets.path(None), "/apis/cluster.x-k8s.io/v1beta2/machinesets");
        assert_eq!(sets.at(Some("x"), "a").path(), "/apis/cluster.x-k8s.io/v1beta2/namespaces/x/machinesets/a");
        assert_eq!(nodes.at(Some("x"), "a").path(), "/api/v1/nodes/a");
        assert_eq!(sets.at(Some("x"), "a").to_string(), "MachineSet x/a");
        assert_eq!(sets.at(Some("x"), "a").for_kubectl(), "machinesets.cluster.x-k8s.io/a -n x");
        assert_eq!(nodes.at(None, "a").for_kubectl(), "nodes/a");
    }
}
