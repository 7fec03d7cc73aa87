//! Counters of a control session, by value.
//!
//! Promises: lost, waited and dropped are told apart, and drops by plane. Refuses: to count media;
//! that is the media planes' own business.

use std::time::Duration;

use crate::planes::{Plane, PlaneCounters};

/// One connection's counters since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStats {
    /// QUIC's smoothed round trip.
    pub rtt: Duration,
    /// The UDP payload that the path is known to carry, in bytes.
    pub udp_payload_bytes: u16,
    /// What may be in flight now, in bytes.
    pub in_flight_bytes_max: u64,
    /// QUIC datagrams sent.
    pub datagrams_sent: u64,
    /// QUIC datagrams received.
    pub datagrams_received: u64,
    /// Datagrams with this connection's id that came from another address than the one that the peer had proven.
    pub datagrams_strayed: u64,
    /// Times that the peer proved another address.
    pub paths_changed: u64,
    /// Times that another address was tried and not proven.
    pub paths_refused: u64,
    /// QUIC datagrams that an address which was not proven must not draw, thrown away.
    pub datagrams_withheld: u64,
    /// QUIC packets that never arrived at the peer.
    pub packets_lost: u64,
    /// Control messages queued to be sent.
    pub messages_sent: u64,
    /// Control messages received.
    pub messages_received: u64,
    /// Control messages of kinds that this end does not know.
    pub messages_skipped: u64,
    /// Control messages thrown away because the peer does not read.
    pub messages_dropped: u64,
    /// How often messages had to wait for the stream.
    pub stream_waits: u64,
    /// Each real-time plane's counters.
    pub planes: [(Plane, PlaneCounters); Plane::ALL.len()],
    /// Datagrams of planes that this end does not know.
    pub plane_unknown: u64,
}

impl Default for LinkStats {
    fn default() -> Self {
        Self {
            rtt: Duration::ZERO,
            udp_payload_bytes: 0,
            in_flight_bytes_max: 0,
            datagrams_sent: 0,
            datagrams_received: 0,
            datagrams_strayed: 0,
            paths_changed: 0,
            paths_refused: 0,
            datagrams_withheld: 0,
            packets_lost: 0,
            messages_sent: 0,
            messages_received: 0,
            messages_skipped: 0,
            messages_dropped: 0,
            stream_waits: 0,
            planes: Plane::ALL.map(|plane| (plane, PlaneCounters::default())),
            plane_unknown: 0,
        }
    }
}

/// The host's counters over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Strangers turned away before they became a session.
    pub rejected: u64,
    /// Of these, how many were not told as an event because too many waited.
    pub rejections_untold: u64,
    /// Newcomers that were not heard, because too many came in that second.
    pub newcomers_unheard: u64,
    /// Datagrams that were not QUIC's.
    pub datagrams_foreign: u64,
    /// Answers to strangers that were thrown away because too many waited.
    pub responses_dropped: u64,
}
