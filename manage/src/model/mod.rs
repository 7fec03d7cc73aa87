//! What the management API says and takes: plain values, which the host fills in and the console draws.
//!
//! Promises: every value is bounded by whoever fills it in (`limits`); a field that nobody measured is `null` and
//! never 0; units stand in the names. Refuses: secrets. A PIN is here, because showing it is what it is for.

mod device;
mod diagnosis;
mod pairing;
mod session;
mod settings;
mod speed;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use device::{Device, DeviceName, PendingDevice};
pub use diagnosis::{Check, CheckState, Diagnosis};
pub use pairing::{ArmPairing, Pairing, PairingState};
pub use session::{Copied, Counts, Fall, Latency, Mode, Reconfigure, Session, SessionState};
pub use settings::{Origin, Setting, SettingChange};
pub use speed::{SpeedTest, SpeedTestRequest, SpeedTestResult, WeakestLink};

/// The host at one moment: all that the console's live page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The host's own name.
    pub host_name: String,
    /// The program's version.
    pub version: String,
    /// The SHA-256 fingerprint of the host's certificate, 64 hex digits.
    pub fingerprint: String,
    /// Whether any client is let in.
    pub open: bool,
    /// The UDP port of the sessions.
    pub port: u16,
    /// For how long the host has run, in seconds.
    pub uptime_s: u64,
    /// When this was so, in milliseconds since 1970.
    pub at_ms: u64,
    /// Each session that lives.
    pub sessions: Vec<Session>,
    /// Whether a device can pair now.
    pub pairing: Pairing,
    /// Devices that wait for a person's word.
    pub pending: Vec<PendingDevice>,
    /// The speed test that runs, or the last one.
    pub speed_test: Option<SpeedTest>,
}

/// A compositor that could be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Compositor {
    /// Its name, by which a client asks for it.
    pub name: String,
    /// Its version, where it is installed.
    pub version: Option<String>,
    /// Why it cannot be used; `null` where it can.
    pub unusable: Option<String>,
}

/// That the program answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`: who cannot say so does not answer.
    pub status: String,
    /// The program's version.
    pub version: String,
}

/// One line of the program's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number, counted from the program's start: ask for those after it.
    pub number: u64,
    /// When it was said, in milliseconds since 1970.
    pub at_ms: u64,
    /// `ERROR`, `WARN`, `INFO` or `DEBUG`.
    pub level: String,
    /// Which part of the program says it.
    pub target: String,
    /// What it says, its fields included.
    pub text: String,
}

/// A folder of `PUNKTFUNK_PERF` logs, those of each session in a folder of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// Its folder's name.
    pub name: String,
    /// Where that is on the host.
    pub path: String,
    /// How many sessions it has: `punktfunk-perf report` draws each of its folders `session-1` and on.
    pub sessions: u32,
    /// The bytes of its logs.
    pub bytes: u64,
    /// Whether it is being written.
    pub running: bool,
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong, and whose fault it is.
    pub error: String,
    /// What to do about it; empty where nothing can be done.
    pub remedy: String,
}
