//! A display mode: sides in pixels and refresh. `1280x720@60` parses to one.
//!
//! Promised: even sides and a refresh within [`crate::limits`]. Refused: everything else, by name.

use std::fmt;
use std::str::FromStr;

use crate::limits::{REFRESH_MHZ_MAX, REFRESH_MHZ_MIN, SIDE_MAX, SIDE_MIN};

/// A display mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode {
    width: u32,
    height: u32,
    refresh_mhz: u32,
}

/// Why a mode could not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// The text is not of the form `WIDTHxHEIGHT@HZ`.
    #[error("mode {text:?} is not WIDTHxHEIGHT@HZ, such as 1280x720@60 or 1920x1080@59.94")]
    Form {
        /// What came.
        text: String,
    },
    /// A side is out of range or odd.
    #[error("{side} pixels: a mode's sides are even, {SIDE_MIN} to {SIDE_MAX}")]
    Side {
        /// What came, in pixels.
        side: u32,
    },
    /// The refresh is out of range.
    #[error(
        "{} Hz: a mode's refresh is {} to {} Hz",
        Hertz(*refresh_mhz), Hertz(REFRESH_MHZ_MIN), Hertz(REFRESH_MHZ_MAX)
    )]
    Refresh {
        /// What came, in millihertz.
        refresh_mhz: u32,
    },
}

impl Mode {
    /// A mode of `width` × `height` pixels at `refresh_mhz` millihertz.
    ///
    /// # Errors
    /// [`ModeError::Side`], [`ModeError::Refresh`].
    pub fn new(width: u32, height: u32, refresh_mhz: u32) -> Result<Self, ModeError> {
        for side in [width, height] {
            if !(SIDE_MIN..=SIDE_MAX).contains(&side) || !side.is_multiple_of(2) {
                return Err(ModeError::Side { side });
            }
        }
        if !(REFRESH_MHZ_MIN..=REFRESH_MHZ_MAX).contains(&refresh_mhz) {
            return Err(ModeError::Refresh { refresh_mhz });
        }
        Ok(Self { width, height, refresh_mhz })
    }

    /// Width in pixels, even.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, even.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Refresh in millihertz.
    pub fn refresh_mhz(&self) -> u32 {
        self.refresh_mhz
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let form = || ModeError::Form { text: text.chars().take(64).collect() };
        let (sides, refresh) = text.split_once('@').ok_or_else(form)?;
        let (width, height) = sides.split_once('x').ok_or_else(form)?;
        let width = parse_digits(width).ok_or_else(form)?;
        let height = parse_digits(height).ok_or_else(form)?;
        let refresh_mhz = parse_millis(refresh).ok_or_else(form)?;
        Self::new(width, height, refresh_mhz)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, Hertz(self.refresh_mhz))
    }
}

/// Millihertz, shown in hertz with as few decimals as it takes.
struct Hertz(u32);

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// Decimal digits only: no sign, no blank.
fn parse_digits(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `60`, `59.94`, `143.856` in thousandths.
fn parse_millis(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.len() > 3 {
        return None;
    }
    let scale = 10_u32.pow(3 - u32::try_from(decimals.len()).ok()?);
    let thousandths = parse_digits(decimals)?.checked_mul(scale)?;
    parse_digits(whole)?.checked_mul(1000)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_and_shows() {
        for text in ["1280x720@60", "1920x1080@59.94", "5120x2880@120", "320x180@143.856", "16x16@1"] {
            let mode: Mode = text.parse().unwrap();
            assert_eq!(mode.to_string(), text);
        }
        assert_eq!("1280x720@59.940".parse::<Mode>().unwrap().refresh_mhz(), 59_940);
    }

    #[test]
    fn refuses_by_name() {
        for text in [
            "",
            "x",
            "1280x720",
            "1280@60",
            "-2x4@60",
            "1280x720@",
            "1280x720@60Hz",
            "1280x720@60.",
            "1e3x4@6",
        ] {
            assert!(matches!(text.parse::<Mode>(), Err(ModeError::Form { .. })), "{text}");
        }
        for text in ["99999999999x2@60", "1280x720@99999999", "1280x720@1.2345"] {
            assert!(matches!(text.parse::<Mode>(), Err(ModeError::Form { .. })), "{text}");
        }
        assert_eq!("1281x720@60".parse::<Mode>(), Err(ModeError::Side { side: 1281 }));
        assert_eq!("1280x0@60".parse::<Mode>(), Err(ModeError::Side { side: 0 }));
        assert_eq!("1280x65536@60".parse::<Mode>(), Err(ModeError::Side { side: 65_536 }));
        let fast = "1280x720@481".parse::<Mode>().unwrap_err();
        assert_eq!(fast.to_string(), "481 Hz: a mode's refresh is 1 to 480 Hz");
    }

    proptest! {
        #[test]
        fn text_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Mode>();
        }

        #[test]
        fn every_mode_comes_back(width in 8u32..8192, height in 8u32..8192, refresh_mhz in 1_000u32..=480_000) {
            let mode = Mode::new(width * 2, height * 2, refresh_mhz).unwrap();
            prop_assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
    }
}
