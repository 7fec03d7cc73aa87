//! Opening one way, as far as its first picture.
//!
//! Promises: an open way has a picture to take; what was opened and gives none is told first and taken apart then, so
//! that its name is not late; what nobody waits for any more is given up; a person's desktop is named by its socket.
//! Refuses what the encoder cannot do before a compositor is started for it.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(any(feature = "pipewire", test))]
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use punktfunk_capture::card::Card;
#[cfg(feature = "pipewire")]
use punktfunk_capture::pipewire::{Door, PipeWireSource, Wanted};
use punktfunk_capture::{CaptureError, Diagnosis, DmabufWish, Mode, Patience, Source};

use super::Way;
use crate::desktop::{self, Desktop};
use crate::encode::Codings;
use crate::error::HostError;

/// A way that has a picture.
pub struct WayOpened {
    /// What gives pictures.
    pub source: Box<dyn Source>,
    /// What is shown, where it is a desktop.
    pub desktop: Option<Desktop>,
    /// The two in words.
    pub text: String,
}

impl WayOpened {
    /// Ends the capture, and then what was captured.
    pub fn close(self) {
        Rest { source: Some(self.source), desktop: self.desktop }.close();
    }
}

/// What was begun of a way.
pub struct Rest {
    /// What was to give pictures.
    pub source: Option<Box<dyn Source>>,
    /// What was to be shown.
    pub desktop: Option<Desktop>,
}

impl Rest {
    /// Ends the capture, and then what was captured. Takes a moment where that is a compositor.
    pub fn close(self) {
        drop(self.source);
        if let Some(Err(error)) = self.desktop.map(Desktop::close) {
            tracing::warn!(%error, "a desktop that is of no use did not end in order; it is gone");
        }
    }
}

/// A way that cannot be had.
pub struct Refused {
    /// Why.
    pub error: HostError,
    /// What is to be closed, once the error is told.
    pub rest: Option<Box<Rest>>,
}

impl From<HostError> for Refused {
    fn from(error: HostError) -> Self {
        Self { error, rest: None }
    }
}

/// Who opens ways.
pub trait Open: Send + Sync {
    /// Opens `way` at `mode`, where that is ours to choose, for pictures of one of `codings`, and waits for its first
    /// picture, as long as `patience` lasts.
    ///
    /// # Errors
    /// It cannot be had, or its mode cannot be encoded, or it gives no picture in time.
    fn open(
        &self,
        way: &Way,
        mode: Mode,
        codings: &Codings,
        patience: &Patience,
    ) -> Result<WayOpened, Refused>;
}

/// The ways of this machine.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// Where the portal's leave is kept, so that a person is asked once.
    pub token_file: Option<PathBuf>,
    /// The desktop's Wayland socket; none: the one that this program's environment names.
    pub socket: Option<PathBuf>,
    /// The dmabufs that the encoder can import; by default none, and pictures come in memory.
    pub dmabufs: DmabufWish,
    /// Whose turn it is at the portal: a leave is good for one session, which brings the next one's, and a person is
    /// asked one thing at a time.
    #[cfg(any(feature = "pipewire", test))]
    pub portal: Arc<Turns>,
}

impl Open for Doors {
    fn open(
        &self,
        way: &Way,
        mode: Mode,
        codings: &Codings,
        patience: &Patience,
    ) -> Result<WayOpened, Refused> {
        let mut opened = match way {
            #[cfg(not(feature = "pipewire"))]
            Way::PipeWire(_) | Way::Mutter(_) | Way::MutterVirtual => {
                tracing::debug!(token = ?self.token_file, dmabufs = ?self.dmabufs.formats, "PipeWire is not built in");
                return Err(HostError::NotBuilt { what: "PipeWire" }.into());
            }
            #[cfg(feature = "pipewire")]
            Way::PipeWire(None) => {
                let _turn = self.portal.take(patience)?;
                self.through(Door::Portal { token_file: self.token_file.clone() }, mode, patience)?
            }
            #[cfg(feature = "pipewire")]
            Way::PipeWire(Some(node)) => {
                let Ok(node) = node.parse();
                self.through(Door::Node(node), mode, patience)?
            }
            #[cfg(feature = "pipewire")]
            Way::Mutter(connector) => {
                self.through(Door::MutterMonitor { connector: connector.clone() }, mode, patience)?
            }
            #[cfg(feature = "pipewire")]
            Way::MutterVirtual => {
                codings.check_mode(mode)?;
                self.through(Door::MutterVirtual, mode, patience)?
            }
            Way::Wayland(output) => {
                let socket = self.socket.clone().or_else(desktop::session_socket);
                let (desktop, source) = Desktop::existing(socket, output.as_deref(), patience)?;
                WayOpened { source, text: desktop.describe(), desktop: Some(desktop) }
            }
            Way::Own => {
                // The encoder's No comes before a compositor is started and its pictures of that size are had.
                codings.check_mode(mode)?;
                let (desktop, source) = Desktop::own(mode, patience)?;
                WayOpened { source, text: desktop.describe(), desktop: Some(desktop) }
            }
            Way::Card => {
                codings.check_mode(mode)?;
                let card = Card::new(mode, Instant::now()).map_err(HostError::from)?;
                let desktop = Some(Desktop::Card(card.modes()));
                WayOpened { text: card.describe(), source: Box::new(card), desktop }
            }
        };
        let is_there = codings
            .check_mode(opened.source.mode())
            .and_then(|()| first_picture(opened.source.as_mut(), &patience.as_for_a_person()));
        match is_there {
            Ok(()) => Ok(opened),
            Err(error) => {
                let rest = Rest { source: Some(opened.source), desktop: opened.desktop };
                Err(Refused { error, rest: Some(Box::new(rest)) })
            }
        }
    }
}

/// Whose turn it is at the portal.
#[cfg(any(feature = "pipewire", test))]
#[derive(Debug, Default)]
pub struct Turns {
    is_taken: Mutex<bool>,
    free: Condvar,
}

/// A turn, until it is dropped.
#[cfg(any(feature = "pipewire", test))]
struct Turn<'a>(&'a Turns);

#[cfg(any(feature = "pipewire", test))]
impl Turns {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other session has it.
    fn take(&self, patience: &Patience) -> Result<Turn<'_>, HostError> {
        let mut is_taken = self.lock();
        while *is_taken {
            if patience.is_over() {
                return Err(HostError::Late("another session is still being asked for at the portal".into()));
            }
            let look = patience.left().min(Patience::LOOK_INTERVAL);
            is_taken = self.free.wait_timeout(is_taken, look).unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Ok(Turn(self))
    }
}

#[cfg(any(feature = "pipewire", test))]
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.free.notify_one();
    }
}

#[cfg(feature = "pipewire")]
impl Doors {
    /// Goes to a node by its door.
    fn through(&self, door: Door, mode: Mode, patience: &Patience) -> Result<WayOpened, HostError> {
        if matches!(door, Door::MutterMonitor { .. } | Door::MutterVirtual) {
            tracing::info!(%door, "GNOME's mutter is asked by its own door: nobody has to agree at its screen");
        }
        let wanted = Wanted { mode, dmabufs: self.dmabufs.clone() };
        let source = PipeWireSource::connect(door, wanted, patience.clone())?;
        Ok(WayOpened { text: source.describe(), source: Box::new(source), desktop: None })
    }
}

/// Waits for a picture, which stays with the source. Captures have a deadline of their own, and name the cause.
fn first_picture(source: &mut dyn Source, patience: &Patience) -> Result<(), HostError> {
    let began = Instant::now();
    while !source.wait_picture(patience.left().min(Patience::LOOK_INTERVAL))? {
        if patience.is_over() {
            let diagnosis = Diagnosis::NoDamage { output: source.describe() };
            return Err(CaptureError::NoFirstPicture { waited: began.elapsed(), diagnosis }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_session_at_a_time_asks_the_portal_and_the_next_waits_its_time() {
        let (doors, now) = (Doors::default(), Instant::now());
        let soon = Patience::until(now + Duration::from_millis(50));
        let first = doors.portal.take(&soon).unwrap();
        let refused = doors.portal.take(&soon).err().expect("it is taken");
        assert!(refused.to_string().contains("another session"), "{refused}");
        let waiting = doors.clone();
        let next = std::thread::spawn(move || {
            waiting.portal.take(&Patience::until(now + Duration::from_secs(30))).is_ok()
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(first);
        assert!(next.join().unwrap());
    }
}
