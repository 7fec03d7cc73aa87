//! The command line. Every value of a plan that is worth trying by hand has an argument, which goes over the file's.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::fec::FecArgs;
use crate::plan::{Matrix, Plan, PlanError, TraceFile};
use crate::units::{Burst, Bytes, MtuChange, Percent, Rate, Reorder, SizeRange, Span, Stretch};

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
    /// Send a plan's access units through its links once.
    Run(Box<RunArgs>),
    /// Run a plan for every combination of losses, burst lengths, sizes, redundancies, and sending again or not.
    Sweep(Box<SweepArgs>),
    /// How fast blocks are encoded and recovered here.
    Fec(Box<FecArgs>),
}

/// A plan, from a file and arguments.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A plan file; arguments go over what it says
    #[arg(value_name = "PLAN.toml", conflicts_with = "plan_flag")]
    pub plan: Option<PathBuf>,
    /// The plan file, named by an argument
    #[arg(long = "plan", value_name = "PLAN.toml")]
    pub plan_flag: Option<PathBuf>,
    /// What is sent.
    #[command(flatten)]
    pub stream: StreamArgs,
    /// What happens to it.
    #[command(flatten)]
    pub link: LinkArgs,
    /// JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// What is sent, and how it is protected.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
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
    /// Access units a second [plan: 60]
    #[arg(long)]
    pub refresh_hz: Option<u32>,
    /// The pacer's rate [plan: 2000Mbit/s]
    #[arg(long, value_name = "RATE")]
    pub bitrate: Option<Rate>,
    /// Whether trains are paced [plan: true]
    #[arg(long, value_name = "BOOL")]
    pub paced: Option<bool>,
    /// Parity beside the data, at least one shard a block [plan: 10%]
    #[arg(long, value_name = "PERCENT")]
    pub redundancy: Option<Percent>,
    /// Whether it follows the reports, up to that [plan: false]
    #[arg(long, value_name = "BOOL")]
    pub adaptive: Option<bool>,
    /// Whether missing shards are sent again in time [plan: false]
    #[arg(long, value_name = "BOOL")]
    pub resend: Option<bool>,
}

/// What happens on the way to the client, and to reports on their way back.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// Independent loss [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<Percent>,
    /// Bursts of loss: the share they take and their mean length in datagrams, such as 3%x8
    #[arg(long, value_name = "PERCENTxLENGTH")]
    pub burst: Option<Burst>,
    /// The loss within a burst [plan: 100%]
    #[arg(long, value_name = "PERCENT")]
    pub burst_density: Option<Percent>,
    /// Datagrams held back: how many, and for how long at most, such as 2%x3ms
    #[arg(long, value_name = "PERCENTxTIME")]
    pub reorder: Option<Reorder>,
    /// Datagrams that come twice [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub duplicate: Option<Percent>,
    /// Copies with a bit flipped [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub corrupt: Option<Percent>,
    /// Rate of the sender's own interface, such as 2500Mbit/s
    #[arg(long, value_name = "RATE")]
    pub interface: Option<Rate>,
    /// Rate of the narrowest link, such as 800Mbit/s
    #[arg(long, value_name = "RATE")]
    pub rate_limit: Option<Rate>,
    /// Queue before it [plan: 256KB]
    #[arg(long, value_name = "SIZE")]
    pub queue: Option<Bytes>,
    /// One-way delay [plan: 200us]
    #[arg(long, value_name = "TIME")]
    pub delay: Option<Span>,
    /// How far it wanders beyond that [plan: 0us]
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<Span>,
    /// When the link is dark, such as 2s+200ms; may be given again
    #[arg(long, value_name = "TIME+LENGTH")]
    pub blackout: Vec<Stretch>,
    /// A change of the path's MTU, such as 1280@2s; may be given again
    #[arg(long, value_name = "BYTES@TIME")]
    pub mtu: Vec<MtuChange>,
    /// A file with each datagram's fate
    #[arg(long, value_name = "FILE")]
    pub trace: Option<String>,
    /// Loss of reports on their way back [plan: 0%]
    #[arg(long, value_name = "PERCENT")]
    pub feedback_loss: Option<Percent>,
    /// Their delay [plan: 200us]
    #[arg(long, value_name = "TIME")]
    pub feedback_delay: Option<Span>,
}

impl RunArgs {
    /// The plan file, if one was named, with the arguments over it, checked.
    pub fn plan(&self) -> Result<Plan, PlanError> {
        let file = self.plan.as_deref().or(self.plan_flag.as_deref());
        let mut plan = file.map_or_else(|| Ok(Plan::default()), Plan::read)?;
        self.stream.apply(&mut plan);
        self.link.apply(&mut plan)?;
        match (plan.check(), file) {
            (Err(error), Some(file)) => Err(error.in_file(file)),
            (Err(error), None) => Err(error),
            (Ok(()), _) => Ok(plan),
        }
    }
}

impl StreamArgs {
    fn apply(&self, plan: &mut Plan) {
        over(&mut plan.seed, self.seed);
        over(&mut plan.aus, self.aus);
        over(&mut plan.size, self.size);
        over(&mut plan.slices, self.slices);
        over(&mut plan.refresh_hz, self.refresh_hz);
        over(&mut plan.bitrate, self.bitrate);
        over(&mut plan.paced, self.paced);
        over(&mut plan.redundancy, self.redundancy);
        over(&mut plan.adaptive, self.adaptive);
        over(&mut plan.resend, self.resend);
    }
}

impl LinkArgs {
    fn apply(&self, plan: &mut Plan) -> Result<(), PlanError> {
        let channel = &mut plan.channel;
        over(&mut channel.loss, self.loss);
        over(&mut channel.burst, self.burst.map(Some));
        over(&mut channel.burst_density, self.burst_density);
        over(&mut channel.reorder, self.reorder.map(Some));
        over(&mut channel.duplicate, self.duplicate);
        over(&mut channel.corrupt, self.corrupt);
        over(&mut channel.interface, self.interface.map(Some));
        over(&mut channel.rate_limit, self.rate_limit.map(Some));
        over(&mut channel.queue, self.queue);
        over(&mut channel.delay, self.delay);
        over(&mut channel.jitter, self.jitter);
        over(&mut channel.blackouts, Some(self.blackout.clone()).filter(|given| !given.is_empty()));
        over(&mut channel.mtu, Some(self.mtu.clone()).filter(|given| !given.is_empty()));
        if let Some(name) = &self.trace {
            let mut trace = TraceFile::from(name.clone());
            trace.load("--trace", Path::new(""))?;
            channel.trace = Some(trace);
        }
        over(&mut plan.feedback.loss, self.feedback_loss);
        over(&mut plan.feedback.delay, self.feedback_delay);
        Ok(())
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
    /// The plan that is varied
    #[command(flatten)]
    pub run: RunArgs,
    /// Shares of the datagrams lost [plan: sweep.losses]
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,…")]
    pub losses: Option<Vec<Percent>>,
    /// Mean lengths of bursts, 1 for independent losses [plan: sweep.bursts]
    #[arg(long, value_delimiter = ',', value_name = "LENGTH,…")]
    pub bursts: Option<Vec<f64>>,
    /// Sizes of access units [plan: sweep.sizes]
    #[arg(long, value_delimiter = ',', value_name = "SIZE,…")]
    pub sizes: Option<Vec<SizeRange>>,
    /// Redundancies [plan: sweep.redundancies]
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,…")]
    pub redundancies: Option<Vec<Percent>>,
    /// Sending again or not [plan: sweep.resends]
    #[arg(long, value_delimiter = ',', value_name = "BOOL,…")]
    pub resends: Option<Vec<bool>>,
    /// Cells that run at the same time [default: this machine's cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// A folder for sweep.csv and sweep.html, made if need be
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl SweepArgs {
    /// The plan's name, for the page: its file's, or what an unnamed one is called.
    pub fn name(&self) -> String {
        let file = self.run.plan.as_deref().or(self.run.plan_flag.as_deref());
        let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        stem.unwrap_or_else(|| "arguments".to_owned())
    }

    /// What is varied: the plan's axes, or a LAN's where it has none, with the arguments over them.
    pub fn matrix(&self, plan: &Plan) -> Matrix {
        let mut matrix = plan.sweep.clone().unwrap_or_else(Matrix::of_a_lan);
        over(&mut matrix.losses, self.losses.clone().map(Some));
        over(&mut matrix.bursts, self.bursts.clone().map(Some));
        over(&mut matrix.sizes, self.sizes.clone().map(Some));
        over(&mut matrix.redundancies, self.redundancies.clone().map(Some));
        over(&mut matrix.resends, self.resends.clone().map(Some));
        matrix
    }
}
