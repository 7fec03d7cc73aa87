//! Where the host's loop and the web server meet.
//!
//! Promises: neither waits for the other: the host publishes when it likes and takes asks when it has time; the
//! server waits for an answer on its own thread, for a bounded time. An answer is given with the next status, so that
//! whoever has it finds what it tells of. An ask that is dropped unanswered is an error at the other end, never a
//! silence. Refuses more asks than [`ASKS_MAX`] at once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use crate::limits::{ANSWER_MAX, ASKS_MAX};
use crate::model::{
    Compositor, Device, Diagnosis, Pairing, Reconfigure, Recording, Setting, SpeedTest, SpeedTestRequest,
    Status,
};

/// Why the host does not do what it was asked for, as far as the caller can tell the cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such session, device or request.
    NotFound,
    /// It is there, and its state does not allow it.
    Conflict,
    /// What was asked for makes no sense.
    Invalid,
    /// Tried too often; later it may be granted.
    TooSoon,
    /// The host cannot do it.
    Failed,
}

/// A refusal, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which kind.
    pub why: Why,
    /// What is wrong, and whose fault it is.
    pub error: String,
    /// What to do; empty where nothing can be done.
    pub remedy: String,
}

impl Refused {
    /// A refusal.
    pub fn new(why: Why, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { why, error: error.into(), remedy: remedy.into() }
    }
}

/// Where an ask's answer goes.
#[derive(Debug)]
pub struct Reply<T> {
    way: oneshot::Sender<Result<T, Refused>>,
    held: Arc<Held>,
}

impl<T: Send + 'static> Reply<T> {
    /// Answers, from whichever thread: it is given with the next status. Whoever asked may have gone away; then nobody
    /// hears it.
    pub fn answer(self, answer: Result<T, Refused>) {
        let way = self.way;
        self.held.put(Box::new(move || _ = way.send(answer)));
    }

    /// A reply that no server waits for, as a test of a host's loop needs it.
    pub fn pair() -> (Self, Waiting<T>) {
        let ((way, answer), held) = (oneshot::channel(), Arc::<Held>::default());
        (Self { way, held: Arc::clone(&held) }, Waiting { answer, held })
    }
}

/// Whoever waits for a reply without a server.
#[derive(Debug)]
pub struct Waiting<T> {
    answer: oneshot::Receiver<Result<T, Refused>>,
    held: Arc<Held>,
}

impl<T> Waiting<T> {
    /// The answer, once.
    pub fn poll(&mut self) -> Option<Result<T, Refused>> {
        self.held.give();
        self.answer.try_recv().ok()
    }
}

/// Answers that wait for the next status: at most one for each ask.
#[derive(Default)]
struct Held(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Held {
    fn put(&self, answer: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn give(&self) {
        let answers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        answers.into_iter().for_each(|answer| answer());
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// What the server asks of the host, each with the way back.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the routes' own words")]
pub enum Ask {
    /// Which compositors could be shown.
    Compositors { reply: Reply<Vec<Compositor>> },
    /// End a session.
    EndSession { session: u64, reply: Reply<()> },
    /// Change a running session.
    Reconfigure { session: u64, change: Reconfigure, reply: Reply<()> },
    /// Open the pairing window for so many seconds.
    ArmPairing { seconds: u32, reply: Reply<Pairing> },
    /// Close it.
    CancelPairing { reply: Reply<Pairing> },
    /// Let a pending device in, under this name or its own.
    Approve { request: u64, name: Option<String>, reply: Reply<Device> },
    /// Turn a pending device away.
    Deny { request: u64, reply: Reply<()> },
    /// Every device that may connect.
    Devices { reply: Reply<Vec<Device>> },
    /// Give a device another name.
    RenameDevice { fingerprint: String, name: String, reply: Reply<Device> },
    /// Take a device's leave away; a session of it ends.
    RevokeDevice { fingerprint: String, reply: Reply<()> },
    /// Test a session's path.
    SpeedTest { request: SpeedTestRequest, reply: Reply<SpeedTest> },
    /// Every setting and where it comes from.
    Settings { reply: Reply<Vec<Setting>> },
    /// Write a setting into the file, or take it out.
    ChangeSetting { key: String, value: Option<String>, reply: Reply<Setting> },
    /// Look at every link of the chain.
    Diagnose { reply: Reply<Diagnosis> },
    /// The folders of `PUNKTFUNK_PERF` logs.
    Recordings { reply: Reply<Vec<Recording>> },
    /// Begin to record each stage's latency, for sessions from now on.
    StartRecording { reply: Reply<Recording> },
    /// End that.
    StopRecording { reply: Reply<Recording> },
}

/// The host's side.
#[derive(Debug)]
pub struct Desk {
    status: watch::Sender<Arc<Status>>,
    asks: mpsc::Receiver<Ask>,
    held: Arc<Held>,
}

impl Desk {
    /// What is so from now on; then the answers that are there.
    pub fn publish(&self, status: Status) {
        self.status.send_replace(Arc::new(status));
        self.held.give();
    }

    /// Whether answers wait for a status.
    pub fn has_answers(&self) -> bool {
        !self.held.is_empty()
    }

    /// The next ask, if one is there.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.try_recv().ok()
    }
}

/// The server's side.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) status: watch::Receiver<Arc<Status>>,
    asks: mpsc::Sender<Ask>,
    held: Arc<Held>,
}

impl Counter {
    /// Asks the host, and waits for its answer.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Refused> {
        let (way, answer) = oneshot::channel();
        let reply = Reply { way, held: Arc::clone(&self.held) };
        if let Err(error) = self.asks.try_send(ask(reply)) {
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => {
                    Refused::new(Why::TooSoon, "the host has too much to answer already", "try again")
                }
                mpsc::error::TrySendError::Closed(_) => ending(),
            });
        }
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ending()),
            Err(_) => Err(Refused::new(
                Why::Failed,
                format!("the host has not answered for {} s", ANSWER_MAX.as_secs()),
                "look at its log, and start it anew",
            )),
        }
    }
}

fn ending() -> Refused {
    Refused::new(Why::Failed, "the host program is ending", "start it anew")
}

/// The two sides of a desk.
pub(crate) fn desk() -> (Desk, Counter) {
    let (status, seen) = watch::channel(Arc::new(Status::default()));
    let (sender, asks) = mpsc::channel(ASKS_MAX);
    let held = Arc::<Held>::default();
    (Desk { status, asks, held: Arc::clone(&held) }, Counter { status: seen, asks: sender, held })
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The last ones are true without a status, too.
        self.held.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_behind_the_status_that_shows_it() {
        let (desk, counter) = desk();
        let (way, mut answer) = oneshot::channel();
        let reply = Reply { way, held: Arc::clone(&counter.held) };
        assert!(!desk.has_answers());
        std::thread::spawn(move || reply.answer(Ok(7))).join().unwrap();
        assert!(desk.has_answers() && answer.try_recv().is_err(), "nobody can have seen what it tells of");
        desk.publish(Status { uptime_s: 3, ..Status::default() });
        assert_eq!(answer.try_recv(), Ok(Ok(7)));
        assert!(!desk.has_answers() && counter.status.borrow().uptime_s == 3);
        let (reply, mut waiting) = Reply::<()>::pair();
        drop((reply, desk));
        assert_eq!(waiting.poll(), None, "dropped");
    }

    #[test]
    fn a_desk_that_goes_gives_what_it_has() {
        let (desk, counter) = desk();
        let (way, mut answer) = oneshot::channel();
        Reply { way, held: Arc::clone(&counter.held) }.answer(Ok(()));
        drop(desk);
        assert_eq!(answer.try_recv(), Ok(Ok(())));
    }
}
