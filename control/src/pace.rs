//! So many turns a second, and so many of them for one address.
//!
//! Promises: an address that asks without end leaves turns for others; memory for as many addresses as there are turns.
//! Refuses, for the rest of the second, whoever comes when they are used up.

use std::net::IpAddr;
use std::time::{Duration, Instant};

const ONE_SECOND: Duration = Duration::from_secs(1);

/// The turns of one second.
#[derive(Debug)]
pub(crate) struct Pace {
    second: Option<Instant>,
    /// Whose the turns were.
    taken: Vec<IpAddr>,
    per_second: usize,
    per_address: usize,
}

impl Pace {
    pub(crate) fn new(per_second: usize, per_address: usize) -> Self {
        Self { second: None, taken: Vec::new(), per_second, per_address }
    }

    /// Whether there is a turn for this address, which has had it then.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> bool {
        let is_over = self.second.is_none_or(|began| now.saturating_duration_since(began) >= ONE_SECOND);
        if is_over {
            self.second = Some(now);
            self.taken.clear();
        }
        let address = address.to_canonical();
        let had = self.taken.iter().filter(|taken| **taken == address).count();
        if self.taken.len() >= self.per_second || had >= self.per_address {
            return false;
        }
        self.taken.push(address);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_turns_for_others_and_all_have_no_more_than_there_are() {
        let (mut pace, now) = (Pace::new(4, 2), Instant::now());
        let mut take = |last: u8, after_ms| {
            let address = IpAddr::from([10, 0, 0, last]);
            pace.take(address, now + Duration::from_millis(after_ms))
        };
        assert!(take(1, 0) && take(1, 0) && !take(1, 10), "an address has two");
        assert!(take(2, 20) && take(3, 30), "and leaves two");
        assert!(!take(4, 999), "there are four");
        assert!(take(1, 1_000) && take(4, 1_000), "the next second has its own");
        assert!(pace.take("::ffff:10.0.0.1".parse().unwrap(), now + ONE_SECOND));
        assert!(!pace.take("10.0.0.1".parse().unwrap(), now + ONE_SECOND), "it is the same address");
    }
}
