//! `soak`: the whole data plane for as long as one likes, with loss, rekeys and changes of mode, and its memory watched.
//!
//! A hop between the two ends loses datagrams; every few seconds the pictures' size, their rate and the shards' length
//! change; keys are replaced after far fewer datagrams than the protocol has it, so that there are hundreds of rekeys.
//! Every slice is filled with noise of its own, and every byte that arrives is looked at.
//!
//! Promises: it ends by itself, and names each thing that is not right: a wrong byte, more lost than the hop's loss
//! takes of the code, a key that outlived its end, memory that grew, and what did not come home. Refuses: to call right
//! what it could not judge, such as memory after a few looks.

mod memory;
mod modes;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::case::{Case, Checking};
use crate::error::PerfProgramError;
use crate::meter::Window;
use crate::pair::{Pair, Plane};
use crate::report;
use crate::talk::Order;
use crate::units::{Percent, Rate};

use memory::Growth;
use modes::{MODES, Mode};

/// Datagrams of a key: some seconds at a gigabit, where the protocol's 2²³ are a minute and a half.
const EPOCH_DATAGRAMS: u32 = 1 << 18;

/// What must be whole of a hundred access units, and of the payload that the modes ask for.
const WHOLE_PERCENT_MIN: u64 = 95;
const GOODPUT_PERCENT_MIN: f64 = 90.0;

/// Of so many datagrams one may be lost in another place than the hop's dice: a busy machine's sockets overflow.
const BEYOND_ONE_IN: u64 = 10_000;

/// Deviations by which the lost access units may lie above what the code's bound has on average.
const DEVIATIONS: f64 = 5.0;

/// What a soak came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Soaked {
    /// How long it ran.
    pub seconds: f64,
    /// Access units encoded.
    pub encoded: u64,
    /// Of these, whole at the receiver.
    pub whole: u64,
    /// Never came: more was lost than parity and resends could make good.
    pub lost: u64,
    /// What the hop's loss takes on average where nothing is sent again, and what was cut at the sender.
    pub lost_expected: f64,
    /// Late, dropped and shed.
    pub late_dropped_shed: u64,
    /// Slices that were right in every byte.
    pub right_slices: u64,
    /// Slices that were not.
    pub wrong_slices: u64,
    /// Bytes that were looked at, from the first picture on.
    pub looked_bytes: u64,
    /// Of these, in access units that came whole.
    pub whole_bytes: u64,
    /// Slices of whole access units that nobody judged.
    pub unjudged_slices: u64,
    /// Shards computed from parity.
    pub recovered: u64,
    /// Datagrams sent, those sent again included.
    pub datagrams: u64,
    /// Of these, sent again.
    pub resent: u64,
    /// Datagrams that the hop lost by its dice.
    pub relay_lost: u64,
    /// Datagrams that were lost elsewhere.
    pub lost_beyond: u64,
    /// Keys that ended.
    pub rekeys: u64,
    /// Changes of mode.
    pub changes: u64,
    /// Payload that arrived whole.
    pub goodput_mbps: f64,
    /// Payload that the modes asked for.
    pub asked_mbps: f64,
    /// Resident memory of the sender and the receiver at each look.
    pub resident_kib: Vec<(u64, u64)>,
    /// What the pools of buffers held of it at the last look: the sender's slices and the receiver's spans.
    pub pool_kib: (u64, u64),
    /// The sender's memory beside its pool, once it had settled.
    pub host_growth: Option<Growth>,
    /// The receiver's.
    pub client_growth: Option<Growth>,
    /// Slices, spans and bytes of the arena that did not come home.
    pub left_out: u64,
    /// What is not right.
    pub faults: Vec<String>,
}

/// Runs for `time` at `rate` with `loss`; with `adaptive`, redundancy follows the reports as in the product.
///
/// # Errors
/// An end that died.
pub fn run(rate: Rate, loss: Percent, time: Duration, adaptive: bool) -> Result<Soaked, PerfProgramError> {
    let case = Case { rate, loss, adaptive, slices: 4, checking: Checking::All, ..Case::default() };
    let mut pair = Pair::start(Plane::Ours, &case, None, Some(EPOCH_DATAGRAMS))?;
    pair.go()?;
    let start = Instant::now();
    let mut sums =
        Sums { soaked: Soaked::default(), bytes: 0, slices: case.slices.into(), looks: Vec::new() };
    let (mut modes, mut mode) = (MODES.iter().cycle().skip(1), MODES[0]);
    while start.elapsed() < time {
        let before = start.elapsed();
        pair.host.idle(mode.time().min(time.saturating_sub(before)).max(Duration::from_millis(10)))?;
        let (host, client) = pair.report()?;
        sums.add(&case, &mode, &host, &client);
        sums.soaked.asked_mbps += mode.mbps(&case) * (start.elapsed() - before).as_secs_f64();
        sums.looks.push(Look::at(start.elapsed(), &host, &client));
        report::progress(&format!("{:.0} s: {}", start.elapsed().as_secs_f64(), sums.line()));
        if let Some(next) = modes.next() {
            mode = *next;
            pair.host.order(&Order::Change(mode.change()))?;
            sums.soaked.changes += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let (host, client) = pair.stop()?;
    sums.add(&case, &mode, &host, &client);
    Ok(sums.end(seconds, &host, &client))
}

/// What was counted so far.
#[derive(Debug)]
struct Sums {
    soaked: Soaked,
    bytes: u64,
    slices: u64,
    looks: Vec<Look>,
}

/// The memory of both ends at a moment.
#[derive(Debug)]
struct Look {
    seconds: f64,
    host: Memory,
    client: Memory,
}

/// What is resident, and what the pools hold: those have a budget of their own, up to which a backlog makes them grow.
#[derive(Debug)]
struct Memory {
    resident_kib: u64,
    pool_kib: u64,
}

impl Look {
    fn at(since: Duration, host: &Window, client: &Window) -> Look {
        let memory = |window: &Window| Memory {
            resident_kib: window.resident_kib,
            pool_kib: gauge(window, "pool_bytes") / 1_024,
        };
        Look { seconds: since.as_secs_f64(), host: memory(host), client: memory(client) }
    }
}

fn gauge(window: &Window, name: &str) -> u64 {
    window.gauges.get(name).copied().unwrap_or(0)
}

impl Sums {
    fn add(&mut self, case: &Case, mode: &Mode, host: &Window, client: &Window) {
        let to = &mut self.soaked;
        let cut = host.count("dropped_protect");
        to.encoded += host.count("encoded");
        to.whole += client.count("whole");
        to.lost += client.count("lost_aus");
        to.lost_expected += mode.lost_share(case) * host.count("encoded") as f64 + cut as f64;
        to.late_dropped_shed += client.count("late_aus")
            + client.count("dropped_memory")
            + client.count("dropped_window")
            + client.count("dropped_decode_queue")
            + cut
            + host.count("shed");
        to.right_slices += client.count("right_slices");
        to.wrong_slices += client.count("wrong_slices");
        to.recovered += client.count("recovered");
        self.bytes += client.count("bytes");
    }

    fn line(&self) -> String {
        let Soaked { encoded, whole, lost, wrong_slices, recovered, .. } = &self.soaked;
        format!(
            "{encoded} encoded, {whole} whole, {lost} lost, {wrong_slices} wrong slices, {recovered} shards recovered"
        )
    }

    fn end(self, seconds: f64, host: &Window, client: &Window) -> Soaked {
        let ever = seconds.max(f64::MIN_POSITIVE);
        let (datagrams, relay_lost) = (gauge(host, "datagrams_ever"), gauge(client, "relay_lost"));
        let growth = |of: fn(&Look) -> &Memory| {
            let beside = |look: &Look| of(look).resident_kib.saturating_sub(of(look).pool_kib);
            Growth::of(&self.looks.iter().map(|look| (look.seconds, beside(look))).collect::<Vec<_>>())
        };
        let pool = |of: fn(&Look) -> &Memory| self.looks.last().map_or(0, |look| of(look).pool_kib);
        let mut soaked = Soaked {
            seconds,
            datagrams,
            resent: gauge(host, "resent_ever"),
            relay_lost,
            lost_beyond: datagrams.saturating_sub(relay_lost + gauge(client, "datagrams_ever")),
            rekeys: gauge(host, "epoch"),
            looked_bytes: gauge(client, "looked_ever"),
            whole_bytes: gauge(client, "bytes_ever"),
            unjudged_slices: (gauge(client, "whole_ever") * self.slices)
                .saturating_sub(gauge(client, "slices_ever")),
            goodput_mbps: self.bytes as f64 * 8.0 / 1e6 / ever,
            asked_mbps: self.soaked.asked_mbps / ever,
            host_growth: growth(|look| &look.host),
            client_growth: growth(|look| &look.client),
            pool_kib: (pool(|look| &look.host), pool(|look| &look.client)),
            resident_kib: self
                .looks
                .iter()
                .map(|look| (look.host.resident_kib, look.client.resident_kib))
                .collect(),
            left_out: gauge(host, "slices_out")
                + gauge(host, "arena_leased_bytes")
                + gauge(client, "spans_out"),
            ..self.soaked
        };
        soaked.faults = faults(&soaked);
        soaked
    }
}

/// What is not right, each in a sentence.
fn faults(soaked: &Soaked) -> Vec<String> {
    let growth = |end: &str, growth: Option<Growth>| match growth {
        Some(growth) if growth.is_flat() => None,
        Some(growth) => Some(format!("the {end}'s memory grew: {}", memory_text(Some(growth)))),
        None => Some(format!("too short to tell of the {end}'s memory: {} looks", soaked.resident_kib.len())),
    };
    let lost_most =
        soaked.lost_expected + DEVIATIONS * soaked.lost_expected.sqrt() + soaked.lost_beyond as f64;
    let keys_due = soaked.datagrams.saturating_sub(soaked.resent + 1) / u64::from(EPOCH_DATAGRAMS);
    let said = |wrong: bool, words: String| wrong.then_some(words);
    [
        said(soaked.wrong_slices > 0, format!("{} slices were wrong", soaked.wrong_slices)),
        said(
            soaked.unjudged_slices > 0
                || soaked.looked_bytes < soaked.whole_bytes
                || soaked.right_slices == 0,
            format!(
                "not every byte was looked at: {} of {}, and {} slices were not judged",
                soaked.looked_bytes, soaked.whole_bytes, soaked.unjudged_slices
            ),
        ),
        said(
            soaked.lost as f64 > lost_most.ceil(),
            format!(
                "{} access units were lost, where the hop's loss takes {lost_most:.1} at most",
                soaked.lost
            ),
        ),
        said(
            soaked.lost_beyond * BEYOND_ONE_IN > soaked.datagrams,
            format!(
                "{} datagrams of {} were lost beyond the hop's loss",
                soaked.lost_beyond, soaked.datagrams
            ),
        ),
        said(
            soaked.whole * 100 < soaked.encoded * WHOLE_PERCENT_MIN,
            format!("only {} of {} access units were whole", soaked.whole, soaked.encoded),
        ),
        said(
            soaked.goodput_mbps * 100.0 < soaked.asked_mbps * GOODPUT_PERCENT_MIN,
            format!("{:.0} Mbit/s came of {:.0} asked for", soaked.goodput_mbps, soaked.asked_mbps),
        ),
        said(
            soaked.rekeys == 0 || soaked.rekeys < keys_due,
            format!("{} rekeys, where {} keys were used up", soaked.rekeys, keys_due.max(1)),
        ),
        said(soaked.changes < MODES.len() as u64, format!("only {} changes of mode", soaked.changes)),
        growth("sender", soaked.host_growth),
        growth("receiver", soaked.client_growth),
        said(soaked.left_out > 0, format!("{} did not come home", soaked.left_out)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn memory_text(growth: Option<Growth>) -> String {
    growth.map_or("too short to tell".to_owned(), |growth| {
        format!("{} KiB at its peak, {:+.1} KiB a minute", growth.grown_kib, growth.slope_kib_per_minute)
    })
}

/// In words.
pub fn text(soaked: &Soaked) -> String {
    let last = soaked.resident_kib.last().copied().unwrap_or_default();
    let verdict = match &soaked.faults[..] {
        [] => "right\n".to_owned(),
        faults => faults.iter().map(|fault| format!("NOT RIGHT: {fault}\n")).collect(),
    };
    format!(
        "{:.0} s at {:.0} of {:.0} Mbit/s: {} encoded, {} whole, {} lost ({:.1} by the code's bound), {} late, \
         dropped or shed\n\
         slices: {} right, {} wrong; {} bytes looked at\n\
         {} datagrams, {} lost by the hop, {} elsewhere; {} sent again, {} shards recovered\n\
         {} rekeys, {} changes of mode; {} left out at the end\n\
         memory: sender {} KiB of which {} pooled, the rest grown {}; receiver {} KiB of which {} pooled, the rest \
         grown {}\n\
         {verdict}",
        soaked.seconds,
        soaked.goodput_mbps,
        soaked.asked_mbps,
        soaked.encoded,
        soaked.whole,
        soaked.lost,
        soaked.lost_expected,
        soaked.late_dropped_shed,
        soaked.right_slices,
        soaked.wrong_slices,
        soaked.looked_bytes,
        soaked.datagrams,
        soaked.relay_lost,
        soaked.lost_beyond,
        soaked.resent,
        soaked.recovered,
        soaked.rekeys,
        soaked.changes,
        soaked.left_out,
        last.0,
        soaked.pool_kib.0,
        memory_text(soaked.host_growth),
        last.1,
        soaked.pool_kib.1,
        memory_text(soaked.client_growth),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right() -> Soaked {
        let flat = Growth { grown_kib: 12, slope_kib_per_minute: 0.5, slope_kib: 20.0 };
        Soaked {
            seconds: 60.0,
            encoded: 7_200,
            whole: 7_190,
            lost: 10,
            lost_expected: 9.0,
            right_slices: 28_770,
            looked_bytes: 6_100_000_000,
            whole_bytes: 6_000_000_000,
            datagrams: 5_000_000,
            resent: 40_000,
            relay_lost: 50_000,
            lost_beyond: 3,
            rekeys: 18,
            changes: 20,
            goodput_mbps: 900.0,
            asked_mbps: 940.0,
            host_growth: Some(flat),
            client_growth: Some(flat),
            ..Soaked::default()
        }
    }

    #[test]
    fn a_right_soak_has_no_fault() {
        assert_eq!(faults(&right()), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_is_not_right_is_named() {
        let grown = Some(Growth { grown_kib: 90_000, slope_kib_per_minute: 0.0, slope_kib: 0.0 });
        for (soaked, word) in [
            (Soaked { wrong_slices: 1, ..right() }, "1 slices were wrong"),
            (Soaked { unjudged_slices: 1, ..right() }, "not every byte"),
            (Soaked { looked_bytes: 5_999_999_999, ..right() }, "not every byte"),
            (Soaked { lost: 40, ..right() }, "40 access units"),
            (Soaked { lost_beyond: 501, ..right() }, "beyond the hop's"),
            (Soaked { whole: 6_000, ..right() }, "only 6000 of 7200"),
            (Soaked { goodput_mbps: 800.0, ..right() }, "800 Mbit/s"),
            (Soaked { rekeys: 17, ..right() }, "17 rekeys"),
            (Soaked { rekeys: 0, datagrams: 10, ..right() }, "0 rekeys"),
            (Soaked { changes: 3, ..right() }, "only 3 changes"),
            (Soaked { host_growth: grown, ..right() }, "sender's memory grew"),
            (Soaked { client_growth: grown, ..right() }, "receiver's memory grew"),
            (Soaked { client_growth: None, ..right() }, "too short"),
            (Soaked { left_out: 1, ..right() }, "1 did not come home"),
        ] {
            let faults = faults(&soaked);
            assert!(faults.iter().any(|fault| fault.contains(word)), "{word}: {faults:?}");
        }
    }
}
