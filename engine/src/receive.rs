//! The client's receive stage: GRO batches in, whole blocks out, QUIC set apart.
//!
//! Promises: a datagram is opened straight into its place; a block is handed on with its last needed
//! datagram; every span comes home. Refuses: to wait for the decoder (a full queue drops the access
//! unit, counted), and to act on a header whose tag is unchecked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_net::{NetError, Receiver};
use punktfunk_perf::{Stage, Tap};
use punktfunk_proto::{
    DeliveredBlock, Delivery, FeedbackReport, LostAu, Reassembler, SessionClock, Span, is_media, unwrap_pts,
};

use crate::decode::SessionTime;
use crate::encode::StageFault;
use crate::limits::{
    CONTROL_DATAGRAM_BYTES_MAX, FEEDBACK_INTERVAL, FEEDBACK_INTERVAL_IDLE, FEEDBACK_SPACING, SHUTDOWN_WAIT,
    STAGE_WAIT,
};
use crate::load::LoadMeter;
use crate::machine::Idle;
use crate::stage::{Stop, Waker};
use crate::stats::{ReceiveCounters, add, set};

mod filler;

use filler::is_filler;
pub(crate) use filler::{FillerCount, FillerQuestion};

/// One QUIC datagram on its way to the control thread, by value.
pub(crate) struct ControlDatagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: Option<IpAddr>,
    pub(crate) len: u16,
    pub(crate) bytes: [u8; CONTROL_DATAGRAM_BYTES_MAX],
}

/// Everything that the stage owns.
pub(crate) struct ReceiveStage {
    pub(crate) receiver: Receiver,
    pub(crate) reassembler: Reassembler,
    pub(crate) outbox: Outbox,
    pub(crate) quic: rtrb::Producer<ControlDatagram>,
    pub(crate) feedback: rtrb::Producer<FeedbackReport>,
    pub(crate) decode: Waker,
    pub(crate) control: Waker,
    pub(crate) counters: Arc<ReceiveCounters>,
    pub(crate) stop: Stop,
    pub(crate) idle: Idle,
    /// When datagrams came last: a stage that owns its core looks without waiting for a while after.
    pub(crate) last_batch: Instant,
    pub(crate) wake_control: bool,
    pub(crate) last_feedback: Instant,
    /// When media came last.
    pub(crate) last_media: Instant,
    /// How far apart pictures are.
    pub(crate) picture_interval: Duration,
    pub(crate) datagrams: u64,
    pub(crate) wire_bytes: u64,
    /// The client's clock, and its join to the host's.
    pub(crate) clock: SessionClock,
    pub(crate) time: Arc<SessionTime>,
    pub(crate) load: LoadMeter,
    /// Speed tests' filler; none where there are no keys for it.
    pub(crate) filler: Option<FillerCount>,
}

/// Where whole blocks go: the ring to the decode stage, which is woken at most once a batch.
pub(crate) struct Outbox {
    pub(crate) deliveries: rtrb::Producer<Handed>,
    pub(crate) home: rtrb::Consumer<Span>,
    pub(crate) tap: Tap,
    /// Access units that may wait for the decoder.
    pub(crate) aus_max: u64,
    /// Access units handed on to their end.
    pub(crate) aus_handed: u64,
    /// Access units that the decode stage is done with.
    pub(crate) aus_decoded: Arc<AtomicU64>,
    /// Access units dropped because too many wait.
    pub(crate) dropped: u64,
    /// The access unit whose rest is dropped for that.
    pub(crate) overrun_au: Option<u32>,
    /// Something was handed on since the last wake.
    pub(crate) wake_decode: bool,
    /// The pts of the newest access unit that became whole since the last report.
    pub(crate) whole_pts_us: Option<u32>,
}

/// A delivery, and when it was handed on.
pub(crate) type Handed = (Delivery, Instant);

impl Outbox {
    pub(crate) fn new(
        deliveries: rtrb::Producer<Handed>,
        home: rtrb::Consumer<Span>,
        aus_decoded: Arc<AtomicU64>,
        aus_max: u64,
        tap: Tap,
    ) -> Self {
        Self {
            deliveries,
            home,
            tap,
            aus_max,
            aus_handed: 0,
            aus_decoded,
            dropped: 0,
            overrun_au: None,
            wake_decode: false,
            whole_pts_us: None,
        }
    }

    fn take_spans_home(&mut self, reassembler: &mut Reassembler) {
        while let Ok(span) = self.home.pop() {
            reassembler.give_back(span);
        }
    }

    /// Hands on all that is whole.
    fn drain(&mut self, reassembler: &mut Reassembler, now: Instant) {
        while let Some(delivery) = reassembler.poll_delivery(now) {
            self.take_spans_home(reassembler);
            self.wake_decode = true;
            match delivery {
                Delivery::Block(block) => self.hand_on(block, reassembler),
                Delivery::Lost(lost) => {
                    self.overrun_au = None;
                    // A decoder that misses this notice sees the gap in the numbers.
                    let _ = self.deliveries.push((Delivery::Lost(lost), now));
                }
            }
        }
    }

    /// Access units that are handed on and not decoded.
    fn waiting(&self) -> u64 {
        self.aus_handed.saturating_sub(self.aus_decoded.load(Ordering::Acquire))
    }

    fn hand_on(&mut self, block: DeliveredBlock, reassembler: &mut Reassembler) {
        if self.overrun_au == Some(block.au) {
            self.dropped += u64::from(block.flags.last_block());
            return reassembler.give_back(block.span);
        }
        self.overrun_au = None;
        if block.block == 0 && self.waiting() >= self.aus_max {
            return self.overrun(block, reassembler);
        }
        // Read anew: opening and recovering this batch is part of the way.
        let handed_at = Instant::now();
        if block.flags.last_block() {
            self.aus_handed += 1;
            self.whole_pts_us = Some(block.pts_us);
            let (first_seen, taken_at) = (block.au_first_seen, block.whole_at);
            self.tap.record(Stage::Receive, taken_at.saturating_duration_since(first_seen));
            self.tap.record(Stage::Reassemble, handed_at.saturating_duration_since(taken_at));
        }
        let last = block.flags.last_block();
        if let Err(rtrb::PushError::Full((Delivery::Block(block), _))) =
            self.deliveries.push((Delivery::Block(block), handed_at))
        {
            self.aus_handed -= u64::from(last);
            self.overrun(block, reassembler);
        }
    }

    /// Drops an access unit, or the rest of one, that the decode stage has no room for. The stage is told at once: on
    /// a still screen no later access unit would show the gap. It counts as dropped with its last block, because
    /// until then it may still be lost.
    fn overrun(&mut self, block: DeliveredBlock, reassembler: &mut Reassembler) {
        self.overrun_au = Some(block.au);
        self.dropped += u64::from(block.flags.last_block());
        let notice = LostAu {
            au: block.au,
            count: 1,
            blocks_delivered: block.block,
            shards_seen: 0,
            shards_missing: 0,
        };
        // The bound is in access units; the ring has a place for each of their blocks and for notices.
        let _ = self.deliveries.push((Delivery::Lost(notice), Instant::now()));
        reassembler.give_back(block.span);
    }
}

/// How the stage came to its end.
pub(crate) struct ReceiveEnd {
    pub(crate) receiver: Receiver,
    pub(crate) fault: Option<StageFault>,
    pub(crate) spans_out: usize,
}

impl ReceiveStage {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> ReceiveEnd {
        self.reassembler.prepare_thread();
        let fault = loop {
            if self.stop.is_requested() {
                break None;
            }
            if let Err(error) = self.handle_batch() {
                break Some(StageFault::new("receive", error));
            }
            self.report(Instant::now());
            self.wake();
        };
        self.publish();
        self.close(fault)
    }

    fn handle_batch(&mut self) -> Result<(), NetError> {
        let start = Instant::now();
        self.outbox.take_spans_home(&mut self.reassembler);
        let deadline = self.reassembler.poll_timeout();
        let edge = self.receiver.counters();
        let batch = self.receiver.receive(Some(self.patience(deadline, start)))?;
        let now = Instant::now();
        if !batch.is_empty() {
            self.last_batch = now;
        }
        let mut media = 0;
        for segment in batch {
            let first = segment.bytes.first().copied();
            if first.is_some_and(is_filler)
                && let Some(filler) = &mut self.filler
            {
                filler.handle_datagram(segment.bytes, &edge, &self.counters, now);
            } else if first.is_some_and(is_media) {
                self.reassembler.handle_datagram(segment.bytes, now);
                // After each: what is whole must not be pushed out by what comes next in the batch.
                self.outbox.drain(&mut self.reassembler, now);
                media += 1;
                self.wire_bytes += segment.bytes.len() as u64;
            } else {
                pass_on(&mut self.quic, &self.counters, &segment);
                self.wake_control = true;
            }
        }
        self.datagrams += media;
        if let Some(filler) = &mut self.filler {
            self.wake_control |= filler.poll(&self.receiver.counters(), now);
        }
        if media > 0 {
            self.last_media = now;
            self.outbox.tap.record(Stage::Open, now.elapsed());
        }
        // With the socket drained, a deadline means that nothing came. A flood that never lets it drain must not
        // hold deadlines up for ever.
        let overdue = deadline.is_some_and(|deadline| now > deadline + FEEDBACK_INTERVAL_IDLE);
        if media == 0 || overdue {
            self.reassembler.handle_timeout(now);
            self.outbox.drain(&mut self.reassembler, now);
        }
        Ok(())
    }

    /// How long to wait for datagrams: not at all for a while after the last ones where the stage owns its core, else
    /// until something is due.
    fn patience(&self, deadline: Option<Instant>, now: Instant) -> Duration {
        if let Idle::SpinThenBlock(spin) = self.idle
            && now.saturating_duration_since(self.last_batch) < spin
        {
            return Duration::ZERO;
        }
        let until = |due: Instant| due.saturating_duration_since(now);
        let wait = STAGE_WAIT.min(until(self.feedback_due()));
        deadline.map_or(wait, |deadline| wait.min(until(deadline)))
    }

    /// A report each whole access unit, every few milliseconds while one is open, and a few a second while
    /// nothing flows.
    fn report(&mut self, now: Instant) {
        let whole_pts_us = self.outbox.whole_pts_us.take();
        if whole_pts_us.is_none() && now < self.feedback_due() {
            return;
        }
        self.last_feedback = now;
        let mut report = self.reassembler.feedback(now);
        report.kernel_drops = u32::try_from(self.receiver.counters().kernel_drops).unwrap_or(u32::MAX);
        let host_us = self.time.host_us(self.clock.micros(now));
        report.one_way_delay_us = whole_pts_us.zip(host_us).map(|(pts_us, host_us)| {
            let delay_us = host_us.wrapping_sub(unwrap_pts(pts_us, host_us)) as i64;
            i32::try_from(delay_us).unwrap_or(i32::MAX)
        });
        let (seen, outbox) = (self.reassembler.counters(), &self.outbox);
        report.load = Some(self.load.sample(&seen, outbox.waiting(), outbox.dropped));
        self.wake_control |= self.feedback.push(report).is_ok();
        self.publish();
    }

    /// When the next report leaves, whatever comes. An access unit that opens after a report brings this forward, and so
    /// do shards that shall be sent again.
    fn feedback_due(&self) -> Instant {
        let is_open = self.reassembler.poll_timeout().is_some();
        let due = self.last_feedback + if is_open { FEEDBACK_INTERVAL } else { FEEDBACK_INTERVAL_IDLE };
        let due = self.overdue().map_or(due, |overdue| due.min(overdue));
        let spaced = |asks: Instant| asks.max(self.last_feedback + FEEDBACK_SPACING);
        self.reassembler.poll_report().map_or(due, |asks| due.min(spaced(asks)))
    }

    /// When a picture that has not come is reported so. This client may be at another address than it was, which the
    /// host learns from what it says only; a screen that stands still costs a few reports more.
    fn overdue(&self) -> Option<Instant> {
        let first = self.last_media + self.picture_interval * 5 / 4;
        let due = first.max(self.last_feedback + self.picture_interval);
        (due < self.last_media + FEEDBACK_INTERVAL_IDLE).then_some(due)
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.outbox.wake_decode) {
            self.decode.wake();
        }
        if std::mem::take(&mut self.wake_control) {
            self.control.wake();
        }
    }

    fn publish(&self) {
        let (seen, edge, to) = (self.reassembler.counters(), self.receiver.counters(), &self.counters);
        set(&to.datagrams, self.datagrams);
        set(&to.wire_bytes, self.wire_bytes);
        set(&to.placed, seen.placed);
        set(&to.copied, seen.copied);
        set(&to.surplus, seen.surplus);
        set(&to.replayed, seen.replayed);
        set(&to.late, seen.late);
        set(&to.malformed, seen.malformed);
        set(&to.bad_tag, seen.bad_tag);
        set(&to.unknown_epoch, seen.unknown_epoch);
        set(&to.over_limit, seen.over_limit);
        set(&to.dropped_decode_queue, self.outbox.dropped);
        set(&to.recovered, seen.shards_recovered);
        set(&to.lost_aus, seen.aus_lost);
        set(&to.late_aus, seen.aus_late);
        set(&to.dropped_memory, seen.aus_dropped_memory);
        set(&to.dropped_window, seen.aus_dropped_window);
        set(&to.kernel_drops, edge.kernel_drops);
        set(&to.fallbacks, edge.uring_refused);
        set(&to.batches, edge.batches);
        set(&to.spans_out, self.reassembler.spans_out() as u64);
        set(&to.span_bytes, seen.span_bytes);
    }

    /// Waits for the decode stage to give its spans back, for a bounded time.
    fn close(self, fault: Option<StageFault>) -> ReceiveEnd {
        let Self { receiver, mut reassembler, outbox, decode, .. } = self;
        let Outbox { deliveries, mut home, .. } = outbox;
        // The dropped producer tells the decode stage that nothing more comes.
        drop(deliveries);
        decode.wake();
        let deadline = Instant::now() + SHUTDOWN_WAIT;
        loop {
            let abandoned = home.is_abandoned();
            while let Ok(span) = home.pop() {
                reassembler.give_back(span);
            }
            if abandoned || Instant::now() >= deadline {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        ReceiveEnd { receiver, fault, spans_out: reassembler.spans_out() }
    }
}

/// Copies a QUIC datagram into the control thread's ring; one that is too long or finds no room is dropped and
/// counted, and QUIC sends it again.
fn pass_on(
    quic: &mut rtrb::Producer<ControlDatagram>,
    counters: &ReceiveCounters,
    segment: &punktfunk_net::Segment<'_>,
) {
    let len = segment.bytes.len();
    if len > CONTROL_DATAGRAM_BYTES_MAX {
        return add(&counters.dropped_control_size, 1);
    }
    let mut bytes = [0; CONTROL_DATAGRAM_BYTES_MAX];
    bytes[..len].copy_from_slice(segment.bytes);
    let (from, to) = (segment.from, segment.to);
    if quic.push(ControlDatagram { from, to, len: len as u16, bytes }).is_err() {
        add(&counters.dropped_control_queue, 1);
    }
}
