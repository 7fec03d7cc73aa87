//! Devices that wait for somebody's word, told to a client that may give it.
//!
//! Promises: bounded by the list's limit. Refuses: nothing that it can read; a number that names nobody any more
//! is the host's to skip.

use minicbor::{Decode, Encode};

use super::bounded;

/// All that wait now; an empty list when nobody does any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PendingDevices {
    /// Oldest first.
    #[cbor(n(0), with = "bounded::list")]
    pub devices: Vec<PendingEntry>,
}

/// One device that waits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PendingEntry {
    /// The request's number.
    #[n(0)]
    pub id: u64,
    /// What it calls itself.
    #[cbor(n(1), with = "bounded::name")]
    pub name: String,
    /// Its certificate's SHA-256.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub fingerprint: [u8; 32],
    /// For how long it still waits, in seconds.
    #[n(3)]
    pub left_s: u32,
}

/// A client's word about a device that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DecidePending {
    /// The request's number.
    #[n(0)]
    pub id: u64,
    /// Whether it shall be let in.
    #[n(1)]
    pub approve: bool,
}
