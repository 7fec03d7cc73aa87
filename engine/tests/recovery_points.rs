//! A loss that is healed without an IDR: what the client misses reaches the encoder, which leaves it out, and the picture
//! that it makes instead starts the decoder anew.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{
    Decode, DecodeOutcome, Encode, EncodeOutcome, EncodeRequest, Merge, SliceSink, SourceCounts, StageFault,
    Wait,
};
use punktfunk_proto::{DeliveredBlock, Header};
use support::{Relay, machine, start_own};

const INTERVAL: Duration = Duration::from_millis(4);
/// What stands in an access unit that refers to none.
const NONE: u32 = u32::MAX;

/// Says in each access unit which one it refers to: the newest that it may.
struct Chained {
    next_due: Instant,
    room: usize,
    references: VecDeque<(u32, bool)>,
    counts: SourceCounts,
}

impl Chained {
    fn new(room: usize) -> Self {
        Self { next_due: Instant::now(), room, references: VecDeque::new(), counts: SourceCounts::default() }
    }
}

impl Encode for Chained {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        std::thread::sleep(self.next_due.saturating_duration_since(Instant::now()).min(timeout));
        let now = Instant::now();
        if now < self.next_due {
            return Ok(Wait::Nothing);
        }
        self.next_due += INTERVAL;
        self.counts.captured += 1;
        Ok(Wait::Picture(now))
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        if request.idr && request.lost.is_some() {
            return Err(StageFault::new("encode", "an IDR needs nothing left out"));
        }
        // Without effect where nothing is named.
        out.set_recovery_point();
        if let Some(lost) = request.lost {
            self.references.iter_mut().filter(|(au, _)| *au >= lost.from_au).for_each(|one| one.1 = false);
        }
        let newest = self.references.iter().rev().find(|(_, valid)| *valid).map(|(au, _)| *au);
        let refers_to = newest.filter(|_| !request.idr);
        if refers_to.is_none() {
            self.references.clear();
        }
        if self.references.len() == self.room {
            self.references.pop_front();
        }
        self.references.push_back((request.au, true));
        let mut slice = vec![request.au as u8; 3_000];
        slice[..4].copy_from_slice(&refers_to.unwrap_or(NONE).to_le_bytes());
        out.push(slice, refers_to.is_none(), true).map_err(|(_, fault)| fault)?;
        Ok(EncodeOutcome::Encoded)
    }

    fn leaves_out(&self) -> bool {
        true
    }

    fn recycle(&mut self, _slice: Vec<u8>) {}

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}

/// Knows exactly which access units it has.
#[derive(Default)]
struct Exact {
    decoded: BTreeSet<u32>,
    /// Access units whose reference was not there.
    without: Vec<u32>,
    newest: Arc<AtomicU64>,
}

impl Decode for Exact {
    fn has_references(&self) -> bool {
        true
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        let bytes = block.span.as_ref().first_chunk::<4>();
        let refers_to = u32::from_le_bytes(*bytes.ok_or_else(|| StageFault::new("decode", "a short slice"))?);
        if refers_to != NONE && !self.decoded.contains(&refers_to) {
            self.without.push(block.au);
        }
        self.decoded.insert(block.au);
        self.newest.store(block.au.into(), Ordering::Relaxed);
        Ok(DecodeOutcome::Picture)
    }

    fn abandon(&mut self) {}
}

#[test]
fn losses_are_healed_by_recovery_points_and_those_that_are_lost_by_others() {
    [Merge::Apart, Merge::Together].into_iter().for_each(lose_and_heal);
}

fn lose_and_heal(merge: Merge) {
    // A second of references: no pause of a busy machine leaves none.
    let decode = Exact::default();
    let newest = Arc::clone(&decode.newest);
    let (mut points, mut lost_points) = (BTreeSet::new(), BTreeSet::new());
    let keeps = move |datagram: &[u8]| {
        let header = Header::parse(datagram).expect("it is media");
        if header.flags.recovery_point() && points.insert(header.au) && points.len() % 3 == 2 {
            lost_points.insert(header.au);
        }
        header.au % 25 != 20 && !lost_points.contains(&header.au)
    };
    let mut relay = None;
    let mut pair = start_own(machine(merge), 1, (Chained::new(250), decode), |client| {
        relay.insert(Relay::start(client, keeps)).address()
    });
    let all = pair.control_until(Duration::from_secs(30), || newest.load(Ordering::Relaxed) > 200);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    drop(relay);
    let (encode, decoded) = (host.stats.encode, client.stats.decode);
    assert!(all, "{merge:?}: {encode:?} {decoded:?}");
    assert_eq!(client.decode.expect("the stage gave it back").without, Vec::<u32>::new());
    assert_eq!((encode.idrs, encode.idrs_no_reference), (1, 0), "{merge:?}: {encode:?}");
    assert!(encode.recovery_points >= 4, "{merge:?}: {encode:?}");
    assert!(encode.references_invalidated > encode.recovery_points, "{merge:?}: {encode:?}");
    let healed = decoded.recovery_points;
    assert!(healed >= 3 && healed < encode.recovery_points, "{merge:?}: {decoded:?} {encode:?}");
}

#[test]
fn without_a_reference_that_is_old_enough_an_idr_heals() {
    let decode = Exact::default();
    let newest = Arc::clone(&decode.newest);
    let keeps = |datagram: &[u8]| Header::parse(datagram).expect("it is media").au != 30;
    let mut relay = None;
    // One reference: the loss is known long after it.
    let mut pair = start_own(machine(Merge::Apart), 1, (Chained::new(1), decode), |client| {
        relay.insert(Relay::start(client, keeps)).address()
    });
    let all = pair.control_until(Duration::from_secs(30), || newest.load(Ordering::Relaxed) > 60);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    drop(relay);
    let encode = host.stats.encode;
    assert!(all, "{encode:?}");
    assert_eq!(client.decode.expect("the stage gave it back").without, Vec::<u32>::new());
    assert!(encode.idrs >= 2 && encode.idrs_no_reference >= 1, "{encode:?}");
    assert_eq!(encode.recovery_points, 0, "{encode:?}");
}
