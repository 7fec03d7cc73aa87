//! AES-128-GCM of our own, for the CPUs that do two or four AES blocks at once: NIST SP 800-38D for 12-byte nonces.
//!
//! *What it is.* [`Gcm`]: a key expanded into round keys and into the powers of the hash key, and one pass over the
//! bytes that encrypts, hashes and moves them from one buffer into another. A datagram of Ethernet's usual MTU is shorter
//! than the table of powers, so that its hash is one sum of products with a single reduction at the end; no library keeps
//! so many powers, since it cannot know that most of its messages are that short. [`Wide`] and [`Narrow`] are the vectors that it uses.
//!
//! *What it promises.* The bytes of the libraries and of the twin in sight (`tests/vectors.rs`, `tests/gcm.rs`). No branch
//! and no address depends on a key or on text: the instructions are AES rounds, carry-less products and shuffles. The
//! expanded key is wiped on drop; registers and stack that a pass used are not.
//!
//! *What it refuses.* A CPU without the instructions ([`Gcm::is_supported`]), and headers of more than
//! [`AAD_BYTES_MAX`](crate::AAD_BYTES_MAX) bytes. Texts are bounded by its callers.

#[cfg(target_arch = "x86_64")]
mod key;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod pass;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Gcm, Narrow, Wide};

#[cfg(not(target_arch = "x86_64"))]
mod nowhere;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use nowhere::{Gcm, Narrow, Wide};
