//! `loss-harness fec`: how fast blocks are encoded and recovered here, beside reed-solomon-simd.
//!
//! Promises: both coders run in one process, in turns, on the same bytes; every recovered byte is checked. A process's
//! luck with its memory moves a figure by a quarter, so that several processes are started, one after the other, and
//! the best and the median over them are told.
//!
//! Refuses: to time what it has not checked, and shapes that cannot be coded.

mod measure;
mod plot;
mod report;

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use punktfunk_fec::{FecError, Kernel, KernelError, Shape};
use serde::{Deserialize, Serialize};

/// What to measure of the coder.
#[derive(Debug, Clone, Args)]
pub struct FecArgs {
    /// Block shapes, data+parity.
    #[arg(long, value_delimiter = ',', default_value = "64+7,434+44,874+88,874+175,4096+410")]
    pub shapes: Vec<Counts>,
    /// Data shards of one shape, in place of the list.
    #[arg(long, requires = "m", conflicts_with = "shapes", value_name = "K")]
    pub k: Option<u16>,
    /// Parity shards of one shape.
    #[arg(long, requires = "k", value_name = "M")]
    pub m: Option<u16>,
    /// Shard length, an even number of bytes; a multiple of 64, which is what reed-solomon-simd is at its best with.
    #[arg(long = "shard", visible_alias = "shard-bytes", value_name = "BYTES", default_value_t = 1408)]
    pub shard_bytes: usize,
    /// The kernel to measure [PUNKTFUNK_FEC_KERNEL, or the best of this CPU]
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<String>,
    /// Processes to start, one after the other.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    pub processes: u16,
    /// Seconds for each figure in each process.
    #[arg(long, default_value_t = 0.1)]
    pub seconds: f64,
    /// Seed of the blocks' bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Draw the ratios into a file.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Measure in this process and print what was taken, for the process that started it.
    #[arg(long, hide = true)]
    pub one: bool,
}

/// A block's counts, spelled `64+7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
}

impl std::str::FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Counts, String> {
        let parts = text.split_once('+').map(|(k, m)| (k.parse(), m.parse()));
        match parts {
            Some((Ok(k), Ok(m))) if k > 0 && m > 0 => Ok(Counts { k, m }),
            Some((Ok(_) | Err(_), Ok(_) | Err(_))) | None => {
                Err(format!("expected data and parity shards such as `64+7`, got `{text}`"))
            }
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum FecRunError {
    /// The kernel is none, or not for this CPU.
    #[error("--kernel: {0}")]
    Kernel(#[from] KernelError),
    /// A shape cannot be coded.
    #[error("{counts} at --shard-bytes {shard_bytes}: {source}")]
    Shape {
        /// The counts, as they were spelled.
        counts: String,
        /// The length asked for.
        shard_bytes: usize,
        /// What the coder says.
        source: FecError,
    },
    /// A time out of its range.
    #[error("--seconds must be 0.001 to 60, got {got}")]
    Seconds {
        /// What came.
        got: f64,
    },
    /// A measuring process could not be started, or its word not be read.
    #[error("the measuring process failed: {0}")]
    Process(#[from] std::io::Error),
    /// A measuring process ended early, or spoke nonsense.
    #[error("the measuring process ended with {status} and said {said:?}")]
    Answer {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The beginning of what it printed.
        said: String,
    },
    /// The plot cannot be written.
    #[error("cannot write {path}: {source}")]
    Plot {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Data shards.
    pub k: u16,
    /// Parity shards.
    pub m: u16,
    /// Data shards lost and recovered; 0 for an encode.
    pub lost: u16,
}

/// One process's figures of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Taken {
    /// What of.
    pub case: Case,
    /// Our coder: microseconds of the best round and of the median one.
    pub ours_us: [f64; 2],
    /// reed-solomon-simd, likewise.
    pub library_us: [f64; 2],
    /// Whether every byte was right.
    pub bytes_right: bool,
}

/// Measures, and says what came of it; true when every byte was right.
///
/// # Errors
/// [`FecRunError`] when something asked for makes no sense here, or a process fails.
pub fn run(args: &FecArgs) -> Result<bool, FecRunError> {
    let kernel = match &args.kernel {
        Some(name) => name.parse()?,
        None => Kernel::from_environment()?,
    };
    if !(0.001..=60.0).contains(&args.seconds) {
        return Err(FecRunError::Seconds { got: args.seconds });
    }
    let shapes = shapes_of(args)?;
    if args.one {
        let taken = measure::measure(kernel, &shapes, args);
        print!("{}", report::taken_json(&taken));
        return Ok(taken.iter().all(|taken| taken.bytes_right));
    }
    let mut processes = Vec::new();
    for _ in 0..args.processes {
        processes.push(measure_elsewhere(kernel)?);
    }
    let rows = report::rows_of(&processes);
    print!(
        "{}",
        if args.json { report::json(kernel, args, &rows) } else { report::text(kernel, args, &rows) }
    );
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(kernel, args.shard_bytes, &rows))
            .map_err(|source| FecRunError::Plot { path: path.clone(), source })?;
    }
    Ok(rows.iter().all(|row| row.bytes_right))
}

fn shapes_of(args: &FecArgs) -> Result<Vec<Shape>, FecRunError> {
    let one = args.k.zip(args.m).map(|(k, m)| vec![Counts { k, m }]);
    let counts = one.as_ref().unwrap_or(&args.shapes);
    let shape_of = |&Counts { k, m }: &Counts| {
        Shape::new(k, m, args.shard_bytes).map_err(|source| FecRunError::Shape {
            counts: format!("{k}+{m}"),
            shard_bytes: args.shard_bytes,
            source,
        })
    };
    counts.iter().map(shape_of).collect()
}

/// Starts this program again with the same arguments, to measure and to say what it took.
fn measure_elsewhere(kernel: Kernel) -> Result<Vec<Taken>, FecRunError> {
    let output = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--one")
        .env(punktfunk_fec::KERNEL_VARIABLE, kernel.name())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    serde_json::from_slice(&output.stdout).map_err(|_| FecRunError::Answer {
        status: output.status,
        said: String::from_utf8_lossy(&output.stdout).chars().take(200).collect(),
    })
}
