//! The encode stage: takes the newest picture, has it encoded, and lends its slices onwards.
//!
//! Promises: load is shed *before* encode when sending lags, so that no reference breaks: pictures wait at
//! their source, where the newest wins, and the newest is encoded as soon as there is room; a slice leaves
//! while the next is being encoded; every slice that was lent comes home before the stage ends; an access unit that fails
//! after its first slice was handed on is never whole to the client, and what follows is ordered to do without it.
//! Refuses: an encoder that gives more slices than were negotiated.

mod sink;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_perf::{Stage, Tap};
use punktfunk_proto::{IdrGate, Lost, Order, SessionClock};

use crate::limits::{
    AUS_IN_FLIGHT_MAX, CAPTURE_INTERVALS_MAX, LAG_WAIT, PICTURE_WAIT, PICTURE_WAIT_TOGETHER, SHUTDOWN_WAIT,
};
use crate::lost::LostCell;
use crate::protect::ProtectStage;
use crate::stage::{Stop, Waker};
use crate::stats::{EncodeCounters, ProtectCounters, add, set};

pub(crate) use sink::SliceItem;
pub use sink::{CpuCopies, SliceSink};

/// What a source answers when it is asked for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// There is one, taken at this instant.
    Picture(Instant),
    /// Nothing new came in the time given.
    Nothing,
    /// The source has come to its end.
    Ended,
}

/// How one picture shall be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeRequest {
    /// The access unit's number.
    pub au: u32,
    /// Whether it shall be an IDR.
    pub idr: bool,
    /// What the client misses, where the encoder can leave references out ([`Encode::leaves_out`]) and it shall be no
    /// IDR. The encoder makes it a recovery point ([`SliceSink::set_recovery_point`]): it refers to no access unit from
    /// `from_au` on, and neither it nor any after it to one that was ever named so. Without a reference that is older it
    /// is made an IDR. It is named with each picture until one of the two has come of it.
    pub lost: Option<Lost>,
    /// The wire's rate that the session may use now, redundancy included, in kbit/s.
    pub wire_kbps: u32,
    /// Bytes of media datagrams handed to the kernel so far, headers and parity included.
    pub wire_bytes: u64,
}

/// What became of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeOutcome {
    /// It was encoded; its slices are in the sink.
    Encoded,
    /// The encoder's rate control skipped it; nothing was given out.
    Skipped,
    /// The encoder failed at it and can go on. What was given out is of no use to anybody: an access unit that was begun is
    /// given up, and not tried again under its number.
    Failed,
}

/// Why a source, an encoder or a decoder cannot go on. The text names the fault and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct StageFault {
    /// The stage that failed.
    pub stage: &'static str,
    /// The cause, in the words of the crate that found it.
    pub reason: String,
}

impl StageFault {
    /// A fault of `stage` for `reason`.
    pub fn new(stage: &'static str, reason: impl fmt::Display) -> Self {
        Self { stage, reason: reason.to_string() }
    }
}

/// What a source gave so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Pictures taken, the superseded included.
    pub captured: u64,
    /// Pictures that a newer one replaced before they were encoded.
    pub superseded: u64,
    /// Pictures that could not be read, none of them among those taken.
    pub spoiled: u64,
    /// Of those taken the ones that were stamped when they came, for want of a time on our clock.
    pub stamped_here: u64,
    /// Bytes that the CPU copied to take pictures out of their producers' buffers, of those that were passed over, too.
    pub copied_bytes: u64,
}

/// A source of pictures and the encoder that takes them: what the programs fit to the engine.
pub trait Encode: Send + 'static {
    /// One lent slice: a pooled buffer, or the guard of an encoder's own memory. Parity is computed up to 15 % faster of
    /// one that begins at a cache line.
    type Slice: AsRef<[u8]> + Send + 'static;

    /// Waits up to `timeout` for the newest picture.
    ///
    /// # Errors
    /// The source broke; the text names the link.
    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault>;

    /// Encodes the picture that [`Encode::wait_picture`] announced, slice by slice into `out`.
    ///
    /// # Errors
    /// The encoder broke; an access unit begun in `out` is given up by the stage.
    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Self::Slice>,
    ) -> Result<EncodeOutcome, StageFault>;

    /// Encodes the newest picture that was encoded before once more: a screen that stands still gives no new
    /// one, and a client that lost a reference needs an IDR all the same. A source whose pictures move by
    /// themselves may skip.
    ///
    /// # Errors
    /// The encoder broke.
    fn repeat(
        &mut self,
        _request: &EncodeRequest,
        _out: &mut SliceSink<'_, Self::Slice>,
    ) -> Result<EncodeOutcome, StageFault> {
        Ok(EncodeOutcome::Skipped)
    }

    /// Whether the encoder can leave references out, so that a loss is healed without an IDR. Asked for each picture; one
    /// that cannot is asked for an IDR.
    fn leaves_out(&self) -> bool {
        false
    }

    /// Takes a slice back that the wire needs no more and that was not taken home ([`SliceSink::take_home`]).
    fn recycle(&mut self, slice: Self::Slice);

    /// What the source gave so far.
    fn counts(&self) -> SourceCounts;
}

/// The protect stage as the encode stage sees it.
pub(crate) enum Protect<S> {
    /// It has a thread of its own, which is woken.
    Apart(Waker),
    /// It has its turns on the encode stage's thread.
    Together(Box<ProtectStage<S>>),
}

impl<S: AsRef<[u8]>> Protect<S> {
    /// Slices lie in the ring.
    fn hand_on(&mut self) {
        match self {
            Self::Apart(waker) => waker.wake(),
            Self::Together(stage) => stage.take_turn(),
        }
    }

    /// Whether what was sent last held this thread up.
    fn has_waited(&self) -> bool {
        match self {
            Self::Apart(_) => false,
            Self::Together(stage) => stage.has_waited(),
        }
    }

    /// Sends the next of a speed test's filler; false where that is another thread's work, or there is none.
    fn send_filler(&mut self) -> bool {
        match self {
            Self::Apart(_) => false,
            Self::Together(stage) => {
                let is_filling = stage.is_filling();
                stage.send_filler();
                is_filling
            }
        }
    }

    /// How long the encode stage may wait for a picture at a time.
    fn picture_wait(&self) -> Duration {
        match self {
            Self::Apart(_) => PICTURE_WAIT,
            Self::Together(_) => PICTURE_WAIT_TOGETHER,
        }
    }
}

/// What came of one picture.
struct Encoded {
    slices: u16,
    /// Whether what was given out is a picture.
    is_sound: bool,
    taken_home: usize,
    bytes: u64,
    idr: bool,
    recovery_point: bool,
    captured: Captured,
    import: Duration,
    copies: CpuCopies,
}

/// When a picture was captured, and as which of its source's pictures where that is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Captured {
    at: Instant,
    number: Option<u64>,
}

impl Captured {
    /// How many of the source's intervals lie between `before` and this picture.
    fn intervals_since(&self, before: &Self) -> u32 {
        let passed = self.number.zip(before.number).map_or(1, |(now, before)| now.saturating_sub(before));
        u32::try_from(passed).unwrap_or(u32::MAX).clamp(1, CAPTURE_INTERVALS_MAX)
    }
}

/// What the control thread asks of the encode stage.
#[derive(Debug, Default)]
pub(crate) struct EncodeWishes {
    pub(crate) wire_kbps: AtomicU32,
    /// What the client misses.
    pub(crate) lost: LostCell,
}

impl EncodeWishes {
    pub(crate) fn at(wire_kbps: u32) -> Self {
        Self { wire_kbps: wire_kbps.into(), ..Self::default() }
    }
}

/// What the protect stage tells the encode stage.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Access units that are done with: sent, or given up.
    pub(crate) aus_done: AtomicU64,
    /// The key is used up and no report opens the next: nothing can be sealed.
    pub(crate) key_blocked: AtomicBool,
    /// A speed test has the wire: set by who asks for one, cleared when its last filler has left.
    pub(crate) filling: AtomicBool,
    /// Trains that have left: whether sending moves.
    pub(crate) trains: AtomicU64,
    /// Wakes the encode stage when one of the others changed.
    pub(crate) waker: Waker,
}

/// Everything that the stage owns.
pub(crate) struct EncodeStage<E: Encode> {
    pub(crate) encode: E,
    pub(crate) ring: rtrb::Producer<SliceItem<E::Slice>>,
    pub(crate) home: rtrb::Consumer<E::Slice>,
    pub(crate) protect: Protect<E::Slice>,
    pub(crate) wishes: Arc<EncodeWishes>,
    pub(crate) counters: Arc<EncodeCounters>,
    pub(crate) sent: Arc<ProtectCounters>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: SessionClock,
    pub(crate) gate: IdrGate,
    pub(crate) slices_max: u16,
    pub(crate) tap: Tap,
    pub(crate) stop: Stop,
    pub(crate) next_au: u32,
    pub(crate) slices_out: usize,
    /// Superseded pictures when sending began to lag: what is superseded until a picture is taken again was
    /// shed.
    pub(crate) lags_since: Option<u64>,
    pub(crate) shed: u64,
    /// The picture encoded before.
    pub(crate) captured: Option<Captured>,
}

/// How the stage came to its end.
pub(crate) struct EncodeEnd<E> {
    pub(crate) encode: E,
    pub(crate) fault: Option<StageFault>,
    pub(crate) slices_out: usize,
    /// Bytes of the arena still leased, where the protect stage had its turns here.
    pub(crate) arena_leased_bytes: Option<usize>,
}

impl<E: Encode> EncodeStage<E> {
    /// Runs until told to stop, the source ends, or a fault.
    pub(crate) fn run(mut self) -> EncodeEnd<E> {
        self.progress.waker.attach();
        let fault = loop {
            if self.stop.is_requested() {
                break None;
            }
            if let Protect::Together(stage) = &mut self.protect {
                stage.take_turn();
            }
            self.recycle();
            if self.is_lagging() {
                self.lags_since.get_or_insert(self.encode.counts().superseded);
                if !self.protect.send_filler() {
                    std::thread::park_timeout(LAG_WAIT);
                }
                continue;
            }
            match self.encode.wait_picture(self.protect.picture_wait()) {
                Ok(Wait::Nothing) => {
                    if let Err(fault) = self.repeat_if_due(Instant::now()) {
                        break Some(fault);
                    }
                }
                Ok(Wait::Ended) => break None,
                Ok(Wait::Picture(captured_at)) => {
                    let outcome = self.encode_one(captured_at, false, Instant::now());
                    // Only now has every source counted what it passed over.
                    self.count_shed();
                    if self.protect.has_waited() {
                        self.lags_since = Some(self.encode.counts().superseded);
                    }
                    if let Err(fault) = outcome {
                        break Some(fault);
                    }
                }
                Err(fault) => break Some(fault),
            }
            self.publish();
        };
        self.publish();
        self.close(fault)
    }

    /// Whether the next picture has to wait: too much is under way, nothing can be sealed, or a speed test runs.
    fn is_lagging(&self) -> bool {
        let in_flight =
            u64::from(self.next_au).saturating_sub(self.progress.aus_done.load(Ordering::Acquire));
        in_flight >= AUS_IN_FLIGHT_MAX
            || self.progress.key_blocked.load(Ordering::Acquire)
            || self.progress.filling.load(Ordering::Acquire)
    }

    fn count_shed(&mut self) {
        if let Some(before) = self.lags_since.take() {
            self.shed += self.encode.counts().superseded - before;
        }
    }

    /// A still screen gives no picture to heal a loss with: the last one is encoded again.
    fn repeat_if_due(&mut self, now: Instant) -> Result<(), StageFault> {
        if self.next_au > 0 && self.order(now) != Order::Usual {
            self.encode_one(now, true, now)
        } else {
            Ok(())
        }
    }

    fn encode_one(&mut self, captured_at: Instant, again: bool, now: Instant) -> Result<(), StageFault> {
        if self.next_au == u32::MAX {
            return Err(StageFault::new(
                "encode",
                "the session's access-unit numbers are used up; connect again",
            ));
        }
        let (idr, lost) = match self.order(now) {
            Order::Usual => (false, None),
            Order::Recover(lost) => (false, Some(lost)),
            Order::Idr => (true, None),
        };
        let request = EncodeRequest {
            au: self.next_au,
            idr,
            lost,
            wire_kbps: self.wishes.wire_kbps.load(Ordering::Relaxed),
            wire_bytes: self.sent.wire_bytes.load(Ordering::Relaxed),
        };
        let (outcome, encoded) = self.encode_into_sink(&request, captured_at, again, now);
        if encoded.slices > 0 && !again {
            self.note_cadence(encoded.captured);
        }
        self.note(&encoded, request.au, now);
        outcome?;
        if encoded.slices == 0 && !encoded.is_sound && !again {
            add(&self.counters.skipped, 1);
        }
        Ok(())
    }

    fn encode_into_sink(
        &mut self,
        request: &EncodeRequest,
        captured_at: Instant,
        again: bool,
        now: Instant,
    ) -> (Result<EncodeOutcome, StageFault>, Encoded) {
        let mut sink = SliceSink {
            ring: &mut self.ring,
            home: &mut self.home,
            protect: &mut self.protect,
            tap: &mut self.tap,
            au: request.au,
            captured_at,
            began: now,
            clock: self.clock,
            slices_max: self.slices_max,
            slices: 0,
            taken_home: 0,
            idr: false,
            may_recover: request.lost.is_some(),
            recovery_point: false,
            closed: false,
            bytes: 0,
            import: Duration::ZERO,
            copies: CpuCopies::default(),
            number: None,
            ready_at: None,
        };
        let outcome = match again {
            false => self.encode.encode(request, &mut sink),
            true => self.encode.repeat(request, &mut sink),
        };
        let is_sound = matches!(outcome, Ok(EncodeOutcome::Encoded));
        sink.close(is_sound);
        let encoded = Encoded {
            slices: sink.slices,
            is_sound,
            taken_home: sink.taken_home,
            bytes: sink.bytes,
            idr: sink.idr,
            recovery_point: sink.recovery_point && !sink.idr,
            captured: Captured { at: sink.captured_at, number: sink.number },
            import: sink.import,
            copies: sink.copies,
        };
        (outcome, encoded)
    }

    /// Counts and times what was encoded, if anything was.
    fn note(&mut self, encoded: &Encoded, au: u32, now: Instant) {
        self.slices_out += usize::from(encoded.slices);
        self.slices_out -= encoded.taken_home;
        add(&self.counters.copied_import, encoded.copies.import);
        add(&self.counters.copied_slices, encoded.copies.slices);
        if encoded.slices == 0 {
            return;
        }
        self.next_au += 1;
        add(&self.counters.encoded, 1);
        add(&self.counters.bytes, encoded.bytes);
        set(&self.counters.next_au, u64::from(self.next_au));
        if !encoded.is_sound {
            add(&self.counters.failed, 1);
            // The client learns of it with what follows, which refers to it no more: at once, and not when it has asked.
            return self.gate.handle_request(Lost { from_au: au, to_au: au }, self.next_au);
        }
        self.note_clean_point(encoded, au, now);
        self.tap.record(Stage::Capture, now.saturating_duration_since(encoded.captured.at));
        if !encoded.import.is_zero() {
            self.tap.record(Stage::Import, encoded.import);
        }
        self.tap.record(Stage::Encode, now.elapsed().saturating_sub(encoded.import));
    }

    fn note_clean_point(&mut self, encoded: &Encoded, au: u32, now: Instant) {
        if encoded.idr {
            add(&self.counters.idrs, 1);
            let answered = self.gate.handle_idr(au, now);
            // From AU 0 on is missed what an IDR was asked for by name, too.
            let had_none = self.encode.leaves_out() && answered.is_some_and(|lost| lost.from_au > 0);
            add(&self.counters.idrs_no_reference, u64::from(had_none));
        }
        if encoded.recovery_point {
            add(&self.counters.recovery_points, 1);
            let invalidated = self.gate.handle_recovery_point(au);
            add(&self.counters.references_invalidated, u64::from(invalidated));
        }
    }

    /// Notes the source's cadence. Pictures that were passed over since the one encoded before were captured all the
    /// same: each has an equal part of the time between.
    fn note_cadence(&mut self, captured: Captured) {
        let Some(before) = self.captured.replace(captured) else { return };
        let intervals = captured.intervals_since(&before);
        let each = captured.at.saturating_duration_since(before.at) / intervals;
        (0..intervals).for_each(|_| self.tap.record(Stage::CaptureInterval, each));
    }

    /// How the next picture shall be encoded, by what the client misses.
    fn order(&mut self, now: Instant) -> Order {
        if let Some(lost) = self.wishes.lost.take() {
            self.gate.handle_request(lost, self.next_au);
        }
        self.gate.decide(self.next_au, self.encode.leaves_out(), now)
    }

    fn recycle(&mut self) {
        while let Ok(slice) = self.home.pop() {
            self.slices_out -= 1;
            self.encode.recycle(slice);
        }
    }

    fn publish(&self) {
        let counts = self.encode.counts();
        set(&self.counters.captured, counts.captured);
        set(&self.counters.superseded, counts.superseded - self.shed);
        set(&self.counters.shed, self.shed);
        set(&self.counters.spoiled, counts.spoiled);
        set(&self.counters.stamped_here, counts.stamped_here);
        set(&self.counters.copied_capture, counts.copied_bytes);
    }

    /// Waits until the protect stage has sent what it was lent and has ended. A source that came to its end leaves
    /// the pacer its time, as long as trains leave or slices come home; a request to stop bounds it.
    fn close(self, fault: Option<StageFault>) -> EncodeEnd<E> {
        let Self { ring, protect, mut home, mut encode, mut slices_out, stop, progress, .. } = self;
        // The dropped producer tells the protect stage that nothing more comes.
        drop(ring);
        let arena_leased_bytes = match protect {
            Protect::Apart(waker) => {
                waker.wake();
                None
            }
            Protect::Together(mut stage) => {
                stage.take_turn();
                stage.linger();
                Some(stage.finish())
            }
        };
        let (mut deadline, mut seen) = (Instant::now() + SHUTDOWN_WAIT, None);
        loop {
            let abandoned = home.is_abandoned();
            while let Ok(slice) = home.pop() {
                slices_out -= 1;
                encode.recycle(slice);
            }
            // After a request to stop nothing counts as moving but the request itself.
            let moved = match stop.is_requested() {
                false => Some((slices_out, progress.trains.load(Ordering::Relaxed))),
                true => None,
            };
            if seen.replace(moved) != Some(moved) {
                deadline = Instant::now() + SHUTDOWN_WAIT;
            }
            if abandoned || Instant::now() >= deadline {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        EncodeEnd { encode, fault, slices_out, arena_leased_bytes }
    }
}
