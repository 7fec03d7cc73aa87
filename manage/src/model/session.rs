//! A session as the console shows it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Size and rate of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mode {
    /// Width, in pixels.
    #[schema(minimum = 16, maximum = 16_384)]
    pub width: u32,
    /// Height, in pixels.
    #[schema(minimum = 16, maximum = 16_384)]
    pub height: u32,
    /// Refresh rate, in thousandths of a hertz.
    #[schema(minimum = 1_000, maximum = 1_000_000)]
    pub refresh_mhz: u32,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its source is being made ready.
    #[default]
    Opening,
    /// It is welcomed, and has not said Start.
    Welcomed,
    /// Media flows.
    Streaming,
    /// It has ended; its last words are on the way.
    Ending,
}

/// One stage's latency over the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// The stage's name.
    pub stage: String,
    /// How many samples.
    pub count: u64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// 99.9th percentile, in microseconds.
    pub p999_us: u64,
    /// Largest, in microseconds.
    pub max_us: u64,
}

/// What a session has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Pictures that the source gave.
    pub pictures_captured: u64,
    /// Pictures shed before encode.
    pub pictures_shed: u64,
    /// Access units sent whole.
    pub aus_sent: u64,
    /// Pictures that the client has decoded.
    pub pictures_decoded: Option<u64>,
    /// Access units that the client never had.
    pub aus_lost: Option<u64>,
    /// Access units that came to the client after they were given up.
    pub aus_late: Option<u64>,
    /// Access units that came to the client and were thrown away there.
    pub aus_dropped_there: Option<u64>,
    /// Access units cut short at the host.
    pub aus_dropped: u64,
    /// IDRs among those sent.
    pub idrs_sent: u64,
    /// UDP payload bytes.
    pub wire_bytes: u64,
    /// Media datagrams.
    pub datagrams_sent: u64,
    /// Of these, those sent again.
    pub datagrams_resent: u64,
    /// Datagrams that a full send buffer dropped.
    pub packets_send_dropped: u64,
    /// Times that something lesser took the place of what was asked for.
    pub fallbacks: u64,
}

/// Bytes of pictures that the host's CPU has copied since the session's start, by where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Copied {
    /// Out of their producer's buffers.
    pub capture: u64,
    /// To make them the encoder's: a conversion's result, or an upload.
    pub import: u64,
    /// Out of the encoder's memory.
    pub slices: u64,
}

/// Something lesser that took the place of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fall {
    /// What was to be.
    pub from: String,
    /// What was there in its place.
    pub to: String,
    /// Why, in a word or two joined by dashes.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// One client's session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its number, counted from the program's start.
    pub id: u64,
    /// What the client calls itself.
    pub client: String,
    /// The name that its device was paired by; `null` for one that is not paired.
    pub device: Option<String>,
    /// The client's fingerprint, 64 hex digits.
    pub fingerprint: String,
    /// Where it is.
    pub remote: String,
    /// How far it has come.
    pub state: SessionState,
    /// For how long it has been there, in seconds.
    pub age_s: u64,
    /// The picture's size and rate.
    pub mode: Mode,
    /// What is streamed.
    pub source: String,
    /// What encodes it.
    pub encoder: String,
    /// What seals it.
    pub cipher: String,
    /// The wire's rate agreed on, in kbit/s.
    pub bitrate_kbps: u32,
    /// The wire's rate that the encoder is asked for, in kbit/s: what was agreed on, or less where the way or the client
    /// bear no more. None before the first figures.
    pub target_kbps: Option<u64>,
    /// Why that moved last: asked, delay, loss, decode, climb or futile. None before the first figures.
    pub target_reason: Option<String>,
    /// The wire's rate over the last second, in kbit/s; `null`, as each figure here, where none was measured lately.
    pub wire_kbps: Option<u64>,
    /// Pictures a second, over the last second.
    pub pictures_per_s: Option<f64>,
    /// Pictures that the client decoded a second, over its last second and by its clock.
    pub decoded_per_s: Option<f64>,
    /// The thousandths of the datagrams that did not come, lately, before parity and resends.
    pub loss_per_mille: Option<f64>,
    /// The smoothed round trip, in microseconds.
    pub rtt_us: Option<u64>,
    /// The link's rate as far as it is proven, in kbit/s.
    pub link_kbps: Option<u64>,
    /// Each of the host's stages.
    pub stages: Vec<Latency>,
    /// Each of the client's stages, and the sums across both ends, as the client tells them.
    pub client_stages: Vec<Latency>,
    /// What it has counted.
    pub counts: Counts,
    /// What the host's CPU has copied; all zeroes where pictures stay in a GPU's memory until they are encoded.
    pub copied_by_cpu: Copied,
    /// Each kind of fallback; their sum is in `counts`.
    pub falls: Vec<Fall>,
}

/// A wish to change a running session; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconfigure {
    /// The picture's size and rate.
    pub mode: Option<Mode>,
    /// The wire's rate, in kbit/s: 500 to 8,000,000.
    #[schema(minimum = 500, maximum = 8_000_000)]
    pub bitrate_kbps: Option<u32>,
}
