//! Chance that can be repeated: the same seed gives the same values on every machine and with every toolchain.

/// A sequence of drawn values (SplitMix64, by its published constants).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Starts the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("a number below a usize is one")
    }

    /// Returns true in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// Draws one of them.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        let at = self.below(among.len());
        among.get(at).expect("the number is below the length")
    }

    /// Draws some of them, perhaps none, in their order.
    pub fn some<T: Clone>(&mut self, among: &[T], percent: u64) -> Vec<T> {
        among.iter().filter(|_| self.chance(percent)).cloned().collect()
    }

    /// Draws at least one of them, in their order.
    pub fn at_least_one<T: Clone>(&mut self, among: &[T]) -> Vec<T> {
        let drawn = self.some(among, 40);
        if drawn.is_empty() { vec![self.pick(among).clone()] } else { drawn }
    }
}
