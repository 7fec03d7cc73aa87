//! The decoder's place: every slice is checked and nothing is decoded.
//!
//! Promises: what checking costs is measured on its own thread's clock and kept apart; a slice passes only in its own
//! place of its own access unit, an access unit only with all its slices; what is given up half way is judged as far as
//! it came. Refuses: to keep a span.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use punktfunk_engine::{Decode, DecodeOutcome, StageFault};
use punktfunk_perf::thread_cpu;
use punktfunk_proto::DeliveredBlock;

use crate::pattern::Check;

/// What the control thread reads of the sink.
#[derive(Debug, Default)]
pub struct SinkCounts {
    /// Slices that were right.
    pub right_slices: AtomicU64,
    /// Slices that were not, and access units that ended within one or lacked one.
    pub wrong_slices: AtomicU64,
    /// Bytes that were looked at, or whose stamps were.
    pub looked_bytes: AtomicU64,
    /// Thread time spent on checking, in nanoseconds.
    pub checking_ns: AtomicU64,
}

/// The sink.
pub struct CheckingSink {
    check: Check,
    every_byte: bool,
    slice: u16,
    /// How many slices the access unit has, as those say that came.
    slices: Option<u16>,
    in_slice: bool,
    wrong: Option<String>,
    counts: Arc<SinkCounts>,
}

impl CheckingSink {
    /// A sink that looks at every byte, or at stamps only.
    pub fn new(every_byte: bool, counts: Arc<SinkCounts>) -> CheckingSink {
        CheckingSink {
            check: Check::new(every_byte),
            every_byte,
            slice: 0,
            slices: None,
            in_slice: false,
            wrong: None,
            counts,
        }
    }

    fn look(&mut self, block: &DeliveredBlock) {
        self.check.push(block.span.as_ref());
        self.counts.looked_bytes.fetch_add(block.span.as_ref().len() as u64, Ordering::Relaxed);
        self.in_slice = !block.flags.slice_end();
        if self.in_slice {
            return;
        }
        match self.check.finish(block.au, self.slice) {
            Ok(name) => {
                self.slices = Some(name.slices);
                self.counts.right_slices.fetch_add(1, Ordering::Relaxed);
            }
            Err(flaw) => self.say_wrong(flaw),
        }
        self.slice += 1;
    }

    fn say_wrong(&mut self, words: impl ToString) {
        self.counts.wrong_slices.fetch_add(1, Ordering::Relaxed);
        self.wrong.get_or_insert_with(|| words.to_string());
    }

    fn clear(&mut self) {
        self.check = Check::new(self.every_byte);
        self.slice = 0;
        self.slices = None;
        self.in_slice = false;
        self.wrong = None;
    }
}

impl Decode for CheckingSink {
    fn has_references(&self) -> bool {
        false
    }

    fn handle_block(&mut self, block: &DeliveredBlock) -> Result<DecodeOutcome, StageFault> {
        let start = thread_cpu();
        self.look(block);
        let spent = u64::try_from((thread_cpu() - start).as_nanos()).unwrap_or(0);
        self.counts.checking_ns.fetch_add(spent, Ordering::Relaxed);
        if !block.flags.last_block() {
            return Ok(DecodeOutcome::Pending);
        }
        if self.in_slice {
            self.say_wrong("the access unit ends within a slice");
        } else if self.slices.is_some_and(|slices| slices != self.slice) {
            self.say_wrong("the access unit ends without all its slices");
        }
        let wrong = self.wrong.take();
        self.clear();
        Ok(wrong.map_or(DecodeOutcome::Picture, DecodeOutcome::Refused))
    }

    fn abandon(&mut self) {
        if self.check.flaw().is_some() {
            self.counts.wrong_slices.fetch_add(1, Ordering::Relaxed);
        }
        self.clear();
    }
}
