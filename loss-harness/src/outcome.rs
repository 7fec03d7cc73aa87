//! What a run came to, and the verdict.
//!
//! A run is right when exactly those access units were delivered that the oracle says could be had in time, no byte
//! was wrong, every span came home, nothing that was damaged was believed, and each datagram is accounted for: sent and
//! doubled is arrived or lost by a named cause.

use std::time::Duration;

use punktfunk_proto::ReassemblyCounters;

use crate::client::Received;
use crate::host::HostCounts;
use crate::link::FateCounts;
use crate::oracle::Verdicts;
use crate::plan::Plan;

/// Access units on the wrong side of the oracle that are named.
const ASTRAY_SHOWN: usize = 10;

/// Times from capture to the last byte, of the AUs that were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Half were faster.
    pub p50: Duration,
    /// One in a hundred was slower.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// AUs sent.
    pub sent: u32,
    /// AUs that the code's bound allows.
    pub allowed: u32,
    /// AUs of them whose shards came in time.
    pub in_time: u32,
    /// AUs delivered whole, every byte right.
    pub delivered: u32,
    /// AUs of them that nothing lost spoiled.
    pub usable: u32,
    /// The longest run of AUs that were not usable.
    pub longest_gap: u32,
    /// AUs that the client reported lost.
    pub lost: u32,
    /// AUs delivered against the oracle, or allowed in time and not delivered: the first few.
    pub astray: Vec<u32>,
    /// Blocks with a wrong byte or out of order.
    pub wrong_blocks: u32,
    /// Spans that did not come home.
    pub spans_astray: usize,
    /// Each datagram and each damaged copy is accounted for.
    pub is_conserved: bool,
    /// Payload bytes sent.
    pub payload_bytes: u64,
    /// From capture to the last byte.
    pub latency: Latency,
    /// What the host did.
    pub host: HostCounts,
    /// What the link to the client did.
    pub fates: FateCounts,
    /// What the link to the host did.
    pub feedback_fates: FateCounts,
    /// The reassembler's own figures.
    pub counters: ReassemblyCounters,
    /// Equal for equal plans and seeds.
    pub digest: u64,
}

impl Outcome {
    /// Puts together what the oracle, the client, the links (down, up) and the host say.
    pub fn new(
        plan: &Plan,
        verdicts: &Verdicts,
        received: &Received,
        links: (FateCounts, FateCounts),
        host: HostCounts,
        payload_bytes: u64,
    ) -> Outcome {
        let count = |aus: &mut dyn Iterator<Item = bool>| aus.filter(|au| *au).count() as u32;
        let endings = received.endings.iter();
        let pairs = verdicts.in_time.iter().zip(endings.clone()).enumerate();
        let differ = pairs.filter(|(_, (can, ending))| **can != ending.is_delivered);
        let usable: Vec<bool> = endings.clone().map(|ending| ending.is_usable).collect();
        Outcome {
            sent: plan.aus,
            allowed: count(&mut verdicts.allowed.iter().copied()),
            in_time: count(&mut verdicts.in_time.iter().copied()),
            delivered: count(&mut endings.clone().map(|ending| ending.is_delivered)),
            usable: count(&mut usable.iter().copied()),
            longest_gap: longest_gap(&usable),
            lost: received.lost,
            astray: differ.map(|(au, _)| au as u32).take(ASTRAY_SHOWN).collect(),
            wrong_blocks: received.wrong_blocks,
            spans_astray: received.spans_astray,
            is_conserved: is_conserved(links, verdicts, &received.counters),
            payload_bytes,
            latency: latency(endings.filter_map(|ending| ending.took).collect()),
            host,
            fates: links.0,
            feedback_fates: links.1,
            counters: received.counters,
            digest: received.digest,
        }
    }

    /// True when exactly what could be had in time was delivered, no byte was wrong and nothing is unaccounted for.
    pub fn is_right(&self) -> bool {
        self.astray.is_empty()
            && self.delivered == self.in_time
            && self.wrong_blocks == 0
            && self.spans_astray == 0
            && self.is_conserved
    }

    /// AUs delivered, of those sent.
    pub fn delivered_share(&self) -> f64 {
        f64::from(self.delivered) / f64::from(self.sent)
    }

    /// AUs that the bound allows, of those sent.
    pub fn allowed_share(&self) -> f64 {
        f64::from(self.allowed) / f64::from(self.sent)
    }

    /// Datagrams beside the first ones of data, of those.
    pub fn overhead(&self) -> f64 {
        let data = self.host.data_datagrams.max(1);
        (self.fates.datagrams - self.host.data_datagrams) as f64 / data as f64
    }
}

/// What was sent arrived or is gone, what arrived was handed in, and what was damaged was not believed.
fn is_conserved(links: (FateCounts, FateCounts), verdicts: &Verdicts, seen: &ReassemblyCounters) -> bool {
    let (down, up) = links;
    let refused = seen.malformed + seen.bad_tag + seen.unknown_epoch + seen.over_limit + seen.replayed;
    let authentic = seen.placed + seen.copied + seen.surplus + seen.late;
    down.are_conserved()
        && up.are_conserved()
        && verdicts.astray == 0
        && seen.datagrams == down.arrived
        && seen.datagrams == refused + authentic
        && refused >= down.corrupted
}

fn longest_gap(usable: &[bool]) -> u32 {
    usable.split(|usable| *usable).map(<[bool]>::len).max().unwrap_or(0) as u32
}

fn latency(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |per_cent: usize| took.get((took.len() * per_cent / 100).min(took.len().saturating_sub(1)));
    let [p50, p99, max] = [50, 99, 100].map(|share| at(share).copied().unwrap_or_default());
    Latency { p50, p99, max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::run::run;

    #[test]
    fn a_verdict_falls_for_each_fault() {
        let plan = Plan { aus: 3, ..Plan::default() };
        let right = run(&plan, &mut Progress::silent()).unwrap();
        assert!(right.is_right() && right.delivered == 3);
        let faults: [fn(&mut Outcome); 5] = [
            |outcome| outcome.astray.push(1),
            |outcome| outcome.delivered -= 1,
            |outcome| outcome.wrong_blocks += 1,
            |outcome| outcome.spans_astray += 1,
            |outcome| outcome.is_conserved = false,
        ];
        for fault in faults {
            let mut outcome = right.clone();
            fault(&mut outcome);
            assert!(!outcome.is_right());
        }
    }

    #[test]
    fn a_gap_is_the_longest_run() {
        assert_eq!(longest_gap(&[true, false, false, true, false]), 2);
        assert_eq!((longest_gap(&[]), longest_gap(&[true]), longest_gap(&[false; 3])), (0, 0, 3));
    }

    #[test]
    fn percentiles_are_those_of_what_came() {
        let ms = Duration::from_millis;
        let hundred = latency((1..=100).map(ms).collect());
        assert_eq!(hundred, Latency { p50: ms(51), p99: ms(100), max: ms(100) });
        assert_eq!(latency(Vec::new()), Latency::default());
    }

    #[test]
    fn nothing_that_is_missing_or_believed_in_error_is_overlooked() {
        let down = FateCounts { datagrams: 10, corrupted: 1, arrived: 9, lost: 1, ..FateCounts::default() };
        let seen =
            ReassemblyCounters { datagrams: 9, placed: 8, bad_tag: 1, ..ReassemblyCounters::default() };
        let verdicts = Verdicts { allowed: vec![], in_time: vec![], astray: 0 };
        let up = FateCounts::default();
        assert!(is_conserved((down, up), &verdicts, &seen));
        let faults = [
            (FateCounts { arrived: 8, ..down }, up, 0, seen),
            (FateCounts { corrupted: 2, ..down }, up, 0, seen),
            (down, FateCounts { datagrams: 1, ..up }, 0, seen),
            (down, up, 1, seen),
            (down, up, 0, ReassemblyCounters { placed: 9, bad_tag: 0, ..seen }),
            (down, up, 0, ReassemblyCounters { datagrams: 8, placed: 7, ..seen }),
        ];
        for (down, up, astray, seen) in faults {
            assert!(!is_conserved((down, up), &Verdicts { astray, ..verdicts.clone() }, &seen));
        }
    }
}
