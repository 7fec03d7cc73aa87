//! A reassembler in the plainest words: maps and sets, and the rules one by one.
//!
//! It is shown only genuine datagrams and knows what each carries; a forged one must change nothing, so it never hears
//! of any. It promises the same answers as `Reassembler`, and refuses to be fast.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use punktfunk_proto::{Arrival, BlockPlan, ReassemblerLimits};
use punktfunk_seal::PREVIOUS_EPOCH_GRACE;

/// A datagram as it was sent.
pub(crate) struct Sent {
    pub(crate) plan: BlockPlan,
    pub(crate) shard: usize,
    pub(crate) epoch: u32,
    pub(crate) sequence: u32,
    pub(crate) bytes: Vec<u8>,
    /// The payload of its block.
    pub(crate) payload: Rc<[u8]>,
}

/// What is handed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    Block { au: u32, block: u16, pts_us: u32, flags: u8, recovered: u16, payload: Rc<[u8]> },
    Lost { au: u32, count: u32, blocks_delivered: u16 },
}

/// How far back a delivered AU is told from a lost one.
const REMEMBERED: u64 = 64;

#[derive(Default)]
struct Block {
    shards: HashSet<usize>,
    /// Set with the last shard that it needed.
    whole: Option<(BlockPlan, Rc<[u8]>, u16)>,
}

#[derive(Default)]
struct Au {
    blocks: BTreeMap<u16, Block>,
    blocks_delivered: u16,
    newer_seen: Option<Instant>,
    last_progress: Option<Instant>,
}

/// The rules.
pub(crate) struct Model {
    window: u64,
    au_deadline: Duration,
    au_stall_deadline: Duration,
    /// The newest epoch of which anything was opened, and when that began.
    epoch: u32,
    epoch_began: Option<Instant>,
    opened: HashSet<(u32, u32)>,
    /// Open AUs are those of this range; the first is the one whose block is next.
    range: Range<u64>,
    aus: BTreeMap<u64, Au>,
    given_up_below: u64,
    pushed_out: Option<Handed>,
    delivered: HashSet<u64>,
    pub(crate) blocks_whole: u64,
    pub(crate) shards_recovered: u64,
}

impl Model {
    pub(crate) fn new(limits: &ReassemblerLimits) -> Self {
        Self {
            window: u64::from(limits.aus_open_max).next_power_of_two(),
            au_deadline: limits.au_deadline,
            au_stall_deadline: limits.au_stall_deadline,
            epoch: 0,
            epoch_began: None,
            opened: HashSet::new(),
            range: 0..0,
            aus: BTreeMap::new(),
            given_up_below: 0,
            pushed_out: None,
            delivered: HashSet::new(),
            blocks_whole: 0,
            shards_recovered: 0,
        }
    }

    /// The epoch that a report names.
    pub(crate) fn epoch_opened(&self) -> u32 {
        self.epoch
    }

    /// AUs delivered to their last block.
    pub(crate) fn aus_delivered(&self) -> u64 {
        self.delivered.len() as u64
    }

    /// AUs behind the window, however they ended.
    pub(crate) fn aus_ended(&self) -> u64 {
        self.range.start
    }

    /// Whether its key is there to open it with.
    fn has_key(&mut self, epoch: u32, now: Instant) -> bool {
        let in_grace = self.epoch_began.is_some_and(|began| now < began + PREVIOUS_EPOCH_GRACE);
        epoch == self.epoch || epoch == self.epoch + 1 || in_grace && epoch + 1 == self.epoch
    }

    /// A genuine datagram came; `None` when its key is gone, which either of two refusals says.
    pub(crate) fn handle(&mut self, sent: &Sent, now: Instant) -> Option<Arrival> {
        if !self.has_key(sent.epoch, now) {
            return None;
        }
        if sent.epoch > self.epoch {
            (self.epoch, self.epoch_began) = (sent.epoch, Some(now));
        }
        if !self.opened.insert((sent.epoch, sent.sequence)) {
            return Some(Arrival::Replayed);
        }
        let number = u64::from(sent.plan.au);
        if number < self.range.start {
            let is_near = self.range.start - number <= REMEMBERED;
            let is_delivered = is_near && self.delivered.contains(&number);
            return Some(if is_delivered { Arrival::Surplus } else { Arrival::Late });
        }
        self.reach(number, now);
        Some(self.place(number, sent, now))
    }

    /// Makes room for AU `number` and tells those before it that a newer one was seen.
    fn reach(&mut self, number: u64, now: Instant) {
        if number >= self.range.start + self.window {
            self.push_out(number + 1 - self.window);
        }
        for older in self.range.start..number {
            // Only those that were not told before.
            if older + 1 >= self.range.end {
                self.aus.entry(older).or_default().newer_seen.get_or_insert(now);
            }
        }
        self.range.end = self.range.end.max(number + 1);
    }

    fn push_out(&mut self, start: u64) {
        let count = (start - self.range.start) as u32;
        match &mut self.pushed_out {
            Some(Handed::Lost { count: before, .. }) => *before += count,
            Some(Handed::Block { .. }) => unreachable!("only what was lost is pushed out"),
            None => {
                let blocks_delivered = self.aus.get(&self.range.start).map_or(0, |au| au.blocks_delivered);
                let au = self.range.start as u32;
                self.pushed_out = Some(Handed::Lost { au, count, blocks_delivered });
            }
        }
        self.aus.retain(|number, _| *number >= start);
        self.range = start..self.range.end.max(start);
    }

    fn place(&mut self, number: u64, sent: &Sent, now: Instant) -> Arrival {
        let au = self.aus.entry(number).or_default();
        let is_known = au.blocks.contains_key(&sent.plan.block);
        let block = au.blocks.entry(sent.plan.block).or_default();
        if block.whole.is_some() || sent.plan.block < au.blocks_delivered {
            return Arrival::Surplus;
        }
        let is_new = block.shards.insert(sent.shard);
        assert!(is_new, "each shard has one sequence");
        au.last_progress = Some(now);
        let k = usize::from(sent.plan.k);
        if block.shards.len() == k {
            let recovered = (0..k).filter(|shard| !block.shards.contains(shard)).count();
            block.whole = Some((sent.plan, Rc::clone(&sent.payload), recovered as u16));
            self.blocks_whole += 1;
            self.shards_recovered += recovered as u64;
        }
        if is_known { Arrival::Placed } else { Arrival::Copied }
    }

    /// What is handed on next.
    pub(crate) fn poll(&mut self) -> Option<Handed> {
        self.pushed_out.take().or_else(|| self.next_block()).or_else(|| self.next_given_up())
    }

    fn next_block(&mut self) -> Option<Handed> {
        let number = self.range.start;
        let au = self.aus.get_mut(&number).filter(|_| !self.range.is_empty())?;
        let block = au.blocks_delivered;
        // A block that was delivered stays known, and is not delivered twice.
        let (plan, payload, recovered) = au.blocks.get_mut(&block)?.whole.as_ref()?.clone();
        au.blocks_delivered += 1;
        if plan.flags.last_block() {
            self.aus.remove(&number);
            self.delivered.insert(number);
            self.range.start += 1;
        }
        let (pts_us, flags) = (plan.pts_us, plan.flags.bits());
        Some(Handed::Block { au: number as u32, block, pts_us, flags, recovered, payload })
    }

    fn next_given_up(&mut self) -> Option<Handed> {
        let number = self.range.start;
        if number >= self.given_up_below.min(self.range.end) {
            return None;
        }
        let blocks_delivered = self.aus.remove(&number).map_or(0, |au| au.blocks_delivered);
        self.range.start += 1;
        Some(Handed::Lost { au: number as u32, count: 1, blocks_delivered })
    }

    /// When the oldest AU that is not given up will be.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let number = self.given_up_below.max(self.range.start);
        let au = self.aus.get(&number).filter(|_| self.range.contains(&number))?;
        match au.newer_seen {
            Some(seen) => Some(seen + self.au_deadline),
            None => au.last_progress.map(|progress| progress + self.au_stall_deadline),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.given_up_below = self.given_up_below.max(self.range.start) + 1;
        }
    }
}
