//! Memory of the driver's that is lent, slice by slice, to whoever sends it, and comes home.
//!
//! Promises: while a slice is out, its buffer stays locked: only [`Locked::unlock`] ends that, and it hands the buffer back
//! locked where a slice is out. A slice may be dropped by any thread; that is its coming home. Lending copies no bytes and
//! allocates nothing. Refuses: reading a buffer that is not locked; there is no way to.

use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::encoder::Encoder;
use crate::error::NvencError;
use crate::sys::NV_ENC_OUTPUT_PTR;

/// How many slices of one buffer are out.
#[derive(Debug, Default)]
pub(crate) struct Home {
    out: Mutex<u32>,
    came: Condvar,
}

impl Home {
    fn out(&self) -> MutexGuard<'_, u32> {
        // A number is sound whoever held it.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all are home.
    pub(crate) fn is_full(&self) -> bool {
        *self.out() == 0
    }

    /// Waits until all are home, at most so long; whether they are.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut out = self.out();
        while *out > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            out = self.came.wait_timeout(out, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A finished part of an access unit, in the driver's memory. Dropping it gives it back.
pub struct Slice {
    home: Arc<Home>,
    begin: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is of no thread, nobody writes to it while the buffer is locked but behind what is finished, and the
// count of what is out is locked.
unsafe impl Send for Slice {}
// SAFETY: as above; it is only read.
unsafe impl Sync for Slice {}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the buffer stays locked for as long as a slice of it is out, and `Locked::lend` made it of bytes that are
        // finished and within the buffer.
        unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.bytes) }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        let mut out = self.home.out();
        *out -= 1;
        if *out == 0 {
            self.home.came.notify_all();
        }
    }
}

/// An output buffer that the encoder may write to.
#[derive(Debug)]
pub(crate) struct Open {
    raw: NV_ENC_OUTPUT_PTR,
    home: Arc<Home>,
}

/// One that is locked: its first bytes can be lent.
#[derive(Debug)]
pub(crate) struct Locked {
    raw: NV_ENC_OUTPUT_PTR,
    home: Arc<Home>,
    begin: NonNull<u8>,
    bytes: u32,
    since: Instant,
}

impl Open {
    pub(crate) fn new(raw: NV_ENC_OUTPUT_PTR) -> Open {
        Open { raw, home: Arc::default() }
    }

    pub(crate) fn raw(&self) -> NV_ENC_OUTPUT_PTR {
        self.raw
    }

    /// The driver has locked it.
    ///
    /// # Safety
    /// It has, and says that `bytes` bytes from `begin` on are written.
    pub(crate) unsafe fn locked(self, begin: NonNull<u8>, bytes: u32) -> Locked {
        Locked { raw: self.raw, home: self.home, begin, bytes, since: Instant::now() }
    }
}

impl Locked {
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// How long it is locked.
    pub(crate) fn held(&self) -> Duration {
        self.since.elapsed()
    }

    /// Lends a range that is finished; none where it is not within what is written.
    pub(crate) fn lend(&self, range: Range<u32>) -> Option<Slice> {
        if range.start > range.end || range.end > self.bytes {
            return None;
        }
        *self.home.out() += 1;
        // SAFETY: within the bytes that are written from `begin` on.
        let begin = unsafe { self.begin.add(range.start as usize) };
        Some(Slice { home: Arc::clone(&self.home), begin, bytes: (range.end - range.start) as usize })
    }

    /// Unlocks it, unless a slice is out.
    pub(crate) fn unlock(self, encoder: &Encoder) -> Result<Open, Kept> {
        if !self.home.is_full() {
            return Err(Kept::Lent(self));
        }
        // SAFETY: it is locked, and nobody has a slice of it: each is made by `lend`, which is not running.
        match unsafe { encoder.unlock(self.raw) } {
            Ok(()) => Ok(Open { raw: self.raw, home: self.home }),
            Err(error) => Err(Kept::Refused(Open { raw: self.raw, home: self.home }, error)),
        }
    }
}

/// Why a buffer was not unlocked.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Slices are out.
    Lent(Locked),
    /// The driver refused. The buffer counts as not locked: nothing reads it any more.
    Refused(Open, NvencError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(bytes: &'static [u8]) -> Locked {
        let begin = NonNull::from(bytes).cast();
        // SAFETY: the bytes are there for ever.
        unsafe { Open::new(std::ptr::null_mut()).locked(begin, bytes.len() as u32) }
    }

    #[test]
    fn what_is_lent_is_what_was_asked_for_and_nothing_else() {
        let buffer = locked(b"abcdef");
        assert_eq!(buffer.lend(1..4).expect("within").as_ref(), b"bcd");
        assert!(buffer.lend(6..6).expect("empty").as_ref().is_empty());
        assert!(buffer.lend(0..7).is_none() && buffer.lend(7..7).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "a range that a driver could make one make")]
        let reversed = 4..2;
        assert!(buffer.lend(reversed).is_none());
    }

    #[test]
    fn a_buffer_is_full_again_when_every_slice_is_home_whichever_way() {
        let buffer = locked(b"abcdef");
        let slices: Vec<Slice> = (0..3).map(|at| buffer.lend(at..at + 1).expect("within")).collect();
        assert!(!buffer.home().is_full() && !buffer.home().wait(Duration::from_millis(5)));
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            slices.iter().map(|slice| slice.as_ref()[0]).collect::<Vec<u8>>()
        });
        assert!(buffer.home().wait(Duration::from_secs(10)));
        assert!(buffer.home().is_full());
        assert_eq!(sender.join().expect("it ends"), b"abc");
    }

    #[test]
    fn a_sender_that_panics_gives_its_slices_back() {
        let buffer = locked(b"abcdef");
        let slice = buffer.lend(0..6).expect("within");
        let sender = std::thread::spawn(move || {
            let _slice = slice;
            std::panic::resume_unwind(Box::new("a fault"));
        });
        assert!(sender.join().is_err());
        assert!(buffer.home().is_full());
    }
}
