//! Opening one way, as far as its first picture.
//!
//! Promises: an open way has a picture to take; what was opened and gives none is gone again; a person's desktop is
//! named by its socket. Refuses what the encoder cannot do before a compositor is started for it.

use std::path::PathBuf;
#[cfg(feature = "pipewire")]
use std::time::Duration;
use std::time::Instant;

use punktfunk_capture::card::Card;
#[cfg(feature = "pipewire")]
use punktfunk_capture::pipewire::{Door, PipeWireSource};
use punktfunk_capture::{CaptureError, Diagnosis, Mode, Source};

use super::Way;
use crate::desktop::Desktop;
use crate::encode;
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
        drop(self.source);
        if let Some(Err(error)) = self.desktop.map(Desktop::close) {
            tracing::warn!(%error, "a desktop that came too late did not end in order; it is gone");
        }
    }
}

/// Who opens ways.
pub trait Open: Send + Sync {
    /// Opens `way` at `mode`, where that is ours to choose, and waits for its first picture until `until`.
    ///
    /// # Errors
    /// It cannot be had, or gives no picture in time.
    fn open(&self, way: &Way, mode: Mode, until: Instant) -> Result<WayOpened, HostError>;
}

/// The ways of this machine.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// Where the portal's leave is kept, so that a person is asked once.
    pub token_file: Option<PathBuf>,
}

impl Open for Doors {
    fn open(&self, way: &Way, mode: Mode, until: Instant) -> Result<WayOpened, HostError> {
        let left = || until.saturating_duration_since(Instant::now());
        let mut opened = match way {
            #[cfg(not(feature = "pipewire"))]
            Way::PipeWire(_) | Way::Mutter(_) | Way::MutterVirtual => {
                tracing::debug!(token = ?self.token_file, "PipeWire is not built in");
                return Err(HostError::NotBuilt { what: "PipeWire" });
            }
            #[cfg(feature = "pipewire")]
            Way::PipeWire(None) => {
                Self::through(Door::Portal { token_file: self.token_file.clone() }, mode, left())?
            }
            #[cfg(feature = "pipewire")]
            Way::PipeWire(Some(node)) => {
                let Ok(node) = node.parse();
                Self::through(Door::Node(node), mode, left())?
            }
            #[cfg(feature = "pipewire")]
            Way::Mutter(connector) => {
                Self::through(Door::MutterMonitor { connector: connector.clone() }, mode, left())?
            }
            #[cfg(feature = "pipewire")]
            Way::MutterVirtual => {
                encode::check_mode(mode)?;
                Self::through(Door::MutterVirtual, mode, left())?
            }
            Way::Wayland(output) => {
                let (desktop, source) = Desktop::existing(output.as_deref(), left())?;
                WayOpened { source, text: desktop.describe(), desktop: Some(desktop) }
            }
            Way::Own => {
                // The encoder's No comes before a compositor is started and its pictures of that size are had.
                encode::check_mode(mode)?;
                let (desktop, source) = Desktop::own(mode, left())?;
                WayOpened { source, text: desktop.describe(), desktop: Some(desktop) }
            }
            Way::Card => {
                encode::check_mode(mode)?;
                let card = Card::new(mode, Instant::now())?;
                WayOpened { text: card.describe(), source: Box::new(card), desktop: None }
            }
        };
        match encode::check_mode(opened.source.mode())
            .and_then(|()| first_picture(opened.source.as_mut(), until).map_err(HostError::from))
        {
            Ok(()) => Ok(opened),
            Err(error) => {
                opened.close();
                Err(error)
            }
        }
    }
}

#[cfg(feature = "pipewire")]
impl Doors {
    /// Goes to a node by its door.
    fn through(door: Door, wanted: Mode, patience: Duration) -> Result<WayOpened, HostError> {
        if matches!(door, Door::MutterMonitor { .. } | Door::MutterVirtual) {
            tracing::info!(%door, "GNOME's mutter is asked by its own door: nobody has to agree at its screen");
        }
        let source = PipeWireSource::connect(door, wanted, patience)?;
        Ok(WayOpened { text: source.describe(), source: Box::new(source), desktop: None })
    }
}

/// Waits for a picture, which stays with the source.
fn first_picture(source: &mut dyn Source, until: Instant) -> Result<(), CaptureError> {
    let began = Instant::now();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if source.wait_picture(left)? {
            return Ok(());
        }
        if left.is_zero() {
            let diagnosis = Diagnosis::NoDamage { output: source.describe() };
            return Err(CaptureError::NoFirstPicture { waited: began.elapsed(), diagnosis });
        }
    }
}
