//! What this host is told: a row for each setting, and `punktfunk-host config`.
//!
//! Promises: everything that `serve` can be told for good has a row, so that it has a line in the file, a variable and a
//! place in what the console shows; the rest stands in [`FLAGS_ONLY`] with its reason. Refuses secrets: a row is shown.

mod asked;

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use punktfunk_net::{BACKEND_VARIABLE, Backend};
use punktfunk_perf::PerfTarget;
use punktfunk_seal::{
    BACKEND_VARIABLE as SEAL_VARIABLE, Backend as SealBackend, CIPHER_VARIABLE, CipherPreference,
};
use punktfunk_settings::{BeginError, Config, ConfigArgs, Failure, Form, Setting, Shell, Table, common};
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::error::HostError;

pub use asked::{change, settings};

/// The file's name, without its ending, in the user's folder for settings.
const FILE: &str = "host";

/// The most that may be sent at once, in KB: a switch's buffer is no larger.
const BURST_KB_MAX: usize = 65_536;

/// The variable that sets it.
pub const BURST_VARIABLE: &str = "PUNKTFUNK_PACE_BURST_KB";

/// Where the file usually is.
const USUAL_PLACE: &str = "~/.config/punktfunk/host.toml";

/// What the example begins with.
const EXAMPLE_HEAD: &str = "Settings of punktfunk-host: copy what you change to ~/.config/punktfunk/host.toml. A variable \
                            stands over a line here, and a flag over both; `punktfunk-host config` shows where each value \
                            comes from.";

/// Flags of `serve` that no file should say, and why.
#[cfg(test)]
const FLAGS_ONLY: &[(&str, &str)] = &[
    ("pair", "opens a window once, when somebody is there to type the PIN"),
    ("port-file", "a script's, for this one run"),
    ("once", "this one run"),
    ("json", "whoever reads the output"),
    ("config", "names the file"),
    ("help", "clap's"),
];

/// Variables that mean something to the client or to systemd's unit.
const KNOWN: &[&str] = &[
    punktfunk_settings::CONFIG_VARIABLE,
    "PUNKTFUNK_SERVE_ARGS",
    "PUNKTFUNK_MODE",
    "PUNKTFUNK_BITRATE",
    "PUNKTFUNK_COMPOSITOR",
    "PUNKTFUNK_DECODER",
    "PUNKTFUNK_CODEC",
    "PUNKTFUNK_DEPTH",
    "PUNKTFUNK_CHROMA",
    "PUNKTFUNK_RECONNECT",
    "PUNKTFUNK_NAME",
];

/// Every setting. One with a flag takes help, default and bounds from the flag: a row is its key, variable and form.
pub fn table() -> Table {
    let flag = Setting::of_flag;
    let mut rows = vec![
        common::log("\"info\"", check),
        flag("identity", "PUNKTFUNK_IDENTITY", "identity", Form::Text).by_hand(),
        flag("network.listen", "PUNKTFUNK_LISTEN", "listen", Form::Text),
        flag("network.announce", "PUNKTFUNK_ANNOUNCE", "no-announce", Form::Switch)
            .negated("Tell the local network that this host is here, so that `punktfunk discover` finds it.")
            .or_else("announce"),
        flag("network.link_kbps", "PUNKTFUNK_LINK_KBPS", "link", Form::Number),
        flag("network.bitrate", "PUNKTFUNK_BITRATE_POLICY", "bitrate", Form::Text),
        flag("network.redundancy", "PUNKTFUNK_REDUNDANCY", "redundancy", Form::Text),
        Setting::of_variable(
            "network.pace_burst_kb",
            BURST_VARIABLE,
            Form::Number,
            ("128", "What an access unit may send at once, in KB; the rest is paced."),
            check,
        ),
        flag("trust.open", "PUNKTFUNK_OPEN", "open", Form::Switch)
            .or_else("no-open")
            .excluding("trust.fingerprints")
            .by_hand(),
        flag("trust.fingerprints", "PUNKTFUNK_TRUST", "trust", Form::List).excluding("trust.open").by_hand(),
        flag("sessions.max", "PUNKTFUNK_SESSIONS", "sessions", Form::Number),
        flag("picture.source", "PUNKTFUNK_SOURCE", "source", Form::List),
        flag("picture.slices", "PUNKTFUNK_SLICES", "slices", Form::Number),
        flag("picture.encoder", "PUNKTFUNK_ENCODER", "encoder", Form::Text),
        flag("picture.import", "PUNKTFUNK_IMPORT", "import", Form::Text),
        flag("manage.listen", "PUNKTFUNK_MANAGE", "manage", Form::Text).by_hand(),
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
        "PUNKTFUNK_LOG" => EnvFilter::try_new(text).map(drop).map_err(|error| {
            format!("PUNKTFUNK_LOG must be a filter such as info or punktfunk_host=debug: {error}")
        }),
        BURST_VARIABLE => burst_kb(text).map(drop),
        BACKEND_VARIABLE => Backend::asked(value()).map(drop).map_err(|error| error.to_string()),
        SEAL_VARIABLE => SealBackend::asked(value()).map(drop).map_err(|error| error.to_string()),
        CIPHER_VARIABLE => CipherPreference::asked(value()).map(drop).map_err(|error| error.to_string()),
        PerfTarget::VARIABLE => PerfTarget::asked(value()).map(drop).map_err(|error| error.to_string()),
        wish => punktfunk_engine::Wishes::of(|name| if name == wish { value() } else { None })
            .map(drop)
            .map_err(|error| error.to_string()),
    }
}

/// The microburst cap in units of 1024 bytes.
///
/// # Errors
/// It is no number, or out of bounds.
pub fn burst_kb(text: &str) -> Result<usize, String> {
    let kib = text.parse::<usize>().ok().filter(|kib| (1..=BURST_KB_MAX).contains(kib));
    kib.ok_or_else(|| format!("{BURST_VARIABLE} must be 1 to {BURST_KB_MAX}, got {text}"))
}

/// `punktfunk-host config`.
///
/// # Errors
/// The file that is to be checked is wrong.
#[expect(clippy::print_stdout, reason = "this command's output is its result")]
pub fn run(args: &ConfigArgs, config: &Config) -> Result<(), Failure<HostError>> {
    println!("{}", args.answer(config, EXAMPLE_HEAD).map_err(Failure::of)?);
    Ok(())
}

/// `punktfunk-host completions`.
#[expect(clippy::print_stdout, reason = "this command's output is its result")]
pub fn completions(config: &Config, shell: Shell) {
    print!("{}", config.table().completions(shell));
}

/// `punktfunk-host man`: the program's page, or all of a package's into a folder.
///
/// # Errors
/// The folder cannot be written.
#[expect(clippy::print_stdout, reason = "this command's output is its result")]
pub fn manual(config: &Config, folder: Option<&Path>) -> Result<(), HostError> {
    let failed = |source| HostError::File { path: folder.unwrap_or(Path::new("the page")).into(), source };
    match folder {
        Some(folder) => config.table().install(USUAL_PLACE, folder).map_err(failed)?,
        None => {
            let pages = config.table().pages(USUAL_PLACE).map_err(failed)?;
            print!("{}", pages.first().map_or("", |(_, text)| text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
