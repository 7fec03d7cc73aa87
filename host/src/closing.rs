//! What a session leaves behind, on its way out: desktops that end, openings that nobody waits for.
//!
//! Promises: one thing after the other and none on the caller's thread, so that no two compositors are there
//! at a time; what waits for all of it returns once nothing is left. Refuses nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_capture::Patience;

/// A chain of works, each begun when the one before it is done. Its clones are the same chain, as far as it goes.
#[derive(Debug, Default, Clone)]
pub struct Closing {
    last: Option<Arc<Work>>,
    /// Since when something has been on its way out without a break.
    since: Option<Instant>,
}

/// One work, which somebody may wait for.
#[derive(Debug, Default)]
struct Work {
    is_done: Mutex<bool>,
    done: Condvar,
}

/// Says that a work is done, however it ends.
struct Doing(Arc<Work>);

impl Work {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is done within `patience`.
    fn wait(&self, patience: Duration) -> bool {
        let waited = self.done.wait_timeout_while(self.lock(), patience, |is_done| !*is_done);
        let (is_done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *is_done
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.done.notify_all();
    }
}

impl Closing {
    /// Does `work` after everything that is on its way out already. Each reports by itself; a panic in one concerns
    /// nobody who comes after.
    pub fn then(&mut self, work: impl FnOnce() + Send + 'static) {
        if self.is_done() {
            self.since = Some(Instant::now());
        }
        let (before, this) = (self.last.take(), Arc::new(Work::default()));
        let doing = Doing(Arc::clone(&this));
        self.last = Some(this);
        let run = move || {
            let _doing = doing;
            while before.as_ref().is_some_and(|before| !before.wait(Duration::from_secs(60))) {}
            work();
        };
        if let Err(error) = thread::Builder::new().name("closing".to_owned()).spawn(run) {
            // What `work` held was dropped with it, in place.
            tracing::warn!(%error, "no thread to end a session on");
        }
    }

    /// Whether nothing is on its way out.
    pub fn is_done(&self) -> bool {
        self.last.as_ref().is_none_or(|last| *last.lock())
    }

    /// For how long something has been on its way out; nothing once nothing is.
    pub fn age(&self, now: Instant) -> Duration {
        let begun = self.since.filter(|_| !self.is_done());
        begun.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Waits until nothing is left of what is on its way out now, as long as `patience` lasts; whether that is so.
    pub fn wait(&self, patience: &Patience) -> bool {
        let Some(last) = &self.last else { return true };
        loop {
            let left = patience.left();
            if last.wait(left.min(Patience::LOOK_INTERVAL)) {
                return true;
            }
            if patience.is_over() {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn who_waits_has_had_enough_some_time() {
        let (mut closing, (go, goes)) = (Closing::default(), std::sync::mpsc::channel::<()>());
        closing.then(move || _ = goes.recv());
        let began = Instant::now();
        assert!(!closing.wait(&Patience::until(began + Duration::from_millis(30))));
        let given_up = Patience::until(began + Duration::from_secs(60));
        given_up.give_up();
        assert!(!closing.wait(&given_up));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(go);
        assert!(closing.wait(&Patience::until(began + Duration::from_secs(60))));
    }

    #[test]
    fn what_is_on_its_way_out_is_as_old_as_the_first_of_it() {
        let (mut closing, (go, goes)) = (Closing::default(), std::sync::mpsc::channel::<()>());
        let (began, later) = (Instant::now(), Duration::from_secs(9));
        assert_eq!(closing.age(began + later), Duration::ZERO);
        closing.then(move || _ = goes.recv());
        std::thread::sleep(Duration::from_millis(20));
        closing.then(|| {});
        let age = closing.age(Instant::now() + later);
        assert!(age >= later + Duration::from_millis(20), "{age:?}");
        drop(go);
        assert!(closing.wait(&Patience::until(began + Duration::from_secs(60))));
        assert_eq!(closing.age(began + later), Duration::ZERO);
        // The next begins anew.
        closing.then(|| {});
        assert!(closing.age(Instant::now()) < age);
    }

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
        assert!(closing.wait(&Patience::until(Instant::now() + Duration::from_secs(10))));
        assert!(closing.is_done());
        assert_eq!(done.load(Ordering::SeqCst), 6);
    }
}
