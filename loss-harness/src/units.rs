//! Values with units, as plans and arguments spell them: `5%`, `2KB..4MB`, `800Mbit/s`, `2%x3ms`, `3%x8`, `2s+200ms`,
//! `1280@2s`.
//!
//! Each type reads its text and refuses any other with a sentence that says what was expected and what came. K, M and
//! G are powers of ten; KiB and MiB powers of two.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A text that is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{got}`")]
pub struct UnitError {
    expected: &'static str,
    got: String,
}

fn refused(expected: &'static str, got: &str) -> UnitError {
    UnitError { expected, got: got.to_owned() }
}

/// Gives a type its `Display` text and its reading in plan files, both through strings.
macro_rules! spelled {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

/// A share from 0 to 1, spelled `5%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(f64);

impl Percent {
    /// As a number from 0 to 1.
    pub const fn share(self) -> f64 {
        self.0
    }

    /// As parts of 1,000, rounded.
    pub fn per_mille(self) -> u16 {
        (self.0 * 1_000.0).round() as u16
    }

    /// From a number of percent.
    pub const fn of(percent: f64) -> Percent {
        Percent(percent / 100.0)
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Percent, UnitError> {
        const EXPECTED: &str = "a percentage from 0% to 100%, such as `5%`";
        let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Percent::of(percent)),
            Some(_) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough digits for any that was typed, none that the division by 100 made up.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

spelled!(Percent);

/// A number of bytes, spelled `500`, `2KB`, `4MB`, `256KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Bytes, UnitError> {
        const EXPECTED: &str = "a size such as `2KB`, `256KiB` or `4MB`";
        let units =
            [("KiB", 1024), ("MiB", 1024 * 1024), ("KB", 1_000), ("MB", 1_000_000), ("B", 1), ("", 1)];
        let scaled = units.into_iter().find_map(|(unit, scale)| {
            let number = text.trim().strip_suffix(unit)?.trim().parse::<f64>().ok()?;
            Some(number * f64::from(scale))
        });
        match scaled {
            Some(bytes) if (0.0..1e12).contains(&bytes) => Ok(Bytes(bytes.round() as u64)),
            Some(_) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % 1_000_000 == 0 => write!(f, "{}MB", bytes / 1_000_000),
            bytes if bytes > 0 && bytes % 1_000 == 0 => write!(f, "{}KB", bytes / 1_000),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

spelled!(Bytes);

/// AU sizes, spelled `2KB..4MB` (log-uniform between the two) or `500KB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SizeRange {
    /// The smallest.
    pub min: Bytes,
    /// The largest.
    pub max: Bytes,
}

impl FromStr for SizeRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<SizeRange, UnitError> {
        const EXPECTED: &str = "a size or a range of sizes, smallest first, such as `2KB..4MB`";
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        match (min.parse::<Bytes>(), max.parse::<Bytes>()) {
            (Ok(min), Ok(max)) if min.0 >= 1 && min <= max => Ok(SizeRange { min, max }),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "{}", self.min);
        }
        write!(f, "{}..{}", self.min, self.max)
    }
}

spelled!(SizeRange);

/// A rate, spelled `800Mbit/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// In kbit/s.
    pub kbps: u32,
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        const EXPECTED: &str = "a rate such as `800Mbit/s`, from 1 kbit/s to 4000 Gbit/s";
        let units = [("Gbit/s", 1e6), ("Mbit/s", 1e3), ("kbit/s", 1.0)];
        let kbps = units.into_iter().find_map(|(unit, scale)| {
            Some(text.trim().strip_suffix(unit)?.trim().parse::<f64>().ok()? * scale)
        });
        match kbps {
            Some(kbps) if (1.0..=4e9).contains(&kbps) => Ok(Rate { kbps: kbps.round() as u32 }),
            Some(_) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kbps % 1_000 {
            0 => write!(f, "{}Mbit/s", self.kbps / 1_000),
            _ => write!(f, "{}kbit/s", self.kbps),
        }
    }
}

spelled!(Rate);

/// A span of time in whole microseconds, spelled `3ms`, `500us`, `1s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Span, UnitError> {
        const EXPECTED: &str = "a time up to 60s, such as `3ms` or `500us`";
        let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
        let seconds = units.into_iter().find_map(|(unit, scale)| {
            Some(text.trim().strip_suffix(unit)?.trim().parse::<f64>().ok()? * scale)
        });
        match seconds {
            Some(seconds) if (0.0..=60.0).contains(&seconds) => {
                Ok(Span(Duration::from_micros((seconds * 1e6).round() as u64)))
            }
            Some(_) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            micros if micros.is_multiple_of(1_000) => write!(f, "{}ms", micros / 1_000),
            micros => write!(f, "{micros}us"),
        }
    }
}

spelled!(Span);

/// Reordering, spelled `2%x3ms`: that share of the datagrams is held back, each by a random time up to that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reorder {
    /// How many.
    pub share: Percent,
    /// At most how long.
    pub hold: Span,
}

impl FromStr for Reorder {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Reorder, UnitError> {
        const EXPECTED: &str = "a share and a time, such as `2%x3ms`";
        let parts = text.split_once('x').map(|(share, hold)| (share.parse(), hold.parse()));
        match parts {
            Some((Ok(share), Ok(hold))) => Ok(Reorder { share, hold }),
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Reorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.share, self.hold)
    }
}

spelled!(Reorder);

/// Bursts of loss, spelled `3%x8`: that share of the datagrams is lost in the long run, 8 in a row on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Burst {
    /// Share of all datagrams that bursts take in the long run.
    pub loss: Percent,
    /// Mean length in datagrams.
    pub datagrams: f64,
}

impl FromStr for Burst {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Burst, UnitError> {
        const EXPECTED: &str =
            "a share lost below 100% and a mean length of 1 to 1000000 datagrams, such as `3%x8`";
        let parts = text
            .split_once('x')
            .map(|(loss, length)| (loss.parse::<Percent>(), length.trim().parse::<f64>()));
        match parts {
            Some((Ok(loss), Ok(datagrams))) if loss.share() < 1.0 && (1.0..=1e6).contains(&datagrams) => {
                Ok(Burst { loss, datagrams })
            }
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.loss, self.datagrams)
    }
}

spelled!(Burst);

/// A stretch of time, spelled `2s+200ms`: from when, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stretch {
    /// Its first moment.
    pub from: Span,
    /// How long it lasts.
    pub length: Span,
}

impl Stretch {
    /// Whether `at` lies in it; its end does not.
    pub fn contains(self, at: Duration) -> bool {
        (self.from.0..self.from.0 + self.length.0).contains(&at)
    }
}

impl FromStr for Stretch {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Stretch, UnitError> {
        const EXPECTED: &str = "a time and a length, such as `2s+200ms`";
        let parts = text.split_once('+').map(|(from, length)| (from.parse(), length.parse()));
        match parts {
            Some((Ok(from), Ok(length))) => Ok(Stretch { from, length }),
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.from, self.length)
    }
}

spelled!(Stretch);

/// A change of the path's MTU, spelled `1280@2s`: from then on, IP packets of more bytes vanish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MtuChange {
    /// The longest IP packet that passes.
    pub bytes: u16,
    /// From when on.
    pub at: Span,
}

impl FromStr for MtuChange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<MtuChange, UnitError> {
        const EXPECTED: &str = "an MTU of 68 to 65535 and a time, such as `1280@2s`";
        let parts = text.split_once('@').map(|(bytes, at)| (bytes.trim().parse::<u16>(), at.trim().parse()));
        match parts {
            Some((Ok(bytes), Ok(at))) if bytes >= 68 => Ok(MtuChange { bytes, at }),
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => Err(refused(EXPECTED, text)),
        }
    }
}

impl fmt::Display for MtuChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.bytes, self.at)
    }
}

spelled!(MtuChange);

#[cfg(test)]
mod tests {
    use super::*;

    fn again<T: FromStr + fmt::Display>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|value| value.to_string())
    }

    #[test]
    fn what_is_read_is_spelled_the_same() {
        for text in ["0%", "5%", "12.5%", "0.1%", "100%"] {
            assert_eq!(again::<Percent>(text).as_deref(), Some(text));
        }
        for text in ["2KB..4MB", "500KB", "1500B..2KB"] {
            assert_eq!(again::<SizeRange>(text).as_deref(), Some(text));
        }
        for text in ["800Mbit/s", "1500kbit/s"] {
            assert_eq!(again::<Rate>(text).as_deref(), Some(text));
        }
        assert_eq!(again::<Rate>("1.5Gbit/s").as_deref(), Some("1500Mbit/s"));
        assert_eq!(again::<Bytes>("256KiB").as_deref(), Some("262144B"));
        assert_eq!(again::<Reorder>("2%x3ms").as_deref(), Some("2%x3ms"));
        assert_eq!(again::<Burst>("3%x8").as_deref(), Some("3%x8"));
        assert_eq!(again::<Stretch>("2ms+200us").as_deref(), Some("2ms+200us"));
        assert_eq!(again::<MtuChange>("1280@2s").as_deref(), Some("1280@2000ms"));
        assert_eq!(again::<Span>("500us").as_deref(), Some("500us"));
        assert_eq!(again::<Span>("1s").as_deref(), Some("1000ms"));
    }

    #[test]
    fn what_is_not_meant_is_refused_with_what_was_expected() {
        for text in ["5", "-1%", "101%", "NaN%", "", "%"] {
            let error = text.parse::<Percent>().unwrap_err().to_string();
            assert!(error.contains("5%") && error.contains(text), "{error}");
        }
        for text in ["", "4MB..2KB", "0B", "2KB..", "2 parsecs", "NaN", "inf", "-3KB"] {
            assert!(text.parse::<SizeRange>().is_err(), "{text}");
        }
        assert!("0Mbit/s".parse::<Rate>().is_err() && "5".parse::<Rate>().is_err());
        assert!("61s".parse::<Span>().is_err() && "-1ms".parse::<Span>().is_err());
        assert!("2%".parse::<Reorder>().is_err());
        for text in ["3%x0", "100%x8", "3%xNaN", "3%", "x8"] {
            assert!(text.parse::<Burst>().is_err(), "{text}");
        }
        for text in ["2s", "2s+", "+1s", "2s+61s", "2s-1s"] {
            assert!(text.parse::<Stretch>().is_err(), "{text}");
        }
        for text in ["67@1s", "65536@1s", "1280", "@1s", "-1@1s"] {
            assert!(text.parse::<MtuChange>().is_err(), "{text}");
        }
    }
}
