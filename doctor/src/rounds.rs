//! The doctor's rounds: each link looked at in turn, on a thread of its own.
//!
//! Promises: an answer for every link within [`TOTAL_MAX`], whatever hangs; a look that still hangs from an earlier round
//! is not begun again, so that rounds without end leave no threads without end. Refuses to hold a stream up: inside
//! a running host the looks stand back. Refuses to call a link broken whose look asks nobody and is late: this machine is
//! busy then, and nothing is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_manage::model::Diagnosis;

use crate::limits::TOTAL_MAX;
use crate::{Link, Verdict, View};

/// How far the looks stand back inside a running host: a tenth of a stage's share, and still a share on a busy machine.
const NICE: i32 = 10;

/// What a look is late by that asks nobody.
const BUSY: &str =
    "this machine is too busy, which costs pictures as well: end what takes its CPU time, and look again";

/// Looks at one machine.
#[derive(Debug)]
pub struct Doctor {
    view: Arc<View>,
    /// Which looks are under way, by the order of [`Link::ALL`].
    busy: Vec<Arc<AtomicBool>>,
}

/// Ends with its look, however that ends.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Doctor {
    /// A doctor for the machine that `view` shows.
    pub fn new(view: View) -> Self {
        Self { view: Arc::new(view), busy: Link::ALL.iter().map(|_| Arc::default()).collect() }
    }

    /// Looks at every link. Takes a second or less where nothing hangs, and at most [`TOTAL_MAX`].
    pub fn diagnose(&self) -> Diagnosis {
        let ends = Instant::now() + TOTAL_MAX;
        let look = |(&link, busy): (&Link, &Arc<AtomicBool>)| {
            let view = Arc::clone(&self.view);
            let left = ends.saturating_duration_since(Instant::now());
            let look = move || {
                if view.is_host {
                    // Of this thread alone, and of what it starts. A kernel that refuses it leaves the usual one.
                    let _ = rustix::process::setpriority_process(None, NICE);
                }
                link.look(&view)
            };
            let verdict = watch(busy, (link.deadline(), left), link.asks(), look);
            verdict.into_check(link.name())
        };
        Diagnosis { checks: Link::ALL.iter().zip(&self.busy).map(look).collect() }
    }
}

/// What `look` finds within its deadline, and within what is `left` for all; `asks`: it waits for somebody's answer.
fn watch(
    busy: &Arc<AtomicBool>,
    (deadline, left): (Duration, Duration),
    asks: bool,
    look: impl FnOnce() -> Verdict + Send + 'static,
) -> Verdict {
    if left.is_zero() {
        return Verdict::degraded(
            "not looked at: what hangs above has taken all the time",
            "nothing is known of it; mend what hangs, and look again",
        );
    }
    if busy.swap(true, Ordering::Acquire) {
        if !asks {
            return Verdict::degraded("an earlier look at it is under way still", BUSY);
        }
        return Verdict::broken(
            "an earlier look at it hangs still",
            "mend what it asks: it takes a connection and does not answer",
        );
    }
    let turn = Turn(Arc::clone(busy));
    let (sender, receiver) = sync_channel(1);
    let work = move || {
        let verdict = look();
        // Before the answer, so that whoever has it finds the link free.
        drop(turn);
        // Whoever waited may have gone.
        let _ = sender.send(verdict);
    };
    if let Err(error) = thread::Builder::new().name("doctor".into()).spawn(work) {
        return Verdict::broken(
            format!("cannot be looked at: no thread can be had ({error})"),
            "end some programs, or raise the limit on threads: ulimit -u",
        );
    }
    match receiver.recv_timeout(deadline.min(left)) {
        Ok(verdict) => verdict,
        Err(RecvTimeoutError::Timeout) if !asks => {
            let within = deadline.min(left).as_secs_f64();
            Verdict::degraded(format!("not known: the look did not end within {within:.1} s"), BUSY)
        }
        Err(RecvTimeoutError::Timeout) => Verdict::broken(
            format!("no answer within {:.1} s", deadline.min(left).as_secs_f64()),
            "what was asked hangs: start it anew; or this machine is too busy: look again",
        ),
        Err(RecvTimeoutError::Disconnected) => Verdict::broken(
            "the look itself failed",
            "that is a fault of punktfunk: report it with the lines above this one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use punktfunk_manage::model::CheckState;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_look_that_hangs_is_said_and_not_begun_again_until_it_ends() {
        let (busy, (hold, held)) = (Arc::new(AtomicBool::new(false)), channel::<()>());
        let hangs = move || {
            let _ = held.recv();
            Verdict::ok("late")
        };
        let verdict = watch(&busy, (Duration::from_millis(20), LONG), true, hangs);
        assert_eq!(verdict.state, CheckState::Broken);
        assert!(verdict.found.contains("no answer within 0.0 s"), "{verdict:?}");
        let again = watch(&busy, (LONG, LONG), true, || Verdict::ok("never"));
        assert!(again.found.contains("hangs still"), "{again:?}");
        drop(hold);
        let began = Instant::now();
        while busy.load(Ordering::Acquire) {
            assert!(began.elapsed() < LONG, "the look has not ended");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(watch(&busy, (LONG, LONG), true, || Verdict::ok("now")), Verdict::ok("now"));
        assert_eq!(
            watch(&busy, (LONG, LONG), true, || Verdict::ok("and at once")),
            Verdict::ok("and at once")
        );
    }

    #[test]
    fn a_look_that_asks_nobody_is_late_because_the_machine_is_busy() {
        let (busy, (hold, held)) = (Arc::new(AtomicBool::new(false)), channel::<()>());
        let computes = move || {
            let _ = held.recv();
            Verdict::ok("late")
        };
        let verdict = watch(&busy, (Duration::from_millis(20), LONG), false, computes);
        assert_eq!((verdict.state, verdict.remedy.as_str()), (CheckState::Degraded, BUSY));
        let again = watch(&busy, (LONG, LONG), false, || Verdict::ok("never"));
        assert_eq!((again.state, again.remedy.as_str()), (CheckState::Degraded, BUSY));
        assert!(!Link::Encoder.asks() && Link::Portal.asks());
        drop(hold);
    }

    #[test]
    fn what_there_is_no_time_for_is_said_to_be_unknown() {
        let busy = Arc::default();
        let verdict = watch(&busy, (LONG, Duration::ZERO), true, || unreachable!("there is no time"));
        assert_eq!(verdict.state, CheckState::Degraded);
        assert!(!busy.load(Ordering::Acquire));
    }

    #[test]
    fn a_look_that_fails_is_a_fault_of_ours_and_leaves_its_place() {
        let busy = Arc::default();
        let verdict = watch(&busy, (LONG, LONG), true, || panic!("this is part of the test"));
        assert_eq!(verdict.found, "the look itself failed");
        assert!(!busy.load(Ordering::Acquire));
    }
}
