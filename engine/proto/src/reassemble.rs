//! Datagrams in, whole blocks out, in order.
//!
//! A datagram is opened straight into its place if its (AU, block) is known from an authentic datagram, everything
//! that its header says of the block equals what is believed, and its slot is unfilled. Any other is opened into one
//! scratch datagram, then believed, then copied. As soon as any k shards of a block are there, missing data shards
//! are computed.
//!
//! Promises: nothing is allocated, evicted or moved, and no count of the stream changes, on the word of a header whose
//! tag was not checked; constant work and, once warm, no allocation a datagram; memory within [`ReassemblerLimits`];
//! blocks strictly in order, each AU ended by its last block or reported lost.
//!
//! It refuses what is malformed, over the limits, forged, replayed or in conflict with what came before, and counts
//! each. AUs that a newer one pushes out of the window are not handed on even if they are whole, so call
//! [`Reassembler::poll_delivery`] until it is empty after every datagram that was placed or copied. Call
//! [`Reassembler::handle_timeout`] when the socket is drained, so that what waits there is not given up.

use std::time::Instant;

use punktfunk_fec::{Decoder, Kernel};
use punktfunk_seal::{OpenError, Opener, Plane};

use crate::arrivals::ArrivalMeter;
use crate::asking;
use crate::block::{Block, BlockState, Claim, Filling, WholeBlock};
use crate::delivery::{Arrival, DeliveredBlock, Delivery, ReassemblyCounters};
use crate::feedback::FeedbackReport;
use crate::limits::{AUS_UNDER_WAY, ReassemblerLimits};
use crate::loss::LossMeter;
use crate::span::{BlockMemory, Span};
use crate::window::Window;
use crate::wire::{DATAGRAM_OVERHEAD, HEADER_BYTES, Header};

/// Puts AUs together again.
#[derive(Debug)]
pub struct Reassembler {
    limits: ReassemblerLimits,
    opener: Opener,
    decoder: Decoder,
    window: Window,
    memory: BlockMemory,
    scratch: Box<[u8]>,
    spans_out: usize,
    loss: LossMeter,
    arrivals: ArrivalMeter,
    counters: ReassemblyCounters,
    sampled_at: Option<Instant>,
    sampled_bytes: u64,
    receive_kbps: u32,
}

impl Reassembler {
    /// A reassembler for the video plane. `opener` decides about keys, epochs and replays. Takes the memory that the
    /// agreed rate needs, an IDR and its losses included, within the limits; what is larger is taken as it comes.
    pub fn new(limits: ReassemblerLimits, opener: Opener) -> Self {
        Self::with_kernel(limits, opener, Kernel::best())
    }

    /// The same, with blocks recovered by the instructions of `kernel`.
    pub fn with_kernel(limits: ReassemblerLimits, opener: Opener, kernel: Kernel) -> Self {
        let block_shards_max = usize::from(limits.block_shards_max);
        let mut memory = BlockMemory::new(limits.span_bytes_max, block_shards_max);
        // Slices of the usual size, and of twice that, for every AU that may be under way.
        memory.warm(limits.slice_span_bytes, limits.slices_under_way);
        memory.warm(2 * limits.slice_span_bytes, limits.slices_under_way);
        // And one IDR: it is the first thing that comes.
        memory.warm(limits.idr_slice_span_bytes, limits.slices_under_way / AUS_UNDER_WAY);
        let mut decoder = Decoder::with_kernel(kernel);
        limits.shapes_expected.into_iter().for_each(|shape| decoder.prepare(shape));
        Self {
            opener,
            decoder,
            window: Window::new(&limits),
            memory,
            scratch: vec![0; usize::from(limits.shard_bytes_max)].into_boxed_slice(),
            spans_out: 0,
            loss: LossMeter::default(),
            arrivals: ArrivalMeter::default(),
            counters: ReassemblyCounters::default(),
            sampled_at: None,
            sampled_bytes: 0,
            receive_kbps: 0,
            limits,
        }
    }

    /// To be called once by the thread that will hand datagrams in: what the AEAD keeps for a thread is made now, not
    /// with the first forged tag.
    pub fn prepare_thread(&mut self) {
        self.opener.prepare_thread();
    }

    /// Takes one UDP payload. It is borrowed for the call only.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Arrival {
        let arrival = match self.read_header(datagram) {
            Ok((header, claim)) => self.open_and_place(&header, &claim, datagram, now),
            Err(arrival) => arrival,
        };
        self.counters.count(arrival);
        arrival
    }

    /// The next thing to hand on, if there is one.
    pub fn poll_delivery(&mut self, _now: Instant) -> Option<Delivery> {
        if let Some(lost) = self.window.take_pushed_out() {
            return Some(Delivery::Lost(lost));
        }
        if let Some(block) = self.next_block() {
            return Some(Delivery::Block(block));
        }
        self.window.close_given_up(&mut self.memory).map(Delivery::Lost)
    }

    /// Takes a delivered block's span back.
    pub fn give_back(&mut self, span: Span) {
        self.spans_out = self.spans_out.saturating_sub(1);
        self.memory.spans.put(span);
    }

    /// Spans delivered and not yet given back.
    pub const fn spans_out(&self) -> usize {
        self.spans_out
    }

    /// Spans in blocks that are not delivered yet.
    pub const fn spans_filling(&self) -> usize {
        self.memory.spans.taken() - self.spans_out
    }

    /// Gives up AUs whose deadline has passed: `au_deadline` after a newer AU was first seen, or `au_stall_deadline`
    /// after the newest made its last progress. Poll for deliveries afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.window.handle_timeout(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.window.next_deadline()
    }

    /// Totals, by value.
    pub fn counters(&self) -> ReassemblyCounters {
        let mut counters = ReassemblyCounters {
            datagrams_lost: self.loss.lost(),
            spans_allocated: self.memory.spans.allocated(),
            span_bytes: self.memory.spans.held_bytes(),
            ..self.counters
        };
        self.window.given_up().count(&mut counters);
        counters
    }

    /// The state as of now, and loss, burst and rate since the last call.
    pub fn feedback(&mut self, now: Instant) -> FeedbackReport {
        let (lost_per_mille, burst_max) = self.loss.sample();
        let mut report = FeedbackReport {
            highest_au: self.window.end().checked_sub(1).map(|au| au as u32),
            epoch_opened: self.opener.epoch_opened(),
            lost_per_mille,
            burst_max,
            receive_kbps: self.sample_rate(now),
            has_times: true,
            ..FeedbackReport::default()
        };
        self.arrivals.report().for_each(|arrivals| {
            report.push_arrivals(arrivals);
        });
        asking::list(&mut report, &mut self.window, now);
        report
    }

    /// When the next report would ask for what the last one did not, whatever else is due.
    pub fn poll_report(&self) -> Option<Instant> {
        asking::next_due(&self.window)
    }

    fn sample_rate(&mut self, now: Instant) -> u32 {
        let sampled_at = *self.sampled_at.get_or_insert(now);
        let micros = now.saturating_duration_since(sampled_at).as_micros() as u64;
        // A shorter time says nothing of a rate.
        if micros >= 1_000 {
            let bytes = self.counters.authentic_bytes - self.sampled_bytes;
            self.receive_kbps = u32::try_from(bytes * 8_000 / micros).unwrap_or(u32::MAX);
            self.sampled_at = Some(now);
            self.sampled_bytes = self.counters.authentic_bytes;
        }
        self.receive_kbps
    }

    /// What a datagram claims, if it is possible at all. Nothing is believed yet.
    fn read_header(&self, datagram: &[u8]) -> Result<(Header, Claim), Arrival> {
        let header = Header::parse(datagram).map_err(|_| Arrival::Malformed)?;
        if header.plane != Plane::Video {
            return Err(Arrival::Malformed);
        }
        let shard_bytes = datagram.len() - DATAGRAM_OVERHEAD;
        let limits = &self.limits;
        let within = shard_bytes <= usize::from(limits.shard_bytes_max)
            && header.k <= limits.block_data_shards_max
            && u32::from(header.k) + u32::from(header.m) <= u32::from(limits.block_shards_max)
            && header.block < limits.blocks_per_au_max;
        let claim = Claim::new(&header, shard_bytes).filter(|_| within).ok_or(Arrival::OverLimit)?;
        Ok((header, claim))
    }

    fn open_and_place(&mut self, header: &Header, claim: &Claim, datagram: &[u8], now: Instant) -> Arrival {
        let (aad, sealed) = datagram.split_at(HEADER_BYTES);
        let (au, shard) = (u64::from(header.au), usize::from(header.shard));
        let shard_bytes = claim.shape.shard_bytes();
        let known = self.window.filling_mut(au, header.block);
        let was_asked = known.as_ref().is_some_and(|(_, filling)| filling.asked);
        let direct = known.filter(|(known, filling)| *known == claim && !filling.filled.contains(shard));
        let is_direct = direct.is_some();
        let place = match direct {
            Some((_, filling)) => filling.slot_mut(shard, shard_bytes),
            None => &mut self.scratch[..shard_bytes],
        };
        let opened = self.opener.open(header.epoch_low, header.sequence, aad, sealed, place, now);
        if let Err(error) = opened {
            return refused(&error);
        }
        self.note_authentic(header, datagram.len(), was_asked, now);
        if is_direct {
            self.fill(header, now);
            return Arrival::Placed;
        }
        match self.believe(header, claim, now) {
            Ok(()) => {
                self.fill(header, now);
                Arrival::Copied
            }
            Err(arrival) => arrival,
        }
    }

    fn note_authentic(&mut self, header: &Header, datagram_bytes: usize, was_asked: bool, now: Instant) {
        self.counters.authentic_bytes += datagram_bytes as u64;
        let epoch = self.opener.epoch_opened();
        if epoch & 3 == u32::from(header.epoch_low) {
            self.loss.handle(epoch, header.sequence, was_asked);
            self.arrivals.handle(header.au, epoch, header.sequence, was_asked, now);
        }
    }

    /// Believes an authentic datagram that lies in scratch and copies its shard to its place.
    fn believe(&mut self, header: &Header, claim: &Claim, now: Instant) -> Result<(), Arrival> {
        let number = u64::from(header.au);
        if number < self.window.base() {
            if self.window.was_delivered(number) {
                return Err(Arrival::Surplus);
            }
            self.window.handle_late(header);
            return Err(Arrival::Late);
        }
        self.window.reach(number, &mut self.memory, now);
        let au_bytes_max = self.window.au_bytes_max();
        let au = self.window.au_mut(number).ok_or(Arrival::Late)?;
        au.believe(header.block, claim, au_bytes_max, &mut self.memory, now)?;
        let shard = usize::from(header.shard);
        let known = self.window.filling_mut(number, header.block);
        let Some((_, filling)) = known.filter(|(_, filling)| !filling.filled.contains(shard)) else {
            return Err(Arrival::Surplus);
        };
        let shard_bytes = claim.shape.shard_bytes();
        filling.slot_mut(shard, shard_bytes).copy_from_slice(&self.scratch[..shard_bytes]);
        Ok(())
    }

    /// A shard lies in its place: marks it filled, and recovers the block if that was enough.
    fn fill(&mut self, header: &Header, now: Instant) {
        let Some(au) = self.window.au_mut(u64::from(header.au)) else { return };
        au.last_progress = Some(now);
        au.shards_seen += 1;
        let block = &mut au.blocks[usize::from(header.block)];
        let Block { claim: Some(claim), state: BlockState::Filling(filling) } = block else { return };
        filling.insert(usize::from(header.shard), now);
        if filling.filled.len() < claim.shape.data() {
            return;
        }
        let claim = *claim;
        if let BlockState::Filling(filling) = std::mem::replace(&mut block.state, BlockState::Closed)
            && let Some(whole) = complete(filling, &claim, &mut self.decoder, &mut self.memory, now)
        {
            self.counters.blocks_whole += 1;
            self.counters.blocks_recovered += u64::from(whole.shards_recovered > 0);
            self.counters.shards_recovered += u64::from(whole.shards_recovered);
            block.state = BlockState::Whole(whole);
        }
    }

    fn next_block(&mut self) -> Option<DeliveredBlock> {
        let number = self.window.base();
        let au = self.window.au_mut(number)?;
        let au_first_seen = au.first_seen()?;
        let index = au.blocks_delivered;
        let block = au.blocks.get_mut(usize::from(index))?;
        let claim = block.claim?;
        if !matches!(block.state, BlockState::Whole(_)) {
            return None;
        }
        let BlockState::Whole(whole) = std::mem::replace(&mut block.state, BlockState::Closed) else {
            return None;
        };
        au.blocks_delivered += 1;
        if claim.flags.last_block() {
            self.window.close_delivered(&mut self.memory);
        }
        self.spans_out += 1;
        let WholeBlock { span, first_seen, whole_at, shards_recovered } = whole;
        Some(DeliveredBlock {
            au: number as u32,
            block: index,
            pts_us: claim.pts_us,
            flags: claim.flags,
            au_first_seen,
            first_seen,
            whole_at,
            shards_recovered,
            span,
        })
    }
}

fn refused(error: &OpenError) -> Arrival {
    match error {
        OpenError::UnknownEpoch { .. } => Arrival::UnknownEpoch,
        OpenError::SequenceTooHigh { .. } => Arrival::Malformed,
        OpenError::Replayed { .. } | OpenError::TooOld { .. } => Arrival::Replayed,
        // Whatever else there may be: nothing of it is believed.
        OpenError::BadTag { .. } | _ => Arrival::BadTag,
    }
}

/// Computes the missing data shards of a block of which k shards are there. `None`, with its memory back in the pool,
/// if the coder refuses, which it has no reason to.
fn complete(
    filling: Filling,
    claim: &Claim,
    decoder: &mut Decoder,
    memory: &mut BlockMemory,
    now: Instant,
) -> Option<WholeBlock> {
    let Filling { mut span, filled, first_seen, .. } = filling;
    let shards_missing = claim.shape.data() - filled.count_in(0..claim.shape.data());
    let recovered = match shards_missing {
        0 => Ok(0),
        _ => decoder.recover(claim.shape, &mut span.bytes_mut()[..claim.span_bytes()], &filled),
    };
    memory.put_set(filled);
    let Ok(recovered) = recovered else {
        memory.spans.put(span);
        return None;
    };
    span.set_payload_bytes(claim.payload_bytes());
    Some(WholeBlock { span, first_seen, whole_at: now, shards_recovered: recovered as u16 })
}
