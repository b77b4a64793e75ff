//! The forecast for one pod against the scheduler itself: the replacement really comes, and is put on a node that the
//! forecast names; or on none, where it names none.

use std::collections::BTreeMap;

use e2e::sample::{say, seed};
use e2e::scheduling::dice::Dice;
use e2e::{ControlPlane, Namespace};
use futures::{StreamExt, stream};
use scheduler_forecast::Fits;
use tokio::task::LocalSet;

use super::aspects::{ASPECTS, Draw};
use super::sketch::Sketch;
use super::world::{Done, Said, World};

/// How many worlds there are at the same time.
const AT_ONCE: usize = 12;

/// One case.
#[derive(Clone, Copy, Debug)]
struct Case {
    about: &'static str,
    draw: Draw,
    /// Whether it is drawn so that the replacement finds a place.
    fits: bool,
    seed: u64,
}

/// What came of one.
#[derive(Debug)]
struct Outcome {
    said: Said,
    done: Done,
}

impl Case {
    fn all() -> Vec<Self> {
        let both = ASPECTS.iter().flat_map(|(about, draw)| [(*about, *draw, true), (*about, *draw, false)]);
        let numbered = both.zip(seed() * 1000..);
        numbered.map(|((about, draw, fits), seed)| Self { about, draw, fits, seed }).collect()
    }

    async fn run(self) -> Outcome {
        let ns = Namespace::fresh(ControlPlane::shared(), "live").await;
        let mut dice = Dice::new(self.seed);
        let mut sketch = Sketch::open(ns.name(), &mut dice);
        (self.draw)(&mut sketch, &mut dice, self.fits);
        let world = World::make(&ns, &sketch).await;
        let said = world.forecast().await;
        let done = world.replace(said.finds_a_place()).await;
        world.clear().await;
        Outcome { said, done }
    }

    fn named(&self) -> String {
        format!("{} ({}, seed {})", self.about, if self.fits { "fits" } else { "fits nowhere" }, self.seed)
    }
}

impl Said {
    /// Whether the replacement is on a node in the end.
    fn finds_a_place(&self) -> bool {
        !self.nodes.is_empty() || self.fits == Fits::Preempting
    }

    /// What is wrong with what was said; `None`: nothing.
    fn against(&self, done: &Done, was_to_fit: bool) -> Option<String> {
        let is_right = match (self.fits, done) {
            (Fits::Yes, Done::Bound(node)) => self.nodes.contains(node),
            (Fits::Preempting, Done::Bound(_)) => true,
            (Fits::No, Done::Nowhere(_)) => self.nodes.is_empty(),
            (Fits::Depends, Done::Nowhere(_)) => self.nodes.is_empty(),
            _ => false,
        };
        let is_as_drawn = was_to_fit == self.finds_a_place();
        let wrong = if is_right { "is not what was drawn" } else { "differs" };
        (!is_right || !is_as_drawn).then(|| format!("{wrong}: said to fit: {self}; and it is {done}"))
    }
}

#[tokio::test]
async fn a_replacement_goes_to_a_node_that_was_said_to_take_it_or_nowhere_as_was_said() {
    let cases = Case::all();
    let local = LocalSet::new();
    let run = |case: Case| {
        let running = local.spawn_local(case.run());
        async move { (case, running.await) }
    };
    let outcomes: Vec<_> = local.run_until(stream::iter(cases).map(run).buffer_unordered(AT_ONCE).collect()).await;

    let (mut bound, mut nowhere, mut filters, mut wrong) = (0, 0, BTreeMap::<String, usize>::new(), vec![]);
    for (case, outcome) in &outcomes {
        let Ok(Outcome { said, done }) = outcome else {
            wrong.push(format!("{}: came to no end", case.named()));
            continue;
        };
        match done {
            Done::Bound(_) => bound += 1,
            Done::Nowhere(_) => {
                nowhere += 1;
                said.filters.iter().for_each(|filter| *filters.entry(filter.clone()).or_default() += 1);
            }
        }
        wrong.extend(said.against(done, case.fits).map(|what| format!("{}: {what}", case.named())));
    }
    say(&format!(
        "{} replacements: {bound} bound, {nowhere} nowhere ({filters:?}), {} differences",
        outcomes.len(),
        wrong.len()
    ));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(outcomes.len() >= 50 && nowhere * 5 >= outcomes.len() * 2, "{bound} bound, {nowhere} nowhere");
    assert!(filters.len() >= 10, "too few filters reject: {filters:?}");
}
