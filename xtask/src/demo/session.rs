//! One session of host and client on the loopback.
//!
//! Promises: when [`Session::stream`] comes back, both programs have ended, well or not.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::demo::programs::{self, Outcome, Programs, Source};
use crate::demo::progress::Progress;
use crate::fault::Fault;
use crate::process::{Background, Interrupt};

/// How long the host may take until its port is open.
const HOST_READY_MAX: Duration = Duration::from_secs(15);
/// What a session may take beyond its stream: a compositor's start, its first picture (10 s), the end.
const SESSION_EXTRA_MAX: Duration = Duration::from_secs(30);
/// How long the host may take to end by itself once its client has gone.
const HOST_END_MAX: Duration = Duration::from_secs(10);
/// How often the display is drawn, and files are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What every attempt has in common.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) programs: Programs,
    pub(crate) out: Outcome,
    pub(crate) stream: Duration,
    pub(crate) interrupt: Interrupt,
}

impl Session {
    /// Streams from `source` and waits for the end of both programs.
    pub(crate) fn stream(&self, source: Source) -> Result<(), Fault> {
        let scratch = Scratch::new()?;
        let port_file = scratch.0.join("port");
        let perf = programs::perf_target(&self.out);
        let start = |program: &Path, args: &[OsString], name: &str, answer: Option<&Path>| {
            let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
            let log = self.out.log(source, name);
            Background::start(program, &args, &[("PUNKTFUNK_PERF", &perf)], &log, answer)
        };
        eprintln!("Streaming {} at {} for {} s:", source.name(), programs::MODE, self.stream.as_secs());
        let host_args = programs::host_args(source, &scratch.0.join("host"), &port_file);
        let mut host = start(&self.programs.host, &host_args, "host", None)?;
        let port = self.wait_for_port(&mut host, &port_file)?;
        let client_args = programs::client_args(port, self.stream, &scratch.0.join("client"), &self.out);
        let mut client = start(&self.programs.client, &client_args, "client", Some(&self.out.client_json))?;
        self.wait_for_client(&mut client)?;
        self.wait_for_host(&mut host)
    }

    fn wait_for_port(&self, host: &mut Background, port_file: &Path) -> Result<u16, Fault> {
        let deadline = Instant::now() + HOST_READY_MAX;
        loop {
            self.interrupt.check()?;
            // The file may be seen before it was written whole: then it ends in no line's end.
            let text = fs::read_to_string(port_file).unwrap_or_default();
            if let Some(port) = text.trim_end().parse().ok().filter(|_| text.ends_with('\n')) {
                return Ok(port);
            }
            if let Some(status) = host.wait_for(LOOK_INTERVAL)? {
                return Err(host.ended(status));
            }
            if Instant::now() >= deadline {
                return Err(host.late(HOST_READY_MAX, "say which port it has opened"));
            }
        }
    }

    fn wait_for_client(&self, client: &mut Background) -> Result<(), Fault> {
        let mut progress = Progress::new(self.stream);
        let patience = self.stream + SESSION_EXTRA_MAX;
        let deadline = Instant::now() + patience;
        let mut first_bytes = None;
        loop {
            self.interrupt.check()?;
            if let Some(status) = client.wait_for(LOOK_INTERVAL)? {
                progress.finish();
                return if status.success() { Ok(()) } else { Err(client.ended(status)) };
            }
            let now = Instant::now();
            let recorded_bytes = fs::metadata(&self.out.recording).map_or(0, |file| file.len());
            if recorded_bytes > 0 {
                first_bytes.get_or_insert(now);
            }
            progress.show(first_bytes.map(|first| now.saturating_duration_since(first)), recorded_bytes, now);
            if now >= deadline {
                progress.finish();
                return Err(client.late(patience, "end"));
            }
        }
    }

    fn wait_for_host(&self, host: &mut Background) -> Result<(), Fault> {
        let deadline = Instant::now() + HOST_END_MAX;
        loop {
            self.interrupt.check()?;
            match host.wait_for(LOOK_INTERVAL)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(host.ended(status)),
                None if Instant::now() >= deadline => {
                    return Err(host.late(HOST_END_MAX, "end after its client"));
                }
                None => {}
            }
        }
    }
}

/// The last line of a log that says anything.
pub(crate) fn last_word(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// A folder for a session's identities and port, gone with it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Fault> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let base = std::env::temp_dir();
        let mut attempt = 0;
        loop {
            // `create` refuses a folder that is there, so nobody can lay one out for us.
            let path = base.join(format!("punktfunk-demo-{}-{attempt}", std::process::id()));
            match builder.create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists && attempt < 100 => {
                    attempt += 1;
                }
                Err(source) => {
                    return Err(Fault::Io { action: format!("create {}", path.display()), source });
                }
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(refused) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {refused}", self.0.display());
        }
    }
}
