//! The encoder's thread: takes what was handed in, in order, and writes slice after slice into the output buffers.
//!
//! Promises: a picture is read only once its input stream has come to it; a slice is there after the time that slices take, and
//! not before. Memory that changes between the reading and the picture's end is a breach: a card reads all the while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Setup;
use crate::cuda::Gate;
use crate::driver;
use crate::engine::{Engine, Order};
use crate::marked;
use crate::output::Progress;
use crate::references::Kind;
use crate::resource::Layout;
use crate::session::Session;

/// What the encoder does next.
#[derive(Debug)]
pub(crate) enum Command {
    Picture(Job),
    Invalidate(u64),
    /// Other parameters; and, where it begins anew, another engine.
    Change(Box<Setup>, Option<Engine>),
}

/// A picture that was handed in.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) reference: Option<u64>,
    pub(crate) parameter_sets: bool,
    pub(crate) wave: Option<(u32, u32)>,
    pub(crate) recovery: Option<u32>,
    pub(crate) layout: Layout,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// Open once the input stream has come to it.
    pub(crate) ready: Arc<Gate>,
    /// Opened when it is done; the output stream waits for it.
    pub(crate) done: Arc<Gate>,
}

/// Bits that may be spent.
#[derive(Debug)]
struct Rate {
    held: i64,
    is_started: bool,
}

impl Rate {
    /// What the next picture may spend: what its interval brings, and what is left, as far as the VBV holds it. The stream's
    /// first picture is whole, and is not charged.
    fn budget(&mut self, setup: &Setup) -> Option<u64> {
        if !self.is_started {
            return None;
        }
        let (rate, seconds) = setup.rate;
        let income = u64::from(setup.bitrate) * u64::from(seconds) / u64::from(rate);
        self.held = self.held.saturating_add(income as i64).min(setup.vbv.into());
        Some(self.held.max(0) as u64)
    }

    fn spend(&mut self, bytes: usize) {
        if self.is_started {
            self.held -= bytes as i64 * 8;
        }
        self.is_started = true;
    }
}

/// Encodes until the session closes.
pub(crate) fn run(session: &Session, mut engine: Engine, mut setup: Setup) {
    let mut rate = Rate { held: 0, is_started: false };
    while let Some(command) = session.next_command() {
        match command {
            Command::Picture(job) => encode(session, &mut engine, &setup, &mut rate, &job),
            Command::Invalidate(id) => engine.invalidate(id),
            Command::Change(next, anew) => {
                rate.held = rate.held.min(next.vbv.into());
                match anew {
                    Some(next) => engine.replace(next),
                    None => engine.set_slices(next.slices()),
                }
                setup = *next;
            }
        }
    }
}

fn encode(session: &Session, engine: &mut Engine, setup: &Setup, rate: &mut Rate, job: &Job) {
    job.ready.wait();
    if session.is_stopped() {
        return session.finish(job, (0, 0));
    }
    let began = Instant::now();
    // SAFETY: the caller keeps a mapped input until its picture is done; that it does is checked at unmapping.
    let memory = unsafe { job.layout.memory() };
    let sum = marked::sum(job.layout.rows_of(memory));
    if let Err(refused) = engine.take(&job.layout, setup, memory) {
        session.complain("nvEncEncodePicture", &refused);
    }
    let order = Order {
        id: job.id,
        kind: job.kind,
        reference: job.reference,
        parameter_sets: job.parameter_sets,
        budget_bits: rate.budget(setup),
        wave: job.wave,
        recovery: job.recovery,
        sum,
    };
    let mut bytes_written = 0;
    let blocks = engine.write(&order, setup, &mut |slice, bytes| {
        bytes_written += bytes.len();
        let Some(slice) = slice else { return session.append(job.output, false, bytes) };
        let ahead = driver::partial().ahead(bytes.len());
        if let Some(ahead) = ahead {
            session.append(job.output, true, &bytes[..ahead]);
        }
        session.wait_until(began + driver::slice_time() * (slice + 1));
        session.append(job.output, ahead.is_none(), &bytes[ahead.unwrap_or(0)..]);
    });
    rate.spend(bytes_written);
    // SAFETY: as above.
    if marked::sum(job.layout.rows_of(unsafe { job.layout.memory() })) != sum && !session.is_stopped() {
        crate::CONTROLS.breach(
            "nvEncEncodePicture",
            format_args!("the input of picture {} was written while the encoder read it", job.id),
        );
    }
    session.finish(job, blocks);
}

impl Session {
    /// Waits for the next command; none once the session closes.
    fn next_command(&self) -> Option<Command> {
        let mut state =
            self.changed.wait_while(self.state(), |state| state.commands.is_empty() && !state.is_stopped());
        let state = state.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
        if state.is_stopped() {
            return None;
        }
        let command = state.commands.pop_front();
        if let Some(Command::Picture(job)) = &command {
            state.ready = Some(Arc::clone(&job.ready));
        }
        command
    }

    fn is_stopped(&self) -> bool {
        self.state().is_stopped()
    }

    fn wait_until(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if left > Duration::ZERO {
            // What interrupts it is the session's end.
            drop(self.changed.wait_timeout_while(self.state(), left, |state| !state.is_stopped()));
        }
    }

    fn append(&self, output: usize, is_slice: bool, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(output) = state.outputs.iter_mut().find(|other| other.handle == output) {
            output.append(is_slice, bytes);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The picture is done, or will never be.
    fn finish(&self, job: &Job, blocks: (u32, u32)) {
        let mut state = self.state();
        if let Some(output) = state.outputs.iter_mut().find(|output| output.handle == job.output) {
            output.end(blocks);
        }
        if let Some(input) = state.registered.iter_mut().find(|input| input.mapped == Some(job.input)) {
            input.in_use = input.in_use.saturating_sub(1);
        }
        drop(state);
        job.done.open();
        self.changed.notify_all();
    }
}

/// A lock that waits is woken by any of these.
pub(crate) fn is_settled(progress: Progress) -> bool {
    progress != Progress::Encoding
}
