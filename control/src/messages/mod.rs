//! The control messages and their wire form.
//!
//! A message is a little-endian `u32` length and that many bytes of CBOR: an array of the message's
//! kind and a map from field numbers to values. Promises: a field or kind that this end does not know
//! is skipped; a parsed message obeys every limit; parsing never panics and keeps nothing of what it
//! refuses. Refuses: lengths above `MESSAGE_BYTES_MAX`, texts and lists above their limits, required
//! fields that are absent.

pub(crate) mod bounded;
mod client_stats;
mod course;
mod greeting;
mod host_stats;
mod pending;
mod speed;

pub use client_stats::ClientStats;
pub use course::{
    Bye, ByeReason, PathPing, PathPong, Reconfigure, Reconfigured, Refusal, RefusalCode, RequestIdr,
    SkewPing, SkewPong, SourceNews, Start,
};
pub use greeting::{Chroma, Codec, CompositorOffer, Depth, Hello, Mode, Welcome};
pub use host_stats::{FallCount, HostStats, StageSummary};
pub use pending::{DecidePending, PendingDevices, PendingEntry};
pub use speed::{
    SpeedTestBegun, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, SpeedTestSent,
    StartSpeedTest, Weakest,
};

pub(crate) use bounded::WireNumber;

use minicbor::{Decoder, Encode, Encoder};

use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes of the length in front of a message.
pub const LENGTH_BYTES: usize = 4;

/// Any control message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant carries the message of its name
#[expect(clippy::large_enum_variant, reason = "the large one comes once a second")]
pub enum Message {
    Hello(Hello),
    Welcome(Welcome),
    Refusal(Refusal),
    Start(Start),
    Reconfigure(Reconfigure),
    Reconfigured(Reconfigured),
    RequestIdr(RequestIdr),
    SkewPing(SkewPing),
    SkewPong(SkewPong),
    PathPing(PathPing),
    PathPong(PathPong),
    HostStats(HostStats),
    Bye(Bye),
    SourceNews(SourceNews),
    ClientStats(ClientStats),
    PendingDevices(PendingDevices),
    DecidePending(DecidePending),
    StartSpeedTest(StartSpeedTest),
    SpeedTestBegun(SpeedTestBegun),
    SpeedTestSent(SpeedTestSent),
    SpeedTestSeen(SpeedTestSeen),
    SpeedTestResult(SpeedTestResult),
    SpeedTestFailed(SpeedTestFailed),
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The length in front is zero or above the limit.
    #[error("a control message of {length} bytes; 1 to {MESSAGE_BYTES_MAX} are allowed")]
    Length {
        /// What the length said.
        length: u32,
    },
    /// The body is not the CBOR that its kind asks for.
    #[error("a malformed control message of kind {kind}: {text}")]
    Malformed {
        /// The message's kind, 0 when not even that could be read.
        kind: u16,
        /// What the parser said.
        text: String,
    },
    /// The body has bytes behind its message.
    #[error("a control message of kind {kind} with {surplus} bytes behind it")]
    Surplus {
        /// The message's kind.
        kind: u16,
        /// How many bytes are behind it.
        surplus: usize,
    },
}

impl Message {
    /// The message's number on the wire.
    pub fn kind(&self) -> u16 {
        match self {
            Message::Hello(_) => 1,
            Message::Welcome(_) => 2,
            Message::Refusal(_) => 3,
            Message::Start(_) => 4,
            Message::Reconfigure(_) => 5,
            Message::Reconfigured(_) => 6,
            Message::RequestIdr(_) => 7,
            Message::SkewPing(_) => 8,
            Message::SkewPong(_) => 9,
            Message::PathPong(_) => 10,
            Message::HostStats(_) => 11,
            Message::Bye(_) => 12,
            Message::PathPing(_) => 13,
            Message::SourceNews(_) => 14,
            Message::ClientStats(_) => 18,
            Message::PendingDevices(_) => 20,
            Message::DecidePending(_) => 21,
            Message::StartSpeedTest(_) => 30,
            Message::SpeedTestBegun(_) => 31,
            Message::SpeedTestSent(_) => 32,
            Message::SpeedTestSeen(_) => 33,
            Message::SpeedTestResult(_) => 34,
            Message::SpeedTestFailed(_) => 35,
        }
    }

    /// The message's name, for errors and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "Hello",
            Message::Welcome(_) => "Welcome",
            Message::Refusal(_) => "Refusal",
            Message::Start(_) => "Start",
            Message::Reconfigure(_) => "Reconfigure",
            Message::Reconfigured(_) => "Reconfigured",
            Message::RequestIdr(_) => "RequestIdr",
            Message::SkewPing(_) => "SkewPing",
            Message::SkewPong(_) => "SkewPong",
            Message::PathPing(_) => "PathPing",
            Message::PathPong(_) => "PathPong",
            Message::HostStats(_) => "HostStats",
            Message::Bye(_) => "Bye",
            Message::SourceNews(_) => "SourceNews",
            Message::ClientStats(_) => "ClientStats",
            Message::PendingDevices(_) => "PendingDevices",
            Message::DecidePending(_) => "DecidePending",
            Message::StartSpeedTest(_) => "StartSpeedTest",
            Message::SpeedTestBegun(_) => "SpeedTestBegun",
            Message::SpeedTestSent(_) => "SpeedTestSent",
            Message::SpeedTestSeen(_) => "SpeedTestSeen",
            Message::SpeedTestResult(_) => "SpeedTestResult",
            Message::SpeedTestFailed(_) => "SpeedTestFailed",
        }
    }

    /// Appends the length and the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = self.kind();
        match self {
            Message::Hello(body) => encode_framed(kind, body, out),
            Message::Welcome(body) => encode_framed(kind, body, out),
            Message::Refusal(body) => encode_framed(kind, body, out),
            Message::Start(body) => encode_framed(kind, body, out),
            Message::Reconfigure(body) => encode_framed(kind, body, out),
            Message::Reconfigured(body) => encode_framed(kind, body, out),
            Message::RequestIdr(body) => encode_framed(kind, body, out),
            Message::SkewPing(body) => encode_framed(kind, body, out),
            Message::SkewPong(body) => encode_framed(kind, body, out),
            Message::PathPing(body) => encode_framed(kind, body, out),
            Message::PathPong(body) => encode_framed(kind, body, out),
            Message::HostStats(body) => encode_framed(kind, body, out),
            Message::Bye(body) => encode_framed(kind, body, out),
            Message::SourceNews(body) => encode_framed(kind, body, out),
            Message::ClientStats(body) => encode_framed(kind, body, out),
            Message::PendingDevices(body) => encode_framed(kind, body, out),
            Message::DecidePending(body) => encode_framed(kind, body, out),
            Message::StartSpeedTest(body) => encode_framed(kind, body, out),
            Message::SpeedTestBegun(body) => encode_framed(kind, body, out),
            Message::SpeedTestSent(body) => encode_framed(kind, body, out),
            Message::SpeedTestSeen(body) => encode_framed(kind, body, out),
            Message::SpeedTestResult(body) => encode_framed(kind, body, out),
            Message::SpeedTestFailed(body) => encode_framed(kind, body, out),
        }
    }

    /// Reads one message's body, without its length. `None`: a kind that this end does not know.
    ///
    /// # Errors
    /// When the body is not the CBOR that its kind asks for, or breaks a limit.
    pub fn parse(body: &[u8]) -> Result<Option<Message>, MessageError> {
        parse_framed(body, |kind, d| {
            Some(match kind {
                1 => d.decode().map(Message::Hello),
                2 => d.decode().map(Message::Welcome),
                3 => d.decode().map(Message::Refusal),
                4 => d.decode().map(Message::Start),
                5 => d.decode().map(Message::Reconfigure),
                6 => d.decode().map(Message::Reconfigured),
                7 => d.decode().map(Message::RequestIdr),
                8 => d.decode().map(Message::SkewPing),
                9 => d.decode().map(Message::SkewPong),
                10 => d.decode().map(Message::PathPong),
                11 => d.decode().map(Message::HostStats),
                12 => d.decode().map(Message::Bye),
                13 => d.decode().map(Message::PathPing),
                14 => d.decode().map(Message::SourceNews),
                18 => d.decode().map(Message::ClientStats),
                20 => d.decode().map(Message::PendingDevices),
                21 => d.decode().map(Message::DecidePending),
                30 => d.decode().map(Message::StartSpeedTest),
                31 => d.decode().map(Message::SpeedTestBegun),
                32 => d.decode().map(Message::SpeedTestSent),
                33 => d.decode().map(Message::SpeedTestSeen),
                34 => d.decode().map(Message::SpeedTestResult),
                35 => d.decode().map(Message::SpeedTestFailed),
                _ => return None,
            })
        })
    }
}

/// A message's length, checked against the limit.
///
/// # Errors
/// When it is zero or above `MESSAGE_BYTES_MAX`.
pub fn parse_length(bytes: [u8; LENGTH_BYTES]) -> Result<usize, MessageError> {
    let length = u32::from_le_bytes(bytes);
    match length as usize {
        1..=MESSAGE_BYTES_MAX => Ok(length as usize),
        _ => Err(MessageError::Length { length }),
    }
}

fn parse_kind(d: &mut Decoder<'_>) -> Result<u16, minicbor::decode::Error> {
    match d.array()? {
        Some(2) => d.u16(),
        _ => Err(minicbor::decode::Error::message("not an array of a kind and a body")),
    }
}

fn malformed(kind: u16, error: &minicbor::decode::Error) -> MessageError {
    MessageError::Malformed { kind, text: error.to_string() }
}

/// Appends a length, and a message of this kind.
pub(crate) fn encode_framed<T: Encode<()>>(kind: u16, body: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut e = Encoder::new(&mut *out);
    let written = e.array(2).and_then(|e| e.u16(kind)).and_then(|e| e.encode(body)).map(|_| ());
    written.expect("a Vec takes every byte, and no field's encoding fails of itself");
    let length = (out.len() - start - LENGTH_BYTES) as u32;
    debug_assert!(length as usize <= MESSAGE_BYTES_MAX, "limits.rs proves that every message fits");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Reads one message of those that `decode` knows by their kinds.
pub(crate) fn parse_framed<'b, T>(
    body: &'b [u8],
    decode: impl FnOnce(u16, &mut Decoder<'b>) -> Option<Result<T, minicbor::decode::Error>>,
) -> Result<Option<T>, MessageError> {
    let mut d = Decoder::new(body);
    let kind = parse_kind(&mut d).map_err(|error| malformed(0, &error))?;
    let Some(message) = decode(kind, &mut d) else { return Ok(None) };
    let message = message.map_err(|error| malformed(kind, &error))?;
    match body.len() - d.position() {
        0 => Ok(Some(message)),
        surplus => Err(MessageError::Surplus { kind, surplus }),
    }
}
