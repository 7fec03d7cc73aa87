//! The host's command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use punktfunk_control::Fingerprint;
use punktfunk_proto::BitratePolicy;
use punktfunk_settings::{ConfigArgs, Shell};

use crate::bitrate;
use crate::encode::{EncoderChoice, ImportChoice};
use crate::manage::{LISTEN_DEFAULT, ManageAt};
use crate::redundancy::Redundancy;

/// The port when none is given.
pub const PORT_DEFAULT: u16 = 47_800;

/// How many sessions there may be at a time when nothing else is said: a household's screens.
pub const SESSIONS_DEFAULT: u8 = 4;

/// What people ask first.
const AFTER_HELP: &str = "\
To begin: `punktfunk-host serve --pair` shows a PIN; on the other machine `punktfunk pair HOST` asks for it, once,
and `punktfunk connect HOST` streams. On a network where everyone is trusted, --open at both ends does without.
PUNKTFUNK_LOG sets what is logged, such as warn or punktfunk_host=debug.";

/// Streams this machine's desktop to a punktfunk client on the LAN.
#[derive(Debug, Parser)]
#[command(name = "punktfunk-host", version, long_about = None, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The file of settings, in place of ~/.config/punktfunk/host.toml.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What the host can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait for clients and stream to them.
    Serve(Box<ServeArgs>),
    /// Say which compositors are here and whether they can be used.
    ProbeCompositor {
        /// JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Look at every link of the chain, from the desktop to the network: OK, degraded or broken, and what to do. Ends with 1
    /// where one is broken.
    Doctor(DoctorArgs),
    /// Show a PIN, by which one device may pair with the running host, and wait for it.
    Pair(PairArgs),
    /// List the devices that wait for somebody's word at the running host, and give it.
    Pending(PendingArgs),
    /// Print the token that the console asks for.
    Token {
        /// The console's whole address with it, for a browser to open.
        #[arg(long)]
        url: bool,
        /// Where the running host's --manage is, for --url.
        #[arg(long, value_name = "ADDR:PORT", default_value = LISTEN_DEFAULT)]
        manage: ManageAt,
        /// Where the identity is kept.
        #[arg(long, value_name = "DIR")]
        identity: Option<PathBuf>,
        /// JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Show every setting, its value, and where that comes from, for a host that starts without flags.
    Config(ConfigArgs),
    /// List, rename or revoke the devices that are paired; a running host follows at once.
    Devices(DevicesArgs),
    /// Print this host's fingerprint, for the client's --trust.
    Fingerprint {
        /// Where the identity is kept.
        #[arg(long, value_name = "DIR")]
        identity: Option<PathBuf>,
        /// JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Print what completes this program's command line in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print this program's manual page, or write every page and completion as a package has them.
    Man {
        /// A folder such as /usr/local/share.
        folder: Option<PathBuf>,
    },
}

/// What host to look at.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Ask the host that runs, in its own environment and with its own rights.
    #[arg(long, conflicts_with = "listen")]
    pub running: bool,
    /// The address and UDP port that the host is to listen on.
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen, default_value_t = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], PORT_DEFAULT)))]
    pub listen: SocketAddr,
    /// Where its console is, or is to be.
    #[arg(long, value_name = "ADDR:PORT|off", default_value = LISTEN_DEFAULT)]
    pub manage: ManageAt,
    /// Where its identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// How to let a device pair.
#[derive(Debug, Clone, Args)]
pub struct PairArgs {
    /// For how long the PIN holds.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(10..=120))]
    pub seconds: u32,
    /// Where the running host's --manage is.
    #[arg(long, value_name = "ADDR:PORT", default_value = LISTEN_DEFAULT)]
    pub manage: ManageAt,
    /// Where the running host's identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// One JSON line for the PIN, and one for the device.
    #[arg(long)]
    pub json: bool,
}

/// Which of the devices that wait, and what about it.
#[derive(Debug, Clone, Args)]
pub struct PendingArgs {
    /// What to do; without it they are listed.
    #[command(subcommand)]
    pub verb: Option<PendingVerb>,
    /// Where the running host's --manage is.
    #[arg(long, value_name = "ADDR:PORT", default_value = LISTEN_DEFAULT, global = true)]
    pub manage: ManageAt,
    /// Where the running host's identity is kept.
    #[arg(long, value_name = "DIR", global = true)]
    pub identity: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do about a device that waits.
#[derive(Debug, Clone, Subcommand)]
pub enum PendingVerb {
    /// List them.
    List,
    /// Let one in.
    Approve {
        /// Its number in the list.
        id: u64,
        /// Its name from now on; by default what it calls itself.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Turn one away.
    Deny {
        /// Its number in the list.
        id: u64,
    },
}

/// Which devices, and what about them.
#[derive(Debug, Clone, Args)]
pub struct DevicesArgs {
    /// What to do; without it they are listed.
    #[command(subcommand)]
    pub verb: Option<DevicesVerb>,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR", global = true)]
    pub identity: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do about a device.
#[derive(Debug, Clone, Subcommand)]
pub enum DevicesVerb {
    /// List them.
    List,
    /// Give one another name.
    Rename {
        /// Its name, or the beginning of its fingerprint (8 digits or more).
        device: String,
        /// Its new name.
        name: String,
    },
    /// Take its trust away; a session of it ends within a second.
    Revoke {
        /// Its name, or the beginning of its fingerprint (8 digits or more).
        device: String,
    },
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let all = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], PORT_DEFAULT));
    text.parse().map_err(|_| format!("{text:?} is no IP address with a port, such as {all}"))
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address and UDP port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen, default_value_t = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], PORT_DEFAULT)))]
    pub listen: SocketAddr,
    /// Let every client in. Without it only paired devices and those named by --trust may connect.
    #[arg(long, conflicts_with = "trust", overrides_with = "no_open")]
    pub open: bool,
    /// Take back an --open of the file or of a variable.
    #[arg(long, overrides_with = "open")]
    pub no_open: bool,
    /// A client's fingerprint that may connect though it is not paired (64 hex digits); may be given several times.
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Vec<Fingerprint>,
    /// Show a PIN at the start, by which one device may pair within two minutes.
    #[arg(long)]
    pub pair: bool,
    /// auto, pipewire[:NODE], mutter[:CONNECTOR], mutter-virtual, wayland[:OUTPUT], sway, card, file:PATH (.y4m, .h264)
    /// or bitstream:KEY=VALUE,…; given several times, each takes the place of the one before where that cannot be had,
    /// or ends.
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub source: Vec<String>,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// Redundancy: auto follows the loss that the client reports, a number is so many parity shards for each hundred
    /// data shards; at least one a block.
    #[arg(long, value_name = "auto|PERCENT", default_value = "auto")]
    pub redundancy: Redundancy,
    /// Bitrate: adaptive lowers it where the way or the client do not bear what was asked for, and raises it again once
    /// they have proven that they do; fixed leaves it. With --link it is fixed.
    #[arg(long, value_name = "adaptive|fixed", default_value = "adaptive", value_parser = bitrate::parse)]
    pub bitrate: BitratePolicy,
    /// The link's rate for the pacer in kbit/s; by default it is measured.
    #[arg(long, value_name = "KBPS", value_parser = clap::value_parser!(u32).range(500..=100_000_000))]
    pub link: Option<u32>,
    /// The most slices an access unit is encoded in; low rates take fewer.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub slices: u16,
    /// What encodes pictures: auto is the best one that is there.
    #[arg(long, value_name = "auto|nvenc|openh264", default_value = "auto")]
    pub encoder: EncoderChoice,
    /// What makes pictures the encoder's, reading dmabufs where the desktop gives them: gpu is Vulkan, cpu reads pictures
    /// in memory only; auto is the GPU for a GPU's encoder.
    #[arg(long, value_name = "auto|gpu|cpu", default_value = "auto")]
    pub import: ImportChoice,
    /// Where the console and the commands that speak to a running host reach it, by HTTPS.
    #[arg(long, value_name = "ADDR:PORT|off", default_value = LISTEN_DEFAULT)]
    pub manage: ManageAt,
    /// Do not tell the local network that this host is here: `punktfunk discover` will not find it, its address still works.
    #[arg(long, overrides_with = "announce")]
    pub no_announce: bool,
    /// Tell it, though the file or a variable says not to.
    #[arg(long, overrides_with = "no_announce")]
    pub announce: bool,
    /// Write the bound port into this file once clients can connect.
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// How many sessions there may be at a time, each with a source of its own; a client has one.
    #[arg(long, value_name = "N", default_value_t = SESSIONS_DEFAULT, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub sessions: u8,
    /// End after the first session, and serve no other.
    #[arg(long)]
    pub once: bool,
    /// One JSON line for each event on standard output.
    #[arg(long)]
    pub json: bool,
}

impl ServeArgs {
    /// Whether every client is let in.
    pub fn is_open(&self) -> bool {
        self.open && !self.no_open
    }

    /// Whether the local network is told.
    pub fn is_announced(&self) -> bool {
        self.announce || !self.no_announce
    }
}
