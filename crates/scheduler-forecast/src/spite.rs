//! The search for a way in which the others keep one pod from every place: what no trial hit upon, this does, as far as there
//! is time.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::Uid;

use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::judge::Judgement;
use crate::node::Node;
use crate::outlook::{Alone, Move, Question};
use crate::resident::Resident;
use crate::trial::{put_back, take};

/// How many times nodes are asked in all searches of one outlook.
const QUESTIONS: usize = 1_000_000;

/// Searches for the sake of several pods, with one allowance of time.
pub(crate) struct Search<'a> {
    alone: &'a [Alone],
    question: &'a Question<'a>,
    left: usize,
    /// For each move the first one that is like it: the pods of one workload can be exchanged for each other.
    likes: Vec<usize>,
    /// What was found, by the first of those that are alike.
    found: BTreeMap<usize, bool>,
}

impl<'a> Search<'a> {
    /// Begins.
    pub(crate) fn new(alone: &'a [Alone], question: &'a Question<'a>, cluster: &Cluster) -> Self {
        let mut likes: Vec<usize> = Vec::new();
        for (index, one) in question.moves.iter().enumerate() {
            let is_like =
                |first: &usize| question.moves.get(*first).is_some_and(|first| are_alike(first, one, cluster));
            let first = likes.iter().enumerate().filter(|(at, first)| at == *first).map(|(at, _)| at).find(is_like);
            likes.push(first.unwrap_or(index));
        }
        Self { alone, question, left: QUESTIONS, likes, found: BTreeMap::new() }
    }

    /// The first move that is like this one.
    pub(crate) fn like(&self, index: usize) -> usize {
        self.likes.get(index).copied().unwrap_or(index)
    }

    /// Whether a way was found that leaves this pod without a place.
    pub(crate) fn keeps_off(&mut self, index: usize, cluster: &mut Cluster) -> bool {
        let like = self.like(index);
        if let Some(found) = self.found.get(&like) {
            return *found;
        }
        let found = self.looks_for(index, cluster);
        self.found.insert(like, found);
        found
    }

    fn looks_for(&mut self, index: usize, cluster: &mut Cluster) -> bool {
        let Some(one) = self.question.moves.get(index) else { return false };
        // Each gets its share, so that a hard case does not use all up.
        let share = self.left / (self.alone.len() - index).max(1);
        let mut hunt = Hunt { search: self, index, one, left: share, seen: BTreeSet::new(), placed: Vec::new() };
        // The old pod may be there until the others have gone, or go before any of them.
        let mut found = hunt.goes_on(cluster);
        if !found && !one.stays {
            hunt.seen.clear();
            let old = take(cluster, one);
            found = hunt.goes_on(cluster);
            put_back(cluster, one, old);
        }
        let used = share.saturating_sub(hunt.left);
        self.left = self.left.saturating_sub(used);
        found
    }
}

/// Whether two moves differ in nothing but names: the pods that come, and those that go.
fn are_alike(one: &Move, other: &Move, cluster: &Cluster) -> bool {
    let nameless = |resident: &Resident| Resident { uid: Uid::default(), name: String::new(), ..resident.clone() };
    let coming = |is: &Move| Candidate { resident: nameless(&is.candidate.resident), ..is.candidate.clone() };
    let going = |is: &Move| {
        let mut residents = cluster.node(&is.from).into_iter().flat_map(Node::residents);
        residents.find(|resident| resident.uid == is.pod).map(nameless)
    };
    one.stays == other.stays && one.from == other.from && coming(one) == coming(other) && going(one) == going(other)
}

/// The search for one pod.
struct Hunt<'s, 'a> {
    search: &'s Search<'a>,
    index: usize,
    one: &'s Move,
    left: usize,
    /// The ways that were gone, as sets of places and of what the moves there are like.
    seen: BTreeSet<Vec<(usize, usize)>>,
    placed: Vec<(usize, usize)>,
}

impl Hunt<'_, '_> {
    fn goes_on(&mut self, cluster: &mut Cluster) -> bool {
        let mut key: Vec<_> = self.placed.iter().map(|(placed, node)| (self.search.like(*placed), *node)).collect();
        key.sort_unstable();
        if self.left == 0 || !self.seen.insert(key) {
            return false;
        }
        let own = self.open_to_it(cluster);
        if own.is_empty() && self.stays_out(cluster) {
            return true;
        }
        let mut next = BTreeSet::new();
        for other in 0..self.search.alone.len() {
            let is_placed = other == self.index || self.placed.iter().any(|(placed, _)| *placed == other);
            if is_placed || !next.insert(self.search.like(other)) {
                continue;
            }
            let Some(is) = self.search.question.moves.get(other) else { continue };
            let early = if is.stays { Vec::new() } else { take(cluster, is) };
            let mut nodes = self.open(other, cluster);
            // First where it hurts.
            nodes.sort_by_key(|node| !own.contains(node));
            for node in nodes {
                let late = place(other, is, node, cluster);
                self.placed.push((other, node));
                let found = self.goes_on(cluster);
                self.placed.pop();
                unplace(other, is, node, late, cluster);
                if found || self.left == 0 {
                    put_back(cluster, is, early);
                    return found;
                }
            }
            put_back(cluster, is, early);
        }
        false
    }

    /// The nodes that take a pod of the run now.
    fn open(&mut self, index: usize, cluster: &Cluster) -> Vec<usize> {
        let (Some(alone), Some(one)) = (self.search.alone.get(index), self.search.question.moves.get(index)) else {
            return Vec::new();
        };
        self.left = self.left.saturating_sub(alone.possible.len() + 1);
        let judgement = Judgement::prepare(&one.candidate, cluster);
        let takes_it = |place: &usize| cluster.at(*place).is_some_and(|node| judgement.rejection(node).is_none());
        alone.possible.iter().copied().filter(takes_it).collect()
    }

    /// The nodes that take the pod itself now.
    fn open_to_it(&mut self, cluster: &mut Cluster) -> Vec<usize> {
        let old = if self.one.stays { Vec::new() } else { take(cluster, self.one) };
        let nodes = self.open(self.index, cluster);
        put_back(cluster, self.one, old);
        nodes
    }

    /// Whether the pod is out also when all others have gone where they can.
    fn stays_out(&mut self, cluster: &mut Cluster) -> bool {
        let mut rest = Vec::new();
        let mut has_place = false;
        loop {
            let mut has_moved = false;
            for other in 0..self.search.alone.len() {
                let is_placed = self.placed.iter().any(|(placed, _)| *placed == other)
                    || rest.iter().any(|(placed, _, _, _): &(usize, usize, _, _)| *placed == other);
                let Some(is) = self.search.question.moves.get(other).filter(|_| !is_placed && other != self.index)
                else {
                    continue;
                };
                let early = if is.stays { Vec::new() } else { take(cluster, is) };
                if let Some(node) = self.open(other, cluster).into_iter().next() {
                    let late = place(other, is, node, cluster);
                    rest.push((other, node, early, late));
                    has_moved = true;
                } else {
                    put_back(cluster, is, early);
                }
            }
            has_place = has_place || !self.open_to_it(cluster).is_empty();
            if has_place || !has_moved {
                break;
            }
        }
        for (other, node, early, late) in rest.into_iter().rev() {
            if let Some(is) = self.search.question.moves.get(other) {
                unplace(other, is, node, late, cluster);
                put_back(cluster, is, early);
            }
        }
        !has_place
    }
}

fn marker(index: usize) -> Uid {
    Uid(format!("hunted/{index}"))
}

/// Puts the new pod on its node, and takes the old one away if it has stayed until now.
fn place(index: usize, one: &Move, node: usize, cluster: &mut Cluster) -> Vec<Resident> {
    cluster.put(node, Resident { uid: marker(index), ..one.candidate.resident.clone() });
    take(cluster, one)
}

fn unplace(index: usize, one: &Move, node: usize, old: Vec<Resident>, cluster: &mut Cluster) {
    put_back(cluster, one, old);
    cluster.remove(node, |resident| resident.uid == marker(index));
}
