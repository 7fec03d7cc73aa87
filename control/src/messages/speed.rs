//! The speed test: the client's wish, how it goes, what came, and what was found.
//!
//! Promises: bounded by the lists' limit. Refuses nothing that it can read; rates and times out of range are the host's
//! to refuse, by a [`SpeedTestFailed`].

use minicbor::{Decode, Encode};
use punktfunk_proto::{FillerSeen, Judgement, WeakestLink};

use super::Message;
use super::bounded::{self, WireNumber};

/// The client asks for a test of the session's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StartSpeedTest {
    /// The wire's rate to try, in kbit/s.
    #[n(0)]
    pub target_kbps: u32,
    /// For how long, in milliseconds.
    #[n(1)]
    pub duration_ms: u32,
}

/// A test has begun, by whoever's wish: video waits, filler comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpeedTestBegun {
    /// Its number, in each of its datagrams.
    #[n(0)]
    pub test: u16,
    /// The wire's rate that is tried, in kbit/s.
    #[n(1)]
    pub target_kbps: u32,
    /// For how long, in milliseconds.
    #[n(2)]
    pub duration_ms: u32,
}

/// All filler has left: the client says what came, once nothing more does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpeedTestSent {
    /// The test's number.
    #[n(0)]
    pub test: u16,
}

/// What came, as the client counted it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpeedTestSeen {
    /// The test's number.
    #[n(0)]
    pub test: u16,
    /// Datagrams that came.
    #[n(1)]
    pub datagrams: u64,
    /// Their bytes.
    #[n(2)]
    pub wire_bytes: u64,
    /// From the first to the last, in microseconds.
    #[n(3)]
    pub span_us: u64,
    /// The datagrams by where in their burst they stood, in tenths.
    #[cbor(n(4), with = "bounded::list")]
    pub by_position: Vec<u64>,
    /// One-way delay above the least, median, in microseconds.
    #[n(5)]
    pub delay_p50_us: u32,
    /// The same, 99th percentile.
    #[n(6)]
    pub delay_p99_us: u32,
    /// Datagrams that the client's socket dropped, as far as it knows.
    #[n(7)]
    pub client_drops: u64,
    /// The epoch of the probe plane that was opened.
    #[n(8)]
    pub epoch_opened: u32,
}

impl From<FillerSeen> for SpeedTestSeen {
    fn from(seen: FillerSeen) -> Self {
        let FillerSeen { test, datagrams, wire_bytes, span_us, .. } = seen;
        Self {
            test,
            datagrams,
            wire_bytes,
            span_us,
            by_position: seen.by_position.to_vec(),
            delay_p50_us: seen.delay_p50_us,
            delay_p99_us: seen.delay_p99_us,
            client_drops: seen.client_drops,
            epoch_opened: seen.epoch_opened,
        }
    }
}

impl From<&SpeedTestSeen> for FillerSeen {
    /// Parts that are absent are none, and those behind the last are not looked at.
    fn from(seen: &SpeedTestSeen) -> Self {
        Self {
            test: seen.test,
            datagrams: seen.datagrams,
            wire_bytes: seen.wire_bytes,
            span_us: seen.span_us,
            by_position: std::array::from_fn(|part| seen.by_position.get(part).copied().unwrap_or(0)),
            delay_p50_us: seen.delay_p50_us,
            delay_p99_us: seen.delay_p99_us,
            client_drops: seen.client_drops,
            epoch_opened: seen.epoch_opened,
        }
    }
}

/// What holds the rate down, as a message says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakest {
    /// Nothing: the target was reached.
    None,
    /// The host.
    Host,
    /// The network between.
    Network,
    /// The client's receive buffer.
    ClientBuffer,
    /// Something that this end has no word for; the verdict explains.
    Other(u16),
}

impl WireNumber for Weakest {
    fn number(&self) -> u16 {
        match self {
            Weakest::None => 0,
            Weakest::Host => 1,
            Weakest::Network => 2,
            Weakest::ClientBuffer => 3,
            Weakest::Other(number) => *number,
        }
    }

    fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0 => Weakest::None,
            1 => Weakest::Host,
            2 => Weakest::Network,
            3 => Weakest::ClientBuffer,
            other => Weakest::Other(other),
        })
    }
}

impl From<WeakestLink> for Weakest {
    fn from(link: WeakestLink) -> Self {
        match link {
            WeakestLink::None => Weakest::None,
            WeakestLink::Host => Weakest::Host,
            WeakestLink::Network => Weakest::Network,
            WeakestLink::ClientBuffer => Weakest::ClientBuffer,
        }
    }
}

/// What the test has found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpeedTestResult {
    /// The test's number.
    #[n(0)]
    pub test: u16,
    /// What was asked for, in kbit/s.
    #[n(1)]
    pub target_kbps: u32,
    /// What left the host, in kbit/s on the wire.
    #[n(2)]
    pub sent_kbps: u64,
    /// What came, in kbit/s on the wire.
    #[n(3)]
    pub received_kbps: u64,
    /// What came without headers, tags and parity, in kbit/s.
    #[n(4)]
    pub goodput_kbps: u64,
    /// Millionths of the datagrams that did not come.
    #[n(5)]
    pub loss_ppm: u32,
    /// The same by where in their burst they stood, in tenths.
    #[cbor(n(6), with = "bounded::list")]
    pub loss_by_position_ppm: Vec<u32>,
    /// One-way delay above the least, median, in microseconds.
    #[n(7)]
    pub delay_p50_us: u32,
    /// The same, 99th percentile.
    #[n(8)]
    pub delay_p99_us: u32,
    /// The bitrate to ask for, in kbit/s.
    #[n(9)]
    pub recommended_kbps: u32,
    /// What held it down.
    #[cbor(n(10), with = "bounded::number")]
    pub weakest: Weakest,
    /// The same in words.
    #[cbor(n(11), with = "bounded::text")]
    pub verdict: String,
}

impl SpeedTestResult {
    /// What was found of test `test`.
    pub fn new(test: u16, found: &Judgement) -> Self {
        Self {
            test,
            target_kbps: found.target_kbps,
            sent_kbps: found.sent_kbps,
            received_kbps: found.received_kbps,
            goodput_kbps: found.goodput_kbps,
            loss_ppm: found.loss_ppm,
            loss_by_position_ppm: found.loss_by_position_ppm.to_vec(),
            delay_p50_us: found.delay_p50_us,
            delay_p99_us: found.delay_p99_us,
            recommended_kbps: found.recommended_kbps,
            weakest: found.weakest.into(),
            verdict: found.to_string(),
        }
    }
}

/// There is no test, or no result of the one that ran.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpeedTestFailed {
    /// Why, for a person.
    #[cbor(n(0), with = "bounded::text")]
    pub why: String,
}

/// What a host tells of a test, in the order in which it comes; a failure may stand in place of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeedTestNews {
    /// It has begun.
    Begun(SpeedTestBegun),
    /// All filler has left.
    Sent(SpeedTestSent),
    /// What was found.
    Result(SpeedTestResult),
    /// There is none, or no result.
    Failed(SpeedTestFailed),
}

impl From<SpeedTestNews> for Message {
    fn from(news: SpeedTestNews) -> Self {
        match news {
            SpeedTestNews::Begun(begun) => Message::SpeedTestBegun(begun),
            SpeedTestNews::Sent(sent) => Message::SpeedTestSent(sent),
            SpeedTestNews::Result(result) => Message::SpeedTestResult(result),
            SpeedTestNews::Failed(failed) => Message::SpeedTestFailed(failed),
        }
    }
}
