//! The desktop that a session shows: the one that is there, or one of our own.
//!
//! Promises: an output of our own has exactly the client's mode and is gone with the session, and so is
//! the compositor; one of our own in the place of one that cannot be captured comes with the reason. Refuses:
//! to change a desktop that a person works at; its mode is taken as it is; and to show another output than the
//! one that was named.

use std::path::PathBuf;

use punktfunk_capture::wayland::WaylandSource;
use punktfunk_capture::{CaptureError, Mode, Source};
use punktfunk_display::DisplayError;
use punktfunk_display::sway::{HeadlessSway, OutputName, SwayConfig};

use crate::encode;
use crate::error::HostError;

/// Where the pictures of a desktop session come from.
pub enum Desktop {
    /// A desktop that was there before us.
    Existing {
        /// Its Wayland socket.
        socket: PathBuf,
        /// Its mode.
        mode: Mode,
    },
    /// A sway without a screen, of our own.
    Own(Box<OwnDesktop>),
}

/// A compositor that lives as long as its session.
pub struct OwnDesktop {
    sway: HeadlessSway,
    output: Option<OutputName>,
    mode: Mode,
}

/// A desktop with what captures it.
pub struct DesktopOpened {
    /// The desktop.
    pub desktop: Desktop,
    /// What captures it.
    pub source: Box<dyn Source>,
    /// Of which desktop it takes the place, and why.
    pub instead_of: Option<String>,
}

impl Desktop {
    /// The desktop that is there, or one of our own at `wanted`: also where the one that is there cannot be
    /// captured, unless an output of it was named.
    ///
    /// # Errors
    /// No compositor can be started, or it cannot be captured, or the encoder cannot do the mode; the text names
    /// the cause and what to do.
    pub fn open(output: Option<&str>, wanted: Mode) -> Result<DesktopOpened, HostError> {
        let mut instead_of = None;
        if let Some(socket) = existing_socket() {
            match WaylandSource::connect(Some(&socket), output) {
                Ok(source) => {
                    let desktop = Self::Existing { socket, mode: source.mode() };
                    return Ok(DesktopOpened { desktop, source: Box::new(source), instead_of });
                }
                Err(error @ CaptureError::Unusable { .. }) if output.is_none() => {
                    tracing::warn!(%error, socket = %socket.display(), "starting a desktop of our own instead");
                    instead_of = Some(format!("of the desktop at {}, for {error}", socket.display()));
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            refuse_output(output)?;
        }
        // The encoder's No comes before a compositor is started and its pictures of that size are had.
        encode::check_mode(wanted)?;
        let (desktop, source) = Self::open_own(wanted).map_err(|own| match instead_of.clone() {
            Some(instead_of) => HostError::NoOtherDesktop { own: Box::new(own), instead_of },
            None => own,
        })?;
        Ok(DesktopOpened { desktop, source, instead_of })
    }

    fn open_own(wanted: Mode) -> Result<(Self, Box<dyn Source>), HostError> {
        let mut sway = HeadlessSway::start(&SwayConfig::default())?;
        let made = sway.create_output(display_mode(wanted)?)?;
        let source = WaylandSource::connect(Some(sway.wayland_socket()), Some(made.as_str()))?;
        let own = OwnDesktop { sway, output: Some(made), mode: wanted };
        Ok((Self::Own(Box::new(own)), Box::new(source)))
    }

    /// The desktop in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Existing { socket, mode } => format!("the desktop at {}, {mode}", socket.display()),
            Self::Own(own) => format!("sway {} without a screen, {}", own.sway.version(), own.mode),
        }
    }

    /// What processes of a compositor of ours have in their command lines.
    #[cfg(test)]
    pub fn runtime_dir(&self) -> Option<&std::path::Path> {
        match self {
            Self::Existing { .. } => None,
            Self::Own(own) => Some(own.sway.runtime_dir()),
        }
    }

    /// Changes the mode in mid-stream.
    ///
    /// # Errors
    /// The desktop is not ours, or its compositor refuses.
    pub fn set_mode(&mut self, mode: Mode) -> Result<(), HostError> {
        match self {
            Self::Existing { .. } => Err(HostError::Impossible(
                "the mode of a desktop that was there before stays as it is".into(),
            )),
            Self::Own(own) => {
                if let Some(output) = &own.output {
                    own.sway.set_mode(output, display_mode(mode)?)?;
                    own.mode = mode;
                }
                Ok(())
            }
        }
    }

    /// Removes our output and ends our compositor; a desktop that was there before is left alone.
    ///
    /// # Errors
    /// Something had to be killed; it is gone all the same.
    pub fn close(self) -> Result<(), DisplayError> {
        match self {
            Self::Existing { .. } => Ok(()),
            Self::Own(own) => {
                let OwnDesktop { mut sway, output, .. } = *own;
                if let Some(output) = output {
                    sway.remove_output(output)?;
                }
                sway.stop()
            }
        }
    }
}

/// Whether a desktop can be had at all: one that is there, or a compositor to start.
///
/// # Errors
/// None is there, and the compositor that could be started is missing; says what to install. Or an output was
/// named, and no desktop is there that could have it.
pub fn check(output: Option<&str>) -> Result<(), HostError> {
    if existing_socket().is_some() {
        return Ok(());
    }
    refuse_output(output)?;
    for found in punktfunk_display::probe() {
        if found.kind == punktfunk_display::CompositorKind::Sway {
            return found.usable.map_err(|reason| HostError::NoDesktop(reason.to_string()));
        }
    }
    Ok(())
}

/// Our own desktop has one output, made for the client, with a name that nobody can know before.
fn refuse_output(output: Option<&str>) -> Result<(), HostError> {
    output.map_or(Ok(()), |name| Err(HostError::NoOutput(name.to_owned())))
}

fn display_mode(mode: Mode) -> Result<punktfunk_display::Mode, DisplayError> {
    punktfunk_display::Mode::new(mode.width(), mode.height(), mode.refresh_mhz())
}

/// The Wayland socket of the session that this program was started in, if there is one.
fn existing_socket() -> Option<PathBuf> {
    let display = PathBuf::from(std::env::var_os("WAYLAND_DISPLAY")?);
    let socket = if display.is_absolute() {
        display
    } else {
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join(display)
    };
    socket.exists().then_some(socket)
}
