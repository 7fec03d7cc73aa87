//! The client program: streams from a host without a window, decodes, measures, records.
//!
//! Promises: with `--json` standard output carries one JSON object and nothing else; each kind of failure
//! has its own exit code and a line that says what to do. Refuses to believe a host that is neither paired nor named,
//! unless told so (`--open`).
#![forbid(unsafe_code)]

mod address;
mod agreement;
mod caller;
mod changes;
mod cli;
mod clocks;
mod commands;
mod config;
mod connect;
mod decoder;
mod discover;
mod error;
mod ground;
mod link;
mod out_file;
mod pair;
mod pictures;
mod reconnect;
mod report;
mod sealing;
mod sink;
mod snapshot;
mod sources;
mod speed;
mod summary;
mod terminal;
mod visitors;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use punktfunk_control::{Device, Devices, Fingerprint, Identity, Trust, now_s};
use punktfunk_settings::{Config, Failure, is_json_asked};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::caller::Caller;
use crate::cli::{BeliefArgs, Command, ConnectArgs, DiscoverArgs, HostsArgs, PairArgs, SpeedTestArgs};
use crate::error::{ClientError, EXIT_INTERRUPTED};
use crate::terminal::{print, say};

/// What ends this program in order.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let is_json = is_json_asked(&words);
    let (cli, config) = match config::begin(&words) {
        Ok(begun) => begun,
        Err(error) => return ExitCode::from(error.tell("punktfunk", is_json)),
    };
    terminal::start_log(&config.variable("PUNKTFUNK_LOG").unwrap_or_else(|| "warn".into()));
    for warning in config.resolved().warnings() {
        tracing::warn!("{warning}");
    }
    let Err(Failure { error, result }) = obey(cli.command, &config) else { return ExitCode::SUCCESS };
    say(&error.to_string());
    let told = error.told();
    // Whoever leaves of his own will has not failed.
    if is_json && told.code != 0 {
        told.print(result);
    }
    ExitCode::from(told.code)
}

fn obey(command: Command, config: &Config) -> Result<(), Failure<ClientError>> {
    match command {
        Command::Connect(args) => return run(&args, config),
        Command::Config(args) => return config::run(&args, config),
        Command::Pair(args) => pair_with_a_host(&args),
        Command::Discover(args) => discover_hosts(&args),
        Command::SpeedTest(args) => speed_test(&args, config),
        Command::Hosts(args) => hosts(&args),
        Command::Fingerprint { identity, json } => print_fingerprint(identity.as_deref(), json),
        Command::Completions { shell } => print(&config.table().completions(shell)),
        Command::Man { folder } => config::manual(config, folder.as_deref()),
    }?;
    Ok(())
}

fn run(args: &ConnectArgs, config: &Config) -> Result<(), Failure<ClientError>> {
    let folder = identity_folder(args.identity.as_deref())?;
    let identity = Identity::load_or_create(&folder).map_err(ClientError::from)?;
    let mut hosts = Devices::load(&folder).map_err(ClientError::from)?;
    let trust = believed(&args.belief, &hosts, &args.host)?;
    let stop = stop_flag().map_err(ClientError::Signals)?;
    let mut course = reconnect::run(&Caller::new(args, config, (identity, trust), &stop)?)?;
    if let Some(host) = course.last.host {
        note_seen(&mut hosts, &host);
    }
    let error = course.last.error.take();
    match (error, args.json) {
        (Some(error), true) => return Err(Failure::beside(course.json(), error)),
        (None, true) => print(&format!("{:#}", course.json()))?,
        (error, false) => {
            print(&course.text())?;
            return error.map_or(Ok(()), |error| Err(error.into()));
        }
    }
    Ok(())
}

fn discover_hosts(args: &DiscoverArgs) -> Result<(), ClientError> {
    let known = Devices::load(&identity_folder(args.identity.as_deref())?)?;
    print(&discover::discover(args, &known)?)
}

fn print_fingerprint(identity: Option<&Path>, json: bool) -> Result<(), ClientError> {
    let fingerprint = load_identity(identity)?.fingerprint().to_string();
    if json {
        print(&serde_json::json!({ "fingerprint": fingerprint }).to_string())
    } else {
        print(&fingerprint)
    }
}

/// Which hosts are believed.
fn believed(belief: &BeliefArgs, hosts: &Devices, host: &str) -> Result<Trust, ClientError> {
    let trust = match (belief.open, &belief.trust[..]) {
        (true, _) => Trust::Open,
        (false, []) => Trust::Pinned(hosts.fingerprints()),
        (false, named) => Trust::Pinned(named.to_vec()),
    };
    if trust.expected().is_empty() && !belief.open {
        return Err(ClientError::Usage(format!(
            "which host shall be believed? none is paired yet: `punktfunk pair {host}` does that once, by the PIN that \
             the host shows; or name the host with --trust FINGERPRINT, or believe any with --open"
        )));
    }
    Ok(trust)
}

/// Writes down when a paired host was there last.
fn note_seen(hosts: &mut Devices, host: &Fingerprint) {
    if hosts.find(host).is_some()
        && let Err(error) = hosts.note_seen(host, now_s())
    {
        tracing::warn!(%error, "when the host was seen last is not written down");
    }
}

fn speed_test(args: &SpeedTestArgs, config: &Config) -> Result<(), ClientError> {
    let folder = identity_folder(args.identity.as_deref())?;
    let identity = Identity::load_or_create(&folder)?;
    let mut hosts = Devices::load(&folder)?;
    let trust = believed(&args.belief, &hosts, &args.host)?;
    let stop = stop_flag().map_err(ClientError::Signals)?;
    let tested = speed::speed_test(args, config, (identity, trust), &stop)?;
    note_seen(&mut hosts, &tested.host);
    if args.json { print(&format!("{:#}", tested.json())) } else { print(&tested.text()) }
}

fn pair_with_a_host(args: &PairArgs) -> Result<(), ClientError> {
    let folder = identity_folder(args.identity.as_deref())?;
    let identity = Identity::load_or_create(&folder)?;
    // Whether they can be read is to be known before a person types, or a host is asked.
    let devices = Devices::load(&folder)?;
    let asking = end_at_once().map_err(ClientError::Signals)?;
    let wish = pair::wish(args)?;
    let stop = stop_flag().map_err(ClientError::Signals)?;
    asking.store(false, Ordering::Relaxed);
    let paired = pair::pair(args, wish, &identity, devices, &stop)?;
    if args.json {
        return print(&format!("{:#}", paired.json()));
    }
    let name = terminal::printable(&paired.name);
    print(&format!("paired with {name} ({}): punktfunk connect {}", paired.fingerprint, args.host))
}

fn hosts(args: &HostsArgs) -> Result<(), ClientError> {
    let mut hosts = Devices::load(&identity_folder(args.identity.as_deref())?)?;
    if let Some(text) = &args.forget {
        let host = hosts.meant_by(text)?.fingerprint;
        hosts.remove(&host)?;
    }
    if args.json {
        let entry = |host: &Device| {
            serde_json::json!({
                "fingerprint": host.fingerprint.to_string(), "name": host.name,
                "paired_at": host.paired_at, "last_seen_at": host.last_seen_at,
            })
        };
        return print(
            &serde_json::Value::from(hosts.all().iter().map(entry).collect::<Vec<_>>()).to_string(),
        );
    }
    if hosts.all().is_empty() {
        return print("no host is paired");
    }
    hosts.all().iter().try_for_each(|host| print(&format!("{}  {}", host.fingerprint, host.name)))
}

/// A flag during which a signal ends the program at once: nothing has been begun that would have to be ended.
fn end_at_once() -> io::Result<Arc<AtomicBool>> {
    let holds = Arc::new(AtomicBool::new(true));
    for signal in SIGNALS {
        flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED.into(), Arc::clone(&holds))?;
    }
    Ok(holds)
}

/// A flag that the first signal raises; a second one ends the program at once.
fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // In this order: the signal that raises the flag must not find it raised.
        flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn load_identity(given: Option<&Path>) -> Result<Identity, ClientError> {
    Ok(Identity::load_or_create(&identity_folder(given)?)?)
}

/// Where the identity is, and what belongs to it.
fn identity_folder(given: Option<&Path>) -> Result<PathBuf, ClientError> {
    Ok(match given {
        Some(folder) => folder.to_owned(),
        None => Identity::default_dir("client")?,
    })
}
