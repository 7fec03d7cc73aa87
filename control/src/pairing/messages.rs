//! What the two ends of a pairing say to each other, and its wire form: framed as the session's control messages
//! are, on an ALPN of its own, with kinds of its own.
//!
//! Promises: every length is fixed or bounded; a kind or field that this end does not know is skipped. Refuses:
//! shares and confirmations of another length.

use minicbor::{Decode, Decoder, Encode};

use super::exchange::{CONFIRMATION_BYTES, SHARE_BYTES};
use crate::messages::{MessageError, WireNumber, bounded, encode_framed, parse_framed};

/// The client knows the PIN and begins to prove it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ask {
    /// What the device calls itself.
    #[cbor(n(0), with = "bounded::name")]
    pub name: String,
    /// SPAKE2+'s shareP.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub share: [u8; SHARE_BYTES],
}

/// The host's own proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// SPAKE2+'s shareV.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub share: [u8; SHARE_BYTES],
    /// SPAKE2+'s confirmV.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub confirmation: [u8; CONFIRMATION_BYTES],
}

/// The client's proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Confirm {
    /// SPAKE2+'s confirmP.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub confirmation: [u8; CONFIRMATION_BYTES],
}

/// The client asks to wait for somebody's word.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Knock {
    /// What the device calls itself.
    #[cbor(n(0), with = "bounded::name")]
    pub name: String,
}

/// The client has a place among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Held {
    /// For how long, in seconds.
    #[n(0)]
    pub wait_s: u32,
}

/// The host has written the client down.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Admitted {
    /// What the host calls itself.
    #[cbor(n(0), with = "bounded::name")]
    pub host_name: String,
}

/// The host has not let the client in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TurnedAway {
    /// Why.
    #[cbor(n(0), with = "bounded::number")]
    pub reason: TurnedAwayReason,
}

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnedAwayReason {
    /// The PIN was wrong, or none is armed: the host does not say which.
    NotPaired,
    /// Somebody said No.
    Denied,
    /// Nobody said anything.
    Unanswered,
    /// Too many wait already.
    Full,
    /// The host could not write the client down.
    Fault,
    /// The host program ends.
    ShuttingDown,
    /// The same device has knocked again, on another connection.
    Superseded,
    /// Another number, of a later version.
    Other(u16),
}

impl WireNumber for TurnedAwayReason {
    fn number(&self) -> u16 {
        match self {
            TurnedAwayReason::NotPaired => 1,
            TurnedAwayReason::Denied => 2,
            TurnedAwayReason::Unanswered => 3,
            TurnedAwayReason::Full => 4,
            TurnedAwayReason::Fault => 5,
            TurnedAwayReason::ShuttingDown => 6,
            TurnedAwayReason::Superseded => 7,
            TurnedAwayReason::Other(number) => *number,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => TurnedAwayReason::NotPaired,
            2 => TurnedAwayReason::Denied,
            3 => TurnedAwayReason::Unanswered,
            4 => TurnedAwayReason::Full,
            5 => TurnedAwayReason::Fault,
            6 => TurnedAwayReason::ShuttingDown,
            7 => TurnedAwayReason::Superseded,
            number => TurnedAwayReason::Other(number),
        })
    }
}

impl std::fmt::Display for TurnedAwayReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TurnedAwayReason::NotPaired => f.write_str(
                "the PIN is wrong, or the host is not showing one (any more): arm pairing there anew",
            ),
            TurnedAwayReason::Denied => f.write_str("the request was denied at the host"),
            TurnedAwayReason::Unanswered => f.write_str("nobody has answered the request at the host"),
            TurnedAwayReason::Full => f.write_str("too many devices are asking at the host; try again later"),
            TurnedAwayReason::Fault => {
                f.write_str("the host could not write this device down; its log says why")
            }
            TurnedAwayReason::ShuttingDown => f.write_str("the host program ends"),
            TurnedAwayReason::Superseded => f.write_str("this device has asked again meanwhile"),
            TurnedAwayReason::Other(number) => {
                write!(f, "the host gives reason {number}, which is a later one's")
            }
        }
    }
}

/// Any message of a pairing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant carries the message of its name
pub enum PairMessage {
    Ask(Ask),
    Answer(Answer),
    Confirm(Confirm),
    Knock(Knock),
    Held(Held),
    Admitted(Admitted),
    TurnedAway(TurnedAway),
}

impl PairMessage {
    /// The message's number on the wire.
    pub fn kind(&self) -> u16 {
        match self {
            PairMessage::Ask(_) => 1,
            PairMessage::Answer(_) => 2,
            PairMessage::Confirm(_) => 3,
            PairMessage::Knock(_) => 4,
            PairMessage::Held(_) => 5,
            PairMessage::Admitted(_) => 6,
            PairMessage::TurnedAway(_) => 7,
        }
    }

    /// The message's name, for errors and logs.
    pub fn name(&self) -> &'static str {
        match self {
            PairMessage::Ask(_) => "Ask",
            PairMessage::Answer(_) => "Answer",
            PairMessage::Confirm(_) => "Confirm",
            PairMessage::Knock(_) => "Knock",
            PairMessage::Held(_) => "Held",
            PairMessage::Admitted(_) => "Admitted",
            PairMessage::TurnedAway(_) => "TurnedAway",
        }
    }

    /// Appends the length and the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = self.kind();
        match self {
            PairMessage::Ask(body) => encode_framed(kind, body, out),
            PairMessage::Answer(body) => encode_framed(kind, body, out),
            PairMessage::Confirm(body) => encode_framed(kind, body, out),
            PairMessage::Knock(body) => encode_framed(kind, body, out),
            PairMessage::Held(body) => encode_framed(kind, body, out),
            PairMessage::Admitted(body) => encode_framed(kind, body, out),
            PairMessage::TurnedAway(body) => encode_framed(kind, body, out),
        }
    }

    /// Reads one message's body, without its length. `None`: a kind that this end does not know.
    ///
    /// # Errors
    /// When the body is not the CBOR that its kind asks for, or breaks a limit.
    pub fn parse(body: &[u8]) -> Result<Option<PairMessage>, MessageError> {
        parse_framed(body, |kind, d: &mut Decoder<'_>| {
            Some(match kind {
                1 => d.decode().map(PairMessage::Ask),
                2 => d.decode().map(PairMessage::Answer),
                3 => d.decode().map(PairMessage::Confirm),
                4 => d.decode().map(PairMessage::Knock),
                5 => d.decode().map(PairMessage::Held),
                6 => d.decode().map(PairMessage::Admitted),
                7 => d.decode().map(PairMessage::TurnedAway),
                _ => return None,
            })
        })
    }
}
