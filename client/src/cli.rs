//! The client's command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use punktfunk_capture::Mode;
use punktfunk_control::Fingerprint;

/// The host's port when none is given.
pub const PORT_DEFAULT: u16 = 47_800;

/// The client's whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "punktfunk",
    version,
    about = "Shows a punktfunk host's desktop on this machine, with as little delay as the network allows."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the client can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stream from a host without a window: decode, measure, record.
    Connect(Box<ConnectArgs>),
    /// Print this client's fingerprint, for the host's --trust.
    Fingerprint {
        /// Where the identity is kept.
        #[arg(long, value_name = "DIR")]
        identity: Option<PathBuf>,
    },
}

/// How to connect.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The host: a name or an address, with a port or without.
    #[arg(value_name = "HOST[:PORT]")]
    pub host: String,
    /// The picture asked for.
    #[arg(long, value_name = "WxH@R", default_value = "1280x720@60")]
    pub mode: Mode,
    /// The wire's rate asked for in kbit/s, redundancy included.
    #[arg(long, value_name = "KBPS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(500..=8_000_000))]
    pub bitrate: u32,
    /// The compositor asked for, by the name under which the host offers it, such as sway.
    #[arg(long, value_name = "NAME")]
    pub compositor: Option<String>,
    /// End after this many seconds of streaming; without it, at Ctrl-C or when the host ends.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// Record the stream: with its times into .mp4 or .m4v; .mkv, .webm, .mov, .avi, .ts and .flv are refused;
    /// under any other name the bare H.264 stream.
    #[arg(long, value_name = "FILE.mp4")]
    pub record: Option<PathBuf>,
    /// Keep a recent picture: at most half a second older than the last one.
    #[arg(long, value_name = "FILE.png")]
    pub snapshot: Option<PathBuf>,
    /// The host's fingerprint (64 hex digits); any other host is refused.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "open")]
    pub trust: Vec<Fingerprint>,
    /// Believe any host. Without it --trust is needed.
    #[arg(long)]
    pub open: bool,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// What the host shows for this client.
    #[arg(long, value_name = "NAME", default_value = "punktfunk")]
    pub name: String,
    /// Nothing but one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}
