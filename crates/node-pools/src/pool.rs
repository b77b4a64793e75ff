//! A pool of nodes, whoever makes them.

use cluster_model::identity::NodeName;
use serde::Serialize;

use crate::address::Address;
use crate::mark::{CopyMark, Source};
use crate::node_label::NodeLabel;

/// Who makes and removes the nodes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderName {
    /// Karpenter: NodePools.
    Karpenter,
    /// Cluster API: MachineDeployments and MachinePools.
    ClusterApi,
    /// OpenShift: MachineSets.
    OpenShift,
    /// Nodes that are joined by hand and belong together by a label.
    Labels,
    /// A provider whose pools are seen and cannot be copied yet.
    Unbuilt,
}

impl ProviderName {
    /// Returns the word by which it is chosen: `--provider cluster-api`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Karpenter => "karpenter",
            Self::ClusterApi => "cluster-api",
            Self::OpenShift => "openshift",
            Self::Labels => "labels",
            Self::Unbuilt => "unbuilt",
        }
    }
}

/// What brings the nodes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Its size: as many as it is told to have.
    Sized,
    /// Pods that find no room elsewhere; without any it has no nodes.
    OnDemand,
    /// Somebody else joins them.
    External,
}

/// Something that is wrong with a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What, in one sentence.
    pub message: String,
    /// Whether it is only about how many of its nodes are there: a copy of a chosen size can be made nevertheless.
    #[serde(skip)]
    pub is_about_size: bool,
}

impl Trouble {
    /// A pool that nothing can be made from.
    pub fn grave(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_about_size: false }
    }

    /// A pool whose number of nodes is not what it is to be.
    pub fn of_size(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_about_size: true }
    }
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Who makes its nodes.
    pub provider: ProviderName,
    /// The provider in a person's words, with the kind of the object: `Cluster API MachineDeployment`.
    pub description: String,
    /// Its name, as it is typed.
    pub name: String,
    /// Another name under which people know it.
    pub alias: Option<String>,
    /// The object that is the pool; `None`: only its nodes are.
    pub object: Option<Address>,
    /// The uid of that object; of a pool that is a list entry, that of its object and the entry's name.
    pub uid: String,
    /// The label that is all that its nodes have in common; `None`: an object tells which nodes are its own.
    pub label: Option<NodeLabel>,
    /// What brings its nodes.
    pub supply: Supply,
    /// How many nodes it is to have; `None`: as many as are there.
    pub size: Option<u32>,
    /// Who changes its size: `Cluster Autoscaler, 1 to 5`.
    pub scaled_by: Vec<String>,
    /// Whether its provider has looked at it and makes nodes of it.
    pub is_accepted: bool,
    /// What is wrong with it, worst first.
    pub troubles: Vec<Trouble>,
    /// Whose copy it is.
    pub copy_of: Option<CopyMark>,
    /// Whether its growth was stopped by this program.
    pub is_frozen: bool,
}

impl Pool {
    /// Returns the words that are true of it in marks.
    pub fn source(&self) -> Source {
        let kind = self.object.as_ref().map_or_else(|| "label".to_owned(), |object| object.resource.kind.clone());
        let namespace = self.object.as_ref().and_then(|object| object.namespace.clone());
        Source { kind, namespace, name: self.name.clone(), alias: self.alias.clone(), uid: self.uid.clone() }
    }

    /// Returns the pool as a sentence names it: `MachineDeployment x/blue`.
    pub fn title(&self) -> String {
        self.object.as_ref().map_or_else(|| format!("pool {}", self.name), ToString::to_string)
    }

    /// Returns the name that people know it by.
    pub fn known_as(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// Whether nodes come to it when pods find no room on those that it has.
    pub fn grows(&self) -> bool {
        !self.is_frozen && (self.supply == Supply::OnDemand || !self.scaled_by.is_empty())
    }

    /// Whether somebody who types `name` may mean it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alias.as_deref() == Some(name)
    }
}

/// One machine of a pool, and the node that it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the provider calls it; a node's name where it has no other.
    pub machine: String,
    /// Its node, once it has joined.
    pub node: Option<NodeName>,
    /// What the provider says that it is doing: `Provisioning`.
    pub phase: Option<String>,
    /// Whether the provider is removing it.
    pub is_leaving: bool,
    /// Whether somebody has marked it as the first that goes when the pool shrinks.
    pub goes_first: bool,
}

impl Member {
    /// A node that is all that is known of its machine.
    pub fn of_node(name: NodeName) -> Self {
        Self { machine: name.0.clone(), node: Some(name), phase: None, is_leaving: false, goes_first: false }
    }
}
