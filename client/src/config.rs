//! What this client is told: a row for each setting, and `punktfunk config`.
//!
//! Promises: everything that `connect` can be told for good has a row, so that it has a line in the file and a variable; the
//! rest stands in [`FLAGS_ONLY`] with its reason. Refuses whom to believe: that is said for each connection, or is paired.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use punktfunk_engine::Wishes;
use punktfunk_net::{BACKEND_VARIABLE, Backend};
use punktfunk_perf::PerfTarget;
use punktfunk_seal::{
    BACKEND_VARIABLE as SEAL_VARIABLE, Backend as SealBackend, CIPHER_VARIABLE, CipherPreference,
};
use punktfunk_settings::{BeginError, Config, ConfigArgs, Failure, Form, Setting, Table, common};
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::error::ClientError;
use crate::terminal::print;

/// The file's name, without its ending, in the user's folder for settings.
const FILE: &str = "client";

/// Where the file usually is.
const USUAL_PLACE: &str = "~/.config/punktfunk/client.toml";

/// What the example begins with.
const EXAMPLE_HEAD: &str = "Settings of punktfunk: copy what you change to ~/.config/punktfunk/client.toml. A variable \
                            stands over a line here, and a flag over both; `punktfunk config` shows where each value comes \
                            from.";

/// Flags of `connect` that no file should say, and why.
#[cfg(test)]
const FLAGS_ONLY: &[(&str, &str)] = &[
    ("seconds", "this one run"),
    ("record", "this one run"),
    ("snapshot", "this one run"),
    ("trust", "whom to believe is said for one host"),
    ("open", "whom to believe is said for one host"),
    ("commands", "whoever writes to its standard input"),
    ("approve-with", "somebody's word, when he is there to give it"),
    ("json", "whoever reads the output"),
    ("config", "names the file"),
    ("help", "clap's"),
];

/// Variables that mean something to the host or to systemd's unit.
const KNOWN: &[&str] = &[
    punktfunk_settings::CONFIG_VARIABLE,
    "PUNKTFUNK_SERVE_ARGS",
    "PUNKTFUNK_LISTEN",
    "PUNKTFUNK_ANNOUNCE",
    "PUNKTFUNK_LINK_KBPS",
    "PUNKTFUNK_BITRATE_POLICY",
    "PUNKTFUNK_REDUNDANCY",
    "PUNKTFUNK_PACE_BURST_KB",
    "PUNKTFUNK_OPEN",
    "PUNKTFUNK_TRUST",
    "PUNKTFUNK_SESSIONS",
    "PUNKTFUNK_SOURCE",
    "PUNKTFUNK_SLICES",
    "PUNKTFUNK_ENCODER",
    "PUNKTFUNK_IMPORT",
    "PUNKTFUNK_MANAGE",
];

/// Every setting. One with a flag takes help, default and bounds from the flag: a row is its key, variable and form.
pub fn table() -> Table {
    let flag = Setting::of_flag;
    let mut rows = vec![
        common::log("\"warn\"", check),
        flag("identity", "PUNKTFUNK_IDENTITY", "identity", Form::Text),
        flag("connect.mode", "PUNKTFUNK_MODE", "mode", Form::Text),
        flag("connect.bitrate_kbps", "PUNKTFUNK_BITRATE", "bitrate", Form::Number),
        flag("connect.compositor", "PUNKTFUNK_COMPOSITOR", "compositor", Form::Text),
        flag("connect.decoder", "PUNKTFUNK_DECODER", "decoder", Form::Text),
        flag("connect.codec", "PUNKTFUNK_CODEC", "codec", Form::Text),
        flag("connect.depth", "PUNKTFUNK_DEPTH", "depth", Form::Number),
        flag("connect.chroma", "PUNKTFUNK_CHROMA", "chroma", Form::Number),
        flag("connect.reconnect_s", "PUNKTFUNK_RECONNECT", "reconnect", Form::Number),
        flag("connect.name", "PUNKTFUNK_NAME", "name", Form::Text),
    ];
    rows.extend(common::machine(check));
    Table::new(rows, KNOWN, Cli::command())
}

/// Reads the command line `words` with the settings in it.
///
/// # Errors
/// It is wrong, or the settings are.
pub fn begin(words: &[OsString]) -> Result<(Cli, Config), BeginError> {
    Config::begin((FILE, table()), words, std::env::vars_os().collect())
}

/// Whether a variable can have this text: the rooms that read it say so.
fn check(variable: &str, text: &str) -> Result<(), String> {
    let value = || Some(OsString::from(text));
    match variable {
        "PUNKTFUNK_LOG" => EnvFilter::try_new(text)
            .map(drop)
            .map_err(|error| format!("{text:?}: {error}; expected a level such as debug, or TARGET=LEVEL,…")),
        BACKEND_VARIABLE => Backend::asked(value()).map(drop).map_err(|error| error.to_string()),
        SEAL_VARIABLE => SealBackend::asked(value()).map(drop).map_err(|error| error.to_string()),
        CIPHER_VARIABLE => CipherPreference::asked(value()).map(drop).map_err(|error| error.to_string()),
        PerfTarget::VARIABLE => PerfTarget::asked(value()).map(drop).map_err(|error| error.to_string()),
        wish => Wishes::of(|name| if name == wish { value() } else { None })
            .map(drop)
            .map_err(|error| error.to_string()),
    }
}

/// `punktfunk config`.
///
/// # Errors
/// The file that is to be checked is wrong.
pub fn run(args: &ConfigArgs, config: &Config) -> Result<(), Failure<ClientError>> {
    print(&args.answer(config, EXAMPLE_HEAD).map_err(Failure::of)?)?;
    Ok(())
}

/// `punktfunk man`: the program's page, or all of a package's into a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn manual(config: &Config, folder: Option<&Path>) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: folder.unwrap_or(Path::new("the page")).into(), source };
    match folder {
        Some(folder) => config.table().install(USUAL_PLACE, folder).map_err(failed),
        None => {
            let pages = config.table().pages(USUAL_PLACE).map_err(failed)?;
            print(pages.first().map_or("", |(_, text)| text.trim_end()))
        }
    }
}

#[cfg(test)]
mod tests;
