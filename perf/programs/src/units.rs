//! Values with units as arguments spell them: `1G`, `500M`, `20000` (kbit/s), `5x/1s`, `10` (per cent), `off`.
//!
//! Promises: a text is read to its last character, and what is printed reads back as the same value. Refuses any other
//! text with a sentence that says what was expected and what came.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fastest that can be asked for: ten times the fastest LAN interface of this class.
const RATE_KBPS_MAX: u64 = 100_000_000;

/// A text that is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{got}`")]
pub struct UnitError {
    expected: &'static str,
    got: String,
}

fn refused<T>(expected: &'static str, got: &str) -> Result<T, UnitError> {
    // Cut, so that a long argument does not become a long message.
    Err(UnitError { expected, got: got.chars().take(40).collect() })
}

/// A payload rate in kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rate(u64);

impl Rate {
    /// Of that many kbit/s, kept within what can be asked for.
    pub fn of_kbps(kbps: u64) -> Rate {
        Rate(kbps.clamp(1, RATE_KBPS_MAX))
    }

    /// In kbit/s.
    pub fn kbps(self) -> u64 {
        self.0
    }

    /// In Mbit/s.
    pub fn mbps(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        const EXPECTED: &str = "a rate such as `1G`, `500M` or `20000` (kbit/s), at most 100G";
        let trimmed = text.trim();
        let (digits, scale) = match trimmed.as_bytes().last() {
            Some(b'k') => (&trimmed[..trimmed.len() - 1], 1.0),
            Some(b'M') => (&trimmed[..trimmed.len() - 1], 1e3),
            Some(b'G') => (&trimmed[..trimmed.len() - 1], 1e6),
            Some(_) | None => (trimmed, 1.0),
        };
        match number(digits).map(|value| (value * scale).round()) {
            Some(kbps) if (1.0..=RATE_KBPS_MAX as f64).contains(&kbps) => Ok(Rate(kbps as u64)),
            Some(_) | None => refused(EXPECTED, text),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kbps if kbps.is_multiple_of(1_000_000) => write!(f, "{}G", kbps / 1_000_000),
            kbps if kbps >= 1_000_000 && kbps.is_multiple_of(100_000) => {
                write!(f, "{}.{}G", kbps / 1_000_000, kbps % 1_000_000 / 100_000)
            }
            kbps if kbps.is_multiple_of(1_000) => write!(f, "{}M", kbps / 1_000),
            kbps => write!(f, "{kbps}"),
        }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(u64);

impl Bytes {
    /// The rate at which so many bytes come so often.
    pub fn each(self, refresh: Refresh) -> Rate {
        Rate::of_kbps(self.0.saturating_mul(u64::from(refresh.mhz())) / 125_000)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Bytes, UnitError> {
        const EXPECTED: &str = "a size such as `40k`, `1M` or `800` (bytes), at most 64M";
        let trimmed = text.trim();
        let (digits, scale) = match trimmed.as_bytes().last() {
            Some(b'k') => (&trimmed[..trimmed.len() - 1], 1e3),
            Some(b'M') => (&trimmed[..trimmed.len() - 1], 1e6),
            Some(_) | None => (trimmed, 1.0),
        };
        match number(digits).map(|value| (value * scale).round()) {
            Some(bytes) if (1.0..=64e6).contains(&bytes) => Ok(Bytes(bytes as u64)),
            Some(_) | None => refused(EXPECTED, text),
        }
    }
}

/// A share in per cent, kept in parts of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent(u16);

impl Percent {
    /// Of so many parts of a thousand.
    pub const fn of_per_mille(per_mille: u16) -> Percent {
        Percent(per_mille)
    }

    /// In parts of a thousand.
    pub const fn per_mille(self) -> u16 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Percent, UnitError> {
        const EXPECTED: &str = "a percentage from 0 to 100 such as `10` or `0.5%`";
        let trimmed = text.trim();
        match number(trimmed.strip_suffix('%').unwrap_or(trimmed)) {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Percent((percent * 10.0).round() as u16)),
            Some(_) | None => refused(EXPECTED, text),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10.0)
    }
}

/// Pictures a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refresh(u32);

impl Refresh {
    /// Of so many millihertz, kept within what the protocol takes.
    pub fn of_mhz(mhz: u32) -> Refresh {
        Refresh(mhz.clamp(1_000, 480_000))
    }

    /// In millihertz.
    pub fn mhz(self) -> u32 {
        self.0
    }
}

impl FromStr for Refresh {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Refresh, UnitError> {
        match number(text.trim()) {
            Some(hz) if (1.0..=480.0).contains(&hz) => Ok(Refresh((hz * 1e3).round() as u32)),
            Some(_) | None => refused("pictures a second from 1 to 480, such as `120` or `59.94`", text),
        }
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1e3)
    }
}

/// How much larger, and how often, the large access units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idrs {
    /// Thousandths of an ordinary access unit's size; 0 when there are none but the first, of ordinary size.
    pub size_per_mille: u32,
    /// From one to the next.
    pub period_ms: u32,
}

impl Idrs {
    /// None but the first.
    pub const NONE: Idrs = Idrs { size_per_mille: 0, period_ms: 0 };

    /// Whether there are any but the first.
    pub fn come(self) -> bool {
        self.size_per_mille > 0
    }
}

impl FromStr for Idrs {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Idrs, UnitError> {
        const EXPECTED: &str = "`none`, or SIZEx/SECONDSs with 1x to 100x and 0.01s to 60s, such as `5x/1s`";
        if text.trim() == "none" {
            return Ok(Idrs::NONE);
        }
        let parts = text.trim().strip_suffix('s').and_then(|text| text.split_once("x/"));
        let Some((size, period)) = parts.and_then(|(size, period)| number(size).zip(number(period))) else {
            return refused(EXPECTED, text);
        };
        if !(1.0..=100.0).contains(&size) || !(0.01..=60.0).contains(&period) {
            return refused(EXPECTED, text);
        }
        Ok(Idrs { size_per_mille: (size * 1e3).round() as u32, period_ms: (period * 1e3).round() as u32 })
    }
}

impl fmt::Display for Idrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.come() {
            return f.write_str("none");
        }
        write!(f, "{}x/{}s", f64::from(self.size_per_mille) / 1e3, f64::from(self.period_ms) / 1e3)
    }
}

/// What the pacer spreads an access unit at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// Nothing waits: every train leaves as soon as it is sealed.
    Off,
    /// As the host does by itself.
    On,
    /// At this rate of the wire.
    At(Rate),
}

impl FromStr for Pace {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Pace, UnitError> {
        match text.trim() {
            "off" => Ok(Pace::Off),
            "on" => Ok(Pace::On),
            rate => rate
                .parse()
                .map(Pace::At)
                .or_else(|_| refused("`off`, `on` or a rate of the wire such as `1G`", text)),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Off => f.write_str("off"),
            Pace::On => f.write_str("on"),
            Pace::At(rate) => rate.fmt(f),
        }
    }
}

/// Digits with at most one point: no sign, no exponent, no blank.
fn number(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_have_their_suffix_or_are_kbit() {
        for (text, kbps) in [("1G", 1_000_000), ("2.5G", 2_500_000), ("20M", 20_000), ("800", 800), ("7k", 7)]
        {
            assert_eq!(text.parse::<Rate>().map(Rate::kbps), Ok(kbps), "{text}");
        }
        for bad in ["", "G", "0", "101G", "-1G", "1e3", "1 G", "1T", "NaN", "1..2M"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_how_often_they_come_are_a_rate() {
        let rate =
            |text: &str| text.parse::<Bytes>().map(|bytes| bytes.each(Refresh::of_mhz(120_000)).kbps());
        assert_eq!(rate("1M"), Ok(960_000));
        assert_eq!(rate("2.5k"), Ok(2_400));
        for bad in ["", "k", "65M", "1G", "-1"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_value_is_named() {
        let said = |error: UnitError| error.to_string();
        assert!(said("5y/1s".parse::<Idrs>().unwrap_err()).contains("5y/1s"));
        assert!(said("0x/1s".parse::<Idrs>().unwrap_err()).contains("1x to 100x"));
        assert!(said("101".parse::<Percent>().unwrap_err()).contains("0 to 100"));
        assert!(said("fast".parse::<Pace>().unwrap_err()).contains("fast"));
        assert!(said("500".parse::<Refresh>().unwrap_err()).contains("480"));
        assert!(said("9".repeat(500).parse::<Rate>().unwrap_err()).len() < 200);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            kbps in 1..=RATE_KBPS_MAX, percent in 0u16..=1000, mhz in 1_000u32..=480_000,
            size in 1_000u32..=100_000, period in 10u32..=60_000
        ) {
            let rate = Rate::of_kbps(kbps);
            prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
            let percent = Percent::of_per_mille(percent);
            prop_assert_eq!(percent.to_string().parse::<Percent>(), Ok(percent));
            let refresh = Refresh::of_mhz(mhz);
            prop_assert_eq!(refresh.to_string().parse::<Refresh>(), Ok(refresh));
            let idrs = Idrs { size_per_mille: size, period_ms: period };
            prop_assert_eq!(idrs.to_string().parse::<Idrs>(), Ok(idrs));
            for pace in [Pace::Off, Pace::On, Pace::At(rate)] {
                prop_assert_eq!(pace.to_string().parse::<Pace>(), Ok(pace));
            }
        }
    }
}
