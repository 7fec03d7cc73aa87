//! Devices that may connect, and those that ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A paired device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its certificate's fingerprint, 64 hex digits.
    pub fingerprint: String,
    /// Its name.
    pub name: String,
    /// When it was paired, in seconds since 1970; `null` for one that the command line trusts.
    pub paired_at_s: Option<u64>,
    /// When it last had a session, in seconds since 1970.
    pub last_seen_at_s: Option<u64>,
    /// Whether it has a session now.
    pub connected: bool,
}

/// A device that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingDevice {
    /// The request's number.
    pub id: u64,
    /// The name that the device gives itself.
    pub name: String,
    /// Its certificate's fingerprint, 64 hex digits.
    pub fingerprint: String,
    /// Where it is.
    pub remote: String,
    /// When it asked, in seconds since 1970.
    pub requested_at_s: u64,
    /// For how much longer it waits, in seconds.
    pub left_s: u64,
}

/// A device's new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceName {
    /// 1 to 64 printable characters, one of them no space.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
}
