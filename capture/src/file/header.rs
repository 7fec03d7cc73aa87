//! A Y4M file's first line: `YUV4MPEG2 W1280 H720 F60:1 Ip A1:1 C420jpeg`.

use super::flaw::{Y4mFlaw, excerpt};
use crate::limits::{SIDE_MAX, SIDE_MIN, Y4M_HEADER_BYTES_MAX};

const SIGNATURE: &[u8] = b"YUV4MPEG2";

const SIDE: &str = "an even number of pixels from 16 to 16384";
const RATE: &str = "a rate such as 60:1 or 60000:1001";
const PROGRESSIVE: &str = "only progressive material (Ip) can be streamed";
const CHROMA: &str = "only 8-bit 4:2:0 (C420, C420jpeg, C420mpeg2, C420paldv) can be streamed";

/// What the first line says, as far as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// `None`: the file does not say (`F0:0`, or no parameter).
    pub(super) refresh_mhz: Option<u32>,
}

impl Header {
    /// Parses the line, without its line feed.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Y4mFlaw> {
        let mut words = line.split(|byte| *byte == b' ');
        if words.next() != Some(SIGNATURE) {
            return Err(Y4mFlaw::Signature);
        }
        let (mut width, mut height, mut refresh_mhz) = (None, None, None);
        for word in words {
            let Some((tag, value)) = word.split_first() else { continue };
            match tag {
                b'W' => width = Some(side('W', value)?),
                b'H' => height = Some(side('H', value)?),
                b'F' => refresh_mhz = rate(value)?,
                b'I' if !matches!(value, b"p" | b"?") => return Err(wrong('I', value, PROGRESSIVE)),
                b'C' if !matches!(value, b"420" | b"420jpeg" | b"420mpeg2" | b"420paldv") => {
                    return Err(wrong('C', value, CHROMA));
                }
                // Sample aspect, comments and whatever comes later do not change the pixels' places.
                _ => {}
            }
        }
        let width = width.ok_or(Y4mFlaw::Missing { tag: 'W' })?;
        let height = height.ok_or(Y4mFlaw::Missing { tag: 'H' })?;
        Ok(Self { width, height, refresh_mhz })
    }

    /// Bytes of one picture's three planes.
    pub(super) fn picture_bytes(&self) -> usize {
        self.width as usize * self.height as usize / 2 * 3
    }
}

/// What is wrong with a first line that has no end.
pub(super) fn without_end(line: &[u8]) -> Y4mFlaw {
    if line.starts_with(SIGNATURE) && line.len() >= Y4M_HEADER_BYTES_MAX {
        Y4mFlaw::HeaderWithoutEnd
    } else if line.starts_with(SIGNATURE) {
        Y4mFlaw::NoPictures
    } else {
        Y4mFlaw::Signature
    }
}

fn wrong(tag: char, value: &[u8], expected: &'static str) -> Y4mFlaw {
    Y4mFlaw::Parameter { tag, value: excerpt(value), expected }
}

fn side(tag: char, value: &[u8]) -> Result<u32, Y4mFlaw> {
    let good =
        |side: &u64| (u64::from(SIDE_MIN)..=u64::from(SIDE_MAX)).contains(side) && side.is_multiple_of(2);
    let side = number(value).filter(good).and_then(|side| u32::try_from(side).ok());
    side.ok_or_else(|| wrong(tag, value, SIDE))
}

/// A rate in millihertz, rounded; `None` for 0:0, which means unknown.
fn rate(value: &[u8]) -> Result<Option<u32>, Y4mFlaw> {
    let colon = value.iter().position(|byte| *byte == b':');
    let parts = colon.map(|at| (number(&value[..at]), number(&value[at + 1..])));
    match parts {
        Some((Some(0), Some(0))) => Ok(None),
        Some((Some(pictures), Some(seconds))) if seconds > 0 => {
            let mhz = (u128::from(pictures) * 1000 + u128::from(seconds) / 2) / u128::from(seconds);
            // A rate beyond this is a mode's error, which says the range.
            Ok(Some(u32::try_from(mhz).unwrap_or(u32::MAX)))
        }
        _ => Err(wrong('F', value, RATE)),
    }
}

/// Decimal digits only.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
