//! A sender whose every header can be bent, and a receiver whose every answer is written down.

use crate::keys::cipher_name;
use crate::{hex, secret};
use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Arrival, BlockPlan, Delivery, Flags, HEADER_BYTES, Header, Negotiated, Reassembler, ReassemblerLimits,
    seal_data, seal_parity,
};
use punktfunk_seal::{Cipher, Direction, EpochLimits, Opener, Plane, PlaneKeys, Sealer, Secret};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What all cases have agreed on: the shortest shards but one, so that the vectors stay short.
pub(crate) fn negotiated() -> Negotiated {
    Negotiated::new(320, 20_000, 60_000, 4, 100, 65_536).unwrap()
}

/// A byte pattern that differs from AU to AU and from place to place.
pub(crate) fn payload(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i * i + 7 * i) / 3 + seed * 31).to_le_bytes()[0]).collect()
}

/// One FEC block as a sender would plan it.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) au: u32,
    pub(crate) block: u16,
    pub(crate) flags: Flags,
    pub(crate) pts_us: u32,
    pub(crate) shard_bytes: u16,
    pub(crate) m: u16,
}

impl Block {
    pub(crate) fn plan(&self, bytes: usize) -> BlockPlan {
        let shard = usize::from(self.shard_bytes);
        let k = bytes.div_ceil(shard).max(1);
        BlockPlan {
            au: self.au,
            block: self.block,
            range_start: 0,
            range_end: bytes,
            k: k as u16,
            m: self.m,
            tail: (k * shard - bytes) as u16,
            flags: self.flags,
            pts_us: self.pts_us,
            shard_bytes: self.shard_bytes,
        }
    }
}

/// A case: what arrives when, and what becomes of it.
pub(crate) struct Case {
    name: &'static str,
    about: &'static str,
    cipher: Cipher,
    steps: Vec<Value>,
    pub(crate) sealer: Sealer,
    encoder: Encoder,
    reassembler: Reassembler,
    start: Instant,
}

impl Case {
    pub(crate) fn new(name: &'static str, cipher: Cipher, about: &'static str) -> Self {
        let keys = || PlaneKeys::new(&Secret::new(secret()), cipher, Direction::HostToClient, Plane::Video);
        let (start, limits) = (Instant::now(), ReassemblerLimits::from(&negotiated()));
        let opener = Opener::new(keys(), limits.replay_window);
        Self {
            name,
            about,
            cipher,
            steps: Vec::new(),
            // An epoch a second, and only when a report is handed in.
            sealer: Sealer::with_limits(keys(), EpochLimits::shorter(1 << 22, Duration::from_secs(1)), start),
            encoder: Encoder::new(),
            reassembler: Reassembler::new(limits, opener),
            start,
        }
    }

    fn at(&self, at_us: u64) -> Instant {
        self.start + Duration::from_micros(at_us)
    }

    /// The k + m datagrams of a block, sealed in order.
    pub(crate) fn block(&mut self, at_us: u64, block: Block, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (plan, now) = (block.plan(bytes.len()), self.at(at_us));
        let mut slots = vec![0; plan.slots_bytes()];
        seal_data(&plan, 0..usize::from(plan.k), bytes, &mut slots, &mut self.sealer, now).unwrap();
        let parity = self.encoder.encode(plan.fec_shape().unwrap(), bytes).unwrap();
        seal_parity(&plan, &parity, &mut slots, &mut self.sealer, now).unwrap();
        slots.chunks(plan.stride()).map(<[u8]>::to_vec).collect()
    }

    /// One authentic datagram of zeros whose 24 header bytes `bend` may change before they are sealed.
    pub(crate) fn authentic(
        &mut self,
        at_us: u64,
        plan: BlockPlan,
        shard: u16,
        bend: impl FnOnce(&mut [u8; HEADER_BYTES]),
    ) -> Vec<u8> {
        let ticket = self.sealer.reserve(self.at(at_us)).unwrap();
        let mut header = [0; HEADER_BYTES];
        Header {
            plane: Plane::Video,
            epoch_low: ticket.epoch_low(),
            flags: plan.flags,
            shard,
            sequence: ticket.sequence(),
            au: plan.au,
            pts_us: plan.pts_us,
            k: plan.k,
            m: plan.m,
            block: plan.block,
            tail: plan.tail,
        }
        .write(&mut header);
        bend(&mut header);
        let mut datagram = header.to_vec();
        datagram.resize(plan.stride(), 0);
        let zeros = vec![0; usize::from(plan.shard_bytes)];
        self.sealer.seal(ticket, &header, &zeros, 0, &mut datagram[HEADER_BYTES..]);
        datagram
    }

    /// A datagram arrives, and this is what has to become of it.
    pub(crate) fn arrive(&mut self, at_us: u64, datagram: &[u8], outcome: &str, what: &str) {
        let now = self.at(at_us);
        let came = outcome_of(self.reassembler.handle_datagram(datagram, now));
        assert_eq!(came, outcome, "{}: {what}", self.name);
        let mut step = json!({ "at_us": at_us, "datagram": hex(datagram), "outcome": outcome, "what": what });
        self.deliver(at_us, &mut step);
        self.steps.push(step);
    }

    /// All of them arrive and are accepted.
    pub(crate) fn all_arrive(&mut self, at_us: u64, datagrams: &[Vec<u8>], what: &str) {
        for (index, datagram) in datagrams.iter().enumerate() {
            self.arrive(at_us, datagram, "accepted", &format!("{what}, shard {index}"));
        }
    }

    /// Time goes by.
    pub(crate) fn wait(&mut self, at_us: u64, what: &str) {
        self.reassembler.handle_timeout(self.at(at_us));
        let mut step = json!({ "at_us": at_us, "what": what });
        self.deliver(at_us, &mut step);
        self.steps.push(step);
    }

    fn deliver(&mut self, at_us: u64, step: &mut Value) {
        let mut delivered = Vec::new();
        while let Some(delivery) = self.reassembler.poll_delivery(self.at(at_us)) {
            delivered.push(match delivery {
                Delivery::Block(block) => {
                    let value = json!({
                        "au": block.au, "block": block.block, "pts_us": block.pts_us,
                        "last_block": block.flags.last_block(), "slice_end": block.flags.slice_end(),
                        "idr": block.flags.idr(), "recovery_point": block.flags.recovery_point(),
                        "shards_recovered": block.shards_recovered, "bytes": hex(block.span.as_ref()),
                    });
                    self.reassembler.give_back(block.span);
                    value
                }
                Delivery::Lost(lost) => json!({
                    "lost_au": lost.au, "count": lost.count, "blocks_delivered": lost.blocks_delivered,
                }),
            });
        }
        if !delivered.is_empty() {
            step["delivered"] = delivered.into();
        }
    }

    /// The case as it stands in the file.
    pub(crate) fn end(mut self) -> Value {
        let epoch_opened = self.reassembler.feedback(self.start).epoch_opened;
        json!({
            "name": self.name, "about": self.about, "cipher": cipher_name(self.cipher),
            "secret": hex(&secret()), "epoch_opened": epoch_opened, "steps": self.steps,
        })
    }
}

fn outcome_of(arrival: Arrival) -> &'static str {
    match arrival {
        Arrival::Placed | Arrival::Copied => "accepted",
        Arrival::Surplus => "surplus",
        Arrival::Replayed => "replayed",
        Arrival::Late => "late",
        Arrival::Malformed => "malformed",
        Arrival::BadTag => "bad_tag",
        Arrival::UnknownEpoch => "unknown_epoch",
        Arrival::OverLimit => "over_limit",
    }
}

/// What was agreed, and what follows from it, as both files say it.
pub(crate) fn agreed() -> Value {
    limits_of(&negotiated())
}

/// The six values and the bounds that a receiver derives.
pub(crate) fn limits_of(negotiated: &Negotiated) -> Value {
    let limits = ReassemblerLimits::from(negotiated);
    json!({
        "shard_bytes_max": negotiated.shard_bytes_max, "bitrate_kbps": negotiated.bitrate_kbps,
        "refresh_mhz": negotiated.refresh_mhz, "slices_max": negotiated.slices_max,
        "redundancy_per_mille": negotiated.redundancy_per_mille, "au_bytes_max": negotiated.au_bytes_max,
        "derived": {
            "block_data_shards_max": limits.block_data_shards_max,
            "block_shards_max": limits.block_shards_max, "blocks_per_au_max": limits.blocks_per_au_max,
            "aus_open_max": limits.aus_open_max, "replay_window": limits.replay_window,
            "au_deadline_us": limits.au_deadline.as_micros() as u64,
            "au_stall_deadline_us": limits.au_stall_deadline.as_micros() as u64,
        },
    })
}
