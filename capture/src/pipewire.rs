//! A PipeWire node's pictures, over shared memory or as dmabufs.
//!
//! What is it: a [`Source`] whose pictures come from a node of the session's PipeWire: a screen that the desktop's
//! portal hands out, one of GNOME's, or any node that has pictures.
//!
//! What does it promise: the newest picture, stamped with the time that the producer gives it (so what is measured
//! from the stamp on includes the way through PipeWire); the cursor in it, drawn here where it comes beside it; a
//! still screen is no error, after a first picture; a format change in mid-stream is followed; whatever ends the
//! stream is named by a [`Diagnosis`] within two seconds, a compositor that hangs after six. No verb waits longer than
//! it was told.
//!
//! What does it refuse: pixels in memory that are not 8 bits a colour, memory that is not a file's, dmabufs that nobody
//! wished for, and numbers that contradict themselves, for they come from other processes.
//!
//! A thread of its own drives the library's loop; a picture is read out of the producer's buffer there, which the
//! producer has back at once. A dmabuf is lent as it is, its cursor beside it for a GPU to draw, and goes back when it
//! comes home (`loans`). Dmabufs are asked for first and memory second; whenever memory comes where dmabufs were wished
//! for, that is said once and counted.

mod agreed;
mod bus;
mod cursor;
mod door;
mod files;
mod fourcc;
mod link;
mod loans;
mod mutter;
mod offers;
mod params;
mod picture;
mod planes;
mod pod;
mod portal;
mod pulse;
mod raw;
mod session_env;
mod stream;
#[cfg(test)]
mod tests;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::exchange::{End, Exchange};
use crate::limits::STREAM_PICTURES;
use crate::threaded::{Origin, ThreadedSource};
use crate::{CaptureError, Diagnosis, DmabufWish, Mode, Patience};
use bus::{Bus, Recall};
pub use door::{Door, NodeRef};
use door::{Keeper, Opened};
use link::{Remote, Target};
use loans::Home;
use params::Size;
use picture::Received;

/// The session that a door is looked for in. The default is this program's own, as its environment tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// PipeWire's socket: a path, or a name in the runtime folder.
    pub pipewire: Option<PathBuf>,
    /// The session bus' address.
    pub bus: Option<String>,
    /// What names the session; told to systemd and D-Bus before the portal is asked. Of it only the few variables
    /// that a compositor is found by are passed on.
    pub environment: Option<Vec<(String, String)>>,
}

/// What is wanted of a node.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The size of a screen that is made, the highest rate that is asked for, and the refresh of a producer that does
    /// not tell its own.
    pub mode: Mode,
    /// The dmabufs that can be taken; with none, pictures come in memory.
    pub dmabufs: DmabufWish,
}

impl From<Mode> for Wanted {
    /// Pictures in memory.
    fn from(mode: Mode) -> Self {
        Self { mode, dmabufs: DmabufWish::default() }
    }
}

/// A PipeWire node as a source of pictures.
pub type PipeWireSource = ThreadedSource<PipeWireNode>;

/// A node that is captured.
#[derive(Debug)]
pub struct PipeWireNode {
    door: Door,
    home: Arc<Home>,
    _keeper: Option<Keeper>,
}

impl Origin for PipeWireNode {
    type Buffer = Received;
    /// The node's name.
    type Told = String;

    fn describe(&self, mode: Mode) -> String {
        format!("{} {mode}", self.door)
    }

    fn silence() -> Diagnosis {
        Diagnosis::PipeWireHangs
    }

    fn decline(&self, fourcc: u32, modifier: u64) {
        self.home.decline(fourcc, modifier);
    }

    fn decline_all(&self) {
        self.home.decline_all();
    }
}

impl ThreadedSource<PipeWireNode> {
    /// Goes through `door`, agrees on a format, and starts to capture.
    ///
    /// Waits for the agreement as long as `patience` lasts, a person's where one is asked; the first picture has the same.
    ///
    /// # Errors
    /// [`CaptureError::Unusable`] and [`CaptureError::NoFirstPicture`], which name the cause.
    pub fn connect(
        door: Door,
        wanted: impl Into<Wanted>,
        patience: impl Into<Patience>,
    ) -> Result<Self, CaptureError> {
        Self::connect_in(&Surroundings::default(), door, wanted, patience)
    }

    /// [`PipeWireSource::connect`] in another session than this program's.
    ///
    /// # Errors
    /// As there.
    pub fn connect_in(
        surroundings: &Surroundings,
        door: Door,
        wanted: impl Into<Wanted>,
        patience: impl Into<Patience>,
    ) -> Result<Self, CaptureError> {
        let wanted = wanted.into();
        let mut patience = patience.into();
        let no_event = |source: rustix::io::Errno| CaptureError::Read {
            name: "an event for capturing".to_owned(),
            source: source.into(),
        };
        let home = Home::new().map_err(no_event)?;
        let exchange = Arc::new(Exchange::new(STREAM_PICTURES));
        let size = if door == Door::MutterVirtual { Size::Wanted } else { Size::Theirs };
        let session = Remote::Session(surroundings.pipewire.clone());
        let (remote, node, keeper, compositor) = if let Door::Node(node) = &door {
            (session, node.clone(), None, None)
        } else {
            let ended = Arc::clone(&exchange);
            let on_end = move |diagnosis| ended.end(End::Ended(diagnosis));
            let (opened, keeper) = open(&door, surroundings, &mut patience, on_end)?;
            let environment = surroundings.environment.clone();
            let compositor =
                session_env::compositor(&environment.unwrap_or_else(session_env::of_this_program));
            let remote = opened.remote.map_or(session, Remote::Opened);
            (remote, NodeRef::Id(opened.node), Some(keeper), compositor)
        };
        let (deadline, returns) = (patience.left(), Arc::clone(&home));
        let target = Target { remote, node, size, wanted, deadline, compositor, home: returns };
        let run = move |exchange: &Arc<_>, stop| link::run(target, exchange, stop);
        let origin = |name: String| {
            tracing::debug!(node = name, "a node is captured");
            PipeWireNode { door, home, _keeper: keeper }
        };
        Self::start(exchange, &patience, origin, run)
    }
}

/// Whether GNOME's mutter is there, whose monitors can be had of it; nothing is captured.
///
/// # Errors
/// Who is missing, or has not answered within `patience`.
pub fn has_mutter(surroundings: &Surroundings, patience: Duration) -> Result<(), Diagnosis> {
    let recall = Arc::new(Recall::default());
    let (tell, told) = mpsc::sync_channel(1);
    let (recalled, address) = (Arc::clone(&recall), surroundings.bus.clone());
    let thread = thread::spawn(move || {
        let look = async { mutter::look(&Bus::connect(address.as_deref(), &recalled).await?).await };
        if let Some(answer) = zbus::block_on(recalled.unless(look)) {
            // There is room for one, or nobody waits any more.
            let _ = tell.send(answer);
        }
    });
    let answer = told.recv_timeout(patience);
    recall.recall();
    // A panic of it has been printed, and is an answer that did not come.
    let _ = thread.join();
    answer.unwrap_or_else(|_| Err(Diagnosis::PortalTimedOut { asked: recall.asking() }))
}

/// Opens a door that somebody has to be asked for. Where a person is, `patience` is theirs from then on.
fn open(
    door: &Door,
    surroundings: &Surroundings,
    patience: &mut Patience,
    on_end: impl FnOnce(Diagnosis) + Send + 'static,
) -> Result<(Opened, Keeper), CaptureError> {
    let (opened, is_opened) = mpsc::sync_channel(1);
    let no_thread = |source| CaptureError::Read { name: "a thread for the portal".to_owned(), source };
    let keeper = Keeper::start(door.clone(), surroundings.clone(), opened, on_end).map_err(no_thread)?;
    let diagnosis = loop {
        let asked = keeper.asking();
        if asked == portal::ASKING_A_PERSON {
            *patience = patience.as_for_a_person();
        }
        match is_opened.recv_timeout(patience.left().min(Patience::LOOK_INTERVAL)) {
            Ok(Ok(opened)) => return Ok((opened, keeper)),
            Ok(Err(diagnosis)) => break diagnosis,
            Err(RecvTimeoutError::Timeout) if patience.is_over() => {
                break Diagnosis::PortalTimedOut { asked };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                break Diagnosis::ThreadEnded { thread: "asks the portal" };
            }
        }
    };
    Err(CaptureError::Unusable { diagnosis })
}
