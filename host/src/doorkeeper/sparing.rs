//! Lines about strangers, of whom there may be any number.
//!
//! Promises: the first few of each are said, each by itself, and how many more there were each ten seconds; so whoever
//! comes again and again fills neither the log, nor the time of the thread that writes it. Refuses lines about more than
//! a few in that time: those of the rest are counted together.

use std::time::{Duration, Instant};

/// How long a line counts, and how often it is said how many there were.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lines about one: a person's tries, each with its reason.
const LINES_MAX: u64 = 4;

/// How many have lines of their own: with the sums 41 lines in ten seconds, so that the console's log holds minutes.
const KEYS_MAX: usize = 8;

/// What was said of each in this interval.
#[derive(Debug)]
pub(super) struct Sparing<K> {
    since: Option<Instant>,
    counts: Vec<(K, u64)>,
    others: u64,
}

impl<K: Copy + PartialEq> Sparing<K> {
    pub(super) fn new() -> Self {
        Self { since: None, counts: Vec::new(), others: 0 }
    }

    /// Whether there is a line left about this one.
    #[must_use]
    pub(super) fn may_say(&mut self, key: K, now: Instant) -> bool {
        self.since.get_or_insert(now);
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == key) {
            *count += 1;
            return *count <= LINES_MAX;
        }
        if self.counts.len() < KEYS_MAX {
            self.counts.push((key, 1));
            return true;
        }
        self.others += 1;
        false
    }

    /// When an interval is over, how many lines were not said: of whom, or of all the rest.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<(Option<K>, u64)> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) < INTERVAL) {
            return Vec::new();
        }
        let said = std::mem::replace(self, Self::new());
        let counts = said.counts.into_iter().map(|(key, count)| (Some(key), count.saturating_sub(LINES_MAX)));
        counts.chain([(None, said.others)]).filter(|(_, unsaid)| *unsaid > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_is_four_lines_and_a_sum_and_another_one_is_heard() {
        let (mut lines, now) = (Sparing::new(), Instant::now());
        let said = (0..1_000).filter(|_| lines.may_say('a', now)).count();
        assert_eq!(said, 4);
        assert!(lines.may_say('b', now + Duration::from_secs(9)));
        assert_eq!(lines.poll(now + Duration::from_secs(9)), []);
        assert_eq!(lines.poll(now + INTERVAL), [(Some('a'), 996)]);
        assert_eq!(lines.poll(now + 2 * INTERVAL), [], "said once");
        assert!(lines.may_say('a', now + 2 * INTERVAL));
    }

    #[test]
    fn a_flood_of_many_is_no_more_lines_and_holds_no_more_memory() {
        let (mut lines, now) = (Sparing::new(), Instant::now());
        let said = (0..10_000).filter(|number| lines.may_say(*number, now)).count();
        assert_eq!((said, lines.counts.len()), (KEYS_MAX, KEYS_MAX));
        assert_eq!(lines.poll(now + INTERVAL), [(None, 10_000 - KEYS_MAX as u64)]);
    }
}
