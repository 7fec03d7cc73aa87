//! The project's chores: `cargo xtask demo | test | userland | vm | fuzz | instructions | soak | valgrind | package |
//! web | shaders | tidy`.
//!
//! Promises: each command needs nothing but cargo and Debian's stock packages, which it installs itself
//! (it says which, and asks first where somebody can answer); it ends its children, whatever ends it.
//!
//! Refuses: to be imported. It is a tool; nothing of the product knows it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program's words to a person")]

mod args;
mod debian;
mod demo;
mod fault;
mod floors;
mod fuzz;
mod headers;
mod instructions;
mod machine;
mod package;
mod packages;
mod process;
mod shaders;
mod soak;
mod suite;
mod test_programs;
mod tidy;
mod unpacked;
mod userland;
mod valgrind;
mod vm;
mod web;
mod workspace;

use std::process::ExitCode;

use args::Command;
use fault::Fault;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::from(fault.exit_code())
        }
    }
}

fn perform(command: Command) -> Result<(), Fault> {
    match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(())
        }
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => suite::run(&options),
        Command::Userland(options) => userland::run(&options),
        Command::Vm(options) => vm::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Valgrind(options) => valgrind::run(&options),
        Command::Package(options) => package::run(&options),
        Command::Web(options) => web::run(&options),
        Command::Shaders(options) => shaders::run(&options),
        Command::Tidy => {
            let root = workspace::root()?;
            let mut findings = tidy::check(&root)?;
            findings.extend(floors::check(&root)?);
            tidy::report(&findings)
        }
    }
}
