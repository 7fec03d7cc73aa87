//! What ends the host program, and with which exit code.

use std::net::SocketAddr;
use std::path::PathBuf;

use punktfunk_capture::CaptureError;
use punktfunk_codec::CodecError;
use punktfunk_control::{ArmError, ControlError, DevicesError, IdentityError, MeantError, RefusalCode};
use punktfunk_display::DisplayError;
use punktfunk_engine::{EngineError, StageFault};
use punktfunk_gpu::GpuError;
use punktfunk_manage::{ManageError, TokenError};
use punktfunk_net::NetError;
use punktfunk_settings::{EXIT_USAGE, Faults, Told};

/// Why the host, or one of its sessions, came to an end. Each kind has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// An argument or a source's description is wrong.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// Another program holds the port.
    #[error("UDP port {port} is in use; end the program that holds it or choose another with --listen")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The UDP edge failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// QUIC could not be set up.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The identity could not be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The list of paired devices could not be read or changed.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// A device was named that is not there, or not the only one.
    #[error("{0}: see `punktfunk-host devices`")]
    Meant(#[from] MeantError),
    /// No host runs, or not where it was looked for.
    #[error(
        "no host of this identity answers at {address} ({cause}): start it, or name its --manage and --identity"
    )]
    NoRunningHost {
        /// Where it was looked for.
        address: SocketAddr,
        /// What happened.
        cause: String,
    },
    /// The settings have the management API off.
    #[error(
        "{place}: the management API is off, by which this command speaks to the running host; give it an address there \
         and start the host anew, or name with --manage ADDR:PORT the address that a running host has"
    )]
    NoManagement {
        /// Where that is said.
        place: String,
    },
    /// The running host refuses.
    #[error("the running host refuses: {error}{}{remedy} (status {status})", if remedy.is_empty() { "" } else { "; " })]
    RunningHostRefused {
        /// Why.
        error: String,
        /// What to do.
        remedy: String,
        /// The status of its answer.
        status: u16,
    },
    /// No device has paired.
    #[error("not paired: {0}")]
    NotPaired(String),
    /// The doctor found links that do not work.
    #[error("broken: {}", links.join(", "))]
    Broken {
        /// Which.
        links: Vec<String>,
    },
    /// The management API cannot be served.
    #[error(transparent)]
    Manage(#[from] ManageError),
    /// Its token cannot be read or made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No PIN can be shown yet.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// No compositor, or it would not do what it must.
    #[error(transparent)]
    Display(#[from] DisplayError),
    /// There is no desktop, and none can be started.
    #[error("there is no desktop to show (WAYLAND_DISPLAY names none) and none can be started: {0}")]
    NoDesktop(String),
    /// It was not ready in the time that it had.
    #[error("{0}")]
    Late(String),
    /// None of several ways gives pictures.
    #[error("no way gives pictures: {all}")]
    NoWay {
        /// What the last one came to.
        last: Box<HostError>,
        /// What each of them came to.
        all: String,
    },
    /// The compositor that the client picks cannot be had.
    #[error("the client picks the compositor {wanted:?}: {why}")]
    Compositor {
        /// Its pick.
        wanted: String,
        /// Why not.
        why: String,
    },
    /// This host was built without it.
    #[error(
        "this host was built without {what}: build it with `cargo build --release -p punktfunk-host --features \
         pipewire`, or take a package that has it"
    )]
    NotBuilt {
        /// What is missing.
        what: &'static str,
    },
    /// An output was named that no desktop can have.
    #[error(
        "output {0:?} was named, but there is no desktop that could have it (WAYLAND_DISPLAY names none); \
         start the host in that desktop's session, or use --source wayland for a desktop of its own"
    )]
    NoOutput(String),
    /// The source of pictures failed.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The encoder failed, or a file holds no stream.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// An encoder that was asked for by name, or agreed on, is not to be had.
    #[error("{wanted} cannot be had: {why}")]
    NoEncoder {
        /// Which.
        wanted: &'static str,
        /// Why.
        why: String,
    },
    /// A GPU cannot make pictures the encoder's.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The pipeline could not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What the client asked for cannot be had.
    #[error("the client asked for what cannot be had: {0}")]
    Impossible(String),
    /// As many sessions as there may be are there.
    #[error(
        "all {sessions_max} sessions that this host has (--sessions) are in use; try again when one has ended"
    )]
    Full {
        /// How many there may be.
        sessions_max: usize,
    },
    /// The two ends cannot agree.
    #[error("no agreement with the client: {why}")]
    Unagreed {
        /// What about.
        code: RefusalCode,
        /// Both ends' positions.
        why: String,
    },
    /// The encoder cannot fill this rate.
    #[error(
        "{asked_kbps} kbit/s cannot be had: with its parity this encoder fills {most_kbps} kbit/s at most"
    )]
    Rate {
        /// The wire's rate that was asked for.
        asked_kbps: u32,
        /// The most that could be had.
        most_kbps: u32,
    },
    /// A stage of the stream broke.
    #[error(transparent)]
    Fault(#[from] StageFault),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl HostError {
    /// The program's exit code: one for each kind, so that a script can tell them apart.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Settings(_)
            | Self::Meant(_)
            | Self::Identity(IdentityError::NoHome)
            | Self::Net(NetError::BackendUnknown { .. }) => EXIT_USAGE,
            Self::Fault(fault) if fault.stage == "capture" => 10,
            Self::NoEncoder { .. } => 8,
            Self::Gpu(GpuError::Loader { .. } | GpuError::NoDevice { .. } | GpuError::Missing { .. }) => 8,
            Self::Broken { .. }
            | Self::Engine(_)
            | Self::Net(_)
            | Self::Fault(_)
            | Self::Gpu(_)
            | Self::Manage(ManageError::Thread(_)) => 1,
            Self::NoRunningHost { .. } | Self::NoManagement { .. } => 2,
            Self::Control(_)
            | Self::Identity(_)
            | Self::Devices(_)
            | Self::Arm(_)
            | Self::RunningHostRefused { .. }
            | Self::NotPaired(_)
            | Self::Token(_) => 3,
            Self::Impossible(_)
            | Self::Unagreed { .. }
            | Self::Rate { .. }
            | Self::Codec(
                CodecError::Size { .. } | CodecError::TooLarge { .. } | CodecError::Setting { .. },
            )
            | Self::Capture(CaptureError::Mode(_) | CaptureError::CardTooSmall { .. }) => 5,
            Self::File { .. }
            | Self::Codec(_)
            | Self::Capture(CaptureError::Read { .. } | CaptureError::Y4m { .. }) => 6,
            Self::PortInUse { .. } | Self::Manage(ManageError::Bind { .. }) => 7,
            Self::Display(_)
            | Self::NoDesktop(_)
            | Self::Compositor { .. }
            | Self::NotBuilt { .. }
            | Self::NoOutput(_) => 8,
            Self::Full { .. } => 11,
            Self::NoWay { last, .. } => last.exit_code(),
            Self::Late(_) | Self::Capture(_) => 10,
        }
    }

    /// The same for scripts, with the words.
    pub fn told(&self) -> Told {
        let remedy = match self {
            Self::RunningHostRefused { remedy, .. } => {
                Some(remedy.clone()).filter(|remedy| !remedy.is_empty())
            }
            _ => None,
        };
        Told { code: self.exit_code(), message: self.to_string(), remedy }
    }

    /// What a client is refused for. Its program ends with the code that ours would end with; what broke here and has
    /// no code of its own there is the source's.
    pub fn refusal_code(&self) -> RefusalCode {
        match self {
            Self::Impossible(_)
            | Self::Codec(
                CodecError::Size { .. } | CodecError::TooLarge { .. } | CodecError::Setting { .. },
            )
            | Self::Capture(CaptureError::Mode(_) | CaptureError::CardTooSmall { .. }) => RefusalCode::Mode,
            Self::Unagreed { code, .. } => *code,
            Self::Full { .. } => RefusalCode::Busy,
            Self::Rate { .. } => RefusalCode::Bitrate,
            Self::Display(_)
            | Self::NoDesktop(_)
            | Self::Compositor { .. }
            | Self::NotBuilt { .. }
            | Self::NoOutput(_) => RefusalCode::Compositor,
            Self::NoWay { last, .. } => last.refusal_code(),
            Self::Usage(_)
            | Self::Settings(_)
            | Self::PortInUse { .. }
            | Self::Net(_)
            | Self::Control(_)
            | Self::Identity(_)
            | Self::Devices(_)
            | Self::Meant(_)
            | Self::Arm(_)
            | Self::NoRunningHost { .. }
            | Self::NoManagement { .. }
            | Self::RunningHostRefused { .. }
            | Self::NotPaired(_)
            | Self::Broken { .. }
            | Self::Manage(_)
            | Self::Token(_)
            | Self::Capture(_)
            | Self::Codec(_)
            | Self::Gpu(_)
            | Self::NoEncoder { .. }
            | Self::Late(_)
            | Self::Engine(_)
            | Self::Fault(_)
            | Self::File { .. } => RefusalCode::Source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `punktfunk` ends with when it is refused so, by the README's table.
    fn at_the_client(code: RefusalCode) -> u8 {
        match code {
            RefusalCode::Compositor => 8,
            RefusalCode::Source => 10,
            RefusalCode::Busy => 11,
            _ => 5,
        }
    }

    #[test]
    fn both_ends_end_with_one_code_for_one_reason() {
        let text = String::new;
        let late = || HostError::Late(text());
        let cases = [
            (HostError::Impossible(text()), RefusalCode::Mode, 5),
            (HostError::Rate { asked_kbps: 2, most_kbps: 1 }, RefusalCode::Bitrate, 5),
            (HostError::Unagreed { code: RefusalCode::Cipher, why: text() }, RefusalCode::Cipher, 5),
            (HostError::Full { sessions_max: 1 }, RefusalCode::Busy, 11),
            (HostError::NoDesktop(text()), RefusalCode::Compositor, 8),
            (HostError::Compositor { wanted: text(), why: text() }, RefusalCode::Compositor, 8),
            (HostError::NotBuilt { what: "PipeWire" }, RefusalCode::Compositor, 8),
            (HostError::NoOutput(text()), RefusalCode::Compositor, 8),
            (late(), RefusalCode::Source, 10),
            (HostError::NoWay { last: Box::new(late()), all: text() }, RefusalCode::Source, 10),
        ];
        for (error, refused, code) in cases {
            let said = (error.refusal_code(), error.exit_code(), at_the_client(error.refusal_code()));
            assert_eq!(said, (refused, code, code), "{error:?}");
        }
    }
}
