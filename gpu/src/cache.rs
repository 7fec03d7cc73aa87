//! What stays imported: the buffers that a producer sends again and again, found by their keys.
//!
//! Promises: at most a fixed count is kept; the one that was used longest ago makes room; nothing is let go before the GPU
//! is done with it. Refuses: to look at what it keeps.

/// Kept things, each under its key, with the value of the timeline at which the GPU is done with it.
#[derive(Debug)]
pub(crate) struct Cache<K, T> {
    most: usize,
    kept: Vec<Kept<K, T>>,
    /// What was let go of while the GPU had still to do with it.
    leaving: Vec<Kept<K, T>>,
}

#[derive(Debug)]
struct Kept<K, T> {
    key: K,
    value: T,
    /// The last use's place in their order.
    used: u64,
    /// What the timeline comes to when the last use is over.
    busy_until: u64,
}

impl<K: Copy + PartialEq, T> Cache<K, T> {
    /// One for so many things.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Vec::with_capacity(most), leaving: Vec::new() }
    }

    /// What is kept under a key.
    pub(crate) fn find(&self, key: K) -> Option<&T> {
        self.kept.iter().find(|kept| kept.key == key).map(|kept| &kept.value)
    }

    /// Keeps something under a key that nothing is kept under; true when something had to make room.
    pub(crate) fn insert(&mut self, key: K, value: T) -> bool {
        let is_full = self.kept.len() >= self.most;
        if is_full {
            let oldest = (0..self.kept.len()).min_by_key(|index| self.kept[*index].used);
            self.leaving.extend(oldest.map(|index| self.kept.swap_remove(index)));
        }
        self.kept.push(Kept { key, value, used: 0, busy_until: 0 });
        is_full
    }

    /// Notes a use that is over when the timeline comes to `value`.
    pub(crate) fn note_use(&mut self, key: K, value: u64) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) {
            (kept.used, kept.busy_until) = (value, value);
        }
    }

    /// Lets go of what is kept under a key.
    pub(crate) fn forget(&mut self, key: K) {
        if let Some(index) = self.kept.iter().position(|kept| kept.key == key) {
            self.leaving.push(self.kept.swap_remove(index));
        }
    }

    /// What can go, now that the timeline is at `value`.
    pub(crate) fn take_left(&mut self, value: u64) -> impl Iterator<Item = T> {
        self.leaving.extract_if(.., move |kept| kept.busy_until <= value).map(|kept| kept.value)
    }

    /// All of it, when the GPU is done with everything.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.kept.drain(..).chain(self.leaving.drain(..)).map(|kept| kept.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_one_used_longest_ago_makes_room_and_stays_until_the_gpu_is_done() {
        let mut cache = Cache::new(2);
        assert!(!cache.insert(1, "a"));
        cache.note_use(1, 5);
        assert!(!cache.insert(2, "b"));
        cache.note_use(2, 6);
        cache.note_use(1, 7);
        assert!(cache.insert(3, "c"));
        assert_eq!((cache.find(1), cache.find(2), cache.find(3)), (Some(&"a"), None, Some(&"c")));
        assert_eq!(cache.take_left(5).count(), 0);
        assert_eq!(cache.take_left(6).collect::<Vec<_>>(), ["b"]);
        cache.forget(1);
        cache.forget(9);
        assert_eq!(cache.take_left(6).count(), 0);
        assert_eq!(cache.drain().collect::<Vec<_>>(), ["c", "a"]);
    }

    proptest! {
        #[test]
        fn nothing_goes_early_and_nothing_is_lost(
            uses in prop::collection::vec((0_u64..8, any::<bool>(), 0_u64..4), 1..60),
        ) {
            let mut cache = Cache::new(3);
            let (mut made, mut gone, mut value) = (0, 0, 0);
            let mut busy = std::collections::HashMap::new();
            for (key, is_forgotten, behind) in uses {
                if is_forgotten {
                    cache.forget(key);
                } else {
                    value += 1;
                    if cache.find(key).is_none() {
                        made += 1;
                        cache.insert(key, made);
                    }
                    busy.insert(*cache.find(key).unwrap(), value);
                    cache.note_use(key, value);
                }
                let done = value.saturating_sub(behind);
                for thing in cache.take_left(done) {
                    prop_assert!(busy[&thing] <= done);
                    gone += 1;
                }
                prop_assert!(cache.kept.len() <= 3);
            }
            prop_assert_eq!(gone + cache.drain().count(), made);
        }
    }
}
