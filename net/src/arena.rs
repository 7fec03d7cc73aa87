//! The wire arena: the memory that an access unit's datagrams are written in and sent from.
//!
//! Promises: a lease is contiguous, starts on a cache line, and stays put until it is released; nothing is
//! allocated and no page faults after [`Arena::new`], but by the lease that finds a ring gone with loans of which nobody
//! will tell: it puts other pages below the arena and copies once what it holds; space returns in order of leasing, and
//! not before the kernel is done with what a [`Sender`](crate::Sender) lent it of that space, or has pages of its own.
//!
//! Refuses: to wait ([`Arena::lease`] says `None` when there is no room now) and to hand out the same bytes
//! twice: a [`Lease`] cannot be copied, and [`Arena::release`] takes it away.

use std::sync::Arc;

use crate::NetError;
use crate::flight::Flight;
use crate::ledger::Ledger;
use crate::limits::{ARENA_BYTES_MAX, LEASES_MAX, RENEWAL_PAUSE_MAX};
use crate::mapping::{Mapping, PageKind};

/// The right to a range of one arena's bytes. Not `Clone`: whoever holds it is the only one.
///
/// A lease that is dropped instead of released keeps its bytes, and those of all later ones, out of use until
/// the arena goes.
#[derive(Debug)]
#[must_use = "a lease that is not released jams its arena"]
pub struct Lease {
    /// The arena's address in memory: which arena this is of.
    arena: usize,
    serial: u64,
    start: usize,
    bytes: usize,
}

impl Lease {
    /// Bytes asked for. Never 0 unless 0 were asked.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether no bytes were asked for.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// One prefaulted region, leased as a FIFO ring, and lent from by one sender at a time.
#[derive(Debug)]
pub struct Arena {
    memory: Mapping,
    ledger: Ledger,
    capacity: usize,
    /// What is lent to the kernel.
    flight: Arc<Flight>,
    renewal: Renewal,
}

/// When other memory is asked for: at once, and where there was none, after twice as many leases each time.
#[derive(Debug, Default)]
struct Renewal {
    /// Leases to go by.
    left: u32,
    /// What `left` was after the last refusal.
    pause: u32,
}

impl Renewal {
    /// Whether this lease asks.
    fn is_due(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => true,
        }
    }

    /// There was none. Whether that is the first time in a row.
    fn handle_refusal(&mut self) -> bool {
        let is_first = self.pause == 0;
        self.pause = (2 * self.pause).clamp(1, RENEWAL_PAUSE_MAX);
        self.left = self.pause;
        is_first
    }
}

impl Arena {
    /// Maps and prefaults an arena of at least `bytes` (rounded up to whole pages).
    ///
    /// # Errors
    /// [`NetError::ArenaSize`] for no bytes or more than [`ARENA_BYTES_MAX`]; [`NetError::Map`] if the kernel
    /// has no memory.
    pub fn new(bytes: usize) -> Result<Self, NetError> {
        if bytes == 0 || bytes > ARENA_BYTES_MAX {
            return Err(NetError::ArenaSize { bytes, bytes_max: ARENA_BYTES_MAX });
        }
        let memory = Mapping::new(bytes)?;
        let capacity = memory.as_slice().len();
        let flight = Arc::new(Flight::new(memory.as_slice().as_ptr() as usize, capacity));
        let ledger = Ledger::new(capacity, LEASES_MAX);
        Ok(Self { memory, ledger, capacity, flight, renewal: Renewal::default() })
    }

    /// Leases `bytes` contiguous bytes. Their contents are whatever was there before.
    ///
    /// `None` if there is no such room now, or [`LEASES_MAX`] leases are out.
    pub fn lease(&mut self, bytes: usize) -> Option<Lease> {
        if let Some(orphaned) = self.flight.orphaned()
            && self.renewal.is_due()
        {
            self.replace_orphaned(orphaned);
        }
        let place = self.ledger.take(bytes, self.flight.settled())?;
        Some(Lease { arena: self.identity(), serial: place.serial, start: place.start, bytes })
    }

    /// The bytes of a lease.
    ///
    /// # Panics
    /// If the lease is of another arena.
    pub fn bytes(&self, lease: &Lease) -> &[u8] {
        self.assert_ours(lease);
        &self.memory.as_slice()[lease.start..lease.start + lease.bytes]
    }

    /// The bytes of a lease, to write.
    ///
    /// # Panics
    /// If the lease is of another arena.
    pub fn bytes_mut(&mut self, lease: &Lease) -> &mut [u8] {
        self.assert_ours(lease);
        &mut self.memory.as_mut_slice()[lease.start..lease.start + lease.bytes]
    }

    /// Takes a lease back. Any order is allowed; space returns once everything older is back, too, and once the
    /// kernel is done with it, of which the arena hears when a [`Sender`](crate::Sender) that was attached to it
    /// sends or settles.
    ///
    /// # Panics
    /// If the lease is of another arena.
    pub fn release(&mut self, lease: Lease) {
        self.assert_ours(&lease);
        self.ledger.give_back(lease.serial, self.flight.lent());
    }

    /// Bytes out, each lease rounded up to a cache line.
    pub fn leased_bytes(&self) -> usize {
        self.ledger.leased_bytes()
    }

    /// Bytes in all.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Which pages the arena got.
    pub fn pages(&self) -> PageKind {
        self.memory.pages()
    }

    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Takes other memory for all that the kernel may still read and will not tell of.
    fn replace_orphaned(&mut self, orphaned: u64) {
        match self.memory.renew() {
            Ok(()) => {
                // The old pages are the kernel's alone.
                self.flight.settle(orphaned);
                self.renewal = Renewal::default();
                tracing::info!("an arena has taken other memory for trains on loan that nobody tells of");
            }
            // Until there is some the place stays out of use.
            Err(cause) if self.renewal.handle_refusal() => {
                tracing::warn!(%cause, "an arena finds no other memory for trains on loan that nobody tells of");
            }
            Err(cause) => tracing::debug!(%cause, "an arena still finds no other memory"),
        }
    }

    fn identity(&self) -> usize {
        self.memory.as_slice().as_ptr() as usize
    }

    fn assert_ours(&self, lease: &Lease) {
        assert_eq!(lease.arena, self.identity(), "a lease is used with the arena it came from");
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // What the kernel still reads it has pinned; what is sent from now on is not the arena's.
        self.flight.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// What is written under a lease is there until its release, whatever happens to others.
        #[test]
        fn no_lease_disturbs_another(
            steps in prop::collection::vec((0_u8..4, 1_usize..6000, any::<prop::sample::Index>()), 1..200),
        ) {
            let mut arena = Arena::new(16 << 10).unwrap();
            let mut out: VecDeque<(Lease, u8)> = VecDeque::new();
            for (number, (kind, bytes, which)) in steps.into_iter().enumerate() {
                if kind < 2 {
                    if let Some(lease) = arena.lease(bytes) {
                        prop_assert_eq!(lease.len(), bytes);
                        arena.bytes_mut(&lease).fill(number as u8);
                        out.push_back((lease, number as u8));
                    } else {
                        prop_assert!(!out.is_empty(), "an empty arena holds what is below its capacity");
                    }
                } else if !out.is_empty() {
                    let index = if kind == 2 { 0 } else { which.index(out.len()) };
                    let (lease, _) = out.remove(index).unwrap();
                    arena.release(lease);
                }
                for (lease, value) in &out {
                    prop_assert!(arena.bytes(lease).iter().all(|byte| byte == value));
                }
            }
            for (lease, _) in out {
                arena.release(lease);
            }
            prop_assert_eq!(arena.leased_bytes(), 0);
            let all = arena.lease(arena.capacity()).unwrap();
            prop_assert_eq!(all.len(), arena.capacity());
            arena.release(all);
        }
    }

    #[test]
    fn sizes_out_of_bounds_are_errors() {
        for bytes in [0, ARENA_BYTES_MAX + 1, usize::MAX] {
            assert!(matches!(Arena::new(bytes), Err(NetError::ArenaSize { .. })), "{bytes}");
        }
    }

    #[test]
    fn more_leases_than_the_limit_are_refused() {
        let mut arena = Arena::new(LEASES_MAX * 128).unwrap();
        let leases: Vec<Lease> = (0..LEASES_MAX).map(|_| arena.lease(1).unwrap()).collect();
        assert!(arena.lease(1).is_none());
        for lease in leases {
            arena.release(lease);
        }
        let lease = arena.lease(1).unwrap();
        arena.release(lease);
    }

    #[test]
    fn what_the_kernel_still_reads_is_not_leased_again() {
        let mut arena = Arena::new(4096).unwrap();
        let all = arena.lease(arena.capacity()).unwrap();
        assert!(arena.flight().covers(arena.bytes(&all)));
        let (first, second) = (arena.flight().lend(), arena.flight().lend());
        arena.release(all);
        assert_eq!(arena.leased_bytes(), 0);
        for settled in [0, first] {
            arena.flight().settle(settled);
            assert!(arena.lease(1).is_none(), "{settled} of {second}");
        }
        arena.flight().settle(second);
        let again = arena.lease(arena.capacity()).unwrap();
        arena.release(again);
    }

    #[test]
    fn what_nobody_tells_of_is_leased_again_on_other_memory() {
        for bytes in [4096, 2 << 20] {
            let mut arena = Arena::new(bytes).unwrap();
            for round in 0..3 {
                let lent = arena.lease(arena.capacity() - 128).unwrap();
                let held = arena.lease(100).unwrap();
                arena.bytes_mut(&held).fill(round);
                arena.flight().lend();
                arena.release(lent);
                assert!(arena.lease(1).is_none(), "somebody may tell");
                arena.flight().orphan();
                let again = arena.lease(arena.capacity() - 128).unwrap();
                assert_eq!(arena.flight().orphaned(), None);
                arena.bytes_mut(&again).fill(0xFF);
                assert!(arena.bytes(&held).iter().all(|byte| *byte == round));
                arena.release(held);
                arena.release(again);
            }
        }
    }

    #[test]
    fn memory_that_was_refused_is_asked_for_ever_more_rarely() {
        let mut renewal = Renewal::default();
        let mut asked = Vec::new();
        for lease in 0..4 * RENEWAL_PAUSE_MAX {
            if renewal.is_due() {
                assert_eq!(renewal.handle_refusal(), lease == 0);
                asked.push(lease);
            }
        }
        assert_eq!(asked[..5], [0, 2, 5, 10, 19]);
        let pauses = asked.windows(2).map(|pair| pair[1] - pair[0] - 1);
        assert_eq!(pauses.max(), Some(RENEWAL_PAUSE_MAX));
    }

    #[test]
    #[should_panic(expected = "the arena it came from")]
    fn a_lease_of_another_arena_panics() {
        let mut one = Arena::new(4096).unwrap();
        let two = Arena::new(4096).unwrap();
        let lease = one.lease(64).unwrap();
        two.bytes(&lease);
    }
}
