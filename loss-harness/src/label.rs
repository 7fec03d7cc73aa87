//! What the harness calls a datagram, beside its bytes: which shard of which block of which access unit it is.
//!
//! The label travels on the simulated link and is shown to the oracle only: the receiver under test sees bytes.

/// One shard of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Access-unit number.
    pub au: u32,
    /// Number of the block in its AU.
    pub block: u16,
    /// Number of the shard in its block.
    pub shard: u16,
    /// Whether it was sent before.
    pub again: bool,
}
