//! What was sent and may be sent again: the sender's ledger of leased datagrams.
//!
//! A sender tells of each block whose datagrams have all left, and leaves the lease of its slots here; reports say what
//! shall be sent again and what is done with. [`ResendLedger::poll_resend`] names runs of slots, to be sent as they
//! lie: the same sealed bytes under the same sequence. [`ResendLedger::poll_release`] gives leases back, oldest
//! first, once their access unit has come, was given up, or is past its deadline.
//!
//! Promises: no access unit is sent again once its deadline has passed or a report shows that it has ended; each data
//! shard goes again at most three times, not while an answer to the last time may still be under way, and the third
//! time only once something else was sent or after a while, for a path that was gone for some milliseconds; all of it
//! together stays within a share of the wire's rate, whatever a report claims; bounded memory, and no allocation
//! after `new` as long as the caller empties [`ResendLedger::poll_release`] after each block. It refuses, and counts,
//! what is asked for too late, what is not held any more, and what passes those bounds.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::feedback::{FeedbackReport, MissingShards, OpenAuReport};
use crate::geometry::BlockPlan;
use crate::limits::{Negotiated, RESEND_BURST_BYTES, RESEND_RATE_PART, ResendLimits};

/// Datagrams of one run: few enough that new data is not held up by much, enough for a burst to go as one train.
pub const RESEND_RUN_MAX: usize = 16;

/// How much later than a round trip an answer may come.
const ANSWER_SLACK: Duration = Duration::from_millis(1);

/// How much later than a round trip what no newer AU stands behind is taken for lost: order tells of the rest. Longer
/// than an ordinary pause of either end's threads; a receiver waits for the newest AU far longer.
const STILL_WAIT: Duration = Duration::from_millis(30);

/// A shard that went again twice waits for that many times as long before its last try, if no newer AU begins.
const LAST_TRY_WAITS: u32 = 16;

/// Shards a word of bits tells of.
const WORD: usize = 64;

/// A run of datagrams to send again, as they lie in their lease.
#[derive(Debug, PartialEq, Eq)]
pub struct Resend<'a, L> {
    /// Access-unit number.
    pub au: u32,
    /// Number of the block in its AU.
    pub block: u16,
    /// The data shards.
    pub shards: Range<usize>,
    /// Bytes of one datagram.
    pub stride: usize,
    /// Whose bytes `shards.start * stride..shards.end * stride` they are.
    pub lease: &'a L,
}

impl<L> Resend<'_, L> {
    /// Where the run lies in its lease.
    pub const fn bytes(&self) -> Range<usize> {
        self.shards.start * self.stride..self.shards.end * self.stride
    }
}

/// What the ledger did, in datagrams, totals by value. Of a shard that is held an ask comes to one end, however often
/// reports repeat it: what was refused or late is counted anew only if it is sent after all. So what was asked for is the
/// sum of what was resent, refused and late, of what still waits, and of what went unsent with an evicted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResendCounters {
    /// Asked for, what is repeated while an answer is under way left out.
    pub asked: u64,
    /// Given out to be sent again.
    pub resent: u64,
    /// Asked for, and the access unit's deadline passed or it ended before they could leave.
    pub late: u64,
    /// Evicted while it waited; and asked for when not held any more, each time that a report asks.
    pub gone: u64,
    /// Asked for after three times, or beyond the rate's share.
    pub refused: u64,
}

/// One AU of which blocks are held.
#[derive(Debug)]
struct HeldAu {
    au: u32,
    /// The serial of its first block.
    first_block: u64,
    blocks: u16,
    /// When a newer one began.
    newer_at: Option<Instant>,
    last_sent: Instant,
    ended: bool,
}

#[derive(Debug)]
struct HeldBlock<L> {
    block: u16,
    k: u16,
    stride: usize,
    lease: L,
    sent_at: Instant,
    /// The serial of its first word.
    first_word: u64,
    /// Shards that wait to be sent again.
    wanted: u32,
}

impl<L> HeldBlock<L> {
    fn words(&self) -> usize {
        usize::from(self.k).div_ceil(WORD)
    }
}

/// Sixty-four data shards of a block.
#[derive(Debug, Clone, Copy)]
struct Word {
    /// To be sent again.
    wanted: u64,
    /// Sent again so many times, or more.
    once: u64,
    twice: u64,
    thrice: u64,
    /// Counted as refused or late, and not sent since.
    settled: u64,
    resent_at: Option<Instant>,
}

/// The ledger; `L` is the caller's lease of a block's slots.
#[derive(Debug)]
pub struct ResendLedger<L> {
    limits: ResendLimits,
    aus: VecDeque<HeldAu>,
    blocks: VecDeque<HeldBlock<L>>,
    words: VecDeque<Word>,
    /// The serials of `blocks[0]` and `words[0]`.
    oldest_block: u64,
    oldest_word: u64,
    /// The AU that began last, and when.
    newest: Option<(u32, Instant)>,
    /// Shards that wait, in all blocks.
    wanted: u64,
    rtt: Duration,
    budget: Budget,
    counters: ResendCounters,
}

impl<L> ResendLedger<L> {
    /// An empty ledger. It takes all of its memory now.
    pub fn new(negotiated: &Negotiated) -> Self {
        let limits = ResendLimits::from(negotiated);
        Self {
            limits,
            aus: VecDeque::with_capacity(limits.aus_max + 1),
            blocks: VecDeque::with_capacity(limits.blocks_max + 1),
            // A block beyond the bound is held until the caller takes its lease back.
            words: VecDeque::with_capacity(limits.words_max + limits.block_words_max),
            oldest_block: 0,
            oldest_word: 0,
            newest: None,
            wanted: 0,
            rtt: Duration::ZERO,
            budget: Budget::new(negotiated.bitrate_kbps),
            counters: ResendCounters::default(),
        }
    }

    /// The wire's rate, of which resends may take a share, in kbit/s.
    pub fn set_wire_rate(&mut self, kbps: u32) {
        self.budget.rate_kbps = kbps;
    }

    /// AU `au` begins to be sent: from now on those before it have their deadline.
    pub fn begin_au(&mut self, au: u32, now: Instant) {
        self.newest = Some((au, now));
        for older in self.aus.iter_mut().rev().take_while(|held| held.newer_at.is_none()) {
            if older.au < au {
                older.newer_at = Some(now);
            }
        }
    }

    /// AU `au` was cut short, or is no use any more for another reason: nothing of it goes again.
    pub fn end_au(&mut self, au: u32) {
        self.aus.iter_mut().filter(|held| held.au == au).for_each(|held| held.ended = true);
    }

    /// All datagrams of a block have left; `lease` holds them, slot by slot. Blocks come in order.
    pub fn hold(&mut self, plan: &BlockPlan, lease: L, now: Instant) {
        let serial = self.oldest_block + self.blocks.len() as u64;
        match self.aus.back_mut() {
            Some(held) if held.au == plan.au => {
                held.blocks += 1;
                held.last_sent = now;
            }
            Some(_) | None => self.aus.push_back(HeldAu {
                au: plan.au,
                first_block: serial,
                blocks: 1,
                newer_at: None,
                last_sent: now,
                ended: false,
            }),
        }
        let block = HeldBlock {
            block: plan.block,
            k: plan.k,
            stride: plan.stride(),
            lease,
            sent_at: now,
            first_word: self.oldest_word + self.words.len() as u64,
            wanted: 0,
        };
        let empty = Word { wanted: 0, once: 0, twice: 0, thrice: 0, settled: 0, resent_at: None };
        self.words.extend(std::iter::repeat_n(empty, block.words()));
        self.blocks.push_back(block);
    }

    /// Takes a report that came at `now` over a path with this round trip.
    pub fn handle_report(&mut self, report: &FeedbackReport, rtt: Duration, now: Instant) {
        self.rtt = rtt;
        let highest = report.highest_au.map_or(0, |au| u64::from(au) + 1);
        let ended_below = report.open_aus().first().map_or(highest, |open| u64::from(open.au));
        for at in 0..self.aus.len() {
            let au = u64::from(self.aus[at].au);
            self.aus[at].ended |= au < ended_below;
            let open = report.open_aus().iter().find(|open| u64::from(open.au) == au);
            let newer_seen = au + 1 < highest;
            match open {
                Some(open) => self.want_unseen(at, open, newer_seen, now),
                // Nothing of it has come, not even what says that it is there.
                None if au >= highest => self.want_unseen(at, &OpenAuReport::default(), false, now),
                None => {}
            }
        }
        report.missing().iter().for_each(|missing| self.want_missing(missing, now));
    }

    /// The next run to send again, oldest AU first. It counts as sent.
    pub fn poll_resend(&mut self, now: Instant) -> Option<Resend<'_, L>> {
        if self.wanted == 0 {
            return None;
        }
        self.budget.refill(now);
        for at in 0..self.aus.len() {
            let HeldAu { au, first_block, blocks, .. } = self.aus[at];
            let is_late = self.is_done(&self.aus[at], now);
            for serial in first_block..first_block + u64::from(blocks) {
                // At most the blocks that are held.
                let index = (serial - self.oldest_block) as usize;
                if self.blocks[index].wanted == 0 {
                    continue;
                }
                if is_late {
                    let wanted = self.drop_wanted(index);
                    self.counters.late += wanted;
                } else if let Some(shards) = self.take_run(index, now) {
                    let HeldBlock { block, stride, lease, .. } = &self.blocks[index];
                    return Some(Resend { au, block: *block, shards, stride: *stride, lease });
                }
            }
        }
        None
    }

    /// A lease that is needed no more, oldest first: its AU is done with, or there is too much. To be called until
    /// `None` after each block and report.
    pub fn poll_release(&mut self, now: Instant) -> Option<L> {
        let oldest = self.aus.front()?;
        let is_over = self.aus.len() > self.limits.aus_max
            || self.blocks.len() > self.limits.blocks_max
            || self.words.len() > self.limits.words_max;
        if is_over || self.is_done(oldest, now) { self.evict(now) } else { None }
    }

    /// The oldest lease, needed or not, for a caller that has no room for what is new.
    pub fn evict(&mut self, now: Instant) -> Option<L> {
        let is_done = self.is_done(self.aus.front()?, now);
        let wanted = self.drop_wanted(0);
        *(if is_done { &mut self.counters.late } else { &mut self.counters.gone }) += wanted;
        let block = self.blocks.pop_front()?;
        self.oldest_block += 1;
        self.words.drain(..block.words());
        self.oldest_word += block.words() as u64;
        if let Some(oldest) = self.aus.front_mut() {
            oldest.first_block += 1;
            oldest.blocks -= 1;
            if oldest.blocks == 0 {
                self.aus.pop_front();
            }
        }
        Some(block.lease)
    }

    /// Blocks that are held.
    pub fn blocks_held(&self) -> usize {
        self.blocks.len()
    }

    /// When something asked for could no longer be sent, or a lease be given back, with no further report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.aus.front().map(|oldest| self.deadline(oldest))
    }

    /// Totals since the start.
    pub const fn counters(&self) -> ResendCounters {
        self.counters
    }

    /// When the receiver gives it up, reckoned from when the cause of that left here: what is sent until then takes the
    /// same way.
    fn deadline(&self, held: &HeldAu) -> Instant {
        match held.newer_at {
            Some(newer_at) => newer_at + self.limits.au_deadline,
            None => held.last_sent + self.limits.au_stall_deadline,
        }
    }

    fn is_done(&self, held: &HeldAu, now: Instant) -> bool {
        held.ended || self.deadline(held) <= now
    }

    /// Wants all data of the blocks of which nothing came though the report should know of them.
    fn want_unseen(&mut self, au_at: usize, open: &OpenAuReport, newer_seen: bool, now: Instant) {
        let wait = if newer_seen { Duration::ZERO } else { self.rtt + STILL_WAIT };
        let HeldAu { first_block, blocks, .. } = self.aus[au_at];
        for serial in first_block..first_block + u64::from(blocks) {
            let index = (serial - self.oldest_block) as usize;
            let HeldBlock { block, sent_at, .. } = self.blocks[index];
            let is_named = block < 64 && open.unseen >> block & 1 == 1;
            let is_beyond = block >= open.blocks_seen && !open.end_seen && now >= sent_at + wait;
            if is_named || is_beyond {
                (0..self.blocks[index].words()).for_each(|word| self.want(au_at, index, word, u64::MAX, now));
            }
        }
    }

    fn want_missing(&mut self, missing: &MissingShards, now: Instant) {
        let count = u64::from(missing.bits.count_ones());
        let Some(au_at) = self.aus.iter().position(|held| held.au == missing.au) else {
            // What has not left yet is no fault of the path.
            let is_older = self.newest.is_some_and(|(newest, _)| missing.au < newest);
            self.counters.gone += if is_older { count } else { 0 };
            return;
        };
        let HeldAu { first_block, blocks, .. } = self.aus[au_at];
        let first = (first_block - self.oldest_block) as usize;
        let held = (first..first + usize::from(blocks)).find(|at| self.blocks[*at].block == missing.block);
        match held {
            Some(index) => {
                let is_known = usize::from(missing.word) < self.blocks[index].words();
                // While it may still be on its way it is not missing.
                if is_known && now >= self.blocks[index].sent_at + self.rtt / 2 {
                    self.want(au_at, index, missing.word.into(), missing.bits, now);
                }
            }
            // What was evicted, and not what has not left yet.
            None if self.blocks[first].block > missing.block => self.counters.gone += count,
            None => {}
        }
    }

    /// Wants these shards of a block, as far as they are not under way.
    fn want(&mut self, au_at: usize, index: usize, word_at: usize, bits: u64, now: Instant) {
        let is_done = self.is_done(&self.aus[au_at], now);
        let block = &mut self.blocks[index];
        let word = &mut self.words[(block.first_word - self.oldest_word) as usize + word_at];
        let bits = bits & mask(usize::from(block.k) - word_at * WORD);
        let wait = self.rtt + ANSWER_SLACK;
        let is_answered = |waits: u32| word.resent_at.is_none_or(|at| now >= at + wait * waits);
        let newer_began = word.resent_at.zip(self.newest).is_some_and(|(at, (_, newest_at))| newest_at > at);
        let last_waits = if newer_began { 1 } else { LAST_TRY_WAITS };
        let under_way = match (is_answered(1), is_answered(last_waits)) {
            (true, true) => 0,
            (true, false) => word.twice,
            (false, _) => word.once,
        };
        let new = bits & !word.wanted & !under_way;
        let first = new & !word.settled;
        self.counters.asked += u64::from(first.count_ones());
        let (refused, new) = (new & word.thrice, new & !word.thrice);
        let late = if is_done { new } else { 0 };
        self.counters.refused += u64::from((first & refused).count_ones());
        self.counters.late += u64::from((first & late).count_ones());
        word.settled |= refused | late;
        if is_done {
            return;
        }
        word.wanted |= new;
        block.wanted += new.count_ones();
        self.wanted += u64::from(new.count_ones());
    }

    /// Takes the first run of a block that wants some, as far as the budget goes; `None` where that is nothing.
    fn take_run(&mut self, index: usize, now: Instant) -> Option<Range<usize>> {
        let block = &self.blocks[index];
        let words = (block.first_word - self.oldest_word) as usize;
        let words = words..words + block.words();
        let first = self.words.range(words.clone()).position(|word| word.wanted != 0)?;
        let start = first * WORD + self.words[words.start + first].wanted.trailing_zeros() as usize;
        let affordable = self.budget.datagrams(block.stride).min(RESEND_RUN_MAX);
        if affordable == 0 {
            let wanted = self.drop_wanted(index);
            self.counters.refused += wanted;
            return None;
        }
        let is_wanted = |shard: usize| {
            self.words
                .get(words.start + shard / WORD)
                .is_some_and(|word| word.wanted >> (shard % WORD) & 1 == 1)
        };
        let data = usize::from(block.k);
        let end = (start..data.min(start + affordable)).find(|shard| !is_wanted(*shard));
        let shards = start..end.unwrap_or(data.min(start + affordable));
        self.budget.take(shards.len() * block.stride);
        for shard in shards.clone() {
            let word = &mut self.words[words.start + shard / WORD];
            let bit = 1 << (shard % WORD);
            word.wanted &= !bit;
            // It was counted as refused, and is asked for once more.
            self.counters.asked += u64::from(word.settled & bit != 0);
            word.settled &= !bit;
            word.thrice |= word.twice & bit;
            word.twice |= word.once & bit;
            word.once |= bit;
            word.resent_at = Some(now);
        }
        // At most RESEND_RUN_MAX.
        self.blocks[index].wanted -= shards.len() as u32;
        self.wanted -= shards.len() as u64;
        self.counters.resent += shards.len() as u64;
        Some(shards)
    }

    /// Wants nothing of a block any more; returns the shards whose ask comes to its end by that.
    fn drop_wanted(&mut self, index: usize) -> u64 {
        let block = &mut self.blocks[index];
        let words = (block.first_word - self.oldest_word) as usize;
        let words = words..words + block.words();
        let wanted = u64::from(std::mem::take(&mut block.wanted));
        let mut ended = 0;
        if wanted > 0 {
            for word in self.words.range_mut(words) {
                ended += u64::from((word.wanted & !word.settled).count_ones());
                word.settled |= word.wanted;
                word.wanted = 0;
            }
        }
        self.wanted -= wanted;
        ended
    }
}

/// The lowest `count` bits, all 64 if there are more.
const fn mask(count: usize) -> u64 {
    if count >= WORD { u64::MAX } else { (1 << count) - 1 }
}

/// What resends may cost: a share of the wire's rate, and a burst.
#[derive(Debug)]
struct Budget {
    rate_kbps: u32,
    /// Bytes that may be spent now.
    bytes: u64,
    /// Towards the next byte, below [`BYTE_CREDIT`].
    remainder: u64,
    refilled_at: Option<Instant>,
}

/// Kilobits a second times nanoseconds that a byte of resends takes.
const BYTE_CREDIT: u64 = 8_000_000 * RESEND_RATE_PART;

impl Budget {
    fn new(rate_kbps: u32) -> Self {
        let mut budget = Self { rate_kbps, bytes: 0, remainder: 0, refilled_at: None };
        budget.bytes = budget.bytes_max();
        budget
    }

    /// A tenth of a second's share, and some for the slowest.
    fn bytes_max(&self) -> u64 {
        RESEND_BURST_BYTES + u64::from(self.rate_kbps) * 125 / RESEND_RATE_PART / 10
    }

    fn refill(&mut self, now: Instant) {
        let refilled_at = self.refilled_at.replace(now).unwrap_or(now);
        let nanos = now.saturating_duration_since(refilled_at).as_nanos() as u64;
        // Kilobits a second times nanoseconds are 1/8,000,000 bytes; what makes no byte yet is kept.
        let credit = u64::from(self.rate_kbps).saturating_mul(nanos).saturating_add(self.remainder);
        let bytes = self.bytes.saturating_add(credit / BYTE_CREDIT);
        self.remainder = credit % BYTE_CREDIT;
        self.bytes = bytes.min(self.bytes_max());
    }

    fn datagrams(&self, stride: usize) -> usize {
        usize::try_from(self.bytes / stride as u64).unwrap_or(usize::MAX)
    }

    fn take(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests;
