//! The connection to the compositor, and the thread that drives it.
//!
//! Promises: no call waits longer than it was told, whatever the compositor does; whatever ends the
//! capture is named. Refuses nothing by itself: what the compositor says is judged by [`Screen`].

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::backend::WaylandError;
use wayland_client::{Connection, DispatchError, EventQueue};

use super::WaylandOutput;
use super::screen::Screen;
use super::way::Protocol;
use crate::exchange::{End, Exchange};
use crate::limits::{SCREEN_ANSWER_DEADLINE, SCREEN_FAILURES_MAX, SCREEN_QUIET};
use crate::{Diagnosis, Mode, ModeError};

/// A connection with its queue and its state.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    queue: EventQueue<Screen>,
    screen: Screen,
    connected_at: Instant,
    /// When the compositor last said something, and when it was asked to since.
    heard_at: Instant,
    asked_at: Option<Instant>,
    /// Closed by the source when it is dropped.
    stop: PipeReader,
}

impl Link {
    pub(super) fn connect(
        path: &Path,
        exchange: Arc<Exchange<WaylandOutput>>,
        stop: PipeReader,
    ) -> Result<Self, Diagnosis> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Diagnosis::SocketMissing { path: path.to_owned() },
            cause => Diagnosis::SocketRefused { path: path.to_owned(), cause },
        })?;
        let connection = Connection::from_socket(stream)
            .map_err(|error| Diagnosis::Disconnected { cause: error.to_string() })?;
        let queue = connection.new_event_queue();
        let (screen, now) = (Screen::new(exchange), Instant::now());
        Ok(Self { connection, queue, screen, connected_at: now, heard_at: now, asked_at: None, stop })
    }

    /// Two answers: after the first one the globals are known, after the second one what they say of
    /// themselves. Then the output is chosen, and the way of copying it: the `protocol` that is wanted, or the best.
    pub(super) fn open(
        &mut self,
        output: Option<&str>,
        protocol: Option<Protocol>,
        deadline: Duration,
    ) -> Result<Protocol, Diagnosis> {
        let queue = self.queue.handle();
        let display = self.connection.display();
        display.get_registry(&queue, ());
        for answers in 1..=2 {
            display.sync(&queue, ());
            while self.screen.syncs < answers {
                let left = deadline.saturating_sub(self.connected_at.elapsed());
                if left.is_zero() {
                    return Err(Diagnosis::NoAnswer { request: "wl_display.sync" });
                }
                if self.pump(left)? == Pumped::Stopped {
                    return Err(Diagnosis::NoAnswer { request: "wl_display.sync" });
                }
            }
        }
        self.screen.open(output, protocol, &queue)
    }

    /// The output's name and its mode.
    pub(super) fn output(&self) -> (String, Result<Mode, ModeError>) {
        (self.screen.outputs.name(), self.screen.outputs.mode())
    }

    /// Captures until the source goes or the compositor does.
    pub(super) fn run(mut self, exchange: &Exchange<WaylandOutput>, first_picture_deadline: Duration) {
        let mut first_at = self.connected_at.checked_add(first_picture_deadline);
        loop {
            let now = Instant::now();
            if self.screen.delivery.has_captured {
                first_at = None;
            } else if first_at.is_some_and(|first_at| first_at <= now) {
                exchange.end(End::NoFirstPicture(first_picture_deadline, self.screen.diagnose()));
                return;
            }
            let hang_at = self.screen.delivery.has_captured.then(|| self.look_after(now));
            let looks = [first_at, self.screen.delivery.retry_at, hang_at];
            let wait = looks.into_iter().flatten().min().map(|look| look.saturating_duration_since(now));
            let outcome = self.pump(wait.unwrap_or(IDLE_WAIT)).and_then(|pumped| self.judge_silence(pumped));
            match outcome {
                Ok(Pumped::Going) => {}
                Ok(Pumped::Stopped) => return,
                Err(diagnosis) if self.screen.delivery.has_captured => {
                    return exchange.end(End::Ended(diagnosis));
                }
                Err(diagnosis) => return exchange.end(End::Unusable(diagnosis)),
            }
        }
    }

    /// A compositor that is quiet is asked whether it is there: a still screen has nothing to say, and one that hangs
    /// has not either. When to look again.
    fn look_after(&mut self, now: Instant) -> Instant {
        if self.asked_at.is_none() && now.saturating_duration_since(self.heard_at) >= SCREEN_QUIET {
            self.connection.display().sync(&self.queue.handle(), ());
            self.asked_at = Some(now);
        }
        match self.asked_at {
            Some(asked_at) => asked_at + SCREEN_ANSWER_DEADLINE,
            None => self.heard_at + SCREEN_QUIET,
        }
    }

    /// Only once all has been read that it may have said, also while this program was held up.
    fn judge_silence(&self, pumped: Pumped) -> Result<Pumped, Diagnosis> {
        match self.asked_at {
            Some(asked_at) if asked_at.elapsed() >= SCREEN_ANSWER_DEADLINE => {
                Err(Diagnosis::NoAnswer { request: "wl_display.sync" })
            }
            Some(_) | None => Ok(pumped),
        }
    }

    /// Sends what is to be sent, waits for at most `wait`, and handles what came. Returns early with
    /// anything that came.
    fn pump(&mut self, wait: Duration) -> Result<Pumped, Diagnosis> {
        self.screen.top_up(&self.queue.handle(), Instant::now());
        self.flush()?;
        // `None`: something came in the meantime.
        if let Some(guard) = self.queue.prepare_read() {
            let mut fds = [
                PollFd::from_borrowed_fd(guard.connection_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            let timeout = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            };
            let polled = poll(&mut fds, Some(&timeout));
            let [readable, stopped] = fds.map(|fd| !fd.revents().is_empty());
            if stopped {
                return Ok(Pumped::Stopped);
            }
            let outcome = match polled {
                Ok(_) if readable => {
                    (self.heard_at, self.asked_at) = (Instant::now(), None);
                    guard.read().map(|_| ())
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
                Err(error) => Err(WaylandError::Io(error.into())),
            };
            self.judge(outcome)?;
        }
        self.dispatch()?;
        Ok(Pumped::Going)
    }

    fn flush(&mut self) -> Result<(), Diagnosis> {
        let outcome = self.queue.flush();
        self.judge(outcome)
    }

    fn dispatch(&mut self) -> Result<(), Diagnosis> {
        match self.queue.dispatch_pending(&mut self.screen) {
            Ok(_) => {}
            Err(DispatchError::Backend(error)) => self.judge(Err(error))?,
            Err(error @ DispatchError::BadMessage { .. }) => {
                return Err(Diagnosis::Disconnected { cause: error.to_string() });
            }
        }
        if let Some(fault) = self.screen.delivery.fault.take() {
            return Err(fault);
        }
        if self.screen.delivery.has_captured && self.screen.delivery.failures > SCREEN_FAILURES_MAX {
            return Err(self.screen.diagnose());
        }
        Ok(())
    }

    /// A full or an empty socket is no error.
    fn judge(&self, outcome: Result<(), WaylandError>) -> Result<(), Diagnosis> {
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(WaylandError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => error,
        };
        // What the compositor sent before it went says more.
        let protocol = self.connection.protocol_error().map(|error| error.to_string());
        let cause = protocol.unwrap_or_else(|| match &error {
            WaylandError::Io(io) => format!("it went away ({io})"),
            WaylandError::Protocol(_) => error.to_string(),
        });
        Err(Diagnosis::Disconnected { cause })
    }
}

/// What a pump came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pumped {
    Going,
    Stopped,
}

/// With nothing to look at, only the compositor or a stop ends a wait; this bound is for nothing else.
const IDLE_WAIT: Duration = Duration::from_secs(60);
