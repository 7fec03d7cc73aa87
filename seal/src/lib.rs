//! AEAD, nonces, key epochs and the replay window of the media planes.
//!
//! *What it is.* A [`Sealer`] and an [`Opener`] for one plane in one direction of one session. Both start from the
//! session's [`Secret`] (32 bytes of the TLS exporter) through [`PlaneKeys`]; the keys change by themselves, epoch by
//! epoch, and nothing about a change is said on the wire but two bits of the epoch's number.
//!
//! *What it promises.* No nonce is used twice: a sequence is consumed by [`Sealer::reserve`], sent or not. Nothing in
//! the receiver moves, neither window nor epoch, before a tag was found good. A datagram allocates nothing; an epoch's
//! change derives a key, which does, and so does a thread's first wrong tag, see [`Opener::prepare_thread`]. Expanded
//! keys are wiped when they are dropped; what a pass keeps in registers and on its stack is not.
//!
//! Two libraries and a kernel of our own can do the work, see [`Backend`]; [`Backends`] measures which does it fastest
//! on this CPU. Their bytes are the same. Which cipher, [`CipherPreference`] says.
//!
//! *What it refuses.* To seal a datagram past [`SEQUENCES_PER_EPOCH_MAX`] under one key; to open a forged, altered,
//! repeated or too old datagram, or one of an epoch other than n, n + 1, and for [`PREVIOUS_EPOCH_GRACE`] n − 1; and a
//! header of more than [`AAD_BYTES_MAX`] or a text of more than [`TEXT_BYTES_MAX`] bytes.
//!
//! # Keys and nonces, byte for byte
//! HKDF is RFC 5869 with SHA-256; integers are little endian, like the rest of the wire.
//! ```text
//! PRK   = HKDF-Extract(salt = "punktfunk/1 media", IKM = the session's secret, 32 bytes)
//! OKM   = HKDF-Expand(PRK, info, L = key length + 12)
//! info  = "punktfunk/1 epoch" ‖ cipher u8 ‖ direction u8 ‖ plane u8 ‖ epoch u32                  24 bytes
//! key   = OKM[..key length]                      16 bytes AES-128-GCM, 32 bytes ChaCha20-Poly1305
//! static nonce = OKM[key length..]               12 bytes
//! nonce = static nonce xor (0u32 ‖ epoch u32 ‖ sequence u32)
//! cipher: 1 AES-128-GCM, 2 ChaCha20-Poly1305   direction: 1 host to client, 2 client to host   plane: 0 video, 1 probe
//! ```
//! The first sequence of an epoch is 0, the first epoch is 0. Test vector (`tests/vectors.rs` has more): secret
//! 00 01 … 1f, AES-128-GCM, host to client, video, epoch 0:
//! ```text
//! key 47d74bb36ca69c6cf8c6881f6dfbae13   static nonce 551302f8386d2ac5de43475c
//! sequence 1, AAD "header", plaintext "shard", no padding, sealed to
//!     125b6adf85 38866d8a04f080fbb3ff5c0d92349beb
//! ```
#![deny(unsafe_code)]

mod backend;
mod choice;
mod error;
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "vector instructions, which seal straight from buffer to buffer")
)]
mod gcm;
mod keys;
mod limits;
mod opener;
mod preference;
mod replay;
mod sealer;

pub use backend::{BACKEND_VARIABLE, Backend};
pub use choice::{Backends, Figures};
pub use error::{BackendError, OpenError, SealError};
pub use keys::{Cipher, Direction, Plane, PlaneKeys, Secret};
pub use limits::{
    AAD_BYTES_MAX, EPOCH_AGE_MAX, EpochLimits, PREVIOUS_EPOCH_GRACE, REPLAY_WINDOW_DEFAULT,
    REPLAY_WINDOW_MAX, REPLAY_WINDOW_MIN, SECRET_BYTES, SEQUENCES_PER_EPOCH_MAX, TAG_BYTES, TEXT_BYTES_MAX,
};
pub use opener::Opener;
pub use preference::{CIPHER_VARIABLE, CipherPreference, CipherReason};
pub use replay::{ReplayWindow, Verdict};
pub use sealer::{Sealer, Ticket};
