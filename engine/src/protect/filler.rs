//! A speed test's filler, sent by the stage that sends video, and in its place.
//!
//! Promises: filler goes the very way of video: coded, sealed, in trains, through a pacer, by the same sender to the same
//! address; the client's reports are served meanwhile; what the kernel takes of it is counted apart from video.
//! Refuses to send anything after the test's end, or over another path than it began on.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_net::Lease;
use punktfunk_proto::speed::Next;
use punktfunk_proto::{
    Burst, BurstBlock, Filler, FillerSent, Lost, Pacer, SessionClock, SpeedTestOrder, seal_filler,
    seal_filler_parity,
};
use punktfunk_seal::Sealer;

use super::{Cut, ProtectStage, train_segments};
use crate::limits::PACE_SLEEP_MAX;
use crate::stats::{ProtectCounters, set};

/// Why a speed test has ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FillerFault {
    /// Media goes another way now.
    #[error("the client has moved to another address during the test")]
    PathChanged,
    /// The path takes no such long datagrams any more.
    #[error("the path carries shorter datagrams than it did when the test began")]
    PathShrunk,
    /// The kernel keeps the memory that is sent from, or there is too little of it.
    #[error("the host had no memory left to send from")]
    Arena,
}

/// What comes of a test.
pub(crate) type Outcome = Result<FillerSent, FillerFault>;

/// Everything that the stage owns for it.
pub(crate) struct FillerWork {
    /// None where the pipeline offers no test.
    sealer: Option<Sealer>,
    clock: SessionClock,
    burst_bytes: usize,
    done: rtrb::Producer<Outcome>,
    /// The data of a block; empty before the first test.
    data: Vec<u8>,
    run: Option<Run>,
    /// What was sent of the tests before.
    totals: FillerSent,
}

/// The test under way.
struct Run {
    filler: Filler,
    pacer: Pacer,
    began: Instant,
    sent: FillerSent,
}

impl FillerWork {
    pub(crate) fn new(
        sealer: Option<Sealer>,
        clock: SessionClock,
        burst_bytes: usize,
        done: rtrb::Producer<Outcome>,
    ) -> Self {
        Self { sealer, clock, burst_bytes, done, data: Vec::new(), run: None, totals: FillerSent::default() }
    }

    pub(super) fn handle_epoch_opened(&mut self, epoch: u32) {
        if let Some(sealer) = &mut self.sealer {
            sealer.handle_epoch_opened(epoch);
        }
    }

    /// All that was sent so far.
    pub(super) fn sent(&self) -> FillerSent {
        let now = self.run.as_ref().map_or(FillerSent::default(), |run| run.sent);
        FillerSent {
            datagrams: self.totals.datagrams + now.datagrams,
            wire_bytes: self.totals.wire_bytes + now.wire_bytes,
            dropped: self.totals.dropped + now.dropped,
            ..FillerSent::default()
        }
    }

    pub(super) fn publish(&self, to: &ProtectCounters) {
        let sent = self.sent();
        set(&to.filler_datagrams, sent.datagrams);
        set(&to.filler_bytes, sent.wire_bytes);
        set(&to.filler_dropped, sent.dropped);
    }
}

/// Why a burst was not sent whole.
enum BurstCut {
    /// Nothing more is sent, and what was sent counts: the time is over, the key used up, or the pipeline shall stop.
    Over,
    /// There is no result.
    Fault(FillerFault),
}

impl From<Cut> for BurstCut {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Arena | Cut::Lent => Self::Fault(FillerFault::Arena),
            Cut::TooLong => Self::Fault(FillerFault::PathShrunk),
            Cut::Key(_) | Cut::Blocked | Cut::Stopped => Self::Over,
        }
    }
}

impl<S: AsRef<[u8]>> ProtectStage<S> {
    /// Begins a test, for which the encode stage waits already.
    pub(super) fn begin_filler(&mut self, test: u16, order: SpeedTestOrder) {
        let now = Instant::now();
        // Not zeros, which the kernel would only promise: to read them must cost what reading a slice does.
        self.filler.data.resize(Burst::block_bytes_max(), 0xA5);
        let filler = Filler::new(test, order, self.patience, self.resends.redundancy(now), now);
        let pacer = Pacer::new(order.pace_kbps(), self.filler.burst_bytes);
        let sent = FillerSent { test, ..FillerSent::default() };
        self.filler.run = Some(Run { filler, pacer, began: now, sent });
        tracing::info!(
            test,
            kbps = order.target_kbps(),
            ms = order.duration_ms(),
            "a speed test; video waits"
        );
    }

    /// Whether a test is under way.
    pub(crate) fn is_filling(&self) -> bool {
        self.filler.run.is_some()
    }

    /// Does the next thing of the test under way: waits a little, or sends a burst.
    pub(crate) fn send_filler(&mut self) {
        let (shard_bytes, now) = (self.packetizer.shard_bytes(), Instant::now());
        let Some(run) = &mut self.filler.run else { return };
        let sent = match run.filler.poll(shard_bytes, now) {
            Next::Over => Err(BurstCut::Over),
            Next::Wait(until) => {
                // A command that comes meanwhile waits no longer than that; a stop is the caller's to notice.
                let _ = self.departures.wait_for(until.min(now + PACE_SLEEP_MAX), &self.stop);
                Ok(())
            }
            Next::Burst(burst) => {
                run.pacer.begin_au(now);
                burst.blocks().try_for_each(|block| self.send_filler_block(&block))
            }
        };
        self.publish();
        match sent {
            Ok(()) => {}
            Err(BurstCut::Over) => self.end_filler(None),
            Err(BurstCut::Fault(fault)) => self.end_filler(Some(fault)),
        }
    }

    /// Ends the test, if there is one, and lets video go on, with an IDR.
    pub(super) fn end_filler(&mut self, fault: Option<FillerFault>) {
        let Some(run) = self.filler.run.take() else { return };
        // One that has come to its end took whole intervals, the last one's rest included.
        let period = run.began.elapsed().min(run.filler.period());
        let sent = FillerSent { period_us: period.as_micros() as u64, ..run.sent };
        let totals = &mut self.filler.totals;
        totals.datagrams += sent.datagrams;
        totals.wire_bytes += sent.wire_bytes;
        totals.dropped += sent.dropped;
        tracing::info!(
            test = sent.test,
            datagrams = sent.datagrams,
            ?fault,
            "the speed test's filler has left"
        );
        // There is one test at a time, and a place for its outcome.
        if self.filler.done.push(fault.map_or(Ok(sent), Err)).is_err() {
            tracing::debug!("nobody has taken the outcome of the speed test before");
        }
        self.wishes.lost.tell(Lost::all_up_to(self.au.number));
        self.progress.filling.store(false, Ordering::Release);
        self.progress.waker.wake();
    }

    fn send_filler_block(&mut self, block: &BurstBlock) -> Result<(), BurstCut> {
        let lease = self.lease_filler(block.slots_bytes())?;
        let sent = self.send_filler_data(block, &lease).and_then(|()| self.send_filler_parity(block, &lease));
        self.arena.release(lease);
        sent
    }

    /// What is held for resends goes where there is no room: after a test an IDR comes in any case.
    fn lease_filler(&mut self, bytes: usize) -> Result<Lease, BurstCut> {
        if let Some(lease) = self.arena.lease(bytes) {
            return Ok(lease);
        }
        self.resends.release_all(&mut self.arena, Instant::now());
        self.sender.settle(self.patience);
        self.arena.lease(bytes).ok_or(BurstCut::Fault(FillerFault::Arena))
    }

    fn send_filler_data(&mut self, block: &BurstBlock, lease: &Lease) -> Result<(), BurstCut> {
        let (data, stride) = (usize::from(block.k), block.stride());
        let mut first = 0;
        while first < data {
            let asked = Instant::now();
            let range = first..data.min(first + self.filler_segments(stride, asked)?);
            first = range.end;
            let departure = self.filler_departure(range.len() * stride, asked)?;
            let pts_us = self.filler.clock.pts(departure);
            let FillerWork { sealer: Some(sealer), data, .. } = &mut self.filler else {
                return Err(BurstCut::Over);
            };
            let slots = self.arena.bytes_mut(lease);
            seal_filler(block, range.clone(), data, slots, pts_us, sealer, asked).map_err(Cut::Key)?;
            self.send_filler_train(block, range, lease, (asked, departure))?;
        }
        Ok(())
    }

    fn send_filler_parity(&mut self, block: &BurstBlock, lease: &Lease) -> Result<(), BurstCut> {
        let (data, shards, stride) = (usize::from(block.k), block.shards(), block.stride());
        let mut asked = Instant::now();
        let mut range = data..shards.min(data + self.filler_segments(stride, asked)?);
        let mut departure = self.filler_departure(range.len() * stride, asked)?;
        // All of it bears its first train's time, of which a receiver looks at the first datagram.
        let pts_us = self.filler.clock.pts(departure);
        let shape = block.fec_shape().expect("the block comes from a plan");
        let payload = &self.filler.data[..block.data_bytes()];
        let parity = self.fec.encode(shape, payload).expect("as long as the shape says");
        let Some(sealer) = &mut self.filler.sealer else { return Err(BurstCut::Over) };
        let slots = self.arena.bytes_mut(lease);
        seal_filler_parity(block, data..shards, &parity, slots, pts_us, sealer, asked).map_err(Cut::Key)?;
        loop {
            let first = range.end;
            self.send_filler_train(block, range, lease, (asked, departure))?;
            if first == shards {
                return Ok(());
            }
            asked = Instant::now();
            range = first..shards.min(first + self.filler_segments(stride, asked)?);
            departure = self.filler_departure(range.len() * stride, asked)?;
        }
    }

    /// Segments that the next call may take.
    fn filler_segments(&self, stride: usize, now: Instant) -> Result<usize, BurstCut> {
        let run = self.filler.run.as_ref().ok_or(BurstCut::Over)?;
        Ok(train_segments(&self.sender, &run.pacer, stride, now))
    }

    fn filler_departure(&mut self, bytes: usize, asked: Instant) -> Result<Instant, BurstCut> {
        let run = self.filler.run.as_mut().filter(|run| asked < run.filler.end()).ok_or(BurstCut::Over)?;
        Ok(run.pacer.departure(bytes, asked))
    }

    fn send_filler_train(
        &mut self,
        block: &BurstBlock,
        shards: Range<usize>,
        lease: &Lease,
        (asked, departure): (Instant, Instant),
    ) -> Result<(), BurstCut> {
        self.serve_reports()?;
        let (start, _) = self.await_departure(departure, asked)?;
        let (waits, too_long) = (self.sender.counters().waits_full, self.sender.counters().emsgsize);
        let stride = block.stride();
        let trains = &self.arena.bytes(lease)[shards.start * stride..shards.end * stride];
        let leaves_at = departure.max(start);
        let report = self.sender.send_at(self.destination, trains, stride, self.patience, leaves_at);
        let has_waited = self.sender.counters().waits_full > waits;
        self.progress.trains.fetch_add(1, Ordering::Relaxed);
        if let Some(run) = &mut self.filler.run {
            run.sent.handle_train(block, shards.start, report.sent, report.dropped);
            let waited = if has_waited { start.elapsed() } else { Duration::ZERO };
            run.sent.blocked_us += waited.as_micros() as u64;
        }
        if self.sender.counters().emsgsize > too_long {
            self.shrink_path("the kernel takes no such long datagrams");
            return Err(BurstCut::Fault(FillerFault::PathShrunk));
        }
        Ok(())
    }
}
