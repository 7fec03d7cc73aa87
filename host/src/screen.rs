//! What a session shows, while its mode may change.
//!
//! Promises: a change runs on a thread of its own, for a compositor may take seconds over it; one at a time.
//! Refuses a second change before the first is done, and any where the source has no desktop of ours or the system
//! has no thread left: the desktop stays as it is then.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use punktfunk_capture::Mode;

use crate::desktop::Desktop;
use crate::encode::Codings;
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
    pub fn change(&mut self, mode: Mode, codings: &Codings) -> Result<(), HostError> {
        let refuse = |why: &str| Err(HostError::Impossible(why.into()));
        match std::mem::take(self) {
            Self::None => refuse("this source has a fixed mode"),
            Self::Changing(thread) => {
                *self = Self::Changing(thread);
                refuse("the mode is being changed already; ask again when that is done")
            }
            Self::Still(desktop) => {
                let codings = codings.clone();
                let begun =
                    hand_over(desktop, thread::Builder::new().name("mode".into()), move |mut desktop| {
                        // The encoder's No must come first: a picture that it cannot take would end the stream.
                        let outcome = codings.check_mode(mode).and_then(|()| desktop.set_mode(mode));
                        (desktop, outcome)
                    });
                match begun {
                    Ok(thread) => {
                        *self = Self::Changing(thread);
                        Ok(())
                    }
                    Err((desktop, error)) => {
                        *self = Self::Still(desktop);
                        refuse(&format!("the system has no thread to change the mode on: {error}"))
                    }
                }
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

/// Does `work` with `thing` on a thread of its own; where there is none, the thing comes back.
fn hand_over<T: Send + 'static, R: Send + 'static>(
    thing: T,
    builder: thread::Builder,
    work: impl FnOnce(T) -> R + Send + 'static,
) -> Result<JoinHandle<R>, (T, io::Error)> {
    let (hand, taken) = mpsc::channel();
    let run = move || work(taken.recv().expect("it is handed over once the thread is there"));
    match builder.spawn(run) {
        Ok(thread) => {
            // It waits for this one thing, and cannot have gone.
            let _ = hand.send(thing);
            Ok(thread)
        }
        Err(error) => Err((thing, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_thread_can_be_had_for_comes_back() {
        // A stack that no address space has.
        let builder = thread::Builder::new().stack_size(1 << 55);
        let (thing, error) = hand_over("a desktop".to_owned(), builder, |thing| thing).unwrap_err();
        assert_eq!(thing, "a desktop", "{error}");
        // A machine that runs other tests may have no thread for a moment: it comes back then, too.
        let (mut back, mut tries) = (thing, 0);
        let thread = loop {
            match hand_over(back, thread::Builder::new(), |thing| thing.len()) {
                Ok(thread) => break thread,
                Err((thing, error)) => {
                    assert!(tries < 100, "{error}");
                    (back, tries) = (thing, tries + 1);
                }
            }
            thread::sleep(std::time::Duration::from_millis(10));
        };
        assert_eq!(thread.join().unwrap(), 9);
    }
}
