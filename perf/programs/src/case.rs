//! One thing to measure: a stream's shape, and how it is carried.
//!
//! Promises: both ends, which are processes, derive the same bounds from the same case; the mean rate over an IDR's
//! period is the one that was asked for. Refuses: shapes that the protocol cannot carry, by the protocol's own words.

use std::time::Duration;

use punktfunk_net::Backend;
use punktfunk_proto::{LimitError, Negotiated};
use serde::{Deserialize, Serialize};

use crate::units::{Idrs, Pace, Percent, Rate, Refresh};

/// The fastest wire that can be negotiated. A faster stream is carried all the same: the figure only sizes what is
/// taken in advance.
const NEGOTIATED_KBPS_MAX: u64 = 8_000_000;
const NEGOTIATED_KBPS_MIN: u64 = 500;

/// As the host.
const BURST_BYTES: usize = 128 << 10;

/// How the stages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// In the kernel.
    Block,
    /// By looking again, for as long as pictures lie apart.
    Spin,
}

/// How much of what arrives is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checking {
    /// Every slice's header, and a stamp in each kilobyte.
    Stamps,
    /// Every byte.
    All,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Mean payload rate.
    pub rate: Rate,
    /// Pictures a second.
    pub refresh: Refresh,
    /// Slices an access unit.
    pub slices: u16,
    /// The large access units.
    pub idrs: Idrs,
    /// Parity beside the data.
    pub redundancy: Percent,
    /// Bytes of a shard.
    pub shard_bytes: u16,
    /// How the stages wait.
    pub waiting: Waiting,
    /// The send path; the fastest that works when none is named.
    pub net: Option<String>,
    /// The pacer.
    pub pace: Pace,
    /// How much is looked at.
    pub checking: Checking,
    /// Datagrams that a relay between the two ends throws away.
    pub loss: Percent,
    /// Redundancy follows the reports; the case's is the most.
    pub adaptive: bool,
}

impl Default for Case {
    /// A gigabit at 120 Hz in one slice, unpaced.
    fn default() -> Case {
        Case {
            rate: Rate::of_kbps(1_000_000),
            refresh: Refresh::of_mhz(120_000),
            slices: 1,
            idrs: Idrs { size_per_mille: 5_000, period_ms: 1_000 },
            redundancy: Percent::of_per_mille(100),
            shard_bytes: 1408,
            waiting: Waiting::Block,
            net: None,
            pace: Pace::Off,
            checking: Checking::Stamps,
            loss: Percent::of_per_mille(0),
            adaptive: false,
        }
    }
}

impl Case {
    /// The time between two pictures.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(1_000_000_000_000 / u64::from(self.refresh.mhz()))
    }

    /// Bytes of an ordinary access unit and of an IDR.
    pub fn au_bytes(&self) -> (usize, usize) {
        let mean = self.rate.kbps() * 125_000 / u64::from(self.refresh.mhz());
        let (unit, large) = match self.idr_period_aus() {
            Some(period) => {
                let size = u64::from(self.idrs.size_per_mille);
                let weights = size + u64::from(period - 1) * 1_000;
                let unit = mean * u64::from(period) * 1_000 / weights;
                (unit, unit * size / 1_000)
            }
            None => (mean, mean),
        };
        let least = crate::pattern::SLICE_BYTES_MIN as u64 * u64::from(self.slices);
        (unit.max(least) as usize, large.max(least) as usize)
    }

    /// Access units from one IDR to the next.
    pub fn idr_period_aus(&self) -> Option<u32> {
        let exact = u64::from(self.refresh.mhz()) * u64::from(self.idrs.period_ms);
        self.idrs.come().then(|| u32::try_from((exact + 500_000) / 1_000_000).unwrap_or(u32::MAX).max(1))
    }

    /// Whether access unit `number` is one of the large ones.
    pub fn is_idr(&self, number: u32) -> bool {
        self.idr_period_aus().map_or(number == 0, |period| number.is_multiple_of(period))
    }

    /// The wire's rate: parity, headers and tags counted in.
    pub fn wire_kbps(&self) -> u64 {
        let datagram = u64::from(self.shard_bytes) + punktfunk_proto::DATAGRAM_OVERHEAD as u64;
        let with_parity = self.rate.kbps() * (1_000 + u64::from(self.redundancy.per_mille())) / 1_000;
        with_parity * datagram / u64::from(self.shard_bytes.max(1))
    }

    /// What both ends agree on.
    ///
    /// # Errors
    /// The field that the protocol does not take.
    pub fn negotiated(&self) -> Result<Negotiated, LimitError> {
        let kbps = self.wire_kbps().clamp(NEGOTIATED_KBPS_MIN, NEGOTIATED_KBPS_MAX);
        let (_, largest) = self.au_bytes();
        let au_bytes_max = u32::try_from(largest.max(65_536) + 4_096).unwrap_or(u32::MAX);
        Negotiated::new(
            self.shard_bytes,
            u32::try_from(kbps).unwrap_or(u32::MAX),
            self.refresh.mhz(),
            self.slices,
            self.redundancy.per_mille(),
            au_bytes_max,
        )
    }

    /// The pacer's rate in kbit/s and its burst in bytes.
    pub fn pacing(&self) -> (Option<u32>, usize) {
        let narrow = |kbps: u64| u32::try_from(kbps).unwrap_or(u32::MAX);
        match self.pace {
            Pace::Off => (Some(u32::MAX), 1 << 30),
            Pace::On => (None, BURST_BYTES),
            Pace::At(rate) => (Some(narrow(rate.kbps())), BURST_BYTES),
        }
    }

    /// The send path.
    ///
    /// # Errors
    /// A name that is none.
    pub fn backend(&self) -> Result<Option<Backend>, punktfunk_net::NetError> {
        self.net.as_deref().map(str::parse).transpose()
    }

    /// The case in a line.
    pub fn name(&self) -> String {
        let waiting = match self.waiting {
            Waiting::Block => "blocking",
            Waiting::Spin => "spinning",
        };
        let mut name = format!(
            "{} {} Hz, {} slices, IDR {}, {} redundancy, {waiting}, pace {}",
            self.rate, self.refresh, self.slices, self.idrs, self.redundancy, self.pace
        );
        if let Some(net) = &self.net {
            name.push_str(&format!(", net {net}"));
        }
        if self.adaptive {
            name.push_str(" at most");
        }
        if self.loss.per_mille() > 0 {
            name.push_str(&format!(", loss {}", self.loss));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rate_is_the_one_asked_for() {
        for idrs in ["none", "5x/1s", "2.5x/0.5s"] {
            let case = Case { idrs: idrs.parse().unwrap(), ..Case::default() };
            let (unit, large) = case.au_bytes();
            let bytes: u64 =
                (0..120).map(|au| if case.is_idr(au) { large as u64 } else { unit as u64 }).sum();
            let kbps = bytes * 8 / 1_000;
            assert!((999_000..=1_000_500).contains(&kbps), "{idrs}: {kbps}");
        }
    }

    #[test]
    fn every_rate_that_can_be_asked_for_is_carried_or_refused_by_name() {
        for rate in ["1k", "20M", "1G", "12G"] {
            let case = Case { rate: rate.parse().unwrap(), idrs: Idrs::NONE, ..Case::default() };
            assert!(case.negotiated().is_ok(), "{rate}");
        }
        let case = Case { rate: "100G".parse().unwrap(), ..Case::default() };
        assert!(case.negotiated().unwrap_err().to_string().contains("au_bytes_max"));
    }

    #[test]
    fn pacing_is_the_hosts_or_none() {
        let case = Case { pace: Pace::On, ..Case::default() };
        assert_eq!(case.pacing(), (None, 128 << 10));
        assert_eq!(Case::default().pacing().0, Some(u32::MAX));
    }
}
