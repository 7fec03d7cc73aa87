//! The verifiable bitstream's shape, parsed from `bitstream:rate=1500M,fps=120,slices=4,idr=5x/1s,seed=1`.
//!
//! Promised: a [`BitstreamSpec`] can be made: its slices hold their headers, its access units stay within
//! [`crate::limits::BITSTREAM_AU_BYTES_MAX`]. Refused: all else, naming the key, what came and what is right.

use std::fmt;
use std::str::FromStr;

use super::SLICE_HEADER_BYTES;
use crate::limits::{
    BITSTREAM_AU_BYTES_MAX, BITSTREAM_IDR_PERIOD_MS_MAX, BITSTREAM_IDR_TIMES_MAX, BITSTREAM_RATE_BPS_MAX,
    BITSTREAM_SLICES_MAX, REFRESH_MHZ_MAX, REFRESH_MHZ_MIN,
};

/// A bitstream's shape. Keys, all with defaults: `rate` (payload bit/s, with `k`, `M` or `G`; 20M), `fps` (60), `slices`
/// (1), `idr` (`5x/1s`: five times the size, each second; `none`; 5x/1s), `seed` (1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitstreamSpec {
    rate_bps: u64,
    refresh_mhz: u32,
    slices: u16,
    idr: Option<IdrPattern>,
    seed: u64,
}

/// How much larger, and how often, the large access units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IdrPattern {
    /// Size in thousandths of an ordinary access unit's.
    size_per_mille: u32,
    period_ms: u32,
}

/// Why a [`BitstreamSpec`] could not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A key that is not known.
    #[error("bitstream: unknown key {key:?}; the keys are rate, fps, slices, idr and seed")]
    UnknownKey {
        /// What came.
        key: String,
    },
    /// A key twice.
    #[error("bitstream: {key} is given twice")]
    Twice {
        /// Which key.
        key: &'static str,
    },
    /// A part without `=`.
    #[error("bitstream: {part:?} is not KEY=VALUE, as in rate=1500M,fps=120,slices=4,idr=5x/1s,seed=1")]
    NoValue {
        /// What came.
        part: String,
    },
    /// A value that is not of the right form or range.
    #[error("bitstream: {key}={value} is wrong: {expected}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What came.
        value: String,
        /// What is right.
        expected: &'static str,
    },
    /// The parts do not fit each other: too little for the slices' headers.
    #[error(
        "bitstream: {au_bytes} bytes an access unit are too few for {slices} slices of at least {SLICE_HEADER_BYTES}: raise rate, or lower fps or slices"
    )]
    TooSmall {
        /// Bytes of the smallest access unit.
        au_bytes: u64,
        /// Slices that it should have.
        slices: u16,
    },
    /// The parts do not fit each other: access units too large.
    #[error(
        "bitstream: an access unit of {au_bytes} bytes is more than {BITSTREAM_AU_BYTES_MAX}: lower rate or idr, or raise fps"
    )]
    TooLarge {
        /// Bytes of the largest access unit.
        au_bytes: u64,
    },
}

const RATE: &str = "a payload rate in bit/s from 1k to 100G, such as 1500M, 2.5G or 800k";
const FPS: &str = "access units a second from 1 to 480, such as 120 or 59.94";
const SLICES: &str = "slices an access unit, 1 to 64";
const IDR: &str = "none, or SIZEx/PERIOD with 1x to 100x and 1ms to 60s, such as 5x/1s or 2.5x/500ms";
const SEED: &str = "a whole number below 2^64";

impl BitstreamSpec {
    /// Parses `rate=1500M,fps=120,slices=4,idr=5x/1s,seed=1`, with or without `bitstream:` before it.
    ///
    /// # Errors
    /// [`SpecError`] names the key, what came and what would have been right.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let text = text.strip_prefix("bitstream:").unwrap_or(text);
        let mut values = Values::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            values.take(part)?;
        }
        let spec = Self {
            rate_bps: values.rate.read("rate", "20M", RATE, parse_rate)?,
            refresh_mhz: values.fps.read("fps", "60", FPS, parse_fps)?,
            slices: values.slices.read("slices", "1", SLICES, parse_slices)?,
            idr: values.idr.read("idr", "5x/1s", IDR, parse_idr)?,
            seed: values.seed.read("seed", "1", SEED, parse_digits)?,
        };
        spec.check()
    }

    /// Mean payload rate in bit/s.
    pub fn rate_bps(&self) -> u64 {
        self.rate_bps
    }

    /// Access units a second, in millihertz.
    pub fn refresh_mhz(&self) -> u32 {
        self.refresh_mhz
    }

    /// Slices an access unit.
    pub fn slices(&self) -> u16 {
        self.slices
    }

    /// The seed of every byte.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Access units from one large one to the next: the nearest whole number to the period; `None` without large ones.
    pub fn idr_period_aus(&self) -> Option<u32> {
        let idr = self.idr?;
        let exact = u64::from(self.refresh_mhz) * u64::from(idr.period_ms);
        Some(u32::try_from((exact + 500_000) / 1_000_000).unwrap_or(u32::MAX).max(1))
    }

    /// Bytes of the largest access unit that comes.
    pub fn au_bytes_max(&self) -> usize {
        let weight = self.idr.map_or(WEIGHT, |idr| u64::from(idr.size_per_mille));
        let (rate, total) = self.bytes_per_weight();
        (u128::from(weight) * rate).div_ceil(total) as usize
    }

    /// Whether access unit `number` is a large one. Without large ones only the first is an IDR.
    pub(super) fn is_idr(&self, number: u32) -> bool {
        self.idr_period_aus().map_or(number == 0, |period| number.is_multiple_of(period))
    }

    /// Bytes of the first `aus` access units together: exact, rounded down.
    pub(super) fn bytes_before(&self, aus: u64) -> u64 {
        let weight = match (self.idr, self.idr_period_aus()) {
            (Some(idr), Some(period)) => {
                let large = aus.div_ceil(period.into());
                large * u64::from(idr.size_per_mille) + (aus - large) * WEIGHT
            }
            (None, _) | (_, None) => aus * WEIGHT,
        };
        let (rate, total) = self.bytes_per_weight();
        (u128::from(weight) * rate / total) as u64
    }

    /// Bytes that one unit of weight stands for, as a fraction: over one period the weights together make exactly the
    /// period's bytes.
    fn bytes_per_weight(&self) -> (u128, u128) {
        let period = u64::from(self.idr_period_aus().unwrap_or(1));
        let large = self.idr.map_or(WEIGHT, |idr| u64::from(idr.size_per_mille));
        let weights = large + (period - 1) * WEIGHT;
        let bits_times_mhz = u128::from(self.rate_bps) * 1000 * u128::from(period);
        (bits_times_mhz, 8 * u128::from(self.refresh_mhz) * u128::from(weights))
    }

    fn check(self) -> Result<Self, SpecError> {
        let (rate, total) = self.bytes_per_weight();
        let largest = self.au_bytes_max() as u64;
        let smallest_weight = self.idr.map_or(WEIGHT, |idr| u64::from(idr.size_per_mille).min(WEIGHT));
        let smallest = (u128::from(smallest_weight) * rate / total) as u64;
        if smallest < SLICE_HEADER_BYTES as u64 * u64::from(self.slices) {
            return Err(SpecError::TooSmall { au_bytes: smallest, slices: self.slices });
        }
        if largest > BITSTREAM_AU_BYTES_MAX {
            return Err(SpecError::TooLarge { au_bytes: largest });
        }
        Ok(self)
    }
}

/// The weight of an ordinary access unit, so that a large one's is its size in thousandths.
const WEIGHT: u64 = 1000;

impl FromStr for BitstreamSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

impl fmt::Display for BitstreamSpec {
    /// Parses back to the same shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |value: u32| format!("{}.{:03}", value / 1000, value % 1000);
        write!(f, "bitstream:rate={},fps={}", self.rate_bps, millis(self.refresh_mhz))?;
        match self.idr {
            Some(idr) => {
                let (size, period_ms) = (millis(idr.size_per_mille), idr.period_ms);
                write!(f, ",slices={},idr={size}x/{period_ms}ms,seed={}", self.slices, self.seed)
            }
            None => write!(f, ",slices={},idr=none,seed={}", self.slices, self.seed),
        }
    }
}

/// The keys' values as they came.
#[derive(Default)]
struct Values<'a> {
    rate: Value<'a>,
    fps: Value<'a>,
    slices: Value<'a>,
    idr: Value<'a>,
    seed: Value<'a>,
}

impl<'a> Values<'a> {
    fn take(&mut self, part: &'a str) -> Result<(), SpecError> {
        let (key, value) = part.split_once('=').ok_or_else(|| SpecError::NoValue { part: excerpt(part) })?;
        let (slot, key) = match key {
            "rate" => (&mut self.rate, "rate"),
            "fps" => (&mut self.fps, "fps"),
            "slices" => (&mut self.slices, "slices"),
            "idr" => (&mut self.idr, "idr"),
            "seed" => (&mut self.seed, "seed"),
            other => return Err(SpecError::UnknownKey { key: excerpt(other) }),
        };
        if slot.0.replace(value).is_some() {
            return Err(SpecError::Twice { key });
        }
        Ok(())
    }
}

#[derive(Default)]
struct Value<'a>(Option<&'a str>);

impl Value<'_> {
    fn read<T>(
        &self,
        key: &'static str,
        default: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SpecError> {
        let value = self.0.unwrap_or(default);
        parse(value).ok_or_else(|| SpecError::Value { key, value: excerpt(value), expected })
    }
}

fn parse_rate(text: &str) -> Option<u64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1_000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        b'G' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let bps = if scale == 1 {
        parse_digits(digits)?
    } else {
        parse_thousandths(digits)?.checked_mul(scale / 1000)?
    };
    (1_000..=BITSTREAM_RATE_BPS_MAX).contains(&bps).then_some(bps)
}

fn parse_fps(text: &str) -> Option<u32> {
    let mhz = u32::try_from(parse_thousandths(text)?).ok()?;
    (REFRESH_MHZ_MIN..=REFRESH_MHZ_MAX).contains(&mhz).then_some(mhz)
}

fn parse_slices(text: &str) -> Option<u16> {
    let slices = u16::try_from(parse_digits(text)?).ok()?;
    (1..=BITSTREAM_SLICES_MAX).contains(&slices).then_some(slices)
}

#[expect(clippy::option_option, reason = "the outer is the form, the inner the value")]
fn parse_idr(text: &str) -> Option<Option<IdrPattern>> {
    if text == "none" {
        return Some(None);
    }
    let (size, period) = text.split_once("x/")?;
    let size_per_mille = u32::try_from(parse_thousandths(size)?).ok()?;
    let period_ms = match (period.strip_suffix("ms"), period.strip_suffix('s')) {
        (Some(ms), _) => parse_digits(ms)?,
        (None, Some(s)) => parse_thousandths(s)?,
        (None, None) => return None,
    };
    let period_ms = u32::try_from(period_ms).ok()?;
    let fits = (1_000..=BITSTREAM_IDR_TIMES_MAX * 1_000).contains(&size_per_mille)
        && (1..=BITSTREAM_IDR_PERIOD_MS_MAX).contains(&period_ms);
    fits.then_some(Some(IdrPattern { size_per_mille, period_ms }))
}

/// `12`, `59.94`, `2.5` in thousandths.
fn parse_thousandths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let scale = 10_u64.pow(3_u32.checked_sub(u32::try_from(decimals.len()).ok()?)?);
    parse_digits(whole)?.checked_mul(1000)?.checked_add(parse_digits(decimals)? * scale)
}

/// Decimal digits only: no sign, no blank.
fn parse_digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// As much of a person's text as an error repeats.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}
