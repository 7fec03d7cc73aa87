//! The AUs that ended without being delivered: how many for which reason, and of the newest of them what would still
//! have to come for them to be late rather than lost.
//!
//! Each AU that ends is counted once: delivered, lost, late or dropped. One that was lost and whose missing shards come
//! after all is taken from the lost and counted late. It promises bounded memory and work; it refuses to remember
//! further back than a network reorders.

use crate::delivery::ReassemblyCounters;
use crate::wire::Header;

/// Given-up AUs that are remembered: more than a network reorders.
const REMEMBERED: u64 = 16;

/// How an AU ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every block was handed on.
    Delivered,
    /// Shards of it were missing.
    Lost,
    /// A block of it found no memory.
    DroppedMemory,
    /// It was whole and a newer one pushed it out of the window before it was handed on.
    DroppedWindow,
}

/// An AU that was lost.
#[derive(Debug)]
struct LostOne {
    /// `None` once it was late.
    au: Option<u64>,
    /// Shards that each block still needs; `None` for a block that never showed.
    blocks: Box<[Option<u16>]>,
    /// Blocks of it, once its last was seen.
    count: Option<u16>,
}

/// What became of the AUs that have ended.
#[derive(Debug)]
pub(crate) struct GivenUp {
    /// At their number modulo the length.
    lost: Box<[LostOne]>,
    aus_delivered: u64,
    aus_lost: u64,
    aus_late: u64,
    aus_dropped_memory: u64,
    aus_dropped_window: u64,
}

impl GivenUp {
    pub(crate) fn new(blocks_per_au_max: u16) -> Self {
        let blocks = || vec![None; usize::from(blocks_per_au_max)].into_boxed_slice();
        Self {
            lost: (0..REMEMBERED).map(|_| LostOne { au: None, blocks: blocks(), count: None }).collect(),
            aus_delivered: 0,
            aus_lost: 0,
            aus_late: 0,
            aus_dropped_memory: 0,
            aus_dropped_window: 0,
        }
    }

    /// AU `au` has ended. For a lost one, `missing` gives the shards that each block which was seen still needs, and
    /// `count` its blocks if its last was seen.
    pub(crate) fn end(
        &mut self,
        au: u64,
        ending: Ending,
        missing: impl Iterator<Item = Option<u16>>,
        count: Option<u16>,
    ) {
        match ending {
            Ending::Delivered => self.aus_delivered += 1,
            Ending::DroppedMemory => self.aus_dropped_memory += 1,
            Ending::DroppedWindow => self.aus_dropped_window += 1,
            Ending::Lost => {
                self.aus_lost += 1;
                let place = self.place(au);
                let lost = &mut self.lost[place];
                (lost.au, lost.count) = (Some(au), count);
                let mut missing = missing;
                lost.blocks.fill_with(|| missing.next().flatten());
            }
        }
    }

    /// The AUs `from..to`, of which nothing ever came, were passed over by a jump.
    pub(crate) fn end_unseen(&mut self, from: u64, to: u64) {
        let remembered = to.saturating_sub(REMEMBERED).max(from);
        self.aus_lost += remembered.saturating_sub(from);
        (remembered..to).for_each(|au| self.end(au, Ending::Lost, std::iter::empty(), None));
    }

    /// An authentic shard of an AU that has ended came. Each shard is shown once: the replay window sees to that.
    pub(crate) fn handle_late(&mut self, header: &Header) {
        let au = u64::from(header.au);
        let place = self.place(au);
        let lost = &mut self.lost[place];
        let Some(missing) = lost.blocks.get_mut(usize::from(header.block)) else { return };
        if lost.au != Some(au) {
            return;
        }
        let missing = missing.get_or_insert(header.k);
        *missing = missing.saturating_sub(1);
        let block_came = *missing == 0;
        if header.flags.last_block() {
            lost.count = Some(header.block + 1);
        }
        let Some(count) = lost.count.filter(|_| block_came) else { return };
        if lost.blocks[..usize::from(count)].iter().all(|missing| *missing == Some(0)) {
            lost.au = None;
            self.aus_lost -= 1;
            self.aus_late += 1;
        }
    }

    /// Writes the counts.
    pub(crate) fn count(&self, counters: &mut ReassemblyCounters) {
        counters.aus_delivered = self.aus_delivered;
        counters.aus_lost = self.aus_lost;
        counters.aus_late = self.aus_late;
        counters.aus_dropped_memory = self.aus_dropped_memory;
        counters.aus_dropped_window = self.aus_dropped_window;
    }

    const fn place(&self, au: u64) -> usize {
        (au % REMEMBERED) as usize
    }
}
