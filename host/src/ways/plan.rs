//! Which way is tried next, and until when: the watchdog's decisions, without a clock or a thread.
//!
//! Promises: a search ends in time, with pictures or with every way's reason; the ways behind one that hangs keep
//! theirs; a permanent fault is not tried again in the session; a screen that a person does not want shown is shown by
//! none of its doors; a way is opened [`OPENINGS_MAX`] times within [`OPENINGS_SPAN`] and no more. Refuses to open two
//! ways at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Fault, Outlook, Way};

/// From when a stream's fault is noticed to pictures, or to its end with a diagnosis. What ends is noticed at once; of
/// what falls silent, PipeWire after 1.6 seconds and a compositor after six: see the limits of capture.
pub const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// From a Hello to a source with a picture, the end of the session before it included: what control waits for a Welcome,
/// less what is done besides.
pub const OPENING_MAX: Duration = Duration::from_secs(27);

const _: () = assert!(OPENING_MAX.as_secs() + 3 <= punktfunk_control::limits::WELCOME_MAX.as_secs());

/// One way's time to its first picture.
pub const FIRST_PICTURE_MAX: Duration = punktfunk_capture::limits::FIRST_PICTURE_DEADLINE;

/// The same where a person may have to find the dialog on the host's screen first.
pub const DIALOG_MAX: Duration = Duration::from_secs(15);

/// Openings of one way within [`OPENINGS_SPAN`]: a program that keeps ending is not started in a loop.
const OPENINGS_MAX: usize = 3;

/// See [`OPENINGS_MAX`].
const OPENINGS_SPAN: Duration = Duration::from_secs(60);

/// From a way's end to its next opening, doubled with each one within [`OPENINGS_SPAN`].
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
    /// The way that is being opened has had its time: it is to be refused, unless it came in the same instant.
    Late {
        /// Its refusal in words.
        text: String,
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
    /// Whether the one is less than the other: a fallback.
    pub is_lesser: bool,
    /// How many times.
    pub count: u64,
}

/// What is known of one way.
#[derive(Debug)]
struct Known {
    way: Way,
    /// The last times that it was opened, [`OPENINGS_MAX`] at most, the oldest first.
    openings: VecDeque<Instant>,
    not_before: Option<Instant>,
    /// Why it is not opened any more.
    barred: Option<&'static str>,
}

impl Known {
    fn new(way: Way) -> Self {
        Self { way, openings: VecDeque::with_capacity(OPENINGS_MAX), not_before: None, barred: None }
    }

    /// Openings that count.
    fn openings(&self, now: Instant) -> usize {
        self.openings.iter().filter(|at| now.saturating_duration_since(**at) < OPENINGS_SPAN).count()
    }

    fn note_opening(&mut self, now: Instant) {
        if self.openings.len() == OPENINGS_MAX {
            self.openings.pop_front();
        }
        self.openings.push_back(now);
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.barred.is_none() && self.openings(now) < OPENINGS_MAX
    }

    /// Whether what is left until `ends` is worth an opening.
    fn has_time(&self, now: Instant, ends: Instant) -> bool {
        let due = self.not_before.unwrap_or(now).max(now);
        ends.saturating_duration_since(due) >= usual(&self.way) / 2
    }

    fn back_off(&mut self, now: Instant) {
        let doubled = u32::try_from(self.openings(now)).unwrap_or(u32::MAX).min(4);
        self.not_before = Some(now + BACK_OFF * (1 << doubled));
    }
}

#[derive(Debug)]
enum State {
    Idle,
    Looking(Search),
    Flowing { index: usize },
    Over { text: String },
}

/// A search for a way.
#[derive(Debug)]
struct Search {
    queue: VecDeque<usize>,
    ends: Instant,
    /// The way that gave pictures before; none at a start, where a person's dialog may be waited for.
    lost: Option<usize>,
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
        let known = ways.into_iter().map(Known::new).collect();
        Self { known, state: State::Idle, falls: Vec::new() }
    }

    /// Begins to look for the first way, until then at most.
    pub fn begin(&mut self, ends: Instant) {
        let queue = (0..self.known.len()).collect();
        self.state = State::Looking(Search::new(queue, ends, None));
    }

    /// The way that gave pictures gives none any more.
    pub fn handle_end(&mut self, fault: &Fault, now: Instant) {
        let State::Flowing { index } = self.state else { return };
        let known = &mut self.known[index];
        if fault.outlook == Outlook::Other || known.way == Way::Own {
            known.not_before = None;
        } else {
            known.back_off(now);
        }
        let queue = self.order_after(index, fault);
        let mut search = Search::new(queue, now + RECOVERY_MAX, Some(index));
        search.note(index, fault);
        self.bar(index, fault);
        self.state = State::Looking(search);
    }

    /// What is not to be had in this session any more.
    fn bar(&mut self, index: usize, fault: &Fault) {
        match fault.outlook {
            Outlook::Passing | Outlook::Silent | Outlook::Other => {}
            Outlook::Permanent => self.known[index].barred = Some("could not be had before"),
            Outlook::Declined => {
                let screen = self.known[index].way.screen();
                for other in self.known.iter_mut().filter(|other| other.way.screen() == screen) {
                    other.barred = Some("somebody at the desktop does not want its screen shown");
                }
            }
        }
    }

    /// The same screen by its other doors, the same door again, other screens: best first each. What can show
    /// another screen by itself is asked for that first; what does not answer is left to the end.
    fn order_after(&self, index: usize, fault: &Fault) -> VecDeque<usize> {
        let screen = self.known[index].way.screen();
        let others = || (0..self.known.len()).filter(|&other| other != index);
        let (same, rest): (Vec<_>, Vec<_>) =
            others().partition(|&other| self.known[other].way.screen() == screen);
        match fault.outlook {
            Outlook::Other => std::iter::once(index).chain(same).chain(rest).collect(),
            Outlook::Silent => same.into_iter().chain(rest).collect(),
            Outlook::Passing | Outlook::Permanent | Outlook::Declined => {
                same.into_iter().chain([index]).chain(rest).collect()
            }
        }
    }

    /// The way that was to be opened has a picture.
    pub fn handle_opened(&mut self) {
        if let State::Looking(Search { opening: Some((index, _)), .. }) = self.state {
            self.state = State::Flowing { index };
        }
    }

    /// The way that was to be opened cannot be had.
    pub fn handle_refused(&mut self, fault: &Fault, now: Instant) {
        let State::Looking(search) = &mut self.state else { return };
        let Some((index, _)) = search.opening.take() else { return };
        search.note(index, fault);
        self.known[index].back_off(now);
        self.bar(index, fault);
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Step {
        if let State::Looking(Search { opening: Some((index, until)), .. }) = &self.state {
            if now < *until {
                return Step::Wait { until: *until };
            }
            return Step::Late { text: self.too_late(*index) };
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
        while let Some(index) = search.front(known, now) {
            let one = &known[index];
            let has_time = one.has_time(now, search.ends);
            if !one.is_usable(now) || !has_time {
                search.queue.pop_front();
                search.skip(index, one, !has_time, now);
                continue;
            }
            if let Some(due) = one.not_before.filter(|due| *due > now) {
                return Step::Wait { until: due };
            }
            search.queue.pop_front();
            let until = search.until(known, index, now);
            search.opening = Some((index, until));
            known[index].note_opening(now);
            if let Some((from, reason)) = search.last {
                let (from, to) = ((from, known[from].way.name()), (index, known[index].way.name()));
                count(falls, from, Some(to), reason);
            }
            return Step::Open { way: known[index].way.clone(), until };
        }
        let text = search.words(known);
        if let Some((from, reason)) = search.last {
            count(falls, (from, known[from].way.name()), None, reason);
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
    fn new(queue: VecDeque<usize>, ends: Instant, lost: Option<usize>) -> Self {
        Self { queue, ends, lost, opening: None, last: None, said: Vec::new() }
    }

    /// The next way. Behind all of them the one that was lost may go once more: what gave its pictures may have been
    /// restarted meanwhile.
    fn front(&mut self, known: &[Known], now: Instant) -> Option<usize> {
        if self.queue.is_empty()
            && let Some(lost) = self.lost
            && known[lost].is_usable(now)
            && known[lost].has_time(now, self.ends)
        {
            self.queue.push_back(lost);
        }
        self.queue.front().copied()
    }

    fn note(&mut self, index: usize, fault: &Fault) {
        self.last = Some((index, fault.reason));
        let said = (index, fault.text.clone());
        if !self.said.contains(&said) {
            self.said.push(said);
        }
    }

    /// A way that is passed over says so, unless it has said why already.
    fn skip(&mut self, index: usize, known: &Known, is_late: bool, now: Instant) {
        if self.said.iter().any(|(said, _)| *said == index) {
            return;
        }
        let text = match known.barred {
            Some(why) => why.to_owned(),
            None if is_late => "there was no time left for it".to_owned(),
            None => {
                format!("was opened {} times within {} s", known.openings(now), OPENINGS_SPAN.as_secs())
            }
        };
        self.said.push((index, text));
    }

    /// A way's time: no more than its kind needs, and what leaves the ways behind it theirs.
    fn until(&self, known: &[Known], index: usize, now: Instant) -> Instant {
        let usable = |&&behind: &&usize| known[behind].is_usable(now);
        let behind: Duration =
            self.queue.iter().filter(usable).map(|&behind| usual(&known[behind].way)).sum();
        let most = match known[index].way {
            Way::PipeWire(None) if self.lost.is_none() => DIALOG_MAX,
            Way::PipeWire(_)
            | Way::Mutter(_)
            | Way::MutterVirtual
            | Way::Wayland(_)
            | Way::Own
            | Way::Card => FIRST_PICTURE_MAX,
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

/// Counts a fall between two ways, each with its place in the order.
fn count(
    falls: &mut Vec<Fall>,
    from: (usize, &'static str),
    to: Option<(usize, &'static str)>,
    reason: &'static str,
) {
    let is_lesser = to.is_some_and(|to| to.0 > from.0);
    let (from, to) = (from.1, to.map_or("none", |to| to.1));
    let same = |fall: &&mut Fall| (fall.from, fall.to, fall.reason) == (from, to, reason);
    match falls.iter_mut().find(same) {
        Some(fall) => fall.count += 1,
        None => falls.push(Fall { from, to, reason, is_lesser, count: 1 }),
    }
}

#[cfg(test)]
mod tests;
