//! Slices that come home while their access unit is being encoded, and what is timed of them.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use punktfunk_engine::{
    CpuCopies, Encode, EncodeOutcome, EncodeRequest, Merge, SliceSink, SourceCounts, StageFault, Wait,
};
use punktfunk_perf::{Collector, Stage};
use support::{Check, PERIOD, Pattern, machine, row, start_own, wait_for};

const SLICES: u16 = 4;
const SLICE_BYTES: usize = 20_000;
const AUS: u64 = 40;

/// Has memory for two slices only, as an encoder whose output must be unlocked before it goes on.
struct Locked {
    /// Where pictures come from.
    pattern: Pattern,
    memory: Vec<Vec<u8>>,
    /// Slices that came home by [`SliceSink::take_home`].
    taken: u64,
    /// Whether a slice can be read only when the whole access unit can.
    is_late: bool,
}

impl Locked {
    fn new(check: &Check, is_late: bool) -> Self {
        let memory = (0..if is_late { SLICES } else { 2 }).map(|_| Vec::with_capacity(SLICE_BYTES)).collect();
        let pattern = Pattern::closed(SLICES, SLICE_BYTES, 2, AUS, check);
        Self { pattern, memory, taken: 0, is_late }
    }

    fn unlock(&mut self, out: &mut SliceSink<'_, Vec<u8>>) -> Result<Vec<u8>, StageFault> {
        let locked = Instant::now();
        let mut slice = None;
        while slice.is_none() {
            if let Some(memory) = self.memory.pop() {
                return Ok(memory);
            }
            slice = out.take_home();
            if locked.elapsed() > Duration::from_secs(10) {
                return Err(StageFault::new("encode", "no slice comes home"));
            }
            std::thread::yield_now();
        }
        self.taken += 1;
        out.set_lock(locked.elapsed());
        slice.ok_or_else(|| StageFault::new("encode", "it was there"))
    }
}

impl Encode for Locked {
    type Slice = Vec<u8>;

    fn wait_picture(&mut self, timeout: Duration) -> Result<Wait, StageFault> {
        self.pattern.wait_picture(timeout)
    }

    fn encode(
        &mut self,
        request: &EncodeRequest,
        out: &mut SliceSink<'_, Vec<u8>>,
    ) -> Result<EncodeOutcome, StageFault> {
        out.set_convert(Duration::from_micros(90));
        out.set_submit(Duration::from_micros(30));
        out.add_copies(CpuCopies { import: 7, slices: 5 });
        let ready = Instant::now();
        for slice in 0..SLICES {
            let mut memory = self.unlock(out)?;
            memory.clear();
            let row = row(request.au, slice);
            while memory.len() < SLICE_BYTES {
                memory.extend_from_slice(&row[..PERIOD.min(SLICE_BYTES - memory.len())]);
            }
            if self.is_late {
                out.set_slice_ready(ready);
            }
            out.push(memory, request.idr, slice + 1 == SLICES).map_err(|(_, fault)| fault)?;
        }
        self.pattern.encoded(request.au);
        Ok(EncodeOutcome::Encoded)
    }

    fn recycle(&mut self, slice: Vec<u8>) {
        self.memory.push(slice);
    }

    fn counts(&self) -> SourceCounts {
        self.pattern.counts()
    }
}

/// Samples of each of these stages.
fn samples<const N: usize>(collectors: &mut [Collector], stages: [Stage; N]) -> [u64; N] {
    let mut counts = [0; N];
    for collector in collectors {
        collector.drain(|stage, _| {
            counts.iter_mut().zip(stages).for_each(|(count, of)| *count += u64::from(stage == of));
        });
    }
    counts
}

#[test]
fn an_encoder_with_memory_for_two_slices_encodes_four() {
    for merge in [Merge::Apart, Merge::Together] {
        let check = Check::new(false);
        let pictures = check.pictures.clone();
        let encode = Locked::new(&check, false);
        let mut pair = start_own(machine(merge), SLICES, (encode, check), |client| client);
        let mut collectors = pair.host.take_collectors();
        let all = wait_for(Duration::from_secs(20), || pictures.load(Ordering::Relaxed) == AUS);
        let (host, client) = (pair.host.stop(), pair.client.stop());
        assert!(all && host.fault.is_none(), "{merge:?}: {:?} {:?}", host.fault, host.stats);
        assert_eq!((host.slices_out, host.arena_leased_bytes), (0, 0), "{merge:?}");
        assert_eq!(client.decode.expect("the stage gave it back").wrong, 0);
        let encode = host.encode.expect("the stage gave it back");
        assert_eq!(encode.memory.len(), 2, "all of it is home");
        assert!(encode.taken >= AUS * 2, "{merge:?}: {}", encode.taken);
        let stats = host.stats;
        assert_eq!((stats.encode.copied_import, stats.encode.copied_slices), (7 * AUS, 5 * AUS));
        let slices = AUS * u64::from(SLICES);
        let of = [Stage::Convert, Stage::Submit, Stage::SliceReady, Stage::HandOver, Stage::Lock];
        assert_eq!(samples(&mut collectors, of), [AUS, AUS, slices, slices, encode.taken], "{merge:?}");
        assert!(stats.protect.sent_early > 0, "the third waits until the first was sent: {stats:?}");
    }
}

#[test]
fn what_is_ready_all_at_once_is_not_sent_early() {
    for merge in [Merge::Apart, Merge::Together] {
        let check = Check::new(false);
        let pictures = check.pictures.clone();
        let encode = Locked::new(&check, true);
        let mut pair = start_own(machine(merge), SLICES, (encode, check), |client| client);
        let mut collectors = pair.host.take_collectors();
        let all = wait_for(Duration::from_secs(20), || pictures.load(Ordering::Relaxed) == AUS);
        let host = pair.host.stop();
        pair.client.stop();
        assert!(all, "{merge:?}: {:?}", host.stats);
        assert_eq!(host.stats.protect.sent_early, 0, "{merge:?}");
        assert_eq!(samples(&mut collectors, [Stage::Overlap]), [0]);
    }
}
