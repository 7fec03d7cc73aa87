//! The reassembler beside its model: access units of any size, datagrams in any order, again, forged or never.

use std::rc::Rc;
use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_proto::{
    Arrival, BlockPlan, Delivery, Header, Negotiated, Packetizer, Reassembler, ReassemblerLimits,
    ReassemblyCounters, seal_data, seal_parity,
};
use punktfunk_seal::{
    Cipher, Direction, EPOCH_AGE_MAX, EpochLimits, Opener, Plane, PlaneKeys, Sealer, Secret,
};

use crate::bytes::Bytes;
use crate::model::{Handed, Model, Sent};

/// Steps of a script, and access units of it.
const STEPS_MAX: usize = 600;
const AUS_MAX: u32 = 120;

/// Datagrams of a key: several keys in a script.
const EPOCH_DATAGRAMS: u32 = 150;

/// Sends what the script says and plays the network.
struct Host {
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    next_au: u32,
    sent: Vec<Sent>,
    /// Of those, the next that arrives in order.
    next: usize,
}

fn keys() -> PlaneKeys {
    PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video)
}

fn negotiated() -> Negotiated {
    Negotiated::new(256, 2_000, 60_000, 4, 300, 65_536).expect("within every range")
}

impl Host {
    fn new(negotiated: &Negotiated, now: Instant) -> Self {
        let epochs = EpochLimits::shorter(EPOCH_DATAGRAMS, EPOCH_AGE_MAX);
        Self {
            packetizer: Packetizer::new(negotiated),
            encoder: Encoder::new(),
            sealer: Sealer::with_limits(keys(), epochs, now),
            next_au: 0,
            sent: Vec::new(),
            next: 0,
        }
    }

    /// Cuts and seals the next access unit.
    fn send_au(&mut self, script: &mut Bytes<'_>, now: Instant) {
        if self.next_au >= AUS_MAX {
            return;
        }
        let how = script.byte();
        // Numbers jump now and then: access units that were cut short before their first datagram.
        let skipped = if how & 0xE0 == 0xE0 { u32::from(script.byte() % 24) } else { 0 };
        let au = self.next_au + skipped;
        self.next_au = au + 1;
        self.packetizer.begin(au, au.wrapping_mul(16_667), how & 1 == 1, how & 2 == 2);
        let (slices, late_end) = (1 + (how >> 2 & 3), how & 16 == 16);
        for index in 0..slices {
            let slice: Vec<u8> = {
                let (bytes, first) = (usize::from(script.byte()) * 37, script.byte());
                (0..bytes).map(|at| first.wrapping_add(at as u8).wrapping_mul(29)).collect()
            };
            let last = index + 1 == slices && !late_end;
            let plans = self.packetizer.plan_slice(slice.len(), last).expect("a small access unit");
            for plan in plans {
                self.seal(&plan, &slice, now);
            }
        }
        if late_end {
            let plan = self.packetizer.finish_empty().expect("it is open");
            self.seal(&plan, &[], now);
        }
    }

    /// Seals as much of a block as the key allows.
    fn seal(&mut self, plan: &BlockPlan, slice: &[u8], now: Instant) {
        let mut slots = vec![0xEE; plan.slots_bytes()];
        let (k, before) = (usize::from(plan.k), self.sealer.epoch());
        let is_sealed = seal_data(plan, 0..k, slice, &mut slots, &mut self.sealer, now).is_ok();
        let shape = plan.fec_shape().expect("the plan comes from a packetizer");
        let parity = self.encoder.encode(shape, &slice[plan.range()]).expect("the range fits the shape");
        let is_whole = is_sealed && seal_parity(plan, &parity, &mut slots, &mut self.sealer, now).is_ok();
        if !is_whole {
            // A block that is cut short is not sent at all here.
            return;
        }
        let payload: Rc<[u8]> = slice[plan.range()].into();
        for (shard, slot) in slots.chunks(plan.stride()).enumerate() {
            let header = Header::parse(slot).expect("our own header");
            let epoch = epoch_of(header.epoch_low, before);
            let (sequence, bytes) = (header.sequence, slot.to_vec());
            self.sent.push(Sent { plan: *plan, shard, epoch, sequence, bytes, payload: Rc::clone(&payload) });
        }
    }
}

/// The epoch with these low bits that is `least` or soon after.
fn epoch_of(low: u8, least: u32) -> u32 {
    (least..least + 4).find(|epoch| epoch & 3 == u32::from(low)).expect("four neighbours have all two bits")
}

/// The two receivers, shown the same.
struct Client {
    reassembler: Reassembler,
    model: Model,
}

impl Client {
    fn handle(&mut self, sent: &Sent, now: Instant) {
        let arrival = self.reassembler.handle_datagram(&sent.bytes, now);
        match self.model.handle(sent, now) {
            Some(expected) => assert_eq!(arrival, expected, "shard {} of {:?}", sent.shard, sent.plan),
            None => assert!(matches!(arrival, Arrival::UnknownEpoch | Arrival::BadTag), "{arrival:?}"),
        }
    }

    /// A datagram that nobody sent: counted as refused, and nothing else is different.
    fn handle_forged(&mut self, bytes: &[u8], now: Instant) {
        let before = (of_the_stream(self.reassembler.counters()), self.reassembler.poll_timeout());
        let arrival = self.reassembler.handle_datagram(bytes, now);
        let is_refused = matches!(
            arrival,
            Arrival::Malformed | Arrival::BadTag | Arrival::UnknownEpoch | Arrival::OverLimit
        );
        assert!(is_refused, "{arrival:?}");
        let after = (of_the_stream(self.reassembler.counters()), self.reassembler.poll_timeout());
        assert_eq!(before, after);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.reassembler.handle_timeout(now);
        self.model.handle_timeout(now);
    }

    /// Takes all that is ready from both.
    fn drain(&mut self, now: Instant) {
        loop {
            let handed = self.reassembler.poll_delivery(now).map(|delivery| match delivery {
                Delivery::Lost(lost) => {
                    let (au, count, blocks_delivered) = (lost.au, lost.count, lost.blocks_delivered);
                    Handed::Lost { au, count, blocks_delivered }
                }
                Delivery::Block(block) => {
                    let payload: Rc<[u8]> = block.span.as_ref().into();
                    self.reassembler.give_back(block.span);
                    Handed::Block {
                        au: block.au,
                        block: block.block,
                        pts_us: block.pts_us,
                        flags: block.flags.bits(),
                        recovered: block.shards_recovered,
                        payload,
                    }
                }
            });
            let expected = self.model.poll();
            assert_eq!(handed, expected);
            if handed.is_none() {
                return;
            }
        }
    }

    fn compare(&self) {
        let counters = self.reassembler.counters();
        assert_eq!(self.reassembler.poll_timeout(), self.model.next_deadline());
        assert_eq!(counters.blocks_whole, self.model.blocks_whole);
        assert_eq!(counters.shards_recovered, self.model.shards_recovered);
        assert_eq!(counters.aus_delivered, self.model.aus_delivered());
        let undelivered =
            counters.aus_lost + counters.aus_late + counters.aus_dropped_memory + counters.aus_dropped_window;
        assert_eq!(counters.aus_delivered + undelivered, self.model.aus_ended());
        assert_eq!(counters.aus_dropped_memory, 0, "the budget is far above this");
        assert_eq!(self.reassembler.spans_out(), 0);
    }
}

/// What only says how much was refused, blanked.
fn of_the_stream(counters: ReassemblyCounters) -> ReassemblyCounters {
    ReassemblyCounters { datagrams: 0, malformed: 0, bad_tag: 0, unknown_epoch: 0, over_limit: 0, ..counters }
}

/// What a script met.
#[derive(Debug, Clone, Copy, Default)]
pub struct Census {
    /// Access units delivered whole.
    pub delivered: u64,
    /// Access units that ended otherwise.
    pub undelivered: u64,
    /// Shards computed from parity.
    pub recovered: u64,
    /// Datagrams refused as replays.
    pub replayed: u64,
    /// Datagrams with a wrong tag.
    pub bad_tag: u64,
    /// Datagrams of access units given up.
    pub late: u64,
    /// The newest key's epoch.
    pub epoch: u32,
}

/// Plays a script to both.
pub(crate) fn against_the_model(input: &[u8]) {
    census(input);
}

/// Plays a script to both, and says what it met.
pub fn census(input: &[u8]) -> Census {
    let (negotiated, mut now) = (negotiated(), Instant::now());
    let limits = ReassemblerLimits::from(&negotiated);
    let mut host = Host::new(&negotiated, now);
    let reassembler = Reassembler::new(limits, Opener::new(keys(), limits.replay_window));
    let mut client = Client { reassembler, model: Model::new(&limits) };
    let mut script = Bytes::new(input);
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        let step = script.byte();
        play(step, &mut script, &mut host, &mut client, &mut now);
        // Whoever does not poll in time loses what is whole: also a rule.
        if step & 0x80 == 0 {
            client.drain(now);
        }
        client.compare();
    }
    now += Duration::from_secs(60);
    client.handle_timeout(now);
    client.drain(now);
    client.compare();
    assert_eq!(client.reassembler.spans_filling(), 0);
    let counters = client.reassembler.counters();
    Census {
        delivered: client.model.aus_delivered(),
        undelivered: client.model.aus_ended() - client.model.aus_delivered(),
        recovered: counters.shards_recovered,
        replayed: counters.replayed,
        bad_tag: counters.bad_tag,
        late: counters.late,
        epoch: client.model.epoch_opened(),
    }
}

fn play(step: u8, script: &mut Bytes<'_>, host: &mut Host, client: &mut Client, now: &mut Instant) {
    match step & 7 {
        0 => host.send_au(script, *now),
        // The next in order, of which a bit mask loses some.
        1 | 2 => {
            let lost = if step & 8 == 0 { 0 } else { script.byte() };
            for bit in 0..8 {
                let Some(sent) = host.sent.get(host.next) else { break };
                if lost >> bit & 1 == 0 {
                    client.handle(sent, *now);
                }
                host.next += 1;
            }
        }
        // Any that was sent, perhaps again.
        3 | 4 if !host.sent.is_empty() => {
            client.handle(&host.sent[script.below(host.sent.len())], *now);
        }
        5 if !host.sent.is_empty() => {
            let mut bytes = host.sent[script.below(host.sent.len())].bytes.clone();
            // Most of a header's bytes, or any.
            let at = if step & 8 == 0 { script.below(24) } else { script.below(bytes.len()) };
            bytes[at] ^= script.byte().max(1);
            client.handle_forged(&bytes, *now);
        }
        6 => {
            *now += Duration::from_millis(u64::from(script.byte()) * if step & 8 == 0 { 1 } else { 20 });
            client.handle_timeout(*now);
        }
        7 => {
            let report = client.reassembler.feedback(*now);
            assert_eq!(report.epoch_opened, client.model.epoch_opened());
            host.sealer.handle_epoch_opened(report.epoch_opened);
        }
        _ => {}
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Access units one after the other, each read in order, a report after each.
    let steady: Vec<u8> = [0, 4, 60, 1, 30, 2, 1, 1, 1, 7, 6, 17].repeat(20);
    // The same with losses, forged ones and repetitions.
    let lossy: Vec<u8> = [0, 4, 60, 1, 30, 2, 9, 0x21, 9, 1, 5, 3, 0, 9, 3, 0, 7, 6, 17, 1].repeat(20);
    // Sent first and read backwards; jumps; nobody polls.
    let jumps: Vec<u8> = [0xE0_u8, 20, 8, 5].iter().copied().flat_map(|byte| [0, byte, 9, 1]).collect();
    let unread: Vec<u8> = [0x80, 4, 9, 1, 9, 2, 0x81, 0x86, 20].repeat(30);
    let mut seeds = vec![steady, lossy, [jumps.repeat(4), [1].repeat(40)].concat(), unread];
    seeds.extend((1..=6).map(busy));
    seeds
}

/// Steps of every kind in any order, most of them followed by a poll.
fn busy(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let byte = (state >> 56) as u8;
        if byte >= 0xF0 { byte } else { byte & 0x7F }
    };
    std::iter::repeat_with(step).take(1_500).collect()
}
