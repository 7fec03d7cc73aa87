//! The client's end of a control session.
//!
//! ```text
//! Connecting → Greeting → Welcomed → Running → Leaving → Over
//! ```
//! Promises: exactly one `Ended`, the last event, with a reason that a person can act on; the host has
//! proven to be who it should be before anything is told. Refuses: messages out of turn, which end the
//! session.

mod incoming;
pub(crate) mod loss;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use punktfunk_proto::{DATAGRAM_OVERHEAD, FeedbackReport, Lost, SessionClock};

use crate::call::Call;
use crate::error::{ConnectError, ControlError, Violation};
use crate::event::{ClientEvent, Transmit};
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::limits::{
    ALPN, CONNECT_MAX, EVENTS_MAX, GOODBYE_MAX, KEEP_ALIVE, SIGN_OF_LIFE_VERSION, SILENT_REPORT_BYTES_MIN,
    UDP_PAYLOAD_BYTES_SEARCHED, WELCOME_MAX,
};
use crate::link::CloseCode;
use crate::messages::{
    Bye, ClientStats, DecidePending, Hello, Message, Reconfigure, SpeedTestSeen, Start, StartSpeedTest,
};
use crate::planes::Plane;
use crate::skew::SkewMeter;
use crate::stats::LinkStats;
use crate::trust::Trust;

/// How far the session has come.
#[derive(Clone, Debug)]
enum Stage {
    /// TLS is under way.
    Connecting,
    /// Hello was said; the host's answer is awaited.
    Greeting,
    /// The program is asked.
    Welcomed,
    /// Media flows.
    Running,
    /// Bye was said; the host's last word is awaited.
    Leaving(Bye),
    /// Told, and closing.
    Over,
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Stage::Connecting => "connecting",
            Stage::Greeting => "waiting for the host's answer",
            Stage::Welcomed => "waiting for start",
            Stage::Running => "running",
            Stage::Leaving(_) | Stage::Over => "ending",
        }
    }
}

/// The client's end of one control session.
pub struct ClientControl {
    call: Call,
    hello: Hello,
    stage: Stage,
    deadline: Option<Instant>,
    clock: SessionClock,
    skew: SkewMeter,
    events: VecDeque<ClientEvent>,
    held_back: bool,
    last_now: Instant,
    /// When the last sign of life was sent.
    signed_at: Instant,
    alpn: &'static [u8],
}

impl ClientControl {
    /// Begins to connect. Drive it like the host; `ClientEvent::Welcome` or `Ended` follows. A host of which
    /// nothing was heard is given up at `answer_by`, and [`CONNECT_MAX`] from now at the latest.
    ///
    /// # Errors
    /// When the address cannot be connected to, or TLS does not take the identity.
    pub fn connect(
        identity: Identity,
        trust: Trust,
        host: SocketAddr,
        hello: Hello,
        answer_by: Instant,
        now: Instant,
    ) -> Result<Self, ControlError> {
        let mut connecting = Self::with_alpn(&identity, trust, host, hello, ALPN, now)?;
        connecting.deadline = connecting.deadline.map(|latest| latest.min(answer_by));
        Ok(connecting)
    }

    pub(crate) fn with_alpn(
        identity: &Identity,
        trust: Trust,
        host: SocketAddr,
        hello: Hello,
        alpn: &'static [u8],
        now: Instant,
    ) -> Result<Self, ControlError> {
        // The path is searched for what the longest shard needs, and by default for what an Ethernet carries.
        let longest = usize::from(hello.shard_bytes_max) + DATAGRAM_OVERHEAD;
        let udp_payload_bytes_max =
            u16::try_from(longest).unwrap_or(u16::MAX).max(UDP_PAYLOAD_BYTES_SEARCHED);
        Ok(Self {
            call: Call::begin(identity, trust, host, udp_payload_bytes_max, alpn, now)?,
            hello,
            stage: Stage::Connecting,
            deadline: Some(now + CONNECT_MAX),
            clock: SessionClock::new(now),
            skew: SkewMeter::default(),
            events: VecDeque::new(),
            held_back: false,
            last_now: now,
            signed_at: now,
            alpn,
        })
    }

    /// The client's clock, 0 at `connect`: what `SkewEstimate` maps from.
    pub fn clock(&self) -> SessionClock {
        self.clock
    }

    /// This client's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.call.ours
    }

    /// Takes one datagram whose first byte is 0x40 or more; others are counted and ignored. `to` is the
    /// address of this machine that it was sent to, where the network edge tells.
    pub fn handle_datagram(&mut self, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], now: Instant) {
        self.last_now = now;
        if self.call.handle_datagram(from, to, bytes, now) {
            self.advance(now);
        }
    }

    /// The network says that nobody listens at `dest` (ICMP, ECONNREFUSED). Believed of the host, and at once,
    /// as long as nothing was heard from it; a host that has spoken is only lost by its silence.
    pub fn handle_refused(&mut self, dest: SocketAddr, now: Instant) {
        self.last_now = now;
        if self.call.is_refused_at(dest) && matches!(self.stage, Stage::Connecting) {
            let no_answer = self.call.no_answer(true, now);
            self.close(CloseCode::Stalled, "", no_answer, now);
        }
    }

    /// Call when `poll_timeout` has come; calling it at other times does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last_now = now;
        self.held_back &= !self.can_resume();
        self.call.link.handle_timeout(now);
        self.advance(now);
        if self.sign_due().is_some_and(|due| due <= now) {
            self.sign(now);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.handle_deadline(now);
        }
    }

    /// The next datagram or train of datagrams: `buf` is cleared and filled. Call until it says `None`
    /// after every other call.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.call.poll_transmit(now, buf)
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.can_resume() {
            return Some(self.last_now);
        }
        [self.call.link.poll_timeout(), self.deadline, self.sign_due()].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Assents to the Welcome: `Started` follows at once, `Skew` after eight clock rounds.
    ///
    /// # Errors
    /// When there is no Welcome to assent to.
    pub fn start(&mut self, now: Instant) -> Result<(), ControlError> {
        self.require("start", "waiting for start", matches!(self.stage, Stage::Welcomed))?;
        let needs = "connected";
        let found = self.stage.name();
        let secret =
            self.call.link.secret().ok_or(ControlError::OutOfTurn { verb: "start", needs, found })?;
        self.send(&Message::Start(Start {}), now)?;
        self.stage = Stage::Running;
        self.events.push_back(ClientEvent::Started { secret });
        self.skew.begin();
        self.ask_clock(now)
    }

    /// Says what is missed, and asks for a clean point later than that.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn request_idr(&mut self, lost: Lost, now: Instant) -> Result<(), ControlError> {
        self.require_running("request_idr")?;
        self.send(&Message::RequestIdr(lost.into()), now)
    }

    /// Sends a report. It never waits for long: newer reports push older ones out. One that tells of no media is made
    /// long enough that the host can ask an address that it does not know yet.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn send_feedback(&mut self, report: &FeedbackReport, _now: Instant) -> Result<(), ControlError> {
        self.require_running("send_feedback")?;
        // Silence may be a moved client's: what it sends must allow the host to ask it where it is.
        let least = if report.receive_kbps == 0 { SILENT_REPORT_BYTES_MIN } else { 0 };
        self.call.link.send_datagram(Plane::Feedback, |payload| {
            let bytes = report.encode(payload);
            payload[bytes..least.max(bytes)].fill(0);
            least.max(bytes)
        });
        Ok(())
    }

    /// Asks for a change; `Reconfigured` follows.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn reconfigure(&mut self, reconfigure: &Reconfigure, now: Instant) -> Result<(), ControlError> {
        self.require_running("reconfigure")?;
        self.send(&Message::Reconfigure(*reconfigure), now)
    }

    /// Says whether a device that waits at the host shall be let in.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn decide_pending(&mut self, id: u64, approve: bool, now: Instant) -> Result<(), ControlError> {
        self.require_running("decide_pending")?;
        self.send(&Message::DecidePending(DecidePending { id, approve }), now)
    }

    /// Tells the host what the client has measured, for its console.
    ///
    /// # Errors
    /// When the session is not running, or the host does not read.
    pub fn send_stats(&mut self, stats: &ClientStats, now: Instant) -> Result<(), ControlError> {
        self.require_running("send_stats")?;
        self.send(&Message::ClientStats(stats.clone()), now)
    }

    /// Asks for a speed test; `SpeedTestBegun` or `SpeedTestFailed` follows.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn start_speed_test(&mut self, wish: StartSpeedTest, now: Instant) -> Result<(), ControlError> {
        self.require_running("start_speed_test")?;
        self.send(&Message::StartSpeedTest(wish), now)
    }

    /// Says what came of a speed test; `SpeedTestResult` or `SpeedTestFailed` follows.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn send_speed_test_seen(&mut self, seen: SpeedTestSeen, now: Instant) -> Result<(), ControlError> {
        self.require_running("send_speed_test_seen")?;
        self.send(&Message::SpeedTestSeen(seen), now)
    }

    /// Measures the clocks' skew anew; `Skew` follows with the better of the old and the new estimate.
    ///
    /// # Errors
    /// When the session is not running.
    pub fn refresh_skew(&mut self, now: Instant) -> Result<(), ControlError> {
        self.require_running("refresh_skew")?;
        self.skew.begin();
        self.ask_clock(now)
    }

    /// Leaves: the host's final statistics and then `Ended` follow, within two seconds.
    pub fn bye(&mut self, bye: &Bye, now: Instant) {
        match self.stage {
            Stage::Leaving(_) | Stage::Over => {}
            Stage::Connecting => self.close(CloseCode::Bye, "", ConnectError::Left(bye.clone()), now),
            Stage::Greeting | Stage::Welcomed | Stage::Running => {
                // A host that does not read gets no Bye; the deadline ends the session all the same.
                let _ = self.call.link.send(&Message::Bye(bye.clone()));
                // From an address that it does not know yet a host takes nothing that is short.
                self.sign(now);
                self.call.link.finish();
                self.stage = Stage::Leaving(bye.clone());
                self.deadline = Some(now + GOODBYE_MAX);
            }
        }
    }

    /// Whether the connection is over and nothing is left to send.
    pub fn is_drained(&self) -> bool {
        self.call.link.is_drained()
    }

    /// The connection's counters.
    pub fn stats(&self) -> LinkStats {
        self.call.link.stats()
    }

    #[cfg(test)]
    pub(crate) fn link(&mut self) -> &mut crate::link::Link {
        &mut self.call.link
    }

    /// When a host that is silent is to hear something long: it may be that it speaks to where this client was, and
    /// QUIC's own keep-alive is too short to be asked back.
    fn sign_due(&self) -> Option<Instant> {
        let speaks = matches!(self.stage, Stage::Greeting | Stage::Welcomed | Stage::Running);
        speaks.then(|| self.call.link.last_heard().max(self.signed_at) + KEEP_ALIVE)
    }

    fn sign(&mut self, now: Instant) {
        self.signed_at = now;
        self.call.link.send_datagram(Plane::Feedback, |payload| {
            payload[..SILENT_REPORT_BYTES_MIN].fill(0);
            payload[0] = SIGN_OF_LIFE_VERSION;
            SILENT_REPORT_BYTES_MIN
        });
    }

    fn can_resume(&self) -> bool {
        self.held_back && self.events.len() <= EVENTS_MAX / 2
    }

    fn handle_deadline(&mut self, now: Instant) {
        let host = self.call.host;
        match self.stage.clone() {
            Stage::Connecting => {
                let no_answer = self.call.no_answer(false, now);
                self.close(CloseCode::Stalled, "", no_answer, now);
            }
            Stage::Greeting => {
                let stalled =
                    ConnectError::Stalled { host, waited_for: "answer to our Hello", waited: WELCOME_MAX };
                self.close(CloseCode::Stalled, "", stalled, now);
            }
            Stage::Leaving(bye) => self.close(CloseCode::Bye, "", ConnectError::Left(bye), now),
            Stage::Welcomed | Stage::Running | Stage::Over => {}
        }
    }

    fn violate(&mut self, violation: Violation, now: Instant) {
        let text = violation.to_string();
        self.close(CloseCode::Violation, &text, ConnectError::Violation(violation), now);
    }

    fn close(&mut self, code: CloseCode, text: &str, end: ConnectError, now: Instant) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.stage = Stage::Over;
        self.deadline = None;
        self.call.link.close(code, text, now);
        self.events.push_back(ClientEvent::Ended { reason: end });
    }

    fn send(&mut self, message: &Message, now: Instant) -> Result<(), ControlError> {
        if self.call.link.send(message) {
            return Ok(());
        }
        let queued = self.call.link.queued_bytes();
        self.violate(Violation::DoesNotRead, now);
        Err(ControlError::PeerDoesNotRead { queued })
    }

    fn require_running(&self, verb: &'static str) -> Result<(), ControlError> {
        self.require(verb, "running", matches!(self.stage, Stage::Running))
    }

    fn require(&self, verb: &'static str, needs: &'static str, holds: bool) -> Result<(), ControlError> {
        if holds {
            return Ok(());
        }
        Err(ControlError::OutOfTurn { verb, needs, found: self.stage.name() })
    }
}

impl std::fmt::Debug for ClientControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientControl")
            .field("host", &self.call.host)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
