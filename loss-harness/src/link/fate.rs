//! What becomes of a datagram, and the count of it by cause.
//!
//! Promises that every datagram sent is in the counts once, as gone for one cause or as one copy or two.

/// What became of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// Copies that arrive as they were sent.
    pub intact: u8,
    /// Copies that arrive with a bit flipped.
    pub corrupted: u8,
    /// What ended it, if nothing arrives.
    pub gone: Option<Gone>,
}

/// What ends a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It is longer than the path's MTU.
    Mtu,
    /// The queue before the narrow link was full.
    Queue,
    /// The link was dark.
    Blackout,
    /// A trace said so.
    Trace,
    /// Independent loss.
    Loss,
    /// A burst of loss.
    Burst,
}

/// Fates, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FateCounts {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Of which were longer than the MTU.
    pub over_mtu: u64,
    /// Of which the full queue took.
    pub dropped_by_queue: u64,
    /// Of which a blackout took.
    pub lost_in_blackouts: u64,
    /// Of which a trace took.
    pub lost_by_trace: u64,
    /// Of which independent loss took.
    pub lost: u64,
    /// Of which a burst took.
    pub lost_in_bursts: u64,
    /// Copies with a bit flipped.
    pub corrupted: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Copies that have arrived.
    pub arrived: u64,
}

impl FateCounts {
    /// Datagrams of which nothing arrives, whatever ended them.
    pub const fn gone(&self) -> u64 {
        self.over_mtu
            + self.dropped_by_queue
            + self.lost_in_blackouts
            + self.lost_by_trace
            + self.lost
            + self.lost_in_bursts
    }

    /// Whether nothing is on its way and nothing went astray: what was sent and doubled has arrived or is gone.
    pub const fn are_conserved(&self) -> bool {
        self.datagrams + self.duplicated == self.arrived + self.gone()
    }

    pub(super) fn add(&mut self, fate: Fate) {
        self.datagrams += 1;
        self.corrupted += u64::from(fate.corrupted);
        self.duplicated += u64::from(fate.intact + fate.corrupted == 2);
        let Some(gone) = fate.gone else { return };
        let count = match gone {
            Gone::Mtu => &mut self.over_mtu,
            Gone::Queue => &mut self.dropped_by_queue,
            Gone::Blackout => &mut self.lost_in_blackouts,
            Gone::Trace => &mut self.lost_by_trace,
            Gone::Loss => &mut self.lost,
            Gone::Burst => &mut self.lost_in_bursts,
        };
        *count += 1;
    }
}
