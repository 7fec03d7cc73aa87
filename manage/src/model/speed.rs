//! The speed test.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A wish for a speed test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeedTestRequest {
    /// Which session's path is tested.
    pub session: u64,
    /// The wire's rate to try, in kbit/s: 500 to 10,000,000.
    #[schema(minimum = 500, maximum = 10_000_000)]
    pub target_kbps: u32,
    /// For how long, in milliseconds: 200 to 10,000.
    #[schema(minimum = 200, maximum = 10_000)]
    pub duration_ms: u32,
}

/// What holds the rate down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeakestLink {
    /// Nothing: the target was reached.
    None,
    /// The host cannot make or send more.
    Host,
    /// The network between.
    Network,
    /// The client's receive buffer ran over.
    ClientBuffer,
}

/// What a speed test found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpeedTestResult {
    /// What was asked for, in kbit/s.
    pub target_kbps: u32,
    /// What left the host, in kbit/s on the wire.
    pub sent_kbps: u64,
    /// What came, in kbit/s on the wire.
    pub received_kbps: u64,
    /// What came, without headers and parity, in kbit/s.
    pub goodput_kbps: u64,
    /// Thousandths of the datagrams that did not come.
    pub loss_per_mille: f64,
    /// The same by where in an access unit they stood: tenths, the first first.
    pub loss_by_position_per_mille: Vec<f64>,
    /// One-way delay above the least, median, in microseconds.
    pub delay_p50_us: u64,
    /// The same, 99th percentile.
    pub delay_p99_us: u64,
    /// The bitrate to ask for, in kbit/s.
    pub recommended_kbps: u32,
    /// What held it down.
    pub weakest: WeakestLink,
    /// The same in words.
    pub verdict: String,
}

/// The speed test that runs, or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpeedTest {
    /// What was asked for.
    pub request: SpeedTestRequest,
    /// How far it has come, 0 to 1.
    pub progress: f64,
    /// What it found, once it is over.
    pub result: Option<SpeedTestResult>,
    /// Why it ended without one.
    pub failure: Option<String>,
}
