//! What the client measures, for the host's console.
//!
//! Promises: a value, bounded, extensible. Refuses: more stages than the list limit; to be believed: it is a client's
//! own word, for people to look at; nothing is steered by it, but that a client which says that it stands still is left.

use minicbor::{Decode, Encode};

use super::{StageSummary, bounded};

/// The client's counters since the session's start, and its stages since its last message of this kind. Absent fields
/// read as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClientStats {
    /// Pictures that were decoded.
    #[cbor(n(0), default)]
    pub pictures_decoded: u64,
    /// Pictures that never came whole, or not at all.
    #[cbor(n(1), default)]
    pub pictures_lost: u64,
    /// Pictures that came whole when they were of no use any more.
    #[cbor(n(2), default)]
    pub pictures_late: u64,
    /// Pictures that came and were thrown away.
    #[cbor(n(3), default)]
    pub pictures_dropped: u64,
    /// Media datagrams that came, whatever became of them.
    #[cbor(n(4), default)]
    pub datagrams: u64,
    /// UDP payload bytes of these.
    #[cbor(n(5), default)]
    pub wire_bytes: u64,
    /// Datagrams that the kernel dropped at the client's socket.
    #[cbor(n(6), default)]
    pub kernel_drops: u64,
    /// Shards computed from parity.
    #[cbor(n(7), default)]
    pub shards_recovered: u64,
    /// Processor time of the client process, in microseconds.
    #[cbor(n(8), default)]
    pub cpu_us: u64,
    /// When all this was so: microseconds since the session's start, by the client's clock.
    #[cbor(n(9), default)]
    pub session_us: u64,
    /// Each stage's latency since the last message of this kind.
    #[cbor(n(16), with = "bounded::list", default)]
    pub stages: Vec<StageSummary>,
}
