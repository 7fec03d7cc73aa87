//! Changes in mid-stream, as the host answers them.
//!
//! Promises: each is said once and counted, whoever has asked for it; one is asked for at a time, in the order in which
//! they were said, and nothing else that is said waits for that; quit comes after them, unless an answer is late. Refuses
//! more than [`HELD_MAX`] that wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use punktfunk_control::{Mode, Reconfigure, Reconfigured};
use serde_json::{Value, json};

use crate::terminal::say;

/// How long the next change waits for the answer to the one before; a compositor takes seconds at most.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long quit waits for each answer to what was said before it.
const QUIT_WAIT: Duration = Duration::from_secs(1);

/// Changes that wait for the answer to one before them.
const HELD_MAX: usize = 16;

/// What has been changed.
#[derive(Debug, Default)]
pub struct Changes {
    done: u64,
    refused: u64,
    /// What holds since the last one.
    now: Option<(Mode, u32)>,
    /// What is asked for, and until when its answer is waited for.
    awaited: Option<(Reconfigure, Instant)>,
    /// What comes after it.
    held: VecDeque<Reconfigure>,
    /// When quit waits no longer, once it was said.
    quits_at: Option<Instant>,
}

impl Changes {
    /// Whether anything more may be said.
    pub fn listens(&self) -> bool {
        self.held.len() < HELD_MAX && self.quits_at.is_none()
    }

    /// A change is wanted.
    pub fn want(&mut self, wanted: Reconfigure) {
        self.held.push_back(wanted);
    }

    /// Nothing more is wanted.
    pub fn quit(&mut self, now: Instant) {
        self.quits_at = Some(now + QUIT_WAIT);
    }

    /// What the host is to be asked for now.
    pub fn poll_ask(&mut self, now: Instant) -> Option<Reconfigure> {
        if self.is_awaited(now) {
            return None;
        }
        let wanted = self.held.pop_front()?;
        self.awaited = Some((wanted, now + ANSWER_MAX));
        self.quits_at = self.quits_at.map(|_| now + QUIT_WAIT);
        Some(wanted)
    }

    /// Whether quit was said and has waited for what was said before it.
    pub fn is_over(&self, now: Instant) -> bool {
        let is_done = self.held.is_empty() && !self.is_awaited(now);
        self.quits_at.is_some_and(|at| is_done || at <= now)
    }

    fn is_awaited(&self, now: Instant) -> bool {
        self.awaited.is_some_and(|(_, until)| now < until)
    }

    /// The host has made a change, or not: the one that was asked for, or somebody else's at the host.
    pub fn handle(&mut self, answer: &Reconfigured) {
        let Reconfigured { mode, bitrate_kbps, from_au, refused } = answer;
        let (width, height, hz) = (mode.width, mode.height, f64::from(mode.refresh_mhz) / 1e3);
        self.awaited.take_if(|(wanted, _)| is_answer(answer, wanted));
        self.now = Some((*mode, *bitrate_kbps));
        if refused.is_empty() {
            self.done += 1;
            say(&format!("{width}x{height}@{hz} at {bitrate_kbps} kbit/s from access unit {from_au} on"));
        } else {
            self.refused += 1;
            say(&format!(
                "the host does not change that: {refused}; {width}x{height}@{hz} at {bitrate_kbps} kbit/s"
            ));
        }
    }

    /// For the summary.
    pub fn json(&self) -> Value {
        let now = self.now.map(|(mode, bitrate_kbps)| {
            json!({
                "width": mode.width, "height": mode.height, "refresh_hz": f64::from(mode.refresh_mhz) / 1e3,
                "bitrate_kbps": bitrate_kbps,
            })
        });
        json!({"done": self.done, "refused": self.refused, "now": now})
    }
}

/// Whether this can be what has become of what was asked for. Nobody else's refusal is told here.
fn is_answer(answer: &Reconfigured, wanted: &Reconfigure) -> bool {
    let holds = wanted.mode.is_none_or(|mode| mode == answer.mode)
        && wanted.bitrate_kbps.is_none_or(|kbps| kbps == answer.bitrate_kbps);
    holds || !answer.refused.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: Mode = Mode { width: 640, height: 360, refresh_mhz: 60_000 };

    fn rate(kbps: u32) -> Reconfigure {
        Reconfigure { bitrate_kbps: Some(kbps), ..Reconfigure::default() }
    }

    fn answer(kbps: u32, refused: &str) -> Reconfigured {
        Reconfigured { mode: MODE, bitrate_kbps: kbps, from_au: 7, refused: refused.to_owned() }
    }

    #[test]
    fn changes_are_asked_for_in_order_and_somebody_elses_is_no_answer() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        changes.want(rate(3_000));
        changes.want(rate(4_000));
        assert_eq!(changes.poll_ask(now), Some(rate(3_000)));
        assert_eq!(changes.poll_ask(now), None, "one at a time");
        changes.handle(&answer(9_000, ""));
        assert_eq!(changes.poll_ask(now), None, "the console's change is no answer");
        changes.handle(&answer(3_000, ""));
        assert_eq!(changes.poll_ask(now), Some(rate(4_000)));
        changes.handle(&answer(3_000, "too much"));
        assert!(!changes.is_awaited(now));
        assert_eq!((changes.done, changes.refused), (2, 1));
        // One that is never answered holds up what comes after it for a while.
        changes.want(rate(5_000));
        changes.want(rate(6_000));
        assert_eq!(changes.poll_ask(now), Some(rate(5_000)));
        assert_eq!(changes.poll_ask(now + ANSWER_MAX), Some(rate(6_000)));
    }

    #[test]
    fn quit_comes_after_what_was_said_before_it_and_waits_for_no_late_answer() {
        let (mut changes, now) = (Changes::default(), Instant::now());
        assert!(!changes.is_over(now));
        changes.want(rate(3_000));
        changes.want(rate(4_000));
        assert_eq!(changes.poll_ask(now), Some(rate(3_000)));
        changes.quit(now);
        assert!(!changes.listens() && !changes.is_over(now));
        let later = now + QUIT_WAIT - Duration::from_millis(1);
        changes.handle(&answer(3_000, ""));
        assert_eq!(changes.poll_ask(later), Some(rate(4_000)));
        // It waits for each.
        assert!(!changes.is_over(now + QUIT_WAIT));
        assert!(changes.is_over(later + QUIT_WAIT));
        changes.handle(&answer(4_000, ""));
        assert!(changes.is_over(later));
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let mut changes = Changes::default();
        let said =
            (0..1_000).take_while(|kbps| changes.listens().then(|| changes.want(rate(*kbps))).is_some());
        assert_eq!(said.count(), HELD_MAX);
    }
}
