//! How long the receiver says that it waits, as a twin of its window that knows whole and not whole, and no bytes.
//!
//! The rules, from the protocol's documents: access units are handed on in order. One that is not whole is given up
//! `au_deadline` after anything of a newer one came; the newest, `au_stall_deadline` after its last progress. An access
//! unit that comes `aus_open_max` or more behind the oldest open one ends all that it leaves no room for. What is whole
//! and first in line is handed on at once.

use std::collections::VecDeque;
use std::time::Duration;

use punktfunk_proto::ReassemblerLimits;

/// The window's twin.
#[derive(Debug)]
pub struct Patience {
    au_deadline: Duration,
    stall_deadline: Duration,
    length: usize,
    /// The AUs from `base` on, up to the newest of which anything came.
    open: VecDeque<Waiting>,
    base: u32,
    in_time: Vec<bool>,
}

/// An AU that is neither handed on nor given up.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    is_whole: bool,
    newer_seen: Option<Duration>,
    last_progress: Option<Duration>,
}

impl Patience {
    /// The patience that these limits state.
    pub fn new(limits: &ReassemblerLimits) -> Patience {
        Patience {
            au_deadline: limits.au_deadline,
            stall_deadline: limits.au_stall_deadline,
            length: usize::from(limits.aus_open_max).next_power_of_two(),
            open: VecDeque::new(),
            base: 0,
            in_time: Vec::new(),
        }
    }

    /// Time has come to `now`: what waited too long is given up, and what waited behind it is handed on.
    pub fn handle_time(&mut self, now: Duration) {
        while let Some(first) = self.open.front() {
            if !first.is_whole && self.deadline(first).is_none_or(|deadline| now < deadline) {
                return;
            }
            self.end_first();
        }
    }

    /// An intact shard of AU `au` came; it `helps` if its block still needed it; with it the AU `is_whole`.
    pub fn note(&mut self, au: u32, helps: bool, is_whole: bool, now: Duration) {
        let Some(index) = au.checked_sub(self.base).map(|index| index as usize) else { return };
        if index >= self.open.len() {
            self.open.iter_mut().for_each(|older| older.newer_seen = older.newer_seen.or(Some(now)));
            let skipped = Waiting { newer_seen: Some(now), ..Waiting::default() };
            self.open.resize(index, skipped);
            self.open.push_back(Waiting::default());
            while self.open.len() > self.length {
                self.push_out_first();
            }
        }
        let Some(waiting) = self.open.get_mut((au - self.base) as usize) else { return };
        waiting.is_whole = is_whole;
        if helps {
            waiting.last_progress = Some(now);
        }
        self.handle_time(now);
    }

    /// For each of `aus` AUs, whether it was handed on.
    pub fn finish(mut self, aus: usize) -> Vec<bool> {
        self.in_time.resize(aus, false);
        self.in_time
    }

    fn deadline(&self, waiting: &Waiting) -> Option<Duration> {
        match waiting.newer_seen {
            Some(seen) => Some(seen + self.au_deadline),
            None => waiting.last_progress.map(|progress| progress + self.stall_deadline),
        }
    }

    fn end_first(&mut self) {
        if let Some(first) = self.open.pop_front() {
            self.in_time.push(first.is_whole);
            self.base += 1;
        }
    }

    /// What is pushed out is not handed on, whole or not.
    fn push_out_first(&mut self) {
        self.open.pop_front();
        self.in_time.push(false);
        self.base += 1;
    }
}
