//! The window: for how long, and for how many guesses, a PIN lets a stranger in.
//!
//! ```text
//! Closed ── arm ──> Armed ── a device has proven the PIN · two minutes · three failures · cancel ──> Closed
//! ```
//! *What it promises.* A guess counts from when it is answered, not from when it is seen to be wrong: who goes away
//! in mid-run has guessed all the same. Whoever comes while no PIN is armed gets the same answer after the same work,
//! by a record that belongs to no PIN. Failures are remembered across windows: arming anew brings no further guesses,
//! and each window that failures have closed doubles the wait for the next one.
//!
//! *What it refuses.* A second PIN beside the first, and guesses that were begun under an earlier PIN.

use std::time::{Duration, Instant};

use super::exchange::{
    Answer, Answered, Binding, CONFIRMATION_BYTES, ExchangeError, Record, SHARE_BYTES, SystemRandom,
};
use super::pin::Pin;
use crate::limits::{
    PAIR_BACK_OFF_FIRST, PAIR_BACK_OFF_MAX, PAIR_FAILURES_FORGOTTEN, PAIR_FAILURES_MAX, PAIR_WINDOW_MAX,
};

/// Why a window was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// A device has proven the PIN.
    Used,
    /// Its time was over.
    Expired,
    /// Too many guesses were wrong.
    Failures,
    /// The operator has closed it.
    Cancelled,
}

/// Why no window can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// Somebody has been guessing.
    #[error(
        "wrong PINs have closed the last window: the next one can be opened in {} s",
        .wait.as_secs() + 1
    )]
    BackOff {
        /// For how long yet.
        wait: Duration,
    },
}

/// An open window, for the operator.
#[derive(Clone, Debug)]
pub struct ArmedWindow {
    /// What the operator is to show.
    pub pin: Pin,
    /// Until when.
    pub until: Instant,
    /// How many wrong guesses are left.
    pub guesses_left: u32,
}

struct Armed {
    number: u64,
    pin: Pin,
    record: Record,
    until: Instant,
    /// Runs that were answered and are not over.
    under_way: u32,
}

/// One stranger's run. It must come back by [`Window::finish`] or [`Window::give_up`].
pub(crate) struct Run {
    /// Under which PIN; `None` when none was armed.
    window: Option<u64>,
    answered: Answered,
}

/// The window, open or closed.
pub(crate) struct Window {
    armed: Option<Armed>,
    /// Answers in place of a PIN while none is armed.
    decoy: Record,
    number: u64,
    /// Guesses that were begun since a device was last let in, and not refunded.
    failures: u32,
    failed_at: Option<Instant>,
    /// Windows in a row that failures have closed.
    disarmed: u32,
    not_before: Option<Instant>,
    ended: Option<WindowEnd>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            armed: None,
            decoy: Record::of_nobody(),
            number: 0,
            failures: 0,
            failed_at: None,
            disarmed: 0,
            not_before: None,
            ended: None,
        }
    }
}

impl Window {
    /// Opens the window, for two minutes at most. One that is open gets a new PIN and its whole time again, and no
    /// further guesses.
    ///
    /// # Errors
    /// After too many failures, until their wait is over.
    pub(crate) fn arm(&mut self, lifetime: Duration, now: Instant) -> Result<ArmedWindow, ArmError> {
        self.handle_timeout(now);
        if self.failures >= PAIR_FAILURES_MAX {
            // The last guess is still under way, and spent.
            self.close(WindowEnd::Failures, now);
        }
        if let Some(wait) = self.wait(now) {
            return Err(ArmError::BackOff { wait });
        }
        if self.failures >= PAIR_FAILURES_MAX {
            // The wait was their price.
            self.failures = 0;
        }
        self.number += 1;
        self.not_before = None;
        let pin = Pin::random();
        let (record, until) = (Record::of(&pin), now + lifetime.min(PAIR_WINDOW_MAX));
        self.armed = Some(Armed { number: self.number, pin, record, until, under_way: 0 });
        self.ended = None;
        Ok(self.status().expect("it was opened two lines above"))
    }

    /// Opens the window with a PIN of the test's own, and no failures.
    #[cfg(test)]
    pub(crate) fn arm_with(&mut self, pin: Pin, now: Instant) {
        self.number += 1;
        self.failures = 0;
        let (record, until) = (Record::of(&pin), now + PAIR_WINDOW_MAX);
        self.armed = Some(Armed { number: self.number, pin, record, until, under_way: 0 });
    }

    /// The open window.
    pub(crate) fn status(&self) -> Option<ArmedWindow> {
        let armed = self.armed.as_ref()?;
        let guesses_left = PAIR_FAILURES_MAX.saturating_sub(self.failures);
        Some(ArmedWindow { pin: armed.pin.clone(), until: armed.until, guesses_left })
    }

    /// For how long no window can be opened yet.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.not_before?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Guesses that were wrong, or are under way.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Closes the window; whether there was one. Runs that are under way come to nothing.
    pub(crate) fn cancel(&mut self, now: Instant) -> bool {
        self.close(WindowEnd::Cancelled, now)
    }

    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.armed.as_ref().map(|armed| armed.until)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.armed.as_ref().is_some_and(|armed| armed.until <= now) {
            self.close(WindowEnd::Expired, now);
        }
        if self.failed_at.is_some_and(|at| now.saturating_duration_since(at) >= PAIR_FAILURES_FORGOTTEN) {
            (self.failures, self.failed_at, self.disarmed) = (0, None, 0);
        }
    }

    /// Why the window was closed, once.
    pub(crate) fn poll_end(&mut self) -> Option<WindowEnd> {
        self.ended.take()
    }

    /// Answers a stranger's share. What it costs and what it says is the same whether a PIN is armed or not, except
    /// that without one nothing proves it.
    ///
    /// # Errors
    /// When the share is none.
    pub(crate) fn answer(
        &mut self,
        binding: &Binding,
        share: &[u8; SHARE_BYTES],
        now: Instant,
    ) -> Result<(Run, Answer), ExchangeError> {
        self.handle_timeout(now);
        let guesses_left = self.failures < PAIR_FAILURES_MAX;
        let armed = self.armed.as_ref().filter(|_| guesses_left);
        let (window, record) = armed.map_or((None, &self.decoy), |armed| (Some(armed.number), &armed.record));
        let (answered, answer) = Answered::start(record, binding, share, &mut SystemRandom)?;
        if let Some(armed) = self.armed.as_mut().filter(|armed| Some(armed.number) == window) {
            armed.under_way += 1;
            self.failures += 1;
            self.failed_at = Some(now);
        }
        Ok((Run { window, answered }, answer))
    }

    /// Takes a stranger's confirmation: whether it has proven the PIN that is armed now. The window is closed by that.
    pub(crate) fn finish(&mut self, run: Run, confirmation: &[u8; CONFIRMATION_BYTES], now: Instant) -> bool {
        self.handle_timeout(now);
        let Run { window, answered } = run;
        let holds = answered.handle_confirmation(confirmation).is_ok();
        let is_current = window.is_some() && window == self.armed.as_ref().map(|armed| armed.number);
        if holds && is_current {
            (self.failures, self.failed_at, self.disarmed) = (0, None, 0);
            return self.close(WindowEnd::Used, now);
        }
        self.end_run(window, now);
        false
    }

    /// A stranger has gone in mid-run.
    pub(crate) fn give_up(&mut self, run: &Run, now: Instant) {
        self.end_run(run.window, now);
    }

    /// The last failure closes the window once no run is under way that could still succeed.
    fn end_run(&mut self, window: Option<u64>, now: Instant) {
        let Some(armed) = self.armed.as_mut().filter(|armed| Some(armed.number) == window) else { return };
        armed.under_way -= 1;
        if armed.under_way == 0 && self.failures >= PAIR_FAILURES_MAX {
            self.close(WindowEnd::Failures, now);
        }
    }

    fn close(&mut self, end: WindowEnd, now: Instant) -> bool {
        let was_open = self.armed.take().is_some();
        if was_open {
            self.ended = Some(end);
        }
        if was_open && end != WindowEnd::Used && self.failures >= PAIR_FAILURES_MAX {
            let wait = PAIR_BACK_OFF_FIRST.saturating_mul(1 << self.disarmed.min(16)).min(PAIR_BACK_OFF_MAX);
            self.disarmed += 1;
            self.not_before = Some(now + wait);
        }
        was_open
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::{Asking, EXPORTER_BYTES};
    use super::*;
    use crate::fingerprint::Fingerprint;

    const LONG: Duration = Duration::from_secs(3_600);

    fn binding() -> Binding {
        Binding {
            host: Fingerprint::of_certificate(b"host"),
            client: Fingerprint::of_certificate(b"client"),
            exporter: [7; EXPORTER_BYTES],
        }
    }

    fn begin(pin: &Pin) -> (Asking, [u8; SHARE_BYTES]) {
        Asking::start(pin, &binding(), &mut SystemRandom)
    }

    /// A whole run: whether the host lets the device in, and whether the device would have gone on.
    fn guess(window: &mut Window, pin: &Pin, now: Instant) -> (bool, bool) {
        let (asking, share) = begin(pin);
        let (run, answer) = window.answer(&binding(), &share, now).unwrap();
        let confirmation = asking.handle_answer(&answer.share, &answer.confirmation);
        let goes_on = confirmation.is_ok();
        (window.finish(run, &confirmation.unwrap_or([0; CONFIRMATION_BYTES]), now), goes_on)
    }

    fn other_than(pin: &Pin) -> Pin {
        let first = if pin.reveal().starts_with('0') { "1" } else { "0" };
        (first.to_owned() + &pin.reveal()[1..]).parse().unwrap()
    }

    #[test]
    fn the_pin_lets_one_device_in() {
        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(LONG, now).unwrap();
        assert_eq!((armed.until, armed.guesses_left), (now + PAIR_WINDOW_MAX, 3), "two minutes at most");
        assert_eq!(guess(&mut window, &other_than(&armed.pin), now), (false, false));
        assert_eq!(window.status().unwrap().guesses_left, 2);
        assert_eq!(guess(&mut window, &armed.pin, now), (true, true));
        assert_eq!((window.poll_end(), window.poll_end()), (Some(WindowEnd::Used), None));
        assert_eq!(guess(&mut window, &armed.pin, now), (false, false), "the second one is not let in");
    }

    #[test]
    fn a_window_is_over_after_its_time_and_when_it_is_cancelled() {
        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(Duration::from_secs(30), now).unwrap();
        let (asking, share) = begin(&armed.pin);
        let late = now + Duration::from_secs(30);
        assert_eq!(window.poll_timeout(), Some(late));
        let (run, answer) = window.answer(&binding(), &share, late - Duration::from_millis(1)).unwrap();
        let confirmation = asking.handle_answer(&answer.share, &answer.confirmation).unwrap();
        assert!(!window.finish(run, &confirmation, late), "it was answered in time and came too late");
        assert_eq!(window.poll_end(), Some(WindowEnd::Expired));
        let armed = window.arm(LONG, late).unwrap();
        assert!(window.cancel(late) && !window.cancel(late));
        assert_eq!((window.poll_end(), window.poll_timeout()), (Some(WindowEnd::Cancelled), None));
        assert_eq!(guess(&mut window, &armed.pin, late), (false, false));
    }

    /// Sunshine and its kin: pairing without end of guesses.
    #[test]
    fn three_failures_disarm_and_each_such_window_doubles_the_wait() {
        let (mut window, mut now) = (Window::default(), Instant::now());
        for wait in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
            let armed = window.arm(LONG, now).unwrap();
            for left in [2, 1] {
                assert_eq!(guess(&mut window, &other_than(&armed.pin), now), (false, false));
                assert_eq!(window.status().unwrap().guesses_left, left);
            }
            assert_eq!(guess(&mut window, &other_than(&armed.pin), now), (false, false));
            assert!(window.status().is_none());
            assert_eq!(window.poll_end(), Some(WindowEnd::Failures));
            assert_eq!(guess(&mut window, &armed.pin, now), (false, false), "the right one comes too late");
            let wait = Duration::from_secs(wait);
            assert_eq!(window.arm(LONG, now).unwrap_err(), ArmError::BackOff { wait });
            now += wait;
        }
        let armed = window.arm(LONG, now).unwrap();
        assert_eq!(guess(&mut window, &armed.pin, now), (true, true));
        assert!(window.arm(LONG, now).is_ok(), "a device that was let in ends the wait");
    }

    /// Who sees by the host's answer that the guess was wrong need not say so.
    #[test]
    fn a_guess_that_goes_away_in_mid_run_counts() {
        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(LONG, now).unwrap();
        let runs: Vec<_> =
            (0..3).map(|_| window.answer(&binding(), &begin(&armed.pin).1, now).unwrap().0).collect();
        assert_eq!(guess(&mut window, &armed.pin, now), (false, false), "all guesses are under way");
        for run in &runs {
            assert!(window.status().is_some());
            window.give_up(run, now);
        }
        assert_eq!((window.status().is_none(), window.poll_end()), (true, Some(WindowEnd::Failures)));
    }

    #[test]
    fn the_last_guess_may_be_the_right_one() {
        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(LONG, now).unwrap();
        let wrong: Vec<_> =
            (0..2).map(|_| window.answer(&binding(), &begin(&armed.pin).1, now).unwrap().0).collect();
        let (asking, share) = begin(&armed.pin);
        let (right, answer) = window.answer(&binding(), &share, now).unwrap();
        wrong.iter().for_each(|run| window.give_up(run, now));
        let confirmation = asking.handle_answer(&answer.share, &answer.confirmation).unwrap();
        assert!(window.finish(right, &confirmation, now));
    }

    /// Arming anew, cancelling or waiting for the end brings no guesses back.
    #[test]
    fn no_way_round_the_three_failures() {
        let (mut window, now) = (Window::default(), Instant::now());
        for left in [3, 2, 1] {
            let armed = window.arm(LONG, now).unwrap();
            assert_eq!(armed.guesses_left, left);
            let _ = window.answer(&binding(), &begin(&armed.pin).1, now).unwrap();
            if left == 3 {
                window.cancel(now);
            }
        }
        let wait = PAIR_BACK_OFF_FIRST;
        assert_eq!(window.arm(LONG, now).unwrap_err(), ArmError::BackOff { wait }, "the third is under way");
        assert_eq!(window.poll_end(), Some(WindowEnd::Failures));

        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(LONG, now).unwrap();
        let _runs = [(); 3].map(|()| window.answer(&binding(), &begin(&armed.pin).1, now).unwrap());
        window.handle_timeout(now + PAIR_WINDOW_MAX);
        assert_eq!(window.poll_end(), Some(WindowEnd::Expired));
        assert!(window.arm(LONG, now + PAIR_WINDOW_MAX).is_err());
        let forgotten = now + PAIR_FAILURES_FORGOTTEN;
        assert_eq!(window.arm(LONG, forgotten).unwrap().guesses_left, 3);
    }

    /// A run that was begun under one PIN is worth nothing under the next, not even with the right digits.
    #[test]
    fn a_run_belongs_to_its_window() {
        let (mut window, now) = (Window::default(), Instant::now());
        let armed = window.arm(LONG, now).unwrap();
        let (asking, share) = begin(&armed.pin);
        let (run, answer) = window.answer(&binding(), &share, now).unwrap();
        let confirmation = asking.handle_answer(&answer.share, &answer.confirmation).unwrap();
        window.arm(LONG, now).unwrap();
        assert!(!window.finish(run, &confirmation, now));
        assert!(window.status().is_some(), "and does not touch the new one");
    }

    /// Nothing that comes back, nor how long it takes, tells whether a PIN is armed.
    #[test]
    fn the_answer_is_the_same_whether_armed_or_not() {
        let (mut armed, mut closed, now) = (Window::default(), Window::default(), Instant::now());
        let pin = armed.arm(LONG, now).unwrap().pin;
        let wrong = other_than(&pin);
        let mut spent = [Duration::MAX; 2];
        for _ in 0..24 {
            for (window, spent) in [&mut armed, &mut closed].into_iter().zip(&mut spent) {
                window.failures = 0;
                let (asking, share) = begin(&wrong);
                let began = Instant::now();
                let (run, answer) = window.answer(&binding(), &share, now).unwrap();
                let refused = asking.handle_answer(&answer.share, &answer.confirmation);
                assert_eq!(refused, Err(ExchangeError::Confirmation));
                assert!(!window.finish(run, &[0; CONFIRMATION_BYTES], now));
                // The quickest of many runs: what the work takes when nothing disturbs it.
                *spent = began.elapsed().min(*spent);
            }
        }
        let (more, less) = (spent[0].max(spent[1]), spent[0].min(spent[1]));
        assert!(more < less * 3 / 2, "armed {:?}, not armed {:?}", spent[0], spent[1]);
    }
}
