//! Opening one way, as far as its first picture.
//!
//! Promises: an open way has a picture to take; what was opened and gives none is gone again; a person's desktop is
//! named by its socket. Refuses what the encoder cannot do before a compositor is started for it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use punktfunk_capture::card::Card;
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
            Way::PipeWire(node) => self.pipewire(node.as_deref(), mode, left())?,
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

impl Doors {
    #[cfg(not(feature = "pipewire"))]
    fn pipewire(&self, _node: Option<&str>, _wanted: Mode, _left: Duration) -> Result<WayOpened, HostError> {
        tracing::debug!(token = ?self.token_file, "PipeWire is not built in");
        Err(HostError::NotBuilt { what: "PipeWire" })
    }

    /// The node that is named; or mutter's own door, which asks nobody, and where there is no mutter the portal's.
    #[cfg(feature = "pipewire")]
    fn pipewire(&self, node: Option<&str>, wanted: Mode, left: Duration) -> Result<WayOpened, HostError> {
        use punktfunk_capture::pipewire::{Door, NodeRef, PipeWireSource};
        let began = Instant::now();
        let connect = |door| PipeWireSource::connect(door, wanted, left.saturating_sub(began.elapsed()));
        let source = match node.map(str::parse::<NodeRef>) {
            Some(Ok(node)) => connect(Door::Node(node))?,
            None => match connect(Door::MutterMonitor { connector: None }) {
                Err(CaptureError::Unusable { diagnosis: Diagnosis::MutterMissing { .. } }) => {
                    connect(Door::Portal { token_file: self.token_file.clone() })?
                }
                outcome => outcome?,
            },
        };
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
