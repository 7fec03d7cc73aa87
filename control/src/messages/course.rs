//! The messages of a running session: Start, changes, requests, clock rounds, path checks, endings.
//!
//! Promises: bounded, extensible, small. Refuses: nothing that it can read.

use minicbor::{Decode, Encode};
use punktfunk_proto::Lost;

use super::bounded::{self, WireNumber};
use super::greeting::Mode;
use crate::limits::PROTOCOL;

/// The client's assent to a Welcome: media may flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Start {}

/// A change that the client asks for in mid-stream; absent fields stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reconfigure {
    /// Another picture.
    #[n(0)]
    pub mode: Option<Mode>,
    /// Another wire rate.
    #[n(1)]
    pub bitrate_kbps: Option<u32>,
    /// Another codec, by its number ([`Codec::to_number`](super::Codec::to_number)): one that the host has no word for is
    /// refused like any other, and ends nothing.
    #[n(2)]
    pub codec: Option<u16>,
}

/// What holds after a Reconfigure, done or not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Reconfigured {
    /// The picture from now on.
    #[n(0)]
    pub mode: Mode,
    /// The wire rate from now on, or the most of it where the host follows what the way bears.
    #[n(1)]
    pub bitrate_kbps: u32,
    /// The first access unit that is so.
    #[n(2)]
    pub from_au: u32,
    /// What was not done and why; empty when all was.
    #[cbor(n(3), with = "bounded::text")]
    pub refused: String,
}

/// What has become of the source of the pictures, or is becoming.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SourceNews {
    /// Where the pictures come from, in words; empty while they come from nowhere.
    #[cbor(n(0), with = "bounded::text")]
    pub source: String,
    /// What ended before, or what is waited for, in words.
    #[cbor(n(1), with = "bounded::text")]
    pub why: String,
    /// The picture from now on; absent before the Welcome.
    #[n(2)]
    pub mode: Option<Mode>,
    /// An access unit that is no later than the first one that is so.
    #[n(3)]
    pub from_au: u32,
}

/// The client cannot decode on: it needs a clean point numbered above `after_au`. Said again until one has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RequestIdr {
    /// The newest access unit that was lost, refused by the decoder, or no clean point where one was needed.
    #[n(0)]
    pub after_au: u32,
    /// The oldest access unit that the client misses since its last good state: a recovery point above `after_au` that
    /// refers to none from this one on helps. Absent from a peer that knows no recovery points: it needs an IDR.
    #[n(1)]
    pub from_au: Option<u32>,
}

impl From<Lost> for RequestIdr {
    fn from(lost: Lost) -> Self {
        Self { after_au: lost.to_au, from_au: Some(lost.from_au) }
    }
}

/// One round's question of the skew handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SkewPing {
    /// The round's number, never repeated in a session.
    #[n(0)]
    pub round: u32,
    /// When it was sent, on the client's clock.
    #[n(1)]
    pub t_client_us: u64,
}

/// One round's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SkewPong {
    /// The question's number.
    #[n(0)]
    pub round: u32,
    /// The question's time, handed back.
    #[n(1)]
    pub t_client_us: u64,
    /// When the question came, on the host's session clock.
    #[n(2)]
    pub t_received_us: u64,
    /// When the answer left, on the host's session clock.
    #[n(3)]
    pub t_sent_us: u64,
}

/// The host's question to an address that its client seems to have moved to. As a part of the stream it
/// goes wherever QUIC is, and so home when the address has failed; its answer proves nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathPing {
    /// Not to be guessed, and never used again.
    #[n(0)]
    pub nonce: u64,
}

/// The client's answer: it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathPong {
    /// The question's number.
    #[n(0)]
    pub nonce: u64,
}

/// Why a host turns a client away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// Other clients have all the host's places.
    Busy,
    /// The two ends speak different control protocols.
    ProtocolVersion,
    /// The mode cannot be had.
    Mode,
    /// No codec that both ends know.
    Codec,
    /// No cipher that both ends know.
    Cipher,
    /// The compositor asked for is not usable.
    Compositor,
    /// Capture or encode did not start.
    Source,
    /// The host is shutting down.
    ShuttingDown,
    /// The bitrate cannot be had.
    Bitrate,
    /// A bound of the client's Hello (shards, slices, access units) is not one that the host can keep.
    Limits,
    /// A reason that this end has no word for; its text explains.
    Other(u16),
}

impl WireNumber for RefusalCode {
    fn number(&self) -> u16 {
        match self {
            RefusalCode::Busy => 1,
            RefusalCode::ProtocolVersion => 2,
            RefusalCode::Mode => 3,
            RefusalCode::Codec => 4,
            RefusalCode::Cipher => 5,
            RefusalCode::Compositor => 6,
            RefusalCode::Source => 7,
            RefusalCode::ShuttingDown => 8,
            RefusalCode::Bitrate => 9,
            RefusalCode::Limits => 10,
            RefusalCode::Other(number) => *number,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => RefusalCode::Busy,
            2 => RefusalCode::ProtocolVersion,
            3 => RefusalCode::Mode,
            4 => RefusalCode::Codec,
            5 => RefusalCode::Cipher,
            6 => RefusalCode::Compositor,
            7 => RefusalCode::Source,
            8 => RefusalCode::ShuttingDown,
            9 => RefusalCode::Bitrate,
            10 => RefusalCode::Limits,
            other => RefusalCode::Other(other),
        })
    }
}

/// The host's No to a Hello.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refusal {
    /// The control protocol that the host speaks.
    #[n(0)]
    pub protocol: u32,
    /// The kind of reason.
    #[cbor(n(1), with = "bounded::number")]
    pub code: RefusalCode,
    /// The reason in words, for a person.
    #[cbor(n(2), with = "bounded::text")]
    pub text: String,
}

impl Refusal {
    /// A refusal by a host of this protocol.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { protocol: PROTOCOL, code, text: text.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            RefusalCode::Busy => f.write_str("the host is busy")?,
            RefusalCode::ProtocolVersion => write!(f, "the host speaks protocol {}", self.protocol)?,
            RefusalCode::Mode => f.write_str("the host cannot make this mode")?,
            RefusalCode::Codec => f.write_str("no codec that both ends know")?,
            RefusalCode::Cipher => f.write_str("no cipher that both ends know")?,
            RefusalCode::Compositor => f.write_str("the compositor is not usable")?,
            RefusalCode::Source => f.write_str("the host has no picture to send")?,
            RefusalCode::ShuttingDown => f.write_str("the host is shutting down")?,
            RefusalCode::Bitrate => f.write_str("the host cannot make this bitrate")?,
            RefusalCode::Limits => f.write_str("the host cannot keep the client's limits")?,
            RefusalCode::Other(number) => write!(f, "refused with reason {number}")?,
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

/// Why an end leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByeReason {
    /// A person or a script asked for it.
    Asked,
    /// The program is shutting down.
    ShuttingDown,
    /// The source has no more pictures.
    SourceEnded,
    /// Something broke on the side that says Bye.
    Fault,
    /// The client's trust was withdrawn.
    TrustWithdrawn,
    /// The same client has come again, and its new session has this one's place.
    TakenOver,
    /// The other end's stages stand still: it is there, but nothing becomes of what it is sent.
    Stuck,
    /// A reason that this end has no word for; its text explains.
    Other(u16),
}

impl WireNumber for ByeReason {
    fn number(&self) -> u16 {
        match self {
            ByeReason::Asked => 1,
            ByeReason::ShuttingDown => 2,
            ByeReason::SourceEnded => 3,
            ByeReason::Fault => 4,
            ByeReason::TrustWithdrawn => 5,
            ByeReason::TakenOver => 6,
            ByeReason::Stuck => 7,
            ByeReason::Other(number) => *number,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => ByeReason::Asked,
            2 => ByeReason::ShuttingDown,
            3 => ByeReason::SourceEnded,
            4 => ByeReason::Fault,
            5 => ByeReason::TrustWithdrawn,
            6 => ByeReason::TakenOver,
            7 => ByeReason::Stuck,
            other => ByeReason::Other(other),
        })
    }
}

/// The last message of an end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bye {
    /// The kind of reason.
    #[cbor(n(0), with = "bounded::number")]
    pub reason: ByeReason,
    /// The reason in words; may be empty.
    #[cbor(n(1), with = "bounded::text")]
    pub text: String,
}

impl Bye {
    /// A Bye with a reason in words.
    pub fn new(reason: ByeReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

impl std::fmt::Display for Bye {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            ByeReason::Asked => f.write_str("asked to leave")?,
            ByeReason::ShuttingDown => f.write_str("shutting down")?,
            ByeReason::SourceEnded => f.write_str("the source has ended")?,
            ByeReason::Fault => f.write_str("a fault")?,
            ByeReason::TrustWithdrawn => f.write_str("trust withdrawn")?,
            ByeReason::TakenOver => f.write_str("the same client has come again")?,
            ByeReason::Stuck => f.write_str("the other end stands still")?,
            ByeReason::Other(number) => write!(f, "reason {number}")?,
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}
