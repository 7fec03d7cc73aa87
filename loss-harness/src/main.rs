//! `loss-harness run | sweep | fec`: recovery under loss, bursts, reordering, duplication, corruption and a narrow link,
//! from a plan and a seed, on a virtual clock.
//!
//! Promises: the same plan and seed give the same result, digest included. What was delivered is held against what
//! the code's bound allows, which is computed from the emulator's own record and not from the receiver. Exit code 0
//! when the two agree and no byte is wrong, 1 when not, 2 for arguments or plans that make no sense.
//!
//! Refuses: to be imported. It is a tool; nothing of the product knows it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program's words to a person")]

mod channel;
mod cli;
mod client;
mod coder;
mod host;
mod oracle;
mod plan;
mod report;
mod rng;
mod run;
mod sweep;
mod units;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, RunArgs, SweepArgs};
use plan::{Plan, PlanError};

/// Access units of each run of a sweep, unless said otherwise.
const SWEEP_AUS: u32 = 100;

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
fn perform(cli: &Cli) -> Result<bool, PlanError> {
    match &cli.command {
        Command::Run(args) => run_once(args),
        Command::Sweep(args) => run_sweep(args),
        Command::Fec(args) => {
            let rows = coder::measure(args)?;
            print!("{}", if args.json { report::fec_json(&rows) } else { report::fec_text(&rows) });
            Ok(rows.iter().all(|row| row.bytes_right))
        }
    }
}

fn run_once(args: &RunArgs) -> Result<bool, PlanError> {
    let plan = plan_of(args)?;
    let outcome = run::run(&plan, &mut report::Progress::new(plan.aus))?;
    print!(
        "{}",
        if args.json { report::run_json(&plan, &outcome) } else { report::run_text(&plan, &outcome) }
    );
    Ok(outcome.is_right())
}

fn run_sweep(args: &SweepArgs) -> Result<bool, PlanError> {
    let mut plan = plan_of(&args.run)?;
    if args.run.aus.is_none() {
        plan.aus = plan.aus.min(SWEEP_AUS);
    }
    let rows = sweep::sweep(&plan, &args.losses, &args.redundancies)?;
    print!("{}", if args.run.json { report::sweep_json(&rows) } else { report::sweep_text(&rows) });
    Ok(rows.iter().all(|row| row.outcome.is_right()))
}

/// The plan file, if one was named, with the command line's values over it.
fn plan_of(args: &RunArgs) -> Result<Plan, PlanError> {
    let mut plan = match &args.plan {
        Some(path) => Plan::read(path)?,
        None => Plan::default(),
    };
    args.apply(&mut plan);
    plan.check()?;
    Ok(plan)
}
