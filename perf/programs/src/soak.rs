//! `soak`: the whole data plane for as long as one likes, with loss, rekeys and changes of mode, and its memory watched.
//!
//! A hop between the two ends loses datagrams; every few seconds the pictures' size, their rate or the shards' length
//! changes; keys are replaced after far fewer datagrams than the protocol has it, so that there are hundreds of rekeys.
//! Every byte that arrives is looked at.
//!
//! Promises: it ends by itself, and says what grew, what was wrong and what did not come home. Refuses: to call flat
//! what was looked at for less than a few windows.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::case::{Case, Checking};
use crate::error::PerfProgramError;
use crate::pair::{Pair, Plane};
use crate::report;
use crate::talk::{Change, Order};
use crate::units::{Percent, Rate};

/// How often something changes and memory is looked at.
const STEP: Duration = Duration::from_secs(3);

/// Datagrams of a key: some seconds at a gigabit, where the protocol's 2²³ are a minute and a half.
const EPOCH_DATAGRAMS: u32 = 1 << 18;

/// What memory may grow by once it has settled: the kernel counts a thread's pages late.
const GROWTH_KIB_MAX: u64 = 2_048;

/// What must be whole of a hundred access units, with loss and changes on the way.
const WHOLE_PERCENT_MIN: u64 = 95;

/// How much of the run belongs to settling: by then every change has been seen.
const SETTLING_SHARE: usize = 4;

/// Looks that there must be for a word about memory.
const LOOKS_MIN: usize = 8;

/// The changes, in turn.
const CHANGES: [Change; 8] = [
    Change { size_per_mille: Some(500), interval_us: None, shard_bytes: None, pace_kbps: None },
    Change { size_per_mille: None, interval_us: None, shard_bytes: Some(1152), pace_kbps: None },
    Change { size_per_mille: Some(1_000), interval_us: Some(16_667), shard_bytes: None, pace_kbps: None },
    Change { size_per_mille: Some(100), interval_us: None, shard_bytes: Some(512), pace_kbps: None },
    Change {
        size_per_mille: Some(1_000),
        interval_us: Some(8_333),
        shard_bytes: Some(1408),
        pace_kbps: None,
    },
    Change { size_per_mille: Some(250), interval_us: Some(6_944), shard_bytes: None, pace_kbps: None },
    Change { size_per_mille: Some(20), interval_us: None, shard_bytes: Some(1280), pace_kbps: None },
    Change {
        size_per_mille: Some(1_000),
        interval_us: Some(8_333),
        shard_bytes: Some(1408),
        pace_kbps: None,
    },
];

/// What a soak came to.
#[derive(Debug, Clone, Serialize)]
pub struct Soaked {
    /// How long it ran.
    pub seconds: f64,
    /// Access units encoded.
    pub encoded: u64,
    /// Of these, whole at the receiver.
    pub whole: u64,
    /// Never came: more was lost than parity and resends could make good.
    pub lost: u64,
    /// Late, dropped and shed.
    pub late_dropped_shed: u64,
    /// Slices that were right.
    pub right_slices: u64,
    /// Slices that were not.
    pub wrong_slices: u64,
    /// Shards computed from parity.
    pub recovered: u64,
    /// Datagrams that the hop lost.
    pub relay_lost: u64,
    /// Keys that ended.
    pub rekeys: u64,
    /// Changes of mode, size and shard length.
    pub changes: u64,
    /// Payload that arrived whole.
    pub goodput_mbps: f64,
    /// Resident memory of the sender and the receiver at each look.
    pub resident_kib: Vec<(u64, u64)>,
    /// What each grew by after it had settled.
    pub grown_kib: Option<(u64, u64)>,
    /// Slices, spans and bytes of the arena that did not come home.
    pub left_out: u64,
}

impl Soaked {
    /// Nothing wrong, nothing out, memory flat, and nearly every access unit whole: a stream that mostly fails proves
    /// nothing of what it did not carry.
    pub fn is_right(&self) -> bool {
        let flat = self.grown_kib.is_some_and(|(host, client)| host.max(client) <= GROWTH_KIB_MAX);
        let carried = self.whole * 100 >= self.encoded * WHOLE_PERCENT_MIN && self.right_slices > 0;
        self.wrong_slices == 0 && self.left_out == 0 && flat && carried
    }
}

/// Runs for `time` at `rate` with `loss`.
///
/// # Errors
/// An end that died.
pub fn run(rate: Rate, loss: Percent, time: Duration) -> Result<Soaked, PerfProgramError> {
    let case = Case { rate, loss, slices: 4, checking: Checking::All, ..Case::default() };
    let mut pair = Pair::start(Plane::Ours, &case, None, Some(EPOCH_DATAGRAMS))?;
    pair.go()?;
    let (start, mut changes, mut looks) = (Instant::now(), CHANGES.iter().cycle(), Vec::new());
    let mut sums = Sums::default();
    while start.elapsed() < time {
        pair.host.idle(STEP.min(time.saturating_sub(start.elapsed())).max(Duration::from_millis(10)))?;
        let (host, client) = pair.report()?;
        looks.push((host.resident_kib, client.resident_kib));
        sums.add(&host, &client);
        if let Some(change) = changes.next() {
            pair.host.order(&Order::Change(*change))?;
            sums.changes += 1;
        }
        report::progress(&format!("{:.0} s: {sums}", start.elapsed().as_secs_f64()));
    }
    let seconds = start.elapsed().as_secs_f64();
    let (host, client) = pair.stop()?;
    sums.add(&host, &client);
    let gauge = |window: &crate::meter::Window, name: &str| window.gauges.get(name).copied().unwrap_or(0);
    Ok(Soaked {
        seconds,
        encoded: sums.encoded,
        whole: sums.whole,
        lost: sums.lost,
        late_dropped_shed: sums.late_dropped_shed,
        right_slices: sums.right,
        wrong_slices: sums.wrong,
        recovered: sums.recovered,
        relay_lost: gauge(&client, "relay_lost"),
        rekeys: gauge(&host, "epoch"),
        changes: sums.changes,
        goodput_mbps: sums.bytes as f64 * 8.0 / 1e6 / seconds.max(f64::MIN_POSITIVE),
        grown_kib: grown(&looks),
        resident_kib: looks,
        left_out: gauge(&host, "slices_out")
            + gauge(&host, "arena_leased_bytes")
            + gauge(&client, "spans_out"),
    })
}

/// What was counted so far.
#[derive(Debug, Default)]
struct Sums {
    encoded: u64,
    whole: u64,
    lost: u64,
    late_dropped_shed: u64,
    right: u64,
    wrong: u64,
    recovered: u64,
    bytes: u64,
    changes: u64,
}

impl Sums {
    fn add(&mut self, host: &crate::meter::Window, client: &crate::meter::Window) {
        self.encoded += host.count("encoded");
        self.whole += client.count("whole");
        self.lost += client.count("lost_aus");
        self.late_dropped_shed += client.count("late_aus")
            + client.count("dropped_memory")
            + client.count("dropped_window")
            + client.count("dropped_decode_queue")
            + host.count("dropped_protect")
            + host.count("shed");
        self.right += client.count("right_slices");
        self.wrong += client.count("wrong_slices");
        self.recovered += client.count("recovered");
        self.bytes += client.count("bytes");
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} encoded, {} whole, {} lost, {} wrong slices, {} shards recovered",
            self.encoded, self.whole, self.lost, self.wrong, self.recovered
        )
    }
}

/// What resident memory grew by after the settling part: the largest look over the largest of the settling part, so that
/// a look in a small mode does not pass for the rule.
fn grown(looks: &[(u64, u64)]) -> Option<(u64, u64)> {
    if looks.len() < LOOKS_MIN {
        return None;
    }
    let (settling, rest) = looks.split_at((looks.len() / SETTLING_SHARE).max(LOOKS_MIN / 2));
    let most = |looks: &[(u64, u64)], pick: fn(&(u64, u64)) -> u64| looks.iter().map(pick).max().unwrap_or(0);
    let grew = |pick: fn(&(u64, u64)) -> u64| most(rest, pick).saturating_sub(most(settling, pick));
    Some((grew(|look| look.0), grew(|look| look.1)))
}

/// In words.
pub fn text(soaked: &Soaked) -> String {
    let grown = soaked.grown_kib.map_or("too short to tell".to_owned(), |(host, client)| {
        format!("sender {host} KiB, receiver {client} KiB")
    });
    let last = soaked.resident_kib.last().copied().unwrap_or_default();
    format!(
        "{:.0} s at {:.0} Mbit/s of goodput: {} encoded, {} whole, {} lost, {} late, dropped or shed\n\
         slices: {} right, {} wrong; {} datagrams lost on the way, {} shards recovered\n\
         {} rekeys, {} changes of mode; {} left out at the end\n\
         memory at the end: sender {} KiB, receiver {} KiB; grown after settling: {grown}\n\
         {}\n",
        soaked.seconds,
        soaked.goodput_mbps,
        soaked.encoded,
        soaked.whole,
        soaked.lost,
        soaked.late_dropped_shed,
        soaked.right_slices,
        soaked.wrong_slices,
        soaked.relay_lost,
        soaked.recovered,
        soaked.rekeys,
        soaked.changes,
        soaked.left_out,
        last.0,
        last.1,
        if soaked.is_right() { "right" } else { "NOT RIGHT" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_settling_and_from_a_small_mode() {
        let flat: Vec<(u64, u64)> = (0..40).map(|look| (50_000 + look % 8 * 100, 60_000)).collect();
        assert_eq!(grown(&flat), Some((0, 0)));
        let leak: Vec<(u64, u64)> = (0..40).map(|look| (50_000, 60_000 + look * 200)).collect();
        assert!(grown(&leak).is_some_and(|(host, client)| host == 0 && client > GROWTH_KIB_MAX));
        assert_eq!(grown(&flat[..LOOKS_MIN - 1]), None, "too short to tell");
    }

    #[test]
    fn what_is_wrong_out_or_growing_is_not_right() {
        let right = Soaked {
            seconds: 60.0,
            encoded: 7_200,
            whole: 7_190,
            lost: 10,
            late_dropped_shed: 0,
            right_slices: 28_760,
            wrong_slices: 0,
            recovered: 900,
            relay_lost: 5_000,
            rekeys: 1,
            changes: 20,
            goodput_mbps: 800.0,
            resident_kib: Vec::new(),
            grown_kib: Some((0, 12)),
            left_out: 0,
        };
        assert!(right.is_right());
        assert!(!Soaked { wrong_slices: 1, ..right.clone() }.is_right());
        assert!(!Soaked { left_out: 1, ..right.clone() }.is_right());
        assert!(!Soaked { grown_kib: Some((0, 90_000)), ..right.clone() }.is_right());
        assert!(!Soaked { whole: 6_000, lost: 1_200, ..right.clone() }.is_right());
        assert!(!Soaked { grown_kib: None, ..right }.is_right());
    }
}
