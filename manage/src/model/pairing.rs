//! The window in which a device can pair.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the window is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingState {
    /// Nobody can pair.
    #[default]
    Closed,
    /// A device that knows the PIN can.
    Armed,
    /// A device has just paired; the window is closed.
    Paired,
    /// A device knew the PIN, and the host could not let it in; the window is closed.
    Failed,
    /// Too many wrong PINs closed it.
    Disarmed,
    /// Nobody paired in time.
    Expired,
}

/// The pairing window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pairing {
    /// Whether it is open.
    pub state: PairingState,
    /// The PIN to type at the device, while it is open.
    pub pin: Option<String>,
    /// For how much longer it is open, in seconds.
    pub left_s: Option<u64>,
    /// Wrong PINs in this window.
    pub failures: u32,
    /// Who has just paired.
    pub paired: Option<String>,
    /// Why the device that knew the PIN could not be let in.
    pub fault: Option<String>,
    /// Before when no new window can be opened, in seconds from now: too many wrong PINs were tried.
    pub wait_s: Option<u64>,
}

/// A wish to open the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmPairing {
    /// For how long, in seconds: 10 to 120, which it is by default.
    #[schema(minimum = 10, maximum = 120)]
    pub seconds: Option<u32>,
}
