//! The memory that received blocks are placed in, and the pool that it comes from.
//!
//! A [`Span`] holds a block's k data shards back to back and its m parity shards behind them; it is handed on by
//! ownership and given back. Sizes are rounded up to powers of two, one free list each.
//!
//! The pool promises never to hold more than its byte budget, spans in use and handed on counted in, and to
//! allocate nothing once it is warm. What blocks need is always to be had, as long as their classes' sizes and the part of
//! the budget that may be borrowed fit it together: free memory of whatever size makes room. Reused memory is not zeroed: a
//! block is handed on only when each of its data bytes was written. It refuses a span when the budget is spent.

use punktfunk_fec::ShardSet;

use crate::limits::AUS_UNDER_WAY;

/// Smallest span: a page.
pub(crate) const CLASS_BYTES_MIN: usize = 4_096;
const CLASSES: usize = 20;
/// A free span of up to four times the class is taken before memory is asked for.
const CLASSES_BORROWED: usize = 2;
/// What such spans may be larger than their blocks' classes, all together: this part of the budget.
const BORROWED_PART: u64 = AUS_UNDER_WAY as u64 + 1;

/// The bytes of one received block.
#[derive(Debug)]
pub struct Span {
    bytes: Box<[u8]>,
    payload_bytes: usize,
    /// Bytes of it above its block's class.
    borrowed_bytes: u64,
}

impl Span {
    /// The whole of it, parity and rounding included.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn set_payload_bytes(&mut self, payload_bytes: usize) {
        self.payload_bytes = payload_bytes;
    }
}

impl AsRef<[u8]> for Span {
    /// The block's payload, without padding and parity.
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.payload_bytes]
    }
}

/// What a block that is being filled needs: a span, and the set of its shards that are there.
#[derive(Debug)]
pub(crate) struct BlockMemory {
    pub(crate) spans: SpanPool,
    sets: Vec<ShardSet>,
    sets_made: usize,
    shards_max: usize,
}

impl BlockMemory {
    pub(crate) fn new(budget_bytes: u64, shards_max: usize) -> Self {
        Self { spans: SpanPool::new(budget_bytes), sets: Vec::new(), sets_made: 0, shards_max }
    }

    /// Makes `count` blocks' worth of memory of at least `bytes` each, its pages touched, as far as the budget goes.
    pub(crate) fn warm(&mut self, bytes: usize, count: usize) {
        self.spans.warm(bytes, count);
        while self.sets_made < count {
            self.sets_made += 1;
            self.sets.push(ShardSet::with_capacity(self.shards_max));
        }
    }

    /// A span of at least `bytes` and an empty set; `None` when the budget is spent.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<(Span, ShardSet)> {
        let span = self.spans.take(bytes)?;
        let set = self.sets.pop().unwrap_or_else(|| {
            self.sets_made += 1;
            self.sets.reserve(self.sets_made);
            ShardSet::with_capacity(self.shards_max)
        });
        Some((span, set))
    }

    pub(crate) fn put_set(&mut self, mut set: ShardSet) {
        set.clear();
        self.sets.push(set);
    }
}

/// Spans of each size class, free and taken.
#[derive(Debug)]
pub(crate) struct SpanPool {
    classes: [Class; CLASSES],
    budget_bytes: u64,
    held_bytes: u64,
    borrowed_bytes: u64,
    allocated: u64,
    taken: usize,
}

#[derive(Debug, Default)]
struct Class {
    free: Vec<Box<[u8]>>,
    /// Free and taken together; `free` has room for all of them.
    spans: usize,
}

impl SpanPool {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let (held_bytes, borrowed_bytes) = (0, 0);
        Self { classes: Default::default(), budget_bytes, held_bytes, borrowed_bytes, allocated: 0, taken: 0 }
    }

    /// Makes `count` free spans of at least `bytes`, their pages touched, as far as the budget goes.
    fn warm(&mut self, bytes: usize, count: usize) {
        let Some(index) = class_of(bytes) else { return };
        let bytes = CLASS_BYTES_MIN << index;
        self.classes[index].free.reserve(count);
        for _ in 0..count {
            if self.held_bytes + bytes as u64 > self.budget_bytes {
                return;
            }
            let class = &mut self.classes[index];
            class.spans += 1;
            class.free.push(touched(bytes));
            self.held_bytes += bytes as u64;
            self.allocated += 1;
        }
    }

    /// A span of at least `bytes`, with whatever an earlier block left in it; `None` when the budget is spent.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Span> {
        let index = class_of(bytes)?;
        let bytes = match self.classes[index].free.pop().or_else(|| self.borrow(index)) {
            Some(bytes) => bytes,
            None => self.grow(index)?,
        };
        self.taken += 1;
        let borrowed_bytes = (bytes.len() - (CLASS_BYTES_MIN << index)) as u64;
        self.borrowed_bytes += borrowed_bytes;
        Some(Span { bytes, payload_bytes: 0, borrowed_bytes })
    }

    /// A free span of a larger class, as far as that leaves enough for all others.
    fn borrow(&mut self, index: usize) -> Option<Box<[u8]>> {
        let classes = self.classes.iter_mut().enumerate().skip(index + 1).take(CLASSES_BORROWED);
        let (at, class) = classes.into_iter().find(|(_, class)| !class.free.is_empty())?;
        let more = (CLASS_BYTES_MIN << at) - (CLASS_BYTES_MIN << index);
        let may = self.borrowed_bytes + more as u64 <= self.budget_bytes / BORROWED_PART;
        if may { class.free.pop() } else { None }
    }

    /// Takes a span back.
    pub(crate) fn put(&mut self, span: Span) {
        self.taken = self.taken.saturating_sub(1);
        self.borrowed_bytes = self.borrowed_bytes.saturating_sub(span.borrowed_bytes);
        // A span that is not of a class cannot come from this pool; dropping it is the safe answer.
        if let Some(class) = class_of(span.bytes.len()).map(|index| &mut self.classes[index])
            && class.free.len() < class.spans
        {
            class.free.push(span.bytes);
        }
    }

    /// Spans taken and not yet back.
    pub(crate) const fn taken(&self) -> usize {
        self.taken
    }

    pub(crate) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(crate) const fn allocated(&self) -> u64 {
        self.allocated
    }

    fn grow(&mut self, index: usize) -> Option<Box<[u8]>> {
        let bytes = CLASS_BYTES_MIN << index;
        while self.held_bytes + bytes as u64 > self.budget_bytes {
            self.free_one()?;
        }
        let class = &mut self.classes[index];
        class.spans += 1;
        let room = class.spans - class.free.len();
        class.free.reserve(room);
        self.held_bytes += bytes as u64;
        self.allocated += 1;
        Some(touched(bytes))
    }

    /// Gives the system back a free span, of the largest class that has one.
    fn free_one(&mut self) -> Option<()> {
        let classes = self.classes.iter_mut().enumerate();
        let (at, class) = classes.rev().find(|(_, class)| !class.free.is_empty())?;
        class.free.pop();
        class.spans -= 1;
        self.held_bytes -= (CLASS_BYTES_MIN << at) as u64;
        Some(())
    }
}

/// New memory, each page of it written once: the kernel lends zeroed memory at the first write only, and one pass here
/// is cheaper than a fault with each datagram.
fn touched(bytes: usize) -> Box<[u8]> {
    let mut span = vec![0; bytes].into_boxed_slice();
    span.iter_mut().step_by(CLASS_BYTES_MIN).for_each(|byte| *byte = std::hint::black_box(0));
    span
}

/// The class whose spans hold `bytes`, or `None` when there is none so large.
fn class_of(bytes: usize) -> Option<usize> {
    let classes = bytes.max(CLASS_BYTES_MIN).checked_next_power_of_two()? / CLASS_BYTES_MIN;
    let index = classes.trailing_zeros() as usize;
    (index < CLASSES).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two_from_a_page_on() {
        assert_eq!(class_of(0), Some(0));
        assert_eq!(class_of(4096), Some(0));
        assert_eq!(class_of(4097), Some(1));
        assert_eq!(class_of(1 << 20), Some(8));
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn spans_are_reused_and_the_budget_holds() {
        let mut pool = SpanPool::new(16_384);
        let first = pool.take(8_000).unwrap();
        let second = pool.take(8_192).unwrap();
        assert!(pool.take(1).is_none(), "the budget is spent");
        pool.put(first);
        let third = pool.take(5_000).unwrap();
        assert_eq!((pool.allocated(), pool.taken()), (2, 2));
        pool.put(second);
        pool.put(third);
        assert_eq!((pool.taken(), pool.held_bytes()), (0, 16_384));
        // A small one takes a larger one's place rather than pass the budget.
        let small = pool.take(100).unwrap();
        assert_eq!((pool.allocated(), pool.held_bytes()), (3, 8_192 + 4_096));
        pool.put(small);
    }

    #[test]
    fn memory_laid_out_for_large_blocks_holds_as_many_small_ones_as_fit_it() {
        let mut pool = SpanPool::new(1 << 20);
        pool.warm(100_000, 100);
        assert_eq!(pool.held_bytes(), 1 << 20);
        let borrowed = (1 << 20) / BORROWED_PART as usize;
        let small: Vec<Span> = std::iter::from_fn(|| pool.take(32_768)).collect();
        assert!(small.len() >= ((1 << 20) - borrowed) / 32_768, "{}", small.len());
        assert!(pool.held_bytes() <= 1 << 20);
        small.into_iter().for_each(|span| pool.put(span));
        assert_eq!((pool.taken(), pool.borrowed_bytes), (0, 0));
        // And the other way round.
        let large: Vec<Span> = std::iter::from_fn(|| pool.take(100_000)).collect();
        assert_eq!(large.len(), 8);
    }

    #[test]
    fn warm_memory_is_taken_before_the_system_is_asked() {
        let mut pool = SpanPool::new(1 << 20);
        pool.warm(8_192, 3);
        assert_eq!((pool.allocated(), pool.held_bytes()), (3, 3 * 8_192));
        let spans = [pool.take(8_000).unwrap(), pool.take(5_000).unwrap(), pool.take(2_500).unwrap()];
        assert_eq!(pool.allocated(), 3);
        let fourth = pool.take(8_000).unwrap();
        assert_eq!(pool.allocated(), 4);
        spans.into_iter().for_each(|span| pool.put(span));
        pool.put(fourth);
        pool.warm(1 << 19, 9);
        assert_eq!(pool.held_bytes(), 4 * 8_192 + (1 << 19), "the budget holds");
    }

    #[test]
    fn a_large_span_replaces_small_free_ones() {
        let mut pool = SpanPool::new(16_384);
        let small: Vec<Span> = (0..4).map(|_| pool.take(4_096).unwrap()).collect();
        assert!(pool.take(16_384).is_none());
        small.into_iter().for_each(|span| pool.put(span));
        let large = pool.take(16_384).unwrap();
        assert_eq!(pool.held_bytes(), 16_384);
        pool.put(large);
    }

    #[test]
    fn the_payload_is_what_was_set() {
        let mut pool = SpanPool::new(1 << 20);
        let mut span = pool.take(10).unwrap();
        span.bytes_mut()[..3].copy_from_slice(b"abc");
        span.set_payload_bytes(2);
        assert_eq!(span.as_ref(), b"ab");
    }
}
