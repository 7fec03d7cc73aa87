//! The control session between a host and a client: QUIC on the media's own port.
//!
//! *What it is.* Identity, trust, TLS, QUIC, messages, the session's course at both ends and the skew
//! handshake, all without IO: datagrams and `now` come in, datagrams and events go out. `HostControl`
//! and `ClientControl` are driven alike: hand in with `handle_datagram` and `handle_timeout`, then
//! drain `poll_transmit` and `poll_event`, then sleep until `poll_timeout`.
//!
//! A client that is not known comes to be by `pairing`, on an ALPN of its own: `Applicant` is its end, and
//! `HostControl` the host's. `Devices` is who is known.
//!
//! *What it promises.* A peer is known by its certificate's fingerprint and has proven that it holds
//! the key. The first byte of every datagram is 0x40 or more, so that media and QUIC share a port.
//! What a peer sends can cost no more memory than `limits` says, and can never panic. A killed client
//! frees its place within five seconds, a killed host is noticed within three.
//!
//! *What it refuses.* TLS before 1.3, 0-RTT, peers without a certificate, other protocol numbers,
//! clocks, sockets, threads and async.
#![forbid(unsafe_code)]

mod alert;
mod applicant;
mod call;
mod client;
mod congestion;
mod devices;
mod door;
mod error;
mod event;
mod fingerprint;
mod host;
mod identity;
pub mod limits;
mod link;
pub mod messages;
mod pace;
pub mod pairing;
mod planes;
mod port;
mod printable;
mod roaming;
mod skew;
mod stats;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod trust;
mod web;

pub use applicant::{Applicant, ApplicantEvent, PairError};
pub use client::ClientControl;
pub use devices::{DEVICES_FILE, Device, Devices, DevicesError, MeantError, now_s};
pub use error::{CertificateFault, ConnectError, ControlError, RejectReason, SessionEnd, Violation};
pub use event::{ClientEvent, HostEvent, Path, SessionId, Transmit};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use host::HostControl;
pub use identity::{Damage, IDENTITY_FILE, Identity, IdentityError, machine_name};
pub use limits::{HostLimits, PROTOCOL};
pub use messages::{
    Bye, ByeReason, Chroma, ClientStats, Codec, CompositorOffer, Depth, FallCount, Hello, HostStats, Mode,
    PendingDevices, PendingEntry, Reconfigure, Reconfigured, Refusal, RefusalCode, SourceNews,
    SpeedTestBegun, SpeedTestFailed, SpeedTestNews, SpeedTestResult, SpeedTestSeen, SpeedTestSent,
    StageSummary, StartSpeedTest, Weakest, Welcome,
};
pub use pairing::{ArmError, ArmedWindow, PendingDevice, Pin, PinError, TurnedAwayReason, WindowEnd, Wish};
pub use planes::{Plane, PlaneCounters};
pub use skew::SkewEstimate;
pub use stats::{HostCounters, LinkStats};
pub use trust::Trust;
