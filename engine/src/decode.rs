//! The client's decode stage: blocks in order to the decoder, as slices become whole.
//!
//! Promises: after a loss nothing that refers to it reaches the decoder, and what is missed is told until an IDR or a
//! recovery point comes. Refuses: to guess a latency before the clocks are joined; such pictures are counted apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_perf::{Stage, Tap};
use punktfunk_proto::{Admission, DeliveredBlock, Delivery, IdrRequester, SessionClock, Span, unwrap_pts};

use crate::encode::StageFault;
use crate::limits::STAGE_WAIT;
use crate::lost::LostCell;
use crate::machine::Idle;
use crate::receive::Handed;
use crate::stage::{Waker, wait_until};
use crate::stats::{DecodeCounters, add};

/// What became of a block that was handed to a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeOutcome {
    /// The access unit goes on.
    Pending,
    /// The access unit is complete and gave a picture.
    Picture,
    /// The access unit is complete and was refused; the text says why.
    Refused(String),
}

/// A decoder, or whatever takes its place: what the client program fits to the engine.
pub trait Decode: Send + 'static {
    /// Whether an access unit may refer to earlier ones, so that a loss needs a recovery point or an IDR.
    fn has_references(&self) -> bool;

    /// Takes one block; blocks come in order, and the last of an access unit has `LAST_BLOCK` set.
    ///
    /// # Errors
    /// The decoder cannot go on at all.
    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault>;

    /// The access unit that was begun will not be completed.
    fn abandon(&mut self);
}

/// The client's clock joined to the host's session clock, as the skew handshake found it.
#[derive(Debug, Default)]
pub struct SessionTime {
    offset_us: AtomicI64,
    joined: AtomicBool,
}

impl SessionTime {
    /// Sets what has to be added to the client's clock to read the host's, in microseconds.
    pub fn join(&self, offset_us: i64) {
        self.offset_us.store(offset_us, Ordering::Relaxed);
        self.joined.store(true, Ordering::Release);
    }

    /// The host's session clock at a reading of the client's, in microseconds; none before the join.
    pub fn host_us(&self, client_us: u64) -> Option<u64> {
        self.joined
            .load(Ordering::Acquire)
            .then(|| client_us.saturating_add_signed(self.offset_us.load(Ordering::Relaxed)))
    }
}

/// Everything that the stage owns.
pub(crate) struct DecodeStage<D: Decode> {
    pub(crate) decode: D,
    pub(crate) deliveries: rtrb::Consumer<Handed>,
    /// Access units that this stage is done with.
    pub(crate) aus_decoded: Arc<AtomicU64>,
    pub(crate) home: rtrb::Producer<Span>,
    pub(crate) waker: Waker,
    pub(crate) control: Waker,
    pub(crate) idle: Idle,
    pub(crate) clock: SessionClock,
    pub(crate) time: Arc<SessionTime>,
    pub(crate) requester: IdrRequester,
    /// What is missed, for the control thread to tell.
    pub(crate) lost: Arc<LostCell>,
    pub(crate) counters: Arc<DecodeCounters>,
    pub(crate) tap: Tap,
    pub(crate) next: Next,
    /// Decoder time spent on the access unit so far.
    pub(crate) spent: Duration,
    /// When the picture before came out of the decoder.
    pub(crate) decoded_at: Option<Instant>,
}

/// The block that has to come next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Next {
    au: u32,
    block: u16,
    /// Set while the rest of `au` is let go.
    skip: bool,
    /// Set when it is let go because it refers to what was lost.
    awaits_idr: bool,
    /// Bytes of `au` so far.
    bytes: u64,
}

/// How the stage came to its end.
pub(crate) struct DecodeEnd<D> {
    pub(crate) decode: D,
    pub(crate) fault: Option<StageFault>,
}

impl<D: Decode> DecodeStage<D> {
    /// Runs until the receive stage has gone and all that it handed on is done. After a fault the decoder is
    /// left alone: spans only go home.
    pub(crate) fn run(mut self) -> DecodeEnd<D> {
        self.waker.attach();
        let mut fault = None;
        loop {
            if let Ok((delivery, handed_at)) = self.deliveries.pop() {
                if fault.is_none() {
                    fault = self.handle_delivery(&delivery, handed_at).err();
                }
                self.send_home(delivery);
                continue;
            }
            if fault.is_some() || (self.deliveries.is_abandoned() && self.deliveries.is_empty()) {
                break;
            }
            let deliveries = &self.deliveries;
            wait_until(self.idle, Instant::now() + STAGE_WAIT, || {
                !deliveries.is_empty() || deliveries.is_abandoned()
            });
            self.tell_what_is_missed(Instant::now());
        }
        DecodeEnd { decode: self.decode, fault }
    }

    fn send_home(&mut self, delivery: Delivery) {
        let Delivery::Block(block) = delivery else { return };
        if block.flags.last_block() {
            self.aus_decoded.fetch_add(1, Ordering::Release);
        }
        // The ring home has a place for each span; only a gone receive stage refuses.
        let _ = self.home.push(block.span);
    }

    fn handle_delivery(&mut self, delivery: &Delivery, handed_at: Instant) -> Result<(), StageFault> {
        let now = Instant::now();
        let outcome = match delivery {
            Delivery::Block(block) => self.handle_block(block, handed_at, now),
            Delivery::Lost(lost) => {
                self.handle_gap(lost.au.min(self.next.au), lost.last(), now);
                self.next = Next { au: lost.last().wrapping_add(1), ..Next::default() };
                Ok(())
            }
        };
        self.tell_what_is_missed(now);
        outcome
    }

    fn handle_block(
        &mut self,
        block: &DeliveredBlock,
        handed_at: Instant,
        now: Instant,
    ) -> Result<(), StageFault> {
        if (block.au, block.block) != (self.next.au, self.next.block) {
            // What begins in its middle is damaged itself; else the one before it is the newest that is missing.
            let newest_au = if block.block == 0 { block.au.saturating_sub(1) } else { block.au };
            self.handle_gap(self.next.au.min(newest_au), newest_au, now);
            self.next = Next { au: block.au, skip: block.block != 0, ..Next::default() };
        }
        if block.block == 0 {
            self.admit(block, now);
        }
        self.next.block = block.block.wrapping_add(1);
        self.next.bytes += block.span.as_ref().len() as u64;
        let outcome = if self.next.skip { Ok(()) } else { self.decode_block(block, handed_at, now) };
        if block.flags.last_block() {
            if !self.next.skip {
                add(&self.counters.whole, 1);
                add(&self.counters.bytes, self.next.bytes);
            }
            // With its last block: until then it may still be lost instead.
            add(&self.counters.dropped_awaiting_idr, u64::from(self.next.awaits_idr));
            self.next = Next { au: block.au.wrapping_add(1), ..Next::default() };
        }
        outcome
    }

    /// May the access unit that begins with this block be decoded?
    fn admit(&mut self, block: &DeliveredBlock, now: Instant) {
        let was_clean = self.requester.is_clean();
        match self.requester.admit(block.au, block.flags, now) {
            Admission::Decode => {
                let heals = !was_clean && block.flags.recovery_point() && !block.flags.idr();
                add(&self.counters.recovery_points, u64::from(heals));
            }
            Admission::Drop => {
                self.next.skip = true;
                self.next.awaits_idr = true;
            }
        }
    }

    fn decode_block(
        &mut self,
        block: &DeliveredBlock,
        handed_at: Instant,
        now: Instant,
    ) -> Result<(), StageFault> {
        let outcome = self.decode.handle_block(block)?;
        let done = Instant::now();
        self.spent += done - now;
        match outcome {
            DecodeOutcome::Pending => {}
            DecodeOutcome::Picture => {
                add(&self.counters.decoded, 1);
                self.stamp(block, handed_at, done);
            }
            DecodeOutcome::Refused(reason) => {
                tracing::warn!(au = block.au, %reason, "the decoder refused an access unit");
                add(&self.counters.dropped_decode_error, 1);
                self.spent = Duration::ZERO;
                // Whether it still has what it had before is its own affair: many want an IDR now.
                self.handle_gap(0, block.au, done);
            }
        }
        Ok(())
    }

    /// Records the latencies of a picture that was just decoded; its last block was handed on at `handed_at`.
    fn stamp(&mut self, block: &DeliveredBlock, handed_at: Instant, done: Instant) {
        let spent = std::mem::take(&mut self.spent);
        add(&self.counters.decode_us, spent.as_micros() as u64);
        self.tap.record(Stage::Decode, spent);
        if let Some(before) = self.decoded_at.replace(done) {
            self.tap.record(Stage::DecodeInterval, done.saturating_duration_since(before));
        }
        let Some(done_us) = self.time.host_us(self.clock.micros(done)) else {
            return add(&self.counters.without_clock, 1);
        };
        let captured_us = unwrap_pts(block.pts_us, done_us);
        let decoded = Duration::from_micros(done_us.saturating_sub(captured_us));
        let reassembled = decoded.saturating_sub(done.saturating_duration_since(handed_at));
        let (to_reassembled, to_decoded) = if block.flags.idr() {
            (Stage::IdrToReassembled, Stage::IdrToDecoded)
        } else {
            (Stage::CaptureToReassembled, Stage::CaptureToDecoded)
        };
        self.tap.record(to_reassembled, reassembled);
        self.tap.record(to_decoded, decoded);
    }

    /// The access units from the one to the other are missing or unusable.
    fn handle_gap(&mut self, oldest_au: u32, newest_au: u32, now: Instant) {
        if self.next.block > 0 && !self.next.skip {
            self.decode.abandon();
        }
        self.spent = Duration::ZERO;
        self.requester.handle_damage(oldest_au, newest_au, now);
    }

    fn tell_what_is_missed(&mut self, now: Instant) {
        if let Some(lost) = self.requester.poll_request(now) {
            add(&self.counters.idr_requests, 1);
            self.lost.tell(lost);
            self.control.wake();
        }
    }
}

#[cfg(test)]
mod tests;
