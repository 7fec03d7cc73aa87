//! The client's command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use punktfunk_capture::Mode;
use punktfunk_control::{Chroma, Depth, Fingerprint, FingerprintError, Pin};
use punktfunk_settings::{ConfigArgs, Shell};

use crate::decoder::{self, CodecChoice, DecoderChoice, StreamWish};

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
    /// The file of settings, in place of ~/.config/punktfunk/client.toml.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What the client can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stream from a host without a window: decode, measure, record.
    Connect(Box<ConnectArgs>),
    /// Get to know a host: by the PIN that it shows, or by waiting until somebody there says Yes.
    Pair(Box<PairArgs>),
    /// Look for hosts on the local network.
    Discover(DiscoverArgs),
    /// Measure what the way from a host to this client carries: the host sends filler like video, and opens no screen.
    SpeedTest(Box<SpeedTestArgs>),
    /// Show every setting, its value, and where that comes from.
    Config(ConfigArgs),
    /// List the hosts that are paired, or forget one.
    Hosts(HostsArgs),
    /// Print this client's fingerprint, for the host's --trust.
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
    /// What decodes: nvdec is NVIDIA's decoder, openh264 the CPU's; auto is NVIDIA's where there is one.
    #[arg(long, value_name = "auto|nvdec|openh264", default_value = "auto")]
    pub decoder: DecoderChoice,
    /// The codec asked for: auto leaves it to the host, H.264 first, which can go on in software and be recorded; HEVC and
    /// AV1 take NVIDIA's decoder.
    #[arg(long, value_name = "auto|h264|hevc|av1", default_value = "auto")]
    pub codec: CodecChoice,
    /// Bits of a sample: 10 take a card at both ends.
    #[arg(long, value_name = "8|10", default_value = "8", value_parser = decoder::depth)]
    pub depth: Depth,
    /// Samples of colour: 420 is half of them each way, 444 all, for sharp coloured text; those take a card at both ends.
    #[arg(long, value_name = "420|444", default_value = "420", value_parser = decoder::chroma)]
    pub chroma: Chroma,
    /// End after this many seconds of streaming; without it, at Ctrl-C or when the host ends.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// Take commands from standard input, a line each: mode WxH@R, bitrate KBPS, approve ID, deny ID, quit.
    #[arg(long)]
    pub commands: bool,
    /// For how many seconds a host is looked for that was lost in mid-stream; 0: not at all. What is recorded then goes
    /// into a further file, FILE-2.mp4.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub reconnect: u32,
    /// Record the stream: with its times into .mp4 or .m4v; .mkv, .webm, .mov, .avi, .ts and .flv are refused;
    /// under any other name the bare H.264 stream.
    #[arg(long, value_name = "FILE.mp4")]
    pub record: Option<PathBuf>,
    /// Keep a recent picture: at most half a second older than the last one.
    #[arg(long, value_name = "FILE.png")]
    pub snapshot: Option<PathBuf>,
    /// Which hosts are believed.
    #[command(flatten)]
    pub belief: BeliefArgs,
    /// Answer for devices that ask the host to be let in: yes and no to all, or yes to this fingerprint only. Without
    /// it they are only told of.
    #[arg(long, value_name = "yes|no|FINGERPRINT")]
    pub approve_with: Option<Approval>,
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

impl ConnectArgs {
    /// What is asked for of the stream.
    pub fn stream(&self) -> StreamWish {
        StreamWish { codec: self.codec, depth: self.depth, chroma: self.chroma }
    }
}

/// How to get to know a host.
#[derive(Debug, Clone, Args)]
pub struct PairArgs {
    /// The host: a name or an address, with a port or without.
    #[arg(value_name = "HOST[:PORT]")]
    pub host: String,
    /// The PIN that the host shows; without it, it is asked for and read from standard input.
    #[arg(long, value_name = "PIN", conflicts_with = "knock")]
    pub pin: Option<Pin>,
    /// Without a PIN: wait until somebody at the host, or at a paired device, says Yes.
    #[arg(long)]
    pub knock: bool,
    /// With --knock, the host's fingerprint; without it the host is believed that answers.
    #[arg(long, value_name = "FINGERPRINT", requires = "knock")]
    pub trust: Vec<Fingerprint>,
    /// What the host shows for this client; by default this machine's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// Nothing but one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// How to look for hosts.
#[derive(Debug, Clone, Args)]
pub struct DiscoverArgs {
    /// For how long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub wait: u32,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// Nothing but one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Which hosts are believed, where it is not the paired ones.
#[derive(Debug, Clone, Args)]
pub struct BeliefArgs {
    /// The host's fingerprint (64 hex digits), in place of the paired hosts'; any other host is refused.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "open")]
    pub trust: Vec<Fingerprint>,
    /// Believe any host. Without it one that is paired is, or the one that --trust names.
    #[arg(long)]
    pub open: bool,
}

/// What to test.
#[derive(Debug, Clone, Args)]
pub struct SpeedTestArgs {
    /// The host: a name or an address, with a port or without.
    #[arg(value_name = "HOST[:PORT]")]
    pub host: String,
    /// The wire's rate to try in kbit/s, redundancy included.
    #[arg(long = "target", value_name = "KBPS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(500..=10_000_000))]
    pub target_kbps: u32,
    /// For how long, in milliseconds.
    #[arg(long = "ms", value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(200..=10_000))]
    pub duration_ms: u32,
    /// Which hosts are believed.
    #[command(flatten)]
    pub belief: BeliefArgs,
    /// What the host shows for this client; by default this machine's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// Nothing but one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Which hosts, and what about them.
#[derive(Debug, Clone, Args)]
pub struct HostsArgs {
    /// Forget this one: its name, or the beginning of its fingerprint (8 digits or more). The host forgets this client
    /// by `punktfunk-host devices revoke`.
    #[arg(long, value_name = "HOST")]
    pub forget: Option<String>,
    /// Where the identity is kept.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// What this client says about devices that ask its host to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Let all of them in.
    Yes,
    /// Let none of them in.
    No,
    /// Let this one in, and say nothing about others.
    Only(Fingerprint),
}

impl Approval {
    /// The word about a device, if there is one.
    pub fn about(self, device: &Fingerprint) -> Option<bool> {
        match self {
            Approval::Yes => Some(true),
            Approval::No => Some(false),
            Approval::Only(wanted) => (wanted == *device).then_some(true),
        }
    }
}

impl FromStr for Approval {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "yes" => Ok(Approval::Yes),
            "no" => Ok(Approval::No),
            fingerprint => fingerprint.parse().map(Approval::Only),
        }
    }
}
