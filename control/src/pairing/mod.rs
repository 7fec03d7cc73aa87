//! Pairing: how a host and a client that do not know each other come to pin each other's certificates.
//!
//! *What it is.* The PIN and its window, the exchange that proves it, the devices that wait for somebody's word, and
//! the course of a stranger's visit at both ends: all without IO. A stranger may stay on this protocol's ALPN only,
//! and do one of two things there: prove the PIN that the host shows, or knock and wait.
//!
//! *What it promises.* Nobody is written down before the PIN was proven in both directions or somebody has said
//! Yes; the client is written down at the host first, and the host at the client when it has heard so. Whoever comes
//! while no PIN is armed is answered like anybody else.
//!
//! *What it refuses.* Messages out of turn, messages of another connection, more guesses than three, and more devices
//! that wait than eight.

mod errand;
mod exchange;
mod messages;
mod pending;
mod pin;
mod replay;
#[cfg(test)]
mod tests;
mod visit;
mod window;

pub(crate) use errand::{Errand, Progress};
pub(crate) use exchange::{Binding, EXPORTER_LABEL};
pub(crate) use visit::{Desk, Outcome, Visit};

pub use errand::Wish;
pub use exchange::{CONFIRMATION_BYTES, SHARE_BYTES};
pub use messages::{Admitted, Answer, Ask, Confirm, Held, Knock, PairMessage, TurnedAway, TurnedAwayReason};
pub use pending::PendingDevice;
pub use pin::{PIN_DIGITS, Pin, PinError};
pub use replay::{ReplayedRun, replayed_run};
pub use window::{ArmError, ArmedWindow, WindowEnd};

/// What a stranger asks of TLS.
pub const PAIR_ALPN: &[u8] = b"punktfunk-pair/1";
