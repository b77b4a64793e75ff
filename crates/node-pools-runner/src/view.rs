//! The inventory, kept current by watches: the providers' kinds and the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use cluster_model::api::core as v1;
use futures::stream::SelectAll;
use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use node_pools::address::Resource;
use node_pools::inventory::Inventory;
use node_pools::node::PoolNode;
use serde_json::Value;

use crate::Places;

/// What came of a watch.
enum News {
    Object(Resource, Box<watcher::Result<Event<DynamicObject>>>),
    Node(Box<watcher::Result<Event<v1::Node>>>),
}

/// What a watch has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The inventory may be another now.
    Change,
    /// A watch stumbled; it goes on by itself.
    Trouble(String),
}

/// The inventory and its watches.
pub struct PoolView {
    inventory: Inventory,
    news: SelectAll<Pin<Box<dyn Stream<Item = News>>>>,
    /// A list that is coming in, page by page; it replaces what is known once it is whole.
    coming: BTreeMap<Resource, Vec<Value>>,
    coming_nodes: Vec<PoolNode>,
    /// The watches that have brought their first list; `None` is that of the nodes.
    first: BTreeSet<Option<Resource>>,
    watches: usize,
}

impl PoolView {
    /// Begins with what was read, and watches the kinds of these resources and all nodes.
    pub fn new(places: &Places, inventory: Inventory, resources: &[Resource]) -> Self {
        let mut news: SelectAll<Pin<Box<dyn Stream<Item = News>>>> = SelectAll::new();
        for resource in resources {
            let api_resource = ApiResource {
                group: resource.group.clone(),
                version: resource.version.clone(),
                api_version: resource.api_version(),
                kind: resource.kind.clone(),
                plural: resource.plural.clone(),
            };
            let api = Api::<DynamicObject>::all_with(places.management.client.clone(), &api_resource);
            let resource = resource.clone();
            let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
            news.push(Box::pin(events.map(move |event| News::Object(resource.clone(), Box::new(event)))));
        }
        let nodes = Api::<v1::Node>::all(places.workload.client.clone());
        news.push(Box::pin(
            watcher::watcher(nodes, watcher::Config::default())
                .default_backoff()
                .map(|event| News::Node(Box::new(event))),
        ));
        Self {
            inventory,
            news,
            coming: BTreeMap::new(),
            coming_nodes: Vec::new(),
            first: BTreeSet::new(),
            watches: resources.len() + 1,
        }
    }

    /// Returns what is known now.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Whether every watch has brought its first list.
    pub fn is_synced(&self) -> bool {
        self.first.len() >= self.watches
    }

    /// Returns what is known now, to add to it what is not watched.
    pub fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// Waits for the next change, and takes in all that have come with it.
    pub async fn changed(&mut self) -> Seen {
        loop {
            let Some(news) = self.news.next().await else { return std::future::pending().await };
            if let Some(seen) = self.take(news) {
                return seen;
            }
        }
    }

    fn take(&mut self, news: News) -> Option<Seen> {
        match news {
            News::Object(resource, event) => match *event {
                Ok(event) => self.take_object(resource, event),
                Err(error) => Some(Seen::Trouble(error.to_string())),
            },
            News::Node(event) => match *event {
                Ok(event) => self.take_node(event),
                Err(error) => Some(Seen::Trouble(error.to_string())),
            },
        }
    }

    fn take_object(&mut self, resource: Resource, event: Event<DynamicObject>) -> Option<Seen> {
        match event {
            Event::Init => {
                self.coming.insert(resource, Vec::new());
                return None;
            }
            Event::InitApply(object) => {
                let object = serde_json::to_value(object).unwrap_or_default();
                self.coming.entry(resource).or_default().push(object);
                return None;
            }
            Event::InitDone => {
                self.first.insert(Some(resource.clone()));
                self.inventory.forget_all(&resource);
                for object in self.coming.remove(&resource).unwrap_or_default() {
                    self.inventory.put(&resource, object);
                }
            }
            Event::Apply(object) => self.inventory.put(&resource, serde_json::to_value(object).unwrap_or_default()),
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.inventory.forget(&resource.at(object.metadata.namespace.as_deref(), &name));
            }
        }
        Some(Seen::Change)
    }

    fn take_node(&mut self, event: Event<v1::Node>) -> Option<Seen> {
        match event {
            Event::Init => {
                self.coming_nodes.clear();
                return None;
            }
            Event::InitApply(node) => {
                self.coming_nodes.push(PoolNode::from(&node));
                return None;
            }
            Event::InitDone => {
                self.first.insert(None);
                self.inventory.forget_nodes();
                for node in std::mem::take(&mut self.coming_nodes) {
                    self.inventory.put_node(node);
                }
            }
            Event::Apply(node) => self.inventory.put_node(PoolNode::from(&node)),
            Event::Delete(node) => self.inventory.forget_node(&node.metadata.name.unwrap_or_default()),
        }
        Some(Seen::Change)
    }
}
