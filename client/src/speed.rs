//! `punktfunk speed-test`: what the path from a host to this client carries.
//!
//! Promises: a session of its own, for which the host opens no screen and asks nobody; filler goes the way that video goes,
//! and is received as video is; the host is left as after any session. A result is a success, whatever it says: a script
//! reads `weakest` and `recommended_kbps`. Refuses to measure beside a session of the same client: the host says so.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_control::limits::CONNECT_MAX;
use punktfunk_control::{
    Bye, ByeReason, ClientControl, ClientEvent, Codec, Fingerprint, Identity, Mode, SpeedTestResult,
    StartSpeedTest, Trust, Weakest, machine_name,
};
use punktfunk_engine::{ClientConfig, ClientPipeline, SessionTime, Waker};
use punktfunk_net::{ReceiveLimits, Receiver};
use punktfunk_settings::Config;
use serde_json::{Value, json};

use crate::address::resolve;
use crate::cli::SpeedTestArgs;
use crate::error::ClientError;
use crate::ground::Ground;
use crate::link::{Greeted, Link, TICK, Waiting, greet};
use crate::sealing::Sealing;
use crate::sink::Sink;
use crate::terminal::{printable, say};

/// A picture rate that most sessions have: bursts come at it.
const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 60_000 };

/// The session's own bitrate, of which nothing is used.
const WIRE_KBPS: u32 = 20_000;

/// How long QUIC may take to find how long datagrams may be; then the test begins, as long as a session's pictures would
/// be by then.
const SETTLE: Duration = Duration::from_millis(700);

/// How long the host may take beside the test itself: the client's second, the host's five, and a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a test has found.
pub struct Tested {
    result: SpeedTestResult,
    /// Who the host has proven to be.
    pub host: Fingerprint,
    host_name: String,
}

/// Connects, tests, and leaves.
///
/// # Errors
/// There is no session, or no result.
pub fn speed_test(
    args: &SpeedTestArgs,
    told: &Config,
    (identity, trust): (Identity, Trust),
    stop: &AtomicBool,
) -> Result<Tested, ClientError> {
    let answer_by = Instant::now() + CONNECT_MAX;
    let host = resolve(&args.host, answer_by)?;
    let ground = Ground::look(told)?;
    let socket = ground.socket_to(host)?;
    let name = args.name.clone().or_else(machine_name).unwrap_or_else(|| "punktfunk".to_owned());
    let mut hello = ground.hello(name, MODE, WIRE_KBPS, host);
    hello.codecs = vec![Codec::Pattern];
    hello.without_pictures = true;
    let mut receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default())?;
    let control = ClientControl::connect(identity, trust, host, hello.clone(), answer_by, Instant::now())?;
    let mut link = Link::new(control, socket);
    let waiting = Waiting { stop, commands: None, until: None };
    let begun = greet(&mut link, &mut receiver, &hello, &waiting)
        .and_then(|greeted| Ok((Session::start(&mut link, &greeted, receiver, &ground)?, greeted)));
    match begun {
        Ok((session, Greeted { welcome, host_fingerprint, .. })) => {
            let result = session.run(link, args, stop)?;
            Ok(Tested { result, host: host_fingerprint, host_name: welcome.host_name })
        }
        Err(error) => {
            link.leave(&Bye::new(ByeReason::Fault, error.to_string()));
            Err(error)
        }
    }
}

/// The stages under way, with nothing to decode.
struct Session {
    pipeline: ClientPipeline<Sink>,
    started: Instant,
    /// The test was asked for.
    asked: Option<Instant>,
    /// The host has said that it is under way.
    is_begun: bool,
    outcome: Option<Result<SpeedTestResult, ClientError>>,
}

impl Session {
    fn start(
        link: &mut Link,
        greeted: &Greeted,
        receiver: Receiver,
        ground: &Ground,
    ) -> Result<Self, ClientError> {
        let started = Instant::now();
        link.transmit(started);
        let sealing = Sealing::of(greeted.welcome.cipher, ground)?;
        let control = Waker::new();
        control.attach();
        let config = ClientConfig {
            negotiated: greeted.negotiated,
            clock: link.control.clock(),
            time: Arc::new(SessionTime::default()),
            control,
            machine: ground.machine.clone(),
        };
        let openers = sealing.openers(&greeted.secret, &greeted.negotiated);
        let pipeline = ClientPipeline::start(Sink::Verify(Box::default()), receiver, openers, &config)?;
        Ok(Self { pipeline, started, asked: None, is_begun: false, outcome: None })
    }

    /// Asks, waits, and leaves, whatever came of it.
    fn run(
        mut self,
        mut link: Link,
        args: &SpeedTestArgs,
        stop: &AtomicBool,
    ) -> Result<SpeedTestResult, ClientError> {
        let longest = Duration::from_millis(args.duration_ms.into()) + ANSWER_MAX;
        let mut leaving = false;
        loop {
            let now = Instant::now();
            if self.turn(&mut link, args, now) {
                break;
            }
            if stop.load(Ordering::Relaxed) && self.outcome.is_none() {
                self.outcome = Some(Err(ClientError::Interrupted));
            }
            if self.asked.is_some_and(|asked| asked.elapsed() > longest) || self.pipeline.is_ended() {
                let silent = "the host has not said what came of it".to_owned();
                self.outcome.get_or_insert(Err(ClientError::SpeedTestLost(silent)));
            }
            if self.outcome.is_some() && !leaving {
                leaving = true;
                link.control.bye(&Bye::new(ByeReason::Asked, ""), now);
                link.transmit(now);
            }
            let latest = Instant::now() + TICK;
            let due = link.control.poll_timeout().map_or(latest, |due| due.min(latest));
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        link.transmit(Instant::now());
        let end = self.pipeline.stop();
        let fault = end.fault.map(ClientError::from);
        self.outcome.unwrap_or_else(|| Err(fault.unwrap_or(ClientError::Interrupted)))
    }

    /// One round of control; whether the session is over.
    fn turn(&mut self, link: &mut Link, args: &SpeedTestArgs, now: Instant) -> bool {
        let control = &mut link.control;
        self.pipeline.poll_quic(|from, to, bytes| control.handle_datagram(from, to, bytes, now));
        link.handle_time(now);
        // Nothing here needs to be told of what these find missing: the session ends by itself then.
        if let Some(report) = self.pipeline.poll_feedback() {
            let _ = link.control.send_feedback(&report, now);
        }
        if let Some(seen) = self.pipeline.poll_speed_test() {
            let _ = link.control.send_speed_test_seen(seen.into(), now);
        }
        if self.asked.is_none() && now.saturating_duration_since(self.started) >= SETTLE {
            self.asked = Some(now);
            let wish = StartSpeedTest { target_kbps: args.target_kbps, duration_ms: args.duration_ms };
            let _ = link.control.start_speed_test(wish, now);
        }
        let mut is_over = false;
        while let Some(event) = link.poll_event() {
            match event {
                ClientEvent::SpeedTestBegun(begun) => {
                    self.is_begun = true;
                    if !args.json {
                        say(&format!("testing: {} kbit/s for {} ms", begun.target_kbps, begun.duration_ms));
                    }
                }
                ClientEvent::SpeedTestSent(sent) => self.pipeline.ask_speed_test(sent.test),
                ClientEvent::SpeedTestResult(result) => {
                    self.outcome.get_or_insert(Ok(result));
                }
                ClientEvent::SpeedTestFailed(failed) => {
                    let error = if self.is_begun {
                        ClientError::SpeedTestLost
                    } else {
                        ClientError::SpeedTestRefused
                    };
                    self.outcome.get_or_insert(Err(error(failed.why)));
                }
                ClientEvent::Ended { reason } => {
                    self.outcome.get_or_insert(Err(reason.into()));
                    is_over = true;
                }
                ClientEvent::Welcome { .. }
                | ClientEvent::Started { .. }
                | ClientEvent::Skew(_)
                | ClientEvent::HostStats(_)
                | ClientEvent::Reconfigured(_)
                | ClientEvent::SourceNews(_)
                | ClientEvent::PendingDevices(_)
                | ClientEvent::Mtu { .. } => {}
            }
        }
        link.transmit(now);
        is_over
    }
}

impl Tested {
    /// The result for scripts.
    pub fn json(&self) -> Value {
        let found = &self.result;
        json!({
            "host": self.host_name, "fingerprint": self.host.to_string(),
            "target_kbps": found.target_kbps, "sent_kbps": found.sent_kbps,
            "received_kbps": found.received_kbps, "goodput_kbps": found.goodput_kbps,
            "loss_ppm": found.loss_ppm, "loss_by_position_ppm": found.loss_by_position_ppm,
            "delay_p50_us": found.delay_p50_us, "delay_p99_us": found.delay_p99_us,
            "recommended_kbps": found.recommended_kbps, "weakest": weakest(found.weakest),
            "verdict": found.verdict,
        })
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let found = &self.result;
        let mbit = |kbps: u64| format!("{}.{:01} Mbit/s", kbps / 1_000, kbps % 1_000 / 100);
        let mut text = format!("speed test of the way from {}\n", printable(&self.host_name));
        let mut line = |name: &str, value: String| {
            // A String takes every line.
            let _ = writeln!(text, "  {name:<22} {value}");
        };
        line("asked for", mbit(found.target_kbps.into()));
        line("left the host", mbit(found.sent_kbps));
        line("came", mbit(found.received_kbps));
        line("goodput", mbit(found.goodput_kbps));
        line("lost", per_cent(found.loss_ppm));
        let parts: Vec<String> = found.loss_by_position_ppm.iter().map(|&ppm| per_cent(ppm)).collect();
        line("lost, by tenths", parts.join(" "));
        line(
            "delay above the least",
            format!("p50 {} µs, p99 {} µs", found.delay_p50_us, found.delay_p99_us),
        );
        line("weakest link", weakest(found.weakest).replace('_', " "));
        line("recommended", format!("--bitrate {}", found.recommended_kbps));
        text.push_str(&printable(&found.verdict));
        text
    }
}

fn per_cent(ppm: u32) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

fn weakest(link: Weakest) -> &'static str {
    match link {
        Weakest::None => "none",
        Weakest::Host => "host",
        Weakest::Network => "network",
        Weakest::ClientBuffer => "client_buffer",
        Weakest::Other(_) => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_by_people_and_scripts() {
        let result = SpeedTestResult {
            test: 1,
            target_kbps: 100_000,
            sent_kbps: 99_990,
            received_kbps: 61_234,
            goodput_kbps: 55_000,
            loss_ppm: 387_600,
            loss_by_position_ppm: vec![0, 1_000, 10_000],
            delay_p50_us: 120,
            delay_p99_us: 40_000,
            recommended_kbps: 45_925,
            weakest: Weakest::ClientBuffer,
            verdict: "the client is the \u{1b}weakest link".into(),
        };
        let tested = Tested { result, host: Fingerprint::from([7; 32]), host_name: "tower".into() };
        let text = tested.text();
        for part in ["61.2 Mbit/s", "38.76 %", "0.00 % 0.10 % 1.00 %", "client buffer", "--bitrate 45925"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
        let json = tested.json();
        assert_eq!((&json["weakest"], &json["loss_ppm"]), (&json!("client_buffer"), &json!(387_600)));
        assert_eq!(json["loss_by_position_ppm"], json!([0, 1_000, 10_000]));
    }
}
