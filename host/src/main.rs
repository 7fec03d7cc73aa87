//! The host program: shows a desktop, a card, a file or a bitstream to its clients.
//!
//! Promises: each kind of failure has its own exit code and a line that says what to do; nothing is left
//! behind when it ends. Refuses clients that are neither paired nor named, unless it is told to let everyone in (`--open`).
#![forbid(unsafe_code)]

mod agreement;
mod announce;
mod ask;
mod bitrate;
mod cli;
mod closing;
mod config;
mod desktop;
mod devices;
mod doctor;
mod doorkeeper;
mod encode;
mod errands;
mod error;
mod manage;
mod opening;
mod pair;
mod path;
mod pending;
mod pick;
mod port_file;
mod recordings;
mod redundancy;
mod report;
mod say;
mod screen;
mod serve;
mod source;
mod speed;
mod stream;
mod ways;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use punktfunk_control::limits::PAIR_WINDOW_MAX;
use punktfunk_control::{HostControl, HostLimits, Identity, Trust};
use punktfunk_doctor::Announced;
use punktfunk_engine::{Machine, Wishes};
use punktfunk_manage::{LogRing, Token};
use punktfunk_net::{BACKEND_VARIABLE, Backend, NetError, ReceiveLimits, Receiver, Socket, SocketConfig};
use punktfunk_perf::PerfTarget;
use punktfunk_proto::limits::BURST_BYTES_DEFAULT;
use punktfunk_seal::{
    BACKEND_VARIABLE as SEAL_VARIABLE, Backend as SealBackend, Backends, CIPHER_VARIABLE, CipherPreference,
};
use punktfunk_settings::{Config, Failure, is_json_asked};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::ask::RunningHost;
use crate::cli::{Command, ServeArgs};
use crate::doorkeeper::Doorkeeper;
use crate::encode::Encoders;
use crate::error::HostError;
use crate::manage::{ManageAt, Management};
use crate::opening::OpeningConfig;
use crate::port_file::PortFile;
use crate::say::Say;
use crate::serve::{Serve, ServeConfig};
use crate::source::SourceSpec;
use crate::stream::StreamConfig;
use crate::ways::Doors;

/// The exit code after a second signal, as shells have it for Ctrl-C.
const EXIT_IMPATIENT: i32 = 130;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let is_json = is_json_asked(&words);
    let (cli, config) = match config::begin(&words) {
        Ok(begun) => begun,
        Err(error) => return ExitCode::from(error.tell("punktfunk-host", is_json)),
    };
    let Err(Failure { error, result }) = run(cli.command, &config) else { return ExitCode::SUCCESS };
    // Not through the log: what a person has to read must not depend on a filter.
    let _ = writeln!(io::stderr(), "punktfunk-host: {error}");
    if is_json {
        error.told().print(result);
    }
    ExitCode::from(error.exit_code())
}

fn run(command: Command, config: &Config) -> Result<(), Failure<HostError>> {
    // The settings have been found right.
    let filter = EnvFilter::new(config.variable("PUNKTFUNK_LOG").unwrap_or_else(|| "info".into()));
    let is_terminal = io::stderr().is_terminal();
    let logs = LogRing::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(is_terminal);
    tracing_subscriber::registry().with(filter).with(lines).with(logs.layer()).init();
    for warning in config.resolved().warnings() {
        tracing::warn!("{warning}");
    }
    match command {
        Command::Doctor(args) => {
            return doctor::run(&args, &identity_folder(args.identity.as_deref())?, config);
        }
        Command::Config(args) => return config::run(&args, config),
        Command::Serve(args) => serve(&args, config, logs)?,
        Command::ProbeCompositor { json } => probe_compositor(json),
        Command::Pair(args) => {
            let host = running_host(args.manage, args.identity.as_deref(), config)?;
            pair::run(&args, &host, &*stop_flag()?)?;
        }
        Command::Pending(args) => {
            let host = running_host(args.manage, args.identity.as_deref(), config)?;
            pending::run(&args, &host)?;
        }
        Command::Token { url, manage, identity, json } => {
            let at = url.then(|| ask::place(manage, config)).transpose()?.map(ask::reachable);
            // The folder is made with the identity.
            load_identity(identity.as_deref())?;
            print_token(&identity_folder(identity.as_deref())?, at, json)?;
        }
        Command::Devices(args) => devices::run(&args, &identity_folder(args.identity.as_deref())?)?,
        Command::Fingerprint { identity, json } => print_fingerprint(identity.as_deref(), json)?,
        Command::Completions { shell } => config::completions(config, shell),
        Command::Man { folder } => config::manual(config, folder.as_deref())?,
    }
    Ok(())
}

/// What the machine can do, as lines of a log's head.
fn caps(socket: &Socket, wishes: Wishes, seal: Backends) -> Vec<String> {
    let mut caps = punktfunk_perf::machine_facts();
    caps.extend([format!("net: {}", socket.caps()), format!("fec: {}", wishes.fec_kernel)]);
    caps.push(seal.to_string());
    caps
}

/// How every session's source is opened, and with which encoder.
fn opening(args: &ServeArgs, told: &Config, source: SourceSpec) -> Result<OpeningConfig, HostError> {
    let encoders = Arc::new(Encoders::probe(args.encoder, args.import)?);
    tracing::info!("encoder: {}", encoders.describe());
    let doors = Doors {
        token_file: token_file(args.identity.as_deref()),
        dmabufs: encoders.dmabufs(),
        ..Doors::default()
    };
    Ok(OpeningConfig {
        source,
        doors: Arc::new(doors),
        encoders,
        slices: args.slices,
        redundancy: args.redundancy,
        ciphers: ciphers(told)?,
    })
}

fn serve(args: &ServeArgs, told: &Config, logs: LogRing) -> Result<(), HostError> {
    let wishes = Wishes::of(|name| told.os(name)).map_err(|error| HostError::Usage(error.to_string()))?;
    let source = SourceSpec::of(&args.source)?;
    source.check(args.slices)?;
    let identity = load_identity(args.identity.as_deref())?;
    let stop = stop_flag()?;
    let machine = Machine::probe(wishes);
    let asked = SealBackend::asked(told.os(SEAL_VARIABLE));
    let seal = Backends::measure(asked.map_err(|error| HostError::Usage(error.to_string()))?, Instant::now);
    let socket = Arc::new(open_socket(args, told)?);
    tracing::info!("{}", socket.caps());
    tracing::info!("FEC by {}", wishes.fec_kernel);
    tracing::info!("{seal}");
    let config = ServeConfig {
        told: told.clone(),
        opening: opening(args, told, source)?,
        once: args.once,
        sessions_max: args.sessions.into(),
        recordings: identity_folder(args.identity.as_deref())?.join("recordings"),
        stream: StreamConfig {
            link_kbps: args.link,
            bitrate: args.bitrate,
            burst_bytes: burst_bytes(told)?,
            machine: machine.clone(),
            seal,
            perf: perf_target(told)?,
            caps: caps(&socket, wishes, seal),
        },
    };
    let folder = identity_folder(args.identity.as_deref())?;
    let say = Say::new(args.json);
    let (door, now) = ((args.is_open(), args.trust.clone()), Instant::now());
    let mut doorkeeper = Doorkeeper::new(&folder, door, serve::host_name(), say, now)?;
    if args.is_open() {
        tracing::warn!("{}: everyone who reaches this port may connect", told.resolved().place("trust.open"));
    }
    let udp_payload_bytes_to = path::udp_payload_bytes_to;
    let limits = HostLimits { udp_payload_bytes_to, ..HostLimits::for_sessions(args.sessions.into()) };
    let announced = Announced::default();
    let shown = (serve::host_name(), socket.local_addr(), announced.clone());
    let management = Management::start((args.manage, told), (&folder, &identity), shown, logs)?;
    let console = management.as_ref().map(Management::address);
    let mut control = HostControl::new(identity, doorkeeper.trust(), limits, now)?;
    let (address, fingerprint) = (socket.local_addr(), control.fingerprint());
    let receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default())?;
    if args.pair {
        doorkeeper.arm(&mut control, PAIR_WINDOW_MAX, Instant::now())?;
    } else if doorkeeper.trust() == Trust::Pinned(Vec::new()) {
        tracing::warn!(
            "nobody is paired yet: start with --pair, and this host shows a PIN for `punktfunk pair`"
        );
    }
    let mut serve = Serve::new(config, (control, doorkeeper, management), socket, receiver, say);
    // Not before everything is there that a client could meet; and no longer than that.
    let _port_file =
        args.port_file.as_deref().map(|path| PortFile::write(path, address.port())).transpose()?;
    if let Some(at) = console {
        say.console(at);
    }
    say.listening(address, &fingerprint);
    // Withdrawn when it is dropped.
    let _announcement = announce::announce((args, told), (address, &fingerprint), say, &announced);
    serve.run(&stop)
}

fn open_socket(args: &ServeArgs, told: &Config) -> Result<Socket, HostError> {
    let mut config = SocketConfig::new(args.listen);
    config.backend = Backend::asked(told.os(BACKEND_VARIABLE))?;
    match Socket::open(&config) {
        Err(NetError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            Err(HostError::PortInUse { port: args.listen.port() })
        }
        outcome => Ok(outcome?),
    }
}

/// Set by the first signal that asks for an end; a second one ends the program at once.
fn stop_flag() -> Result<Arc<AtomicBool>, HostError> {
    let stop = Arc::new(AtomicBool::new(false));
    let failed = |source| HostError::File { path: "signal handler".into(), source };
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // In this order, so that the first signal does not find its own flag set.
        signal_hook::flag::register_conditional_shutdown(signal, EXIT_IMPATIENT, Arc::clone(&stop))
            .map_err(failed)?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(failed)?;
    }
    Ok(stop)
}

/// The host that runs, which a command speaks to.
fn running_host(
    manage: ManageAt,
    identity: Option<&Path>,
    config: &Config,
) -> Result<RunningHost, HostError> {
    let at = ask::place(manage, config)?;
    RunningHost::of(&identity_folder(identity)?, load_identity(identity)?, at)
}

fn load_identity(given: Option<&Path>) -> Result<Identity, HostError> {
    Ok(Identity::load_or_create(&identity_folder(given)?)?)
}

/// Where the identity is, and what belongs to it.
fn identity_folder(given: Option<&Path>) -> Result<PathBuf, HostError> {
    Ok(match given {
        Some(folder) => folder.to_owned(),
        None => Identity::default_dir("host")?,
    })
}

/// `PUNKTFUNK_CIPHER`, or what this CPU does best.
fn ciphers(told: &Config) -> Result<CipherPreference, HostError> {
    let asked = CipherPreference::asked(told.os(CIPHER_VARIABLE));
    Ok(CipherPreference::of_this_cpu(asked.map_err(|error| HostError::Usage(error.to_string()))?))
}

/// Where the portal's leave to show the screen is kept: beside the identity.
fn token_file(identity: Option<&Path>) -> Option<PathBuf> {
    let folder = identity.map(Path::to_owned).or_else(|| Identity::default_dir("host").ok());
    folder.map(|folder| folder.join("portal-token"))
}

/// Where the stages' latencies are written.
fn perf_target(told: &Config) -> Result<Option<PerfTarget>, HostError> {
    PerfTarget::asked(told.os(PerfTarget::VARIABLE)).map_err(|error| HostError::Usage(error.to_string()))
}

/// The microburst cap.
fn burst_bytes(told: &Config) -> Result<usize, HostError> {
    let Some(kb) = told.variable(config::BURST_VARIABLE) else { return Ok(BURST_BYTES_DEFAULT) };
    config::burst_kb(&kb).map(|kb| kb * 1024).map_err(HostError::Usage)
}

#[expect(clippy::print_stdout, reason = "this command's output is its result")]
fn probe_compositor(json: bool) {
    for found in punktfunk_display::probe() {
        let reason = found.usable.err().map(|reason| reason.to_string());
        let (name, version) = (found.kind.name(), found.version);
        if json {
            let line = serde_json::json!({
                "name": name, "version": version, "usable": reason.is_none(), "reason": reason,
            });
            println!("{line}");
        } else {
            let version = version.unwrap_or_else(|| "not found".into());
            println!("{name:10} {version:20} {}", reason.unwrap_or_else(|| "usable".into()));
        }
    }
}

/// The token by which the console lets its owner in, or the console's address there with it.
fn print_token(folder: &Path, at: Option<SocketAddr>, json: bool) -> Result<(), HostError> {
    let token = Token::load_or_create(folder)?;
    match at {
        // What stands behind the # never leaves the browser.
        Some(at) => print_word("url", &format!("https://{at}/#token={}", token.reveal()), json),
        None => print_word("token", token.reveal(), json),
    }
    Ok(())
}

fn print_fingerprint(identity: Option<&Path>, json: bool) -> Result<(), HostError> {
    print_word("fingerprint", &load_identity(identity)?.fingerprint().to_string(), json);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this command's output is its result")]
fn print_word(what: &str, word: &str, json: bool) {
    if json {
        println!("{}", serde_json::json!({ what: word }));
    } else {
        println!("{word}");
    }
}
