//! What a program is told, by whom, and what is wrong with it.
//!
//! *What it is.* A [`Table`] of settings, a row each: its key in one TOML file, its `PUNKTFUNK_*` variable, its flag. The
//! file is read, variables stand over it, flags over them, and [`resolve`] says for each value where it comes from.
//!
//! *What it promises.* Every fault of a file and of the variables is told at once, each with its place, and a name that
//! is wrong with the nearest right one. A row with a flag takes its help, its default and its bounds from the command
//! line's own declaration. A change by [`write()`] keeps comments and the file's mode, and is whole or not at all.
//! *What it refuses.* Secrets: none has a row, because everything here is shown. A file beyond
//! [`limits::FILE_BYTES_MAX`], and a value that the program would not take.
#![forbid(unsafe_code)]

mod begin;
mod command;
pub mod common;
mod example;
mod failure;
mod fault;
mod file;
mod flags;
pub mod limits;
mod manual;
mod nearest;
mod resolve;
mod show;
mod table;
mod value;
mod write;

pub use clap_complete::Shell;

pub use begin::{BeginError, CONFIG_VARIABLE, Config};
pub use command::{ConfigArgs, ConfigVerb};
pub use failure::{EXIT_USAGE, Failure, Told, is_json_asked};
pub use fault::{Fault, Faults, Place};
pub use file::{FileText, default_file};
pub use resolve::{Entry, Origin, Resolved, Sources, resolve};
pub use table::{Check, Form, Setting, Table};
pub use value::Value;
pub use write::{WriteError, write};
