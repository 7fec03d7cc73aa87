//! What a session leaves behind, on its way out: desktops that end, openings that nobody waits for.
//!
//! Promises: one thing after the other and none on the caller's thread, so that no two compositors are there
//! at a time; what waits for all of it returns once nothing is left. Refuses nothing.

use std::thread::JoinHandle;

/// A chain of works, each begun when the one before it is done.
#[derive(Debug, Default)]
pub struct Closing {
    last: Option<JoinHandle<()>>,
}

impl Closing {
    /// Does `work` after everything that is on its way out already.
    pub fn then(&mut self, work: impl FnOnce() + Send + 'static) {
        let before = self.take();
        self.last = Some(std::thread::spawn(move || {
            before.wait();
            work();
        }));
    }

    /// Hands on what is on its way out, for somebody to wait for.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Whether nothing is on its way out.
    pub fn is_done(&self) -> bool {
        self.last.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Returns when nothing is left.
    pub fn wait(self) {
        if let Some(last) = self.last {
            // Each reports by itself; a panic in one concerns nobody who comes after.
            let _ = last.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_after_the_other_whatever_becomes_of_them() {
        let (inside, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let mut closing = Closing::default();
        assert!(closing.is_done());
        for turn in 0..6 {
            let (inside, done) = (Arc::clone(&inside), Arc::clone(&done));
            closing.then(move || {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
                std::thread::sleep(Duration::from_millis(5));
                inside.fetch_sub(1, Ordering::SeqCst);
                assert_eq!(done.fetch_add(1, Ordering::SeqCst), turn);
                assert!(turn != 3, "a work that panics holds nobody up");
            });
        }
        assert!(!closing.is_done());
        closing.wait();
        assert_eq!(done.load(Ordering::SeqCst), 6);
    }
}
