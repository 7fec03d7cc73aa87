//! `punktfunk-perf loop | send | recv | …`: the programs that prove the data plane.
//!
//! Promises: what is measured is the engine's own two pipelines on real sockets with real keys, in a process each; a
//! bare-UDP twin moves the same bytes in the same run; every figure stands beside the state of the machine at its
//! moment; `--json` gives one object on standard output. Exit code 0 when all that was asked for was measured and right,
//! 1 when not, 2 for arguments that make no sense.
//!
//! Refuses: to be imported. It is a tool; nothing of the product knows it. Its keys are a test's and protect nothing.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program's words to a person")]

mod axis;
mod cadence;
mod case;
mod cli;
mod client_end;
mod compare;
mod error;
mod figures;
mod glass;
mod hello;
mod host_end;
mod limits;
mod loop_command;
mod machine;
mod markup;
mod meter;
#[allow(unsafe_code, reason = "the two calls that std has no words for, argued there")]
mod os;
mod pair;
mod pattern;
mod plot;
mod protect;
mod relay;
mod report;
mod search;
mod session;
mod sink;
mod soak;
mod source;
mod talk;
mod twin;
mod units;
mod veth;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use punktfunk_engine::Waker;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, CompareArgs, GlassArgs, ReportArgs, SoakArgs};
use compare::Contender;
use error::PerfProgramError;
use talk::{Answer, EndConfig, Orders, answer};

#[global_allocator]
static ALLOCATOR: os::Counting = os::Counting;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("PUNKTFUNK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    match perform(&cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("punktfunk-perf: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn perform(command: &Command) -> Result<bool, PerfProgramError> {
    match command {
        Command::Loop(args) => loop_command::run(args),
        Command::Send(args) => loop_command::send(args),
        Command::Recv(args) => loop_command::receive(args),
        Command::Protect(args) => loop_command::protect(args),
        Command::Glass(args) => run_glass(args),
        Command::Report(args) => run_report(args),
        Command::Compare(args) => run_compare(args),
        Command::Soak(args) => run_soak(args),
        Command::End => Ok(end()),
    }
}

fn run_glass(args: &GlassArgs) -> Result<bool, PerfProgramError> {
    let way = glass::join(&args.host, args.client.as_ref().unwrap_or(&args.host))?;
    if let Some(folder) = &args.plots {
        glass::plot(&way).write(folder, "glass.svg")?;
    }
    print!("{}", if args.json { report::json(&way)? + "\n" } else { glass::text(&way) });
    Ok(true)
}

fn run_report(args: &ReportArgs) -> Result<bool, PerfProgramError> {
    let written = session::report(args)?;
    print!("{}", if args.json { report::json(&written.session)? + "\n" } else { written.text() });
    Ok(true)
}

fn run_compare(args: &CompareArgs) -> Result<bool, PerfProgramError> {
    let a = Contender {
        program: compare::program(args.a.as_deref())?,
        options: compare::options(&args.a_options),
    };
    let b = Contender {
        program: compare::program(args.b.as_deref().or(args.a.as_deref()))?,
        options: compare::options(&args.b_options),
    };
    if a == b {
        return Err(PerfProgramError::Usage(
            "A and B are the same: name two builds, or options of one".into(),
        ));
    }
    let compared = compare::run(&a, &b, &compare::options(&args.options), args.pairs)?;
    if args.json {
        println!("{}", report::json(&serde_json::json!({"a": a, "b": b, "compared": compared}))?);
    } else {
        print!("{}", compare::text(&compared));
    }
    Ok(!compared.is_empty())
}

fn run_soak(args: &SoakArgs) -> Result<bool, PerfProgramError> {
    let time = loop_command::window_of(args.minutes * 60.0)?;
    let soaked = soak::run(args.rate, args.loss, time, args.adaptive)?;
    print!("{}", if args.json { report::json(&soaked)? + "\n" } else { soak::text(&soaked) });
    Ok(soaked.faults.is_empty())
}

/// One end; what goes wrong is said to the parent.
fn end() -> bool {
    let control = Waker::new();
    let waker = control.clone();
    let ran = Orders::open(move || waker.wake()).and_then(|(config, orders)| match config {
        EndConfig::Host(setup) => host_end::run(&setup, &orders),
        EndConfig::Client(setup) => client_end::run(&setup, &orders, &control),
        EndConfig::TwinSend(setup) => twin::send(&setup, &orders),
        EndConfig::TwinReceive(setup) => twin::receive(&setup, &orders),
        EndConfig::Relay(setup) => relay::run(&setup, &orders),
    });
    if let Err(error) = &ran {
        answer(&Answer::Fault(error.to_string()));
    }
    ran.is_ok()
}
