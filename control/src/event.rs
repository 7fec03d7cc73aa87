//! What the two ends tell their programs, and the bytes that they hand out.
//!
//! Promises: each event once, in order; every session that said Hello ends with exactly one `Ended`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use punktfunk_proto::{FeedbackReport, Lost};
use punktfunk_seal::Secret;

use crate::error::{ConnectError, RejectReason, SessionEnd};
use crate::fingerprint::Fingerprint;
use crate::messages::{
    Bye, ClientStats, Hello, HostStats, PendingDevices, Reconfigure, Reconfigured, SourceNews,
    SpeedTestBegun, SpeedTestFailed, SpeedTestResult, SpeedTestSeen, SpeedTestSent, StartSpeedTest, Welcome,
};
use crate::pairing::WindowEnd;
use crate::skew::SkewEstimate;

/// A session's name at the host. It belongs to the connection, not to an address, and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

impl SessionId {
    /// The number, for a peer or a person to name it by.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The session of this number, if there is one.
    pub fn of_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a session's datagrams go, QUIC's and media's alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The peer's address.
    pub remote: SocketAddr,
    /// This machine's address that the peer has asked; `None` where the network edge does not tell.
    pub local: Option<IpAddr>,
}

/// Bytes to send: they lie in the buffer that was handed in, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where they go.
    pub dest: SocketAddr,
    /// Which of this machine's addresses they leave from: the one that the peer has asked. `None` leaves the
    /// choice to the kernel.
    pub source: Option<IpAddr>,
    /// How many there are.
    pub bytes_len: usize,
    /// When set, they are several datagrams of this length, of which the last may be shorter.
    pub segment_bytes: Option<usize>,
}

/// What happens at the host. A session may end between an event and the program's answer to it; the
/// answer is then `ControlError::NoSuchSession`, which is no fault: its `Ended` is on the way.
#[derive(Debug)]
// A report is a kilobyte by value; a box would cost an allocation for each, 200 times a second.
#[allow(clippy::large_enum_variant)]
pub enum HostEvent {
    /// A client has proven who it is and said Hello: answer with `welcome` or `refuse`.
    Hello {
        /// The new session.
        session: SessionId,
        /// What the client wants.
        hello: Hello,
        /// Who the client is.
        client_fingerprint: Fingerprint,
        /// Where it is.
        remote: SocketAddr,
    },
    /// The client has assented: media may flow. Answer with `start_clock`.
    Start {
        /// The session.
        session: SessionId,
        /// The media keys' root, from the TLS exporter.
        secret: Secret,
    },
    /// The client cannot decode on: it needs a clean point later than what it misses.
    RequestIdr {
        /// The session.
        session: SessionId,
        /// What it misses.
        lost: Lost,
    },
    /// The client asks for a change: answer with `send_reconfigured`.
    Reconfigure {
        /// The session.
        session: SessionId,
        /// What it asks for.
        reconfigure: Reconfigure,
    },
    /// A feedback report.
    Feedback {
        /// The session.
        session: SessionId,
        /// The report.
        report: FeedbackReport,
    },
    /// What the client says of itself, for people to see: of several that wait only the newest is told.
    ClientStats {
        /// The session.
        session: SessionId,
        /// Its figures.
        stats: ClientStats,
    },
    /// The path to the client now carries UDP payloads of this size, up or down.
    Mtu {
        /// The session.
        session: SessionId,
        /// Bytes of UDP payload.
        udp_payload_bytes: u16,
    },
    /// The client has proven another address: media shall go there. Of this path nothing else is known yet.
    Path {
        /// The session.
        session: SessionId,
        /// The way to it now.
        path: Path,
    },
    /// The client wants to leave: answer with `send_stats` and `bye` within a second, or it goes
    /// without them.
    Leaving {
        /// The session.
        session: SessionId,
        /// Why it leaves.
        bye: Bye,
    },
    /// A device has proven the PIN: write it down, call `set_trust`, then `admit`; or `turn_away`. It waits for
    /// five seconds.
    PinProven {
        /// Its connection.
        session: SessionId,
        /// What it calls itself.
        name: String,
        /// Who it is.
        fingerprint: Fingerprint,
        /// Where it is.
        remote: SocketAddr,
    },
    /// The window for a PIN is closed.
    PairingClosed {
        /// Why.
        end: WindowEnd,
    },
    /// Other devices wait for somebody's word now: see `pending`.
    PendingChanged,
    /// A session's client has decided about a device that waits. Whether it may is the program's to judge.
    PendingDecided {
        /// The session.
        session: SessionId,
        /// Whose session it is.
        by: Fingerprint,
        /// Which device.
        pending: SessionId,
        /// Whether it shall be let in.
        is_approved: bool,
    },
    /// The client asks for a speed test: answer with `send_speed_test`.
    SpeedTestAsked {
        /// The session.
        session: SessionId,
        /// What it asks for.
        wish: StartSpeedTest,
    },
    /// The client says what came of a speed test.
    SpeedTestSeen {
        /// The session.
        session: SessionId,
        /// What came.
        seen: SpeedTestSeen,
    },
    /// The session is over; its id means nothing any more.
    Ended {
        /// The session that was.
        session: SessionId,
        /// Why.
        reason: SessionEnd,
    },
    /// A stranger was turned away before it became a session.
    Rejected {
        /// Where it is.
        remote: SocketAddr,
        /// Why.
        reason: RejectReason,
    },
}

/// What happens at the client.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one comes once a second")]
pub enum ClientEvent {
    /// The host is who it should be and welcomes us: answer with `start` or `bye`.
    Welcome {
        /// What the session will be.
        welcome: Welcome,
        /// Who the host is.
        host_fingerprint: Fingerprint,
    },
    /// Media may flow; follows `start` at once.
    Started {
        /// The media keys' root, from the TLS exporter.
        secret: Secret,
    },
    /// Eight clock rounds are done, the first ones or refreshed ones.
    Skew(SkewEstimate),
    /// The host's statistics.
    HostStats(HostStats),
    /// What holds after a Reconfigure.
    Reconfigured(Reconfigured),
    /// What has become of the source; before the Welcome, what it waits for.
    SourceNews(SourceNews),
    /// The devices that wait at the host for somebody's word: answer with `decide_pending`, if at all.
    PendingDevices(PendingDevices),
    /// Filler comes in place of video.
    SpeedTestBegun(SpeedTestBegun),
    /// All of it has left: answer with `send_speed_test_seen`, once nothing more comes.
    SpeedTestSent(SpeedTestSent),
    /// What a speed test has found.
    SpeedTestResult(SpeedTestResult),
    /// There is no speed test, or no result of it.
    SpeedTestFailed(SpeedTestFailed),
    /// The path to the host now carries UDP payloads of this size, up or down.
    Mtu {
        /// Bytes of UDP payload.
        udp_payload_bytes: u16,
    },
    /// The connection is over, or never was. The last event.
    Ended {
        /// Why.
        reason: ConnectError,
    },
}
