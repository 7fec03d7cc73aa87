//! What a report says of open AUs: how far each has come, and which shards shall be sent again.
//!
//! A block is asked for once nothing more is to be expected of what was sent first: everything up to its end was passed,
//! or something newer came, and [`REORDER_WAIT`] has gone by since; or it stood still for [`SILENCE_WAIT`]. Then it asks
//! for as many data shards as it still needs, not for all that are missing. What it asks for is in every report until it
//! has come, so that a report may be lost; the sender knows what is on its way.
//!
//! Promises work bounded by the report's own bounds, and no allocation. It refuses to guess how many shards a block has
//! of which nothing came: such blocks are named, the sender knows them.

use std::time::{Duration, Instant};

use crate::block::{Block, BlockState, Claim, Filling};
use crate::feedback::{FeedbackReport, MissingShards, OPEN_AUS_MAX, OpenAuReport};
use crate::window::{OpenAu, Window};

/// How far a network reorders in time, with room for a batch that is being worked through.
const REORDER_WAIT: Duration = Duration::from_micros(500);
/// How long a block stands still before what follows in it is no longer expected.
const SILENCE_WAIT: Duration = Duration::from_millis(2);

/// Adds the oldest open AUs, and what they ask for.
pub(crate) fn list(report: &mut FeedbackReport, window: &mut Window, now: Instant) {
    for number in window.base()..window.end() {
        let Some(au) = window.au_mut(number) else { return };
        let open = OpenAuReport {
            au: number as u32,
            blocks_seen: au.blocks_seen,
            end_seen: au.end_seen,
            unseen: unseen(au),
        };
        if !report.push_open(open) {
            return;
        }
        let (newer_au, blocks_seen) = (au.newer_seen.is_some(), usize::from(au.blocks_seen));
        for index in 0..blocks_seen {
            let newer = newer_au || index + 1 < blocks_seen;
            let Some((claim, filling)) = filling_mut(&mut au.blocks[index]) else { continue };
            if due_at(claim, filling, newer) <= now {
                // In a full report it had its turn; what has come by the next makes room.
                filling.asked_since = true;
                filling.asked |= ask(report, (number as u32, index as u16), claim, filling);
            }
        }
    }
}

/// When the first block that has not asked since its newest shard came will.
pub(crate) fn next_due(window: &Window) -> Option<Instant> {
    let aus = (window.base()..window.end()).take(OPEN_AUS_MAX).filter_map(|number| window.au(number));
    aus.filter_map(|au| {
        let newer_au = au.newer_seen.is_some();
        let blocks = au.seen().iter().enumerate();
        blocks
            .filter_map(|(index, block)| {
                let newer = newer_au || index + 1 < usize::from(au.blocks_seen);
                let (claim, filling) = filling(block)?;
                (!filling.asked_since).then(|| due_at(claim, filling, newer))
            })
            .min()
    })
    .min()
}

/// Blocks of the first 64 of which nothing came though something came of a later one.
fn unseen(au: &OpenAu) -> u64 {
    let blocks = au.seen().iter().take(64).enumerate();
    blocks.filter(|(_, block)| block.claim.is_none()).fold(0, |bits, (index, _)| bits | 1 << index)
}

/// When nothing more is to be expected of what was sent first.
fn due_at(claim: &Claim, filling: &Filling, newer_seen: bool) -> Instant {
    let is_passed = newer_seen || filling.shards_reached == claim.shape.shards();
    filling.last_came + if is_passed { REORDER_WAIT } else { SILENCE_WAIT }
}

/// Asks for the data shards that the block still needs, as far as there is room; false when there is none.
fn ask(report: &mut FeedbackReport, (au, block): (u32, u16), claim: &Claim, filling: &Filling) -> bool {
    let data = claim.shape.data();
    let needed = data.saturating_sub(filling.filled.len());
    let mut word = MissingShards { au, block, word: 0, bits: 0 };
    let mut has_asked = false;
    for shard in filling.filled.missing_in(0..data).take(needed) {
        let number = (shard / 64) as u16;
        if number != word.word {
            has_asked |= word.bits != 0 && report.push_missing(word);
            word = MissingShards { word: number, bits: 0, ..word };
        }
        word.bits |= 1 << (shard % 64);
    }
    has_asked | (word.bits != 0 && report.push_missing(word))
}

fn filling_mut(block: &mut Block) -> Option<(&Claim, &mut Filling)> {
    match (&block.claim, &mut block.state) {
        (Some(claim), BlockState::Filling(filling)) => Some((claim, filling)),
        (_, BlockState::Filling(_) | BlockState::Unknown | BlockState::Whole(_) | BlockState::Closed) => None,
    }
}

fn filling(block: &Block) -> Option<(&Claim, &Filling)> {
    match (&block.claim, &block.state) {
        (Some(claim), BlockState::Filling(filling)) => Some((claim, filling)),
        (_, BlockState::Filling(_) | BlockState::Unknown | BlockState::Whole(_) | BlockState::Closed) => None,
    }
}
