//! A host, its clients, the network between them, and programs that answer as real ones would.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punktfunk_proto::SessionClock;
use punktfunk_seal::{Cipher, Secret};

use super::network::{Network, Rng, Way};
use crate::limits::ALPN;
use crate::{
    Applicant, ApplicantEvent, Bye, ByeReason, Chroma, ClientControl, ClientEvent, Codec, ConnectError,
    ControlError, Depth, Hello, HostControl, HostEvent, HostLimits, HostStats, Identity, Mode, PROTOCOL,
    PairError, Reconfigured, Refusal, RefusalCode, SessionEnd, SessionId, Trust, Welcome, Wish,
};

pub(super) const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 60_000 };

pub(super) fn hello() -> Hello {
    Hello::new("a test", MODE, 20_000)
}

pub(super) fn welcome() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        host_name: "host".into(),
        mode: MODE,
        codec: Codec::H264,
        cipher: Cipher::Aes128Gcm,
        bitrate_kbps: 20_000,
        shard_bytes_max: 1408,
        redundancy_per_mille: 100,
        au_bytes_max: 1 << 20,
        slices_max: 4,
        source: "the test card".into(),
        encoder: "software H.264".into(),
        compositors: Vec::new(),
        depth: Depth::Eight,
        chroma: Chroma::Yuv420,
    }
}

pub(super) fn final_stats() -> HostStats {
    HostStats { last: true, aus_sent: 77, ..HostStats::default() }
}

pub(super) struct Client {
    pub(super) control: ClientControl,
    pub(super) addr: SocketAddr,
    /// Where what it says seems to come from, if that is not where it hears.
    pub(super) seen_at: Option<SocketAddr>,
    pub(super) dead: bool,
    /// Its program takes no events: what the host says is not read.
    pub(super) deaf: bool,
    pub(super) starts: bool,
    pub(super) welcomed: Option<Welcome>,
    pub(super) secret: Option<Secret>,
    pub(super) events: Vec<ClientEvent>,
    pub(super) ended: Option<ConnectError>,
}

/// A client that the host does not know.
pub(super) struct Guest {
    pub(super) control: Applicant,
    pub(super) addr: SocketAddr,
    pub(super) dead: bool,
    pub(super) events: Vec<ApplicantEvent>,
}

impl Guest {
    /// How it went, once it is known.
    pub(super) fn outcome(&self) -> Option<Result<(), PairError>> {
        self.events.iter().find_map(|event| match event {
            ApplicantEvent::Held { .. } => None,
            ApplicantEvent::Admitted { .. } => Some(Ok(())),
            ApplicantEvent::Ended { reason } => Some(Err(reason.clone())),
        })
    }
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) host: HostControl,
    pub(super) host_addr: SocketAddr,
    pub(super) host_identity: Identity,
    pub(super) host_dead: bool,
    /// Whether the host's program takes its events.
    pub(super) host_polls: bool,
    /// Whether a second client is told that the host is busy.
    pub(super) one_at_a_time: bool,
    pub(super) session_clock: SessionClock,
    pub(super) secrets: Vec<(SessionId, Secret)>,
    pub(super) sessions: Vec<SessionId>,
    pub(super) events: Vec<HostEvent>,
    pub(super) ended: Vec<(SessionId, SessionEnd)>,
    pub(super) clients: Vec<Client>,
    pub(super) guests: Vec<Guest>,
    pub(super) network: Network,
    /// Bytes that the host has sent to each address.
    pub(super) sent_to: HashMap<SocketAddr, usize>,
    /// Whose copies of what clients say come just before the originals, and who hands the first client what he gets.
    pub(super) relay: Option<SocketAddr>,
    /// Clients' datagrams of at least 400 bytes that shall be lost yet.
    pub(super) losses: usize,
    buf: Vec<u8>,
}

impl Pair {
    pub(super) fn new(name: &str, seed: u64, to_host: Way, to_client: Way) -> Self {
        Self::with(name, seed, to_host, to_client, Trust::Open, HostLimits::default(), ALPN)
    }

    pub(super) fn lan(name: &str) -> Self {
        Self::new(name, 1, Way::LAN, Way::LAN)
    }

    pub(super) fn with(
        name: &str,
        seed: u64,
        to_host: Way,
        to_client: Way,
        trust: Trust,
        limits: HostLimits,
        alpn: &'static [u8],
    ) -> Self {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        Self {
            now,
            host: HostControl::with_alpn(identity.clone(), trust, limits, alpn, now).unwrap(),
            host_addr: "10.0.0.1:47800".parse().unwrap(),
            host_identity: identity,
            host_dead: false,
            host_polls: true,
            one_at_a_time: false,
            session_clock: SessionClock::new(now),
            secrets: Vec::new(),
            sessions: Vec::new(),
            events: Vec::new(),
            ended: Vec::new(),
            clients: Vec::new(),
            guests: Vec::new(),
            network: Network::new(Rng::announced(name, seed), to_host, to_client),
            sent_to: HashMap::new(),
            relay: None,
            losses: 0,
            buf: Vec::new(),
        }
    }

    /// Another host at the same address, open to everyone.
    pub(super) fn replace_host(&mut self, identity: Identity) {
        self.host = HostControl::new(identity.clone(), Trust::Open, HostLimits::default(), self.now).unwrap();
        self.host_identity = identity;
    }

    pub(super) fn connect(&mut self) -> usize {
        self.connect_with(&Identity::generate().unwrap(), Trust::Open, hello(), ALPN)
    }

    pub(super) fn connect_with(
        &mut self,
        identity: &Identity,
        trust: Trust,
        hello: Hello,
        alpn: &'static [u8],
    ) -> usize {
        let control =
            ClientControl::with_alpn(identity, trust, self.host_addr, hello, alpn, self.now).unwrap();
        let index = self.clients.len();
        self.clients.push(Client {
            control,
            addr: place(0, index + 1),
            seen_at: None,
            dead: false,
            deaf: false,
            starts: true,
            welcomed: None,
            secret: None,
            events: Vec::new(),
            ended: None,
        });
        index
    }

    /// A client that is not known comes to pair or to knock.
    pub(super) fn apply(&mut self, identity: &Identity, wish: Wish, name: &str) -> usize {
        let (host, now) = (self.host_addr, self.now);
        let by = now + Duration::from_secs(60);
        let control = Applicant::connect(identity, (wish, Trust::Open), host, name, by, now).unwrap();
        let index = self.guests.len();
        let addr = place(1, index);
        self.guests.push(Guest { control, addr, dead: false, events: Vec::new() });
        index
    }

    /// Connects and runs until media could flow and the clocks are known.
    pub(super) fn connect_and_start(&mut self) -> usize {
        let client = self.connect();
        let ready = self.run_until(Duration::from_secs(10), |pair| pair.skew(client).is_some());
        assert!(ready, "not running: {:?} {:?}", self.clients[client].control, self.clients[client].ended);
        client
    }

    pub(super) fn skew(&self, client: usize) -> Option<crate::SkewEstimate> {
        self.clients[client].events.iter().rev().find_map(|event| match event {
            ClientEvent::Skew(estimate) => Some(*estimate),
            _ => None,
        })
    }

    pub(super) fn session(&self) -> SessionId {
        *self.sessions.last().expect("a client has said Hello")
    }

    /// Moves time until `done`; `false` when `at_most` has passed before.
    pub(super) fn run_until(&mut self, at_most: Duration, mut done: impl FnMut(&Pair) -> bool) -> bool {
        let end = self.now + at_most;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.now = self.next_wake().unwrap_or(end).clamp(self.now, end);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let mut wakes: Vec<Instant> = self.network.next_arrival().into_iter().collect();
        if !self.host_dead {
            wakes.extend(self.host.poll_timeout());
        }
        for client in self.clients.iter_mut().filter(|client| !client.dead) {
            wakes.extend(client.control.poll_timeout());
        }
        for guest in self.guests.iter_mut().filter(|guest| !guest.dead) {
            wakes.extend(guest.control.poll_timeout());
        }
        wakes.into_iter().min()
    }

    /// Everything that happens at this instant.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut busy = self.deliver();
            busy |= self.fire_timeouts();
            busy |= self.transmit();
            busy |= self.answer_host_events();
            for index in 0..self.clients.len() {
                busy |= self.answer_client_events(index);
            }
            for guest in &mut self.guests {
                while let Some(event) = guest.control.poll_event() {
                    assert!(guest.outcome().is_none(), "{event:?} after the last event");
                    guest.events.push(event);
                    busy = true;
                }
            }
            if !busy {
                return;
            }
        }
        panic!("time stands still: an end is busy without end");
    }

    fn deliver(&mut self) -> bool {
        let mut busy = false;
        while let Some((from, to, bytes)) = self.network.arrive(self.now) {
            busy = true;
            if to == self.host_addr {
                if !self.host_dead {
                    self.host.handle_datagram(from, Some(to.ip()), &bytes, self.now);
                }
            } else {
                let to = if self.relay == Some(to) { self.clients[0].addr } else { to };
                let client = self.clients.iter_mut().find(|client| client.addr == to && !client.dead);
                if let Some(client) = client {
                    client.control.handle_datagram(from, Some(to.ip()), &bytes, self.now);
                }
                if let Some(guest) = self.guests.iter_mut().find(|guest| guest.addr == to && !guest.dead) {
                    guest.control.handle_datagram(from, Some(to.ip()), &bytes, self.now);
                }
            }
        }
        busy
    }

    fn fire_timeouts(&mut self) -> bool {
        let mut busy = false;
        if !self.host_dead && self.host.poll_timeout().is_some_and(|due| due <= self.now) {
            self.host.handle_timeout(self.now);
            busy = true;
        }
        for client in self.clients.iter_mut().filter(|client| !client.dead) {
            if client.control.poll_timeout().is_some_and(|due| due <= self.now) {
                client.control.handle_timeout(self.now);
                busy = true;
            }
        }
        for guest in self.guests.iter_mut().filter(|guest| !guest.dead) {
            if guest.control.poll_timeout().is_some_and(|due| due <= self.now) {
                guest.control.handle_timeout(self.now);
                busy = true;
            }
        }
        busy
    }

    fn transmit(&mut self) -> bool {
        let mut busy = false;
        while !self.host_dead
            && let Some(transmit) = self.host.poll_transmit(self.now, &mut self.buf)
        {
            busy = true;
            assert_eq!(transmit.bytes_len, self.buf.len());
            assert_eq!(
                transmit.source,
                Some(self.host_addr.ip()),
                "an answer leaves from where it was asked"
            );
            *self.sent_to.entry(transmit.dest).or_default() += transmit.bytes_len;
            for segment in self.buf.chunks(transmit.segment_bytes.unwrap_or(self.buf.len())) {
                self.network.send(self.host_addr, transmit.dest, false, segment, self.now);
            }
        }
        for client in self.clients.iter_mut().filter(|client| !client.dead) {
            while let Some(transmit) = client.control.poll_transmit(self.now, &mut self.buf) {
                busy = true;
                let roams = transmit.source.is_none_or(|source| source == client.addr.ip());
                assert!(roams, "a client may change its address: {transmit:?}");
                for segment in self.buf.chunks(transmit.segment_bytes.unwrap_or(self.buf.len())) {
                    if let Some(relay) = self.relay {
                        self.network.send(relay, transmit.dest, true, segment, self.now);
                    }
                    if self.losses > 0 && segment.len() >= 400 {
                        self.losses -= 1;
                        continue;
                    }
                    let from = client.seen_at.unwrap_or(client.addr);
                    self.network.send(from, transmit.dest, true, segment, self.now);
                }
            }
        }
        for guest in self.guests.iter_mut().filter(|guest| !guest.dead) {
            while let Some(transmit) = guest.control.poll_transmit(self.now, &mut self.buf) {
                busy = true;
                for segment in self.buf.chunks(transmit.segment_bytes.unwrap_or(self.buf.len())) {
                    self.network.send(guest.addr, transmit.dest, true, segment, self.now);
                }
            }
        }
        busy
    }

    fn answer_host_events(&mut self) -> bool {
        let mut busy = false;
        while self.host_polls
            && let Some(event) = self.host.poll_event()
        {
            busy = true;
            match event {
                HostEvent::Hello { session, .. } => {
                    let others = self.sessions.len() - self.ended.len();
                    self.sessions.push(session);
                    if self.one_at_a_time && others > 0 {
                        let busy = Refusal::new(RefusalCode::Busy, "somebody else plays");
                        answered(self.host.refuse(session, &busy, self.now));
                    } else {
                        answered(self.host.welcome(session, &welcome(), self.now));
                    }
                }
                HostEvent::Start { session, secret } => {
                    self.secrets.push((session, secret));
                    answered(self.host.start_clock(session, self.session_clock, self.now));
                }
                HostEvent::Leaving { session, .. } => {
                    answered(self.host.send_stats(session, &final_stats(), self.now));
                    answered(self.host.bye(session, &Bye::new(ByeReason::Asked, "as asked"), self.now));
                }
                HostEvent::Reconfigure { session, reconfigure } => {
                    let reconfigured = Reconfigured {
                        mode: reconfigure.mode.unwrap_or(MODE),
                        bitrate_kbps: reconfigure.bitrate_kbps.unwrap_or(20_000),
                        from_au: 9,
                        refused: String::new(),
                    };
                    answered(self.host.send_reconfigured(session, &reconfigured, self.now));
                }
                HostEvent::Ended { session, reason } => self.ended.push((session, reason)),
                other => self.events.push(other),
            }
        }
        busy
    }

    fn answer_client_events(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let mut busy = false;
        while !client.deaf
            && let Some(event) = client.control.poll_event()
        {
            busy = true;
            assert!(client.ended.is_none(), "{event:?} after the last event");
            match event {
                ClientEvent::Welcome { welcome, host_fingerprint } => {
                    assert_eq!(host_fingerprint, self.host_identity.fingerprint());
                    client.welcomed = Some(welcome);
                    if client.starts {
                        client.control.start(self.now).unwrap();
                    }
                }
                ClientEvent::Started { secret } => client.secret = Some(secret),
                ClientEvent::Ended { reason } => client.ended = Some(reason),
                other => client.events.push(other),
            }
        }
        busy
    }
}

/// Where the one of this number is.
fn place(network: u8, index: usize) -> SocketAddr {
    let [.., high, low] = (index + 1).to_be_bytes();
    SocketAddr::from(([10, high, network, low], 50_000))
}

/// A session may end between its event and the program's answer; nothing else may go wrong.
fn answered(result: Result<(), ControlError>) {
    match result {
        Ok(()) | Err(ControlError::NoSuchSession(_)) => {}
        Err(error) => panic!("{error}"),
    }
}
