//! `protect`: packetize, parity and sealing on one core, and nothing sent.
//!
//! It does what the engine's protect stage does with an access unit, in the same order and the same train lengths, into
//! one arena that is used again and again; the bytes to protect lie in several buffers in turn, as an encoder's do.
//! Promises: times are the thread's own CPU time, so that a busy machine changes them little; what is sealed is
//! opened again once and compared before anything is measured. Refuses: a figure of bytes that came out wrong.

use std::time::{Duration, Instant};

use punktfunk_fec::Encoder;
use punktfunk_perf::thread_cpu;
use punktfunk_proto::{
    Delivery, Negotiated, Packetizer, Reassembler, ReassemblerLimits, seal_data, seal_parity,
};
use punktfunk_seal::{Opener, Sealer};
use serde::Serialize;

use crate::case::Case;
use crate::error::PerfProgramError;
use crate::host_end::{sealing_keys, test_keys};
use crate::machine;
use crate::pattern::{self, Name, SLICE_BYTES_MIN};

/// Buffers that are protected in turn: as many as a source has out.
const BUFFERS: u32 = 5;

/// Datagrams of a train.
const TRAIN: usize = 44;

/// What protecting costs.
#[derive(Debug, Clone, Serialize)]
pub struct Protected {
    /// Payload that one core protects, in Gbit/s.
    pub gbit_per_s: f64,
    /// CPU-seconds a gigabit of payload.
    pub cpu_s_per_gbit: f64,
    /// Access units protected.
    pub aus: u64,
    /// Payload bytes of each.
    pub au_bytes: usize,
    /// Datagrams of each, parity included.
    pub datagrams_per_au: usize,
    /// Nanoseconds a data datagram, all in all.
    pub ns_per_data_datagram: f64,
    /// Of these, for parity.
    pub fec_ns: f64,
    /// And for sealing, parity's sealing included.
    pub seal_ns: f64,
    /// Nanoseconds that a cache line took to the other core and back, just before.
    pub ping_pong_ns: Option<f64>,
    /// The load average just before.
    pub load: Option<f64>,
}

/// The parts of the protect stage.
struct Bench {
    packetizer: Packetizer,
    encoder: Encoder,
    sealer: Sealer,
    slots: Vec<u8>,
    au: u32,
    fec: Duration,
    seal: Duration,
    datagrams: usize,
}

/// Measures for `window`.
///
/// # Errors
/// A shape that the protocol does not carry, or bytes that came out wrong.
pub fn measure(case: &Case, window: Duration) -> Result<Protected, PerfProgramError> {
    let negotiated = case.negotiated()?;
    let (load, ping_pong_ns) = (machine::load(), machine::ping_pong_ns());
    let au_bytes = case.au_bytes().0.max(SLICE_BYTES_MIN);
    let buffers: Vec<Vec<u8>> = (0..BUFFERS)
        .map(|seed| {
            let mut buffer = vec![0; au_bytes];
            pattern::fill(seed, &mut buffer);
            pattern::stamp(seed, Name { au: seed, slice: 0, slices: 1, idr: false }, &mut buffer);
            buffer
        })
        .collect();
    let mut bench = Bench::new(&negotiated, case);
    check(&mut bench, &negotiated, &buffers[0])?;
    let mut turns = buffers.iter().cycle();
    let mut turn = move || turns.next().map_or(&[][..], Vec::as_slice);
    for _ in 0..BUFFERS * 4 {
        bench.protect(turn())?;
    }
    (bench.fec, bench.seal) = (Duration::ZERO, Duration::ZERO);
    let (start, cpu, mut aus) = (Instant::now(), thread_cpu(), 0_u64);
    while start.elapsed() < window {
        bench.protect(turn())?;
        aus += 1;
    }
    let (wall, cpu) = (start.elapsed(), thread_cpu() - cpu);
    let gbit = aus as f64 * au_bytes as f64 * 8.0 / 1e9;
    let data = aus as f64 * au_bytes.div_ceil(usize::from(case.shard_bytes)) as f64;
    let each = |time: Duration| time.as_nanos() as f64 / data;
    Ok(Protected {
        gbit_per_s: gbit / wall.as_secs_f64(),
        cpu_s_per_gbit: cpu.as_secs_f64() / gbit,
        aus,
        au_bytes,
        datagrams_per_au: bench.datagrams,
        ns_per_data_datagram: each(cpu),
        fec_ns: each(bench.fec),
        seal_ns: each(bench.seal),
        ping_pong_ns,
        load,
    })
}

impl Bench {
    fn new(negotiated: &Negotiated, case: &Case) -> Bench {
        let mut packetizer = Packetizer::new(negotiated);
        packetizer.set_shard_bytes(case.shard_bytes);
        let mut encoder = Encoder::new();
        negotiated.shapes_expected().into_iter().for_each(|shape| encoder.prepare(shape));
        Bench {
            packetizer,
            encoder,
            sealer: Sealer::new(sealing_keys(1).0, Instant::now()),
            slots: vec![0; negotiated.au_wire_bytes_max()],
            au: 0,
            fec: Duration::ZERO,
            seal: Duration::ZERO,
            datagrams: 0,
        }
    }

    /// Protects one access unit and says how many bytes of slots it took.
    fn protect(&mut self, au: &[u8]) -> Result<usize, PerfProgramError> {
        let failed = |words: &dyn std::fmt::Display| PerfProgramError::Failed(words.to_string());
        let now = Instant::now();
        // As if a report had opened it: an epoch is a minute and a half at a gigabit.
        self.sealer.handle_epoch_opened(self.sealer.epoch());
        self.packetizer.begin(self.au, self.au, false, false);
        self.au = self.au.wrapping_add(1);
        let (mut at, mut datagrams) = (0, 0);
        let plans = self.packetizer.plan_slice(au.len(), true).map_err(|error| failed(&error))?;
        for plan in plans {
            let slots = &mut self.slots[at..at + plan.slots_bytes()];
            at += plan.slots_bytes();
            let data = usize::from(plan.k);
            datagrams += data + usize::from(plan.m);
            for first in (0..data).step_by(TRAIN) {
                let start = thread_cpu();
                seal_data(&plan, first..data.min(first + TRAIN), au, slots, &mut self.sealer, now)
                    .map_err(|error| failed(&error))?;
                self.seal += thread_cpu() - start;
            }
            let start = thread_cpu();
            let shape = plan.fec_shape().map_err(|error| failed(&error))?;
            let parity = self.encoder.encode(shape, &au[plan.range()]).map_err(|error| failed(&error))?;
            let coded = thread_cpu();
            seal_parity(&plan, &parity, slots, &mut self.sealer, now).map_err(|error| failed(&error))?;
            self.fec += coded - start;
            self.seal += thread_cpu() - coded;
        }
        self.datagrams = datagrams;
        Ok(at)
    }
}

/// Protects one access unit, loses its first datagram, and puts it together again.
fn check(bench: &mut Bench, negotiated: &Negotiated, au: &[u8]) -> Result<(), PerfProgramError> {
    let limits = ReassemblerLimits::from(negotiated);
    let mut client = Reassembler::new(limits, Opener::new(test_keys(1), limits.replay_window));
    let bytes = bench.protect(au)?;
    let stride = bytes / bench.datagrams.max(1);
    let now = Instant::now();
    let mut came = Vec::new();
    for datagram in bench.slots[..bytes].chunks(stride.max(1)).skip(1) {
        client.handle_datagram(datagram, now);
        while let Some(delivery) = client.poll_delivery(now) {
            if let Delivery::Block(block) = delivery {
                came.extend_from_slice(block.span.as_ref());
                client.give_back(block.span);
            }
        }
    }
    if came == au {
        return Ok(());
    }
    Err(PerfProgramError::Failed(format!(
        "{} bytes came out of {} that were protected",
        came.len(),
        au.len()
    )))
}

/// In words.
pub fn text(protected: &Protected) -> String {
    format!(
        "packetize, parity, seal: {:.1} Gbit/s on one core ({:.1} were it never taken away), {:.4} CPU-s/Gbit\n  \
         {:.0} ns a data datagram: parity {:.0}, sealing {:.0}; {} access units of {} bytes, {} datagrams each\n  \
         cache line there and back {} ns, load {}\n",
        protected.gbit_per_s,
        1.0 / protected.cpu_s_per_gbit,
        protected.cpu_s_per_gbit,
        protected.ns_per_data_datagram,
        protected.fec_ns,
        protected.seal_ns,
        protected.aus,
        protected.au_bytes,
        protected.datagrams_per_au,
        protected.ping_pong_ns.map_or("-".to_owned(), |nanoseconds| format!("{nanoseconds:.0}")),
        protected.load.map_or("-".to_owned(), |load| format!("{load:.2}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_comes_out_again_and_is_counted() {
        let case = Case { rate: "20M".parse().unwrap(), idrs: crate::units::Idrs::NONE, ..Case::default() };
        let protected = measure(&case, Duration::from_millis(20)).unwrap();
        assert!(protected.aus > 0 && protected.gbit_per_s > 0.0 && protected.cpu_s_per_gbit > 0.0);
        assert!(protected.fec_ns > 0.0 && protected.seal_ns > 0.0);
        assert!(text(&protected).contains("CPU-s/Gbit"));
    }
}
