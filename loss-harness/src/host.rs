//! The sending end: access units made from the seed, packetized, sealed, and put on the channel at the pacer's times.

use std::ops::Range;
use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_proto::{
    BlockPlan, FeedbackReport, Negotiated, Pacer, Packetizer, limits, seal_data, seal_parity,
};
use punktfunk_seal::{SealError, Sealer};

use crate::channel::Channel;
use crate::oracle::Ledger;
use crate::plan::Plan;
use crate::rng::{Purpose, Rng};

/// Makes and sends AUs.
pub struct Host {
    seed: u64,
    sizes: Rng,
    size: (f64, f64),
    slices: u16,
    idr_each: u32,
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    pacer: Pacer,
    slots: Vec<u8>,
    /// Where virtual time 0 lies for the protocol, whose times are instants.
    start: Instant,
}

impl Host {
    /// A host that seals with `sealer`.
    pub fn new(plan: &Plan, negotiated: &Negotiated, sealer: Sealer, start: Instant) -> Host {
        let mut packetizer = Packetizer::new(negotiated);
        packetizer.set_shard_bytes(plan.shard_bytes);
        Host {
            seed: plan.seed,
            sizes: Rng::new(plan.seed, Purpose::Sizes),
            size: (plan.size.min.0 as f64, plan.size.max.0 as f64),
            slices: plan.slices,
            idr_each: plan.idr_each,
            packetizer,
            encoder: Encoder::new(),
            sealer,
            pacer: Pacer::new(plan.bitrate.kbps, limits::BURST_BYTES_DEFAULT),
            slots: Vec::new(),
            start,
        }
    }

    /// The bytes of AU `au`: a size from the range, contents of its own.
    pub fn make(&mut self, au: u32) -> Vec<u8> {
        let (min, max) = self.size;
        let bytes = (min * (max / min).powf(self.sizes.unit())).round() as usize;
        contents(self.seed, au, bytes)
    }

    /// Sends an AU from `now` on; returns when its last datagram left.
    ///
    /// # Errors
    /// [`SealError`] when the channel passed so little that the client has opened nothing of a whole key epoch.
    pub fn send(
        &mut self,
        au: u32,
        bytes: &[u8],
        channel: &mut Channel,
        ledger: &mut Ledger,
        now: Duration,
    ) -> Result<Duration, SealError> {
        let idr = self.idr_each != 0 && au.is_multiple_of(self.idr_each);
        self.packetizer.begin(au, now.as_micros() as u32, idr, false);
        self.pacer.begin_au(self.start + now);
        let mut left = now;
        let slices = slices_of(bytes.len(), usize::from(self.slices));
        let count = slices.len();
        for (index, range) in slices.enumerate() {
            let slice = &bytes[range];
            let plans = self.packetizer.plan_slice(slice.len(), index + 1 == count);
            for block in plans.expect("a checked plan's sizes and slices are within what was agreed") {
                left = self.send_block(&block, slice, channel, ledger, now)?;
            }
        }
        Ok(left)
    }

    /// What the client reports: that an epoch was opened lets the next one begin.
    pub fn handle_feedback(&mut self, report: &FeedbackReport) {
        self.sealer.handle_epoch_opened(report.epoch_opened);
    }

    fn send_block(
        &mut self,
        block: &BlockPlan,
        slice: &[u8],
        channel: &mut Channel,
        ledger: &mut Ledger,
        now: Duration,
    ) -> Result<Duration, SealError> {
        self.slots.resize(self.slots.len().max(block.slots_bytes()), 0);
        let slots = &mut self.slots[..block.slots_bytes()];
        let instant = self.start + now;
        seal_data(block, 0..usize::from(block.k), slice, slots, &mut self.sealer, instant)?;
        let shape = block.fec_shape().expect("the packetizer plans what the coder can code");
        let parity = self.encoder.encode(shape, &slice[block.range()]).expect("plans fit their slices");
        seal_parity(block, &parity, slots, &mut self.sealer, instant)?;
        let mut left = now;
        for (shard, datagram) in slots.chunks(block.stride()).enumerate() {
            left = self.pacer.departure(datagram.len(), instant) - self.start;
            ledger.note(block, shard, channel.send(datagram, left));
        }
        Ok(left)
    }
}

/// The contents of AU `au`, made from the seed.
pub fn contents(seed: u64, au: u32, bytes: usize) -> Vec<u8> {
    let mut made = vec![0; bytes];
    Rng::new(seed, Purpose::Bytes(au)).fill(&mut made);
    made
}

/// Cuts `bytes` into at most `slices` parts, none empty unless there is nothing at all.
fn slices_of(bytes: usize, slices: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let slices = slices.min(bytes.max(1));
    (0..slices).map(move |index| index * bytes / slices..(index + 1) * bytes / slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_everything() {
        for (bytes, slices) in [(0, 4), (1, 4), (3, 4), (4, 4), (1_001, 7)] {
            let ranges: Vec<_> = slices_of(bytes, slices).collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, bytes));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(bytes == 0 || ranges.iter().all(|range| !range.is_empty()));
        }
    }
}
