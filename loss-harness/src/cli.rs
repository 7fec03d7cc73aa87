//! The command line. Every value of a plan that is worth trying by hand has an argument, which goes over the file's.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plan::Plan;
use crate::units::{Burst, Bytes, Percent, Rate, Reorder, SizeRange, Span};

/// Holds what a receiver delivers under loss against what the code's bound allows.
#[derive(Debug, Parser)]
#[command(name = "loss-harness", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the harness can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a plan's access units through its channel once.
    Run(Box<RunArgs>),
    /// The same for every pair of a loss and a redundancy.
    Sweep(Box<SweepArgs>),
    /// How fast blocks are encoded and recovered here.
    Fec(FecArgs),
}

/// A plan, from a file and arguments.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A plan file; arguments go over what it says.
    #[arg(long, value_name = "FILE.toml")]
    pub plan: Option<PathBuf>,
    /// Seed of every random choice [plan: 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Access units to send [plan: 1000]
    #[arg(long)]
    pub aus: Option<u32>,
    /// Their sizes, log-uniform [plan: 2KB..4MB]
    #[arg(long, value_name = "SIZE[..SIZE]")]
    pub size: Option<SizeRange>,
    /// Slices of each [plan: 4]
    #[arg(long)]
    pub slices: Option<u16>,
    /// Parity beside the data, at least one shard a block [plan: 10%]
    #[arg(long, value_name = "PERCENT")]
    pub redundancy: Option<Percent>,
    /// Independent loss [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<Percent>,
    /// Bursts of loss: how often one begins, and its mean length in datagrams, such as 0.1%x20
    #[arg(long, value_name = "PERCENTxLENGTH")]
    pub burst: Option<Burst>,
    /// Datagrams held back: how many, and for how long at most, such as 2%x3ms
    #[arg(long, value_name = "PERCENTxTIME")]
    pub reorder: Option<Reorder>,
    /// Datagrams that come twice [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub duplicate: Option<Percent>,
    /// Copies with a bit flipped [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub corrupt: Option<Percent>,
    /// Rate of the narrowest link, such as 800Mbit/s
    #[arg(long, value_name = "RATE")]
    pub rate_limit: Option<Rate>,
    /// Queue before it [plan: 256KB]
    #[arg(long, value_name = "SIZE")]
    pub queue: Option<Bytes>,
    /// One-way delay [plan: 200us]
    #[arg(long, value_name = "TIME")]
    pub delay: Option<Span>,
    /// JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// Puts the arguments over the plan.
    pub fn apply(&self, plan: &mut Plan) {
        over(&mut plan.seed, self.seed);
        over(&mut plan.aus, self.aus);
        over(&mut plan.size, self.size);
        over(&mut plan.slices, self.slices);
        over(&mut plan.redundancy, self.redundancy);
        let channel = &mut plan.channel;
        over(&mut channel.loss, self.loss);
        over(&mut channel.burst, self.burst.map(Some));
        over(&mut channel.reorder, self.reorder.map(Some));
        over(&mut channel.duplicate, self.duplicate);
        over(&mut channel.corrupt, self.corrupt);
        over(&mut channel.rate_limit, self.rate_limit.map(Some));
        over(&mut channel.queue, self.queue);
        over(&mut channel.delay, self.delay);
    }
}

fn over<T>(value: &mut T, argument: Option<T>) {
    if let Some(argument) = argument {
        *value = argument;
    }
}

/// A plan, and what to vary.
#[derive(Debug, Clone, Args)]
pub struct SweepArgs {
    /// The plan that is varied; at most 100 access units unless said otherwise.
    #[command(flatten)]
    pub run: RunArgs,
    /// Losses to try.
    #[arg(long, value_delimiter = ',', default_value = "0%,1%,2%,5%,10%")]
    pub losses: Vec<Percent>,
    /// Redundancies to try.
    #[arg(long, value_delimiter = ',', default_value = "5%,10%,20%")]
    pub redundancies: Vec<Percent>,
}

/// What to measure of the coder.
#[derive(Debug, Clone, Args)]
pub struct FecArgs {
    /// Block shapes, data+parity.
    #[arg(long, value_delimiter = ',', default_value = "30+3,64+7,434+44,874+88,1024+103")]
    pub shapes: Vec<ShapeText>,
    /// Shard length, a multiple of 64.
    #[arg(long, default_value_t = 1408)]
    pub shard_bytes: usize,
    /// Seconds for each figure.
    #[arg(long, default_value_t = 0.2)]
    pub seconds: f64,
    /// Seed of the blocks' bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// A block shape, spelled `64+7`.
#[derive(Debug, Clone, Copy)]
pub struct ShapeText {
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
}

impl std::str::FromStr for ShapeText {
    type Err = String;

    fn from_str(text: &str) -> Result<ShapeText, String> {
        let parts = text.split_once('+').map(|(k, m)| (k.parse(), m.parse()));
        match parts {
            Some((Ok(k), Ok(m))) if k > 0 && m > 0 => Ok(ShapeText { k, m }),
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => {
                Err(format!("expected data and parity shards such as `64+7`, got `{text}`"))
            }
        }
    }
}
