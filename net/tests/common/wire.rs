//! Two network namespaces and a wire between them, for tests in this room and above it.
//!
//! Needs root, iproute2 and ethtool. Where they are missing that is said in one line, and the test passes, but fails where
//! `CI=true`. Nothing leaves the namespaces, which go with the threads that made them.
#![allow(dead_code)] // each test file uses a part

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_net::{Backend, ReceiveLimits, Receiver, Socket, SocketConfig};

/// How long a neighbour may take to be found.
const NEIGHBOUR_WAIT: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. Sockets opened in it belong there, wherever they are used.
pub(crate) struct Namespace {
    work: Option<mpsc::Sender<Work>>,
    thread: Option<thread::JoinHandle<()>>,
    tid: i32,
}

impl Namespace {
    pub(crate) fn new() -> Result<Self, String> {
        let (work, jobs) = mpsc::channel::<Work>();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: changes the network namespace of this thread only; no memory is involved.
            let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            let error = std::io::Error::last_os_error();
            // SAFETY: no preconditions.
            let tid = unsafe { libc::gettid() };
            let _ = ready.send(if done == 0 { Ok(tid) } else { Err(format!("unshare: {error}")) });
            jobs.iter().for_each(|job| job());
        });
        let tid = is_ready.recv().expect("the thread answers before it works")?;
        Ok(Self { work: Some(work), thread: Some(thread), tid })
    }

    /// The thread whose network it is, as `ip link set … netns` names it.
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (result, results) = mpsc::channel();
        let work = self.work.as_ref().expect("taken only by drop");
        work.send(Box::new(move || drop(result.send(job())))).expect("the thread waits for work");
        results.recv().expect("the work ends")
    }

    /// Runs commands, one a line; the first that fails ends it.
    pub(crate) fn commands(&self, lines: &str) -> Result<(), String> {
        let lines = lines.to_owned();
        self.run(move || lines.lines().map(str::trim).filter(|line| !line.is_empty()).try_for_each(command))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn command(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or("an empty command")?;
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")))
}

/// Two namespaces and a wire between them: `va` (10.9.0.1, fd09::1) and `vb` (10.9.0.2, fd09::2).
pub(crate) struct Wire {
    pub(crate) a: Namespace,
    pub(crate) b: Namespace,
}

impl Wire {
    pub(crate) fn new(mtu: usize) -> Result<Self, String> {
        let (a, b) = (Namespace::new()?, Namespace::new()?);
        a.commands(&format!(
            "ip link set lo up
             ip link add va mtu {mtu} type veth peer name vb mtu {mtu}
             ip link set vb netns {}
             ip addr add 10.9.0.1/24 dev va
             ip -6 addr add fd09::1/64 dev va nodad
             ip link set va up",
            b.tid
        ))?;
        b.commands(
            "ip link set lo up
             ip addr add 10.9.0.2/24 dev vb
             ip -6 addr add fd09::2/64 dev vb nodad
             ip link set vb up",
        )?;
        let wire = Self { a, b };
        wire.settle();
        Ok(wire)
    }

    /// Neighbours are looked up before anything is counted: the first datagrams would wait for that.
    fn settle(&self) {
        for dest in ["10.9.0.2", "fd09::2"] {
            let receiver = self.socket_b("[::]:0");
            let dest = SocketAddr::new(dest.parse().expect("an address"), receiver.local_addr().port());
            let mut receiver = Receiver::new(receiver, ReceiveLimits::default()).expect("a receiver");
            let sender = self.socket_a("[::]:0", Backend::Scalar, 1 << 20);
            let deadline = Instant::now() + NEIGHBOUR_WAIT;
            while Instant::now() < deadline {
                let _ = sender.send_to(dest, None, b"?", None);
                if receiver.receive(Some(Duration::from_millis(20))).expect("a live socket").next().is_some()
                {
                    break;
                }
            }
        }
    }

    pub(crate) fn socket_a(&self, bind: &str, backend: Backend, buffer_bytes: usize) -> Arc<Socket> {
        let bind = bind.parse().expect("an address");
        let config = SocketConfig { bind, buffer_bytes, backend: Some(backend) };
        self.a.run(move || Arc::new(Socket::open(&config).expect("a socket")))
    }

    pub(crate) fn socket_b(&self, bind: &str) -> Arc<Socket> {
        let config =
            SocketConfig { buffer_bytes: 4 << 20, ..SocketConfig::new(bind.parse().expect("an address")) };
        self.b.run(move || Arc::new(Socket::open(&config).expect("a socket")))
    }

    /// A receiver in b, and its address for each family.
    pub(crate) fn receiver(&self) -> (Receiver, [SocketAddr; 2]) {
        let socket = self.socket_b("[::]:0");
        let port = socket.local_addr().port();
        let dests = ["10.9.0.2", "fd09::2"].map(|ip| SocketAddr::new(ip.parse().expect("an address"), port));
        (Receiver::new(socket, ReceiveLimits::default()).expect("a receiver"), dests)
    }
}

/// Runs a test if this machine can; else says in one line that it was not run.
pub(crate) fn on_a_wire(tier: &str, mtu: usize, test: impl FnOnce(&Wire) -> Result<(), String>) {
    let missing =
        command("ethtool --version").and_then(|()| Wire::new(mtu)).and_then(|wire| test(&wire)).err();
    if let Some(cause) = missing {
        let line =
            format!("punktfunk-net: not run: {tier} over veth ({cause}); needs root, iproute2, ethtool\n");
        // Past the test harness, which hides what a passing test prints.
        let _ = std::io::stderr().write_all(line.as_bytes());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    }
}
