//! What the link's rate is, and why it has changed.

/// Why the rate has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateReason {
    /// A trial was no later than its rate.
    Proven,
    /// AUs came later than the rate explains.
    Late,
    /// Datagrams were lost while they queued.
    Lost,
    /// Datagrams were lost and nothing was seen to queue: the burst is made small.
    BurstLost,
    /// No burst was lost for a while: it is doubled.
    BurstHeld,
    /// Neither a smaller burst nor a lower rate lost fewer datagrams: both are taken back.
    Air,
    /// Another wire rate was agreed on, which needs more.
    Agreed,
}

/// What an AU, or the next train of it, is paced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The rate, in kbit/s.
    pub rate_kbps: u32,
    /// What may leave at once, in bytes.
    pub burst_bytes: usize,
}

/// One change, to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateChange {
    /// Why.
    pub reason: RateReason,
    /// What held before.
    pub before: Pace,
    /// What holds now.
    pub now: Pace,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkRateCounters {
    /// Trials that proved their rate.
    pub proven: u64,
    /// Times that AUs came too late for the rate and lowered it or ended a ramp.
    pub late: u64,
    /// Times that losses lowered the rate.
    pub lost: u64,
    /// Times that the burst was made smaller.
    pub burst_lost: u64,
}
