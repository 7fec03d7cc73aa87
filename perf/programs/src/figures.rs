//! What one window comes to, and what several come to together.
//!
//! Promises: every rate is per second of the receiver's own window, every cost per gigabit of goodput; a window is clean
//! only when nothing was lost, shed or wrong and the goodput is what was asked for. Refuses: a ratio of nothing.

use std::collections::BTreeMap;

use punktfunk_perf::Stage;
use serde::Serialize;

use crate::case::Case;
use crate::meter::{Spread, Window};

/// Share of what was asked for that counts as all of it.
const GOODPUT_SHARE_MIN: f64 = 0.99;

/// Access units that a window's two ends may cut off, which in a short one is more than that.
const AUS_CUT_OFF: f64 = 2.5;

/// The figures of one window.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Payload that arrived whole, in Mbit/s.
    pub goodput_mbps: f64,
    /// The wire's rate at the sender, in Mbit/s of UDP payload.
    pub wire_mbps: f64,
    /// Parity and resends over the data datagrams, per cent.
    pub overhead_percent: f64,
    /// Nothing lost, shed or wrong, and the goodput is what was asked for.
    pub clean: bool,
    /// Access units.
    pub aus: Aus,
    /// Stamp to reassembled, ordinary access units, in microseconds.
    pub latency_us: Option<Spread>,
    /// The same of IDRs.
    pub idr_latency_us: Option<Spread>,
    /// The sender, making of bytes left out.
    pub sender: Side,
    /// The receiver, checking of bytes left out.
    pub receiver: Side,
    /// System calls of the sender an access unit, and the trains that its datagrams make.
    pub send_calls_per_au: f64,
    /// Trains an access unit, of 44 datagrams at most.
    pub trains_per_au: f64,
    /// Receive calls that brought something, an access unit.
    pub receive_calls_per_au: f64,
    /// GRO batches an access unit at the receiver.
    pub batches_per_au: f64,
    /// Nanoseconds that a cache line took to the other core and back, just before.
    pub ping_pong_ns: Option<f64>,
    /// The load average just before.
    pub load: Option<f64>,
    /// What each end got of the machine.
    pub setup: Vec<String>,
    /// Slices, spans and bytes of the arena that did not come home at the end.
    pub left_out: u64,
}

/// What became of the access units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Aus {
    /// Encoded.
    pub encoded: u64,
    /// Whole at the receiver.
    pub whole: u64,
    /// Never came.
    pub lost: u64,
    /// Came whole after they were given up.
    pub late: u64,
    /// Thrown away by either end.
    pub dropped: u64,
    /// Shed before encode.
    pub shed: u64,
    /// Passed over by the source, which woke too late.
    pub superseded: u64,
    /// Slices with a wrong byte.
    pub wrong: u64,
    /// Shards computed from parity.
    pub recovered: u64,
    /// Datagrams sent again.
    pub resent: u64,
    /// Buffers that the kernel dropped at the receiver's socket.
    pub kernel_drops: u64,
}

/// One end's costs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Side {
    /// CPU-seconds a gigabit of goodput, the whole process.
    pub cpu_s_per_gbit: f64,
    /// The same by thread; making or checking of bytes is in its thread's.
    pub threads: BTreeMap<String, f64>,
    /// Of making or checking bytes, which is not in the whole.
    pub apart_s_per_gbit: f64,
    /// The stages' wall time a datagram, in nanoseconds: what their histograms sum up to.
    pub stage_ns_per_datagram: BTreeMap<String, f64>,
    /// The stages' histograms.
    pub stages: BTreeMap<String, Spread>,
    /// Datagrams.
    pub datagrams: u64,
    /// Allocations of the whole process, an access unit.
    pub allocations_per_au: f64,
    /// Resident memory.
    pub resident_kib: u64,
    /// All that was counted.
    pub counters: BTreeMap<String, u64>,
}

impl Figures {
    /// Of one window of both ends.
    pub fn new(case: &Case, host: Window, client: Window) -> Figures {
        let gbit = client.count("bytes") as f64 * 8.0 / 1e9;
        let goodput_mbps = gbit * 1e3 / seconds(&client);
        let aus = Aus {
            encoded: host.count("encoded"),
            whole: client.count("whole"),
            lost: client.count("lost_aus"),
            late: client.count("late_aus"),
            dropped: host.count("dropped_protect")
                + client.count("dropped_memory")
                + client.count("dropped_window")
                + client.count("dropped_decode_queue"),
            shed: host.count("shed"),
            superseded: host.count("superseded"),
            wrong: client.count("wrong_slices"),
            recovered: client.count("recovered"),
            resent: host.count("datagrams_resent"),
            kernel_drops: client.count("kernel_drops"),
        };
        let sent = aus.encoded.max(1) as f64;
        let clean = aus.lost + aus.late + aus.dropped + aus.shed + aus.wrong == 0
            && goodput_mbps >= case.rate.mbps() * share_min(case, seconds(&client));
        Figures {
            goodput_mbps,
            overhead_percent: overhead_percent(&host),
            wire_mbps: host.count("wire_bytes") as f64 * 8.0 / 1e6 / seconds(&host),
            clean,
            aus,
            latency_us: client.stage(Stage::CaptureToReassembled),
            idr_latency_us: client.stage(Stage::IdrToReassembled),
            send_calls_per_au: host.count("system_calls") as f64 / sent,
            trains_per_au: trains_per_au(case),
            // The stage is stamped once for each call that brought media.
            receive_calls_per_au: client.stage(Stage::Open).map_or(0, |open| open.count) as f64
                / aus.whole.max(1) as f64,
            batches_per_au: client.count("batches") as f64 / aus.whole.max(1) as f64,
            ping_pong_ns: None,
            load: None,
            setup: Vec::new(),
            left_out: 0,
            sender: Side::new(host, gbit, aus.encoded),
            receiver: Side::new(client, gbit, aus.whole),
        }
    }
}

impl Side {
    fn new(window: Window, gbit: f64, aus: u64) -> Side {
        let gbit = gbit.max(f64::MIN_POSITIVE);
        let per_gbit = |nanoseconds: u64| nanoseconds as f64 / 1e9 / gbit;
        let datagrams = window.count("datagrams");
        let each = |spread: &Spread| spread.mean * spread.count as f64 * 1e3 / datagrams.max(1) as f64;
        Side {
            cpu_s_per_gbit: per_gbit(window.cpu_ns),
            threads: window
                .threads
                .iter()
                .map(|thread| (thread.name.clone(), per_gbit(thread.cpu_ns)))
                .collect(),
            apart_s_per_gbit: per_gbit(window.apart_ns),
            stage_ns_per_datagram: window
                .stages
                .iter()
                .map(|(name, spread)| (name.clone(), each(spread)))
                .collect(),
            stages: window.stages,
            datagrams,
            allocations_per_au: window.allocations as f64 / aus.max(1) as f64,
            resident_kib: window.resident_kib,
            counters: window.counters,
        }
    }
}

fn overhead_percent(host: &Window) -> f64 {
    let more = host.count("parity_datagrams") + host.count("datagrams_resent");
    more as f64 * 100.0 / host.count("datagrams").saturating_sub(more).max(1) as f64
}

/// The share of what was asked for that a window of so many seconds must bring.
fn share_min(case: &Case, seconds: f64) -> f64 {
    let aus = seconds * f64::from(case.refresh.mhz()) / 1e3;
    GOODPUT_SHARE_MIN.min(1.0 - AUS_CUT_OFF / aus.max(AUS_CUT_OFF * 2.0))
}

fn seconds(window: &Window) -> f64 {
    (window.wall_ns as f64 / 1e9).max(f64::MIN_POSITIVE)
}

/// Trains that the datagrams of a mean access unit make, each slice a block of its own.
fn trains_per_au(case: &Case) -> f64 {
    let shard = u64::from(case.shard_bytes.max(1));
    let slices = u64::from(case.slices.max(1));
    let trains = |bytes: usize| {
        let data = (bytes as u64 / slices).div_ceil(shard).max(1);
        let parity = (data * u64::from(case.redundancy.per_mille())).div_ceil(1_000).max(1);
        (slices * (data.div_ceil(44) + parity.div_ceil(44))) as f64
    };
    let (unit, large) = case.au_bytes();
    match case.idr_period_aus() {
        Some(period) => {
            let period = f64::from(period);
            (trains(unit) * (period - 1.0) + trains(large)) / period
        }
        None => trains(unit),
    }
}

/// Best, median and worst of one figure over several windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rounds {
    /// The smallest.
    pub best: f64,
    /// The middle one; the mean of the two middle ones where their number is even.
    pub median: f64,
    /// The largest.
    pub worst: f64,
    /// How many.
    pub count: usize,
}

impl Rounds {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Rounds> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (best, worst) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Rounds { best, median: (low + high) / 2.0, worst, count: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(counters: &[(&str, u64)]) -> Window {
        Window {
            wall_ns: 1_000_000_000,
            cpu_ns: 100_000_000,
            counters: counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..Window::default()
        }
    }

    #[test]
    fn a_window_is_clean_only_when_nothing_is_amiss() {
        let case = Case::default();
        let host = || window(&[("encoded", 120), ("wire_bytes", 140_000_000)]);
        let right = Figures::new(&case, host(), window(&[("bytes", 125_000_000), ("whole", 120)]));
        assert!(right.clean && (right.goodput_mbps - 1_000.0).abs() < 1e-6);
        assert!((right.sender.cpu_s_per_gbit - 0.1).abs() < 1e-9, "{}", right.sender.cpu_s_per_gbit);
        for amiss in ["lost_aus", "late_aus", "dropped_decode_queue", "wrong_slices"] {
            let client = window(&[("bytes", 125_000_000), ("whole", 120), (amiss, 1)]);
            assert!(!Figures::new(&case, host(), client).clean, "{amiss}");
        }
        let short = window(&[("bytes", 122_000_000), ("whole", 117)]);
        assert!(!Figures::new(&case, host(), short).clean);
        let shed = window(&[("encoded", 120), ("shed", 1)]);
        assert!(!Figures::new(&case, shed, window(&[("bytes", 125_000_000)])).clean);
        let nothing = Figures::new(&case, window(&[]), window(&[]));
        assert!(!nothing.clean && nothing.sender.cpu_s_per_gbit > 0.0);
    }

    #[test]
    fn rounds_are_best_median_and_worst() {
        assert_eq!(Rounds::of([]), None);
        assert_eq!(Rounds::of([f64::NAN]), None);
        assert_eq!(
            Rounds::of([3.0, 1.0, 2.0]),
            Some(Rounds { best: 1.0, median: 2.0, worst: 3.0, count: 3 })
        );
        assert_eq!(Rounds::of([4.0, 1.0]).map(|rounds| rounds.median), Some(2.5));
    }

    #[test]
    fn trains_are_those_of_44_datagrams() {
        let case = Case { idrs: crate::units::Idrs::NONE, ..Case::default() };
        // 1,041,666 bytes are 740 data and 74 parity shards.
        assert!((trains_per_au(&case) - 19.0).abs() < 1e-9, "{}", trains_per_au(&case));
    }
}
