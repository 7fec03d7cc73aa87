//! The protect and send stage: FEC blocks into the wire arena, sealed, paced, sent a train at a time.
//!
//! Promises: data shards leave first, while the encoder is at work on the next slice; a datagram is
//! written once, where it is sent from; what a report asks for is sent again from there, before new data; what the
//! kernel does not take is counted; a full send buffer, and memory that the kernel has on loan, hold an access unit up
//! for one picture's interval at most. Refuses: to allocate, to lock, or to make a system call for a single datagram of
//! a train.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_net::{Arena, Lease, Sender};
use punktfunk_perf::{Stage, Tap};
use punktfunk_proto::limits::SHARD_BYTES_START;
use punktfunk_proto::{
    BitrateControl, BlockPlan, LinkRate, Lost, Pacer, Packetizer, PathWatch, SpeedTestOrder, seal_data,
    seal_parity,
};
use punktfunk_seal::{SealError, Sealer};

use crate::departure::Departures;
use crate::encode::{EncodeWishes, Progress, SliceItem};
use crate::limits::{CALL_BYTES_MAX, PACE_SLEEP_MAX, STAGE_WAIT};
use crate::machine::Idle;
use crate::stage::{Stop, Waker, wait_until};
use crate::stats::{ProtectCounters, add};

mod au;
mod filler;
mod published;
mod rate;
mod resends;

pub(crate) use au::AuInProgress;
use au::Cut;

pub use filler::FillerFault;
pub(crate) use filler::{FillerWork, Outcome as FillerOutcome};
pub(crate) use resends::{Resends, Told};

/// What the control thread tells the stage.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it goes by value through a ring; a box would be an allocation a report"
)]
pub(crate) enum Command {
    /// Media goes to the one address from the next slice on, and leaves from the other.
    Destination(SocketAddr, Option<IpAddr>),
    /// Shards have this many bytes from the next access unit on.
    ShardBytes(u16),
    /// The wire's rate that the session has now, in kbit/s.
    WireRate(u32),
    /// The pacer's rate in kbit/s, where it is fixed.
    PaceRate(u32),
    /// Pictures are so far apart from now on.
    PictureInterval(Duration),
    /// What the client reports.
    Feedback(Told),
    /// A speed test begins.
    SpeedTest(u16, SpeedTestOrder),
    /// The epoch of the probe plane that the client has opened.
    ProbeEpoch(u32),
}

/// Everything that the stage owns.
pub(crate) struct ProtectStage<S> {
    pub(crate) slices: rtrb::Consumer<SliceItem<S>>,
    pub(crate) home: rtrb::Producer<S>,
    pub(crate) commands: rtrb::Consumer<Command>,
    pub(crate) waker: Waker,
    pub(crate) packetizer: Packetizer,
    pub(crate) fec: Encoder,
    pub(crate) sealer: Sealer,
    pub(crate) arena: Arena,
    pub(crate) sender: Sender,
    pub(crate) pacer: Pacer,
    /// What the pacer's rate follows; none where it is fixed.
    pub(crate) link: Option<LinkRate>,
    /// What the wire's rate follows; none where it is fixed.
    pub(crate) bitrate: Option<BitrateControl>,
    /// Whether it was said that a lower rate does not help.
    pub(crate) is_futile_said: bool,
    pub(crate) departures: Departures,
    pub(crate) path: PathWatch,
    pub(crate) destination: SocketAddr,
    /// How long an access unit may wait for a full send buffer, all its trains together: one picture's interval.
    pub(crate) patience: Duration,
    pub(crate) idle: Idle,
    pub(crate) progress: Arc<Progress>,
    pub(crate) wishes: Arc<EncodeWishes>,
    pub(crate) counters: Arc<ProtectCounters>,
    pub(crate) tap: Tap,
    pub(crate) stop: Stop,
    pub(crate) resends: Resends,
    pub(crate) au: AuInProgress,
    pub(crate) filler: FillerWork,
}

impl<S: AsRef<[u8]>> ProtectStage<S> {
    /// Runs until the encode stage has gone and all that it lent is sent and home; returns the bytes of
    /// the arena that are still leased, which is 0.
    pub(crate) fn run(mut self) -> usize {
        self.waker.attach();
        loop {
            self.handle_commands();
            // A stop is noticed below.
            let _ = self.resend();
            if let Ok(item) = self.slices.pop() {
                self.handle_slice(item);
                continue;
            }
            if self.is_filling() && !self.stop.is_requested() {
                self.send_filler();
                continue;
            }
            // In this order: what was pushed before the other end went is seen by the second look.
            if self.slices.is_abandoned() && self.slices.is_empty() {
                break;
            }
            let (slices, commands) = (&self.slices, &self.commands);
            wait_until(self.idle, Instant::now() + STAGE_WAIT, || {
                !slices.is_empty() || slices.is_abandoned() || !commands.is_empty()
            });
        }
        self.linger();
        self.finish()
    }

    /// Does all that there is to do now: the turn of a stage that shares the encode stage's thread.
    pub(crate) fn take_turn(&mut self) {
        self.handle_commands();
        // A stop is noticed by the encode stage.
        let _ = self.resend();
        while let Ok(item) = self.slices.pop() {
            self.handle_slice(item);
        }
    }

    /// Gives all leases back; returns the bytes of the arena that are still leased, which is 0.
    pub(crate) fn finish(mut self) -> usize {
        self.release_leases();
        self.resends.release_all(&mut self.arena, Instant::now());
        self.publish();
        self.arena.leased_bytes()
    }

    /// Whether the access unit that was sent last had to wait, for its departure times or for a full send buffer.
    pub(crate) fn has_waited(&self) -> bool {
        self.au.has_waited
    }

    fn handle_commands(&mut self) {
        // What comes meanwhile has its turn after the next slice: the client's reports must not hold media up.
        for _ in 0..self.commands.slots() {
            let Ok(command) = self.commands.pop() else { return };
            self.handle_command(&command);
        }
    }

    fn handle_command(&mut self, command: &Command) {
        match command {
            Command::Destination(destination, source) => {
                self.handle_path(*destination, *source);
            }
            Command::ShardBytes(bytes) => self.packetizer.set_shard_bytes(*bytes),
            Command::PaceRate(kbps) if self.link.is_none() => self.pacer.set_rate(*kbps),
            Command::PaceRate(_) => {}
            Command::PictureInterval(interval) => self.handle_interval(*interval),
            Command::WireRate(kbps) => self.handle_wire_rate(*kbps),
            Command::Feedback(told) => self.handle_told(told),
            Command::SpeedTest(test, order) => self.begin_filler(*test, *order),
            Command::ProbeEpoch(epoch) => self.filler.handle_epoch_opened(*epoch),
        }
    }

    /// Media goes another way now, of which nothing is known: short shards, and a rate as in a new session.
    fn handle_path(&mut self, destination: SocketAddr, source: Option<IpAddr>) {
        self.destination = destination;
        self.sender.set_source(source);
        self.sender.restart();
        self.path.restart();
        self.packetizer.set_shard_bytes(self.packetizer.shard_bytes().min(SHARD_BYTES_START));
        if let Some(link) = &mut self.link {
            link.restart();
        }
        let change = self.bitrate.as_mut().and_then(BitrateControl::restart);
        self.follow(change);
        self.end_filler(Some(FillerFault::PathChanged));
        add(&self.counters.path_changed, 1);
    }

    /// The path carries no such long datagrams any more. The next access unit has short ones, and an IDR repairs what
    /// was lost; QUIC's search says later what the path carries now.
    fn shrink_path(&mut self, why: &str) {
        let before = self.packetizer.shard_bytes();
        if before <= SHARD_BYTES_START {
            return;
        }
        self.packetizer.set_shard_bytes(SHARD_BYTES_START);
        tracing::warn!(before, now = SHARD_BYTES_START, why, "the path has shrunk: shards are made short");
        self.path.restart();
        add(&self.counters.path_shrunk, 1);
        self.wishes.lost.tell(Lost::all_up_to(self.au.number));
    }

    fn begin_au(&mut self, item: &SliceItem<S>, now: Instant) {
        self.packetizer.set_redundancy(self.resends.begin_au(item.au, now));
        self.packetizer.begin(item.au, item.pts_us, item.idr, item.recovery_point);
        let pace = self.link.as_mut().map(|link| link.begin_au(item.au, item.idr, now));
        self.set_pace(pace);
        self.pacer.begin_au(now);
        self.au.broken = false;
        self.au.given_up = false;
        self.au.has_waited = false;
        self.au.has_left = false;
        self.au.patience = self.patience;
        self.au.number = item.au;
        self.au.idr = item.idr;
        self.au.shard_bytes = 0;
        self.au.first_left_at = None;
    }

    /// Sends one slice, and closes the access unit with its last.
    fn handle_slice(&mut self, item: SliceItem<S>) {
        if item.first {
            // What the kernel was lent of the last access units the arena leases again when it is back; for what is
            // not, a lease that finds no room waits.
            self.sender.settle(Duration::ZERO);
            self.begin_au(&item, Instant::now());
        }
        // After a request to stop what is queued is let go, so that the slices are home at once.
        self.au.broken |= self.stop.is_requested();
        if item.slice.is_some() {
            self.au.last_ready_at = Some(item.ready_at);
            self.tap.record(Stage::HandOver, item.ready_at.elapsed());
        }
        if !self.au.broken {
            match &item.slice {
                Some(slice) => self.send_slice(slice.as_ref(), item.last),
                None if item.given_up => self.give_up(),
                None => self.send_late_end(),
            }
        }
        if let Some(slice) = item.slice
            && self.home.push(slice).is_err()
        {
            // The ring home has a place for each slice that can be out; only a gone encode stage refuses.
            tracing::debug!("a slice came home after its encoder had gone");
        }
        // Not before: whoever sees an access unit done finds its slices home.
        if item.last {
            self.finish_au(item.captured_at);
        }
    }

    fn send_slice(&mut self, slice: &[u8], last: bool) {
        let plans = match self.packetizer.plan_slice(slice.len(), last) {
            Ok(plans) => plans,
            Err(error) => {
                tracing::error!(%error, "an access unit does not fit what was negotiated");
                return self.cut();
            }
        };
        for plan in plans {
            if let Err(cut) = self.send_block(&plan, slice) {
                match cut {
                    Cut::Arena => tracing::error!("the wire arena is too small for an access unit"),
                    Cut::Blocked => {
                        tracing::debug!(au = self.au.number, "the send buffer is full; the rest is not sent");
                    }
                    Cut::Lent => {
                        tracing::debug!(
                            au = self.au.number,
                            "the kernel keeps the arena; the rest is not sent"
                        );
                    }
                    Cut::Stopped | Cut::TooLong => {}
                    Cut::Key(error) => self.block_key(&error),
                }
                return self.cut();
            }
        }
    }

    /// Nothing can be sealed until a report opens the next epoch: the encode stage sheds meanwhile. The client
    /// reports by itself, idle or not.
    fn block_key(&mut self, error: &SealError) {
        add(&self.counters.dropped_key_exhausted, 1);
        if !self.progress.key_blocked.swap(true, Ordering::AcqRel) {
            tracing::warn!(%error, "no report opens the next epoch; pictures are shed until one does");
        }
    }

    fn send_late_end(&mut self) {
        let sent = match self.packetizer.finish_empty() {
            Ok(plan) => self.send_block(&plan, &[]).is_ok(),
            Err(_) => false,
        };
        if !sent {
            self.cut();
        }
    }

    /// The encoder failed at the access unit: without an end it is never whole, and nothing of it is asked for again.
    fn give_up(&mut self) {
        self.au.given_up = true;
        self.resends.end_au(self.au.number);
        tracing::debug!(au = self.au.number, "the encoder gave the access unit up");
    }

    fn cut(&mut self) {
        self.au.broken = true;
        self.resends.end_au(self.au.number);
        if !self.stop.is_requested() {
            add(&self.counters.dropped_protect, 1);
            // The client cannot know of what was never sent, and what else it misses is not known here: an IDR is asked for.
            self.wishes.lost.tell(Lost::all_up_to(self.au.number));
        }
    }

    fn send_block(&mut self, plan: &BlockPlan, slice: &[u8]) -> Result<(), Cut> {
        let lease = self.lease(plan.slots_bytes())?;
        let outcome = self.fill_and_send(plan, slice, &lease);
        match outcome {
            Ok(()) => self.resends.hold(plan, lease, &mut self.arena, Instant::now()),
            Err(_) => self.au.leases.push(lease),
        }
        outcome
    }

    /// Room for a block. What is held for resends goes first; then the kernel has what is missing, and is waited for.
    fn lease(&mut self, bytes: usize) -> Result<Lease, Cut> {
        let asked = Instant::now();
        self.resends.release(&mut self.arena, asked);
        if let Some(lease) = self.resends.lease(&mut self.arena, bytes, asked) {
            return Ok(lease);
        }
        let is_settled = self.sender.settle(self.au.patience);
        self.au.has_waited = true;
        self.au.patience = self.au.patience.saturating_sub(asked.elapsed());
        let lease = self.resends.lease(&mut self.arena, bytes, Instant::now());
        lease.ok_or(if is_settled { Cut::Arena } else { Cut::Lent })
    }

    fn fill_and_send(&mut self, plan: &BlockPlan, slice: &[u8], lease: &Lease) -> Result<(), Cut> {
        let (data, shards) = (usize::from(plan.k), usize::from(plan.k) + usize::from(plan.m));
        let stride = plan.stride();
        let mut first = 0;
        while first < data {
            let start = Instant::now();
            let range = first..data.min(first + train_segments(&self.sender, &self.pacer, stride, start));
            first = range.end;
            let slots = self.arena.bytes_mut(lease);
            seal_data(plan, range.clone(), slice, slots, &mut self.sealer, start).map_err(Cut::Key)?;
            self.au.seal += start.elapsed();
            self.send_trains(plan, range, lease)?;
        }
        let start = Instant::now();
        let shape = plan.fec_shape().expect("the plan comes from a packetizer");
        let payload = &slice[plan.range()];
        let parity =
            self.fec.encode(shape, payload).expect("the plan's shape and range were made for each other");
        let coded = Instant::now();
        let slots = self.arena.bytes_mut(lease);
        seal_parity(plan, &parity, slots, &mut self.sealer, start).map_err(Cut::Key)?;
        self.au.fec += coded - start;
        self.au.seal += coded.elapsed();
        while first < shards {
            let range =
                first..shards.min(first + train_segments(&self.sender, &self.pacer, stride, Instant::now()));
            first = range.end;
            match self.send_trains(plan, range, lease) {
                // All the data has left: with it the block is sent, and the client will count it so.
                Err(Cut::Stopped) => break,
                sent => sent?,
            }
        }
        add(&self.counters.parity_datagrams, u64::from(plan.m));
        Ok(())
    }

    fn send_trains(&mut self, plan: &BlockPlan, shards: Range<usize>, lease: &Lease) -> Result<(), Cut> {
        self.serve_reports()?;
        let stride = plan.stride();
        let bytes = shards.start * stride..shards.end * stride;
        let departure = self.wait_departure(bytes.len())?;
        let start = Instant::now();
        let leaves_at = departure.max(start);
        let (waits, too_long) = (self.sender.counters().waits_full, self.sender.counters().emsgsize);
        let trains = &self.arena.bytes(lease)[bytes.start..bytes.end];
        let report = self.sender.send_at(self.destination, trains, stride, self.au.patience, leaves_at);
        let has_waited = self.sender.counters().waits_full > waits;
        self.progress.trains.fetch_add(1, Ordering::Relaxed);
        let pace = self.link.as_mut().map(|link| link.handle_train(shards.len(), bytes.len(), leaves_at));
        self.set_pace(pace);
        self.au.shard_bytes = plan.shard_bytes;
        self.au.handle_left(report.dropped < shards.len() as u64, leaves_at);
        if self.sender.counters().emsgsize > too_long {
            self.shrink_path("the kernel takes no such long datagrams");
            return Err(Cut::TooLong);
        }
        self.au.handle_sent(has_waited, start.elapsed(), report.dropped)
    }

    /// Waits until trains of `bytes` may leave, or may be handed to a kernel that keeps them until then; returns their
    /// departure.
    fn wait_departure(&mut self, bytes: usize) -> Result<Instant, Cut> {
        let asked = Instant::now();
        let departure = self.pacer.departure(bytes, asked);
        let (now, is_kept) = self.await_departure(departure, asked)?;
        self.au.pace += now - asked;
        self.au.has_waited |= departure > asked;
        if departure > asked && !is_kept {
            self.tap.record(Stage::PaceError, now - departure);
        }
        Ok(departure)
    }

    /// Waits until then, or until the kernel may be handed what it keeps until then; returns when that is, and which of
    /// the two.
    fn await_departure(&mut self, departure: Instant, asked: Instant) -> Result<(Instant, bool), Cut> {
        let is_kept = departure > asked && self.sender.honours_departure();
        let call_at =
            if is_kept { departure.checked_sub(PACE_SLEEP_MAX).unwrap_or(asked) } else { departure };
        let now = self.departures.wait_for(call_at, &self.stop).ok_or(Cut::Stopped)?;
        Ok((now, is_kept))
    }

    fn finish_au(&mut self, captured_at: Instant) {
        self.release_leases();
        if let Some(link) = &mut self.link {
            link.end_au(!self.au.broken && !self.au.given_up, self.au.idr);
        }
        // One that was cut, too: a device may tell of what the path does not take, and nothing of the rest comes either.
        // None of before a shrinking, of which all is known.
        if self.au.has_left && self.au.shard_bytes <= self.packetizer.shard_bytes() {
            self.path.handle_sent(self.au.number, self.au.shard_bytes, Instant::now());
        }
        self.tap.record(Stage::Fec, std::mem::take(&mut self.au.fec));
        self.tap.record(Stage::Seal, std::mem::take(&mut self.au.seal));
        self.tap.record(Stage::Pace, std::mem::take(&mut self.au.pace));
        self.tap.record(Stage::Send, std::mem::take(&mut self.au.send));
        self.tap.record(Stage::CaptureToSent, captured_at.elapsed());
        self.progress.aus_done.fetch_add(1, Ordering::Release);
        self.progress.waker.wake();
        if !self.au.broken {
            add(&self.counters.sent, 1);
        }
        if !self.au.broken && !self.au.given_up {
            self.note_overlap();
        }
        self.publish();
    }

    /// How long its datagrams were leaving already while it was still being encoded.
    fn note_overlap(&mut self) {
        if let Some(overlap) = self.au.overlap() {
            add(&self.counters.sent_early, 1);
            self.tap.record(Stage::Overlap, overlap);
        }
    }

    fn release_leases(&mut self) {
        for lease in self.au.leases.drain(..) {
            self.arena.release(lease);
        }
    }
}

/// Segments that the next call may take: a train, or as many whole ones as may leave at once together.
fn train_segments(sender: &Sender, pacer: &Pacer, stride: usize, now: Instant) -> usize {
    let train = sender.segments_max(stride).min(pacer.train_segments_max(stride));
    let ready = pacer.ready_bytes(now).min(CALL_BYTES_MAX) / stride;
    (ready / train).max(1) * train
}

#[cfg(test)]
mod tests;
