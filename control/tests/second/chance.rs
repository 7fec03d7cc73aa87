//! Random numbers from a seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

/// That of `PUNKTFUNK_SEED`, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var("PUNKTFUNK_SEED") {
        Ok(seed) => seed.parse().expect("PUNKTFUNK_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    }
}

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.bits() % (range.end() - range.start() + 1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.within(0..=length as u64 - 1) as usize
    }

    /// True so many times of a hundred.
    pub(crate) fn percent(&mut self, times: u64) -> bool {
        self.bits() % 100 < times
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.bits() as u8).collect()
    }

    pub(crate) fn secret(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.bits() as u8)
    }

    /// No element moves by more than `reach` places.
    pub(crate) fn shuffle<T>(&mut self, items: &mut Vec<T>, reach: u64) {
        let mut keyed: Vec<(u64, T)> = items
            .drain(..)
            .enumerate()
            .map(|(at, item)| (at as u64 + self.within(0..=reach), item))
            .collect();
        keyed.sort_by_key(|(at, _)| *at);
        items.extend(keyed.into_iter().map(|(_, item)| item));
    }
}
