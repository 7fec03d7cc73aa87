//! A sender whose every header can be bent, and a receiver whose every answer is put in words.

use punktfunk_control::SkewEstimate;
use punktfunk_control::messages::SkewPong;
use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Arrival, BlockPlan, Delivery, FeedbackReport, Flags, HEADER_BYTES, Header, Negotiated, Reassembler,
    ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{Cipher, Direction, EpochLimits, Opener, Plane, PlaneKeys, Sealer, Secret};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

/// The video plane's keys of a session with this secret.
pub(crate) fn video_keys(secret: [u8; 32], cipher: Cipher) -> PlaneKeys {
    PlaneKeys::new(&Secret::new(secret), cipher, Direction::HostToClient, Plane::Video)
}

/// The sending side: whole blocks, and datagrams that no sender makes.
pub(crate) struct Sender {
    pub(crate) sealer: Sealer,
    encoder: Encoder,
}

impl Sender {
    /// An epoch a second, and only when a report is handed in.
    pub(crate) fn new(keys: PlaneKeys, now: Instant) -> Self {
        let limits = EpochLimits::shorter(1 << 22, Duration::from_secs(1));
        Self { sealer: Sealer::with_limits(keys, limits, now), encoder: Encoder::new() }
    }

    /// The k + m datagrams of a block, sealed in order.
    pub(crate) fn block(&mut self, block: Block, bytes: &[u8], now: Instant) -> Vec<Vec<u8>> {
        let plan = block.plan(bytes.len());
        let mut slots = vec![0; plan.slots_bytes()];
        seal_data(&plan, 0..usize::from(plan.k), bytes, &mut slots, &mut self.sealer, now).unwrap();
        let parity = self.encoder.encode(plan.fec_shape().unwrap(), bytes).unwrap();
        seal_parity(&plan, &parity, &mut slots, &mut self.sealer, now).unwrap();
        slots.chunks(plan.stride()).map(<[u8]>::to_vec).collect()
    }

    /// One authentic datagram of zeros whose 24 header bytes `bend` may change before they are sealed.
    pub(crate) fn authentic(
        &mut self,
        plan: BlockPlan,
        shard: u16,
        bend: impl FnOnce(&mut [u8; HEADER_BYTES]),
        now: Instant,
    ) -> Vec<u8> {
        let ticket = self.sealer.reserve(now).unwrap();
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
}

/// The receiving side, whose every answer is put in words.
pub(crate) struct Receiver {
    reassembler: Reassembler,
}

impl Receiver {
    pub(crate) fn new(agreed: &Negotiated, keys: PlaneKeys) -> Self {
        let limits = ReassemblerLimits::from(agreed);
        Self { reassembler: Reassembler::new(limits, Opener::new(keys, limits.replay_window)) }
    }

    /// The outcome, None where only time goes by.
    pub(crate) fn step(&mut self, datagram: Option<&[u8]>, now: Instant) -> Option<&'static str> {
        match datagram {
            Some(datagram) => Some(outcome_of(self.reassembler.handle_datagram(datagram, now))),
            None => {
                self.reassembler.handle_timeout(now);
                None
            }
        }
    }

    /// What is handed on now.
    pub(crate) fn deliveries(&mut self, now: Instant) -> Vec<Value> {
        let mut delivered = Vec::new();
        while let Some(delivery) = self.reassembler.poll_delivery(now) {
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
        delivered
    }

    pub(crate) fn feedback(&mut self, now: Instant) -> FeedbackReport {
        self.reassembler.feedback(now)
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

/// What a round of the clocks' handshake says: question sent and come, answer sent and come.
pub(crate) fn round_of([t_client_us, t_received_us, t_sent_us, t_back_us]: [u64; 4]) -> Value {
    let pong = SkewPong { round: 0, t_client_us, t_received_us, t_sent_us };
    SkewEstimate::of_round(&pong, t_back_us, Instant::now()).map_or(
        Value::Null,
        |said| json!({ "offset_us": said.offset_us, "rtt_us": said.rtt_us, "error_us": said.error_us }),
    )
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
