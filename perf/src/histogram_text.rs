//! One histogram as text and back: V2, zlib, base64, as every HdrHistogram port writes it.
//!
//! Promises: [`decode`] accepts what the ports write and nothing that could make the library panic or
//! allocate more than a bound: base64, sizes, digits, bounds and every count are checked first.
//!
//! Refuses: plain V2, V1 and V0 histograms, normalizing offsets, scaled values, and totals above 2⁵³.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::error::LogFault;
use crate::limits::{COUNTS_MAX, INFLATED_BYTES_MAX, SIGNIFICANT_DIGITS, TOTAL_COUNT_MAX};

/// V2's cookie and that of its compressed form, word size 1 byte, from HdrHistogram's `EncodableHistogram`.
const COOKIE: u32 = 0x1c84_9313;
const COMPRESSED_COOKIE: u32 = 0x1c84_9314;
const HEADER_BYTES: usize = 40;

/// Encodes histograms into one reused text.
pub(crate) struct HistogramText {
    serializer: V2DeflateSerializer,
    bytes: Vec<u8>,
    text: String,
}

impl std::fmt::Debug for HistogramText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistogramText").finish_non_exhaustive()
    }
}

impl HistogramText {
    pub(crate) fn new() -> HistogramText {
        HistogramText { serializer: V2DeflateSerializer::new(), bytes: Vec::new(), text: String::new() }
    }

    pub(crate) fn encode(&mut self, histogram: &Histogram<u64>) -> &str {
        self.bytes.clear();
        self.text.clear();
        self.serializer
            .serialize(histogram, &mut self.bytes)
            .expect("a Vec takes every write, and counts stay below 2^63");
        STANDARD.encode_string(&self.bytes, &mut self.text);
        &self.text
    }
}

/// Reads a histogram back.
pub(crate) fn decode(text: &str) -> Result<Histogram<u64>, LogFault> {
    let compressed = STANDARD.decode(text).map_err(|_| LogFault::Histogram("it is not base64"))?;
    let (cookie, rest) = split_u32(&compressed)?;
    if cookie != COMPRESSED_COOKIE {
        return Err(LogFault::Histogram("its cookie is not compressed V2's"));
    }
    let (length, body) = split_u32(rest)?;
    if length as usize != body.len() {
        return Err(LogFault::Histogram("its length does not match"));
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(body)
        .take(INFLATED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|_| LogFault::Histogram("it does not inflate"))?;
    if plain.len() > INFLATED_BYTES_MAX {
        return Err(LogFault::Histogram("it inflates to more than a histogram can hold"));
    }
    check_plain(&plain)?;
    Deserializer::new()
        .deserialize(&mut plain.as_slice())
        .map_err(|_| LogFault::Histogram("the library refuses it"))
}

/// Checks a plain V2 histogram so far that the library can be trusted with it.
fn check_plain(plain: &[u8]) -> Result<(), LogFault> {
    let (cookie, rest) = split_u32(plain)?;
    let (length, rest) = split_u32(rest)?;
    let (_normalizing_offset, rest) = split_u32(rest)?;
    let (digits, _) = split_u32(rest)?;
    if cookie != COOKIE {
        return Err(LogFault::Histogram("the cookie inside is not V2's"));
    }
    if digits > u32::from(SIGNIFICANT_DIGITS) {
        return Err(LogFault::Histogram("it has more significant digits than ours"));
    }
    let counts = plain.get(HEADER_BYTES..).ok_or(LogFault::Histogram("it is cut off"))?;
    if length as usize != counts.len() {
        return Err(LogFault::Histogram("the length inside does not match"));
    }
    check_counts(counts)
}

/// Walks the zigzag LEB128 counts: a positive one is a count, a negative one a run of zeros.
fn check_counts(mut counts: &[u8]) -> Result<(), LogFault> {
    let (mut slots, mut total) = (0_u64, 0_u64);
    while !counts.is_empty() {
        let (encoded, bytes) = varint(counts)?;
        counts = &counts[bytes..];
        let magnitude = (encoded >> 1).wrapping_add(encoded & 1);
        let (new_slots, new_count) = if encoded & 1 == 1 { (magnitude, 0) } else { (1, magnitude) };
        slots = slots.saturating_add(new_slots);
        total = total.saturating_add(new_count);
        if slots > COUNTS_MAX as u64 {
            return Err(LogFault::Histogram("it has more slots than its digits allow"));
        }
        if total > TOTAL_COUNT_MAX {
            return Err(LogFault::Histogram("its counts add up to more than 2^53"));
        }
    }
    Ok(())
}

/// One LEB128-64b9B number and its length: seven bits a byte, the ninth byte whole.
fn varint(bytes: &[u8]) -> Result<(u64, usize), LogFault> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(index).ok_or(LogFault::Histogram("a count is cut off"))?;
        if index == 8 {
            return Ok((value | u64::from(byte) << 56, 9));
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    Err(LogFault::Histogram("a count has no end"))
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), LogFault> {
    let (head, rest) = bytes.split_first_chunk().ok_or(LogFault::Histogram("it is cut off"))?;
    Ok((u32::from_be_bytes(*head), rest))
}
