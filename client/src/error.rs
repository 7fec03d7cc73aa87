//! What ends the client program, and with which exit code.

use std::path::PathBuf;

use punktfunk_capture::ModeError;
use punktfunk_codec::CodecError;
use punktfunk_control::{
    ConnectError, ControlError, DevicesError, IdentityError, MeantError, PairError, RefusalCode,
};
use punktfunk_discover::DiscoverError;
use punktfunk_engine::{EngineError, StageFault};
use punktfunk_net::NetError;
use punktfunk_settings::{EXIT_USAGE, Faults, Told};

/// The exit code of an interrupted client, as a shell has it for a program that SIGINT ended.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Why the client could not do what it was asked. Each kind has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An argument is wrong.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// A signal cannot be caught.
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
    /// A person would not wait for the host.
    #[error("interrupted before the host had answered")]
    Interrupted,
    /// Somebody has said quit while the host was waited for.
    #[error("left before the host had answered")]
    Quit,
    /// The host was not back in time.
    #[error("the host was not back in time")]
    GaveUp,
    /// A mode is none.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The host's name has no address.
    #[error("{host:?} has no address: {source}; check the name, or give an address as HOST:PORT")]
    NoSuchHost {
        /// What was given.
        host: String,
        /// The resolver's answer.
        source: std::io::Error,
    },
    /// Nobody can be looked for.
    #[error("{0}; a host can be named by its address without this")]
    Discover(#[from] DiscoverError),
    /// The connection ended, or never was.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host has not let this client in.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The list of paired hosts could not be read or changed.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// A host was named that is not there, or not the only one.
    #[error("{0}: see `punktfunk hosts`")]
    Meant(#[from] MeantError),
    /// The identity could not be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// QUIC could not be set up.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The UDP edge failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The host has refused a speed test.
    #[error("no speed test: {0}")]
    SpeedTestRefused(String),
    /// A speed test has begun, and has no result.
    #[error("the speed test has no result: {0}")]
    SpeedTestLost(String),
    /// The pipeline could not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A stage broke.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// The decoder could not be made.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// What was asked for is not decoded here.
    #[error("cannot be decoded here: {why}")]
    Undecodable {
        /// What, and what can be.
        why: String,
    },
    /// The decoder cannot go on, and there is no other for the stream.
    #[error("the decoder failed: {0}")]
    Decoder(String),
    /// What the host welcomes us to cannot be.
    #[error("the host's Welcome cannot be: {0}; update the older of the two programs")]
    Welcome(String),
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The recording broke off in mid-stream.
    #[error("{path}: {source}; what was recorded before is in it")]
    Recording {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl ClientError {
    /// The program's exit code: one for each kind, so that a script can tell them apart.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoSuchHost { .. } | Self::Control(ControlError::Address { .. }) => 2,
            Self::Connect(error) | Self::Pair(PairError::Connect(error)) => connect_exit_code(error),
            Self::Pair(PairError::Unproven | PairError::TurnedAway(_)) | Self::Devices(_) => 3,
            Self::Welcome(_) => 4,
            Self::File { .. } | Self::Recording { .. } => 6,
            Self::Usage(_)
            | Self::Meant(_)
            | Self::Settings(_)
            | Self::Mode(_)
            | Self::Identity(IdentityError::NoHome)
            | Self::Net(NetError::BackendUnknown { .. }) => EXIT_USAGE,
            Self::Identity(_) => 3,
            Self::SpeedTestRefused(_) | Self::Undecodable { .. } => 5,
            Self::Control(_)
            | Self::Codec(_)
            | Self::Decoder(_)
            | Self::Discover(_)
            | Self::Net(_)
            | Self::Engine(_)
            | Self::Stage(_)
            | Self::Signals(_) => 1,
            Self::Interrupted => EXIT_INTERRUPTED,
            Self::GaveUp | Self::SpeedTestLost(_) => 9,
            Self::Quit => 0,
        }
    }
}

impl ClientError {
    /// The same for scripts, with the words.
    pub fn told(&self) -> Told {
        Told { code: self.exit_code(), message: self.to_string(), remedy: None }
    }
}

fn connect_exit_code(error: &ConnectError) -> u8 {
    match error {
        ConnectError::NoAnswer { .. } => 2,
        ConnectError::WrongFingerprint { .. }
        | ConnectError::HostCertificate { .. }
        | ConnectError::OurCertificate
        | ConnectError::HostDemandsTrust { .. } => 3,
        ConnectError::ProtocolVersion { .. } => 4,
        ConnectError::ConnectionRefusedByHost(refusal) => refusal_exit_code(refusal.code),
        ConnectError::Lost { .. }
        | ConnectError::Restarted { .. }
        | ConnectError::Stalled { .. }
        | ConnectError::Closed(_) => 9,
        // This client leaves by itself when it has streamed, which is no error, or when it is interrupted.
        ConnectError::Left(_) => EXIT_INTERRUPTED,
        ConnectError::Violation(_) | ConnectError::Transport { .. } => 1,
    }
}

/// Where the host program ends for the same reason, its exit code is the same.
fn refusal_exit_code(code: RefusalCode) -> u8 {
    match code {
        RefusalCode::ProtocolVersion => 4,
        RefusalCode::Mode
        | RefusalCode::Bitrate
        | RefusalCode::Codec
        | RefusalCode::Cipher
        | RefusalCode::Limits
        | RefusalCode::Other(_) => 5,
        RefusalCode::Compositor => 8,
        RefusalCode::ShuttingDown => 9,
        RefusalCode::Source => 10,
        RefusalCode::Busy => 11,
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_control::Refusal;

    use super::*;

    /// The README's table; the host's own codes for the same reasons are held to it in its program.
    #[test]
    fn a_refusal_has_the_code_that_the_host_ends_with_for_the_same_reason() {
        let cases = [
            (RefusalCode::ProtocolVersion, 4),
            (RefusalCode::Mode, 5),
            (RefusalCode::Bitrate, 5),
            (RefusalCode::Codec, 5),
            (RefusalCode::Cipher, 5),
            (RefusalCode::Limits, 5),
            (RefusalCode::Compositor, 8),
            (RefusalCode::ShuttingDown, 9),
            (RefusalCode::Source, 10),
            (RefusalCode::Busy, 11),
            (RefusalCode::Other(999), 5),
        ];
        for (code, exit_code) in cases {
            let refused = ConnectError::ConnectionRefusedByHost(Refusal::new(code, "why"));
            assert_eq!(ClientError::Connect(refused).exit_code(), exit_code, "{code:?}");
        }
    }

    /// 7 is the port's alone, which only the host has.
    #[test]
    fn a_speed_test_without_a_result_ends_as_what_was_refused_or_lost() {
        let why = || "why".to_owned();
        let codes = [ClientError::SpeedTestRefused(why()), ClientError::SpeedTestLost(why())];
        assert_eq!(codes.map(|error| error.exit_code()), [5, 9]);
    }
}
