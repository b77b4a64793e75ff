//! Which request meets which fault: none, one by its number, or many by a seed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::fault::{Fault, RequestKind};

/// Of a hundred requests, so many are tampered with: one of these, while a seeded schedule has faults left.
const RATES: [u64; 2] = [35, 60];

/// At most so many requests at the beginning of a seeded schedule are left alone, so that not all of its faults hit
/// what a run asks before it acts.
const LONGEST_CALM: u64 = 24;

/// Says what is done to each request.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Nothing.
    Calm,
    /// One fault, on the request with this number, from 1.
    At(usize, Fault),
    /// One fault, on the first request whose method and path begin like this.
    First(String, Fault),
    /// Once a request has come whose method and path begin like `since`, this fault on each one that begins like `begin`.
    Since {
        /// How the request begins that is waited for.
        since: String,
        /// How those begin that meet the fault.
        begin: String,
        /// What is done to them.
        fault: Fault,
    },
    /// The same from now on.
    Each(String, Fault),
    /// Many faults, drawn from a seed: see [`Schedule::seeded`].
    Seeded(Seeded),
}

/// The state of a seeded schedule.
#[derive(Clone, Debug)]
pub struct Seeded {
    seed: u64,
    rate: u64,
    calm: u64,
    left: usize,
    seen: BTreeMap<String, u64>,
}

impl Schedule {
    /// Draws up to `faults` faults. What happens to the k-th request of a method and path depends on the seed alone,
    /// however requests overtake each other.
    pub fn seeded(seed: u64, faults: usize) -> Self {
        let drawn = draw(&("schedule", seed));
        let rate = *pick(&RATES, drawn);
        let calm = drawn / 7 % (LONGEST_CALM + 1);
        Self::Seeded(Seeded { seed, rate, calm, left: faults, seen: BTreeMap::new() })
    }

    pub(super) fn decide(&mut self, number: usize, what: &str, kind: RequestKind) -> Option<Fault> {
        match self {
            Self::Calm => None,
            Self::At(at, fault) => (*at == number).then_some(*fault),
            Self::First(begin, fault) => {
                let fault = what.starts_with(&**begin).then_some(*fault)?;
                *self = Self::Calm;
                Some(fault)
            }
            Self::Since { since, begin, fault } => {
                if what.starts_with(&**since) {
                    *self = Self::Each(std::mem::take(begin), *fault);
                }
                None
            }
            Self::Each(begin, fault) => what.starts_with(&**begin).then_some(*fault),
            Self::Seeded(seeded) => seeded.decide(number, what, kind),
        }
    }
}

impl Seeded {
    fn decide(&mut self, number: usize, what: &str, kind: RequestKind) -> Option<Fault> {
        let occurrence = self.seen.entry(what.to_owned()).or_default();
        *occurrence += 1;
        let drawn = draw(&(self.seed, what, *occurrence));
        if self.left == 0 || (number as u64) <= self.calm || drawn % 100 >= self.rate {
            return None;
        }
        self.left -= 1;
        Some(*pick(&choices(kind), drawn / 100))
    }
}

fn draw(from: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    from.hash(&mut hasher);
    hasher.finish()
}

fn pick<T>(choices: &[T], drawn: u64) -> &T {
    let index = usize::try_from(drawn % (choices.len() as u64)).expect("it is less than a length");
    choices.get(index).expect("it is less than the length")
}

/// The faults that a kind of request can meet, each as often as it stands here.
fn choices(kind: RequestKind) -> Vec<Fault> {
    let late = Fault::Delay(Duration::from_millis(700));
    let mut choices = vec![late, Fault::HangUpBefore, Fault::Refuse(500), Fault::Refuse(503), Fault::Refuse(429)];
    match kind {
        RequestKind::Watch => choices.extend([
            Fault::Expired,
            Fault::Expired,
            Fault::CutAfter(Duration::from_millis(50)),
            Fault::CutAfter(Duration::from_millis(400)),
            Fault::CutAfter(Duration::from_millis(1500)),
            Fault::Silent,
        ]),
        RequestKind::Read => choices.extend([Fault::Truncate, Fault::Refuse(504), Fault::NoAnswerBefore]),
        RequestKind::Write => choices.extend([
            Fault::HangUpAfter,
            Fault::HangUpAfter,
            Fault::HangUpAfter,
            Fault::Truncate,
            Fault::Refuse(504),
            Fault::NoAnswerBefore,
            Fault::NoAnswerAfter,
        ]),
    }
    choices
}
