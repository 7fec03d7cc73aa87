//! The sending end, sans-IO: access units made from the seed, packetized, sealed, cut into trains, and let go at the
//! pacer's times.
//!
//! It is driven as the engine drives the same parts: [`Host::handle_time`] begins what is due,
//! [`Host::poll_transmit`] hands out what may leave now, [`Host::handle_message`] takes what came back. It promises that
//! an access unit begins at its own time, or when the one before it has left; that what goes again is bit for bit what
//! went before; and that all is the same for the same calls. It refuses to look at the link.

mod content;
mod outbox;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_proto::idr::IDR_SPACING;
use punktfunk_proto::{
    BlockPlan, IdrGate, Negotiated, Order, Pacer, Packetizer, RedundancyControl, RedundancyPolicy,
    ResendCounters, ResendLedger, limits, seal_data, seal_parity,
};
use punktfunk_seal::{SealError, Sealer};

pub use content::contents;

use crate::label::Label;
use crate::message::Message;
use crate::plan::{Plan, PlanError};
use crate::units::MtuChange;
use content::{Sizes, slices_of};
use outbox::{Lease, Outbox, Train};

/// Segments of a train at most, and bytes: what the network edge puts into one send.
const TRAIN_SEGMENTS_MAX: usize = 44;
const TRAIN_BYTES_MAX: usize = 65_507;
/// Bytes of IPv4's and UDP's headers.
const IP_UDP_BYTES: usize = 28;

/// An AU that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunAu {
    /// Its number.
    pub au: u32,
    /// Its bytes.
    pub bytes: usize,
    /// When it was captured.
    pub captured_at: Duration,
    /// Data shards and all shards of each block.
    pub shapes: Vec<(u16, usize)>,
}

/// What a host did, totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Data shards sent, for the first time.
    pub data_datagrams: u64,
    /// Parity shards sent.
    pub parity_datagrams: u64,
    /// AUs that were IDRs.
    pub idrs: u64,
    /// Reports that came.
    pub reports: u64,
    /// What was asked for, and what became of that.
    pub resends: ResendCounters,
}

/// Makes and sends AUs.
pub struct Host {
    plan: Plan,
    sizes: Sizes,
    interval: Duration,
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    pacer: Pacer,
    gate: IdrGate,
    redundancy: RedundancyControl,
    /// What may be sent again; `None` where the plan has no resends.
    ledger: Option<ResendLedger<Lease>>,
    /// What control would say that the round trip is.
    rtt: Duration,
    /// What the path is known to carry, and from when on that is known.
    mtu_known: VecDeque<MtuChange>,
    next_au: u32,
    /// AUs of which something may yet be sent: the number, and the blocks that wait or are held.
    open: VecDeque<(u32, usize)>,
    outbox: Outbox,
    /// The train that leaves next, and when.
    departure: Option<(Duration, Train)>,
    begun: Option<BegunAu>,
    spare: Vec<Vec<u8>>,
    counts: HostCounts,
    /// Where virtual time 0 lies for the protocol, whose times are instants.
    start: Instant,
}

impl Host {
    /// A host that seals with `sealer`.
    pub fn new(plan: &Plan, negotiated: &Negotiated, sealer: Sealer, start: Instant) -> Host {
        let mut packetizer = Packetizer::new(negotiated);
        packetizer.set_shard_bytes(plan.shard_bytes);
        let mut mtu_known: VecDeque<_> = plan.channel.mtu.clone().into();
        mtu_known.iter_mut().for_each(|change| change.at.0 += plan.mtu_known_after.0);
        let policy = if plan.adaptive { RedundancyPolicy::Adaptive } else { RedundancyPolicy::Fixed };
        Host {
            sizes: Sizes::new(plan),
            interval: Duration::from_secs(1) / plan.refresh_hz,
            packetizer,
            encoder: Encoder::new(),
            sealer,
            pacer: Pacer::new(plan.bitrate.kbps, usize::try_from(plan.pace_burst.0).unwrap_or(usize::MAX)),
            gate: IdrGate::new(IDR_SPACING),
            redundancy: RedundancyControl::new(policy, negotiated),
            ledger: plan.resend.then(|| ResendLedger::new(negotiated)),
            rtt: plan.channel.delay.0 + plan.feedback.delay.0,
            mtu_known,
            next_au: 0,
            open: VecDeque::new(),
            outbox: Outbox::default(),
            departure: None,
            begun: None,
            spare: Vec::new(),
            counts: HostCounts::default(),
            start,
            plan: plan.clone(),
        }
    }

    /// When there is something to do: an access unit to begin, a train to let go, or a lease to give up.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let begin = (self.outbox.is_empty() && self.next_au < self.plan.aus).then(|| self.due());
        let departure = self.departure.map(|(departure, _)| departure);
        let held = self.ledger.as_ref().and_then(ResendLedger::poll_timeout);
        let held = held.map(|deadline| deadline - self.start);
        [begin, departure, held].into_iter().flatten().min()
    }

    /// Begins the next access unit, if it is due and the one before it has left, and lets go of what is too old.
    ///
    /// # Errors
    /// [`PlanError::KeyExhausted`] when the channel passed so little that the client has opened nothing of a whole key
    /// epoch: a session ends there, too.
    pub fn handle_time(&mut self, now: Duration) -> Result<(), PlanError> {
        if self.outbox.is_empty() && self.next_au < self.plan.aus && self.due() <= now {
            let au = self.next_au;
            self.begin(au, now).map_err(|source| PlanError::KeyExhausted { au, source })?;
            self.next_au += 1;
        }
        self.release(now);
        Ok(())
    }

    /// The access unit that was begun last, once.
    pub fn poll_begun(&mut self) -> Option<BegunAu> {
        self.begun.take()
    }

    /// The next datagram that leaves at `now`.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<(Label, &[u8])> {
        loop {
            let (_, train) = self.departure.filter(|(departure, _)| *departure <= now)?;
            if self.outbox.has_more(train) {
                return self.outbox.poll_datagram(train);
            }
            self.handle_left(now);
        }
    }

    /// The next access unit of which nothing more will be sent, once each, oldest first.
    pub fn poll_released(&mut self) -> Option<u32> {
        let (au, _) = self.open.pop_front_if(|(au, blocks)| *blocks == 0 && !self.outbox.sends_again(*au))?;
        Some(au)
    }

    /// Takes what the client sent.
    pub fn handle_message(&mut self, message: &Message, now: Duration) {
        let instant = self.start + now;
        match message {
            Message::Report(report) => {
                self.counts.reports += 1;
                // That an epoch was opened lets the next one begin.
                self.sealer.handle_epoch_opened(report.epoch_opened);
                let rtt = self.ledger.is_some().then_some(self.rtt);
                self.redundancy.handle_report(report, rtt, instant);
                if let Some(ledger) = self.ledger.as_mut() {
                    ledger.handle_report(report, self.rtt, instant);
                }
                self.release(now);
                self.schedule(now);
            }
            Message::IdrRequest(lost) => self.gate.handle_request(*lost, self.next_au),
        }
    }

    /// True once everything was sent, and nothing may be sent again.
    pub fn is_done(&self) -> bool {
        let is_held = self.ledger.as_ref().is_some_and(|ledger| ledger.blocks_held() > 0);
        self.next_au == self.plan.aus && self.outbox.is_empty() && !is_held
    }

    /// Totals.
    pub fn counts(&self) -> HostCounts {
        let resends = self.ledger.as_ref().map(ResendLedger::counters).unwrap_or_default();
        HostCounts { resends, ..self.counts }
    }

    fn due(&self) -> Duration {
        self.interval * self.next_au
    }

    fn begin(&mut self, au: u32, now: Duration) -> Result<(), SealError> {
        let idr = self.is_idr(au, now);
        let content = contents(self.plan.seed, au, self.sizes.draw(idr));
        self.learn_mtu(now);
        self.packetizer.set_redundancy(self.redundancy.redundancy(self.start + now));
        self.packetizer.begin(au, now.as_micros() as u32, idr, false);
        self.pacer.begin_au(self.start + now);
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.begin_au(au, self.start + now);
        }
        let mut shapes = Vec::new();
        let slices = slices_of(content.len(), usize::from(self.plan.slices));
        let count = slices.len();
        for (index, range) in slices.enumerate() {
            let slice = &content[range];
            let plans = self.packetizer.plan_slice(slice.len(), index + 1 == count);
            for block in plans.expect("a checked plan's sizes and slices are within what was agreed") {
                self.protect(&block, slice, now)?;
                shapes.push((block.k, block.shards()));
            }
        }
        self.open.push_back((au, shapes.len()));
        self.begun = Some(BegunAu { au, bytes: content.len(), captured_at: now, shapes });
        self.schedule(now);
        Ok(())
    }

    fn is_idr(&mut self, au: u32, now: Duration) -> bool {
        let planned = self.plan.idr_each != 0 && au.is_multiple_of(self.plan.idr_each);
        let idr =
            planned || (self.plan.references && self.gate.decide(au, false, self.start + now) == Order::Idr);
        if idr {
            self.gate.handle_idr(au, self.start + now);
            self.counts.idrs += 1;
        }
        idr
    }

    /// Follows the path's MTU, as far as it is known.
    fn learn_mtu(&mut self, now: Duration) {
        while let Some(change) = self.mtu_known.pop_front_if(|change| change.at.0 <= now) {
            let payload = usize::from(change.bytes).saturating_sub(IP_UDP_BYTES);
            let shard_bytes = limits::shard_bytes_for_payload(payload).unwrap_or(0);
            self.packetizer.set_shard_bytes(shard_bytes.min(self.plan.shard_bytes));
        }
    }

    /// Seals a block into slots of its own and puts it in line.
    fn protect(&mut self, block: &BlockPlan, slice: &[u8], now: Duration) -> Result<(), SealError> {
        let instant = self.start + now;
        let mut slots = self.spare.pop().unwrap_or_default();
        slots.resize(block.slots_bytes(), 0);
        seal_data(block, 0..usize::from(block.k), slice, &mut slots, &mut self.sealer, instant)?;
        let shape = block.fec_shape().expect("the packetizer plans what the coder can code");
        let parity = self.encoder.encode(shape, &slice[block.range()]).expect("plans fit their slices");
        seal_parity(block, &parity, &mut slots, &mut self.sealer, instant)?;
        self.counts.data_datagrams += u64::from(block.k);
        self.counts.parity_datagrams += u64::from(block.m);
        let segments = TRAIN_SEGMENTS_MAX
            .min(TRAIN_BYTES_MAX / block.stride())
            .min(self.pacer.train_segments_max(block.stride()));
        self.outbox.push(*block, slots, segments);
        Ok(())
    }

    /// The train has left: its block may be whole, and the next one gets its time.
    fn handle_left(&mut self, now: Duration) {
        self.departure = None;
        while let Some((plan, lease)) = self.outbox.poll_sent() {
            match self.ledger.as_mut() {
                Some(ledger) => ledger.hold(&plan, lease, self.start + now),
                None => self.take_home(lease),
            }
        }
        self.release(now);
        self.schedule(now);
    }

    /// Takes home what need not be held any more.
    fn release(&mut self, now: Duration) {
        let instant = self.start + now;
        while let Some(lease) = self.ledger.as_mut().and_then(|ledger| ledger.poll_release(instant)) {
            self.take_home(lease);
        }
    }

    fn take_home(&mut self, lease: Lease) {
        if let Some((_, blocks)) = self.open.iter_mut().find(|(au, _)| *au == lease.au) {
            *blocks -= 1;
        }
        self.spare.push(lease.bytes);
    }

    /// Decides what leaves next, and when, unless that is decided: what goes again before what is new.
    fn schedule(&mut self, now: Duration) {
        if self.departure.is_some() {
            return;
        }
        let instant = self.start + now;
        if let Some(run) = self.ledger.as_mut().and_then(|ledger| ledger.poll_resend(instant)) {
            self.outbox.push_again(&run);
        }
        let Some(train) = self.outbox.next_train() else { return };
        let departure =
            if self.plan.paced { self.pacer.departure(train.bytes, instant) - self.start } else { now };
        self.departure = Some((departure, train));
    }
}
