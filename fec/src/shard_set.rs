//! Which shards of a block are there: a set of shard numbers, reused from block to block.

use std::ops::Range;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of shard numbers below a fixed capacity. Nothing allocates after [`ShardSet::with_capacity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSet {
    words: Box<[u64]>,
    capacity: usize,
    count: usize,
}

impl ShardSet {
    /// An empty set for the shard numbers `0..capacity`.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> ShardSet {
        ShardSet { words: vec![0; capacity.div_ceil(WORD_BITS)].into_boxed_slice(), capacity, count: 0 }
    }

    /// Takes every shard out.
    pub fn clear(&mut self) {
        self.words.fill(0);
        self.count = 0;
    }

    /// Puts shard `index` in; true when it was not there before.
    ///
    /// # Panics
    /// When `index` is not below the capacity: a shard number from the wire is checked against its block's shape before.
    pub fn insert(&mut self, index: usize) -> bool {
        assert!(index < self.capacity, "shard {index} in a set of {}", self.capacity);
        let word = &mut self.words[index / WORD_BITS];
        let bit = 1_u64 << (index % WORD_BITS);
        let newly = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(newly);
        newly
    }

    /// Whether shard `index` is in; false at and above the capacity.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        index < self.capacity && self.words[index / WORD_BITS] >> (index % WORD_BITS) & 1 == 1
    }

    /// Shards in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no shard is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The shard numbers that the set can hold are `0..capacity`.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many shards of `range` are in. Numbers at and above the capacity are not.
    #[must_use]
    pub fn count_in(&self, range: Range<usize>) -> usize {
        let words = range.start / WORD_BITS..range.end.div_ceil(WORD_BITS).min(self.words.len());
        words.map(|word| (self.words[word] & mask_of(word, &range)).count_ones() as usize).sum()
    }

    /// The shards of `range` that are not in, ascending. Numbers at and above the capacity are missing.
    pub fn missing_in(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let words = range.start / WORD_BITS..range.end.div_ceil(WORD_BITS);
        words.flat_map(move |word| {
            let there = self.words.get(word).copied().unwrap_or(0);
            Bits(!there & mask_of(word, &range)).map(move |bit| word * WORD_BITS + bit)
        })
    }

    /// The shards of `range` that are in, ascending.
    pub fn present_in(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let words = range.start / WORD_BITS..range.end.div_ceil(WORD_BITS).min(self.words.len());
        words.flat_map(move |word| {
            Bits(self.words[word] & mask_of(word, &range)).map(move |bit| word * WORD_BITS + bit)
        })
    }
}

/// The bits of word number `word` that lie in `range`.
fn mask_of(word: usize, range: &Range<usize>) -> u64 {
    let first = word * WORD_BITS;
    let from = range.start.clamp(first, first + WORD_BITS) - first;
    let to = range.end.clamp(first, first + WORD_BITS) - first;
    if from >= to { 0 } else { (u64::MAX >> (WORD_BITS - (to - from))) << from }
}

/// The set bits of a word, ascending.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_tree_set(
            capacity in 1_usize..300,
            inserts in prop::collection::vec(0_usize..300, 0..400),
            start in 0_usize..330,
            length in 0_usize..330,
        ) {
            let range = start..start + length;
            let mut set = ShardSet::with_capacity(capacity);
            let mut oracle = BTreeSet::new();
            for index in inserts.into_iter().filter(|&index| index < capacity) {
                prop_assert_eq!(set.insert(index), oracle.insert(index));
            }
            prop_assert_eq!(set.len(), oracle.len());
            prop_assert_eq!(set.is_empty(), oracle.is_empty());
            prop_assert_eq!(set.count_in(range.clone()), oracle.range(range.clone()).count());
            prop_assert!(set.present_in(range.clone()).eq(oracle.range(range.clone()).copied()));
            prop_assert!(set.missing_in(range.clone()).eq(range.clone().filter(|i| !oracle.contains(i))));
            prop_assert!(range.clone().all(|i| set.contains(i) == oracle.contains(&i)));
            set.clear();
            prop_assert_eq!(set, ShardSet::with_capacity(capacity));
        }
    }

    #[test]
    #[should_panic(expected = "shard 5 in a set of 5")]
    fn a_number_at_the_capacity_panics() {
        ShardSet::with_capacity(5).insert(5);
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "an empty range is what is tested")]
    fn empty_ranges_hold_nothing() {
        let set = ShardSet::with_capacity(70);
        assert_eq!(set.count_in(5..5), 0);
        assert_eq!(set.missing_in(9..2).count(), 0);
        assert_eq!(set.missing_in(64..64).count(), 0);
    }
}
