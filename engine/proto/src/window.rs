//! The AUs that are open, as a ring indexed by AU number, each with a fixed table of blocks.
//!
//! AU numbers are u32 on the wire and do not wrap; they are u64 here, so that one past the last there can be is a number
//! too. What follows AU 2³² − 1 has no number: the session has to end before.
//!
//! It knows order, claims and deadlines; it opens no datagram and codes no block. It promises constant work for each
//! question, no allocation after `new` beside the [`BlockMemory`], and that only verbs called for authentic datagrams
//! change it. It refuses claims in conflict with what the block or its AU said before.

use std::time::{Duration, Instant};

use crate::block::{Block, BlockState, Claim, Filling};
use crate::delivery::{Arrival, LostAu};
use crate::given_up::{Ending, GivenUp};
use crate::limits::ReassemblerLimits;
use crate::span::BlockMemory;
use crate::wire::Header;

/// One AU of the window.
#[derive(Debug)]
pub(crate) struct OpenAu {
    /// What the first block that was seen claimed, and when.
    first: Option<(Claim, Instant)>,
    pub(crate) newer_seen: Option<Instant>,
    pub(crate) last_progress: Option<Instant>,
    pub(crate) blocks: Box<[Block]>,
    /// One past the highest block seen.
    pub(crate) blocks_seen: u16,
    pub(crate) blocks_delivered: u16,
    pub(crate) end_seen: bool,
    payload_bytes: u64,
    pub(crate) shards_seen: u32,
    /// A block of it found no memory.
    memory_refused: bool,
}

impl OpenAu {
    fn new(blocks: u16) -> Self {
        Self {
            first: None,
            newer_seen: None,
            last_progress: None,
            blocks: (0..blocks).map(|_| Block::UNKNOWN).collect(),
            blocks_seen: 0,
            blocks_delivered: 0,
            end_seen: false,
            payload_bytes: 0,
            shards_seen: 0,
            memory_refused: false,
        }
    }

    pub(crate) fn first_seen(&self) -> Option<Instant> {
        self.first.map(|(_, at)| at)
    }

    pub(crate) fn seen(&self) -> &[Block] {
        &self.blocks[..usize::from(self.blocks_seen)]
    }

    /// How an AU that is given up has ended.
    fn ending(&self) -> Ending {
        if self.memory_refused {
            return Ending::DroppedMemory;
        }
        let is_whole = self.end_seen && self.seen().iter().all(|block| block.missing_if_seen() == Some(0));
        if is_whole { Ending::DroppedWindow } else { Ending::Lost }
    }

    /// Believes the claim of an authentic datagram. Afterwards the block is known.
    pub(crate) fn believe(
        &mut self,
        index: u16,
        claim: &Claim,
        au_bytes_max: u32,
        memory: &mut BlockMemory,
        now: Instant,
    ) -> Result<(), Arrival> {
        let (first, _) = *self.first.get_or_insert((*claim, now));
        let block = &self.blocks[usize::from(index)];
        let last = claim.flags.last_block();
        let consistent = match block.claim {
            Some(before) => before == *claim,
            None if self.end_seen => index < self.blocks_seen && !last,
            None => index >= self.blocks_seen || !last,
        };
        if !first.same_au(claim) || !consistent {
            return Err(Arrival::Malformed);
        }
        if block.claim.is_none() {
            self.open_block(index, claim, au_bytes_max, memory, now)?;
        }
        Ok(())
    }

    fn open_block(
        &mut self,
        index: u16,
        claim: &Claim,
        au_bytes_max: u32,
        memory: &mut BlockMemory,
        now: Instant,
    ) -> Result<(), Arrival> {
        let payload_bytes = self.payload_bytes + claim.payload_bytes() as u64;
        if payload_bytes > u64::from(au_bytes_max) {
            return Err(Arrival::OverLimit);
        }
        let Some((span, filled)) = memory.take(claim.span_bytes()) else {
            self.memory_refused = true;
            return Err(Arrival::OverLimit);
        };
        self.payload_bytes = payload_bytes;
        self.blocks[usize::from(index)] =
            Block { claim: Some(*claim), state: BlockState::Filling(Filling::new(span, filled, now)) };
        self.blocks_seen = self.blocks_seen.max(index + 1);
        self.end_seen |= claim.flags.last_block();
        Ok(())
    }

    /// Makes the place ready for another AU; returns (shards seen, shards missing).
    fn clear(&mut self, memory: &mut BlockMemory) -> (u32, u32) {
        let seen = &mut self.blocks[..usize::from(self.blocks_seen)];
        let missing = seen.iter().map(Block::shards_missing).sum();
        seen.iter_mut().for_each(|block| block.release(memory));
        let shards_seen = self.shards_seen;
        self.first = None;
        self.newer_seen = None;
        self.last_progress = None;
        self.blocks_seen = 0;
        self.blocks_delivered = 0;
        self.end_seen = false;
        self.payload_bytes = 0;
        self.shards_seen = 0;
        self.memory_refused = false;
        (shards_seen, missing)
    }
}

/// The ring of open AUs.
#[derive(Debug)]
pub(crate) struct Window {
    aus: Box<[OpenAu]>,
    /// The AU whose block is delivered next.
    base: u64,
    /// One past the newest AU that anything authentic came of.
    end: u64,
    /// AUs below are given up, delivered or not.
    given_up_below: u64,
    /// AUs that a newer one pushed out before they could be reported.
    pushed_out: Option<LostAu>,
    /// Bit i: AU base − 1 − i was lost.
    lost_before: u64,
    given_up: GivenUp,
    au_bytes_max: u32,
    au_deadline: Duration,
    au_stall_deadline: Duration,
}

impl Window {
    pub(crate) fn new(limits: &ReassemblerLimits) -> Self {
        let length = usize::from(limits.aus_open_max).next_power_of_two();
        Self {
            aus: (0..length).map(|_| OpenAu::new(limits.blocks_per_au_max)).collect(),
            base: 0,
            end: 0,
            given_up_below: 0,
            pushed_out: None,
            lost_before: 0,
            given_up: GivenUp::new(limits.blocks_per_au_max),
            au_bytes_max: limits.au_bytes_max,
            au_deadline: limits.au_deadline,
            au_stall_deadline: limits.au_stall_deadline,
        }
    }

    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    pub(crate) const fn au_bytes_max(&self) -> u32 {
        self.au_bytes_max
    }

    /// Whether an AU behind the window was delivered, as far back as is remembered.
    pub(crate) fn was_delivered(&self, au: u64) -> bool {
        let back = self.base - 1 - au;
        back < 64 && self.lost_before >> back & 1 == 0
    }

    /// The AU, if it lies in the window.
    pub(crate) fn au(&self, au: u64) -> Option<&OpenAu> {
        (self.base..self.end).contains(&au).then(|| &self.aus[self.place(au)])
    }

    /// The AU, if it lies in the window.
    pub(crate) fn au_mut(&mut self, au: u64) -> Option<&mut OpenAu> {
        let place = self.place(au);
        (self.base..self.end).contains(&au).then(|| &mut self.aus[place])
    }

    /// A block that is being filled, with its claim.
    pub(crate) fn filling_mut(&mut self, au: u64, block: u16) -> Option<(&Claim, &mut Filling)> {
        let block = self.au_mut(au)?.blocks.get_mut(usize::from(block))?;
        match (&block.claim, &mut block.state) {
            (Some(claim), BlockState::Filling(filling)) => Some((claim, filling)),
            (_, BlockState::Filling(_) | BlockState::Unknown | BlockState::Whole(_) | BlockState::Closed) => {
                None
            }
        }
    }

    /// An authentic datagram of AU `au`, not below the base, came: afterwards it lies in the window. The oldest AUs
    /// are pushed out for it.
    pub(crate) fn reach(&mut self, au: u64, memory: &mut BlockMemory, now: Instant) {
        let length = self.aus.len() as u64;
        if au >= self.base + length {
            self.push_out(au + 1 - length, memory);
        }
        // Those before the newest have known of a newer one already: each AU is walked over once.
        for older in self.end.saturating_sub(1).max(self.base)..au {
            let place = self.place(older);
            self.aus[place].newer_seen.get_or_insert(now);
        }
        self.end = self.end.max(au + 1);
    }

    fn push_out(&mut self, base: u64, memory: &mut BlockMemory) {
        let mut lost = self.pushed_out.unwrap_or(LostAu {
            au: self.base as u32,
            count: 0,
            blocks_delivered: self.au(self.base).map_or(0, |au| au.blocks_delivered),
            shards_seen: 0,
            shards_missing: 0,
        });
        for au in self.base..base.min(self.end) {
            let (seen, missing) = self.give_up(au, memory);
            lost.shards_seen = lost.shards_seen.saturating_add(seen);
            lost.shards_missing = lost.shards_missing.saturating_add(missing);
        }
        self.given_up.end_unseen(self.end.max(self.base), base);
        // AU numbers are u32, so a count of them is too.
        lost.count += (base - self.base) as u32;
        self.pushed_out = Some(lost);
        let by = base - self.base;
        self.lost_before = if by < 64 { self.lost_before << by | ((1 << by) - 1) } else { u64::MAX };
        self.base = base;
        self.end = self.end.max(base);
    }

    pub(crate) fn take_pushed_out(&mut self) -> Option<LostAu> {
        self.pushed_out.take()
    }

    /// Closes the AU at the base: all its blocks were delivered.
    pub(crate) fn close_delivered(&mut self, memory: &mut BlockMemory) {
        self.clear(self.base, memory);
        self.given_up.end(self.base, Ending::Delivered, std::iter::empty(), None);
        self.lost_before <<= 1;
        self.base += 1;
    }

    /// Closes the AU at the base if it was given up.
    pub(crate) fn close_given_up(&mut self, memory: &mut BlockMemory) -> Option<LostAu> {
        if self.base >= self.given_up_below.min(self.end) {
            return None;
        }
        let open = self.au(self.base)?;
        let blocks_delivered = open.blocks_delivered;
        let au = self.base as u32;
        let (shards_seen, shards_missing) = self.give_up(self.base, memory);
        self.lost_before = self.lost_before << 1 | 1;
        self.base += 1;
        Some(LostAu { au, count: 1, blocks_delivered, shards_seen, shards_missing })
    }

    /// What became of the AUs behind the window.
    pub(crate) const fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    /// An authentic shard of an AU behind the window came.
    pub(crate) fn handle_late(&mut self, header: &Header) {
        self.given_up.handle_late(header);
    }

    /// Gives up all AUs whose deadline has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.given_up_below = self.given_up_below.max(self.base) + 1;
        }
    }

    /// When the oldest AU that is not given up will be.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let au = self.au(self.given_up_below.max(self.base))?;
        match au.newer_seen {
            Some(seen) => Some(seen + self.au_deadline),
            None => au.last_progress.map(|progress| progress + self.au_stall_deadline),
        }
    }

    /// Counts the end of an open AU that is not delivered, and clears it; returns (shards seen, shards missing).
    fn give_up(&mut self, au: u64, memory: &mut BlockMemory) -> (u32, u32) {
        let open = &self.aus[self.place(au)];
        let missing = open.seen().iter().map(Block::missing_if_seen);
        let count = open.end_seen.then_some(open.blocks_seen);
        self.given_up.end(au, open.ending(), missing, count);
        self.clear(au, memory)
    }

    fn clear(&mut self, au: u64, memory: &mut BlockMemory) -> (u32, u32) {
        let place = self.place(au);
        self.aus[place].clear(memory)
    }

    fn place(&self, au: u64) -> usize {
        // The length is a power of two.
        au as usize & (self.aus.len() - 1)
    }
}
