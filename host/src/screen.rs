//! What a session shows, while its mode may change.
//!
//! Promises: a change runs on a thread of its own, for a compositor may take seconds over it; one at a time.
//! Refuses a second change before the first is done, and any where the source has no desktop of ours.

use std::thread::JoinHandle;

use punktfunk_capture::Mode;

use crate::desktop::Desktop;
use crate::encode;
use crate::error::HostError;

/// A session's desktop, if it has one.
#[derive(Default)]
pub enum Screen {
    /// The source has a mode of its own.
    #[default]
    None,
    /// A desktop at rest.
    Still(Desktop),
    /// A desktop whose mode is being changed.
    Changing(JoinHandle<(Desktop, Result<(), HostError>)>),
}

impl Screen {
    /// What there is at the start.
    pub fn new(desktop: Option<Desktop>) -> Self {
        desktop.map_or(Self::None, Self::Still)
    }

    /// Begins to change the mode; [`Screen::poll`] tells what came of it.
    ///
    /// # Errors
    /// There is nothing to change, or a change is under way.
    pub fn change(&mut self, mode: Mode) -> Result<(), HostError> {
        let refuse = |why: &str| Err(HostError::Impossible(why.into()));
        match std::mem::take(self) {
            Self::None => refuse("this source has a fixed mode"),
            Self::Changing(thread) => {
                *self = Self::Changing(thread);
                refuse("the mode is being changed already; ask again when that is done")
            }
            Self::Still(mut desktop) => {
                *self = Self::Changing(std::thread::spawn(move || {
                    // The encoder's No must come first: a picture that it cannot take would end the stream.
                    let outcome = encode::check_mode(mode).and_then(|()| desktop.set_mode(mode));
                    (desktop, outcome)
                }));
                Ok(())
            }
        }
    }

    /// What came of a change that is done.
    pub fn poll(&mut self) -> Option<Result<(), HostError>> {
        match std::mem::take(self) {
            Self::Changing(thread) if thread.is_finished() => Some(match thread.join() {
                Ok((desktop, outcome)) => {
                    *self = Self::Still(desktop);
                    outcome
                }
                Err(_) => Err(HostError::Impossible("changing the mode panicked; our fault".into())),
            }),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Ends what is ours of it. Takes a moment where that is a compositor.
    pub fn close(self) {
        let desktop = match self {
            Self::None => return,
            Self::Still(desktop) => desktop,
            Self::Changing(thread) => match thread.join() {
                Ok((desktop, _)) => desktop,
                Err(_) => return,
            },
        };
        if let Err(error) = desktop.close() {
            tracing::warn!(%error, "the desktop did not end in order; it is gone");
        }
    }
}
