//! What sealing and opening refuse.

use crate::backend::{BACKEND_VARIABLE, Backend};
use crate::limits::SEQUENCES_PER_EPOCH_MAX;
use crate::preference::CIPHER_VARIABLE;

/// Why no sequence could be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The key has sealed all that it may and the receiver has not reported that it opened its epoch: stop sending and
    /// ask on the control stream. Goes away with the report.
    #[error(
        "key epoch {epoch} has sealed {sequences} datagrams, all that it may, and the receiver has not reported opening it"
    )]
    KeyExhausted {
        /// The epoch whose key is used up.
        epoch: u32,
        /// The datagrams that it has sealed.
        sequences: u32,
    },
}

/// [`BACKEND_VARIABLE`] or [`CIPHER_VARIABLE`] asks for what is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A name that none of [`Backend::ALL`] has.
    #[error(
        "{BACKEND_VARIABLE}={came:?} names nothing to seal with: choose aws-lc, ring, vaes512 or vaes256, or leave it unset to take what measures fastest"
    )]
    Unknown {
        /// What came.
        came: String,
    },
    /// This CPU lacks its instructions.
    #[error(
        "{BACKEND_VARIABLE}={backend} needs instructions that this CPU lacks (VAES, VPCLMULQDQ, and AVX-512 or AVX2): choose another of aws-lc, ring, vaes512 and vaes256, or leave it unset"
    )]
    Unsupported {
        /// What was asked for.
        backend: Backend,
    },
    /// [`CIPHER_VARIABLE`] names no cipher.
    #[error(
        "{CIPHER_VARIABLE}={came:?} names no cipher: choose aes or chacha, or leave it unset to take what both ends' CPUs do best"
    )]
    CipherUnknown {
        /// What came.
        came: String,
    },
}

/// Why a datagram was not opened. The output may have been scribbled on and is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The two bits name no epoch that can be opened now: it is older than the grace, or not started by any rule.
    #[error("epoch bits {epoch_low} while epoch {current} is current: no key to open it with")]
    UnknownEpoch {
        /// The epoch bits of the datagram.
        epoch_low: u8,
        /// The receiver's current epoch.
        current: u32,
    },
    /// The header claims a sequence that no epoch has: malformed, whatever its tag.
    #[error("sequence {sequence} is not below {SEQUENCES_PER_EPOCH_MAX}, where every epoch has ended")]
    SequenceTooHigh {
        /// The sequence that the header claims.
        sequence: u32,
    },
    /// The tag is wrong, or the datagram is too short to have one: forged, altered, or of another session.
    #[error("the tag of the datagram with sequence {sequence} is wrong")]
    BadTag {
        /// The sequence that the header claims.
        sequence: u32,
    },
    /// The tag is good and the sequence was opened before.
    #[error("sequence {sequence} was opened before")]
    Replayed {
        /// The datagram's sequence.
        sequence: u32,
    },
    /// The tag is good and the sequence is below the replay window, which cannot say whether it was opened before.
    #[error("sequence {sequence} is below the replay window, whose highest is {highest}")]
    TooOld {
        /// The datagram's sequence.
        sequence: u32,
        /// The highest sequence opened in its epoch.
        highest: u32,
    },
}
