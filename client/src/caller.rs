//! One command's sessions: what each begins with, and how it comes to stream.
//!
//! Promises: the machine is looked at once; a later session keeps what an earlier one has written. Refuses a
//! setting that asks for what there is not.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use punktfunk_control::limits::CONNECT_MAX;
use punktfunk_control::{Bye, ByeReason, Chroma, ClientControl, Codec, Depth, Hello, Identity, Mode, Trust};
use punktfunk_net::{ReceiveLimits, Receiver};
use punktfunk_perf::{PerfTarget, process_cpu};
use punktfunk_settings::Config;

use crate::address::resolve;
use crate::cli::ConnectArgs;
use crate::commands::Commands;
use crate::connect::{Files, Finished, Media, Session, agreed};
use crate::decoder::Decoders;
use crate::error::ClientError;
use crate::ground::Ground;
use crate::link::{Link, Waiting, greet};
use crate::sources;
use crate::terminal::say;

/// Which session it is of those that one command may have, one after the other.
pub struct Turn {
    /// Counted from 1.
    pub number: usize,
    /// How long it may stream.
    pub limit: Option<Duration>,
    /// Whom to believe, where that is not what the command says.
    pub trust: Option<Trust>,
    /// How long the host's first word is waited for.
    pub answer_max: Duration,
    /// Until when all of the way to media may take; commands are heard on it then, which wait for a first session.
    pub until: Option<Instant>,
}

impl Turn {
    /// The first one.
    pub fn first(limit: Option<Duration>) -> Self {
        Self { number: 1, limit, trust: None, answer_max: CONNECT_MAX, until: None }
    }

    /// What a file of this session is called: a later one does not write over an earlier one's. A device or a pipe has
    /// nothing to be written over, and goes on under its name.
    pub fn named(&self, path: &Path) -> PathBuf {
        let is_no_file = path.metadata().is_ok_and(|there| !there.is_file());
        if self.number == 1 || is_no_file {
            return path.to_owned();
        }
        let stem = path.file_stem().unwrap_or_default().display();
        let name = match path.extension() {
            Some(extension) => format!("{stem}-{}.{}", self.number, extension.display()),
            None => format!("{stem}-{}", self.number),
        };
        path.with_file_name(name)
    }

    /// What a log of this session is called by.
    fn log(&self) -> String {
        if self.number == 1 { "client".to_owned() } else { format!("client-{}", self.number) }
    }
}

/// What every session of one command begins with.
pub struct Caller<'a> {
    /// What was asked for.
    pub args: &'a ConnectArgs,
    /// Whom to believe.
    pub trust: Trust,
    /// Set by a signal.
    pub stop: &'a AtomicBool,
    /// What is said on standard input, where that is listened to.
    pub commands: Option<Commands>,
    identity: Identity,
    perf: Option<PerfTarget>,
    ground: Ground,
    decoders: Decoders,
    /// What a stream may be coded by, best first.
    codecs: Vec<Codec>,
}

impl<'a> Caller<'a> {
    /// Looks at what this machine can do.
    ///
    /// # Errors
    /// The settings, or the command, ask for what there is not: no host is asked then.
    pub fn new(
        args: &'a ConnectArgs,
        told: &Config,
        (identity, trust): (Identity, Trust),
        stop: &'a AtomicBool,
    ) -> Result<Self, ClientError> {
        let perf = PerfTarget::asked(told.os(PerfTarget::VARIABLE))
            .map_err(|error| ClientError::Usage(error.to_string()))?;
        let ground = Ground::look(told)?;
        let commands = args.commands.then(|| Commands::read(std::io::stdin())).transpose()?;
        let decoders = Decoders::look(args.decoder);
        let sides = (args.mode.width(), args.mode.height());
        let codecs = decoders.offer(args.stream(), sides, args.record.is_some())?;
        Ok(Self { args, trust, stop, commands, identity, perf, ground, decoders, codecs })
    }

    /// Connects, streams, and sums up.
    ///
    /// # Errors
    /// The session never came to stream.
    pub fn session(&self, turn: &Turn) -> Result<Finished, ClientError> {
        let args = self.args;
        let called = Instant::now();
        let answer_by = turn.until.unwrap_or(called + CONNECT_MAX).min(called + turn.answer_max);
        let host = resolve(&args.host, answer_by)?;
        let files = Files::open(args, turn)?;
        let socket = self.ground.socket_to(host)?;
        let mut caps = self.ground.facts(&socket);
        let mut receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default())?;
        let hello = self.hello(host);
        let cpu_at_start = process_cpu();
        let (identity, now) = (self.identity.clone(), Instant::now());
        let trust = turn.trust.clone().unwrap_or_else(|| self.trust.clone());
        let control = ClientControl::connect(identity, trust, host, hello.clone(), answer_by, now)?;
        let mut link = Link::new(control, socket);
        let commands = turn.until.and(self.commands.as_ref());
        let waiting = Waiting { stop: self.stop, commands, until: turn.until };
        let begun = greet(&mut link, &mut receiver, &hello, &waiting).and_then(|greeted| {
            let media = Media::start(&mut link, &greeted, receiver, (&self.ground, &self.decoders), files)?;
            if args.belief.open && turn.number == 1 {
                let host = greeted.host_fingerprint;
                say(&format!("--open believes any host; --trust {host} would believe this one only"));
            }
            caps.extend(agreed(&greeted.welcome));
            if !args.json {
                let offers = sources::compositors_text(&greeted.welcome.compositors);
                say(&format!("{}; the host's compositors: {offers}", greeted.welcome.source));
            }
            Ok((greeted.welcome, greeted.host_fingerprint, media))
        });
        match begun {
            Ok((welcome, host, media)) => {
                let table = (!args.json).then(|| Box::new(std::io::stdout()) as Box<dyn Write>);
                let log = (self.perf.clone(), turn.log());
                let session = Session::new(link, (welcome, caps), media, log, (table, args.approve_with));
                let finished =
                    session.run(turn.limit, (self.stop, self.commands.as_ref()), (called, cpu_at_start))?;
                Ok(Finished { host: Some(host), ..finished })
            }
            Err(error) => {
                link.leave(&Bye::new(ByeReason::Fault, error.to_string()));
                Err(error)
            }
        }
    }

    fn hello(&self, host: SocketAddr) -> Hello {
        let (args, asked) = (self.args, self.args.mode);
        let mode = Mode { width: asked.width(), height: asked.height(), refresh_mhz: asked.refresh_mhz() };
        let mut hello = self.ground.hello(args.name.clone(), mode, args.bitrate, host);
        hello.compositor.clone_from(&args.compositor);
        hello.codecs.clone_from(&self.codecs);
        // What is usual is not said, as an older client has it.
        hello.depth = (args.depth != Depth::default()).then(|| args.depth.to_number());
        hello.chroma = (args.chroma != Chroma::default()).then(|| args.chroma.to_number());
        hello.codecs.push(Codec::Pattern);
        hello
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_later_sessions_are_numbered_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        std::fs::write(in_folder("there.mp4"), "").unwrap();
        std::os::unix::fs::symlink("/dev/null", in_folder("link")).unwrap();
        let (socket, file) = (in_folder("socket"), in_folder("a.b.mp4"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let turn = Turn { number: 3, ..Turn::first(None) };
        assert_eq!(turn.named(&file), in_folder("a.b-3.mp4"));
        assert_eq!(turn.named(&in_folder("there.mp4")), in_folder("there-3.mp4"));
        assert_eq!(turn.named(&in_folder("bare")), in_folder("bare-3"));
        for path in [Path::new("/dev/null"), &in_folder("link"), &socket] {
            assert_eq!(turn.named(path), path);
        }
        assert_eq!(Turn::first(None).named(&file), file);
    }
}
