//! Every bound of sealing and opening, with its reason.

use std::time::Duration;

/// Bytes of the tag behind each ciphertext: the full tag of both ciphers, none cut.
pub const TAG_BYTES: usize = 16;

/// Bytes of a nonce, of both ciphers.
pub(crate) const NONCE_BYTES: usize = 12;

/// Bytes of a header that is authenticated beside its datagram: the media header's 24, and room for one more than twice
/// as long. One vector of the widest kernel.
pub const AAD_BYTES_MAX: usize = 64;

/// Bytes of a text, padding included: more than a UDP datagram carries, and far below the 2^36 at which the counter of
/// AES-GCM would come round.
pub const TEXT_BYTES_MAX: usize = 1 << 16;

/// Bytes of the session's secret: what the TLS exporter is asked for, one SHA-256 output.
pub const SECRET_BYTES: usize = 32;

/// Datagrams under one key: the confidentiality limit of AES-GCM in RFC 9001 section 6.6, kept for both ciphers.
pub const SEQUENCES_PER_EPOCH_MAX: u32 = 1 << 23;

/// Age at which an epoch ends though it has sequences left: what a stolen key would show stays under ten minutes.
pub const EPOCH_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// When an epoch is due to end: the constants above, or sooner, which is for a test that has no ten minutes. The
/// receiver follows whenever the sender goes on, so the two need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochLimits {
    sequences_max: u32,
    age_max: Duration,
}

impl EpochLimits {
    /// An epoch of at most so many datagrams and of at most that age; one datagram at least, and never more of either
    /// than the constants allow.
    #[must_use]
    pub fn shorter(sequences_max: u32, age_max: Duration) -> EpochLimits {
        EpochLimits {
            sequences_max: sequences_max.clamp(1, SEQUENCES_PER_EPOCH_MAX),
            age_max: age_max.min(EPOCH_AGE_MAX),
        }
    }

    /// Datagrams of an epoch.
    #[must_use]
    pub fn sequences_max(&self) -> u32 {
        self.sequences_max
    }

    /// The age at which it is due to end.
    #[must_use]
    pub fn age_max(&self) -> Duration {
        self.age_max
    }
}

impl Default for EpochLimits {
    fn default() -> Self {
        EpochLimits { sequences_max: SEQUENCES_PER_EPOCH_MAX, age_max: EPOCH_AGE_MAX }
    }
}

/// How long the receiver still opens epoch n − 1 after the first datagram of n: far above the reordering and resends of
/// a LAN, far below an epoch.
pub const PREVIOUS_EPOCH_GRACE: Duration = Duration::from_secs(2);

/// The usual replay window, sequences: twice the datagrams of all access units leased for resend, at any rate that is
/// negotiated. 8 KiB.
pub const REPLAY_WINDOW_DEFAULT: usize = 65_536;

/// The least replay window, sequences: one word of its bit map.
pub const REPLAY_WINDOW_MIN: usize = 64;

/// The largest replay window, sequences: a whole epoch. 1 MiB.
pub const REPLAY_WINDOW_MAX: usize = SEQUENCES_PER_EPOCH_MAX as usize;

const _: () = assert!(REPLAY_WINDOW_DEFAULT.is_power_of_two());
const _: () = assert!(REPLAY_WINDOW_MIN.is_power_of_two() && REPLAY_WINDOW_MAX.is_power_of_two());
const _: () =
    assert!(REPLAY_WINDOW_MIN <= REPLAY_WINDOW_DEFAULT && REPLAY_WINDOW_DEFAULT <= REPLAY_WINDOW_MAX);
