//! The outlook for all pods of a run together: whether each finds a place, whatever the scheduler chooses for the others.
//!
//! The scheduler scores the nodes that take a pod, and partly casts lots; so nothing here says where a pod will go. What is
//! said is either proven or was tried: many orders, many ways to choose, and one way that leaves a pod as little as can be.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::{NodeName, Uid};
use cluster_model::resources::Resources;

use crate::bounds;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::judge::Judgement;
use crate::node::Node;
use crate::rejection::{Reason, Rejection};
use crate::spite::Search;
use crate::trial::{self, Tried};

/// How many nodes are named that would take a pod.
const NAMED_NODES: usize = 20;

/// A pod that is to move.
#[derive(Clone, Debug)]
pub struct Move {
    /// The pod that goes.
    pub pod: Uid,
    /// Where it is.
    pub from: NodeName,
    /// The pod that takes its place.
    pub candidate: Candidate,
    /// Whether the old one stays until the new one is Ready.
    pub stays: bool,
}

/// Whether pods find places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// In every order that was tried.
    Yes,
    /// In some; or it was never seen to, and there is no proof that it cannot.
    Depends,
    /// Only if the scheduler drives a pod of lower priority out.
    Preempting,
    /// Proven: it finds none.
    No,
    /// The objects do not tell.
    Unknown,
}

/// What is to be expected of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// Whether it finds a place.
    pub fits: Fits,
    /// The nodes that would take it if it came alone, by name; of many the first.
    pub nodes: Vec<NodeName>,
    /// What is in the way on the others, each with the number of nodes.
    pub reasons: BTreeMap<Rejection, usize>,
    /// What cannot be known about it.
    pub unknown: Vec<String>,
    /// Namespace and name of a pod that would have to go first.
    pub preempts: Option<(String, String)>,
}

/// What is to be expected of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Pod by pod, in the order of the moves.
    pub pods: Vec<Prospect>,
    /// Whether all of them find places.
    pub all: Fits,
    /// The moves that found none in the try that went best, if that was not all of them.
    pub left_over: Vec<usize>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The moves, in the order in which they would begin.
    pub moves: &'a [Move],
    /// The nodes that are emptied, all of them cordoned.
    pub leaving: &'a BTreeSet<NodeName>,
    /// The only nodes that count; `None`: all that are not emptied.
    pub onto: Option<&'a BTreeSet<NodeName>>,
}

impl Question<'_> {
    /// Whether a pod that goes there is where it should be.
    pub fn counts(&self, node: &NodeName) -> bool {
        !self.leaving.contains(node) && self.onto.is_none_or(|onto| onto.contains(node))
    }
}

/// Tells what is to be expected. The cluster is changed to try things, and given back as it was.
pub fn outlook(cluster: &mut Cluster, question: &Question<'_>) -> Outlook {
    let alone: Vec<Alone> = question.moves.iter().map(|one| Alone::look(one, cluster, question)).collect();
    let proven = bounds::proven(&alone, cluster, question);
    let tried = trial::try_all(&alone, &proven.safe, cluster, question);
    let kept_off = kept_off(&alone, &proven.safe, &tried, cluster, question);
    let mut pods: Vec<_> = alone
        .into_iter()
        .zip(question.moves)
        .enumerate()
        .map(|(index, (alone, one))| {
            let unknown = cluster.unknown(&one.candidate);
            let is_never = proven.hopeless.contains(&index);
            let preempts =
                if is_never || tried.never_found(index) { victim(&one.candidate, cluster, question) } else { None };
            let fits = match () {
                () if is_never && preempts.is_some() => Fits::Preempting,
                () if is_never => Fits::No,
                () if !unknown.is_empty() => Fits::Unknown,
                () if kept_off.contains(&index) => Fits::Depends,
                () if proven.safe.contains(&index) || tried.found(index) == tried.trials => Fits::Yes,
                () if tried.never_found(index) && preempts.is_some() => Fits::Preempting,
                () => Fits::Depends,
            };
            let Alone { nodes, reasons, .. } = alone;
            let named = nodes.iter().filter_map(|place| cluster.at(*place)).map(|node| node.name.clone());
            Prospect { fits, nodes: named.take(NAMED_NODES).collect(), reasons, unknown, preempts }
        })
        .collect();
    let any = |fits: Fits| pods.iter().any(|pod| pod.fits == fits);
    let all = match () {
        () if any(Fits::No) || (proven.exceeds && !any(Fits::Preempting)) => Fits::No,
        () if any(Fits::Preempting) => Fits::Preempting,
        () if any(Fits::Depends) || proven.exceeds => Fits::Depends,
        () if any(Fits::Unknown) => Fits::Unknown,
        () => Fits::Yes,
    };
    if proven.exceeds {
        // Not all of them fit; which of them does not is the scheduler's choice.
        pods.iter_mut().filter(|pod| pod.fits == Fits::Yes).for_each(|pod| pod.fits = Fits::Depends);
    }
    Outlook { pods, all, left_over: tried.left_over }
}

/// Those of the pods that found a place in every try, and for which a way was found that leaves them without one.
fn kept_off(
    alone: &[Alone],
    safe: &BTreeSet<usize>,
    tried: &Tried,
    cluster: &mut Cluster,
    question: &Question<'_>,
) -> BTreeSet<usize> {
    if safe.len() == alone.len() {
        return BTreeSet::new();
    }
    let mut search = Search::new(alone, question, cluster);
    let is_always = |index: &usize| tried.found(*index) == tried.trials && !safe.contains(index);
    // What befell one of several that are alike can befall each of them.
    let unlucky = (0..alone.len()).filter(|index| tried.found(*index) < tried.trials);
    let unlucky: BTreeSet<_> = unlucky.map(|index| search.like(index)).collect();
    (0..alone.len())
        .filter(is_always)
        .filter(|index| unlucky.contains(&search.like(*index)) || search.keeps_off(*index, cluster))
        .collect()
}

/// What is found about a pod that comes alone.
#[derive(Debug)]
pub(crate) struct Alone {
    /// The positions of the nodes that take it now.
    pub(crate) nodes: Vec<usize>,
    /// Those of the nodes on which nothing is in the way that others cannot change.
    pub(crate) possible: Vec<usize>,
    /// What is in the way on the others.
    pub(crate) reasons: BTreeMap<Rejection, usize>,
    /// Whether something is in the way on every node, and nothing that the run does can change that.
    pub(crate) is_hopeless: bool,
}

impl Alone {
    pub(crate) fn look(one: &Move, cluster: &mut Cluster, question: &Question<'_>) -> Self {
        let own = if one.stays { Vec::new() } else { trial::take(cluster, one) };
        let mut all = Self { nodes: Vec::new(), possible: Vec::new(), reasons: BTreeMap::new(), is_hopeless: false };
        let mut open = Vec::new();
        let judgement = Judgement::prepare(&one.candidate, cluster);
        for (place, node) in cluster.positions().filter(|(_, node)| question.counts(&node.name)) {
            match judgement.rejection(node) {
                None => {
                    all.nodes.push(place);
                    all.possible.push(place);
                }
                Some(rejection) => {
                    if hinges_on_others(&rejection.reason) {
                        all.possible.push(place);
                        open.push(place);
                    } else if rejection.reason.passes_with_pods() {
                        all.possible.push(place);
                    }
                    *all.reasons.entry(rejection).or_default() += 1;
                }
            }
        }
        drop(judgement);
        trial::put_back(cluster, one, own);
        all.is_hopeless = all.nodes.is_empty() && bounds::stays_shut(&open, one, cluster, question);
        all
    }
}

/// Whether what becomes of other pods of the run, on other nodes too, can take the reason away. What a node lacks it will
/// lack: to the nodes that are not emptied, pods only come.
fn hinges_on_others(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::ClaimInUse(_) | Reason::Skew(_) | Reason::NotNear(_) | Reason::TooNear(_) | Reason::KeptAway(_)
    )
}

/// A pod of lower priority in whose place this one could come: the scheduler would drive it out.
fn victim(pod: &Candidate, cluster: &mut Cluster, question: &Question<'_>) -> Option<(String, String)> {
    if !pod.may_preempt {
        return None;
    }
    let is_lower = |priority: i32| priority < pod.resident.priority;
    let places: Vec<_> = cluster
        .positions()
        .filter(|(_, node)| question.counts(&node.name) && node.residents().any(|one| is_lower(one.priority)))
        .map(|(place, _)| place)
        .collect();
    places.into_iter().find_map(|place| {
        let gone = cluster.remove(place, |resident| is_lower(resident.priority));
        let takes_it = cluster.at(place).is_some_and(|node| Judgement::prepare(pod, cluster).rejection(node).is_none());
        let first = gone.iter().min_by_key(|resident| resident.priority);
        let first = first.map(|resident| (resident.namespace.clone(), resident.name.clone()));
        for resident in gone {
            cluster.put(place, resident);
        }
        first.filter(|_| takes_it)
    })
}

/// What is free on a node.
pub(crate) fn free(node: &Node) -> Resources {
    node.offer.allocatable.beside(node.requested())
}

#[cfg(test)]
mod tests;
