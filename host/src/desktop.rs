//! The desktop that a session shows: the one that is there, or one of our own.
//!
//! Promises: an output of our own has exactly the client's mode and is gone with the session, and so is
//! the compositor. Refuses: to change a desktop that a person works at; its mode is taken as it is; and to show
//! another output than the one that was named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use punktfunk_capture::card::CardModes;
use punktfunk_capture::wayland::WaylandSource;
use punktfunk_capture::{CaptureError, Diagnosis, Mode, Patience, Source, is_local_display};
use punktfunk_display::DisplayError;
use punktfunk_display::limits::START_DEADLINE;
use punktfunk_display::sway::{HeadlessSway, OutputName, SwayConfig};

use crate::error::HostError;
use crate::ways::{Refused, Rest, Surroundings};

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
    /// The test card, which has whatever mode is wanted.
    Card(CardModes),
}

/// A compositor that lives as long as its session.
pub struct OwnDesktop {
    sway: HeadlessSway,
    output: Option<OutputName>,
    mode: Mode,
}

impl Desktop {
    /// The desktop that is there at `socket`, or the output of it that is named. Its first picture must come within
    /// `patience`. That a socket is not there at present is the capture's to say: its compositor may be starting again.
    ///
    /// # Errors
    /// None is named, or it cannot be captured; the text names the cause.
    pub fn existing(
        socket: Option<PathBuf>,
        output: Option<&str>,
        patience: &Patience,
    ) -> Result<(Self, Box<dyn Source>), HostError> {
        let Some(socket) = socket else {
            return Err(output.map_or_else(
                || HostError::NoDesktop("it serves no Wayland".into()),
                |name| HostError::NoOutput(name.to_owned()),
            ));
        };
        let source = WaylandSource::connect_within(Some(&socket), output, patience.clone())?;
        let desktop = Self::Existing { socket, mode: source.mode() };
        Ok((desktop, Box::new(source)))
    }

    /// A desktop of our own at `wanted`, as long as `patience` lasts.
    ///
    /// # Errors
    /// No compositor can be started, or it cannot be captured; the text names the cause and what to do.
    pub fn own(wanted: Mode, patience: &Patience) -> Result<(Self, Box<dyn Source>), Refused> {
        let start_deadline = patience.left().min(START_DEADLINE);
        let given_up = Arc::clone(&patience.given_up);
        let config = SwayConfig { start_deadline, given_up, ..SwayConfig::default() };
        let sway = HeadlessSway::start(&config).map_err(HostError::from)?;
        let mut own = OwnDesktop { sway, output: None, mode: wanted };
        let shown = own.show(patience);
        let desktop = Self::Own(Box::new(own));
        match shown {
            Ok(source) => Ok((desktop, Box::new(source))),
            Err(error) => {
                let rest = Rest { source: None, desktop: Some(desktop) };
                Err(Refused { error, rest: Some(Box::new(rest)) })
            }
        }
    }

    /// The desktop in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Existing { socket, mode } => format!("the desktop at {}, {mode}", socket.display()),
            Self::Own(own) => format!("sway {} without a screen, {}", own.sway.version(), own.mode),
            Self::Card(_) => "test card".to_owned(),
        }
    }

    /// What processes of a compositor of ours have in their command lines.
    #[cfg(test)]
    pub fn runtime_dir(&self) -> Option<&std::path::Path> {
        match self {
            Self::Existing { .. } | Self::Card(_) => None,
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
            Self::Card(modes) => Ok(modes.set(mode)?),
        }
    }

    /// Removes our output and ends our compositor; a desktop that was there before is left alone.
    ///
    /// # Errors
    /// Something had to be killed; it is gone all the same.
    pub fn close(self) -> Result<(), DisplayError> {
        match self {
            Self::Existing { .. } | Self::Card(_) => Ok(()),
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

impl OwnDesktop {
    /// Makes its output and captures it.
    fn show(&mut self, patience: &Patience) -> Result<WaylandSource, HostError> {
        let made = self.sway.create_output_within(display_mode(self.mode)?, patience.left())?;
        let socket = self.sway.wayland_socket();
        let source = WaylandSource::connect_within(Some(socket), Some(made.as_str()), patience.clone());
        self.output = Some(made);
        Ok(source?)
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
    check_own()
}

/// Whether a desktop of our own can be started.
///
/// # Errors
/// Says what to install.
pub fn check_own() -> Result<(), HostError> {
    for found in punktfunk_display::probe() {
        if found.kind == punktfunk_display::CompositorKind::Sway {
            return found.usable.map_err(|reason| HostError::NoDesktop(reason.to_string()));
        }
    }
    Ok(())
}

/// Whether GNOME's compositor is there to be asked for a monitor.
///
/// # Errors
/// Who is missing, by name.
pub fn check_mutter() -> Result<(), HostError> {
    has_mutter().map_err(|diagnosis| CaptureError::Unusable { diagnosis }.into())
}

#[cfg(feature = "pipewire")]
fn has_mutter() -> Result<(), Diagnosis> {
    punktfunk_capture::pipewire::has_mutter(&Default::default(), LENDING_PATIENCE)
}

#[cfg(not(feature = "pipewire"))]
fn has_mutter() -> Result<(), Diagnosis> {
    Err(Diagnosis::MutterMissing { words: "this host was built without PipeWire".to_owned() })
}

/// How long a compositor may take to say whether it lends its screen: it answers in milliseconds.
const LENDING_PATIENCE: Duration = Duration::from_millis(500);

/// What there is before any way is tried. Of a compositor that does not answer it is not known that it lends nothing.
pub fn look_around() -> Surroundings {
    let socket = existing_socket();
    let lends = |socket: &PathBuf| {
        let answer = WaylandSource::lends_screen(socket, LENDING_PATIENCE);
        !matches!(answer, Err(Diagnosis::GlobalMissing { .. }))
    };
    Surroundings {
        has_desktop: socket.is_some() || is_local_display(&std::env::var("DISPLAY").unwrap_or_default()),
        has_wayland: socket.is_some(),
        lends_screen: socket.as_ref().is_some_and(lends),
        has_mutter: has_mutter().is_ok(),
        lacks_pipewire: !cfg!(feature = "pipewire"),
    }
}

/// Our own desktop has one output, made for the client, with a name that nobody can know before.
fn refuse_output(output: Option<&str>) -> Result<(), HostError> {
    output.map_or(Ok(()), |name| Err(HostError::NoOutput(name.to_owned())))
}

fn display_mode(mode: Mode) -> Result<punktfunk_display::Mode, DisplayError> {
    punktfunk_display::Mode::new(mode.width(), mode.height(), mode.refresh_mhz())
}

/// The Wayland socket of the session that this program was started in, if it names one: whoever serves it may have
/// ended, or start again.
pub fn session_socket() -> Option<PathBuf> {
    let named = std::env::var_os("WAYLAND_DISPLAY").filter(|name| !name.is_empty())?;
    let display = PathBuf::from(named);
    if display.is_absolute() {
        return Some(display);
    }
    Some(PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join(display))
}

/// The same, if it is there now.
fn existing_socket() -> Option<PathBuf> {
    session_socket().filter(|socket| socket.exists())
}
