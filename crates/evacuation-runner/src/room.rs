//! What pods take of the nodes, and what those that are to leave ask of others: one list of all pods.

use std::collections::{BTreeMap, BTreeSet};

use api_access::ApiAccess;
use cluster_model::api::core;
use cluster_model::demand::Demand;
use cluster_model::identity::{NodeName, Uid};
use cluster_model::resources::Resources;
use kube::Api;
use kube::api::ListParams;

use crate::observe::{ListError, each_page};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// What the pods of the whole cluster take of each node.
    pub taken: BTreeMap<NodeName, Resources>,
    /// What each pod on the nodes that were asked for needs of the next one.
    pub demands: BTreeMap<Uid, Demand>,
}

/// Looks at all pods that have not ended; those on `leaving` are told one by one.
pub async fn look(access: &ApiAccess, leaving: &BTreeSet<NodeName>) -> Result<Room, ListError> {
    let mut room = Room::default();
    let pods = Api::<core::Pod>::all(access.client.clone());
    let living = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    each_page(access, &pods, None, &living, |pod| {
        let Some((spec, uid)) = pod.spec.zip(pod.metadata.uid) else { return };
        let Some(node) = spec.node_name.as_deref().map(NodeName::from) else { return };
        if leaving.contains(&node) {
            room.demands.insert(Uid(uid), Demand::from(&spec));
        }
        room.taken.entry(node).or_default().add(&Resources::of_pod(&spec));
    })
    .await?;
    Ok(room)
}
