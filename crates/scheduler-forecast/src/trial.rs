//! Tries: all moves of a run, in one order, with one way to choose among the nodes that take a pod.

use std::collections::BTreeSet;

use cluster_model::identity::Uid;

use crate::cluster::Cluster;
use crate::judge::Judgement;
use crate::node::Node;
use crate::outlook::{Alone, Move, Question, free};
use crate::resident::Resident;

/// How many times nodes are asked in all, so that a plan is made in a second or two.
const QUESTIONS: usize = 2_000_000;
/// How many tries are made where there is time, besides one against each pod.
const MOST_TRIALS: usize = 24;
/// How many are made in any case: each of the first is of another kind.
const FEWEST_TRIALS: usize = 4;

/// How a node is chosen.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The one with the most room left, as the scheduler likes it.
    Roomiest,
    /// The one with the least.
    Fullest,
    /// Any.
    Lot,
    /// The one where this other pod could have gone and has the least room left; else any that it cannot use.
    Spite(usize),
}

/// One try.
#[derive(Clone, Debug)]
struct Trial {
    order: Vec<usize>,
    choice: Choice,
    /// Whether the old pods all stay until every new one has its place, as when they are handed over at once.
    keeps_all: bool,
    seed: u64,
}

/// What came of the tries.
#[derive(Debug)]
pub(crate) struct Tried {
    /// How many there were.
    pub(crate) trials: usize,
    found: Vec<usize>,
    /// Those that found no place in the try that went best.
    pub(crate) left_over: Vec<usize>,
}

impl Tried {
    /// Whether it was tried, and found none in any.
    pub(crate) fn never_found(&self, index: usize) -> bool {
        self.trials > 0 && self.found(index) == 0
    }

    /// In how many tries this one found a place.
    pub(crate) fn found(&self, index: usize) -> usize {
        self.found.get(index).copied().unwrap_or(0)
    }
}

/// Makes the tries; none where it is known of every pod that it finds a place.
pub(crate) fn try_all(
    alone: &[Alone],
    safe: &BTreeSet<usize>,
    cluster: &mut Cluster,
    question: &Question<'_>,
) -> Tried {
    let mut tried = Tried { trials: 0, found: vec![0; alone.len()], left_over: Vec::new() };
    if safe.len() == alone.len() {
        return tried;
    }
    let mut best: Option<Vec<usize>> = None;
    for trial in plan(alone, question.moves) {
        let placed = run(&trial, alone, cluster, question);
        tried.trials += 1;
        tried.found.iter_mut().zip(&placed).for_each(|(found, is_placed)| *found += usize::from(*is_placed));
        let left: Vec<_> = (0..placed.len()).filter(|index| placed.get(*index) == Some(&false)).collect();
        if best.as_ref().is_none_or(|best| left.len() < best.len()) {
            best = Some(left);
        }
    }
    tried.left_over = best.unwrap_or_default();
    tried
}

/// Whether all find places when the largest comes first.
pub(crate) fn fits(alone: &[Alone], cluster: &mut Cluster, question: &Question<'_>) -> bool {
    let mut order: Vec<usize> = (0..alone.len()).collect();
    order.sort_by_key(|index| question.moves.get(*index).map(|one| -one.candidate.resident.requests.memory));
    let trial = Trial { order, choice: Choice::Fullest, keeps_all: false, seed: 1 };
    run(&trial, alone, cluster, question).into_iter().all(|is_placed| is_placed)
}

fn plan(alone: &[Alone], moves: &[Move]) -> Vec<Trial> {
    let questions: usize = alone.iter().map(|one| one.possible.len()).sum();
    let number = (QUESTIONS / questions.max(1)).clamp(FEWEST_TRIALS, MOST_TRIALS + alone.len());
    let all: Vec<usize> = (0..moves.len()).collect();
    let sized = |sign: i64| {
        let mut order = all.clone();
        order.sort_by_key(|index| moves.get(*index).map(|one| sign * one.candidate.resident.requests.memory));
        order
    };
    let reversed: Vec<usize> = all.iter().rev().copied().collect();
    let trial = |order: Vec<usize>, choice, keeps_all, seed| Trial { order, choice, keeps_all, seed };
    let mut trials = vec![
        trial(all.clone(), Choice::Roomiest, true, 1),
        trial(reversed, Choice::Fullest, false, 2),
        trial(sized(1), Choice::Fullest, true, 3),
        trial(sized(-1), Choice::Roomiest, false, 4),
    ];
    // Each pod once last, with all others in its way.
    for last in all.iter().copied().take(number.saturating_sub(MOST_TRIALS)) {
        let mut order: Vec<_> = all.iter().copied().filter(|index| *index != last).collect();
        order.push(last);
        trials.push(trial(order, Choice::Spite(last), last % 2 == 0, 5));
    }
    let mut lot = Lot(11);
    let mut seed = 100;
    while trials.len() < number {
        let mut order = all.clone();
        lot.shuffle(&mut order);
        seed += 1;
        let choice = if seed % 3 == 0 { Choice::Fullest } else { Choice::Lot };
        trials.push(trial(order, choice, seed % 2 == 0, seed));
    }
    trials
}

/// Makes one try, and tells which of the moves found a place. What finds none at once is asked again whenever others have
/// moved, as the scheduler does.
fn run(trial: &Trial, alone: &[Alone], cluster: &mut Cluster, question: &Question<'_>) -> Vec<bool> {
    let mut lot = Lot(trial.seed);
    let mut placed: Vec<Option<usize>> = vec![None; question.moves.len()];
    let mut gone: Vec<Option<Vec<Resident>>> = (0..question.moves.len()).map(|_| None).collect();
    let mut pending = trial.order.clone();
    loop {
        let before = pending.len();
        let mut left = Vec::new();
        for index in pending {
            let (Some(one), Some(alone), Some(old)) =
                (question.moves.get(index), alone.get(index), gone.get_mut(index))
            else {
                continue;
            };
            if !one.stays && old.is_none() {
                *old = Some(take(cluster, one));
            }
            let spited = match trial.choice {
                Choice::Spite(other) if other != index => question.moves.get(other),
                _ => None,
            };
            let Some(node) = choose(one, alone, cluster, trial.choice, spited, &mut lot) else {
                left.push(index);
                continue;
            };
            cluster.put(node, Resident { uid: marker(index), ..one.candidate.resident.clone() });
            if one.stays && !trial.keeps_all {
                *old = Some(take(cluster, one));
            }
            if let Some(placed) = placed.get_mut(index) {
                *placed = Some(node);
            }
        }
        // Those that have been waited for go now.
        let mut has_gone = false;
        for ((one, old), placed) in question.moves.iter().zip(&mut gone).zip(&placed) {
            if placed.is_some() && old.is_none() {
                *old = Some(take(cluster, one));
                has_gone = true;
            }
        }
        let is_stuck = left.len() == before && !has_gone;
        pending = left;
        if pending.is_empty() || is_stuck {
            break;
        }
    }
    for (index, node) in placed.iter().enumerate() {
        if let Some(place) = *node {
            cluster.remove(place, |resident| resident.uid == marker(index));
        }
    }
    for (one, old) in question.moves.iter().zip(gone) {
        put_back(cluster, one, old.unwrap_or_default());
    }
    placed.iter().map(Option::is_some).collect()
}

fn choose(
    one: &Move,
    alone: &Alone,
    cluster: &Cluster,
    choice: Choice,
    spited: Option<&Move>,
    lot: &mut Lot,
) -> Option<usize> {
    let judgement = Judgement::prepare(&one.candidate, cluster);
    let takes_it = |place: &usize| cluster.at(*place).is_some_and(|node| judgement.rejection(node).is_none());
    // Beginning anywhere; of very many nodes only so many are compared, as the scheduler does.
    let (head, tail) = alone.possible.split_at(lot.below(alone.possible.len()));
    let mut open = tail.iter().chain(head).copied().filter(takes_it);
    if let Choice::Lot = choice {
        return open.next();
    }
    let open = open.take(COMPARED);
    let room = |place: usize| cluster.at(place).map(fullness).unwrap_or_default();
    match (choice, spited) {
        (Choice::Fullest, _) => open.max_by_key(|place| room(*place)),
        (Choice::Spite(_), Some(other)) => {
            let theirs = Judgement::prepare(&other.candidate, cluster);
            let use_of = |place: usize| {
                let is_theirs = cluster.at(place).is_some_and(|node| theirs.rejection(node).is_none());
                (is_theirs, room(place))
            };
            open.max_by_key(|place| use_of(*place))
        }
        _ => open.min_by_key(|place| room(*place)),
    }
}

/// How many nodes that take a pod are compared at the most.
const COMPARED: usize = 200;

/// How full a node is, in hundredths of a hundredth, by what it has the least of.
fn fullness(node: &Node) -> i64 {
    let left = free(node);
    let offered = &node.offer.allocatable;
    let taken =
        |whole: i64, left: i64| if whole > 0 { 10_000 - left.saturating_mul(100) / (whole / 100).max(1) } else { 0 };
    let each = [(offered.cpu, left.cpu), (offered.memory, left.memory), (offered.pods, left.pods)];
    each.into_iter().map(|(whole, left)| taken(whole, left)).max().unwrap_or_default()
}

/// The uid of a pod that is only imagined.
fn marker(index: usize) -> Uid {
    Uid(format!("imagined/{index}"))
}

/// Takes the old pod from its node.
pub(crate) fn take(cluster: &mut Cluster, one: &Move) -> Vec<Resident> {
    let place = cluster.place_of(&one.from);
    place.map(|place| cluster.remove(place, |resident| resident.uid == one.pod)).unwrap_or_default()
}

/// Puts it back.
pub(crate) fn put_back(cluster: &mut Cluster, one: &Move, old: Vec<Resident>) {
    for resident in old {
        cluster.place(&one.from, resident);
    }
}

/// Numbers that look random and are the same every time (xorshift).
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one; 0 for 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        self.next().checked_rem(end).and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
    }

    fn shuffle(&mut self, all: &mut [usize]) {
        for last in (1..all.len()).rev() {
            let other = self.below(last + 1);
            all.swap(last, other);
        }
    }
}
