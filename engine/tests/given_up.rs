//! Access units that their encoder fails at after their first slice was handed on: never whole to the client, never tried again
//! under their numbers, and healed by what follows, without a word of the client's.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{
    Decode, DecodeOutcome, Encode, EncodeOutcome, EncodeRequest, HostEnd, Merge, SliceSink, SourceCounts,
    StageFault, Wait,
};
use punktfunk_proto::DeliveredBlock;
use support::{machine, start_own};

const INTERVAL: Duration = Duration::from_millis(4);
const SLICES: u16 = 2;
/// What stands in an access unit that refers to none.
const NONE: u32 = u32::MAX;
/// Access units whose second slice is never made.
const FAILING: [u32; 2] = [10, 20];
/// Streams that are tried until the path loses nothing of its own.
const TRIES: u32 = 4;
/// Pictures before the screen stands still.
const PICTURES: u64 = 60;

/// Says in each access unit which one it refers to, and believes that it made those that it failed at.
struct Failing {
    next_due: Instant,
    counts: SourceCounts,
    pictures: u64,
    failing: Vec<u32>,
    leaves_out: bool,
    /// What may be referred to.
    references: BTreeSet<u32>,
    tried: BTreeSet<u32>,
    /// Access units that were ordered to refer to one that it failed at just before.
    ordered_so: Vec<u32>,
}

impl Failing {
    fn new(failing: &[u32], pictures: u64, leaves_out: bool) -> Self {
        let (failing, next_due, counts) = (failing.to_vec(), Instant::now(), SourceCounts::default());
        let (references, tried) = (BTreeSet::new(), BTreeSet::new());
        Self { next_due, counts, pictures, failing, leaves_out, references, tried, ordered_so: Vec::new() }
    }
}

impl Encode for Failing {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        std::thread::sleep(self.next_due.saturating_duration_since(Instant::now()).min(timeout));
        let now = Instant::now();
        if now < self.next_due || self.counts.captured == self.pictures {
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
        if !self.tried.insert(request.au) {
            return Err(StageFault::new("encode", format!("access unit {} is tried again", request.au)));
        }
        let is_after = request.au.checked_sub(1).is_some_and(|before| self.failing.contains(&before));
        if is_after && request.lost.is_none_or(|lost| lost.from_au >= request.au) && !request.idr {
            self.ordered_so.push(request.au);
        }
        if let Some(lost) = request.lost {
            self.references.split_off(&lost.from_au);
            out.set_recovery_point();
        }
        let refers_to = self.references.last().copied().filter(|_| !request.idr);
        if refers_to.is_none() {
            self.references.clear();
        }
        self.references.insert(request.au);
        for number in 0..SLICES {
            if number > 0 && self.failing.contains(&request.au) {
                return Ok(EncodeOutcome::Failed);
            }
            let mut slice = vec![request.au as u8; 3_000];
            slice[..4].copy_from_slice(&refers_to.unwrap_or(NONE).to_le_bytes());
            let is_last = number + 1 == SLICES;
            out.push(slice, refers_to.is_none(), is_last).map_err(|(_, fault)| fault)?;
        }
        Ok(EncodeOutcome::Encoded)
    }

    fn repeat(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        self.encode(request, out)
    }

    fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    fn recycle(&mut self, _slice: Vec<u8>) {}

    fn counts(&self) -> SourceCounts {
        self.counts
    }
}

/// Knows which access units it has whole.
#[derive(Default)]
struct Exact {
    whole: BTreeSet<u32>,
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
        if refers_to != NONE && !self.whole.contains(&refers_to) {
            self.without.push(block.au);
        }
        if !block.flags.last_block() {
            return Ok(DecodeOutcome::Pending);
        }
        self.whole.insert(block.au);
        self.newest.store(block.au.into(), Ordering::Relaxed);
        Ok(DecodeOutcome::Picture)
    }

    fn abandon(&mut self) {}
}

/// Streams until the client has whole access unit `until`, and once more where the path lost any other, of which what follows may
/// refer to; checks what it has.
fn stream(merge: Merge, encode: impl Fn() -> Failing, until: u64) -> HostEnd<Failing> {
    let mut tries = (0..TRIES).map(|_| stream_once(merge, encode(), until));
    tries.find_map(|(host, is_clean)| is_clean.then_some(host)).expect("a path that loses nothing")
}

/// The same once; whether nothing was lost but what the encoder failed at.
fn stream_once(merge: Merge, encode: Failing, until: u64) -> (HostEnd<Failing>, bool) {
    let decode = Exact::default();
    let newest = Arc::clone(&decode.newest);
    let failing = encode.failing.clone();
    let mut pair = start_own(machine(merge), SLICES, (encode, decode), |client| client);
    let all = pair.control_until(Duration::from_secs(30), || newest.load(Ordering::Relaxed) >= until);
    let (host, client) = (pair.host.stop(), pair.client.stop());
    assert!(all && host.fault.is_none(), "{merge:?}: {:?} {:?}", host.fault, host.stats);
    let decode = client.decode.expect("the stage gave it back");
    assert!(failing.iter().all(|au| !decode.whole.contains(au)), "{merge:?}: {:?}", decode.whole);
    let is_clean = client.stats.receive.lost_aus == failing.len() as u64;
    assert!(!is_clean || decode.without.is_empty(), "{merge:?}: {:?}", decode.without);
    assert!(client.stats.receive.lost_aus >= failing.len() as u64, "{merge:?}");
    assert_eq!(host.stats.encode.failed, failing.len() as u64, "{merge:?}");
    assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0), "{merge:?}");
    assert!(host.stats.protect.sent > until, "{merge:?}: those that it failed at are among what left");
    (host, is_clean)
}

#[test]
fn what_its_encoder_fails_at_is_lost_and_the_next_one_refers_to_what_is_older() {
    for merge in [Merge::Apart, Merge::Together] {
        let host = stream(merge, || Failing::new(&FAILING, u64::MAX, true), PICTURES);
        let encode = host.stats.encode;
        assert!(encode.idrs_no_reference == 0 && encode.recovery_points >= 2, "{merge:?}: {encode:?}");
        assert_eq!(encode.skipped, 0, "{merge:?}");
        // Before the client can have asked.
        assert_eq!(host.encode.expect("the stage gave it back").ordered_so, Vec::<u32>::new(), "{merge:?}");
    }
}

#[test]
fn a_first_picture_that_fails_is_no_clean_point() {
    let encode = stream(Merge::Apart, || Failing::new(&[0], u64::MAX, true), PICTURES).stats.encode;
    assert!(encode.idrs >= 1 && encode.recovery_points == 0, "{encode:?}");
}

#[test]
fn where_no_reference_can_be_left_out_an_idr_heals() {
    let encode = stream(Merge::Apart, || Failing::new(&[40], u64::MAX, false), 120).stats.encode;
    assert!(encode.idrs >= 2 && encode.recovery_points == 0, "{encode:?}");
}

#[test]
fn on_a_screen_that_stands_still_the_last_picture_is_encoded_again() {
    for merge in [Merge::Apart, Merge::Together] {
        let last = PICTURES as u32 - 1;
        let host = stream(merge, || Failing::new(&[last], PICTURES, true), PICTURES);
        assert!(host.stats.encode.recovery_points >= 1, "{merge:?}: {:?}", host.stats.encode);
    }
}
