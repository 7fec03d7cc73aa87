//! `loss-harness run | sweep | fec`: recovery under loss, bursts, reordering, duplication, corruption and a narrow link,
//! from a plan and a seed, on a virtual clock. The protocol core between the simulated links is the real one.
//!
//! Promises: the same plan and seed give the same result, digest included. What was delivered is held against what
//! the code's bound allows, which is computed from the links' own record and not from the receiver. Exit code 0
//! when the two agree and no byte is wrong, 1 when not, 2 for arguments or plans that make no sense.
//!
//! Refuses: to be imported. It is a tool; nothing of the product knows it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program's words to a person")]

mod cli;
mod client;
mod fec;
mod host;
mod label;
mod link;
mod message;
mod oracle;
mod outcome;
mod plan;
mod progress;
mod report;
mod rng;
mod run;
mod sweep;
mod units;

use std::num::NonZero;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, RunArgs, SweepArgs};
use plan::PlanError;
use progress::Progress;

fn main() -> ExitCode {
    // clap itself ends with 2 for arguments that it cannot read.
    match perform(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loss-harness: {error}");
            ExitCode::from(2)
        }
    }
}

/// True when all was as it must be.
fn perform(cli: &Cli) -> Result<bool, Box<dyn std::error::Error>> {
    match &cli.command {
        Command::Run(args) => Ok(run_once(args)?),
        Command::Sweep(args) => Ok(run_sweep(args)?),
        Command::Fec(args) => Ok(fec::run(args)?),
    }
}

fn run_once(args: &RunArgs) -> Result<bool, PlanError> {
    let plan = args.plan()?;
    let outcome = run::run(&plan, &mut Progress::new(plan.aus as usize, "access units"))?;
    print!(
        "{}",
        if args.json { report::run_json(&plan, &outcome) } else { report::run_text(&plan, &outcome) }
    );
    Ok(outcome.is_right())
}

fn run_sweep(args: &SweepArgs) -> Result<bool, PlanError> {
    let plan = args.run.plan()?;
    let cells = args.matrix(&plan).cells(&plan)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let rows = sweep::sweep(cells, args.threads.unwrap_or(cores))?;
    if let Some(folder) = &args.out {
        sweep::write(folder, &args.name(), &rows)?;
    }
    print!("{}", if args.run.json { sweep::json(&rows) } else { sweep::text(&rows) });
    Ok(rows.iter().all(|row| row.outcome.is_right()))
}
