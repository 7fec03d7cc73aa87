//! Which way is tried next, and until when: the watchdog's decisions, without a clock or a thread.
//!
//! Promises: a search ends in time, with pictures or with every way's reason; the ways behind one that hangs keep
//! theirs; a permanent fault is not tried again in the session; a way that keeps ending is opened [`OPENINGS_MAX`]
//! times and then again only when it has held for [`HELD_MIN`]. Refuses to open two ways at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Fault, Way};

/// From a stream's fault to pictures, or to its end with a diagnosis.
pub const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// From a Hello to a source with a picture: what control waits for a Welcome, less what is done besides.
pub const OPENING_MAX: Duration = Duration::from_secs(27);

const _: () = assert!(OPENING_MAX.as_secs() + 3 <= punktfunk_control::limits::WELCOME_MAX.as_secs());

/// One way's time to its first picture.
pub const FIRST_PICTURE_MAX: Duration = punktfunk_capture::limits::FIRST_PICTURE_DEADLINE;

/// The same where a person may have to find the dialog on the host's screen first.
pub const DIALOG_MAX: Duration = Duration::from_secs(15);

/// Openings of one way that has not held in between.
const OPENINGS_MAX: u32 = 3;

/// A way that gave pictures for this long has held.
const HELD_MIN: Duration = Duration::from_secs(60);

/// From a way's end to its next opening, doubled with each one that did not hold.
const BACK_OFF: Duration = Duration::from_millis(200);

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pictures flow.
    Flowing,
    /// Open this way, and leave any other that is being opened; a picture of it must be there by `until`.
    Open {
        /// Which.
        way: Way,
        /// Its time.
        until: Instant,
    },
    /// Nothing before then.
    Wait {
        /// When to ask again.
        until: Instant,
    },
    /// There are no more pictures.
    GiveUp {
        /// Every way that was tried, and why not.
        text: String,
    },
}

/// A fall from one way to another, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// The way that gave no pictures.
    pub from: &'static str,
    /// The way that was tried in its place; "none" where there was none.
    pub to: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How many times.
    pub count: u64,
}

/// What is known of one way.
#[derive(Debug)]
struct Known {
    way: Way,
    /// Openings since it last held.
    openings: u32,
    not_before: Option<Instant>,
    /// A permanent fault.
    barred: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Looking(Search),
    Flowing { index: usize, since: Instant },
    Over { text: String },
}

/// A search for a way.
#[derive(Debug)]
struct Search {
    queue: VecDeque<usize>,
    ends: Instant,
    /// Whether a person's dialog is waited for.
    at_start: bool,
    opening: Option<(usize, Instant)>,
    /// The way that failed last, and why.
    last: Option<(usize, &'static str)>,
    /// What each way said.
    said: Vec<(usize, String)>,
}

/// The decisions.
#[derive(Debug)]
pub struct Plan {
    known: Vec<Known>,
    state: State,
    falls: Vec<Fall>,
}

impl Plan {
    /// A plan for these ways, best first.
    pub fn new(ways: Vec<Way>) -> Self {
        let known = |way| Known { way, openings: 0, not_before: None, barred: false };
        Self { known: ways.into_iter().map(known).collect(), state: State::Idle, falls: Vec::new() }
    }

    /// Begins to look for the first way.
    pub fn begin(&mut self, now: Instant) {
        self.state = State::Looking(Search {
            queue: (0..self.known.len()).collect(),
            ends: now + OPENING_MAX,
            at_start: true,
            opening: None,
            last: None,
            said: Vec::new(),
        });
    }

    /// The way that gave pictures gives none any more.
    pub fn handle_end(&mut self, fault: &Fault, now: Instant) {
        let State::Flowing { index, since } = self.state else { return };
        let known = &mut self.known[index];
        if now.saturating_duration_since(since) >= HELD_MIN {
            known.openings = 0;
        }
        let back_off = if fault.has_other || known.way == Way::Own {
            Duration::ZERO
        } else {
            BACK_OFF * (1 << known.openings.min(4))
        };
        known.not_before = Some(now + back_off);
        let mut search = Search {
            queue: self.order_after(index, fault),
            ends: now + RECOVERY_MAX,
            at_start: false,
            opening: None,
            last: None,
            said: Vec::new(),
        };
        search.note(index, fault);
        self.known[index].barred |= !fault.is_passing;
        self.state = State::Looking(search);
    }

    /// The same screen by its other doors, the same door again, other screens: best first each. What can show
    /// another screen by itself is asked for that first.
    fn order_after(&self, index: usize, fault: &Fault) -> VecDeque<usize> {
        let screen = self.known[index].way.screen();
        let others = || (0..self.known.len()).filter(|&other| other != index);
        let (same, rest): (Vec<_>, Vec<_>) =
            others().partition(|&other| self.known[other].way.screen() == screen);
        if fault.has_other {
            return std::iter::once(index).chain(same).chain(rest).collect();
        }
        same.into_iter().chain([index]).chain(rest).collect()
    }

    /// The way that was to be opened has a picture.
    pub fn handle_opened(&mut self, now: Instant) {
        if let State::Looking(Search { opening: Some((index, _)), .. }) = self.state {
            self.state = State::Flowing { index, since: now };
        }
    }

    /// The way that was to be opened cannot be had.
    pub fn handle_refused(&mut self, fault: &Fault, now: Instant) {
        let State::Looking(search) = &mut self.state else { return };
        let Some((index, _)) = search.opening.take() else { return };
        search.note(index, fault);
        let known = &mut self.known[index];
        known.barred |= !fault.is_passing;
        known.not_before = Some(now + BACK_OFF);
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Step {
        if let State::Looking(Search { opening: Some((index, until)), .. }) = &self.state {
            if now < *until {
                return Step::Wait { until: *until };
            }
            let fault = Fault::too_late(self.too_late(*index));
            self.handle_refused(&fault, now);
        }
        match &self.state {
            State::Looking(_) => self.next(now),
            State::Flowing { .. } => Step::Flowing,
            State::Over { text } => Step::GiveUp { text: text.clone() },
            State::Idle => Step::Wait { until: now + RECOVERY_MAX },
        }
    }

    fn too_late(&self, index: usize) -> String {
        match self.known[index].way {
            Way::PipeWire(None) => {
                "no picture came through PipeWire in time: is a permission dialog waiting on the host's screen?"
            }
            Way::PipeWire(Some(_)) => "the PipeWire node gave no picture in time: does what makes it run?",
            Way::Mutter(_) | Way::MutterVirtual => "GNOME's mutter gave no picture in time: does it hang?",
            Way::Wayland(_) => "the compositor gave no picture in time: does it hang?",
            Way::Own => "a desktop of our own was not ready in time: is this machine very busy?",
            Way::Card => "the test card was not ready in time: is this machine very busy?",
        }
        .to_owned()
    }

    fn next(&mut self, now: Instant) -> Step {
        let Self { known, state, falls } = self;
        let State::Looking(search) = state else { return Step::Flowing };
        while let Some(&index) = search.queue.front() {
            let one = &known[index];
            let due = one.not_before.unwrap_or(now);
            if one.barred || one.openings >= OPENINGS_MAX || due >= search.ends || now >= search.ends {
                search.queue.pop_front();
                search.skip(index, one, now >= search.ends);
                continue;
            }
            if due > now {
                return Step::Wait { until: due };
            }
            search.queue.pop_front();
            let until = search.until(known, index, now);
            search.opening = Some((index, until));
            let one = &mut known[index];
            one.openings += 1;
            if let Some((from, reason)) = search.last {
                count(falls, known[from].way.name(), known[index].way.name(), reason);
            }
            return Step::Open { way: known[index].way.clone(), until };
        }
        let text = search.words(known);
        if let Some((from, reason)) = search.last {
            count(falls, known[from].way.name(), "none", reason);
        }
        *state = State::Over { text: text.clone() };
        Step::GiveUp { text }
    }

    /// The falls until now.
    pub fn falls(&self) -> &[Fall] {
        &self.falls
    }

    /// What the ways said that this search came past, the newest last; empty while pictures flow.
    pub fn said(&self) -> String {
        match &self.state {
            State::Looking(search) => search.words(&self.known),
            State::Over { text } => text.clone(),
            State::Idle | State::Flowing { .. } => String::new(),
        }
    }
}

impl Search {
    fn note(&mut self, index: usize, fault: &Fault) {
        self.last = Some((index, fault.reason));
        self.said.push((index, fault.text.clone()));
    }

    /// A way that is passed over says so, unless it has said why already.
    fn skip(&mut self, index: usize, known: &Known, is_late: bool) {
        if self.said.iter().any(|(said, _)| *said == index) {
            return;
        }
        let text = if known.barred {
            "could not be had before".to_owned()
        } else if is_late {
            "there was no time left for it".to_owned()
        } else {
            format!("was opened {} times within {} s already", known.openings, HELD_MIN.as_secs())
        };
        self.said.push((index, text));
    }

    /// A way's time: no more than its kind needs, and what leaves the ways behind it theirs.
    fn until(&self, known: &[Known], index: usize, now: Instant) -> Instant {
        let usable = |&&behind: &&usize| !known[behind].barred && known[behind].openings < OPENINGS_MAX;
        let behind: Duration =
            self.queue.iter().filter(usable).map(|&behind| usual(&known[behind].way)).sum();
        let most = match known[index].way {
            Way::PipeWire(None) if self.at_start => DIALOG_MAX,
            _ => FIRST_PICTURE_MAX,
        };
        let left = self.ends.saturating_duration_since(now);
        let fair = left.saturating_sub(behind).max(usual(&known[index].way));
        now + fair.min(most).min(left)
    }

    fn words(&self, known: &[Known]) -> String {
        if let [(_, text)] = &self.said[..] {
            return text.clone();
        }
        let words = self.said.iter().map(|(index, text)| format!("{}: {text}", known[*index].way));
        words.collect::<Vec<_>>().join("; ")
    }
}

/// What a way takes on a machine that is not very busy.
fn usual(way: &Way) -> Duration {
    Duration::from_millis(match way {
        Way::PipeWire(_) | Way::Mutter(_) | Way::MutterVirtual => 400,
        Way::Wayland(_) => 200,
        Way::Own => 1_000,
        Way::Card => 100,
    })
}

fn count(falls: &mut Vec<Fall>, from: &'static str, to: &'static str, reason: &'static str) {
    let same = |fall: &&mut Fall| (fall.from, fall.to, fall.reason) == (from, to, reason);
    match falls.iter_mut().find(same) {
        Some(fall) => fall.count += 1,
        None => falls.push(Fall { from, to, reason, count: 1 }),
    }
}

#[cfg(test)]
mod tests;
