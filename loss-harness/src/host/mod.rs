//! The sending end, sans-IO: access units made from the seed, packetized, sealed, cut into trains, and let go at the
//! pacer's times.
//!
//! It is driven as the engine drives the same parts: [`Host::handle_time`] begins what is due,
//! [`Host::poll_transmit`] hands out what may leave now, [`Host::handle_message`] takes what came back. It promises that
//! an access unit begins at its own time, or when the one before it has left, and that all is the same for the same
//! calls. It refuses to look at the link.

mod content;
mod sent;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_proto::idr::IDR_SPACING;
use punktfunk_proto::{BlockPlan, IdrGate, Negotiated, Pacer, Packetizer, limits, seal_data, seal_parity};
use punktfunk_seal::{SealError, Sealer};

pub use content::contents;

use crate::label::Label;
use crate::message::Message;
use crate::plan::{Plan, PlanError};
use crate::units::MtuChange;
use content::{Sizes, slices_of};
use sent::{SentAu, Train};

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
    /// What the path is known to carry, and from when on that is known.
    mtu_known: VecDeque<MtuChange>,
    next_au: u32,
    /// The AUs whose datagrams are held, oldest first.
    sent: VecDeque<SentAu>,
    /// What has to leave, first to last, and when the first of them may.
    trains: VecDeque<Train>,
    departure: Option<Duration>,
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
        Host {
            sizes: Sizes::new(plan),
            interval: Duration::from_secs(1) / plan.refresh_hz,
            packetizer,
            encoder: Encoder::new(),
            sealer,
            pacer: Pacer::new(plan.bitrate.kbps, usize::try_from(plan.pace_burst.0).unwrap_or(usize::MAX)),
            gate: IdrGate::new(IDR_SPACING),
            mtu_known,
            next_au: 0,
            sent: VecDeque::new(),
            trains: VecDeque::new(),
            departure: None,
            begun: None,
            spare: Vec::new(),
            counts: HostCounts::default(),
            start,
            plan: plan.clone(),
        }
    }

    /// When there is something to do: an access unit to begin, or a train to let go.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let begin = (self.trains.is_empty() && self.next_au < self.plan.aus).then(|| self.due());
        self.departure.into_iter().chain(begin).min()
    }

    /// Begins the next access unit, if it is due and the one before it has left.
    ///
    /// # Errors
    /// [`PlanError::KeyExhausted`] when the channel passed so little that the client has opened nothing of a whole key
    /// epoch: a session ends there, too.
    pub fn handle_time(&mut self, now: Duration) -> Result<(), PlanError> {
        if self.trains.is_empty() && self.next_au < self.plan.aus && self.due() <= now {
            let au = self.next_au;
            self.begin(au, now).map_err(|source| PlanError::KeyExhausted { au, source })?;
            self.next_au += 1;
        }
        Ok(())
    }

    /// The access unit that was begun last, once.
    pub fn poll_begun(&mut self) -> Option<BegunAu> {
        self.begun.take()
    }

    /// The next datagram that leaves at `now`.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<(Label, &[u8])> {
        self.departure.filter(|departure| *departure <= now)?;
        let train = self.trains.front_mut()?;
        let (label, range) = train.next()?;
        let is_last = train.is_empty();
        let first = self.sent.front()?.au;
        if is_last {
            self.trains.pop_front();
            self.schedule(now);
        }
        let bytes = &self.sent[(label.au - first) as usize].bytes[range];
        Some((label, bytes))
    }

    /// The next access unit of which nothing more will be sent, once each, oldest first.
    pub fn poll_released(&mut self) -> Option<u32> {
        let au = self.sent.front()?.au;
        let is_waiting = self.trains.iter().any(|train| train.au == au);
        if is_waiting {
            return None;
        }
        let released = self.sent.pop_front()?;
        self.spare.push(released.bytes);
        Some(au)
    }

    /// Takes what the client sent.
    pub fn handle_message(&mut self, message: &Message, _now: Duration) {
        match message {
            Message::Report(report) => {
                self.counts.reports += 1;
                // That an epoch was opened lets the next one begin.
                self.sealer.handle_epoch_opened(report.epoch_opened);
            }
            Message::IdrRequest { after_au } => self.gate.handle_request(*after_au),
        }
    }

    /// True once everything was sent.
    pub fn is_done(&self) -> bool {
        self.next_au == self.plan.aus && self.trains.is_empty()
    }

    /// Totals.
    pub fn counts(&self) -> HostCounts {
        self.counts
    }

    fn due(&self) -> Duration {
        self.interval * self.next_au
    }

    fn begin(&mut self, au: u32, now: Duration) -> Result<(), SealError> {
        let idr = self.is_idr(au, now);
        let content = contents(self.plan.seed, au, self.sizes.draw(idr));
        self.learn_mtu(now);
        self.packetizer.begin(au, now.as_micros() as u32, idr, false);
        self.pacer.begin_au(self.start + now);
        let mut sent = SentAu { au, bytes: self.spare.pop().unwrap_or_default() };
        sent.bytes.clear();
        let mut shapes = Vec::new();
        let slices = slices_of(content.len(), usize::from(self.plan.slices));
        let count = slices.len();
        for (index, range) in slices.enumerate() {
            let slice = &content[range];
            let plans = self.packetizer.plan_slice(slice.len(), index + 1 == count);
            for block in plans.expect("a checked plan's sizes and slices are within what was agreed") {
                self.protect(&block, slice, &mut sent.bytes, now)?;
                shapes.push((block.k, block.shards()));
            }
        }
        self.sent.push_back(sent);
        self.begun = Some(BegunAu { au, bytes: content.len(), captured_at: now, shapes });
        self.schedule(now);
        Ok(())
    }

    fn is_idr(&mut self, au: u32, now: Duration) -> bool {
        let planned = self.plan.idr_each != 0 && au.is_multiple_of(self.plan.idr_each);
        let idr = planned || (self.plan.references && self.gate.decide(self.start + now));
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

    /// Seals a block behind what lies in `slots` and cuts it into trains.
    fn protect(
        &mut self,
        block: &BlockPlan,
        slice: &[u8],
        slots: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), SealError> {
        let (begin, instant) = (slots.len(), self.start + now);
        slots.resize(begin + block.slots_bytes(), 0);
        let slots = &mut slots[begin..];
        seal_data(block, 0..usize::from(block.k), slice, slots, &mut self.sealer, instant)?;
        let shape = block.fec_shape().expect("the packetizer plans what the coder can code");
        let parity = self.encoder.encode(shape, &slice[block.range()]).expect("plans fit their slices");
        seal_parity(block, &parity, slots, &mut self.sealer, instant)?;
        self.counts.data_datagrams += u64::from(block.k);
        self.counts.parity_datagrams += u64::from(block.m);
        let segments = TRAIN_SEGMENTS_MAX
            .min(TRAIN_BYTES_MAX / block.stride())
            .min(self.pacer.train_segments_max(block.stride()))
            .max(1);
        let mut shard = 0;
        while shard < block.shards() {
            let shards = shard..(shard + segments).min(block.shards());
            shard = shards.end;
            self.trains.push_back(Train::new(block, begin, shards));
        }
        Ok(())
    }

    /// Decides when the first train may leave.
    fn schedule(&mut self, now: Duration) {
        let paced = self.plan.paced;
        self.departure = self.trains.front().map(|train| match paced {
            true => self.pacer.departure(train.bytes(), self.start + now) - self.start,
            false => now,
        });
    }
}
