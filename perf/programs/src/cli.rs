//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::case::{Case, Checking, Waiting};
use crate::limits::Part;
use crate::units::{Bytes, Idrs, Pace, Percent, Rate, Refresh};

/// Proves the data plane: the engine's two pipelines over real sockets, beside bare UDP in the same run.
#[derive(Debug, Parser)]
#[command(name = "punktfunk-perf", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Both ends on loopback: highest clean rate, CPU-seconds a gigabit, latency, each beside the bare twin.
    Loop(Box<LoopArgs>),
    /// The sending end alone, with test keys that protect nothing.
    Send(Box<SendArgs>),
    /// The receiving end alone, with test keys that protect nothing.
    Recv(Box<RecvArgs>),
    /// Packetize, parity and sealing on one core, and nothing sent.
    Protect(Box<ProtectArgs>),
    /// One table of a picture's way, from the PUNKTFUNK_PERF folders of both ends.
    Glass(GlassArgs),
    /// A page and a picture of what a session left: its PUNKTFUNK_PERF logs and summary.
    Report(ReportArgs),
    /// Two builds, or two sets of options, measured in turn.
    Compare(Box<CompareArgs>),
    /// Both ends for long, with loss, rekeys and changes of mode, and their memory watched.
    Soak(SoakArgs),
    /// One end of a measurement: what this program starts by itself, told by its standard input.
    #[command(hide = true)]
    End,
}

/// A stream's shape and how it is carried.
#[derive(Debug, Clone, Args)]
pub struct ShapeArgs {
    /// Pictures a second
    #[arg(long, default_value = "120")]
    pub fps: Refresh,
    /// Slices an access unit
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub slices: u16,
    /// The large access units: `none`, or how many times the size and how often
    #[arg(long, default_value = "5x/1s", value_name = "SIZEx/SECONDSs")]
    pub idr: Idrs,
    /// Parity beside the data, per cent
    #[arg(long, default_value = "10", value_name = "PERCENT")]
    pub redundancy: Percent,
    /// Redundancy follows what the receiver reports; --redundancy is the most
    #[arg(long)]
    pub adaptive: bool,
    /// Bytes of a shard, a multiple of 64
    #[arg(long, default_value_t = 1408, value_name = "BYTES")]
    pub shard: u16,
    /// Stages look again instead of waiting in the kernel, for as long as pictures lie apart
    #[arg(long, conflicts_with = "block")]
    pub spin: bool,
    /// Stages wait in the kernel (the default)
    #[arg(long)]
    pub block: bool,
    /// The send path: gso, sendmmsg, scalar, uring; the fastest that works unless said
    #[arg(long, value_name = "NAME")]
    pub net: Option<String>,
    /// The pacer: off, on (as the host paces by itself), or the link's rate
    #[arg(long, default_value = "off", value_name = "off|on|RATE")]
    pub pace: Pace,
    /// How much of what arrives is looked at
    #[arg(long, value_enum, default_value_t = CheckArg::Stamps)]
    pub check: CheckArg,
    /// Datagrams that a hop between the two ends loses, per cent
    #[arg(long, default_value = "0", value_name = "PERCENT")]
    pub loss: Percent,
}

/// How much of what arrives is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckArg {
    /// Each slice's header and a stamp in each kilobyte.
    Stamps,
    /// Every byte.
    All,
}

impl ShapeArgs {
    /// The case at `rate`.
    pub fn case(&self, rate: Rate) -> Case {
        Case {
            rate,
            refresh: self.fps,
            slices: self.slices,
            idrs: self.idr,
            redundancy: self.redundancy,
            shard_bytes: self.shard,
            waiting: if self.spin { Waiting::Spin } else { Waiting::Block },
            net: self.net.clone(),
            pace: self.pace,
            checking: match self.check {
                CheckArg::Stamps => Checking::Stamps,
                CheckArg::All => Checking::All,
            },
            loss: self.loss,
            adaptive: self.adaptive,
        }
    }
}

/// What `loop` is told.
#[derive(Debug, Clone, Args)]
pub struct LoopArgs {
    /// Payload rates such as 1G, 500M or 20000 (kbit/s); without one the highest clean rate is searched
    #[arg(long, value_delimiter = ',', value_name = "RATE")]
    pub rate: Vec<Rate>,
    /// Sizes of access units such as 40k or 1M, each of which with the pictures a second makes a rate
    #[arg(long, value_delimiter = ',', value_name = "BYTES", conflicts_with = "rate")]
    pub au: Vec<Bytes>,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Seconds of a window
    #[arg(long, default_value_t = 3.0, value_name = "N")]
    pub seconds: f64,
    /// Windows of each case, ours and the twin's in turn
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rounds: u32,
    /// The whole table of targets, or parts of it
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., value_name = "PART", conflicts_with_all = ["rate", "au"])]
    pub limits: Option<Vec<Part>>,
    /// Leave the bare twin out
    #[arg(long)]
    pub no_twin: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// A folder for plots over the rates
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// A folder for the stages' histograms of the last window of each end
    #[arg(long, value_name = "DIR")]
    pub perf: Option<PathBuf>,
}

/// What `send` is told.
#[derive(Debug, Clone, Args)]
pub struct SendArgs {
    /// Where to send
    #[arg(required_unless_present = "veth", conflicts_with = "veth")]
    pub destination: Option<SocketAddr>,
    /// Into a link that drops, in a network namespace made for it (needs root)
    #[arg(long)]
    pub veth: bool,
    /// Payload rate
    #[arg(long, default_value = "1G")]
    pub rate: Rate,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Seconds
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    pub seconds: f64,
    /// What the test keys are made of; the receiver's must be the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Nobody receives: go on without reports
    #[arg(long)]
    pub alone: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// A folder for the stages' histograms
    #[arg(long, value_name = "DIR")]
    pub perf: Option<PathBuf>,
}

/// What `recv` is told.
#[derive(Debug, Clone, Args)]
pub struct RecvArgs {
    /// Where to listen
    pub listen: SocketAddr,
    /// Payload rate that is to come: what memory is taken for
    #[arg(long, default_value = "1G")]
    pub rate: Rate,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Seconds
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    pub seconds: f64,
    /// What the test keys are made of; the sender's must be the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// A folder for the stages' histograms
    #[arg(long, value_name = "DIR")]
    pub perf: Option<PathBuf>,
}

/// What `protect` is told.
#[derive(Debug, Clone, Args)]
pub struct ProtectArgs {
    /// Payload rate, which with the pictures a second gives an access unit's size
    #[arg(long, default_value = "1G")]
    pub rate: Rate,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// Seconds
    #[arg(long, default_value_t = 2.0, value_name = "N")]
    pub seconds: f64,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// What `glass` is told.
#[derive(Debug, Clone, Args)]
pub struct GlassArgs {
    /// The host's PUNKTFUNK_PERF folder
    pub host: PathBuf,
    /// The client's; the host's unless said
    pub client: Option<PathBuf>,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// A folder for a plot
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
}

/// What `report` is told.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The folder with perf-host.hlog, perf-client.hlog and summary.json: all of them, or some
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The page; DIR/report.html unless said
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The picture; beside the page, with the ending .png, unless said
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// No picture
    #[arg(long, conflicts_with = "png")]
    pub no_png: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// What `compare` is told.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The build that is A; this one unless said
    pub a: Option<PathBuf>,
    /// The build that is B; A's unless said
    pub b: Option<PathBuf>,
    /// Options of A alone, in one argument: `--a-options "--pace on"`
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "OPTIONS")]
    pub a_options: String,
    /// Options of B alone
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "OPTIONS")]
    pub b_options: String,
    /// Options of `loop` for both
    #[arg(long, default_value = "--rate 1G", allow_hyphen_values = true, value_name = "OPTIONS")]
    pub options: String,
    /// Pairs of runs
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub pairs: u32,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// What `soak` is told.
#[derive(Debug, Clone, Args)]
pub struct SoakArgs {
    /// How long
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    pub minutes: f64,
    /// Payload rate of the largest mode
    #[arg(long, default_value = "1G")]
    pub rate: Rate,
    /// Datagrams that the hop loses, per cent
    #[arg(long, default_value = "1", value_name = "PERCENT")]
    pub loss: Percent,
    /// Redundancy follows what the receiver reports, and what it does not cover is sent again
    #[arg(long)]
    pub adaptive: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}
