//! A host that only knows control, and says what a test tells it to say.
//!
//! Promises: its socket is loopback's; its thread ends with it. Refuses to send media.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use punktfunk_control::{
    Bye, ByeReason, HostControl, HostEvent, HostLimits, Identity, Refusal, Trust, Welcome,
};

use crate::support::PATIENCE;

/// What it answers to a Hello.
#[derive(Clone)]
pub(crate) enum Answer {
    Refuse(Refusal),
    Welcome(Box<Welcome>),
    /// Nothing, and a Bye is answered.
    Silence,
    /// Nothing, and a Bye makes it deaf and dumb.
    Death,
}

/// What happened at it, and when.
pub(crate) struct Told {
    pub(crate) what: String,
    pub(crate) at: Instant,
}

pub(crate) struct OddHost {
    pub(crate) address: String,
    pub(crate) fingerprint: String,
    told: Receiver<Told>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Driver {
    control: HostControl,
    socket: UdpSocket,
    answer: Answer,
    dead: bool,
    tell: Sender<Told>,
}

impl OddHost {
    pub(crate) fn start(answer: Answer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let identity = Identity::generate().unwrap();
        let fingerprint = identity.fingerprint().to_string();
        let control = HostControl::new(identity, Trust::Open, HostLimits::default(), Instant::now()).unwrap();
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut driver = Driver { control, socket, answer, dead: false, tell };
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                driver.turn();
            }
        });
        Self { address, fingerprint, told, stop, thread: Some(thread) }
    }

    /// Waits for what begins with these words.
    pub(crate) fn told(&self, words: &str) -> Told {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.told.recv_timeout(left).unwrap_or_else(|_| panic!("not told: {words}"));
            if told.what.starts_with(words) {
                return told;
            }
        }
    }

    /// Waits for what happens next, changes of the path's datagrams left out.
    pub(crate) fn next(&self) -> String {
        loop {
            let told = self.told.recv_timeout(PATIENCE).expect("something happens");
            if !told.what.starts_with("Mtu") {
                return told.what;
            }
        }
    }
}

impl Drop for OddHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic in it has been seen as silence already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Driver {
    fn turn(&mut self) {
        let mut bytes = [0; 2_048];
        let came = self.socket.recv_from(&mut bytes).ok();
        let now = Instant::now();
        if let Some((length, from)) = came {
            self.control.handle_datagram(from, None, &bytes[..length], now);
        }
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
        }
        while let Some(event) = self.control.poll_event() {
            self.handle(event, now);
        }
        self.transmit(now);
    }

    fn handle(&mut self, event: HostEvent, now: Instant) {
        let what = match event {
            HostEvent::Hello { session, .. } => {
                match &self.answer {
                    Answer::Refuse(refusal) => self.control.refuse(session, refusal, now).unwrap(),
                    Answer::Welcome(welcome) => self.control.welcome(session, welcome, now).unwrap(),
                    Answer::Silence | Answer::Death => {}
                }
                "hello".into()
            }
            HostEvent::Leaving { session, bye } => {
                self.dead = matches!(self.answer, Answer::Death);
                // The session may just have ended.
                let _ = self.control.bye(session, &Bye::new(ByeReason::Asked, ""), now);
                format!("leaving: {bye}")
            }
            HostEvent::Ended { reason, .. } => format!("ended: {reason}"),
            other => format!("{other:?}"),
        };
        // The test may have seen enough.
        let _ = self.tell.send(Told { what, at: now });
    }

    fn transmit(&mut self, now: Instant) {
        let mut buffer = Vec::new();
        while !self.dead
            && let Some(transmit) = self.control.poll_transmit(now, &mut buffer)
        {
            let dest: SocketAddr = transmit.dest;
            let bytes = &buffer[..transmit.bytes_len];
            for datagram in bytes.chunks(transmit.segment_bytes.unwrap_or(bytes.len().max(1))) {
                // A client that has gone refuses through the kernel.
                let _ = self.socket.send_to(datagram, dest);
            }
        }
    }
}
