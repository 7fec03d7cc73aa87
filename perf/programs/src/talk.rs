//! What the program says to the ends that it starts, which are processes of its own, and what they answer: one JSON
//! object a line.
//!
//! Promises: every wait has an end; an end whose parent is gone stops by itself, because its orders end. Refuses: to
//! wait for an end that has died; its last words are the error.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Waiting};
use crate::error::PerfProgramError;
use crate::meter::Window;

/// How long an end may take over an answer: far above the making of its buffers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What an end is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum EndConfig {
    /// The engine's host.
    Host(HostSetup),
    /// The engine's client.
    Client(ClientSetup),
    /// The bare twin's sender.
    TwinSend(HostSetup),
    /// The bare twin's receiver.
    TwinReceive(ClientSetup),
    /// Hands datagrams on, and loses some.
    Relay(RelaySetup),
}

/// What a sending end needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostSetup {
    /// What to send.
    pub case: Case,
    /// Where to.
    pub destination: SocketAddr,
    /// Which address to send from.
    pub bind: SocketAddr,
    /// When the session began, on the machine's clock.
    pub origin_ns: u64,
    /// What the test keys are made of.
    pub seed: u64,
    /// Nobody reports: every epoch counts as opened.
    pub alone: bool,
    /// Datagrams after which a key ends, where that is to be sooner than the protocol has it.
    pub epoch_datagrams: Option<u32>,
    /// Where the stages' histograms are logged.
    pub perf: Option<std::path::PathBuf>,
}

/// What a receiving end needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientSetup {
    /// What is to come.
    pub case: Case,
    /// Where to listen.
    pub listen: SocketAddr,
    /// When the session began, on the machine's clock; none where the sender has another clock.
    pub origin_ns: Option<u64>,
    /// What the test keys are made of.
    pub seed: u64,
    /// Where the stages' histograms are logged.
    pub perf: Option<std::path::PathBuf>,
}

/// What a relay needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelaySetup {
    /// Where to hand on to.
    pub destination: SocketAddr,
    /// Of each thousand datagrams, how many are thrown away.
    pub loss_per_mille: u16,
    /// Of the random choices.
    pub seed: u64,
}

/// What an end is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// Pictures may come.
    Go,
    /// The window begins.
    Mark,
    /// The window ends: answer with it, and begin the next.
    Report,
    /// From now on.
    Change(Change),
    /// Come to the end and answer with the last window.
    Stop,
}

/// What changes in mid-stream; what is absent stays.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Change {
    /// Ordinary size, in thousandths of the case's.
    pub size_per_mille: Option<u32>,
    /// The interval in microseconds.
    pub interval_us: Option<u32>,
    /// Bytes of a shard.
    pub shard_bytes: Option<u16>,
    /// The pacer's rate.
    pub pace_kbps: Option<u32>,
}

/// What an end answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// It is there, at this address; and what it got of the machine.
    Ready {
        /// Where datagrams go.
        address: SocketAddr,
        /// In words.
        setup: Vec<String>,
    },
    /// The order is carried out.
    Done,
    /// A window has ended.
    Window(Box<Window>),
    /// It cannot go on.
    Fault(String),
}

/// The orders of this process's parent.
pub struct Orders(Receiver<Order>);

impl Orders {
    /// Reads the end's configuration from standard input, and its orders from then on. `wake` is called after each.
    ///
    /// # Errors
    /// No configuration, or one that is none.
    pub fn open(wake: impl Fn() + Send + 'static) -> Result<(EndConfig, Orders), PerfProgramError> {
        let mut lines = BufReader::new(std::io::stdin()).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let config =
            serde_json::from_str(&first).map_err(|error| PerfProgramError::Words(error.to_string()))?;
        let (sender, orders) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(order) = serde_json::from_str(&line) else { break };
                if sender.send(order).is_err() {
                    break;
                }
                wake();
            }
            // The parent is gone, or has nothing more to say.
            let _ = sender.send(Order::Stop);
            wake();
        });
        Ok((config, Orders(orders)))
    }

    /// The next order, if there is one.
    pub fn poll(&self) -> Option<Order> {
        self.0.try_recv().ok()
    }
}

/// Answers the parent. A parent that is gone hears nothing, and the orders end.
pub fn answer(answer: &Answer) {
    let mut line = serde_json::to_string(answer).unwrap_or_default();
    line.push('\n');
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// An end that this program has started. Dropped, it is ended and waited for.
pub struct End {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<Answer>,
    /// Where datagrams go to reach it.
    pub address: SocketAddr,
    /// What it got of the machine, in words.
    pub setup: Vec<String>,
}

impl End {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// No process, or what it said instead.
    pub fn start(
        name: &'static str,
        config: &EndConfig,
        waiting: Waiting,
        within: &[&str],
    ) -> Result<End, PerfProgramError> {
        let io = |source| PerfProgramError::Io { what: "start an end", source };
        let program = std::env::current_exe().map_err(io)?;
        let mut command = match within.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("end").stdin(Stdio::piped()).stdout(Stdio::piped());
        match waiting {
            Waiting::Block => command.env("PUNKTFUNK_SPIN_US", "0"),
            // Longer than pictures lie apart.
            Waiting::Spin => command.env("PUNKTFUNK_SPIN_US", "100000"),
        };
        let mut child = command.spawn().map_err(io)?;
        let (orders, out) = (child.stdin.take(), child.stdout.take());
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            let Some(out) = out else { return };
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let words = serde_json::from_str(&line);
                if sender.send(words.unwrap_or(Answer::Fault(line))).is_err() {
                    return;
                }
            }
        });
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut end = End { name, child, orders, answers, address, setup: Vec::new() };
        end.write(config)?;
        match end.read(ANSWER_PATIENCE)? {
            Answer::Ready { address, setup } => {
                end.address = address;
                end.setup = setup;
                Ok(end)
            }
            Answer::Done | Answer::Window(_) | Answer::Fault(_) => Err(end.astray("not ready")),
        }
    }

    /// Gives an order that is answered with a word only.
    ///
    /// # Errors
    /// The end is gone, or answers something else.
    pub fn order(&mut self, order: &Order) -> Result<(), PerfProgramError> {
        self.write(order)?;
        match self.read(ANSWER_PATIENCE)? {
            Answer::Done => Ok(()),
            Answer::Ready { .. } | Answer::Window(_) | Answer::Fault(_) => Err(self.astray("no answer")),
        }
    }

    /// Gives an order that is answered with a window.
    ///
    /// # Errors
    /// The end is gone, or answers something else.
    pub fn window(&mut self, order: &Order) -> Result<Window, PerfProgramError> {
        self.write(order)?;
        match self.read(ANSWER_PATIENCE)? {
            Answer::Window(window) => Ok(*window),
            Answer::Ready { .. } | Answer::Done | Answer::Fault(_) => Err(self.astray("no window")),
        }
    }

    /// Waits for `time`, or until the end dies.
    ///
    /// # Errors
    /// It died, or spoke without having been asked.
    pub fn idle(&self, time: Duration) -> Result<(), PerfProgramError> {
        match self.answers.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(Answer::Fault(words)) => Err(PerfProgramError::End { end: self.name, words }),
            Ok(Answer::Ready { .. } | Answer::Done | Answer::Window(_)) => Err(self.astray("out of turn")),
            Err(RecvTimeoutError::Disconnected) => Err(self.astray("its process has ended")),
        }
    }

    fn write(&mut self, words: &impl Serialize) -> Result<(), PerfProgramError> {
        let mut line =
            serde_json::to_string(words).map_err(|error| PerfProgramError::Words(error.to_string()))?;
        line.push('\n');
        let sent = self
            .orders
            .as_mut()
            .map(|orders| orders.write_all(line.as_bytes()).and_then(|()| orders.flush()));
        // What it died of is in its answers, if it said so.
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => {
                Err(self.idle(Duration::from_millis(200)).err().unwrap_or(self.astray("gone")))
            }
        }
    }

    fn read(&self, patience: Duration) -> Result<Answer, PerfProgramError> {
        match self.answers.recv_timeout(patience) {
            Ok(Answer::Fault(words)) => Err(PerfProgramError::End { end: self.name, words }),
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(self.astray("no answer in time")),
            Err(RecvTimeoutError::Disconnected) => Err(self.astray("its process has ended")),
        }
    }

    fn astray(&self, words: &str) -> PerfProgramError {
        PerfProgramError::End { end: self.name, words: words.to_owned() }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Its orders end, upon which it ends by itself; one that does not is ended.
        drop(self.orders.take());
        for _ in 0..50 {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => thread::park_timeout(Duration::from_millis(20)),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
