//! A session's source: the way that gives pictures now, and the search for the next one when it ends.
//!
//! Promises: no verb waits longer than it was told, whatever a way does: ways are opened, and let go, on threads of
//! their own; a way that has no picture in time is refused in its own words where it has any; numbers, counters and the
//! mode go on over a change. Refuses to leave anything behind: what was opened too late is closed again, and dropping
//! the chain waits for that.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use punktfunk_capture::{CaptureError, Counters, Mode, Patience, Picture, Source};

use super::plan::FIRST_PICTURE_MAX;
use super::{Fall, Fault, Open, Plan, Refused, Step, Way, WayOpened};
use crate::desktop::Desktop;
use crate::encode::{Coding, Codings};
use crate::error::HostError;

/// A way that takes longer than this is told of: a person may have to do something.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// A way answers this long before its time is over, so that it can name what it waited for: more than a capture's own
/// grace. Of a short time it is half.
const ANSWER_MARGIN: Duration = Duration::from_millis(150);

/// What becomes of a session's pictures in mid-stream.
pub struct News {
    /// Where they come from now, in words; none while another way is looked for.
    pub source: Option<String>,
    /// Why it is not the one before.
    pub why: String,
    /// The pictures' mode.
    pub mode: Mode,
    /// What is shown from now on, where it is a desktop; told with a source.
    pub desktop: Option<Desktop>,
    /// All falls of the session.
    pub falls: Vec<Fall>,
}

/// A chain that has its first picture.
pub struct Begun {
    /// The source.
    pub chain: Chain,
    /// What is shown, where it is a desktop.
    pub desktop: Option<Desktop>,
    /// The source in words, with what it takes the place of.
    pub text: String,
    /// What comes later.
    pub news: Receiver<News>,
}

/// The way that gives pictures.
struct Current {
    source: Box<dyn Source>,
    /// What it had counted when it was taken.
    before: Counters,
    /// What its numbers are raised by.
    number_base: u64,
}

/// A way on its way.
struct Attempt {
    way: Way,
    began: Instant,
    /// Whether it was told of that it takes its time.
    told: bool,
    patience: Patience,
    outcome: Receiver<Result<WayOpened, HostError>>,
}

/// A way that was found.
struct Found {
    opened: WayOpened,
    is_card: bool,
    /// What was said of those before it.
    before: String,
}

/// What is heard of a way that is being opened.
enum Heard {
    Found(Found),
    Refused,
    Nothing,
}

/// A source of pictures that goes on by other ways.
pub struct Chain {
    plan: Plan,
    doors: Arc<dyn Open>,
    /// What pictures may be coded as: no way is taken whose pictures are not.
    codings: Codings,
    current: Option<Current>,
    attempt: Option<Attempt>,
    /// What the current way said last, where a verb could not act on it.
    broke: Option<CaptureError>,
    /// What the next way is opened at: what was asked for, and then what the last way had.
    mode: Mode,
    /// How often pictures came from elsewhere than before.
    changes: u64,
    next_number: u64,
    past: Counters,
    news: Sender<News>,
    /// Ways that are being let go.
    leaving: Vec<JoinHandle<()>>,
    refused: Option<HostError>,
    /// Dmabufs are declined of every way from now on.
    takes_no_dmabufs: bool,
}

impl Chain {
    /// Looks for the first of `ways` that gives a picture, as long as `patience` lasts; tells `waits` of each that takes
    /// its time.
    ///
    /// # Errors
    /// None of them does: [`HostError::NoWay`] with each one's reason, or the only one's own error. Or nobody waits any
    /// more.
    pub fn begin(
        ways: Vec<Way>,
        wanted: Mode,
        (doors, codings): (Arc<dyn Open>, Codings),
        patience: &Patience,
        mut waits: impl FnMut(&str),
    ) -> Result<Begun, HostError> {
        let (news, later) = mpsc::channel();
        let mut chain = Self {
            plan: Plan::new(ways),
            doors,
            codings,
            current: None,
            attempt: None,
            broke: None,
            mode: wanted,
            changes: 0,
            next_number: 0,
            past: Counters::default(),
            news,
            leaving: Vec::new(),
            refused: None,
            takes_no_dmabufs: false,
        };
        chain.plan.begin(patience.until);
        loop {
            if patience.is_given_up() {
                return Err(HostError::Impossible("the client left before its source was open".into()));
            }
            match chain.look(Instant::now() + SILENCE_MAX / 10) {
                Ok(None) => {}
                Ok(Some(Found { opened, is_card, before })) => {
                    let (desktop, text) = chain.adopt(opened);
                    let text = in_place(text, is_card, &before);
                    return Ok(Begun { chain, desktop, text, news: later });
                }
                Err(all) => return Err(chain.no_way(all)),
            }
            let is_silent = |attempt: &&mut Attempt| !attempt.told && attempt.began.elapsed() > SILENCE_MAX;
            if let Some(attempt) = chain.attempt.as_mut().filter(is_silent) {
                attempt.told = true;
                waits(waiting_for(&attempt.way));
            }
        }
    }

    /// A coding was agreed on: pictures of later ways are held to it.
    pub fn hold_to(&mut self, coding: Coding) {
        self.codings = self.codings.only(coding);
    }

    /// The falls until now.
    pub fn falls(&self) -> Vec<Fall> {
        self.plan.falls().to_vec()
    }

    fn no_way(&mut self, all: String) -> HostError {
        match self.refused.take() {
            Some(last) if all == last.to_string() => last,
            Some(last) => HostError::NoWay { last: Box::new(last), all },
            None => HostError::Late(all),
        }
    }

    /// The way that gave pictures has ended.
    fn lose(&mut self, error: &CaptureError, now: Instant) {
        let Some(current) = self.current.take() else { return };
        self.mode = current.source.mode();
        let counted = current.source.counters();
        self.past = sum(self.past, difference(counted, current.before));
        // A producer that hangs may hold it up.
        self.leave(move || drop(current.source));
        self.plan.handle_end(&Fault::of_capture(error), now);
        tracing::warn!(%error, "the pictures ended; looking for another way");
        let (mode, falls) = (self.mode, self.falls());
        let news = News { source: None, why: error.to_string(), mode, desktop: None, falls };
        // The session that listened is gone when nobody does; this source follows it.
        let _ = self.news.send(news);
    }

    /// One round of the search, until `until` at most; a way that was found, or the words for there being none.
    fn look(&mut self, until: Instant) -> Result<Option<Found>, String> {
        loop {
            let now = Instant::now();
            let next = match self.plan.poll(now) {
                Step::Flowing => return Ok(None),
                Step::Open { way, until } => {
                    self.start(way, now, until);
                    continue;
                }
                Step::Wait { until: next } => next.min(until),
                Step::Late { text } => match self.hear(Duration::ZERO) {
                    Heard::Found(found) => return Ok(Some(found)),
                    Heard::Refused => continue,
                    Heard::Nothing => {
                        self.let_go();
                        self.refuse(HostError::Late(text));
                        continue;
                    }
                },
                Step::GiveUp { text } => return Err(text),
            };
            let patience = next.saturating_duration_since(now);
            if self.attempt.is_none() {
                // A slice that comes home may wake it: then it looks again.
                thread::park_timeout(patience);
            } else if let Heard::Found(found) = self.hear(patience) {
                return Ok(Some(found));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// What the way says that is being opened.
    fn hear(&mut self, patience: Duration) -> Heard {
        let Some(attempt) = &self.attempt else { return Heard::Nothing };
        match attempt.outcome.recv_timeout(patience) {
            Ok(Ok(opened)) => {
                let is_card = attempt.way == Way::Card;
                self.attempt = None;
                let before = self.plan.said();
                self.plan.handle_opened();
                Heard::Found(Found { opened, is_card, before })
            }
            Ok(Err(error)) => self.refuse(error),
            Err(RecvTimeoutError::Disconnected) => {
                self.refuse(HostError::Impossible("opening it panicked; our fault".into()))
            }
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
        }
    }

    fn refuse(&mut self, error: HostError) -> Heard {
        self.attempt = None;
        self.plan.handle_refused(&Fault::of(&error), Instant::now());
        self.refused = Some(error);
        Heard::Refused
    }

    fn start(&mut self, way: Way, now: Instant, until: Instant) {
        let said = self.plan.said();
        if !said.is_empty() {
            tracing::warn!(why = %said, "{}", way.instead());
        }
        let (tell, outcome) = mpsc::channel();
        let answer_at = until - ANSWER_MARGIN.min((until - now) / 2);
        let usual = answer_at.min(now + FIRST_PICTURE_MAX - ANSWER_MARGIN);
        let patience = Patience { person_until: answer_at, ..Patience::until(usual) };
        let (doors, opened, mode) = (Arc::clone(&self.doors), way.clone(), self.mode);
        let (waited, codings) = (patience.clone(), self.codings.clone());
        self.attempt = Some(Attempt { way, began: now, told: false, patience, outcome });
        let open = move || match doors.open(&opened, mode, &codings, &waited) {
            // Where nobody waits any more it is handed back, and closed here.
            Ok(way) => {
                if let Err(mpsc::SendError(Ok(late))) = tell.send(Ok(way)) {
                    late.close();
                }
            }
            Err(Refused { error, rest }) => {
                // Nobody who waits has to hear of it.
                let _ = tell.send(Err(error));
                rest.into_iter().for_each(|rest| rest.close());
            }
        };
        if let Err(source) = self.spawn("way", open) {
            let name = "a thread to open it".to_owned();
            self.refuse(CaptureError::Read { name, source }.into());
        }
    }

    /// Nobody waits for the way that is being opened; one that is there already is closed elsewhere.
    fn let_go(&mut self) {
        let Some(attempt) = self.attempt.take() else { return };
        attempt.patience.give_up();
        self.leave(move || {
            if let Ok(Ok(late)) = attempt.outcome.recv() {
                late.close();
            }
        });
    }

    /// Does what may take its time, elsewhere.
    fn leave(&mut self, work: impl FnOnce() + Send + 'static) {
        if let Err(error) = self.spawn("leaving", work) {
            tracing::warn!(%error, "no thread to close a source on; it was closed in place");
        }
    }

    /// Where no thread can be had, what `work` holds is dropped here.
    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.leaving.retain(|thread| !thread.is_finished());
        self.leaving.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    fn adopt(&mut self, opened: WayOpened) -> (Option<Desktop>, String) {
        let WayOpened { mut source, desktop, text } = opened;
        if self.takes_no_dmabufs {
            source.decline_all();
        }
        self.mode = source.mode();
        let before = source.counters();
        self.current = Some(Current { source, before, number_base: self.next_number });
        self.changes += 1;
        (desktop, text)
    }

    /// Goes on looking; whether there is a way again.
    fn search(&mut self, until: Instant) -> Result<bool, CaptureError> {
        match self.look(until) {
            Ok(None) => Ok(false),
            Ok(Some(Found { opened, before, .. })) => {
                let (desktop, text) = self.adopt(opened);
                tracing::info!(source = text, "pictures flow again");
                let (mode, falls) = (self.mode, self.falls());
                let _ = self.news.send(News { source: Some(text), why: before, mode, desktop, falls });
                Ok(true)
            }
            Err(said) => {
                let (mode, falls) = (self.mode, self.falls());
                let _ = self.news.send(News { source: None, why: said.clone(), mode, desktop: None, falls });
                Err(CaptureError::NoWayLeft { said })
            }
        }
    }
}

impl Source for Chain {
    fn describe(&self) -> String {
        match &self.current {
            Some(current) => current.source.describe(),
            None => "no source at present".to_owned(),
        }
    }

    fn mode(&self) -> Mode {
        self.current.as_ref().map_or(self.mode, |current| current.source.mode())
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn restart(&mut self, started: Instant) {
        if let Some(current) = &mut self.current {
            current.source.restart(started);
            current.before = current.source.counters();
        }
        self.past = Counters::default();
    }

    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(error) = self.broke.take() {
                self.lose(&error, Instant::now());
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.current.as_mut().map(|current| current.source.wait_picture(left)) {
                Some(Ok(is_there)) => return Ok(is_there),
                Some(Err(error)) => self.broke = Some(error),
                None if self.search(until)? => {}
                None => return Ok(false),
            }
        }
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        match current.source.take_picture() {
            Ok(None) => Ok(None),
            Ok(Some(picture)) => {
                let number = current.number_base + picture.number;
                self.next_number = number + 1;
                Ok(Some(Picture { number, ..picture }))
            }
            Err(error) => {
                self.broke = Some(error);
                Ok(None)
            }
        }
    }

    fn give_back(&mut self) {
        if let Some(current) = &mut self.current {
            current.source.give_back();
        }
    }

    fn decline(&mut self, fourcc: u32, modifier: u64) {
        if let Some(current) = &mut self.current {
            current.source.decline(fourcc, modifier);
        }
    }

    fn decline_all(&mut self) {
        self.takes_no_dmabufs = true;
        if let Some(current) = &mut self.current {
            current.source.decline_all();
        }
    }

    fn skip(&mut self) {
        if let Some(current) = &mut self.current {
            current.source.skip();
        }
    }

    fn counters(&self) -> Counters {
        self.current.as_ref().map_or(self.past, |current| {
            sum(self.past, difference(current.source.counters(), current.before))
        })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.let_go();
        self.current = None;
        for thread in self.leaving.drain(..) {
            // A panic of one concerns nobody any more.
            let _ = thread.join();
        }
    }
}

/// What a person may have to see to.
fn waiting_for(way: &Way) -> &'static str {
    match way {
        Way::PipeWire(None) => {
            "waiting for the desktop's portal: is a permission dialog waiting on the host's screen?"
        }
        Way::PipeWire(Some(_)) => "waiting for the PipeWire node's first picture",
        Way::Mutter(_) | Way::MutterVirtual => "waiting for the first picture of GNOME's mutter",
        Way::Wayland(_) => "waiting for the compositor's first picture",
        Way::Own => "a desktop of our own is being started",
        Way::Card => "the test card is being painted",
    }
}

/// The source in words, with what it takes the place of.
fn in_place(text: String, is_card: bool, before: &str) -> String {
    match (before.is_empty(), is_card) {
        (true, _) => text,
        (false, true) => format!("{text}, because no desktop can be had: {before}"),
        (false, false) => format!("{text}, in place of {before}"),
    }
}

fn sum(a: Counters, b: Counters) -> Counters {
    Counters {
        captured: a.captured + b.captured,
        superseded: a.superseded + b.superseded,
        skipped: a.skipped + b.skipped,
        spoiled: a.spoiled + b.spoiled,
        stamped_here: a.stamped_here + b.stamped_here,
        copied_bytes: a.copied_bytes + b.copied_bytes,
        dmabufs: a.dmabufs + b.dmabufs,
        memory_falls: a.memory_falls + b.memory_falls,
    }
}

fn difference(now: Counters, before: Counters) -> Counters {
    Counters {
        captured: now.captured - before.captured,
        superseded: now.superseded - before.superseded,
        skipped: now.skipped - before.skipped,
        spoiled: now.spoiled - before.spoiled,
        stamped_here: now.stamped_here - before.stamped_here,
        copied_bytes: now.copied_bytes - before.copied_bytes,
        dmabufs: now.dmabufs - before.dmabufs,
        memory_falls: now.memory_falls - before.memory_falls,
    }
}

#[cfg(test)]
mod tests;
